//! STUN messages, read in place and written (RFC 8489).
//!
//! Ours and not the crate `stun-types`, by which the TURN client reads: that one looks at all attributes, reckons the checksum
//! and writes to the log before it says anything of a message. Here the first reader only looks for the connection that a
//! stranger's datagram may be for, and each check of a settled pair is read once more, whose code says all that the
//! checksum could.

mod reader;
mod writer;

pub(crate) use reader::{Attribute, Message, xor_address};
#[cfg(test)]
pub(crate) use writer::fingerprint;
pub(crate) use writer::{begin, finish, keyed, push_attribute, push_xor_address};

/// The magic cookie (RFC 8489 §5).
pub(crate) const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// The head of a message: its type, the length of its attributes, the cookie and the transaction (RFC 8489 §5).
pub(crate) const HEAD_LENGTH: usize = 20;

/// The types of a binding request and of the responses to it.
pub(crate) const REQUEST: [u8; 2] = [0x00, 0x01];
pub(crate) const SUCCESS: [u8; 2] = [0x01, 0x01];
pub(crate) const ERROR: [u8; 2] = [0x01, 0x11];

/// The types of attributes (RFC 8489 §18.3, RFC 8445 §16.1).
pub(crate) const MAPPED_ADDRESS: u16 = 0x0001;
pub(crate) const USERNAME: u16 = 0x0006;
pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;
pub(crate) const ERROR_CODE: u16 = 0x0009;
pub(crate) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
pub(crate) const PRIORITY: u16 = 0x0024;
pub(crate) const USE_CANDIDATE: u16 = 0x0025;
pub(crate) const FINGERPRINT: u16 = 0x8028;
pub(crate) const ICE_CONTROLLED: u16 = 0x8029;
pub(crate) const ICE_CONTROLLING: u16 = 0x802a;

/// Names a request, and the response to it.
pub(crate) type Transaction = [u8; 12];
