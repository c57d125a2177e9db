//! Certificates and their fingerprints (RFC 8122).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;

use crate::base64;
use crate::sdp::Fingerprint;

/// The longest that a certificate may be valid: W3C webrtc-pc §4.9.1 leaves the limit to us and asks for one; a year is
/// what browsers take.
const LONGEST_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The object identifiers of public keys (RFC 3279 §2.3, RFC 5480 §2.1).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ELLIPTIC_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Making a new one failed.
    #[error("cannot make a certificate: {0}")]
    Generate(String),
    /// The one that was given cannot be used.
    #[error("the certificate cannot be used: {problem}; {hint}")]
    Unusable {
        /// What is wrong with it.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
}

/// A certificate with its private key: W3C's `RTCCertificate`. Cheap to clone; one may serve all connections.
#[derive(Clone)]
pub struct Certificate {
    inner: Arc<Inner>,
    fingerprint: Fingerprint,
    expires: SystemTime,
}

/// Both in DER, the key as PKCS#8.
struct Inner {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
    #[cfg(feature = "openssl")]
    openssl: std::sync::OnceLock<openssl::ssl::SslContext>,
}

impl Certificate {
    /// Makes a self-signed certificate on the curve P-256, valid for a year.
    ///
    /// The one function of the core that reads the clock and the system's randomness, in the library below it; its cost
    /// is about a millisecond.
    ///
    /// # Errors
    /// [`CertificateError::Generate`] if the system has no randomness.
    pub fn generate() -> Result<Self, CertificateError> {
        let made = dimpl::certificate::generate_self_signed_certificate();
        let certificate = made.map_err(|error| CertificateError::Generate(error.to_string()))?;
        let key = PublicKey::of(&certificate.certificate)?;
        Ok(Self::build(certificate.certificate, certificate.private_key, key.expires))
    }

