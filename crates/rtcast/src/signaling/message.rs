//! The messages of the protocol.

use std::borrow::Cow;

use rtcast_peer::{DescriptionError, Error, Hint, IceCandidate, SdpType, SessionDescription};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the other side refused: name, text and remedy.
///
/// What this side refused, told to the other:
///
/// ```
/// use rtcast::SessionDescription;
/// use rtcast::signaling::{Message, RemoteError};
///
/// let refused = SessionDescription::from_json("null").err().ok_or("it was read")?;
/// let message = Message::Error { error: RemoteError::from(refused) };
/// assert_eq!(message.kind(), "error");
/// assert_eq!(Message::from_json(&message.to_json())?, message);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteError {
    /// The W3C's name of the exception, such as `InvalidStateError`, or a JavaScript error's.
    #[serde(default)]
    pub name: String,
    /// What happened, and why.
    #[serde(default)]
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl RemoteError {
    /// An error with a remedy.
    pub fn new(name: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name: name.into(), message: message.into(), hint: Some(hint.into()) }
    }

    fn of(name: &str, error: &impl Hint) -> Self {
        Self { name: name.to_owned(), message: error.problem(), hint: error.hint().map(Cow::into_owned) }
    }
}

impl std::fmt::Display for RemoteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl From<&Error> for RemoteError {
    fn from(error: &Error) -> Self {
        Self::of(error.name(), error)
    }
}

impl From<Error> for RemoteError {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl From<DescriptionError> for RemoteError {
    fn from(error: DescriptionError) -> Self {
        Self::of(error.name(), &error)
    }
}

impl From<MessageError> for RemoteError {
    fn from(error: MessageError) -> Self {
        Self::of(error.name(), &error)
    }
}

/// One message of the protocol, its description and candidate as they came: they are read by whoever takes them.
///
/// ```
/// use rtcast::signaling::Message;
///
/// assert_eq!(Message::from_json(r#"{"type":"request"}"#)?, Message::Request);
/// let line = "candidate:1 1 udp 2130706431 192.0.2.7 50000 typ host";
/// let text = format!(r#"{{"type":"candidate","candidate":"{line}","sdpMid":"0","sdpMLineIndex":0}}"#);
/// let Message::Candidate(candidate) = Message::from_json(&text)? else { return Err("another message".into()) };
/// assert_eq!((candidate.candidate.as_str(), candidate.sdp_mid.as_deref()), (line, Some("0")));
/// assert!(Message::from_json(r#"{"type":"Offer"}"#).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Message {
    /// Starts a connection, or changes it.
    Offer {
        /// The description's text.
        sdp: String,
    },
    /// Completes what an offer began.
    Answer {
        /// The description's text.
        sdp: String,
    },
    /// An answer that another will follow.
    Pranswer {
        /// The description's text.
        sdp: String,
    },
    /// A candidate; an empty one ends them.
    Candidate(#[serde(with = "candidate")] IceCandidate),
    /// Asks the other side to offer.
    Request,
    /// The end of the call.
    Bye,
    /// The other side refused something.
    Error {
        /// What, and why.
        error: RemoteError,
    },
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// A [`MessageError`] that names the mistake if it is none of the protocol.
    pub fn from_json(text: &str) -> Result<Self, MessageError> {
        let mut value: Value =
            serde_json::from_str(text).map_err(|error| MessageError::NotJson { reason: error.to_string() })?;
        let kind = value.get("type").and_then(Value::as_str).ok_or(MessageError::NoType)?.to_owned();
        if !TYPES.contains(&kind.as_str()) && kind != "pranswer" {
            return Err(MessageError::unknown(&kind));
        }
        flatten_candidate(&mut value);
        serde_json::from_value(value).map_err(|error| MessageError::Wrong { kind, reason: error.to_string() })
    }

    /// Its `type`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Offer { .. } => "offer",
            Self::Answer { .. } => "answer",
            Self::Pranswer { .. } => "pranswer",
            Self::Candidate(_) => "candidate",
            Self::Request => "request",
            Self::Bye => "bye",
            Self::Error { .. } => "error",
        }
    }

    /// The message as JSON.
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// The description, read; `None` if the message has none.
    ///
    /// # Errors
    /// What is wrong with the description.
    pub fn description(&self) -> Result<Option<SessionDescription>, DescriptionError> {
        let (sdp_type, sdp) = match self {
            Self::Offer { sdp } => (SdpType::Offer, sdp),
            Self::Answer { sdp } => (SdpType::Answer, sdp),
            Self::Pranswer { sdp } => (SdpType::Pranswer, sdp),
            _ => return Ok(None),
        };
        SessionDescription::new(sdp_type, sdp.as_str()).map(Some)
    }
}

