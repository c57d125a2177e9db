//! Writing packets, and their checksums (RFC 9260 §3.1, §6.8; RFC 9653).

use super::chunk::word;

/// The length of the common header.
pub(super) const COMMON_HEADER: usize = 12;

/// A packet under construction in a buffer that is used again and again.
#[derive(Debug)]
pub(super) struct PacketWriter<'a> {
    buffer: &'a mut Vec<u8>,
    limit: usize,
}

impl<'a> PacketWriter<'a> {
    pub(super) fn new(buffer: &'a mut Vec<u8>, limit: usize, ports: (u16, u16), tag: u32) -> Self {
        buffer.clear();
        buffer.extend_from_slice(&ports.0.to_be_bytes());
        buffer.extend_from_slice(&ports.1.to_be_bytes());
        buffer.extend_from_slice(&tag.to_be_bytes());
        buffer.extend_from_slice(&[0; 4]);
        Self { buffer, limit }
    }

    /// The bytes that still fit.
    pub(super) fn remaining(&self) -> usize {
        self.limit.saturating_sub(self.buffer.len())
    }

    /// Whether there is no chunk yet.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.len() <= COMMON_HEADER
    }

    /// Writes a chunk whose body `body` appends.
    #[inline]
    pub(super) fn chunk(&mut self, kind: u8, flags: u8, body: impl FnOnce(&mut Vec<u8>)) {
        put_chunk(self.buffer, kind, flags, body);
    }

    /// Appends a chunk that was written before, padded.
    pub(super) fn raw(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// Fills in the checksum, or leaves it zero.
    pub(super) fn finish(self, checksum: bool) {
        if checksum {
            let sum = crc32c::crc32c(self.buffer);
            if let Some(place) = self.buffer.get_mut(8..COMMON_HEADER) {
                // RFC 9260 appendix A: the sum goes with its lowest byte first.
                place.copy_from_slice(&sum.to_le_bytes());
            }
        }
    }
}

/// Appends a chunk, or a parameter whose type is `kind` and `flags` as one number, with length and padding.
#[inline]
pub(super) fn put_chunk(buffer: &mut Vec<u8>, kind: u8, flags: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    buffer.extend_from_slice(&[kind, flags, 0, 0]);
    body(buffer);
    let length = buffer.len() - start;
    if let Some(place) = buffer.get_mut(start + 2..start + 4) {
        place.copy_from_slice(&(length as u16).to_be_bytes());
    }
    let padding = length.next_multiple_of(4) - length;
    buffer.extend_from_slice(&[0; 3][..padding]);
}

/// Appends a parameter, or a cause of an error.
pub(super) fn put_parameter(buffer: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let [high, low] = kind.to_be_bytes();
    put_chunk(buffer, high, low, |buffer| buffer.extend_from_slice(value));
}

/// What stands in the common header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) source: u16,
    pub(super) destination: u16,
    pub(super) tag: u32,
}

impl Header {
    /// Reads it and checks the checksum; zero counts as right if that was agreed on (RFC 9653 §5.3).
    pub(super) fn parse(packet: &[u8], zero_checksum: bool) -> Option<(Self, &[u8])> {
        let (head, chunks) = packet.split_first_chunk::<COMMON_HEADER>()?;
        let sum = [head[8], head[9], head[10], head[11]];
        if !(zero_checksum && sum == [0; 4]) {
            let zeroed = crc32c::crc32c_append(crc32c::crc32c(&head[..8]), &[0; 4]);
            if crc32c::crc32c_append(zeroed, chunks).to_le_bytes() != sum {
                return None;
            }
        }
        let header = Self {
            source: u16::from_be_bytes([head[0], head[1]]),
            destination: u16::from_be_bytes([head[2], head[3]]),
            tag: word(head, 4)?,
        };
        Some((header, chunks))
    }
}

#[cfg(test)]
mod tests {
    use super::super::chunk::{Chunks, Parameters};
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut buffer = Vec::new();
        let mut writer = PacketWriter::new(&mut buffer, 100, (5000, 5001), 0x0102_0304);
        assert!(writer.is_empty());
        writer.chunk(9, 1, |body| put_parameter(body, 0x8008, b"abc"));
        writer.chunk(3, 0, |body| body.extend_from_slice(b"x"));
        assert_eq!(writer.remaining(), 100 - 12 - 12 - 8);
        writer.finish(true);
        let (header, chunks) = Header::parse(&buffer, false).unwrap();
        assert_eq!(header, Header { source: 5000, destination: 5001, tag: 0x0102_0304 });
        let chunks: Vec<_> = Chunks(chunks).collect();
        assert_eq!((chunks[0].kind, chunks[0].flags, chunks[1].body), (9, 1, &b"x"[..]));
        assert_eq!(Parameters(chunks[0].body).collect::<Vec<_>>(), [(0x8008, &b"abc"[..])]);
        buffer[13] ^= 1;
        assert!(Header::parse(&buffer, true).is_none());
        buffer[8..12].fill(0);
        assert!(Header::parse(&buffer, true).is_some() && Header::parse(&buffer, false).is_none());
        assert_eq!(Chunks(&[0, 0, 0, 3]).count() + Chunks(&[0, 0, 0, 9, 1]).count(), 0);
    }
}
