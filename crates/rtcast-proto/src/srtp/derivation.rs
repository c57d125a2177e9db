//! Session keys from the master key (RFC 3711 §4.3).

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

use super::session::SrtpError;

/// What a derived key is for: the label of RFC 3711 §4.3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// Fills `out` with the key of that label, derived by AES in counter mode with a key derivation rate of 0.
pub(super) fn derive(master_key: &[u8], master_salt: &[u8], label: Label, out: &mut [u8]) -> Result<(), SrtpError> {
    // RFC 3711 §4.3.1 and §4.3.3: x = label * 2^48 XOR master_salt, and the stream starts at x * 2^16. RFC 7714 §11:
    // the 12-byte salt of the AEAD profiles is padded with zeros behind.
    let mut iv = [0; 16];
    iv[..master_salt.len()].copy_from_slice(master_salt);
    iv[7] ^= label as u8;
    let key = counter_key(master_key)?;
    out.fill(0);
    key.less_safe_encrypt(out, EncryptionContext::Iv128(FixedLength::from(&iv))).map_err(|_| SrtpError::Keys)?;
    Ok(())
}

/// An AES key for counter mode, its schedule expanded once.
pub(super) fn counter_key(key: &[u8]) -> Result<EncryptingKey, SrtpError> {
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    UnboundCipherKey::new(algorithm, key).and_then(EncryptingKey::ctr).map_err(|_| SrtpError::Keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_test_vectors_of_rfc_3711_b_3() {
        let key = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
        let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
        let derived = |label, length| {
            let mut out = vec![0xff; length];
            derive(&key, &salt, label, &mut out).unwrap();
            out
        };
        assert_eq!(derived(Label::RtpEncryption, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(derived(Label::RtpSalt, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(derived(Label::RtpAuthentication, 20), hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }
}
