//! SRTP and SRTCP: RFC 3711 with the profiles of RFC 5764 and RFC 7714.
//!
//! A [`SrtpSession`] holds the keys of both directions, made from the keying material that DTLS exports. Sending needs no
//! state here: the caller numbers its packets with 48 bits and must never use a number twice for one SSRC with different
//! contents. Receiving keeps, per SSRC, the highest index and a replay window of 1,024 packets.

mod cipher;
mod derivation;
mod profile;
mod replay;
mod session;

pub use profile::SrtpProfile;
pub use session::{SrtpError, SrtpSession};
