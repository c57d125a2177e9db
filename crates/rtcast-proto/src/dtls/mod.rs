//! DTLS behind a trait, so that another implementation can stand in (RFC 6347, RFC 9147, RFC 5764).

mod certificate;
mod dimpl_endpoint;

pub use certificate::{Certificate, CertificateError};
pub(crate) use certificate::{certificate_fingerprint, fingerprint_matches, unusable_key};
pub use dimpl_endpoint::DimplEndpoint;

use std::time::Instant;

pub use crate::jsep::DtlsRole;
use crate::srtp::SrtpProfile;

/// Which versions of DTLS to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtlsVersion {
    /// 1.3 where the peer can, else 1.2.
    #[default]
    Auto,
    /// 1.2 only.
    V1_2,
    /// 1.3 only.
    V1_3,
}

/// A failed association; it cannot be used again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("DTLS failed: {reason}")]
pub struct DtlsError {
    /// What the implementation says.
    pub reason: String,
}

/// What an endpoint wants done.
#[derive(Debug)]
pub enum DtlsOutput<'a> {
    /// Send this datagram.
    Packet(&'a [u8]),
    /// Nothing more to do until then, or until a packet comes.
    Timeout(Instant),
    /// The handshake is complete.
    Connected,
    /// The peer's certificate in DER; the caller compares its fingerprint.
    PeerCertificate(&'a [u8]),
    /// The exported keys for SRTP.
    KeyingMaterial(Vec<u8>, SrtpProfile),
    /// Decrypted data.
    ApplicationData(&'a [u8]),
    /// The peer ended the association.
    CloseNotify,
    /// Nothing for the caller; poll again.
    Other,
}

/// One end of a DTLS association, driven without I/O.
///
/// After each call of another method, [`poll_output`](Self::poll_output) is called until it yields
/// [`DtlsOutput::Timeout`], but not before there is somewhere to send: the first poll starts the handshake's clock.
pub trait DtlsEndpoint: Send {
    /// Takes a datagram. Call [`handle_timeout`](Self::handle_timeout) first.
    ///
    /// # Errors
    /// [`DtlsError`] ends the association.
    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsError>;

    /// Tells the time.
    ///
    /// # Errors
    /// [`DtlsError`] ends the association.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError>;

    /// The next thing to do; `buffer` takes the bytes and must hold a datagram of the path's MTU.
    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a>;

    /// Encrypts and queues data.
    ///
    /// # Errors
    /// [`DtlsError`] ends the association.
    fn send(&mut self, data: &[u8]) -> Result<(), DtlsError>;

    /// Queues the closing alert.
    fn close(&mut self);

    /// The version in use once it is known, such as `DTLS 1.2`.
    fn version(&self) -> Option<&'static str>;
}