    /// Makes a self-signed certificate on the curve P-256 that is valid from a day before `now`, for clocks that differ,
    /// until `lifetime` after it, at most a year: W3C's `generateCertificate` with `expires`.
    ///
    /// # Errors
    /// [`CertificateError::Generate`] if the system has no randomness.
    pub fn generate_for(now: SystemTime, lifetime: Duration) -> Result<Self, CertificateError> {
        let failed = |error: rcgen::Error| CertificateError::Generate(error.to_string());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut parameters = CertificateParams::new(Vec::new()).map_err(failed)?;
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, "WebRTC");
        let day_before = now.checked_sub(Duration::from_secs(24 * 60 * 60)).unwrap_or(now);
        // Earlier years than 1970 have another form in ASN.1.
        parameters.not_before = day_before.max(SystemTime::UNIX_EPOCH).into();
        parameters.not_after = (now + lifetime.min(LONGEST_LIFETIME)).into();
        // Firefox takes two certificates of one issuer with the same number for one.
        let mut serial = [0; 16];
        let random = aws_lc_rs::rand::fill(&mut serial);
        random.map_err(|_| CertificateError::Generate("the system has no randomness".to_owned()))?;
        parameters.serial_number = Some(serial.to_vec().into());
        let certificate = parameters.self_signed(&key).map_err(failed)?.der().to_vec();
        let expires = PublicKey::of(&certificate)?.expires;
        Ok(Self::build(certificate, key.serialize_der(), expires))
    }

    /// A certificate of the caller's, in DER, with its private key, in DER as PKCS#8 or as RFC 5915 writes it; with the
    /// feature `openssl` its key may be of any kind that OpenSSL knows, such as RSA.
    ///
    /// # Errors
    /// [`CertificateError::Unusable`] if one of the two cannot be read, the key is not on the curve P-256 or P-384 and
    /// there is no OpenSSL, or they do not belong together.
    pub fn from_der(certificate: &[u8], private_key: &[u8]) -> Result<Self, CertificateError> {
        let public = PublicKey::of(certificate)?;
        let curve = match &public.curve {
            Ok(curve) => curve,
            Err(problem) => {
                let private_key = key_of_another_kind(problem, certificate, private_key)?;
                return Ok(Self::build(certificate.to_vec(), private_key, public.expires));
            }
        };
        let algorithm = match curve {
            Curve::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
            Curve::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        };
        let pair =
            EcdsaKeyPair::from_private_key_der(algorithm, private_key).map_err(|error| CertificateError::Unusable {
                problem: format!("its private key cannot be read ({error})"),
                hint: "pass the key as PKCS#8, not encrypted, of the same curve as the certificate",
            })?;
        if pair.public_key().as_ref() != public.bytes {
            return Err(CertificateError::Unusable {
                problem: "the private key is another certificate's".to_owned(),
                hint: "pass the key that the certificate was made with",
            });
        }
        let private_key = pair.to_pkcs8v1().map_err(|_| CertificateError::Unusable {
            problem: "its private key cannot be written as PKCS#8".to_owned(),
            hint: "make the key anew",
        })?;
        Ok(Self::build(certificate.to_vec(), private_key.as_ref().to_vec(), public.expires))
    }

    /// The same from PEM: one text with a `CERTIFICATE`, of several the first, and a `PRIVATE KEY`, `EC PRIVATE KEY` or
    /// `RSA PRIVATE KEY`, in either order; what else it holds is not looked at.
    ///
    /// # Errors
    /// As [`from_der`](Self::from_der), and if one of the two is not there.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        let part = |labels: &[&str]| {
            labels.iter().find_map(|label| pem_block(text, label)).ok_or_else(|| CertificateError::Unusable {
                problem: format!("the text has no `-----BEGIN {}-----` block that can be read", labels.join("` or `")),
                hint: "pass the certificate and its private key in PEM, one behind the other; an encrypted key must be \
                       decrypted first",
            })
        };
        Self::from_der(&part(&["CERTIFICATE"])?, &part(&["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"])?)
    }

    fn build(certificate: Vec<u8>, private_key: Vec<u8>, expires: SystemTime) -> Self {
        let fingerprint = certificate_fingerprint(&certificate);
        let inner = Inner {
            certificate,
            private_key,
            #[cfg(feature = "openssl")]
            openssl: std::sync::OnceLock::new(),
        };
        Self { inner: Arc::new(inner), fingerprint, expires }
    }

    /// When it ceases to be valid: W3C's `expires`.
    pub const fn expires(&self) -> SystemTime {
        self.expires
    }

    /// Its SHA-256 fingerprint, as it stands in our descriptions; the one of W3C's `getFingerprints`.
    pub const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The certificate in DER.
    pub fn der(&self) -> &[u8] {
        &self.inner.certificate
    }

    pub(super) fn dimpl(&self) -> dimpl::DtlsCertificate {
        let Inner { certificate, private_key, .. } = &*self.inner;
        dimpl::DtlsCertificate { certificate: certificate.clone(), private_key: private_key.clone() }
    }

    /// What OpenSSL keeps for all endpoints with this certificate.
    #[cfg(feature = "openssl")]
    pub(super) fn openssl(&self) -> Result<openssl::ssl::SslContext, openssl::error::ErrorStack> {
        let Inner { certificate, private_key, openssl } = &*self.inner;
        if let Some(context) = openssl.get() {
            return Ok(context.clone());
        }
        let context = super::openssl_endpoint::context(certificate, private_key)?;
        Ok(openssl.get_or_init(|| context).clone())
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der() == other.der()
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("fingerprint", &self.fingerprint.to_string()).finish_non_exhaustive()
    }
}

/// The private key, as PKCS#8, of a certificate whose key is `problem`, which only OpenSSL can use.
#[cfg(feature = "openssl")]
fn key_of_another_kind(problem: &str, certificate: &[u8], private_key: &[u8]) -> Result<Vec<u8>, CertificateError> {
    super::openssl_endpoint::check_key(certificate, private_key).map_err(|reasons| CertificateError::Unusable {
        problem: format!("its key is {problem}, and OpenSSL says: {reasons}"),
        hint: "pass the key that the certificate was made with, not encrypted; RSA needs 1,024 bits at least",
    })
}

#[cfg(not(feature = "openssl"))]
fn key_of_another_kind(problem: &str, _certificate: &[u8], _private_key: &[u8]) -> Result<Vec<u8>, CertificateError> {
    Err(CertificateError::Unusable {
        problem: format!("its key is {problem}"),
        hint: "build rtcast with its feature `openssl`, or make a certificate on the curve P-256, such as by `openssl req \
               -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes`",
    })
}

/// The curves that peers may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
}

/// What a certificate says of its key.
struct PublicKey {
    /// Its curve, or what it is instead.
    curve: Result<Curve, String>,
    bytes: Vec<u8>,
    expires: SystemTime,
}

