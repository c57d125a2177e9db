//! Messages from their pieces, in the order of their streams (RFC 9260 §6.5, §6.6; RFC 8260 §2; RFC 3758 §3.6).

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::{Bytes, BytesMut};

use super::chunk::{DataChunk, FLAG_BEGIN, FLAG_END, FLAG_UNORDERED};
use super::sequence::{ORIGIN, extend, extend16};
use super::{PayloadProtocolId, StreamId};

/// What a run of pieces, or a message that waits for its turn, counts beside its bytes.
const OVERHEAD: usize = 64;

/// A message of many pieces begins with as much memory as the one before it had, up to this.
const MOST_RESERVED: usize = 64 << 10;

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) stream: StreamId,
    pub(super) ppid: PayloadProtocolId,
    pub(super) data: Bytes,
}

/// The peer sent what cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

/// Consecutive pieces of one message.
#[derive(Debug)]
struct Run {
    end: u64,
    begins: bool,
    ends: bool,
    stream: u16,
    number: u32,
    unordered: bool,
    ppid: u32,
    data: BytesMut,
}

/// Pieces by their place: the TSN for DATA, the number in the message for I-DATA.
type Runs = BTreeMap<u64, Run>;

#[derive(Debug)]
struct Stream {
    /// The number of the next ordered message, extended.
    next: u64,
    /// Whole messages that came before their turn.
    waiting: BTreeMap<u64, (u32, Bytes)>,
}

impl Default for Stream {
    fn default() -> Self {
        Self { next: ORIGIN, waiting: BTreeMap::new() }
    }
}

/// What has come and is not delivered.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    interleaving: bool,
    most: usize,
    streams: HashMap<u16, Stream>,
    /// Of DATA.
    runs: Runs,
    /// Of I-DATA, by stream, whether it is unordered, and message.
    messages: HashMap<(u16, bool, u32), Runs>,
    whole: VecDeque<Message>,
    buffered: usize,
    last_length: usize,
}

impl Reassembly {
    /// Messages of more than `most` bytes are refused.
    pub(super) fn new(interleaving: bool, most: usize) -> Self {
        Self { interleaving, most, ..Self::default() }
    }

    /// What is kept here, in bytes.
    pub(super) const fn buffered(&self) -> usize {
        self.buffered
    }

    /// The next message that is whole and has its turn.
    pub(super) fn pop(&mut self) -> Option<Message> {
        self.whole.pop_front()
    }

    /// Takes a piece that is new.
    pub(super) fn push(&mut self, tsn: u64, chunk: &DataChunk<'_>) -> Result<(), TooLong> {
        let unordered = chunk.flags & FLAG_UNORDERED != 0;
        if chunk.flags & (FLAG_BEGIN | FLAG_END) == FLAG_BEGIN | FLAG_END {
            if chunk.payload.len() > self.most {
                return Err(TooLong);
            }
            let data = Bytes::copy_from_slice(chunk.payload);
            self.complete(chunk.stream, chunk.message, unordered, chunk.ppid, data);
            return Ok(());
        }
        let place = if self.interleaving { u64::from(chunk.fragment) } else { tsn };
        let key = (chunk.stream, unordered, chunk.message);
        let few = self.runs.len() + self.messages.len() < 4;
        let reserve = if few { self.last_length.min(MOST_RESERVED) } else { 0 };
        let runs = if self.interleaving { self.messages.entry(key).or_default() } else { &mut self.runs };
        let before = runs.len();
        let start = insert(runs, place, chunk, reserve);
        let added = runs.len().cast_signed() - before.cast_signed();
        self.buffered = (self.buffered + chunk.payload.len()).saturating_add_signed(added * OVERHEAD.cast_signed());
        match runs.get(&start) {
            Some(run) if run.data.len() > self.most => return Err(TooLong),
            Some(run) if run.begins && run.ends => {}
            _ => return Ok(()),
        }
        if let Some(run) = runs.remove(&start) {
            if self.interleaving {
                self.messages.remove(&key);
            }
            self.buffered = self.buffered.saturating_sub(run.data.len() + OVERHEAD);
            self.last_length = run.data.len();
            self.complete(run.stream, run.number, run.unordered, run.ppid, run.data.freeze());
        }
        Ok(())
    }

