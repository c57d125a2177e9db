//! The endpoint built on the `dimpl` crate, in our copy of it, which knows RSA.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dimpl::{Config, CryptoError, Dtls, Output, ProtocolVersion, SecurityError};

use super::public_key::{key_words, unusable_key};
use super::{Certificate, DtlsEndpoint, DtlsError, DtlsOutput, DtlsRole, DtlsVersion, WHAT_OPENSSL_DOES};
use crate::srtp::SrtpProfile;

/// Handshake datagrams stay below this, so that they pass every path that carries IPv6.
const MTU: usize = 1_150;

/// The first retransmission of a lost flight; the library's default of a second is what a viewer would wait.
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(100);

/// How long a handshake may take. The time between retransmissions doubles, so that a flight is sent ten times until then: a
/// short network failure must not end what it only delays, nor bad luck on a network that loses a fifth of all.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(60);

/// How often a flight is sent again at most. What the peer's duplicates bring forth counts as well, so there are some more
/// than fit into the time.
const RETRANSMISSIONS: usize = 16;

/// RFC 5246 §7.2: what is said, here and by peers, where the two have nothing in common, or one cannot use the other's key.
const HANDSHAKE_FAILURE: u8 = 40;
const UNSUPPORTED_CERTIFICATE: u8 = 43;

/// A DTLS endpoint on the `dimpl` crate.
pub struct DimplEndpoint {
    dtls: Dtls,
    /// Ours.
    certificate: Certificate,
    /// Whether the peer is to be told if this fails: not once it is connected, nor if it has told us.
    tells: bool,
}

impl DimplEndpoint {
    /// An endpoint of that role.
    ///
    /// # Errors
    /// [`DtlsError`] if the library refuses its configuration, or the certificate has a key that it does not know.
    pub fn new(
        role: DtlsRole,
        version: DtlsVersion,
        certificate: &Certificate,
        now: Instant,
    ) -> Result<Self, DtlsError> {
        if let Some(key) = unusable_key(certificate.der()) {
            let reason = format!(
                "our certificate has a key {key}, which only DTLS 1.2 on OpenSSL can use; take another version of DTLS, or \
                 a certificate on the curve P-256 or with RSA of 2,048 to 8,192 bits"
            );
            return Err(DtlsError { reason });
        }
        let (config, ours) = (config()?, certificate.dimpl());
        let mut dtls = match version {
            DtlsVersion::Auto => Dtls::new_auto(config, ours, now),
            DtlsVersion::V1_2 => Dtls::new_12(config, ours, now),
            DtlsVersion::V1_3 => Dtls::new_13(config, ours, now),
        };
        dtls.set_active(role == DtlsRole::Client);
        Ok(Self { dtls, certificate: certificate.clone(), tells: true })
    }

    /// The error with what there is to know of the two certificates, if it may come from them.
    fn failed(&mut self, error: &dimpl::Error) -> DtlsError {
        if matches!(error, dimpl::Error::SecurityError(SecurityError::FatalAlert { .. })) {
            self.tells = false;
        }
        if let Some(refused) = self.dtls.peer_certificate().and_then(|der| self.check_peer_certificate(der).err()) {
            return refused;
        }
        let hint = match disagreement(error) {
            Some(Disagreement::OnOurs) => {
                let ours = key_words(self.certificate.der()).unwrap_or_default();
                format!(
                    "; our certificate has a key {ours}, which the peer seems not to take: if it knows RSA only, give this \
                     side such a certificate, as `Certificate::generate_with` makes; if its own key is neither on P-256 \
                     or P-384 nor RSA of 2,048 to 8,192 bits, give it such a one, or {WHAT_OPENSSL_DOES}"
                )
            }
            Some(Disagreement::OnThePeers) => {
                let key = self.dtls.peer_certificate().and_then(key_words);
                let key = key.map_or_else(|| "that cannot be read".to_owned(), |key| format!("with a key {key}"));
                format!("; the peer's certificate is one {key}")
            }
            // RFC 5246 §7.4.6: whoever has none of the kinds that were asked for sends none.
            Some(Disagreement::Withheld) => format!(
                "; it may have one of another kind than those that are supported, P-256, P-384 and RSA of 2,048 to 8,192 \
                 bits: give the peer a certificate with such a key, or {WHAT_OPENSSL_DOES}"
            ),
            None => String::new(),
        };
        DtlsError { reason: format!("{error}{hint}") }
    }
}

