//! RTP packets: the fixed header and its extensions (RFC 3550 §5.1, RFC 8285).

mod extension;
mod header;

pub use extension::{ExtensionWriter, extensions};
pub use header::{FIXED_HEADER_LENGTH, RtpError, RtpPacket, write_header};
