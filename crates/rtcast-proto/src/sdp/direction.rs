//! `a=sendrecv` and its three companions.

use std::fmt;

/// Who sends on an m-line, seen from the side whose description it stands in: W3C's `RTCRtpTransceiverDirection`
/// without `stopped` (RFC 8866 §6.7).
///
/// ```
/// use rtcast_proto::Direction;
///
/// let offered = Direction::Sendonly;
/// assert_eq!(offered.reversed(), Direction::Recvonly);
/// assert_eq!(Direction::Sendrecv.and(offered.reversed()), Direction::Recvonly);
/// assert_eq!(Direction::from_word("inactive"), Some(Direction::new(false, false)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Both; also what a description without a direction means.
    #[default]
    Sendrecv,
    /// This side sends.
    Sendonly,
    /// This side receives.
    Recvonly,
    /// Nobody.
    Inactive,
}

impl Direction {
    /// The direction of a side that sends, receives, both or neither.
    pub const fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::Sendrecv,
            (true, false) => Self::Sendonly,
            (false, true) => Self::Recvonly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether this side sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::Sendrecv | Self::Sendonly)
    }

    /// Whether this side receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::Sendrecv | Self::Recvonly)
    }

    /// The same, seen from the other side.
    pub const fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// What both allow.
    pub const fn and(self, other: Self) -> Self {
        Self::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// The word of SDP and of the W3C.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sendrecv => "sendrecv",
            Self::Sendonly => "sendonly",
            Self::Recvonly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The direction that the word names.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Sendrecv, Self::Sendonly, Self::Recvonly, Self::Inactive].into_iter().find(|d| d.as_str() == word)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