impl DtlsEndpoint for DimplEndpoint {
    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsError> {
        let result = self.dtls.handle_packet(packet);
        result.map_err(|error| self.failed(&error))
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        let result = self.dtls.handle_timeout(now);
        result.map_err(|error| self.failed(&error))
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        match self.dtls.poll_output(buffer) {
            Output::Packet(packet) => DtlsOutput::Packet(packet),
            Output::Timeout(at) => DtlsOutput::Timeout(at),
            Output::Connected => {
                self.tells = false;
                DtlsOutput::Connected
            }
            // What comes with the event is nothing if the buffer is too small for it.
            Output::PeerCert(_) => {
                DtlsOutput::PeerCertificate(self.dtls.peer_certificate().unwrap_or_default().to_vec())
            }
            Output::KeyingMaterial(material, profile) => match srtp_profile(profile) {
                Some(profile) => DtlsOutput::KeyingMaterial(material.to_vec(), profile),
                None => DtlsOutput::Other,
            },
            Output::ApplicationData(data) => DtlsOutput::ApplicationData(data),
            Output::CloseNotify => DtlsOutput::CloseNotify,
            _ => DtlsOutput::Other,
        }
    }

    fn send(&mut self, data: &[u8]) -> Result<(), DtlsError> {
        let result = self.dtls.send_application_data(data);
        result.map(|_| ()).map_err(|error| self.failed(&error))
    }

    fn close(&mut self) {
        // An association that already failed has nobody to say goodbye to.
        let _ = self.dtls.close();
    }

    fn check_peer_certificate(&self, certificate: &[u8]) -> Result<(), DtlsError> {
        let Some(key) = unusable_key(certificate) else { return Ok(()) };
        let reason = format!(
            "the peer's certificate has a key {key}, and only the curves P-256 and P-384 and RSA of 2,048 to 8,192 bits are \
             supported; give the peer a certificate with such a key, or {WHAT_OPENSSL_DOES}"
        );
        Err(DtlsError { reason })
    }

    fn poll_alert(&mut self) -> Option<Vec<u8>> {
        /// RFC 6347 §4.1: an alert that is not encrypted, of DTLS 1.2, in epoch 0. Its number is beyond what a handshake
        /// comes to, so that no peer takes it for a replay.
        const RECORD: [u8; 14] = [21, 254, 253, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, FATAL];
        const FATAL: u8 = 2;
        // RFC 9147 §4: in DTLS 1.3 it would have to be encrypted.
        if !std::mem::take(&mut self.tells) || self.dtls.protocol_version() == Some(ProtocolVersion::DTLS1_3) {
            return None;
        }
        let unusable = self.dtls.peer_certificate().is_some_and(|der| self.check_peer_certificate(der).is_err());
        let description = if unusable { UNSUPPORTED_CERTIFICATE } else { HANDSHAKE_FAILURE };
        Some([&RECORD[..], &[description]].concat())
    }

    fn version(&self) -> Option<&'static str> {
        Some(match self.dtls.protocol_version()? {
            ProtocolVersion::DTLS1_2 => "DTLS 1.2",
            ProtocolVersion::DTLS1_3 => "DTLS 1.3",
            _ => return None,
        })
    }
}

