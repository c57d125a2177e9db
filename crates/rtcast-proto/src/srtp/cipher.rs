//! One direction's keys for RTP or RTCP, for each kind of cipher.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{EncryptingKey, EncryptionContext};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;

use super::derivation::{Label, counter_key, derive};
use super::profile::SrtpProfile;
use super::session::SrtpError;

pub(super) const AEAD_TAG: usize = 16;
pub(super) const SHA1_TAG: usize = 10;

/// The session keys of one direction of RTP, or of RTCP.
pub(super) enum Cipher {
    Aead { key: LessSafeKey, salt: [u8; 12] },
    CounterMode(Box<CounterMode>),
}

/// The keys of the older profile, boxed because they are large and rarely used.
pub(super) struct CounterMode {
    pub(super) key: EncryptingKey,
    pub(super) salt: [u8; 14],
    pub(super) authentication: hmac::Key,
}

impl Cipher {
    pub(super) fn new(profile: SrtpProfile, key: &[u8], salt: &[u8], rtcp: bool) -> Result<Self, SrtpError> {
        let (encryption, authentication, salting) = if rtcp {
            (Label::RtcpEncryption, Label::RtcpAuthentication, Label::RtcpSalt)
        } else {
            (Label::RtpEncryption, Label::RtpAuthentication, Label::RtpSalt)
        };
        let mut session_key = [0; 32];
        let session_key = &mut session_key[..profile.key_length()];
        derive(key, salt, encryption, session_key)?;
        match profile {
            SrtpProfile::AeadAes128Gcm | SrtpProfile::AeadAes256Gcm => {
                let algorithm = if session_key.len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
                let mut session_salt = [0; 12];
                derive(key, salt, salting, &mut session_salt)?;
                let key = UnboundKey::new(algorithm, session_key).map_err(|_| SrtpError::Keys)?;
                Ok(Self::Aead { key: LessSafeKey::new(key), salt: session_salt })
            }
            SrtpProfile::Aes128CmSha1_80 => {
                let mut session_salt = [0; 14];
                derive(key, salt, salting, &mut session_salt)?;
                let mut authentication_key = [0; 20];
                derive(key, salt, authentication, &mut authentication_key)?;
                Ok(Self::CounterMode(Box::new(CounterMode {
                    key: counter_key(session_key)?,
                    salt: session_salt,
                    authentication: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &authentication_key),
                })))
            }
        }
    }
}

/// RFC 7714 §8.1: two zero octets, SSRC, rollover counter and sequence number, XORed with the salt. For RTCP (§9.1) the
/// 31-bit index stands in the last four octets, which is the same arrangement of a 48-bit number.
pub(super) fn aead_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let mut nonce = *salt;
    for (byte, value) in nonce[2..6].iter_mut().zip(ssrc.to_be_bytes()) {
        *byte ^= value;
    }
    for (byte, value) in nonce[6..].iter_mut().zip(&index.to_be_bytes()[2..]) {
        *byte ^= value;
    }
    Nonce::assume_unique_for_key(nonce)
}

/// Encrypts `plaintext` into `out`, which is longer by the tag.
#[inline]
pub(super) fn aead_seal(
    key: &LessSafeKey,
    nonce: Nonce,
    aad: &[u8],
    plaintext: &[u8],
    out: &mut [u8],
) -> Result<(), SrtpError> {
    let (ciphertext, tag) = out.split_at_mut(plaintext.len());
    key.seal_out_of_place_scatter(nonce, Aad::from(aad), plaintext, ciphertext, &[], tag).map_err(|_| SrtpError::Keys)
}

/// Applies the key stream of RFC 3711 §4.1.1 in place.
pub(super) fn counter_mode(
    key: &EncryptingKey,
    salt: &[u8; 14],
    ssrc: u32,
    index: u64,
    bytes: &mut [u8],
) -> Result<(), SrtpError> {
    // IV = (salt * 2^16) XOR (SSRC * 2^64) XOR (index * 2^16)
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(salt);
    for (byte, value) in iv[4..8].iter_mut().zip(ssrc.to_be_bytes()) {
        *byte ^= value;
    }
    for (byte, value) in iv[8..14].iter_mut().zip(&index.to_be_bytes()[2..]) {
        *byte ^= value;
    }
    key.less_safe_encrypt(bytes, EncryptionContext::Iv128(FixedLength::from(&iv))).map_err(|_| SrtpError::Keys)?;
    Ok(())
}

/// The truncated HMAC over `pieces`.
pub(super) fn sha1_tag(key: &hmac::Key, pieces: [&[u8]; 2]) -> [u8; SHA1_TAG] {
    let mut context = hmac::Context::with_key(key);
    for piece in pieces {
        context.update(piece);
    }
    let tag = context.sign();
    let mut truncated = [0; SHA1_TAG];
    truncated.copy_from_slice(&tag.as_ref()[..SHA1_TAG]);
    truncated
}

/// Compares tags without telling where they differ.
pub(super) fn verify(tag: &[u8], expected: &[u8]) -> Result<(), SrtpError> {
    verify_slices_are_equal(tag, expected).map_err(|_| SrtpError::Authentication)
}
