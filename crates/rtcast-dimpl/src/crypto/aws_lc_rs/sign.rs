//! Signing and key loading implementations using aws-lc-rs.

use std::ops::RangeInclusive;
use std::str;

use aws_lc_rs::signature::ECDSA_P384_SHA384_ASN1_SIGNING;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, UnparsedPublicKey};
use aws_lc_rs::signature::{ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1};
use aws_lc_rs::signature::{EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384};
use aws_lc_rs::signature::{RSA_PKCS1_SHA512, RSA_PSS_2048_8192_SHA256};
use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RSA_PSS_SHA256};
use aws_lc_rs::signature::{
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair, RsaParameters,
};
use der::{Decode, Encode};
use spki::ObjectIdentifier;
use x509_cert::Certificate as X509Certificate;

use super::super::{KeyProvider, SignatureVerifier, SigningKey, check_verify_scheme};
use super::super::{OID_P256, OID_P384};
use crate::buffer::Buf;
use crate::types::{HashAlgorithm, NamedGroup, SignatureAlgorithm};
use crate::{CryptoError, CryptoOperation};

/// ECDSA signing key implementation.
struct EcdsaSigningKey {
    key_pair: EcdsaKeyPair,
    signing_algorithm: &'static EcdsaSigningAlgorithm,
}

impl std::fmt::Debug for EcdsaSigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EcdsaSigningKey")
            .field("signing_algorithm", &self.signing_algorithm)
            .finish()
    }
}

impl SigningKey for EcdsaSigningKey {
    fn sign(
        &mut self,
        data: &[u8],
        hash_alg: HashAlgorithm,
        buf: &mut Buf,
    ) -> Result<(), CryptoError> {
        let key_hash = self.hash_algorithm();
        if hash_alg != key_hash {
            return Err(CryptoError::SigningKeyHashMismatch {
                key_hash,
                requested: hash_alg,
            });
        }
        let rng = aws_lc_rs::rand::SystemRandom::new();
        let signature = self
            .key_pair
            .sign(&rng, data)
            .map_err(|_| CryptoError::OperationFailed(CryptoOperation::Sign))?;
        buf.clear();
        buf.extend_from_slice(signature.as_ref());
        Ok(())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        if self.signing_algorithm == &ECDSA_P256_SHA256_ASN1_SIGNING {
            HashAlgorithm::SHA256
        } else if self.signing_algorithm == &ECDSA_P384_SHA384_ASN1_SIGNING {
            HashAlgorithm::SHA384
        } else {
            panic!("Unsupported signing algorithm")
        }
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        // aws-lc-rs locks the hash at key-load time; only one is supported.
        if self.signing_algorithm == &ECDSA_P256_SHA256_ASN1_SIGNING {
            &[HashAlgorithm::SHA256]
        } else if self.signing_algorithm == &ECDSA_P384_SHA384_ASN1_SIGNING {
            &[HashAlgorithm::SHA384]
        } else {
            panic!("Unsupported signing algorithm")
        }
    }
}

/// The sizes of RSA keys that are accepted: a shorter one can be broken, a longer one costs more
/// time than a handshake may take.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

fn check_rsa_size(bits: usize) -> Result<(), CryptoError> {
    if RSA_BITS.contains(&bits) {
        Ok(())
    } else {
        Err(CryptoError::UnsupportedRsaKeySize { bits })
    }
}

/// RSA signing key implementation.
struct RsaSigningKey {
    key_pair: RsaKeyPair,
}

impl RsaSigningKey {
    fn new(key_pair: RsaKeyPair) -> Result<Self, CryptoError> {
        check_rsa_size(key_pair.public_modulus_len() * 8)?;
        Ok(RsaSigningKey { key_pair })
    }

