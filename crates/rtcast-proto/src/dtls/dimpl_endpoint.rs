//! The endpoint built on the `dimpl` crate.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dimpl::{Config, CryptoError, Dtls, Output, ProtocolVersion, SecurityError};

use super::certificate::unusable_key;
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

/// A DTLS endpoint on the `dimpl` crate.
pub struct DimplEndpoint {
    dtls: Dtls,
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
                 a certificate on the curve P-256"
            );
            return Err(DtlsError { reason });
        }
        let (config, certificate) = (config()?, certificate.dimpl());
        let mut dtls = match version {
            DtlsVersion::Auto => Dtls::new_auto(config, certificate, now),
            DtlsVersion::V1_2 => Dtls::new_12(config, certificate, now),
            DtlsVersion::V1_3 => Dtls::new_13(config, certificate, now),
        };
        dtls.set_active(role == DtlsRole::Client);
        Ok(Self { dtls })
    }
}

impl DtlsEndpoint for DimplEndpoint {
    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsError> {
        self.dtls.handle_packet(packet).map_err(|error| failed(&error))
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        self.dtls.handle_timeout(now).map_err(|error| failed(&error))
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        match self.dtls.poll_output(buffer) {
            Output::Packet(packet) => DtlsOutput::Packet(packet),
            Output::Timeout(at) => DtlsOutput::Timeout(at),
            Output::Connected => DtlsOutput::Connected,
            Output::PeerCert(certificate) => DtlsOutput::PeerCertificate(certificate.to_vec()),
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
        self.dtls.send_application_data(data).map(|_| ()).map_err(|error| failed(&error))
    }

    fn close(&mut self) {
        // An association that already failed has nobody to say goodbye to.
        let _ = self.dtls.close();
    }

    fn check_peer_certificate(&self, certificate: &[u8]) -> Result<(), DtlsError> {
        let Some(key) = unusable_key(certificate) else { return Ok(()) };
        let reason = format!(
            "the peer's certificate has a key {key}, and only the curves P-256 and P-384 are supported; give the peer a \
             certificate on P-256, or {WHAT_OPENSSL_DOES}"
        );
        Err(DtlsError { reason })
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
        .map_err(|error| failed(&error))?;
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

fn failed(error: &dimpl::Error) -> DtlsError {
    // RFC 5246 §7.2: what peers say, and the library, when they have nothing in common with our ECDSA.
    const HANDSHAKE_FAILURE: u8 = 40;
    const UNSUPPORTED_CERTIFICATE: u8 = 43;
    let unsuitable = match error {
        dimpl::Error::SecurityError(error) => matches!(
            error,
            SecurityError::FatalAlert { description: HANDSHAKE_FAILURE | UNSUPPORTED_CERTIFICATE }
                | SecurityError::NoMutuallyAcceptableCipherSuite
                | SecurityError::NoCommonCipherSuite
                | SecurityError::NoCommonKeyExchangeGroup
                | SecurityError::UnsupportedKeyExchangeAlgorithm
        ),
        dimpl::Error::CertificateError(_) => true,
        dimpl::Error::CryptoError(error) => {
            matches!(error, CryptoError::UnsupportedEcCurve | CryptoError::UnsupportedPublicKeyAlgorithm)
        }
        _ => false,
    };
    let hint = if unsuitable {
        format!(
            "; if the peer's certificate has an RSA key or is on another curve than P-256 and P-384, as those of some \
             cameras and servers, give the peer one on P-256, or {WHAT_OPENSSL_DOES}"
        )
    } else {
        String::new()
    };
    DtlsError { reason: format!("{error}{hint}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_with_a_certificate_that_does_not_fit_is_told_what_would() {
        let refused = failed(&SecurityError::FatalAlert { description: 40 }.into());
        assert!(["RSA", "P-256", "openssl"].iter().all(|part| refused.reason.contains(part)), "{refused}");
        let refuses = failed(&CryptoError::UnsupportedEcCurve.into());
        assert!(refuses.reason.contains("openssl"), "{refuses}");
        let other = failed(&SecurityError::FatalAlert { description: 10 }.into());
        assert!(!other.reason.contains("RSA"), "{other}");
    }
}