    /// The peer gave up everything up to `point`, and these messages: stream, whether unordered, and number.
    pub(super) fn skip(&mut self, point: u64, skipped: impl Iterator<Item = (u16, bool, u32)>) {
        let kept = self.runs.split_off(&(point + 1));
        let dropped = std::mem::replace(&mut self.runs, kept);
        self.forget(dropped.into_values());
        for (id, unordered, number) in skipped {
            if self.interleaving {
                let old = |key: &(u16, bool, u32)| {
                    key.0 == id && key.1 == unordered && key.2.wrapping_sub(number).cast_signed() <= 0
                };
                let dropped: Vec<Runs> = self.messages.extract_if(|key, _| old(key)).map(|(_, runs)| runs).collect();
                self.forget(dropped.into_iter().flat_map(BTreeMap::into_values));
            }
            if unordered {
                continue;
            }
            let interleaving = self.interleaving;
            let stream = self.streams.entry(id).or_default();
            let number = number_on(stream, number, interleaving);
            if number < stream.next {
                continue;
            }
            stream.next = number + 1;
            // RFC 3758 §3.6: what is whole and was waiting for the skipped ones is delivered.
            let rest = stream.waiting.split_off(&stream.next);
            let ready = std::mem::replace(&mut stream.waiting, rest);
            for (_, (ppid, data)) in ready {
                self.buffered = self.buffered.saturating_sub(data.len() + OVERHEAD);
                self.whole.push_back(Message { stream: StreamId(id), ppid: PayloadProtocolId(ppid), data });
            }
            self.release(id);
        }
    }

    /// The peer begins these streams anew; with none named, all. Returns which they are.
    pub(super) fn reset(&mut self, ids: &[u16]) -> Vec<u16> {
        let ids = if ids.is_empty() { self.streams.keys().copied().collect() } else { ids.to_vec() };
        for id in &ids {
            if let Some(stream) = self.streams.remove(id) {
                let bytes: usize = stream.waiting.values().map(|(_, data)| data.len() + OVERHEAD).sum();
                self.buffered = self.buffered.saturating_sub(bytes);
            }
        }
        let runs: Vec<Run> = self.runs.extract_if(.., |_, run| ids.contains(&run.stream)).map(|(_, run)| run).collect();
        self.forget(runs.into_iter());
        let messages: Vec<Runs> =
            self.messages.extract_if(|key, _| ids.contains(&key.0)).map(|(_, runs)| runs).collect();
        self.forget(messages.into_iter().flat_map(BTreeMap::into_values));
        ids
    }

    fn forget(&mut self, runs: impl Iterator<Item = Run>) {
        let bytes: usize = runs.map(|run| run.data.len() + OVERHEAD).sum();
        self.buffered = self.buffered.saturating_sub(bytes);
    }

    fn complete(&mut self, id: u16, number: u32, unordered: bool, ppid: u32, data: Bytes) {
        if unordered {
            self.whole.push_back(Message { stream: StreamId(id), ppid: PayloadProtocolId(ppid), data });
            return;
        }
        let interleaving = self.interleaving;
        let stream = self.streams.entry(id).or_default();
        let number = number_on(stream, number, interleaving);
        if number == stream.next {
            stream.next += 1;
            self.whole.push_back(Message { stream: StreamId(id), ppid: PayloadProtocolId(ppid), data });
            if !stream.waiting.is_empty() {
                self.release(id);
            }
        } else if number > stream.next {
            let bytes = data.len() + OVERHEAD;
            if stream.waiting.insert(number, (ppid, data)).is_none() {
                self.buffered += bytes;
            }
        }
    }

