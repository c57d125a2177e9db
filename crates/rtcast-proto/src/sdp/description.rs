//! A description: a type and an SDP, W3C's `RTCSessionDescription`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sdp::error::{DescriptionError, shortened};
use crate::sdp::json;
use crate::sdp::limits::DescriptionLimits;
use crate::sdp::session::Session;

/// The part that a description plays in a negotiation: W3C's `RTCSdpType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SdpType {
    /// A proposal.
    Offer,
    /// The final reply to an offer.
    Answer,
    /// A reply that another one follows.
    Pranswer,
    /// Takes a pending offer back; its SDP is empty.
    Rollback,
}

impl SdpType {
    /// The word of the W3C.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::Pranswer => "pranswer",
            Self::Rollback => "rollback",
        }
    }
}

impl fmt::Display for SdpType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SdpType {
    type Err = DescriptionError;

    fn from_str(word: &str) -> Result<Self, DescriptionError> {
        let all = [Self::Offer, Self::Answer, Self::Pranswer, Self::Rollback];
        if let Some(found) = all.into_iter().find(|kind| kind.as_str() == word) {
            return Ok(found);
        }
        let hint = if let Some(meant) = all.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(word.trim())) {
            format!("write it {:?}, in small letters and without blanks", meant.as_str()).into()
        } else if word.trim_start().starts_with("v=") {
            "this is SDP: the type comes first and the SDP second".into()
        } else if word.trim_start().starts_with('{') {
            "this is JSON: read it with `SessionDescription::from_json`".into()
        } else {
            "it is one of \"offer\", \"answer\", \"pranswer\" and \"rollback\"".into()
        };
        Err(DescriptionError::Type { found: shortened(word), hint })
    }
}

/// An offer or an answer, read and checked for its form.
///
/// Equal if type and text are equal.
///
/// ```
/// use rtcast_proto::{SdpType, SessionDescription};
///
/// let error = SessionDescription::new(SdpType::Offer, r#"{"type":"offer","sdp":"v=0"}"#).unwrap_err();
/// assert!(error.to_string().contains("SessionDescription::from_json"));
/// ```
///
/// [`session`](Self::session) has what the text says, and [`to_json`](Self::to_json) what browsers read:
///
/// ```
/// use rtcast_proto::{MediaKind, SdpType, SessionDescription};
///
/// let sdp = "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\nm=video 9 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\n";
/// let offer = SessionDescription::new(SdpType::Offer, sdp)?;
/// assert_eq!(offer.session().media[0].media_kind(), Some(MediaKind::Video));
/// assert_eq!(SessionDescription::from_json(&offer.to_json())?, offer);
/// # Ok::<(), rtcast_proto::DescriptionError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SessionDescription {
    sdp_type: SdpType,
    content: Arc<Content>,
}

/// The text and what it says, shared by all clones: a connection keeps several of each description.
#[derive(Debug)]
struct Content {
    sdp: Box<str>,
    session: Session,
}

impl SessionDescription {
    /// A description of this type with this text, whose lines may end with CR LF or LF.
    ///
    /// The text of a [`SdpType::Rollback`] is not looked at (W3C webrtc-pc §4.4.1.5).
    ///
    /// # Errors
    /// A [`DescriptionError`] that names the mistake when the text is not SDP, and the line that is wrong.
    pub fn new(sdp_type: SdpType, sdp: impl Into<String>) -> Result<Self, DescriptionError> {
        Self::new_within(sdp_type, sdp, &DescriptionLimits::DEFAULT)
    }

    /// The same with limits of the caller's, such as a server's for what strangers offer.
    ///
    /// ```
    /// use rtcast_proto::{DescriptionLimits, SdpType, SessionDescription};
    ///
    /// let limits = DescriptionLimits { media_lines: 2, ..DescriptionLimits::DEFAULT };
    /// let three = "m=audio 9 UDP/TLS/RTP/SAVPF 0\n".repeat(3);
    /// let sdp = format!("v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\n{three}");
    /// assert!(SessionDescription::new(SdpType::Offer, sdp.clone()).is_ok());
    /// let error = SessionDescription::new_within(SdpType::Offer, sdp, &limits).unwrap_err();
    /// assert_eq!(error.line(), Some(7), "the third m-line is too much");
    /// ```
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn new_within(
        sdp_type: SdpType,
        sdp: impl Into<String>,
        limits: &DescriptionLimits,
    ) -> Result<Self, DescriptionError> {
        let sdp = sdp.into();
        if sdp_type == SdpType::Rollback {
            return Ok(Self::rollback());
        }
        let session = Session::parse_within(&sdp, limits)?;
        Ok(Self::build(sdp_type, sdp, session))
    }

