//! Messages in a byte stream: those of TURN over TCP, and those between peers over TCP.

/// The most that a stream may hold back before a message is whole: the longest message and a read beyond it.
const MAX_WAITING: usize = 256 * 1024;

/// How messages are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramingKind {
    /// RFC 8656 §12.5: STUN messages and ChannelData, both with a length of their own; ChannelData is padded.
    Turn,
    /// RFC 4571 §2: each message behind its length in two bytes (RFC 6544 §10.1).
    Length,
}

/// Cuts a byte stream into messages.
#[derive(Debug)]
pub struct StreamFraming {
    kind: FramingKind,
    buffer: Vec<u8>,
    start: usize,
}

impl StreamFraming {
    /// An empty stream.
    pub const fn new(kind: FramingKind) -> Self {
        Self { kind, buffer: Vec::new(), start: 0 }
    }

    /// Takes bytes from the stream. Returns `false` if more is waiting than any message needs: then the stream is no such
    /// stream, and is to be closed.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
        self.buffer.len() <= MAX_WAITING
    }

    /// The next whole message, without length and padding.
    pub fn next_message(&mut self) -> Option<&[u8]> {
        let waiting = self.buffer.get(self.start..)?;
        let (head, length) =
            (waiting.get(..4)?, |at: usize| usize::from(u16::from_be_bytes([waiting[at], waiting[at + 1]])));
        let (from, to, whole) = match self.kind {
            FramingKind::Length => (2, 2 + length(0), 2 + length(0)),
            // RFC 8656 §12: channel numbers begin with the bits 01, STUN messages with 00.
            FramingKind::Turn if head[0] & 0xc0 == 0x40 => (0, 4 + length(2), (4 + length(2)).next_multiple_of(4)),
            FramingKind::Turn => (0, 20 + length(2), 20 + length(2)),
        };
        if waiting.len() < whole {
            return None;
        }
        let begin = self.start;
        self.start += whole;
        self.buffer.get(begin + from..begin + to)
    }

    /// Appends a message to `out` as the stream carries it. What is too long for it is left out.
    pub fn write(&self, message: &[u8], out: &mut Vec<u8>) {
        match self.kind {
            FramingKind::Length => {
                let Ok(length) = u16::try_from(message.len()) else { return };
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(message);
            }
            FramingKind::Turn => {
                out.extend_from_slice(message);
                // STUN messages are multiples of four by themselves.
                out.resize(out.len() + (message.len().next_multiple_of(4) - message.len()), 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_however_the_stream_is_cut() {
        let channel = |length: u8| [&[0x40, 1, 0, length][..], &vec![7; usize::from(length)]].concat();
        let stun = [&[0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42][..], &[9; 16]].concat();
        let turn = [channel(5), stun, channel(0), channel(8)];
        let plain = [vec![1; 3], vec![2; 1_200], vec![3; 20]];
        for (kind, messages) in [(FramingKind::Turn, turn.to_vec()), (FramingKind::Length, plain.to_vec())] {
            let mut stream = Vec::new();
            let mut framing = StreamFraming::new(kind);
            messages.iter().for_each(|message| framing.write(message, &mut stream));
            for step in [1, 3, 7, stream.len()] {
                let mut out = Vec::new();
                for piece in stream.chunks(step) {
                    assert!(framing.push(piece));
                    while let Some(message) = framing.next_message() {
                        out.push(message.to_vec());
                    }
                }
                assert_eq!(out, messages, "{kind:?} in pieces of {step}");
            }
        }
    }

    #[test]
    fn a_stream_that_never_makes_a_message_ends() {
        let mut framing = StreamFraming::new(FramingKind::Turn);
        let mut held = 0;
        while framing.push(&[0xff; 10_000]) {
            held += 10_000;
            // The longest message is 64 KiB, so this drains unless nobody asks.
            assert!(held < 1_000_000);
        }
    }
}
