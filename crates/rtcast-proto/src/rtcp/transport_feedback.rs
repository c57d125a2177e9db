//! Transport-wide feedback: when each packet of a transport arrived (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use crate::types::{SequenceNumber, Ssrc};

/// The unit of arrival times, in microseconds.
pub const ARRIVAL_TICK_US: u32 = 250;

/// The reference time counts units of 64 ms, that is of so many ticks.
const TICKS_PER_REFERENCE: i64 = 256;

/// What a chunk says of a packet (§3.1.1).
const NOT_RECEIVED: u8 = 0;
const SMALL_DELTA: u8 = 1;
const LARGE_DELTA: u8 = 2;

const MAX_RUN: usize = 0x1fff;
const ONE_BIT_SYMBOLS: usize = 14;
const TWO_BIT_SYMBOLS: usize = 7;

/// When packets arrived that were numbered one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportFeedback {
    /// A stream of the sender's.
    pub media: Ssrc,
    /// The number of the first packet.
    pub base: SequenceNumber,
    /// The receiver's clock before the first arrival, in units of 64 ms; 24 bits with a sign.
    pub reference_time: i32,
    /// Counts the feedback packets.
    pub count: u8,
    /// For each packet the time since the arrival before it, or since the reference time, in ticks of 250 µs; `None` if it
    /// did not arrive. At most 65,535.
    pub arrivals: Vec<Option<i16>>,
}

impl TransportFeedback {
    /// The arrival of each packet in ticks of 250 µs on the receiver's clock.
    pub fn arrival_times(&self) -> impl Iterator<Item = Option<i64>> {
        let mut time = i64::from(self.reference_time) * TICKS_PER_REFERENCE;
        self.arrivals.iter().map(move |arrival| {
            arrival.map(|delta| {
                time += i64::from(delta);
                time
            })
        })
    }

    /// Reads what follows the two sources of a feedback packet. What pads the packet is left.
    pub(super) fn read(media: Ssrc, body: &[u8]) -> Option<Self> {
        let ([base_high, base_low, count_high, count_low, time @ .., feedback_count], mut rest) =
            body.split_first_chunk::<8>()?;
        let expected = usize::from(u16::from_be_bytes([*count_high, *count_low]));
        let mut symbols = Vec::with_capacity(expected);
        while symbols.len() < expected {
            let (chunk, tail) = rest.split_first_chunk::<2>()?;
            rest = tail;
            read_chunk(u16::from_be_bytes(*chunk), expected - symbols.len(), &mut symbols);
        }
        let mut arrivals = Vec::with_capacity(expected);
        for symbol in symbols {
            arrivals.push(match symbol {
                NOT_RECEIVED => None,
                SMALL_DELTA => {
                    let (delta, tail) = rest.split_first()?;
                    rest = tail;
                    Some(i16::from(*delta))
                }
                LARGE_DELTA => {
                    let (delta, tail) = rest.split_first_chunk()?;
                    rest = tail;
                    Some(i16::from_be_bytes(*delta))
                }
                _ => return None,
            });
        }
        let [high, middle, low] = *time;
        Some(Self {
            media,
            base: SequenceNumber(u16::from_be_bytes([*base_high, *base_low])),
            // The shift back carries the sign down.
            reference_time: i32::from_be_bytes([high, middle, low, 0]) >> 8,
            count: *feedback_count,
            arrivals,
        })
    }

    /// Writes what follows the two sources, up to the end of a word.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let arrivals = &self.arrivals[..self.arrivals.len().min(usize::from(u16::MAX))];
        out.extend(self.base.0.to_be_bytes());
        out.extend((arrivals.len() as u16).to_be_bytes());
        let [_, time @ ..] = self.reference_time.to_be_bytes();
        out.extend(time);
        out.push(self.count);
        let symbols: Vec<u8> = arrivals.iter().map(|arrival| symbol(*arrival)).collect();
        let mut rest = &symbols[..];
        while !rest.is_empty() {
            let (chunk, length) = next_chunk(rest);
            out.extend(chunk.to_be_bytes());
            rest = &rest[length..];
        }
        for delta in arrivals.iter().flatten() {
            match u8::try_from(*delta) {
                Ok(small) => out.push(small),
                Err(_) => out.extend(delta.to_be_bytes()),
            }
        }
        out.resize(start + (out.len() - start).next_multiple_of(4), 0);
    }
}

const fn symbol(arrival: Option<i16>) -> u8 {
    match arrival {
        None => NOT_RECEIVED,
        Some(0..=255) => SMALL_DELTA,
        Some(_) => LARGE_DELTA,
    }
}

