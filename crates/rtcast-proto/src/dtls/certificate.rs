//! Certificates and their fingerprints (RFC 8122).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RsaKeyPair,
};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_RSA_SHA256, RsaKeySize,
};

use super::public_key::{Curve, Key, PublicKey};
use crate::base64;
use crate::sdp::Fingerprint;

/// The longest that a certificate may be valid: W3C webrtc-pc §4.9.1 leaves the limit to us and asks for one; a year is
/// what browsers take.
const LONGEST_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

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

/// The key that a new certificate gets: the `keygenAlgorithm` of W3C's `generateCertificate` (webrtc-pc §4.9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// ECDSA on the curve P-256, which every peer knows and which is the quickest.
    #[default]
    EcdsaP256,
    /// ECDSA on the curve P-384.
    EcdsaP384,
    /// RSASSA-PKCS1-v1_5 with 2,048 bits, the exponent 65,537 and SHA-256, for peers that know nothing else. Making such a
    /// key takes from tenths of a second to seconds, signing with it a millisecond for each handshake.
    Rsa2048,
    /// The same with 3,072 bits.
    Rsa3072,
    /// The same with 4,096 bits.
    Rsa4096,
}

/// A certificate with its private key: W3C's `RTCCertificate`. Cheap to clone; one may serve all connections.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use rtcast_proto::dtls::Certificate;
///
/// let now = SystemTime::now();
/// let certificate = Certificate::generate_for(now, Duration::from_secs(24 * 60 * 60))?;
/// assert!(certificate.expires() > now);
/// assert!(certificate.fingerprint().to_string().starts_with("sha-256 "));
/// # Ok::<(), rtcast_proto::dtls::CertificateError>(())
/// ```
#[derive(Clone)]
pub struct Certificate {
    inner: Arc<Inner>,
    fingerprint: Fingerprint,
    expires: SystemTime,
}

/// Both in DER, the key as PKCS#8 or, if it is one of RSA that came so, as PKCS#1.
struct Inner {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
    #[cfg(feature = "openssl")]
    openssl: std::sync::OnceLock<openssl::ssl::SslContext>,
}

