//! What a certificate says of its key (RFC 5280 §4.1.2.7).

use std::fmt;
use std::ops::RangeInclusive;
use std::time::SystemTime;

use x509_cert::der::Decode;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};

use super::CertificateError;

/// The object identifiers of public keys (RFC 3279 §2.3, RFC 5480 §2.1, RFC 8410 §3).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ED448: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.113");
const ELLIPTIC_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P224: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.33");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const SECP256K1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");

/// The sizes of RSA keys that can be used without OpenSSL: a shorter one can be broken, a longer one costs more time than a
/// handshake may take.
const RSA_BITS: RangeInclusive<usize> = 2_048..=8_192;

/// The curves that keys may be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
}

/// A public key, in words for people by its `Display`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    EllipticCurve(Curve),
    Rsa { bits: usize },
    Other(String),
}

impl Key {
    /// What it is, if it is none that can be used without OpenSSL.
    pub(super) fn unusable(&self) -> Option<String> {
        let usable = match self {
            Self::EllipticCurve(_) => true,
            Self::Rsa { bits } => RSA_BITS.contains(bits),
            Self::Other(_) => false,
        };
        (!usable).then(|| self.to_string())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EllipticCurve(Curve::P256) => f.write_str("on the curve P-256"),
            Self::EllipticCurve(Curve::P384) => f.write_str("on the curve P-384"),
            Self::Rsa { bits } => write!(f, "RSA of {bits} bits"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

/// The key of a certificate, and until when that is valid.
pub(super) struct PublicKey {
    pub(super) key: Key,
    pub(super) bytes: Vec<u8>,
    pub(super) expires: SystemTime,
}

impl PublicKey {
    /// Reads a certificate in DER.
    pub(super) fn of(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = x509_cert::Certificate::from_der(der).map_err(|error| CertificateError::Unusable {
            problem: format!("it is no X.509 certificate in DER ({error})"),
            hint: "pass one certificate, in DER or PEM, without others around it",
        })?;
        let body = certificate.tbs_certificate();
        let key = body.subject_public_key_info();
        let bytes = key.subject_public_key.raw_bytes().to_vec();
        let curve = key.algorithm.parameters.as_ref().and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
        let key = match (key.algorithm.oid, curve) {
            (ELLIPTIC_CURVE, Some(P256)) => Key::EllipticCurve(Curve::P256),
            (ELLIPTIC_CURVE, Some(P384)) => Key::EllipticCurve(Curve::P384),
            (ELLIPTIC_CURVE, Some(P224)) => Key::Other("on the curve P-224".to_owned()),
            (ELLIPTIC_CURVE, Some(P521)) => Key::Other("on the curve P-521".to_owned()),
            (ELLIPTIC_CURVE, Some(SECP256K1)) => Key::Other("on the curve secp256k1".to_owned()),
            (ELLIPTIC_CURVE, Some(curve)) => Key::Other(format!("on the curve {curve}")),
            (ELLIPTIC_CURVE, None) => Key::Other("on a curve of its own".to_owned()),
            (RSA, _) => {
                rsa_bits(&bytes).map_or_else(|| Key::Other("RSA, but broken".to_owned()), |bits| Key::Rsa { bits })
            }
            (RSA_PSS, _) => Key::Other("RSA for RSASSA-PSS only".to_owned()),
            (DSA, _) => Key::Other("DSA".to_owned()),
            (ED25519, _) => Key::Other("Ed25519".to_owned()),
            (ED448, _) => Key::Other("Ed448".to_owned()),
            (other, _) => Key::Other(format!("of the algorithm {other}")),
        };
        Ok(Self { key, bytes, expires: SystemTime::UNIX_EPOCH + body.validity().not_after.to_unix_duration() })
    }
}

/// The size of the modulus of a key in DER (RFC 8017 appendix A.1.1).
fn rsa_bits(public_key: &[u8]) -> Option<usize> {
    let numbers = Vec::<UintRef<'_>>::from_der(public_key).ok()?;
    let [modulus, _exponent] = &numbers[..] else { return None };
    let modulus = modulus.as_bytes();
    let unused = usize::try_from(modulus.first()?.leading_zeros()).ok()?;
    Some(modulus.len() * 8 - unused)
}

/// What the key of a certificate is, in words; `None` if that is none.
pub(super) fn key_words(der: &[u8]) -> Option<String> {
    Some(PublicKey::of(der).ok()?.key.to_string())
}

/// What the key of a certificate is, if it is none that can be used without OpenSSL.
pub(super) fn unusable_key(der: &[u8]) -> Option<String> {
    PublicKey::of(der).ok()?.key.unusable()
}