impl PublicKey {
    fn of(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = x509_cert::Certificate::from_der(der).map_err(|error| CertificateError::Unusable {
            problem: format!("it is no X.509 certificate in DER ({error})"),
            hint: "pass one certificate, in DER or PEM, without others around it",
        })?;
        let body = certificate.tbs_certificate();
        let key = body.subject_public_key_info();
        let curve = key.algorithm.parameters.as_ref().and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
        let curve = match (key.algorithm.oid, curve) {
            (ELLIPTIC_CURVE, Some(P256)) => Ok(Curve::P256),
            (ELLIPTIC_CURVE, Some(P384)) => Ok(Curve::P384),
            (ELLIPTIC_CURVE, curve) => {
                Err(format!("on the curve {}", curve.map_or_else(|| "of its own".to_owned(), |oid| oid.to_string())))
            }
            (RSA, _) => Err("RSA".to_owned()),
            (other, _) => Err(format!("of the algorithm {other}")),
        };
        let bytes = key.subject_public_key.raw_bytes().to_vec();
        Ok(Self { curve, bytes, expires: SystemTime::UNIX_EPOCH + body.validity().not_after.to_unix_duration() })
    }
}

/// What the key of a certificate is, if it is none that can be used without OpenSSL.
pub(super) fn unusable_key(der: &[u8]) -> Option<String> {
    PublicKey::of(der).ok()?.curve.err()
}

/// The bytes of the first block of that label.
fn pem_block(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    base64::decode(body)
}

/// The SHA-256 fingerprint of a certificate in DER.
pub(crate) fn certificate_fingerprint(der: &[u8]) -> Fingerprint {
    Fingerprint { algorithm: HashFunction::Sha256.name().to_owned(), value: HashFunction::Sha256.digest(der) }
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

    const RSA_PEM: &str = include_str!("../../tests/fixtures/rsa_certificate.pem");
    const P224_PEM: &str = include_str!("../../tests/fixtures/secp224r1_certificate.pem");

    fn noon() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000)
    }

    #[test]
    fn a_certificate_lives_as_long_as_it_was_asked_to_and_a_year_at_most() {
        let month = Duration::from_secs(30 * 24 * 60 * 60);
        assert_eq!(Certificate::generate_for(noon(), month).unwrap().expires(), noon() + month);
        assert_eq!(Certificate::generate_for(noon(), Duration::MAX).unwrap().expires(), noon() + LONGEST_LIFETIME);
        assert_ne!(Certificate::generate_for(noon(), month), Certificate::generate_for(noon(), month));
    }

    #[test]
    fn a_certificate_comes_back_from_der_and_pem() {
        let made = Certificate::generate_for(noon(), Duration::from_secs(1_000)).unwrap();
        let (der, key) = (&made.inner.certificate, &made.inner.private_key);
        assert_eq!(Certificate::from_der(der, key).unwrap(), made);
        let block = |label: &str, der: &[u8]| {
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", base64::encode(der))
        };
        let pem = format!("{}{}", block("PRIVATE KEY", key), block("CERTIFICATE", der));
        let read = Certificate::from_pem(&pem).unwrap();
        assert_eq!((read.fingerprint(), read.expires()), (made.fingerprint(), made.expires()));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let (one, other) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
        let says = |result: Result<Certificate, CertificateError>, part: &str| {
            let text = result.unwrap_err().to_string();
            assert!(text.contains(part), "{part:?} is not in: {text}");
        };
        says(Certificate::from_der(&one.inner.certificate, &other.inner.private_key), "another certificate's");
        says(Certificate::from_der(&one.inner.certificate, b"x"), "private key cannot be read");
        says(Certificate::from_der(b"x", &one.inner.private_key), "no X.509 certificate");
        says(Certificate::from_pem("x"), "no `-----BEGIN CERTIFICATE-----`");
        for (text, part) in [(RSA_PEM, "its key is RSA"), (P224_PEM, "on the curve 1.3.132.0.33")] {
            let der = pem_block(text, "CERTIFICATE").unwrap();
            assert!(unusable_key(&der).is_some_and(|key| part.ends_with(&key)));
            #[cfg(not(feature = "openssl"))]
            {
                says(Certificate::from_pem(text), part);
                says(Certificate::from_pem(text), "feature `openssl`");
            }
            #[cfg(feature = "openssl")]
            {
                assert_eq!(Certificate::from_pem(text).unwrap().der(), der);
                says(Certificate::from_der(&der, &one.inner.private_key), part);
                says(Certificate::from_der(&der, b"x"), "OpenSSL says");
            }
        }
        assert_eq!(unusable_key(one.der()), None);
        let p384 = include_str!("../../tests/fixtures/secp384r1_certificate.pem");
        assert_eq!(Certificate::from_pem(p384).unwrap().fingerprint().value.len(), 32);
        assert_eq!(unusable_key(&pem_block(p384, "CERTIFICATE").unwrap()), None);
    }

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
