//! Errors of sources, containers and codecs.

use std::borrow::Cow;
use std::io;

use rtcast_proto::Hint;

/// What went wrong with a source; the text says what happened and why, [`Hint`] what to do.
///
/// ```
/// use rtcast_media::{Source, container};
/// use rtcast_proto::Hint;
///
/// let error = container::open(&Source::parse("no-such-folder/film.mp4")).err().ok_or("it is there")?;
/// assert!(error.problem().starts_with("cannot read no-such-folder/film.mp4: "));
/// assert!(error.hint().is_some_and(|hint| hint.starts_with("check the path")));
/// assert!(!error.is_recoverable());
/// # Ok::<(), &str>(())
/// ```
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
    /// The source is nothing that could be played, or cannot be reached.
    #[error("cannot play {source_name}: {reason}")]
    Unplayable {
        /// The path, address or name of the source.
        source_name: String,
        /// What it is, or what keeps one from it.
        reason: String,
        /// What to do about just that.
        hint: String,
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

impl Hint for MediaError {
    fn problem(&self) -> String {
        match self {
            Self::Unsupported { what, .. } => format!("{what} is not supported"),
            _ => self.to_string(),
        }
    }

    /// What to do about it; there always is something.
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Io { error, .. } => match error.kind() {
                io::ErrorKind::NotFound => "check the path; one that does not begin with / counts from here".into(),
                io::ErrorKind::PermissionDenied => {
                    "you may not read it: see with `ls -l` who may, or run this as somebody who may".into()
                }
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "make room, or let TMPDIR name a folder that has room".into()
                }
                _ => "the disk, or whatever it lies on, does not give it away; see the system's log".into(),
            },
            Self::Invalid { .. } => "see whether another player shows it, such as `ffplay`; if one does, please \
                                     report it, else get or make the file again"
                .into(),
            Self::Unplayable { hint, .. } | Self::Unsupported { hint, .. } => hint.into(),
            Self::NoSuchStream { .. } => "choose a source with pictures or sound".into(),
            Self::Codec { codec, .. } => format!(
                "see whether another player shows it; with `ffmpeg` installed, that decodes what {codec} cannot"
            )
            .into(),
        })
    }
}