impl Certificate {
    /// Makes a self-signed certificate on the curve P-256, valid for a year.
    ///
    /// With the others that make one, all that the core reads of the clock and of the system's randomness, in the library
    /// below it. It costs about a millisecond.
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
        Self::generate_with(KeyAlgorithm::default(), now, lifetime)
    }

    /// The same with a key of another kind: W3C's `generateCertificate`.
    ///
    /// # Errors
    /// [`CertificateError::Generate`] if the system has no randomness.
    pub fn generate_with(
        algorithm: KeyAlgorithm,
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<Self, CertificateError> {
        let failed = |error: rcgen::Error| CertificateError::Generate(error.to_string());
        let key = match algorithm {
            KeyAlgorithm::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyAlgorithm::EcdsaP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            KeyAlgorithm::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            KeyAlgorithm::Rsa3072 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
            KeyAlgorithm::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
        };
        let key = key.map_err(failed)?;
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

    /// A certificate of the caller's, in DER, with its private key, in DER as PKCS#8 or as RFC 5915 or, for RSA, RFC 8017
    /// writes it. Its key is on the curve P-256 or P-384, or one of RSA with 2,048 to 8,192 bits; with the feature `openssl`
    /// it may be of any kind that OpenSSL knows.
    ///
    /// # Errors
    /// [`CertificateError::Unusable`] if one of the two cannot be read, the key is of another kind and there is no OpenSSL,
    /// or they do not belong together.
    pub fn from_der(certificate: &[u8], private_key: &[u8]) -> Result<Self, CertificateError> {
        let public = PublicKey::of(certificate)?;
        let build = |private_key| Self::build(certificate.to_vec(), private_key, public.expires);
        if let Some(problem) = public.key.unusable() {
            return key_of_another_kind(&problem, certificate, private_key).map(build);
        }
        let curve = match public.key {
            Key::EllipticCurve(Curve::P256) => &ECDSA_P256_SHA256_ASN1_SIGNING,
            Key::EllipticCurve(Curve::P384) => &ECDSA_P384_SHA384_ASN1_SIGNING,
            Key::Rsa { .. } | Key::Other(_) => {
                let pair = RsaKeyPair::from_pkcs8(private_key).or_else(|_| RsaKeyPair::from_der(private_key));
                let pair = pair.map_err(|error| unreadable_key(&error))?;
                belongs(pair.public_key().as_ref(), &public)?;
                return Ok(build(private_key.to_vec()));
            }
        };
        let pair = EcdsaKeyPair::from_private_key_der(curve, private_key).map_err(|error| unreadable_key(&error))?;
        belongs(pair.public_key().as_ref(), &public)?;
        let private_key = pair.to_pkcs8v1().map_err(|_| CertificateError::Unusable {
            problem: "its private key cannot be written as PKCS#8".to_owned(),
            hint: "make the key anew",
        })?;
        Ok(build(private_key.as_ref().to_vec()))
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

fn unreadable_key(error: &aws_lc_rs::error::KeyRejected) -> CertificateError {
    CertificateError::Unusable {
        problem: format!("its private key cannot be read ({error})"),
        hint: "pass the key as PKCS#8, not encrypted, of the same kind as the certificate's",
    }
}

/// Whether the private key, to which this public one belongs, is the certificate's.
fn belongs(public_key: &[u8], certificate: &PublicKey) -> Result<(), CertificateError> {
    if public_key == certificate.bytes {
        return Ok(());
    }
    Err(CertificateError::Unusable {
        problem: "the private key is another certificate's".to_owned(),
        hint: "pass the key that the certificate was made with",
    })
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
        hint: "make a certificate on the curve P-256, such as by `openssl req -x509 -newkey ec -pkeyopt \
               ec_paramgen_curve:P-256 -nodes`, or with RSA of 2,048 to 8,192 bits; or build rtcast with its feature \
               `openssl`",
    })
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

    use super::super::public_key::unusable_key;

    const RSA_PEM: &str = include_str!("../../tests/fixtures/rsa_certificate.pem");
    const RSA_1024_PEM: &str = include_str!("../../tests/fixtures/rsa_1024_certificate.pem");
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
    fn a_certificate_gets_the_key_that_it_was_asked_to() {
        for (algorithm, key) in [
            (KeyAlgorithm::EcdsaP256, "on the curve P-256"),
            (KeyAlgorithm::EcdsaP384, "on the curve P-384"),
            (KeyAlgorithm::Rsa2048, "RSA of 2048 bits"),
        ] {
            let made = Certificate::generate_with(algorithm, noon(), Duration::from_secs(1_000)).unwrap();
            assert_eq!(PublicKey::of(made.der()).unwrap().key.to_string(), key);
            assert_eq!(Certificate::from_der(made.der(), &made.inner.private_key).unwrap(), made);
        }
        // Both forms that OpenSSL writes.
        let key = pem_block(RSA_PEM, "PRIVATE KEY").unwrap();
        let pkcs1 = pem_block(include_str!("../../tests/fixtures/rsa_pkcs1_key.pem"), "RSA PRIVATE KEY").unwrap();
        let rsa = pem_block(RSA_PEM, "CERTIFICATE").unwrap();
        for key in [key, pkcs1] {
            assert_eq!(Certificate::from_der(&rsa, &key).unwrap().der(), rsa);
        }
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
        for (text, part) in [(RSA_1024_PEM, "its key is RSA of 1024 bits"), (P224_PEM, "on the curve P-224")] {
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
        let rsa = pem_block(RSA_PEM, "CERTIFICATE").unwrap();
        assert_eq!(unusable_key(&rsa), None);
        says(Certificate::from_der(&rsa, &one.inner.private_key), "private key cannot be read");
        let other = Certificate::generate_with(KeyAlgorithm::Rsa2048, noon(), LONGEST_LIFETIME).unwrap();
        says(Certificate::from_der(&rsa, &other.inner.private_key), "another certificate's");
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
