//! Errors of sources, containers and codecs.

use std::io;

/// What went wrong with a source; the text says what happened, why, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The operating system refused to open or read.
    #[error("cannot read {source_name}: {error}")]
    Io {
        /// The path or name of the source.
        source_name: String,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The bytes are not what the container or codec demands.
    #[error("{source_name} is damaged or not what it claims to be: {reason}")]
    Invalid {
        /// The path or name of the source.
        source_name: String,
        /// What was found and what was expected.
        reason: String,
    },
    /// A container or codec that is not built in.
    #[error("{what} is not supported: {hint}")]
    Unsupported {
        /// The container or codec.
        what: String,
        /// What to install or to choose instead.
        hint: String,
    },
    /// The source has no stream of that kind.
    #[error("{source_name} has no {kind} stream")]
    NoSuchStream {
        /// The path or name of the source.
        source_name: String,
        /// `audio` or `video`.
        kind: &'static str,
    },
    /// An encoder or decoder failed.
    #[error("{codec}: {reason}")]
    Codec {
        /// The codec's name.
        codec: String,
        /// What it said.
        reason: String,
    },
}

impl MediaError {
    /// Whether the reader may go on with the next packet.
    pub const fn is_recoverable(&self) -> bool {
        matches!(self, Self::Codec { .. })
    }
}
