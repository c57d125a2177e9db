//! The protection profiles of DTLS-SRTP.

/// A protection profile (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SrtpProfile {
    /// AES-128 in Galois/Counter Mode: the fastest on processors with AES instructions.
    AeadAes128Gcm,
    /// AES-256 in Galois/Counter Mode.
    AeadAes256Gcm,
    /// AES-128 in counter mode with an 80-bit HMAC-SHA1 tag.
    Aes128CmSha1_80,
}

impl SrtpProfile {
    /// Length of the master key in bytes.
    pub const fn key_length(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::Aes128CmSha1_80 => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Length of the master salt in bytes.
    pub const fn salt_length(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
            Self::Aes128CmSha1_80 => 14,
        }
    }

    /// Length of the keying material for both directions.
    pub const fn keying_material_length(self) -> usize {
        2 * (self.key_length() + self.salt_length())
    }

    /// By how much an RTP packet grows.
    pub const fn rtp_overhead(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
            Self::Aes128CmSha1_80 => 10,
        }
    }

    /// By how much an RTCP packet grows.
    pub const fn rtcp_overhead(self) -> usize {
        self.rtp_overhead() + 4
    }

    /// The name in the registry of DTLS-SRTP protection profiles.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
            Self::Aes128CmSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
        }
    }
}
