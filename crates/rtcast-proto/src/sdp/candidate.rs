//! ICE candidates: the line of SDP, and the W3C's `RTCIceCandidateInit`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sdp::error::{DescriptionError, shortened};
use crate::sdp::json;
use crate::sdp::limits;
use crate::sdp::{MAXIMUM_CANDIDATE_EXTENSIONS, MAXIMUM_CANDIDATE_LENGTH};

/// What kind of address a candidate is (RFC 8445 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CandidateType {
    /// An address of the machine itself.
    Host,
    /// The address that a STUN server sees.
    ServerReflexive,
    /// The address that the peer sees.
    PeerReflexive,
    /// An address at a TURN server.
    Relayed,
}

impl CandidateType {
    /// The word after `typ`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Host, Self::ServerReflexive, Self::PeerReflexive, Self::Relayed].into_iter().find(|t| t.as_str() == word)
    }
}

impl fmt::Display for CandidateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A candidate as it stands after `a=` (RFC 8839 §5.1).
///
/// Written, it gives `candidate:…` without the `a=`. Read, it may have `a=candidate:`, `candidate:` or neither in front.
///
/// ```
/// use rtcast_proto::Candidate;
/// use rtcast_proto::sdp::CandidateType;
///
/// let candidate: Candidate = "candidate:1 1 udp 2130706431 192.0.2.7 50000 typ host ufrag Hzo6".parse()?;
/// assert_eq!((candidate.typ, candidate.port), (CandidateType::Host, 50_000));
/// assert_eq!(candidate.extension("ufrag"), Some("Hzo6"));
/// assert!(!candidate.is_mdns());
/// # Ok::<(), rtcast_proto::DescriptionError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// What candidates of one kind, base and server have in common.
    pub foundation: String,
    /// 1 for RTP, and for everything when RTCP is multiplexed.
    pub component: u16,
    /// `udp` or `tcp`, in the case of letters that the peer used.
    pub transport: String,
    /// The higher, the sooner it is tried.
    pub priority: u32,
    /// An IP address, or a name that ends in `.local` and is resolved by mDNS.
    pub address: String,
    /// The port; 9 for a TCP candidate that only connects.
    pub port: u16,
    /// The kind of address.
    pub typ: CandidateType,
    /// The base of a candidate that is not a host's.
    pub related_address: Option<String>,
    /// The port of the base.
    pub related_port: Option<u16>,
    /// `active`, `passive` or `so` (RFC 6544 §4.5).
    pub tcp_type: Option<String>,
    /// Names and values that follow, such as `generation 0` or `ufrag Hzo6`, kept in order.
    pub extensions: Vec<(String, String)>,
}

impl Candidate {
    /// Whether the address must be resolved by mDNS first.
    pub fn is_mdns(&self) -> bool {
        self.address.len() > 6 && self.address.to_ascii_lowercase().ends_with(".local")
    }

    /// The bytes that it takes in memory.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + limits::candidate(self)
    }

    /// The value of one extension, such as `ufrag`.
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl FromStr for Candidate {
    type Err = DescriptionError;

    fn from_str(text: &str) -> Result<Self, DescriptionError> {
        let line = text.trim();
        let line = line.strip_prefix("a=").unwrap_or(line);
        parse_candidate(line.strip_prefix("candidate:").unwrap_or(line)).map_err(|problem| {
            DescriptionError::Candidate {
                text: shortened(text),
                problem,
                hint: "a candidate reads `candidate:<foundation> <component> udp <priority> <address> <port> typ \
                       host|srflx|prflx|relay`; an empty text ends the candidates"
                    .into(),
            }
        })
    }
}

/// Reads what follows `candidate:`; the error says what is wrong.
pub(crate) fn parse_candidate(text: &str) -> Result<Candidate, String> {
    if text.len() > MAXIMUM_CANDIDATE_LENGTH {
        return Err(format!("it has {} bytes, and {MAXIMUM_CANDIDATE_LENGTH} are the most", text.len()));
    }
    let mut words = text.split_ascii_whitespace();
    let mut next = |name: &str| words.next().ok_or_else(|| format!("it ends before the {name}"));
    let number = |name: &str, word: &str, highest: u32| match word.parse::<u32>() {
        Ok(number) if number <= highest => Ok(number),
        _ => Err(format!("the {name} {:?} is not a number from 0 to {highest}", shortened(word))),
    };
    let foundation = next("foundation")?.to_owned();
    let component = number("component", next("component")?, 65_535)? as u16;
    let transport = next("transport")?.to_owned();
    let priority = number("priority", next("priority")?, u32::MAX)?;
    let address = next("address")?.to_owned();
    let port = number("port", next("port")?, 65_535)? as u16;
    let typ = next("word \"typ\"")?;
    if typ != "typ" {
        return Err(format!("{:?} stands where the word \"typ\" belongs", shortened(typ)));
    }
    let word = next("type")?;
    let typ = CandidateType::from_word(word)
        .ok_or_else(|| format!("the type {:?} is none of host, srflx, prflx, relay", shortened(word)))?;
    let mut candidate = Candidate {
        foundation,
        component,
        transport,
        priority,
        address,
        port,
        typ,
        related_address: None,
        related_port: None,
        tcp_type: None,
        extensions: Vec::new(),
    };
    while let Some(name) = words.next() {
        // RFC 8839 §5.1: extensions come in pairs; a name without a value, as some write at the end, is let by.
        let value = words.next().unwrap_or_default();
        match name {
            "raddr" => candidate.related_address = Some(value.to_owned()),
            "rport" => candidate.related_port = Some(number("rport", value, 65_535)? as u16),
            "tcptype" => candidate.tcp_type = Some(value.to_owned()),
            _ if candidate.extensions.len() >= MAXIMUM_CANDIDATE_EXTENSIONS => {
                return Err(format!("more than {MAXIMUM_CANDIDATE_EXTENSIONS} names and values follow"));
            }
            _ => candidate.extensions.push((name.to_owned(), value.to_owned())),
        }
    }
    Ok(candidate)
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "candidate:{} {} {} {} {} {} typ {}",
            self.foundation, self.component, self.transport, self.priority, self.address, self.port, self.typ
        )?;
        if let Some(address) = &self.related_address {
            write!(f, " raddr {address}")?;
        }
        if let Some(port) = self.related_port {
            write!(f, " rport {port}")?;
        }
        if let Some(tcp_type) = &self.tcp_type {
            write!(f, " tcptype {tcp_type}")?;
        }
        for (name, value) in &self.extensions {
            write!(f, " {name} {value}")?;
        }
        Ok(())
    }
}