impl From<SessionDescription> for Message {
    /// A rollback, which is nothing to tell anybody, becomes a request to offer.
    fn from(description: SessionDescription) -> Self {
        let sdp = description.sdp().to_owned();
        match description.sdp_type() {
            SdpType::Offer => Self::Offer { sdp },
            SdpType::Answer => Self::Answer { sdp },
            SdpType::Pranswer => Self::Pranswer { sdp },
            SdpType::Rollback => Self::Request,
        }
    }
}

/// The types of a message, those of a viewer and a server first of all.
const TYPES: [&str; 6] = ["offer", "answer", "request", "candidate", "bye", "error"];

/// Why a text is no message of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// It is no JSON.
    #[error("the message is not JSON: {reason}")]
    NotJson {
        /// What is wrong with it, and where.
        reason: String,
    },
    /// It has no text member `type`.
    #[error("the message has no \"type\"")]
    NoType,
    /// Its type is none of the protocol.
    #[error("there is no message of the type {found:?}")]
    UnknownType {
        /// The type, shortened if it is long.
        found: String,
    },
    /// Its members are not those of its type.
    #[error("the message of the type {kind:?} is wrong: {reason}")]
    Wrong {
        /// Its type.
        kind: String,
        /// What is missing or of another kind.
        reason: String,
    },
}

impl MessageError {
    /// A type that is not taken.
    pub fn unknown(found: &str) -> Self {
        Self::UnknownType { found: found.chars().take(40).collect() }
    }

    /// The name of the JavaScript error.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotJson { .. } => "SyntaxError",
            Self::NoType | Self::UnknownType { .. } | Self::Wrong { .. } => "TypeError",
        }
    }
}

impl Hint for MessageError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let example = r#"send JSON in a text message, such as {"type":"offer","sdp":"v=0\r\n…"}"#;
        Some(match self {
            Self::UnknownType { .. } => format!("the types are {}", TYPES.join(", ")).into(),
            Self::Wrong { kind, .. } if matches!(kind.as_str(), "offer" | "answer" | "pranswer") => {
                format!(r#"send {{"type":"{kind}","sdp":"v=0\r\n…"}}"#).into()
            }
            Self::Wrong { kind, .. } if kind == "candidate" => {
                r#"send {"type":"candidate","candidate":"candidate:…","sdpMid":"0","sdpMLineIndex":0}"#.into()
            }
            Self::NotJson { .. } | Self::NoType | Self::Wrong { .. } => example.into(),
        })
    }
}

/// Many programs send the candidate as the object that browsers hand them, within the message; its members are lifted
/// into the message itself.
fn flatten_candidate(message: &mut Value) {
    let Some(members) = message.as_object_mut() else { return };
    if let Some(Value::Object(inner)) = members.get("candidate").cloned() {
        members.remove("candidate");
        members.extend(inner.into_iter().filter(|(name, _)| name != "type"));
    }
}

/// A candidate as W3C's `RTCIceCandidateInit` has it, whose line is read later, by whoever takes it.
mod candidate {
    use rtcast_peer::IceCandidate;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Init {
        candidate: Option<String>,
        sdp_mid: Option<String>,
        sdp_m_line_index: Option<u16>,
        #[serde(skip_serializing_if = "Option::is_none")]
        username_fragment: Option<String>,
    }