    /// Delivers the messages whose turn has come.
    fn release(&mut self, id: u16) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        while let Some((ppid, data)) = stream.waiting.remove(&stream.next) {
            stream.next += 1;
            self.buffered = self.buffered.saturating_sub(data.len() + OVERHEAD);
            self.whole.push_back(Message { stream: StreamId(id), ppid: PayloadProtocolId(ppid), data });
        }
    }
}

const fn number_on(stream: &Stream, number: u32, interleaving: bool) -> u64 {
    if interleaving { extend(stream.next, number) } else { extend16(stream.next, number as u16) }
}

/// Puts a piece where it belongs, joined with its neighbours. Returns where the run that holds it begins.
fn insert(runs: &mut Runs, place: u64, chunk: &DataChunk<'_>, reserve: usize) -> u64 {
    let (begins, ends) = (chunk.flags & FLAG_BEGIN != 0, chunk.flags & FLAG_END != 0);
    let unordered = chunk.flags & FLAG_UNORDERED != 0;
    let same = |run: &Run| (run.stream, run.number, run.unordered) == (chunk.stream, chunk.message, unordered);
    let after = if ends { None } else { runs.get(&(place + 1)).filter(|run| !run.begins && same(run)) };
    let after = after.is_some().then(|| runs.remove(&(place + 1))).flatten();
    let before = runs.range_mut(..place).next_back();
    let before = before.filter(|(_, run)| !begins && !run.ends && run.end + 1 == place && same(run));
    let (start, run) = match before {
        Some((start, run)) => {
            run.data.extend_from_slice(chunk.payload);
            (*start, run)
        }
        None => {
            let mut data = BytesMut::with_capacity(reserve.max(chunk.payload.len()));
            data.extend_from_slice(chunk.payload);
            let (stream, number, ppid) = (chunk.stream, chunk.message, chunk.ppid);
            let fresh = Run { end: place, begins, ends, stream, number, unordered, ppid, data };
            (place, runs.entry(place).or_insert(fresh))
        }
    };
    run.end = place;
    run.ends = ends;
    if let Some(after) = after {
        run.end = after.end;
        run.ends = after.ends;
        run.data.extend_from_slice(&after.data);
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(stream: u16, message: u32, fragment: u32, flags: u8, payload: &[u8]) -> DataChunk<'_> {
        DataChunk { tsn: 0, stream, message, fragment, ppid: 51, flags, payload }
    }

    fn pop(reassembly: &mut Reassembly) -> Vec<(u16, Vec<u8>)> {
        std::iter::from_fn(|| reassembly.pop()).map(|message| (message.stream.0, message.data.to_vec())).collect()
    }

    const ALL: u8 = FLAG_BEGIN | FLAG_END;

    #[test]
    fn pieces_in_any_order_make_the_message() {
        for order in [[1, 2, 3, 4], [4, 3, 2, 1], [2, 4, 1, 3], [3, 1, 4, 2]] {
            let mut reassembly = Reassembly::new(false, 100);
            for tsn in order {
                let flags = [0, FLAG_BEGIN, 0, 0, FLAG_END][tsn as usize];
                reassembly.push(tsn, &chunk(7, 0, 0, flags, &[tsn as u8; 2])).unwrap();
            }
            assert_eq!(pop(&mut reassembly), [(7, vec![1, 1, 2, 2, 3, 3, 4, 4])], "{order:?}");
            assert_eq!(reassembly.buffered(), 0);
        }
    }

    #[test]
    fn neighbours_of_other_messages_stay_apart() {
        let mut reassembly = Reassembly::new(false, 100);
        reassembly.push(3, &chunk(7, 1, 0, FLAG_BEGIN, b"c")).unwrap();
        reassembly.push(2, &chunk(7, 0, 0, FLAG_END, b"b")).unwrap();
        reassembly.push(4, &chunk(7, 1, 0, FLAG_END, b"d")).unwrap();
        assert_eq!(pop(&mut reassembly), [], "the first message is not whole");
        reassembly.push(1, &chunk(7, 0, 0, FLAG_BEGIN, b"a")).unwrap();
        assert_eq!(pop(&mut reassembly), [(7, b"ab".to_vec()), (7, b"cd".to_vec())]);
        assert_eq!(reassembly.buffered(), 0);
    }

    #[test]
    fn the_unordered_do_not_wait() {
        let mut reassembly = Reassembly::new(false, 100);
        reassembly.push(2, &chunk(7, 1, 0, ALL, b"second")).unwrap();
        reassembly.push(3, &chunk(7, 0, 0, ALL | FLAG_UNORDERED, b"free")).unwrap();
        assert_eq!(pop(&mut reassembly), [(7, b"free".to_vec())]);
        assert!(reassembly.buffered() > 0);
        reassembly.push(1, &chunk(7, 0, 0, ALL, b"first")).unwrap();
        assert_eq!(pop(&mut reassembly), [(7, b"first".to_vec()), (7, b"second".to_vec())]);
        assert_eq!(reassembly.buffered(), 0);
    }

    #[test]
    fn interleaved_messages_come_apart_again() {
        let mut reassembly = Reassembly::new(true, 100);
        reassembly.push(1, &chunk(7, 0, 0, FLAG_BEGIN, b"a")).unwrap();
        reassembly.push(2, &chunk(8, 0, 0, FLAG_BEGIN, b"x")).unwrap();
        reassembly.push(4, &chunk(8, 0, 2, FLAG_END, b"z")).unwrap();
        reassembly.push(3, &chunk(7, 0, 1, FLAG_END, b"b")).unwrap();
        reassembly.push(5, &chunk(8, 0, 1, 0, b"y")).unwrap();
        assert_eq!(pop(&mut reassembly), [(7, b"ab".to_vec()), (8, b"xyz".to_vec())]);
        assert_eq!(reassembly.buffered(), 0);
    }

    #[test]
    fn what_is_skipped_goes_and_lets_others_pass() {
        for interleaving in [false, true] {
            let mut reassembly = Reassembly::new(interleaving, 100);
            reassembly.push(1, &chunk(7, 0, 0, FLAG_BEGIN, b"half")).unwrap();
            reassembly.push(4, &chunk(7, 1, 0, ALL, b"one")).unwrap();
            reassembly.push(6, &chunk(7, 3, 0, ALL, b"three")).unwrap();
            reassembly.skip(3, [(7, false, 0)].into_iter());
            assert_eq!(pop(&mut reassembly), [(7, b"one".to_vec())]);
            reassembly.skip(5, [(7, false, 2)].into_iter());
            assert_eq!(pop(&mut reassembly), [(7, b"three".to_vec())]);
            assert_eq!(reassembly.buffered(), 0);
        }
    }

    #[test]
    fn a_stream_that_is_reset_begins_anew_and_a_message_has_its_limit() {
        let mut reassembly = Reassembly::new(false, 10);
        reassembly.push(1, &chunk(7, 0, 0, ALL, b"old")).unwrap();
        reassembly.push(2, &chunk(7, 2, 0, ALL, b"waits")).unwrap();
        assert_eq!(reassembly.reset(&[7]), [7]);
        reassembly.push(3, &chunk(7, 0, 0, ALL, b"new")).unwrap();
        assert_eq!(pop(&mut reassembly), [(7, b"old".to_vec()), (7, b"new".to_vec())]);
        assert_eq!(reassembly.buffered(), 0);
        assert_eq!(reassembly.push(4, &chunk(7, 1, 0, ALL, &[0; 11])), Err(TooLong));
        reassembly.push(5, &chunk(7, 1, 0, FLAG_BEGIN, &[0; 10])).unwrap();
        assert_eq!(reassembly.push(6, &chunk(7, 1, 0, 0, &[0; 1])), Err(TooLong));
    }
}
