//! Where outgoing datagrams are written: one buffer for many, in runs that the kernel can segment.

use std::net::SocketAddr;

use crate::ice::SelectedPair;

/// The buffer's size. Several large frames fit; more than this between two flushes would only grow the latency.
const CAPACITY: usize = 256 * 1024;

/// UDP segmentation offload takes at most 64 segments and one IP packet's length in all.
const MAX_SEGMENTS: usize = 64;
const MAX_RUN_LENGTH: usize = 65_000;

/// Consecutive datagrams between the same two addresses, all of one length but the last, which may be shorter.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    pair: SelectedPair,
    start: usize,
    length: usize,
    segment_size: usize,
    segments: usize,
    open: bool,
}

/// Datagrams to send, as a view into a [`TransmitBatch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Our address to send from.
    pub source: SocketAddr,
    /// The peer's address.
    pub destination: SocketAddr,
    /// The datagrams, one after the other.
    pub contents: &'a [u8],
    /// The length of each datagram but the last, which may be shorter.
    pub segment_size: usize,
}

impl<'a> Transmit<'a> {
    /// The datagrams one by one.
    pub fn datagrams(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        self.contents.chunks(self.segment_size.max(1))
    }
}

/// A reusable buffer of outgoing datagrams.
///
/// Whoever fills it writes a datagram into the space that [`reserve`](Self::reserve) yields and says with
/// [`commit`](Self::commit) how long it became. Datagrams of equal length to the same peer join into one run.
///
/// ```
/// use rtcast_proto::connection::TransmitBatch;
/// use rtcast_proto::ice::SelectedPair;
///
/// let pair = SelectedPair { local: ([10, 0, 0, 1], 1_000).into(), remote: ([10, 0, 0, 2], 2_000).into() };
/// let mut batch = TransmitBatch::default();
/// for datagram in [&b"one"[..], b"two", b"3"] {
///     assert!(batch.push(pair, datagram), "there is room");
/// }
/// assert_eq!((batch.runs(), batch.len()), (1, 3));
/// let run = batch.run(0).unwrap();
/// assert_eq!((run.contents, run.segment_size), (&b"onetwo3"[..], 3));
/// ```
#[derive(Debug)]
pub struct TransmitBatch {
    buffer: Box<[u8]>,
    used: usize,
    runs: Vec<Run>,
    datagrams: usize,
}

impl Default for TransmitBatch {
    fn default() -> Self {
        Self { buffer: vec![0; CAPACITY].into_boxed_slice(), used: 0, runs: Vec::with_capacity(256), datagrams: 0 }
    }
}

impl TransmitBatch {
    /// Space for a datagram of at most `length` bytes; `None` if the batch is full and must be sent first.
    #[inline]
    pub fn reserve(&mut self, length: usize) -> Option<&mut [u8]> {
        self.buffer.get_mut(self.used..self.used + length)
    }

    /// Takes the first `length` bytes of the reserved space as a datagram.
    #[inline]
    pub fn commit(&mut self, pair: SelectedPair, length: usize) {
        let start = self.used;
        self.used += length;
        self.datagrams += 1;
        if let Some(run) = self.runs.last_mut()
            && run.open
            && run.pair == pair
            && length <= run.segment_size
            && run.length + length <= MAX_RUN_LENGTH
        {
            run.length += length;
            run.segments += 1;
            run.open = length == run.segment_size && run.segments < MAX_SEGMENTS;
            return;
        }
        self.runs.push(Run { pair, start, length, segment_size: length, segments: 1, open: true });
    }

    /// Copies a whole datagram. Returns `false` if the batch is full.
    pub fn push(&mut self, pair: SelectedPair, datagram: &[u8]) -> bool {
        let Some(space) = self.reserve(datagram.len()) else { return false };
        space.copy_from_slice(datagram);
        self.commit(pair, datagram.len());
        true
    }

    /// The runs in the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = Transmit<'_>> {
        self.runs.iter().map(|run| self.view(run))
    }

    /// One run, counted from 0 in the order in which they were written.
    #[inline]
    pub fn run(&self, index: usize) -> Option<Transmit<'_>> {
        self.runs.get(index).map(|run| self.view(run))
    }

    #[inline]
    fn view(&self, run: &Run) -> Transmit<'_> {
        Transmit {
            source: run.pair.local,
            destination: run.pair.remote,
            contents: &self.buffer[run.start..run.start + run.length],
            segment_size: run.segment_size,
        }
    }

    /// The number of runs.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// The number of datagrams.
    pub const fn len(&self) -> usize {
        self.datagrams
    }

    /// Whether there is nothing to send.
    pub const fn is_empty(&self) -> bool {
        self.datagrams == 0
    }

    /// Forgets everything, keeping the buffer.
    pub fn clear(&mut self) {
        self.used = 0;
        self.datagrams = 0;
        self.runs.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(port: u16) -> SelectedPair {
        SelectedPair { local: ([127, 0, 0, 1], 1).into(), remote: ([127, 0, 0, 1], port).into() }
    }

    #[test]
    fn equal_lengths_to_one_peer_make_one_run() {
        let mut batch = TransmitBatch::default();
        for (port, length) in [(5, 100), (5, 100), (5, 40), (5, 100), (6, 100), (6, 100), (6, 120)] {
            assert!(batch.push(pair(port), &vec![port as u8; length]));
        }
        let runs: Vec<_> =
            batch.iter().map(|run| (run.destination.port(), run.contents.len(), run.segment_size)).collect();
        assert_eq!(runs, [(5, 240, 100), (5, 100, 100), (6, 200, 100), (6, 120, 120)]);
        assert_eq!(batch.len(), 7);
        assert_eq!(batch.iter().flat_map(|run| run.datagrams()).count(), 7);
    }

    #[test]
    fn a_run_ends_where_the_kernel_would_refuse_it_and_the_batch_where_it_is_full() {
        let mut batch = TransmitBatch::default();
        for _ in 0..65 {
            assert!(batch.push(pair(5), &[0; 10]));
        }
        assert_eq!(batch.iter().map(|run| run.datagrams().count()).collect::<Vec<_>>(), [64, 1]);
        batch.clear();
        let mut count = 0;
        while batch.push(pair(5), &[0; 1_200]) {
            count += 1;
        }
        assert_eq!(count, CAPACITY / 1_200);
        assert!(batch.iter().all(|run| run.contents.len() <= MAX_RUN_LENGTH));
    }
}