/// A candidate with the m-line that it belongs to: W3C's `RTCIceCandidateInit`.
///
/// ```
/// use rtcast_proto::IceCandidate;
///
/// let message = r#"{"candidate":"candidate:1 1 udp 2130706431 192.0.2.7 50000 typ host","sdpMid":"0","sdpMLineIndex":0}"#;
/// let candidate = IceCandidate::from_json(message)?;
/// assert_eq!(candidate.sdp_mid.as_deref(), Some("0"));
/// assert_eq!(candidate.parsed()?.map(|parsed| parsed.address), Some("192.0.2.7".to_owned()));
/// assert!(IceCandidate::from_json("null")?.is_end_of_candidates());
/// # Ok::<(), rtcast_proto::DescriptionError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IceCandidate {
    /// The line of SDP, `candidate:…`; empty when there are no more.
    pub candidate: String,
    /// The `a=mid` of the m-line.
    pub sdp_mid: Option<String>,
    /// The place of the m-line, from 0.
    pub sdp_m_line_index: Option<u16>,
    /// The ICE user name fragment, which tells the generations of an ICE restart apart.
    pub username_fragment: Option<String>,
}

impl IceCandidate {
    /// The JSON that browsers exchange: `{"candidate":…,"sdpMid":…,"sdpMLineIndex":…,"usernameFragment":…}`.
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// Reads such JSON; `null` and an empty candidate end the candidates.
    ///
    /// # Errors
    /// [`DescriptionError::Json`] if it has another shape, [`DescriptionError::Candidate`] if the line cannot be read.
    pub fn from_json(text: &str) -> Result<Self, DescriptionError> {
        let wrong = |problem: String| DescriptionError::Json {
            problem,
            hint: "a candidate in JSON is what `JSON.stringify(event.candidate)` gives: \
                   `{\"candidate\": \"candidate:…\", \"sdpMid\": \"0\", \"sdpMLineIndex\": 0}`, or null at the end"
                .into(),
        };
        let object = match json::parse(text)? {
            Value::Null => return Ok(Self::default()),
            Value::Object(object) => object,
            other => return Err(wrong(format!("this JSON is {}, not a candidate", json::kind_of(&other)))),
        };
        let string = |name: &str| match object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(wrong(format!("`{name}` is {}, not a string", json::kind_of(other)))),
        };
        let candidate = match object.get("candidate") {
            // The message of a signalling protocol that ends the candidates with null.
            Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => return Err(wrong(format!("`candidate` is {}, not a string", json::kind_of(other)))),
            None => return Err(wrong("the JSON has no `candidate`".to_owned())),
        };
        let sdp_m_line_index = match object.get("sdpMLineIndex") {
            None | Some(Value::Null) => None,
            Some(value) => match value.as_u64().and_then(|index| u16::try_from(index).ok()) {
                Some(index) => Some(index),
                None => return Err(wrong("`sdpMLineIndex` is not a number from 0 to 65535".to_owned())),
            },
        };
        let init = Self {
            candidate,
            sdp_mid: string("sdpMid")?,
            sdp_m_line_index,
            username_fragment: string("usernameFragment")?,
        };
        init.parsed()?;
        Ok(init)
    }

    /// Whether this says that no more candidates come.
    pub fn is_end_of_candidates(&self) -> bool {
        let line = self.candidate.trim();
        let line = line.strip_prefix("a=").unwrap_or(line);
        line.is_empty() || line == "end-of-candidates" || line == "candidate:"
    }

    /// The fields of the candidate, `None` if it ends the candidates.
    ///
    /// # Errors
    /// [`DescriptionError::Candidate`] if it cannot be read.
    pub fn parsed(&self) -> Result<Option<Candidate>, DescriptionError> {
        if self.is_end_of_candidates() { Ok(None) } else { self.candidate.parse().map(Some) }
    }
}

impl<'de> Deserialize<'de> for IceCandidate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_json(&value.to_string()).map_err(serde::de::Error::custom)
    }
}
