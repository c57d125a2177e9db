//! `a=ssrc`, `a=ssrc-group` and `a=msid`: which streams and which tracks an m-line carries.

use std::fmt;
use std::str::FromStr;

use crate::sdp::limits::MAXIMUM_GROUPED_SOURCES;
use crate::types::Ssrc;

/// What the `a=ssrc` lines say about one source (RFC 5576 §4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SsrcDescription {
    /// The source.
    pub ssrc: Ssrc,
    /// Its canonical name.
    pub cname: Option<String>,
    /// Its track in the old form, before `a=msid` stood for the whole m-line.
    pub msid: Option<Msid>,
}

/// Sources that belong together (RFC 5576 §4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SsrcGroup {
    /// How: `FID` for a stream and its retransmission, `SIM`, `FEC-FR`.
    pub semantics: String,
    /// The sources, in the order that the semantics asks for.
    pub ssrcs: Vec<Ssrc>,
}

impl FromStr for SsrcGroup {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "`a=ssrc-group:<semantics> <ssrc> <ssrc>…`, such as `a=ssrc-group:FID 1 2`";
        const MANY: &str = "no more than 32 sources in one group";
        if text.starts_with(' ') {
            return Err(FORM);
        }
        let mut words = text.split_ascii_whitespace();
        let semantics = words.next().ok_or(FORM)?.to_owned();
        let ssrcs = words.take(MAXIMUM_GROUPED_SOURCES + 1).map(|word| word.parse().map(Ssrc));
        let ssrcs = ssrcs.collect::<Result<Vec<_>, _>>().map_err(|_| FORM)?;
        if ssrcs.len() > MAXIMUM_GROUPED_SOURCES {
            return Err(MANY);
        }
        if ssrcs.is_empty() { Err(FORM) } else { Ok(Self { semantics, ssrcs }) }
    }
}

impl fmt::Display for SsrcGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.semantics)?;
        self.ssrcs.iter().try_for_each(|ssrc| write!(f, " {ssrc}"))
    }
}

/// A stream and, in it, a track (RFC 8830).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Msid {
    /// The MediaStream; `None` if the track is in none, which is written `-`.
    pub stream: Option<String>,
    /// The track; older and newer peers leave it out.
    pub track: Option<String>,
}

impl FromStr for Msid {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split_ascii_whitespace();
        let stream = words.next().ok_or("`a=msid:<stream or -> <track>`")?;
        Ok(Self { stream: (stream != "-").then(|| stream.to_owned()), track: words.next().map(str::to_owned) })
    }
}

impl fmt::Display for Msid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.stream.as_deref().unwrap_or("-"))?;
        match &self.track {
            Some(track) => write!(f, " {track}"),
            None => Ok(()),
        }
    }
}
