//! The username fragment and password of an agent.

/// The letters of fragments and passwords (RFC 8839 §5.4).
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A username fragment with its password (RFC 8839 §5.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// The fragment; whoever owns the socket finds the connection by it.
    pub username_fragment: String,
    /// The password.
    pub password: String,
}

impl IceCredentials {
    /// Makes credentials from random bytes; `prefix` begins the fragment.
    pub fn from_random(prefix: &str, random: [u8; 32]) -> Self {
        let letters = |bytes: &[u8]| -> String { bytes.iter().map(|byte| letter(*byte)).collect() };
        // RFC 8445 §5.3: at least 24 bits of randomness in the fragment and 128 in the password, 6 bits a letter.
        Self { username_fragment: format!("{prefix}{}", letters(&random[..8])), password: letters(&random[8..]) }
    }
}

fn letter(byte: u8) -> char {
    char::from(ICE_CHARS[usize::from(byte & 63)])
}
