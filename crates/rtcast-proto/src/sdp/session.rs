//! A whole SDP as WebRTC reads it.

use std::collections::HashSet;
use std::fmt;

use sdp_types::{AddrType, Attribute, NetType, Origin, Time};

use crate::sdp::error::DescriptionError;
use crate::sdp::limits::{self, DescriptionLimits};
use crate::sdp::lines::{self, Line, SdpLines};
use crate::sdp::media::{Inherited, Media};
use crate::types::Mid;

/// The fields of an SDP that offers and answers are made of (RFC 8829 §5.8).
///
/// What stands at session level and holds for every m-line (Firefox's fingerprint, for instance) is found in each
/// [`Media`]. Attributes that are not known here are not kept; [`SdpLines`] keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Session {
    /// The user name of `o=`, `-` if empty.
    pub username: Option<String>,
    /// The session's identifier in `o=`.
    pub id: String,
    /// The version in `o=`, which rises with each change.
    pub version: u64,
    /// The mids of each `a=group:BUNDLE`.
    pub bundle: Vec<Vec<Mid>>,
    /// Whether the peer is an ICE-lite agent.
    pub ice_lite: bool,
    /// Whether one-byte and two-byte header extensions may be mixed in one stream (RFC 8285 §6).
    pub extmap_allow_mixed: bool,
    /// The m-lines.
    pub media: Vec<Media>,
}

impl Session {
    /// Reads an SDP, every line and every known attribute.
    ///
    /// # Errors
    /// A [`DescriptionError`] with the line that is wrong.
    pub fn parse(text: &str) -> Result<Self, DescriptionError> {
        Self::parse_within(text, &DescriptionLimits::DEFAULT)
    }

    /// The same with limits of the caller's: what comes from strangers should be no larger than what they need.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_within(text: &str, limits: &DescriptionLimits) -> Result<Self, DescriptionError> {
        Self::parse_in_passes(text, limits).map_err(|error| {
            // The passes look for different mistakes; a person wants to hear of the first wrong line first.
            let head = |line: usize| text.split_inclusive('\n').take(line.saturating_sub(1)).collect::<String>();
            match error.line().map(|line| Self::parse_within(&head(line), limits)) {
                Some(Err(earlier @ DescriptionError::Line { .. })) => earlier,
                _ => error,
            }
        })
    }

    fn parse_in_passes(text: &str, limits: &DescriptionLimits) -> Result<Self, DescriptionError> {
        let (parsed, lines) = lines::parse(text, limits)?;
        let sections = sections(&lines);
        let origin = &parsed.session().origin;
        let mut session = Self {
            username: origin.username.clone(),
            id: origin.sess_id.clone(),
            version: origin.sess_version,
            ..Self::default()
        };
        let mut inherited = Inherited::default();
        let mut grouped = HashSet::new();
        for line in sections.first().copied().unwrap_or_default() {
            let Some((name, value)) = line.attribute() else { continue };
            match name {
                "group" => {
                    let mut words = value.split_ascii_whitespace();
                    if words.next() == Some("BUNDLE") {
                        // RFC 9143 §7: an m-line is in one group at most, and there once.
                        let group: Vec<Mid> = words.filter(|word| grouped.insert(*word)).map(Mid::from).collect();
                        if grouped.len() > limits.media_lines {
                            let most = limits.media_lines;
                            return Err(
                                line.error(format!("no more than {most} mids in all groups, as there are m-lines"))
                            );
                        }
                        if !group.is_empty() {
                            session.bundle.push(group);
                        }
                    }
                }
                "ice-lite" => session.ice_lite = true,
                "extmap-allow-mixed" => session.extmap_allow_mixed = true,
                _ => inherited.attribute(line, name, value)?,
            }
        }
        let inherited = inherited.share();
        let mut memory = limits::head(&session) + inherited.memory();
        session.media.reserve_exact(parsed.session().medias.len());
        for (media, section) in parsed.session().medias.iter().zip(sections.get(1..).unwrap_or_default()) {
            let (mut media, own) = Media::parse(media, parsed.session().connection.as_ref(), section, &inherited)?;
            media.extmap_allow_mixed |= session.extmap_allow_mixed;
            memory += limits::media(&media) + own;
            if memory > limits.memory
                && let Some(line) = section.first()
            {
                let most = limits.memory;
                return Err(
                    line.error(format!("so few formats, sources and m-lines that all fit in {most} bytes of memory"))
                );
            }
            session.media.push(media);
        }
        Ok(session)
    }

    /// The place of the m-line with this mid.
    pub fn index_of(&self, mid: &Mid) -> Option<usize> {
        self.media.iter().position(|media| media.mid.as_ref() == Some(mid))
    }

    fn to_lines(&self) -> SdpLines {
        let origin = Origin {
            username: self.username.clone(),
            sess_id: self.id.clone(),
            sess_version: self.version,
            nettype: NetType::In,
            addrtype: AddrType::Ip4,
            unicast_address: "127.0.0.1".to_owned(),
        };
        let mut lines = sdp_types::Session::new(origin, "-");
        lines.add_time(Time::new(0, 0));
        for group in &self.bundle {
            let mids = group.iter().map(|mid| format!(" {mid}")).collect::<String>();
            lines.add_attribute(Attribute::with_value("group", format!("BUNDLE{mids}")));
        }
        if self.ice_lite {
            lines.add_attribute(Attribute::new("ice-lite"));
        }
        if self.extmap_allow_mixed {
            lines.add_attribute(Attribute::new("extmap-allow-mixed"));
        }
        lines.add_attribute(Attribute::with_value("msid-semantic", "WMS *"));
        for media in &self.media {
            lines.add_media(media.to_lines(self.extmap_allow_mixed));
        }
        SdpLines::new(lines)
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_lines().fmt(f)
    }
}

/// The lines of the session, then those of each m-line.
fn sections<'l, 't>(lines: &'l [Line<'t>]) -> Vec<&'l [Line<'t>]> {
    let starts = lines.iter().enumerate().filter(|(_, line)| line.key == b'm').map(|(index, _)| index);
    let ends: Vec<usize> = starts.chain([lines.len()]).collect();
    let mut sections = Vec::with_capacity(ends.len());
    let mut start = 0;
    for end in ends {
        sections.push(lines.get(start..end).unwrap_or_default());
        start = end;
    }
    sections
}
