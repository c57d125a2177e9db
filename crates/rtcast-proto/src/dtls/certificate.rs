//! Certificates and their fingerprints (RFC 8122).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;

use crate::sdp::Fingerprint;

/// Making a certificate failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot make a certificate: {0}")]
pub struct CertificateError(String);

/// A certificate with its private key: W3C's `RTCCertificate`. Cheap to clone; one may serve all connections.
#[derive(Clone)]
pub struct Certificate {
    inner: Arc<dimpl::DtlsCertificate>,
    fingerprint: Fingerprint,
}

impl Certificate {
    /// Makes a self-signed certificate on the curve P-256, valid for a year.
    ///
    /// The one function of the core that reads the clock and the system's randomness, in the library below it; its cost
    /// is about a millisecond.
    ///
    /// # Errors
    /// [`CertificateError`] if the system has no randomness.
    pub fn generate() -> Result<Self, CertificateError> {
        let certificate = dimpl::certificate::generate_self_signed_certificate()
            .map_err(|error| CertificateError(error.to_string()))?;
        let fingerprint = Fingerprint {
            algorithm: HashFunction::Sha256.name().to_owned(),
            value: HashFunction::Sha256.digest(&certificate.certificate),
        };
        Ok(Self { inner: Arc::new(certificate), fingerprint })
    }

    /// Its SHA-256 fingerprint, as it stands in our descriptions.
    pub const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    pub(super) fn dimpl(&self) -> dimpl::DtlsCertificate {
        dimpl::DtlsCertificate::clone(&self.inner)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("fingerprint", &self.fingerprint.to_string()).finish_non_exhaustive()
    }
}

/// A hash function that fingerprints may use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HashFunction {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl HashFunction {
    const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }
}

/// Whether a certificate in DER has this fingerprint; `None` if the hash function is not known here (RFC 8122 §5).
pub(crate) fn fingerprint_matches(fingerprint: &Fingerprint, certificate: &[u8]) -> Option<bool> {
    let function = HashFunction::ALL.into_iter().find(|function| function.name() == fingerprint.algorithm)?;
    Some(function.digest(certificate) == fingerprint.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_matches_its_own_fingerprint_only() {
        let (one, other) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
        let der = &one.inner.certificate;
        assert_eq!(fingerprint_matches(one.fingerprint(), der), Some(true));
        assert_eq!(fingerprint_matches(other.fingerprint(), der), Some(false));
        let unknown = Fingerprint { algorithm: "md5".to_owned(), value: vec![1] };
        assert_eq!(fingerprint_matches(&unknown, der), None);
    }
}
