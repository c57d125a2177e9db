//! DTLS behind a trait, so that another implementation can stand in (RFC 6347, RFC 9147, RFC 5764).

mod certificate;
mod dimpl_endpoint;
#[cfg(feature = "openssl")]
mod openssl_endpoint;
mod public_key;

pub use certificate::{Certificate, CertificateError, KeyAlgorithm};
pub(crate) use certificate::{certificate_fingerprint, fingerprint_matches};
pub use dimpl_endpoint::DimplEndpoint;
#[cfg(feature = "openssl")]
pub use openssl_endpoint::OpenSslEndpoint;

use std::time::Instant;

use crate::srtp::SrtpProfile;

/// What errors advise where a key is of a kind that the default implementation does not know.
#[cfg(not(feature = "openssl"))]
const WHAT_OPENSSL_DOES: &str = "build rtcast with its feature `openssl`, which takes any key";
#[cfg(feature = "openssl")]
const WHAT_OPENSSL_DOES: &str = "let DTLS 1.2 be spoken, which is OpenSSL's here (feature `openssl`) and takes any key";

/// Which side of DTLS we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DtlsRole {
    /// We send the ClientHello.
    Client,
    /// We wait for it.
    Server,
}

/// Which versions of DTLS to speak.
///
/// With the feature `openssl`, DTLS 1.2 is OpenSSL's, and so is `Auto`: whether the peer's certificate asks for it comes
/// out only in the handshake, when it is too late for another implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtlsVersion {
    /// 1.3 where the peer can, else 1.2; always 1.2 with the feature `openssl`.
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
    /// The peer's certificate in DER; the caller compares its fingerprint, and asks
    /// [`check_peer_certificate`](DtlsEndpoint::check_peer_certificate).
    PeerCertificate(Vec<u8>),
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

    /// Whether keys of that kind, on both sides, lead to an association; the answer of whoever takes any key is yes.
    ///
    /// # Errors
    /// [`DtlsError`] if not, with what to do.
    fn check_peer_certificate(&self, _certificate: &[u8]) -> Result<(), DtlsError> {
        Ok(())
    }

    /// After a failure, and nothing else is then called: a datagram that tells the peer, `None` if there is no further.
    fn poll_alert(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// The version in use once it is known, such as `DTLS 1.2`.
    fn version(&self) -> Option<&'static str>;
}

/// The endpoint for these versions.
///
/// # Errors
/// [`DtlsError`] if the implementation cannot use the certificate.
pub(crate) fn endpoint(
    role: DtlsRole,
    version: DtlsVersion,
    certificate: &Certificate,
    now: Instant,
) -> Result<Box<dyn DtlsEndpoint>, DtlsError> {
    #[cfg(feature = "openssl")]
    if version != DtlsVersion::V1_3 {
        return Ok(Box::new(OpenSslEndpoint::new(role, certificate, now)?));
    }
    Ok(Box::new(DimplEndpoint::new(role, version, certificate, now)?))
}