/// §3.1.3 and §3.1.4: a run of one symbol, or a vector of symbols with one or two bits each.
fn read_chunk(chunk: u16, wanted: usize, symbols: &mut Vec<u8>) {
    if chunk & 0x8000 == 0 {
        let run = usize::from(chunk) & MAX_RUN;
        symbols.extend(std::iter::repeat_n((chunk >> 13 & 3) as u8, run.min(wanted)));
        // A run of none would never end.
        if run == 0 {
            symbols.extend(std::iter::repeat_n(u8::MAX, wanted));
        }
    } else if chunk & 0x4000 == 0 {
        symbols.extend((0..ONE_BIT_SYMBOLS).rev().map(|bit| (chunk >> bit & 1) as u8).take(wanted));
    } else {
        symbols.extend((0..TWO_BIT_SYMBOLS).rev().map(|pair| (chunk >> (2 * pair) & 3) as u8).take(wanted));
    }
}

/// The chunk that says most, and of how many packets.
fn next_chunk(symbols: &[u8]) -> (u16, usize) {
    let first = symbols[0];
    let run = symbols.iter().take_while(|symbol| **symbol == first).count().min(MAX_RUN);
    let narrow = symbols.iter().take(ONE_BIT_SYMBOLS).take_while(|symbol| **symbol < LARGE_DELTA).count();
    if run >= narrow.max(TWO_BIT_SYMBOLS) || run == symbols.len() {
        return (u16::from(first) << 13 | run as u16, run);
    }
    // A vector that says less than it could is one at the end.
    if narrow == ONE_BIT_SYMBOLS || narrow == symbols.len() {
        let bits = (0..narrow).fold(0, |bits, at| bits | u16::from(symbols[at]) << (ONE_BIT_SYMBOLS - 1 - at));
        return (0x8000 | bits, narrow);
    }
    let wide = symbols.len().min(TWO_BIT_SYMBOLS);
    let bits = (0..wide).fold(0, |bits, at| bits | u16::from(symbols[at]) << (2 * (TWO_BIT_SYMBOLS - 1 - at)));
    (0xc000 | bits, wide)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{RtcpError, RtcpPacket, RtcpWriter, packets};

    fn feedback(arrivals: Vec<Option<i16>>) -> TransportFeedback {
        TransportFeedback { media: Ssrc(2), base: SequenceNumber(65_530), reference_time: -5, count: 200, arrivals }
    }

    fn read_back(feedback: &TransportFeedback) -> Vec<Result<RtcpPacket, RtcpError>> {
        let mut writer = RtcpWriter::default();
        writer.transport_feedback(Ssrc(1), feedback);
        writer.picture_loss_indication(Ssrc(1), Ssrc(3));
        packets(writer.bytes()).collect()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let cases: [Vec<Option<i16>>; 8] = [
            vec![Some(0)],
            vec![None],
            vec![Some(255); 14],
            vec![Some(-1), Some(256), None, Some(3)],
            vec![None; 9_000],
            (0..40).map(|number| (number % 3 != 0).then_some(number)).collect(),
            (0..40).map(|number| (number % 5 != 0).then_some(number * 100 - 900)).collect(),
            (0..6).map(|_| Some(1)).chain([None, Some(i16::MAX), Some(i16::MIN)]).collect(),
        ];
        for arrivals in cases {
            let feedback = feedback(arrivals);
            let read = read_back(&feedback);
            assert_eq!(read.len(), 2, "{feedback:?}");
            assert_eq!(read[0], Ok(RtcpPacket::TransportFeedback(feedback)));
            assert_eq!(read[1], Ok(RtcpPacket::PictureLossIndication { media: Ssrc(3) }));
        }
    }

    #[test]
    fn the_example_of_a_run_and_a_vector_is_understood() {
        // Three packets that arrived, then a vector of which one is missing and one came late; a word of base and count,
        // reference time 1, the fourth feedback.
        let bytes = [
            0x8f, 205, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 10, 0, 6, 0, 0, 1, 4, 0x20, 3, 0xc6, 0, 4, 8, 12, 2, 0xff,
            0xfe, 0, 0,
        ];
        let Some(Ok(RtcpPacket::TransportFeedback(feedback))) = packets(&bytes).next() else {
            panic!("it is feedback")
        };
        assert_eq!((feedback.base, feedback.reference_time, feedback.count), (SequenceNumber(10), 1, 4));
        assert_eq!(feedback.arrivals, [Some(4), Some(8), Some(12), None, Some(2), Some(-2)]);
        let times: Vec<_> = feedback.arrival_times().collect();
        assert_eq!(times[..3], [Some(260), Some(268), Some(280)]);
    }

    #[test]
    fn feedback_that_ends_early_or_never_is_refused() {
        let whole = {
            let mut writer = RtcpWriter::default();
            writer.transport_feedback(Ssrc(1), &feedback(vec![Some(1), Some(2), Some(300)]));
            writer.bytes().to_vec()
        };
        for words in 3..whole.len() / 4 {
            let mut cut = whole[..words * 4].to_vec();
            cut[2..4].copy_from_slice(&(words as u16 - 1).to_be_bytes());
            let read: Vec<_> = packets(&cut).collect();
            assert_eq!(read, [Err(RtcpError::Contents(205))], "{words} words");
        }
        // A run of no packets, of which 65,535 are announced.
        let empty_run = [0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(packets(&empty_run).collect::<Vec<_>>(), [Err(RtcpError::Contents(205))]);
    }
}