    fn sign_with(
        &self,
        padding: &'static dyn RsaEncoding,
        data: &[u8],
        buf: &mut Buf,
    ) -> Result<(), CryptoError> {
        let rng = aws_lc_rs::rand::SystemRandom::new();
        buf.clear();
        buf.resize(self.key_pair.public_modulus_len(), 0);
        self.key_pair
            .sign(padding, &rng, data, buf.as_mut())
            .map_err(|_| CryptoError::OperationFailed(CryptoOperation::Sign))
    }
}

impl std::fmt::Debug for RsaSigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RsaSigningKey").finish_non_exhaustive()
    }
}

impl SigningKey for RsaSigningKey {
    fn sign(
        &mut self,
        data: &[u8],
        hash_alg: HashAlgorithm,
        buf: &mut Buf,
    ) -> Result<(), CryptoError> {
        let padding: &'static dyn RsaEncoding = match hash_alg {
            HashAlgorithm::SHA256 => &RSA_PKCS1_SHA256,
            HashAlgorithm::SHA384 => &RSA_PKCS1_SHA384,
            HashAlgorithm::SHA512 => &RSA_PKCS1_SHA512,
            _ => return Err(unsupported_rsa_hash(hash_alg)),
        };
        self.sign_with(padding, data, buf)
    }

    fn sign_rsa_pss(
        &mut self,
        data: &[u8],
        hash_alg: HashAlgorithm,
        buf: &mut Buf,
    ) -> Result<(), CryptoError> {
        let padding: &'static dyn RsaEncoding = match hash_alg {
            HashAlgorithm::SHA256 => &RSA_PSS_SHA256,
            HashAlgorithm::SHA384 => &RSA_PSS_SHA384,
            HashAlgorithm::SHA512 => &RSA_PSS_SHA512,
            _ => return Err(unsupported_rsa_hash(hash_alg)),
        };
        self.sign_with(padding, data, buf)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        &[
            HashAlgorithm::SHA256,
            HashAlgorithm::SHA384,
            HashAlgorithm::SHA512,
        ]
    }
}

fn unsupported_rsa_hash(hash: HashAlgorithm) -> CryptoError {
    CryptoError::UnsupportedSignaturePair {
        signature: SignatureAlgorithm::RSA,
        hash,
    }
}

/// Key provider implementation.
#[derive(Debug)]
pub(super) struct AwsLcKeyProvider;

impl KeyProvider for AwsLcKeyProvider {
    fn load_private_key(&self, key_der: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        // Try PKCS#8 DER format first (most common)
        if let Ok(key_pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key_der) {
            return Ok(Box::new(EcdsaSigningKey {
                key_pair,
                signing_algorithm: &ECDSA_P256_SHA256_ASN1_SIGNING,
            }));
        }
        if let Ok(key_pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, key_der) {
            return Ok(Box::new(EcdsaSigningKey {
                key_pair,
                signing_algorithm: &ECDSA_P384_SHA384_ASN1_SIGNING,
            }));
        }

        // RSA, as PKCS#8 or PKCS#1 (OpenSSL RSA private key format)
        if let Ok(key_pair) =
            RsaKeyPair::from_pkcs8(key_der).or_else(|_| RsaKeyPair::from_der(key_der))
        {
            return Ok(Box::new(RsaSigningKey::new(key_pair)?));
        }

        // Try parsing as SEC1 DER format (OpenSSL EC private key format)
        if let Ok(ec_key) = sec1::EcPrivateKey::try_from(key_der) {
            let private_key_len = ec_key.private_key.len();

            let curve_oid = if let Some(params) = &ec_key.parameters {
                match params {
                    sec1::EcParameters::NamedCurve(oid) => Some(*oid),
                }
            } else if private_key_len == 32 {
                Some(ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7")) // P-256
            } else if private_key_len == 48 {
                Some(ObjectIdentifier::new_unwrap("1.3.132.0.34")) // P-384
            } else {
                None
            };

            if let Some(curve_oid) = curve_oid {
                let ec_alg_oid = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
                let curve_params_der = curve_oid
                    .to_der()
                    .map_err(|_| CryptoError::OperationFailed(CryptoOperation::EncodeKey))?;
                let curve_params_any = der::asn1::AnyRef::try_from(curve_params_der.as_slice())
                    .map_err(|_| CryptoError::OperationFailed(CryptoOperation::EncodeKey))?;

                let algorithm = spki::AlgorithmIdentifierRef {
                    oid: ec_alg_oid,
                    parameters: Some(curve_params_any),
                };

                let private_key = der::asn1::OctetStringRef::new(key_der)
                    .map_err(|_| CryptoError::OperationFailed(CryptoOperation::EncodeKey))?;
                let pkcs8 = pkcs8::PrivateKeyInfoRef {
                    algorithm,
                    private_key,
                    public_key: None,
                };

                let pkcs8_der = pkcs8
                    .to_der()
                    .map_err(|_| CryptoError::OperationFailed(CryptoOperation::EncodeKey))?;

                let p256_curve = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
                if curve_oid == p256_curve
                    && let Ok(key_pair) =
                        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8_der)
                {
                    return Ok(Box::new(EcdsaSigningKey {
                        key_pair,
                        signing_algorithm: &ECDSA_P256_SHA256_ASN1_SIGNING,
                    }));
                }

                let p384_curve = ObjectIdentifier::new_unwrap("1.3.132.0.34");
                if curve_oid == p384_curve
                    && let Ok(key_pair) =
                        EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &pkcs8_der)
                {
                    return Ok(Box::new(EcdsaSigningKey {
                        key_pair,
                        signing_algorithm: &ECDSA_P384_SHA384_ASN1_SIGNING,
                    }));
                }
            }
        }

