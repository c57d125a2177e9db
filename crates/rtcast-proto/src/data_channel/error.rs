//! What can go wrong with a data channel.

use std::borrow::Cow;

use crate::hint::Hint;
use crate::sctp::SctpError;

/// Why a channel could not be made, or a message not be sent. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DataChannelError {
    /// The settings contradict each other or are out of range.
    #[error("{problem}; {hint}")]
    Argument {
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// The channel is not open.
    #[error("the data channel is {state}, and messages are sent while it is open; wait for its `open` event")]
    NotOpen {
        /// How it stands.
        state: &'static str,
    },
    /// There is no such channel any more.
    #[error("the data channel is closed; make a new one")]
    Closed,
    /// The connection is closed.
    #[error("the peer connection is closed; make a new one")]
    ConnectionClosed,
    /// The peer takes no messages of this length.
    #[error(
        "the message has {length} bytes, and the peer takes {limit} at most (a=max-message-size); cut it into pieces"
    )]
    TooLarge {
        /// Its length.
        length: usize,
        /// The most that the peer takes.
        limit: u64,
    },
    /// More waits to be acknowledged than is kept.
    #[error("{buffered} bytes wait to be sent, more than may; send less, or wait until `buffered_amount` falls")]
    BufferFull {
        /// What waits.
        buffered: usize,
    },
    /// The id is taken, or none is free.
    #[error("{problem}; close a channel first, or choose another id")]
    NoId {
        /// What is the matter.
        problem: String,
    },
}

impl DataChannelError {
    /// The W3C's name of the exception.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Argument { .. } | Self::TooLarge { .. } => "TypeError",
            Self::NotOpen { .. } | Self::Closed | Self::ConnectionClosed => "InvalidStateError",
            Self::BufferFull { .. } | Self::NoId { .. } => "OperationError",
        }
    }
}

impl Hint for DataChannelError {
    fn problem(&self) -> String {
        match self {
            Self::Argument { problem, .. } => problem.clone(),
            _ => self.to_string(),
        }
    }

    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Argument { hint, .. } => Some(Cow::Borrowed(hint)),
            _ => None,
        }
    }
}

impl From<SctpError> for DataChannelError {
    fn from(error: SctpError) -> Self {
        match error {
            SctpError::BufferFull { buffered, .. } => Self::BufferFull { buffered },
            SctpError::NoSuchStream { .. } => Self::NoId { problem: error.to_string() },
            SctpError::Closed | SctpError::Empty => Self::Closed,
        }
    }
}
