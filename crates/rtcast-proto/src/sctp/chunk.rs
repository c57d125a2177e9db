//! Reading chunks and their parameters (RFC 9260 §3).

/// The chunk types in use.
pub(super) mod kind {
    pub(in super::super) const DATA: u8 = 0;
    pub(in super::super) const INIT: u8 = 1;
    pub(in super::super) const INIT_ACK: u8 = 2;
    pub(in super::super) const SACK: u8 = 3;
    pub(in super::super) const HEARTBEAT: u8 = 4;
    pub(in super::super) const HEARTBEAT_ACK: u8 = 5;
    pub(in super::super) const ABORT: u8 = 6;
    pub(in super::super) const SHUTDOWN: u8 = 7;
    pub(in super::super) const SHUTDOWN_ACK: u8 = 8;
    pub(in super::super) const ERROR: u8 = 9;
    pub(in super::super) const COOKIE_ECHO: u8 = 10;
    pub(in super::super) const COOKIE_ACK: u8 = 11;
    pub(in super::super) const SHUTDOWN_COMPLETE: u8 = 14;
    /// RFC 8260 §2.1.
    pub(in super::super) const I_DATA: u8 = 64;
    /// RFC 6525 §3.1.
    pub(in super::super) const RE_CONFIG: u8 = 130;
    /// RFC 4820 §3.
    pub(in super::super) const PAD: u8 = 132;
    /// RFC 3758 §3.2.
    pub(in super::super) const FORWARD_TSN: u8 = 192;
    /// RFC 8260 §2.3.1.
    pub(in super::super) const I_FORWARD_TSN: u8 = 194;
}

/// The parameter types in use.
pub(super) mod parameter {
    pub(in super::super) const HEARTBEAT_INFO: u16 = 1;
    pub(in super::super) const STATE_COOKIE: u16 = 7;
    pub(in super::super) const UNRECOGNIZED: u16 = 8;
    pub(in super::super) const IPV4_ADDRESS: u16 = 5;
    pub(in super::super) const IPV6_ADDRESS: u16 = 6;
    pub(in super::super) const COOKIE_PRESERVATIVE: u16 = 9;
    pub(in super::super) const HOST_NAME: u16 = 11;
    pub(in super::super) const SUPPORTED_ADDRESS_TYPES: u16 = 12;
    /// RFC 6525 §4.1 to §4.6.
    pub(in super::super) const OUTGOING_RESET: u16 = 13;
    pub(in super::super) const INCOMING_RESET: u16 = 14;
    pub(in super::super) const ASSOCIATION_RESET: u16 = 15;
    pub(in super::super) const RESET_RESPONSE: u16 = 16;
    pub(in super::super) const ADD_OUTGOING_STREAMS: u16 = 17;
    pub(in super::super) const ADD_INCOMING_STREAMS: u16 = 18;
    /// RFC 9653 §4.
    pub(in super::super) const ZERO_CHECKSUM: u16 = 0x8001;
    /// RFC 5061 §4.2.7.
    pub(in super::super) const SUPPORTED_EXTENSIONS: u16 = 0x8008;
    /// RFC 3758 §3.1.
    pub(in super::super) const FORWARD_TSN_SUPPORTED: u16 = 0xc000;
}

/// The causes of errors in use (RFC 9260 §3.3.10).
pub(super) mod cause {
    pub(in super::super) const STALE_COOKIE: u16 = 3;
    pub(in super::super) const UNRECOGNIZED_CHUNK: u16 = 6;
    pub(in super::super) const USER_INITIATED: u16 = 12;
    pub(in super::super) const PROTOCOL_VIOLATION: u16 = 13;
}

/// The flags of DATA and I-DATA (RFC 9260 §3.3.1).
pub(super) const FLAG_END: u8 = 1;
pub(super) const FLAG_BEGIN: u8 = 2;
pub(super) const FLAG_UNORDERED: u8 = 4;
pub(super) const FLAG_IMMEDIATE: u8 = 8;

/// The length of a DATA chunk's header, and of an I-DATA chunk's.
pub(super) const DATA_HEADER: usize = 16;
pub(super) const I_DATA_HEADER: usize = 20;

/// A chunk as it stands in a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// What follows the four bytes of type, flags and length.
    pub(super) body: &'a [u8],
    /// The whole chunk, without padding.
    pub(super) whole: &'a [u8],
}

/// The chunks of a packet behind its common header; ends at the first that is damaged.
#[derive(Debug, Clone)]
pub(super) struct Chunks<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let (&[kind, flags, high, low], _) = self.0.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let whole = self.0.get(..length)?;
        let body = whole.get(4..)?;
        // The padding of the last chunk may be missing.
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Chunk { kind, flags, body, whole })
    }
}

/// Parameters, or causes of errors, one after the other: type and value.
#[derive(Debug, Clone)]
pub(super) struct Parameters<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (head, _) = self.0.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_be_bytes([head[0], head[1]]), value))
    }
}

/// A piece of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct DataChunk<'a> {
    pub(super) tsn: u32,
    pub(super) stream: u16,
    /// The stream sequence number of DATA, or the message identifier of I-DATA.
    pub(super) message: u32,
    /// The number of the piece in its message; of DATA always 0.
    pub(super) fragment: u32,
    /// There in every DATA chunk, and in the first I-DATA chunk of a message.
    pub(super) ppid: u32,
    pub(super) flags: u8,
    pub(super) payload: &'a [u8],
}

impl<'a> DataChunk<'a> {
    pub(super) fn parse(chunk: &Chunk<'a>) -> Option<Self> {
        let body = chunk.body;
        let tsn = word(body, 0)?;
        let stream = half(body, 4)?;
        let flags = chunk.flags;
        let data = if chunk.kind == kind::DATA {
            let (message, ppid) = (u32::from(half(body, 6)?), word(body, 8)?);
            Self { tsn, stream, message, fragment: 0, ppid, flags, payload: body.get(12..)? }
        } else {
            let (message, last) = (word(body, 8)?, word(body, 12)?);
            // RFC 8260 §2.1: the same place holds the payload protocol identifier of the first piece, which is number 0.
            let (ppid, fragment) = if flags & FLAG_BEGIN != 0 { (last, 0) } else { (0, last) };
            Self { tsn, stream, message, fragment, ppid, flags, payload: body.get(16..)? }
        };
        Some(data)
    }
}

pub(super) fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}
