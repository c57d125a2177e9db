//! The messages of the WebSocket.

use serde::{Deserialize, Serialize};
use serde_json::json;

/// What a viewer may say.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Incoming {
    /// Starts a connection, or changes it.
    Offer { sdp: String },
    /// Completes what `request` began.
    Answer { sdp: String },
    /// Asks the server to offer.
    Request,
    /// One candidate; an empty one or `null` ends them.
    Candidate {
        candidate: Option<String>,
        #[serde(rename = "sdpMid")]
        sdp_mid: Option<String>,
        #[serde(rename = "sdpMLineIndex")]
        sdp_m_line_index: Option<u16>,
        #[serde(rename = "usernameFragment")]
        username_fragment: Option<String>,
    },
    /// Ends the connection.
    Bye,
    /// What the viewer could not make sense of.
    Error { error: ErrorObject },
}

/// The example that a hint shows to whoever sent something else.
const EXAMPLE: &str = r#"send JSON in a text message, such as {"type":"offer","sdp":"v=0\r\n…"}"#;
const TYPES: [&str; 6] = ["offer", "answer", "request", "candidate", "bye", "error"];

impl Incoming {
    /// Reads a text message.
    pub(crate) fn parse(text: &str) -> Result<Self, ErrorObject> {
        let mut value: serde_json::Value = serde_json::from_str(text)
            .map_err(|error| ErrorObject::new("SyntaxError", format!("the message is not JSON: {error}"), EXAMPLE))?;
        let Some(kind) = value.get("type").and_then(|kind| kind.as_str()) else {
            return Err(ErrorObject::new("TypeError", "the message has no \"type\"", EXAMPLE));
        };
        if !TYPES.contains(&kind) {
            let shown: String = kind.chars().take(40).collect();
            let hint = format!("the types are {}", TYPES.join(", "));
            return Err(ErrorObject::new("TypeError", format!("there is no message of the type {shown:?}"), hint));
        }
        let kind = kind.to_owned();
        flatten_candidate(&mut value);
        serde_json::from_value(value).map_err(|error| {
            let hint = match kind.as_str() {
                "offer" | "answer" => format!(r#"send {{"type":"{kind}","sdp":"v=0\r\n…"}}"#),
                "candidate" => {
                    r#"send {"type":"candidate","candidate":"candidate:…","sdpMid":"0","sdpMLineIndex":0}"#.to_owned()
                }
                _ => EXAMPLE.to_owned(),
            };
            ErrorObject::new("TypeError", format!("the message of the type {kind:?} is wrong: {error}"), hint)
        })
    }
}

/// Many programs send the candidate as the object that browsers hand them, within the message; its members are lifted
/// into the message itself.
fn flatten_candidate(message: &mut serde_json::Value) {
    let Some(members) = message.as_object_mut() else { return };
    if let Some(serde_json::Value::Object(inner)) = members.get("candidate").cloned() {
        members.remove("candidate");
        members.extend(inner.into_iter().filter(|(name, _)| name != "type"));
    }
}

/// What the server says.
#[derive(Debug, Clone)]
pub(crate) enum Outgoing {
    Answer { sdp: String },
    Bye,
    Candidate { candidate: String, sdp_mid: Option<String>, sdp_m_line_index: Option<u16> },
    Error(ErrorObject),
    Offer { sdp: String },
}

impl Outgoing {
    /// The message's text.
    pub(crate) fn to_json(&self) -> String {
        match self {
            Self::Answer { sdp } => json!({"type": "answer", "sdp": sdp}),
            Self::Bye => json!({"type": "bye"}),
            Self::Candidate { candidate, sdp_mid, sdp_m_line_index } => json!({
                "type": "candidate",
                "candidate": candidate,
                "sdpMid": sdp_mid,
                "sdpMLineIndex": sdp_m_line_index,
            }),
            Self::Error(error) => json!({"type": "error", "error": error}),
            Self::Offer { sdp } => json!({"type": "offer", "sdp": sdp}),
        }
        .to_string()
    }
}

/// An error as the protocol carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErrorObject {
    /// The name of the W3C's DOMException, or a JavaScript error's.
    #[serde(default)]
    pub(crate) name: String,
    /// What happened and why.
    #[serde(default)]
    pub(crate) message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

impl ErrorObject {
    /// An error with a hint.
    pub(crate) fn new(name: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name: name.to_owned(), message: message.into(), hint: Some(hint.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_may_come_as_the_browser_s_object() {
        let text = r#"{"type":"candidate","candidate":{"candidate":"candidate:1 …","sdpMid":"0","sdpMLineIndex":0}}"#;
        let Ok(Incoming::Candidate { candidate, sdp_mid, sdp_m_line_index, .. }) = Incoming::parse(text) else {
            panic!("it is a candidate");
        };
        assert_eq!(candidate.as_deref(), Some("candidate:1 …"));
        assert_eq!((sdp_mid.as_deref(), sdp_m_line_index), (Some("0"), Some(0)));
    }

    #[test]
    fn wrong_messages_are_named() {
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
            let error = Incoming::parse(text).expect_err(text);
            assert_eq!(error.name, name, "{text}");
            assert!(error.message.contains(part), "{text}: {}", error.message);
            assert!(error.hint.is_some_and(|hint| !hint.is_empty()), "{text}");
        }
    }

    #[test]
    fn the_end_of_candidates_is_an_empty_one_or_null() {
        for text in [r#"{"type":"candidate","candidate":""}"#, r#"{"type":"candidate","candidate":null,"sdpMid":null}"#]
        {
            let Ok(Incoming::Candidate { candidate, .. }) = Incoming::parse(text) else { panic!("{text}") };
            assert_eq!(candidate.unwrap_or_default(), "");
        }
    }
}