        // Check if it's a PEM encoded key
        if let Ok(pem_str) = str::from_utf8(key_der)
            && pem_str.contains("-----BEGIN")
            && let Ok((_label, doc)) = pkcs8::Document::from_pem(pem_str)
        {
            return self.load_private_key(doc.as_bytes());
        }

        Err(CryptoError::InvalidPrivateKey)
    }
}

/// Signature verifier implementation.
#[derive(Debug)]
pub(super) struct AwsLcSignatureVerifier;

impl SignatureVerifier for AwsLcSignatureVerifier {
    fn verify_signature(
        &self,
        cert_der: &[u8],
        data: &[u8],
        signature: &[u8],
        hash_alg: HashAlgorithm,
        sig_alg: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        if sig_alg == SignatureAlgorithm::RSA {
            let parameters = match hash_alg {
                HashAlgorithm::SHA256 => &RSA_PKCS1_2048_8192_SHA256,
                HashAlgorithm::SHA384 => &RSA_PKCS1_2048_8192_SHA384,
                HashAlgorithm::SHA512 => &RSA_PKCS1_2048_8192_SHA512,
                _ => return Err(unsupported_rsa_hash(hash_alg)),
            };
            return verify_rsa(parameters, cert_der, data, signature, hash_alg);
        }

        if sig_alg != SignatureAlgorithm::ECDSA {
            return Err(CryptoError::UnsupportedSignatureAlgorithm(sig_alg));
        }

        let cert =
            X509Certificate::from_der(cert_der).map_err(|_| CryptoError::CertificateParseFailed)?;
        let spki = cert.tbs_certificate().subject_public_key_info();

        const OID_EC_PUBLIC_KEY: ObjectIdentifier =
            ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

        if spki.algorithm.oid != OID_EC_PUBLIC_KEY {
            return Err(CryptoError::UnsupportedPublicKeyAlgorithm);
        }

        let pubkey_bytes = spki
            .subject_public_key
            .as_bytes()
            .ok_or(CryptoError::InvalidSubjectPublicKey)?;

        let curve_oid: ObjectIdentifier = spki
            .algorithm
            .parameters
            .as_ref()
            .ok_or(CryptoError::MissingEcCurveParameter)?
            .decode_as()
            .map_err(|_| CryptoError::InvalidEcCurveParameter)?;

        let group = match curve_oid {
            OID_P256 => NamedGroup::Secp256r1,
            OID_P384 => NamedGroup::Secp384r1,
            _ => return Err(CryptoError::UnsupportedEcCurve),
        };

        check_verify_scheme(sig_alg, hash_alg, group)?;

        let algorithm: &EcdsaVerificationAlgorithm = match (group, hash_alg) {
            (NamedGroup::Secp256r1, HashAlgorithm::SHA256) => &ECDSA_P256_SHA256_ASN1,
            (NamedGroup::Secp256r1, HashAlgorithm::SHA384) => &ECDSA_P256_SHA384_ASN1,
            (NamedGroup::Secp384r1, HashAlgorithm::SHA256) => &ECDSA_P384_SHA256_ASN1,
            (NamedGroup::Secp384r1, HashAlgorithm::SHA384) => &ECDSA_P384_SHA384_ASN1,
            // unreachable: check_verify_scheme already validated
            _ => unreachable!(),
        };

        let public_key = UnparsedPublicKey::new(algorithm, pubkey_bytes);
        public_key
            .verify(data, signature)
            .map_err(|_| CryptoError::SignatureVerificationFailed {
                signature: sig_alg,
                hash: hash_alg,
                group,
            })
    }