    /// The description that takes a pending offer back.
    pub fn rollback() -> Self {
        Self::build(SdpType::Rollback, String::new(), Session::default())
    }

    /// A description that was made here; its text is written from the session.
    pub(crate) fn from_session(sdp_type: SdpType, session: Session) -> Self {
        Self::build(sdp_type, session.to_string(), session)
    }

    fn build(sdp_type: SdpType, sdp: String, session: Session) -> Self {
        Self { sdp_type, content: Arc::new(Content { sdp: sdp.into_boxed_str(), session }) }
    }

    /// Reads `{"type": "offer", "sdp": "v=0…"}`, as `JSON.stringify` of a browser's description gives it.
    ///
    /// # Errors
    /// [`DescriptionError::Json`] if the JSON has another shape, otherwise as [`new`](Self::new).
    pub fn from_json(text: &str) -> Result<Self, DescriptionError> {
        Self::from_value(&json::parse(text)?)
    }

    /// Reads a JSON value that was parsed before, as [`from_json`](Self::from_json) reads a text.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json).
    pub fn from_value(value: &Value) -> Result<Self, DescriptionError> {
        let wrong = |problem: String| DescriptionError::Json {
            problem,
            hint: "a description in JSON is `{\"type\": \"offer\", \"sdp\": \"v=0…\"}`, as \
                   `JSON.stringify(pc.localDescription)` gives it"
                .into(),
        };
        let object = match value {
            Value::Object(object) => object,
            // A description that was turned into JSON twice.
            Value::String(inner) if inner.trim_start().starts_with('{') => {
                return Err(DescriptionError::Json {
                    problem: "this JSON is a string that holds JSON: the description was encoded twice".into(),
                    hint: "call `JSON.stringify` or `json.dumps` once, or decode once more".into(),
                });
            }
            Value::Null => {
                return Err(DescriptionError::Json {
                    problem: "this JSON is null, not a description".into(),
                    hint: "the other peer has no local description yet: send it after its setLocalDescription".into(),
                });
            }
            other => return Err(wrong(format!("this JSON is {}, not a description", json::kind_of(other)))),
        };
        let text = |name: &str| match object.get(name) {
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(other) => Err(wrong(format!("`{name}` in this JSON is {}, not a string", json::kind_of(other)))),
            None if object.contains_key("candidate") => Err(DescriptionError::Json {
                problem: format!("this JSON has no `{name}`; it is an ICE candidate"),
                hint: "read it with `IceCandidate::from_json` and pass it to `add_ice_candidate`".into(),
            }),
            None => Err(wrong(format!("this JSON has no `{name}`"))),
        };
        let sdp_type: SdpType = text("type")?.parse()?;
        if sdp_type == SdpType::Rollback {
            return Ok(Self::rollback());
        }
        Self::new(sdp_type, text("sdp")?)
    }

    /// The JSON that browsers read: `{"type":…,"sdp":…}`.
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// The text, as it came or as it was written here.
    pub fn sdp(&self) -> &str {
        &self.content.sdp
    }

    /// The type.
    pub const fn sdp_type(&self) -> SdpType {
        self.sdp_type
    }

    /// The text as a typed model.
    pub fn session(&self) -> &Session {
        &self.content.session
    }
}

impl PartialEq for SessionDescription {
    fn eq(&self, other: &Self) -> bool {
        self.sdp_type == other.sdp_type && self.sdp() == other.sdp()
    }
}

impl Eq for SessionDescription {}

impl Serialize for SessionDescription {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("SessionDescription", 2)?;
        object.serialize_field("type", self.sdp_type.as_str())?;
        object.serialize_field("sdp", self.sdp())?;
        object.end()
    }
}

impl<'de> Deserialize<'de> for SessionDescription {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_value(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Writing as JSON, also for a description that may not be there, which gives `null`.
///
/// ```
/// use rtcast_proto::{SessionDescription, ToJson};
///
/// let mut description: Option<SessionDescription> = None;
/// assert_eq!(description.to_json(), "null");
/// description = Some(SessionDescription::rollback());
/// assert_eq!(SessionDescription::from_json(&description.to_json())?, SessionDescription::rollback());
/// # Ok::<(), rtcast_proto::DescriptionError>(())
/// ```
pub trait ToJson {
    /// The JSON text.
    fn to_json(&self) -> String;
}

impl ToJson for SessionDescription {
    fn to_json(&self) -> String {
        Self::to_json(self)
    }
}

impl ToJson for Option<SessionDescription> {
    fn to_json(&self) -> String {
        self.as_ref().map_or_else(|| "null".to_owned(), SessionDescription::to_json)
    }
}
