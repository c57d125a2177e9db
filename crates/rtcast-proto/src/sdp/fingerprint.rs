//! `a=fingerprint` and `a=setup`: what DTLS needs to know.

use std::fmt;
use std::str::FromStr;

/// The digest of a peer's certificate (RFC 8122 §5).
///
/// ```
/// use rtcast_proto::sdp::Fingerprint;
///
/// let text = format!("sha-256 {}", ["8A"; 32].join(":"));
/// let fingerprint: Fingerprint = text.parse()?;
/// assert_eq!((fingerprint.algorithm.as_str(), fingerprint.value.len()), ("sha-256", 32));
/// assert_eq!(fingerprint.to_string(), text);
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// The name of the hash function in lower case, such as `sha-256`.
    pub algorithm: String,
    /// The digest.
    pub value: Vec<u8>,
}

impl FromStr for Fingerprint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str =
            "`a=fingerprint:<hash> <digest>`, such as `sha-256 8A:E7:…` with two hexadecimal digits a byte";
        let (algorithm, digest) = text.trim().split_once(' ').ok_or(FORM)?;
        let byte = |pair: &str| {
            let hexadecimal = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
            hexadecimal.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
        };
        let value = digest.trim().split(':').map(byte).collect::<Option<Vec<u8>>>().ok_or(FORM)?;
        let algorithm = algorithm.to_ascii_lowercase();
        let expected = match algorithm.as_str() {
            "sha-1" => 20,
            "sha-224" => 28,
            "sha-256" => 32,
            "sha-384" => 48,
            "sha-512" => 64,
            _ => value.len().min(64),
        };
        if value.len() != expected {
            return Err(
                "`a=fingerprint` with as many bytes as the hash has: 32 for sha-256, 48 for sha-384, 64 for sha-512, which \
                 are the most",
            );
        }
        Ok(Self { algorithm, value })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.algorithm)?;
        for (index, byte) in self.value.iter().enumerate() {
            write!(f, "{}{byte:02X}", if index == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

/// Who opens the DTLS connection (RFC 4145 §4, RFC 8842 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setup {
    /// This side sends the ClientHello.
    Active,
    /// This side waits for it.
    Passive,
    /// The other side chooses; only in offers.
    Actpass,
    /// Nobody yet; not used by WebRTC.
    Holdconn,
}

impl Setup {
    /// The word of SDP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::Actpass => "actpass",
            Self::Holdconn => "holdconn",
        }
    }

    /// The role that the word names.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Active, Self::Passive, Self::Actpass, Self::Holdconn].into_iter().find(|s| s.as_str() == word)
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