/// The configuration that all endpoints share: to build one, the library tries its cryptography on every curve, which takes
/// more time than a handshake.
fn config() -> Result<Arc<Config>, DtlsError> {
    static CONFIG: OnceLock<Arc<Config>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    // ICE has proven that the peer owns its address, so the server's cookie would only cost a round trip.
    let config = Config::builder()
        .mtu(MTU)
        .use_server_cookie(false)
        .flight_start_rto(FIRST_RETRANSMISSION)
        .flight_retries(RETRANSMISSIONS)
        .handshake_timeout(HANDSHAKE_PATIENCE)
        .build()
        .map_err(|error| DtlsError { reason: error.to_string() })?;
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}

const fn srtp_profile(profile: dimpl::SrtpProfile) -> Option<SrtpProfile> {
    match profile {
        dimpl::SrtpProfile::AEAD_AES_128_GCM => Some(SrtpProfile::AeadAes128Gcm),
        dimpl::SrtpProfile::AEAD_AES_256_GCM => Some(SrtpProfile::AeadAes256Gcm),
        dimpl::SrtpProfile::AES128_CM_SHA1_80 => Some(SrtpProfile::Aes128CmSha1_80),
        _ => None,
    }
}

/// Whose certificate the two ends disagree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disagreement {
    OnOurs,
    OnThePeers,
    Withheld,
}

/// What an error says of certificates, `None` if nothing.
fn disagreement(error: &dimpl::Error) -> Option<Disagreement> {
    match error {
        dimpl::Error::SecurityError(
            SecurityError::FatalAlert { description: HANDSHAKE_FAILURE | UNSUPPORTED_CERTIFICATE }
            | SecurityError::NoMutuallyAcceptableCipherSuite
            | SecurityError::NoCommonCipherSuite
            | SecurityError::NoCommonKeyExchangeGroup
            | SecurityError::UnsupportedKeyExchangeAlgorithm,
        )
        | dimpl::Error::CertificateError(dimpl::CertificateError::UnsupportedHashAlgorithm(_)) => {
            Some(Disagreement::OnOurs)
        }
        dimpl::Error::CertificateError(dimpl::CertificateError::NoClientCertificateReceived) => {
            Some(Disagreement::Withheld)
        }
        dimpl::Error::CertificateError(
            dimpl::CertificateError::ParseFailed
            | dimpl::CertificateError::MissingEcCurveParameter
            | dimpl::CertificateError::InvalidEcCurveParameter
            | dimpl::CertificateError::UnsupportedEcCurve
            | dimpl::CertificateError::InvalidSubjectPublicKey,
        ) => Some(Disagreement::OnThePeers),
        dimpl::Error::CryptoError(
            CryptoError::UnsupportedEcCurve
            | CryptoError::UnsupportedPublicKeyAlgorithm
            | CryptoError::UnsupportedRsaKeySize { .. }
            | CryptoError::InvalidSubjectPublicKey
            | CryptoError::CertificateParseFailed,
        ) => Some(Disagreement::OnThePeers),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
    fn endpoint() -> DimplEndpoint {
        let certificate = Certificate::generate().unwrap();
        DimplEndpoint::new(DtlsRole::Client, DtlsVersion::V1_2, &certificate, Instant::now()).unwrap()
    }

    #[test]
    fn a_peer_with_a_certificate_that_does_not_fit_is_told_what_would() {
        let refused = endpoint().failed(&SecurityError::FatalAlert { description: 40 }.into());
        let parts = ["a key on the curve P-256", "RSA", "openssl"];
        assert!(parts.iter().all(|part| refused.reason.contains(part)), "{refused}");
        let other = endpoint().failed(&SecurityError::FatalAlert { description: 10 }.into());
        assert!(!other.reason.contains("RSA"), "{other}");
        let none = endpoint().failed(&dimpl::CertificateError::NoClientCertificateReceived.into());
        assert!(none.reason.contains("RSA") && none.reason.contains("openssl"), "{none}");
        let unreadable = endpoint().failed(&CryptoError::CertificateParseFailed.into());
        assert!(unreadable.reason.contains("cannot be read"), "{unreadable}");
    }
}
