//! RTP packets: the fixed header and its extensions (RFC 3550 §5.1, RFC 8285).

mod budget;
mod extension;
mod header;

pub use budget::{
    ABS_SEND_TIME_LENGTH, BUDGETED_DEPENDENCY_DESCRIPTOR, BUDGETED_MID, HEADER_EXTENSIONS, MAX_PACKET, MAX_PAYLOAD,
    MAX_PLAIN_PACKET, TRANSPORT_SEQUENCE_NUMBER_LENGTH,
};
pub use extension::{ExtensionWriter, extensions};
pub use header::{FIXED_HEADER_LENGTH, RtpError, RtpPacket, write_header};