    fn verify_rsa_pss_signature(
        &self,
        cert_der: &[u8],
        data: &[u8],
        signature: &[u8],
        hash_alg: HashAlgorithm,
    ) -> Result<(), CryptoError> {
        let parameters = match hash_alg {
            HashAlgorithm::SHA256 => &RSA_PSS_2048_8192_SHA256,
            HashAlgorithm::SHA384 => &RSA_PSS_2048_8192_SHA384,
            HashAlgorithm::SHA512 => &RSA_PSS_2048_8192_SHA512,
            _ => return Err(unsupported_rsa_hash(hash_alg)),
        };
        verify_rsa(parameters, cert_der, data, signature, hash_alg)
    }
}

fn verify_rsa(
    parameters: &'static RsaParameters,
    cert_der: &[u8],
    data: &[u8],
    signature: &[u8],
    hash: HashAlgorithm,
) -> Result<(), CryptoError> {
    /// RFC 3279 section 2.3.1.
    const OID_RSA_ENCRYPTION: ObjectIdentifier =
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

    let cert =
        X509Certificate::from_der(cert_der).map_err(|_| CryptoError::CertificateParseFailed)?;
    let spki = cert.tbs_certificate().subject_public_key_info();
    if spki.algorithm.oid != OID_RSA_ENCRYPTION {
        return Err(CryptoError::UnsupportedPublicKeyAlgorithm);
    }

    let pubkey_bytes = spki
        .subject_public_key
        .as_bytes()
        .ok_or(CryptoError::InvalidSubjectPublicKey)?;
    check_rsa_size(rsa_bits(pubkey_bytes).ok_or(CryptoError::InvalidSubjectPublicKey)?)?;
    UnparsedPublicKey::new(parameters, pubkey_bytes)
        .verify(data, signature)
        .map_err(|_| CryptoError::RsaSignatureVerificationFailed { hash })
}

/// The size of the modulus of a public key in DER (RFC 8017 appendix A.1.1), `None` if it is none.
fn rsa_bits(public_key: &[u8]) -> Option<usize> {
    let numbers = Vec::<der::asn1::UintRef<'_>>::from_der(public_key).ok()?;
    let [modulus, _exponent] = &numbers[..] else {
        return None;
    };
    let modulus = modulus.as_bytes();
    let unused = modulus.first()?.leading_zeros() as usize;
    Some(modulus.len() * 8 - unused)
}

/// Static instance of the key provider.
pub(super) static KEY_PROVIDER: AwsLcKeyProvider = AwsLcKeyProvider;

