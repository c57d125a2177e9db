//! The messages of the protocol.

use rtcast_peer::{DescriptionError, Error, Hint, IceCandidate, SdpType, SessionDescription};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::SignalingError;

/// What the other side refused: name, text and remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteError {
    /// The W3C's name of the exception, such as `InvalidStateError`.
    pub name: String,
    /// What happened, and why.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl std::fmt::Display for RemoteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl From<&Error> for RemoteError {
    fn from(error: &Error) -> Self {
        Self {
            name: error.name().to_owned(),
            message: error.problem(),
            hint: error.hint().map(|hint| hint.into_owned()),
        }
    }
}

/// One message of the protocol.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// An offer or an answer.
    Description(SessionDescription),
    /// A candidate; an empty one ends them.
    Candidate(IceCandidate),
    /// Asks the other side to offer.
    Request,
    /// The end of the call.
    Bye,
    /// The other side refused something.
    Error(RemoteError),
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// [`SignalingError::Message`] if it is none of the protocol, [`SignalingError::Description`] if its description or
    /// candidate is wrong. Both name the mistake.
    pub fn from_json(text: &str) -> Result<Self, SignalingError> {
        let wrong = |problem: String| SignalingError::Message { problem };
        let value: Value = serde_json::from_str(text).map_err(|error| wrong(format!("it is not JSON ({error})")))?;
        let Some(kind) = value.get("type").and_then(Value::as_str) else {
            return Err(wrong("it has no text member `type`".to_owned()));
        };
        match kind {
            "offer" | "answer" | "pranswer" => Ok(Self::Description(SessionDescription::from_value(&value)?)),
            "candidate" => Ok(Self::Candidate(candidate(&value)?)),
            "request" => Ok(Self::Request),
            "bye" => Ok(Self::Bye),
            "error" => {
                let error = value.get("error").cloned().unwrap_or_default();
                let error = serde_json::from_value(error)
                    .map_err(|error| wrong(format!("its member `error` has no `name` and `message` ({error})")))?;
                Ok(Self::Error(error))
            }
            other => {
                Err(wrong(format!("its type {other:?} is none of offer, answer, candidate, request, bye and error")))
            }
        }
    }

    /// The message as JSON.
    pub fn to_json(&self) -> String {
        match self {
            Self::Description(description) => description.to_json(),
            Self::Candidate(candidate) => json!({
                "type": "candidate",
                "candidate": candidate.candidate,
                "sdpMid": candidate.sdp_mid,
                "sdpMLineIndex": candidate.sdp_m_line_index,
                "usernameFragment": candidate.username_fragment,
            })
            .to_string(),
            Self::Request => json!({ "type": "request" }).to_string(),
            Self::Bye => json!({ "type": "bye" }).to_string(),
            Self::Error(error) => json!({ "type": "error", "error": error }).to_string(),
        }
    }

    /// The description, if it is one of that type.
    pub fn description(&self, sdp_type: SdpType) -> Option<&SessionDescription> {
        match self {
            Self::Description(description) if description.sdp_type() == sdp_type => Some(description),
            _ => None,
        }
    }
}

/// A candidate, whose members may stand in the message itself or, as some programs send them, in an object within.
fn candidate(value: &Value) -> Result<IceCandidate, DescriptionError> {
    match value.get("candidate") {
        Some(inner @ Value::Object(_)) => IceCandidate::from_json(&inner.to_string()),
        None | Some(Value::Null) => IceCandidate::from_json(&json!({ "candidate": "" }).to_string()),
        _ => IceCandidate::from_json(&value.to_string()),
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
        for message in [Message::Candidate(candidate), Message::Request, Message::Bye, Message::Error(refused)] {
            assert_eq!(Message::from_json(&message.to_json()).unwrap(), message);
        }
    }

    #[test]
    fn every_form_of_the_last_candidate_is_taken() {
        for text in [
            r#"{"type":"candidate","candidate":null}"#,
            r#"{"type":"candidate","candidate":"","sdpMid":"0"}"#,
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
            ("[]", "`type`"),
            (r#"{"type":"hello"}"#, "\"hello\""),
            (r#"{"type":"offer"}"#, "sdp"),
            (r#"{"type":"error"}"#, "`name`"),
        ] {
            let error = Message::from_json(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
