//! What can be wrong with a description, and what to do about it.

use std::borrow::Cow;
use std::fmt;

use crate::hint::Hint;
use crate::sdp::SignalingState;

/// Why a description, a candidate or a call about them was refused.
///
/// The text names the mistake and, after a semicolon, the remedy. [`Hint`] gives the two apart, [`name`](Self::name) the W3C's name of the exception. Whatever was refused has changed nothing.
///
/// ```
/// use rtcast_proto::{Hint, SessionDescription};
///
/// let error = SessionDescription::from_json(r#"{"type":"Offer","sdp":"v=0"}"#).unwrap_err();
/// assert_eq!(error.name(), "TypeError");
/// assert_eq!(error.problem(), r#""Offer" is not a type of description"#);
/// assert!(error.hint().is_some_and(|hint| hint.contains("in small letters")));
/// assert_eq!(error.to_string(), format!("{}; {}", error.problem(), error.hint().unwrap_or_default()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DescriptionError {
    /// The text as a whole is no SDP: empty, JSON, a type, escaped line ends.
    NotSdp {
        /// What was found instead.
        problem: String,
        /// What to do.
        hint: Cow<'static, str>,
    },
    /// One line is not as RFC 8866, or the RFC of its attribute, wants it.
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// The line as it stands, shortened if it is long.
        text: String,
        /// What belongs there.
        expected: Cow<'static, str>,
    },
    /// A line that every SDP must have is not there.
    MissingLine {
        /// The start of the line that is missing, such as `v=`.
        line: &'static str,
        /// What to do.
        hint: Cow<'static, str>,
    },
    /// The JSON does not hold a description or a candidate.
    Json {
        /// What was found instead.
        problem: String,
        /// What to do.
        hint: Cow<'static, str>,
    },
    /// The type is none of the four.
    Type {
        /// What stood in the place of the type, shortened if it is long.
        found: String,
        /// What to do.
        hint: Cow<'static, str>,
    },
    /// A candidate cannot be read.
    Candidate {
        /// The candidate as it was given, shortened if it is long.
        text: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        hint: Cow<'static, str>,
    },
    /// The call does not fit the signaling state.
    State {
        /// What was tried, such as `set a remote answer`.
        operation: &'static str,
        /// The state at that time, and still.
        state: SignalingState,
        /// What to do.
        hint: Cow<'static, str>,
    },
    /// An m-line lacks an attribute without which there is no connection.
    MissingAttribute {
        /// The name of the attribute.
        attribute: &'static str,
        /// The m-line in question.
        media_line: MediaLine,
        /// What to do.
        hint: Cow<'static, str>,
    },
    /// The content of the description is well formed but means something impossible.
    Meaning {
        /// What is impossible, and where.
        problem: String,
        /// What to do.
        hint: Cow<'static, str>,
    },
    /// The m-lines do not fit those of the offer or of the session so far.
    MediaLines {
        /// Which m-line differs, and how.
        problem: String,
        /// What to do.
        hint: Cow<'static, str>,
    },
    /// A local description is not the one that was created last.
    Modified {
        /// What differs.
        problem: String,
        /// What to do.
        hint: Cow<'static, str>,
    },
    /// The description asks for something that is not implemented.
    Unsupported {
        /// What is asked for.
        problem: String,
        /// What to do.
        hint: Cow<'static, str>,
    },
    /// An argument of the call is wrong.
    Argument {
        /// What is wrong with it.
        problem: String,
        /// What to do.
        hint: Cow<'static, str>,
    },
}

impl DescriptionError {
    /// The name of the W3C's DOMException, or `TypeError`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotSdp { .. } | Self::Line { .. } | Self::MissingLine { .. } => "SyntaxError",
            Self::Json { .. } | Self::Type { .. } => "TypeError",
            Self::State { .. } => "InvalidStateError",
            Self::MissingAttribute { .. } | Self::Meaning { .. } | Self::MediaLines { .. } | Self::Argument { .. } => {
                "InvalidAccessError"
            }
            Self::Modified { .. } => "InvalidModificationError",
            Self::Candidate { .. } | Self::Unsupported { .. } => "OperationError",
        }
    }

    /// The number of the line that is wrong, from 1.
    pub const fn line(&self) -> Option<usize> {
        match self {
            Self::Line { line, .. } => Some(*line),
            _ => None,
        }
    }

    pub(crate) fn at_line(line: usize, text: &str, expected: impl Into<Cow<'static, str>>) -> Self {
        Self::Line { line, text: shortened(text), expected: expected.into() }
    }

    pub(crate) fn meaning(problem: impl Into<String>, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::Meaning { problem: problem.into(), hint: hint.into() }
    }

    pub(crate) fn argument(problem: impl Into<String>, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::Argument { problem: problem.into(), hint: hint.into() }
    }

    pub(crate) fn media_lines(problem: impl Into<String>, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::MediaLines { problem: problem.into(), hint: hint.into() }
    }
}

impl Hint for DescriptionError {
    /// The mistake without the remedy.
    fn problem(&self) -> String {
        match self {
            Self::NotSdp { problem, .. }
            | Self::Json { problem, .. }
            | Self::Meaning { problem, .. }
            | Self::MediaLines { problem, .. }
            | Self::Modified { problem, .. }
            | Self::Unsupported { problem, .. }
            | Self::Argument { problem, .. } => problem.clone(),
            Self::Line { line, text, expected } => format!("line {line} of the SDP is {text:?}; expected {expected}"),
            Self::MissingLine { line, .. } => format!("the SDP has no `{line}` line"),
            Self::Type { found, .. } => format!("{found:?} is not a type of description"),
            Self::Candidate { text, problem, .. } => format!("the candidate {text:?} cannot be read: {problem}"),
            Self::State { operation, state, .. } => format!("cannot {operation} in signaling state \"{state}\""),
            Self::MissingAttribute { attribute, media_line, .. } => format!("{media_line} has no `a={attribute}`"),
        }
    }

    /// What to do about it, if the text says more than what was expected.
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Line { .. } => None,
            Self::NotSdp { hint, .. }
            | Self::MissingLine { hint, .. }
            | Self::Json { hint, .. }
            | Self::Type { hint, .. }
            | Self::Candidate { hint, .. }
            | Self::State { hint, .. }
            | Self::MissingAttribute { hint, .. }
            | Self::Meaning { hint, .. }
            | Self::MediaLines { hint, .. }
            | Self::Modified { hint, .. }
            | Self::Unsupported { hint, .. }
            | Self::Argument { hint, .. } => Some(Cow::Borrowed(hint)),
        }
    }
}

impl fmt::Display for DescriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem())?;
        self.hint().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for DescriptionError {}

/// Which m-line an error speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaLine {
    /// Its place among the m-lines, from 0: W3C's `sdpMLineIndex`.
    pub index: usize,
    /// The first word after `m=`.
    pub kind: String,
    /// Its `a=mid`, if it has one.
    pub mid: Option<String>,
}

impl fmt::Display for MediaLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m-line {} (m={}", self.index, self.kind)?;
        match &self.mid {
            Some(mid) => write!(f, ", mid {mid:?})"),
            None => f.write_str(")"),
        }
    }
}

/// At most 80 characters of a text that may be long, for an error that a person reads.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