/// Static instance of the signature verifier.
pub(super) static SIGNATURE_VERIFIER: AwsLcSignatureVerifier = AwsLcSignatureVerifier;

#[cfg(all(test, feature = "rcgen"))]
mod tests {
    use super::*;
    use crate::certificate::generate_self_signed_certificate;

    #[test]
    fn invalid_signature_returns_structured_verification_error() {
        let cert = generate_self_signed_certificate().expect("generate cert");
        let mut key = KEY_PROVIDER
            .load_private_key(&cert.private_key)
            .expect("load private key");
        let data = b"signed data";
        let mut signature = Buf::new();
        key.sign(data, HashAlgorithm::SHA256, &mut signature)
            .expect("sign data");

        let last = signature.len() - 1;
        signature[last] ^= 0x01;

        let err = SIGNATURE_VERIFIER
            .verify_signature(
                &cert.certificate,
                data,
                &signature,
                HashAlgorithm::SHA256,
                SignatureAlgorithm::ECDSA,
            )
            .expect_err("corrupt signature should fail");

        assert_eq!(
            err,
            CryptoError::SignatureVerificationFailed {
                signature: SignatureAlgorithm::ECDSA,
                hash: HashAlgorithm::SHA256,
                group: NamedGroup::Secp256r1,
            }
        );
    }

    #[test]
    fn rsa_signatures_of_either_padding_are_verified() {
        use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};

        let key_pair = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("generate key");
        let cert = CertificateParams::default()
            .self_signed(&key_pair)
            .expect("self-signed");
        let mut key = KEY_PROVIDER
            .load_private_key(&key_pair.serialize_der())
            .expect("load private key");
        let ecdsa = generate_self_signed_certificate().expect("generate cert");
        let data = b"signed data";
        let mut signature = Buf::new();

        for hash in key.supported_hash_algorithms().to_vec() {
            let pkcs1 = |cert: &[u8], data: &[u8], signature: &[u8]| {
                SIGNATURE_VERIFIER.verify_signature(
                    cert,
                    data,
                    signature,
                    hash,
                    SignatureAlgorithm::RSA,
                )
            };
            let pss = |cert: &[u8], data: &[u8], signature: &[u8]| {
                SIGNATURE_VERIFIER.verify_rsa_pss_signature(cert, data, signature, hash)
            };
            let failed = Err(CryptoError::RsaSignatureVerificationFailed { hash });

            key.sign(data, hash, &mut signature).expect("sign data");
            assert_eq!(pkcs1(cert.der(), data, &signature), Ok(()));
            assert_eq!(pkcs1(cert.der(), b"other data", &signature), failed);
            assert_eq!(pss(cert.der(), data, &signature), failed);

            key.sign_rsa_pss(data, hash, &mut signature)
                .expect("sign data");
            assert_eq!(pss(cert.der(), data, &signature), Ok(()));
            assert_eq!(pss(cert.der(), data, &[]), failed);
            assert_eq!(pkcs1(cert.der(), data, &signature), failed);
            assert_eq!(
                pss(&ecdsa.certificate, data, &signature),
                Err(CryptoError::UnsupportedPublicKeyAlgorithm)
            );
        }
        assert!(key.sign(data, HashAlgorithm::SHA1, &mut signature).is_err());
    }

    #[test]
    fn rsa_keys_are_of_a_certain_size() {
        for (bits, accepted) in [(1024, false), (2048, true), (8192, true), (8193, false)] {
            assert_eq!(check_rsa_size(bits).is_ok(), accepted, "{bits}");
        }
        // SEQUENCE { INTEGER 0x0102, INTEGER 3 }
        assert_eq!(rsa_bits(&[0x30, 7, 2, 2, 1, 2, 2, 1, 3]), Some(9));
        assert_eq!(rsa_bits(&[0x30, 4, 2, 2, 1, 2]), None);
        assert_eq!(rsa_bits(&[]), None);
    }
}
