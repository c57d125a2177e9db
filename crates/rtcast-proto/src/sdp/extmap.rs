//! `a=extmap`: the RTP header extensions of an m-line (RFC 8285 §5).

use std::fmt;
use std::str::FromStr;

use crate::sdp::direction::Direction;

/// One header extension with its number on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderExtension {
    /// The number in the packets: 1 to 14 fits the one-byte form, up to 255 the two-byte form.
    pub id: u8,
    /// Which way it is used, seen from the side whose description it stands in.
    pub direction: Direction,
    /// The name of the extension.
    pub uri: String,
    /// Attributes after the name, as they stand.
    pub attributes: Option<String>,
}

impl FromStr for HeaderExtension {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "`a=extmap:<1 to 255> <URI>`, such as `a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid`";
        let (head, rest) = text.trim().split_once(' ').ok_or(FORM)?;
        let (id, direction) = match head.split_once('/') {
            Some((id, word)) => (id, Direction::from_word(word).ok_or(FORM)?),
            None => (head, Direction::Sendrecv),
        };
        let (uri, attributes) = match rest.trim().split_once(' ') {
            Some((uri, attributes)) => (uri, Some(attributes.to_owned())),
            None => (rest.trim(), None),
        };
        // RFC 8285 §5: 4096 to 4351 stand for "to be numbered by the answerer", which WebRTC does not use.
        let id = id.parse::<u8>().ok().filter(|id| *id != 0).ok_or(FORM)?;
        if uri.is_empty() {
            return Err(FORM);
        }
        Ok(Self { id, direction, uri: uri.to_owned(), attributes })
    }
}

impl fmt::Display for HeaderExtension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        if self.direction != Direction::Sendrecv {
            write!(f, "/{}", self.direction)?;
        }
        write!(f, " {}", self.uri)?;
        match &self.attributes {
            Some(attributes) => write!(f, " {attributes}"),
            None => Ok(()),
        }
    }
}