    pub(super) fn serialize<S: Serializer>(candidate: &IceCandidate, serializer: S) -> Result<S::Ok, S::Error> {
        let IceCandidate { candidate, sdp_mid, sdp_m_line_index, username_fragment } = candidate.clone();
        Init { candidate: Some(candidate), sdp_mid, sdp_m_line_index, username_fragment }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IceCandidate, D::Error> {
        let Init { candidate, sdp_mid, sdp_m_line_index, username_fragment } = Init::deserialize(deserializer)?;
        Ok(IceCandidate { candidate: candidate.unwrap_or_default(), sdp_mid, sdp_m_line_index, username_fragment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_way() {
        let candidate = IceCandidate {
            candidate: "candidate:1 1 udp 2130706431 127.0.0.1 5000 typ host".to_owned(),
            sdp_mid: Some("0".to_owned()),
            sdp_m_line_index: Some(0),
            username_fragment: None,
        };
        let refused = RemoteError { name: "SyntaxError".into(), message: "no".into(), hint: Some("yes".into()) };
        for message in
            [Message::Candidate(candidate), Message::Request, Message::Bye, Message::Error { error: refused }]
        {
            assert_eq!(Message::from_json(&message.to_json()).unwrap(), message);
        }
    }

    #[test]
    fn every_form_of_the_last_candidate_is_taken() {
        for text in [
            r#"{"type":"candidate","candidate":null}"#,
            r#"{"type":"candidate","candidate":"","sdpMid":"0"}"#,
            r#"{"type":"candidate","candidate":null,"sdpMid":null}"#,
            r#"{"type":"candidate"}"#,
            r#"{"type":"candidate","candidate":{"candidate":"","sdpMid":"0","sdpMLineIndex":0}}"#,
        ] {
            let Message::Candidate(candidate) = Message::from_json(text).unwrap() else { panic!("{text}") };
            assert!(candidate.is_end_of_candidates(), "{text}");
        }
    }

    #[test]
    fn what_is_no_message_is_named() {
        for (text, part) in [
            ("v=0", "not JSON"),
            ("[]", "\"type\""),
            (r#"{"type":"hello"}"#, "\"hello\""),
            (r#"{"type":"offer"}"#, "sdp"),
            (r#"{"type":"error"}"#, "`error`"),
        ] {
            let error = Message::from_json(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn wrong_messages_are_named_with_a_remedy() {
        let cases = [
            ("", "SyntaxError", "not JSON"),
            ("v=0\r\no=-", "SyntaxError", "not JSON"),
            ("{'type':'offer'}", "SyntaxError", "not JSON"),
            ("[]", "TypeError", "no \"type\""),
            ("{}", "TypeError", "no \"type\""),
            (r#"{"type":3}"#, "TypeError", "no \"type\""),
            (r#"{"type":"ofer","sdp":""}"#, "TypeError", "no message of the type \"ofer\""),
            (r#"{"type":"offer"}"#, "TypeError", "missing field `sdp`"),
            (r#"{"type":"offer","sdp":{"type":"offer"}}"#, "TypeError", "expected a string"),
            (r#"{"type":"candidate","candidate":{"candidate":3}}"#, "TypeError", "expected a string"),
            (r#"{"type":"candidate","candidate":"","sdpMLineIndex":-1}"#, "TypeError", "u16"),
        ];
        for (text, name, part) in cases {
            let error = RemoteError::from(Message::from_json(text).expect_err(text));
            assert_eq!(error.name, name, "{text}");
            assert!(error.message.contains(part), "{text}: {}", error.message);
            assert!(error.hint.is_some_and(|hint| !hint.is_empty()), "{text}");
        }
    }

    #[test]
    fn a_candidate_may_come_as_the_browser_s_object() {
        let text = r#"{"type":"candidate","candidate":{"candidate":"candidate:1 …","sdpMid":"0","sdpMLineIndex":0}}"#;
        let Ok(Message::Candidate(candidate)) = Message::from_json(text) else { panic!("it is a candidate") };
        assert_eq!(candidate.candidate, "candidate:1 …");
        assert_eq!((candidate.sdp_mid.as_deref(), candidate.sdp_m_line_index), (Some("0"), Some(0)));
    }
}
