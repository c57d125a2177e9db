//! One m-line with its attributes.

use std::collections::HashMap;
use std::sync::Arc;

use sdp_types::{Attribute, Connection};

use crate::sdp::candidate::{Candidate, parse_candidate};
use crate::sdp::codecs::{PayloadFormat, parse_payload_type};
use crate::sdp::direction::Direction;
use crate::sdp::error::{DescriptionError, MediaLine};
use crate::sdp::extmap::HeaderExtension;
use crate::sdp::fingerprint::{Fingerprint, Setup};
use crate::sdp::formats::Formats;
use crate::sdp::limits::{
    self, MAXIMUM_CANDIDATES, MAXIMUM_EXTENSIONS, MAXIMUM_FINGERPRINTS, MAXIMUM_FORMATS, MAXIMUM_ICE_OPTIONS,
    MAXIMUM_MID, MAXIMUM_MSIDS, MAXIMUM_SOURCE_GROUPS, MAXIMUM_SOURCES,
};
use crate::sdp::lines::Line;
use crate::sdp::ssrc::{Msid, SsrcDescription, SsrcGroup};
use crate::types::{MediaKind, Mid, PayloadType, Ssrc};

/// The RTX payload type of each payload type.
pub(crate) type Retransmissions = [Option<PayloadType>; 128];

/// One m-line and the attributes under it that WebRTC knows, with those of the session that hold for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// The first word: `audio`, `video`, `application` or something that WebRTC does not know.
    pub kind: String,
    /// The port; 0 means rejected, unless [`bundle_only`](Self::bundle_only) is set.
    pub port: u16,
    /// The protocol, such as `UDP/TLS/RTP/SAVPF`.
    pub protocol: String,
    /// The formats as they stand in the m-line: payload types, or `webrtc-datachannel`.
    pub formats: Vec<String>,
    /// The address of `c=`, of the session if the m-line has none; `0.0.0.0` if nobody says.
    pub address: String,
    /// `a=mid`.
    pub mid: Option<Mid>,
    /// Who sends, seen from the side that wrote this; without a word in the text it is `sendrecv`.
    pub direction: Direction,
    /// `a=ice-ufrag`.
    pub ice_ufrag: Option<Arc<str>>,
    /// `a=ice-pwd`.
    pub ice_pwd: Option<Arc<str>>,
    /// The words of `a=ice-options`, shared by all m-lines that have them from the session.
    pub ice_options: Arc<[String]>,
    /// Every `a=fingerprint`, shared in the same way.
    pub fingerprints: Arc<[Fingerprint]>,
    /// `a=setup`.
    pub setup: Option<Setup>,
    /// `a=rtcp-mux`.
    pub rtcp_mux: bool,
    /// `a=rtcp-mux-only` (RFC 8858).
    pub rtcp_mux_only: bool,
    /// `a=rtcp-rsize`: RTCP packets need not be compound (RFC 5506).
    pub rtcp_rsize: bool,
    /// `a=bundle-only` (RFC 9143 §6).
    pub bundle_only: bool,
    /// The candidates.
    pub candidates: Vec<Candidate>,
    /// Whether no more candidates come.
    pub end_of_candidates: bool,
    /// What each payload type is, in the order of the m-line; those without meaning are left out.
    pub payload_formats: Vec<PayloadFormat>,
    /// Whether one-byte and two-byte header extensions may be mixed in one stream, here or for the whole session
    /// (RFC 8285 §6).
    pub extmap_allow_mixed: bool,
    /// The RTP header extensions.
    pub extensions: Vec<HeaderExtension>,
    /// The tracks and their streams.
    pub msids: Vec<Msid>,
    /// The sources.
    pub ssrcs: Vec<SsrcDescription>,
    /// How the sources belong together.
    pub ssrc_groups: Vec<SsrcGroup>,
    /// `a=sctp-port` (RFC 8841 §5), or the port of the older `a=sctpmap`.
    pub sctp_port: Option<u16>,
    /// The `a=sctpmap` of peers from before RFC 8841, whole.
    pub sctpmap: Option<String>,
    /// `a=max-message-size` in bytes, 0 for no limit (RFC 8841 §6).
    pub max_message_size: Option<u64>,
}

impl Media {
    /// An m-line with nothing but its first line: port 9, and `sendrecv`.
    pub fn new(kind: impl Into<String>, protocol: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            port: 9,
            protocol: protocol.into(),
            formats: Vec::new(),
            address: "0.0.0.0".to_owned(),
            mid: None,
            direction: Direction::Sendrecv,
            ice_ufrag: None,
            ice_pwd: None,
            ice_options: Arc::default(),
            fingerprints: Arc::default(),
            setup: None,
            rtcp_mux: false,
            rtcp_mux_only: false,
            rtcp_rsize: false,
            bundle_only: false,
            candidates: Vec::new(),
            end_of_candidates: false,
            payload_formats: Vec::new(),
            extmap_allow_mixed: false,
            extensions: Vec::new(),
            msids: Vec::new(),
            ssrcs: Vec::new(),
            ssrc_groups: Vec::new(),
            sctp_port: None,
            sctpmap: None,
            max_message_size: None,
        }
    }

    /// Audio or video, `None` for anything else.
    pub fn media_kind(&self) -> Option<MediaKind> {
        [MediaKind::Audio, MediaKind::Video].into_iter().find(|kind| kind.as_str() == self.kind)
    }

    /// Whether this is the m-line of the data channels.
    pub fn is_data(&self) -> bool {
        self.kind == "application" && matches!(self.protocol.as_str(), "UDP/DTLS/SCTP" | "TCP/DTLS/SCTP" | "DTLS/SCTP")
    }

    /// Whether the m-line is turned down or not in use any more.
    pub const fn is_rejected(&self) -> bool {
        self.port == 0 && !self.bundle_only
    }

    /// Whether the protocol is one of those that mean RTP over DTLS.
    pub fn is_rtp(&self) -> bool {
        // RFC 8829 §5.1.2: some peers write one of the others and mean `UDP/TLS/RTP/SAVPF` all the same.
        matches!(
            self.protocol.as_str(),
            "UDP/TLS/RTP/SAVPF"
                | "UDP/TLS/RTP/SAVP"
                | "TCP/DTLS/RTP/SAVPF"
                | "TCP/DTLS/RTP/SAVP"
                | "RTP/SAVPF"
                | "RTP/SAVP"
                | "RTP/AVPF"
                | "RTP/AVP"
        )
    }

    /// The RTX payload type for this payload type.
    pub fn retransmission_of(&self, payload_type: PayloadType) -> Option<PayloadType> {
        let found = self.payload_formats.iter().find(|format| format.retransmits() == Some(payload_type));
        found.map(|format| format.payload_type)
    }

    /// For each payload type its RTX payload type, for whoever asks of many.
    pub(crate) fn retransmissions(&self) -> Retransmissions {
        let mut found = [None; 128];
        for format in self.payload_formats.iter().rev() {
            let slot = format.retransmits().and_then(|of| found.get_mut(usize::from(of.value())));
            if let Some(slot) = slot {
                *slot = Some(format.payload_type);
            }
        }
        found
    }

    /// The retransmission source of this source, by `a=ssrc-group:FID`.
    pub fn retransmission_ssrc(&self, ssrc: Ssrc) -> Option<Ssrc> {
        let mut groups = self.ssrc_groups.iter().filter(|group| group.semantics == "FID");
        groups.find_map(|group| match group.ssrcs.as_slice() {
            [first, second, ..] if *first == ssrc => Some(*second),
            _ => None,
        })
    }

    pub(crate) fn line(&self, index: usize) -> MediaLine {
        MediaLine { index, kind: self.kind.clone(), mid: self.mid.as_ref().map(|mid| mid.as_str().to_owned()) }
    }

    /// Reads an m-line, and counts the bytes of what it does not share with the session.
    pub(crate) fn parse(
        m_line: &sdp_types::Media,
        session: Option<&Connection>,
        lines: &[Line<'_>],
        inherited: &SharedAttributes,
    ) -> Result<(Self, usize), DescriptionError> {
        let mut media = Self::new(&m_line.media, &m_line.proto);
        media.port = m_line.port;
        // One more than there may be, which the m-line itself is then told of.
        media.formats = m_line.fmt.split_ascii_whitespace().take(MAXIMUM_FORMATS + 1).map(str::to_owned).collect();
        if let Some(connection) = m_line.connections.first().or(session) {
            media.address.clone_from(&connection.connection_address);
        }
        let mut reading = Reading::default();
        let mut order = Vec::new();
        for line in lines {
            match line.attribute() {
                Some((name, value)) => media.attribute(line, name, value, &mut reading)?,
                None if line.key == b'm' && media.formats.len() > MAXIMUM_FORMATS => {
                    return Err(line.error("no more than 128 formats in one m-line"));
                }
                None if line.key == b'm' && media.protocol.contains("RTP/") => {
                    let numbers = media.formats.iter().map(|format| parse_payload_type(format));
                    order = numbers
                        .collect::<Option<Vec<_>>>()
                        .ok_or_else(|| line.error("payload types from 0 to 127 after the protocol, such as `96 97`"))?;
                }
                None => {}
            }
        }
        media.payload_formats = reading.formats.assemble(&order);
        let own = reading.transport.share();
        let memory = own.memory();
        media.inherit(&own, inherited);
        // A description is kept as long as its connection.
        media.formats.shrink_to_fit();
        media.extensions.shrink_to_fit();
        media.candidates.shrink_to_fit();
        media.msids.shrink_to_fit();
        media.ssrcs.shrink_to_fit();
        media.ssrc_groups.shrink_to_fit();
        Ok((media, memory))
    }

    fn attribute(
        &mut self,
        line: &Line<'_>,
        name: &str,
        value: &str,
        reading: &mut Reading,
    ) -> Result<(), DescriptionError> {
        match name {
            "mid" => match value.trim() {
                mid if mid.is_empty() || mid.contains(' ') || mid.len() > MAXIMUM_MID => {
                    return Err(line.error("`a=mid:<name>`, such as `a=mid:0`, with at most 255 bytes"));
                }
                mid => self.mid = Some(Mid::from(mid)),
            },
            "rtcp-mux" => self.rtcp_mux = true,
            "rtcp-mux-only" => self.rtcp_mux_only = true,
            "rtcp-rsize" => self.rtcp_rsize = true,
            "bundle-only" => self.bundle_only = true,
            "extmap-allow-mixed" => self.extmap_allow_mixed = true,
            "end-of-candidates" => self.end_of_candidates = true,
            "candidate" => {
                let candidate = parse_candidate(value);
                let candidate =
                    candidate.map_err(|problem| line.error(format!("a candidate of RFC 8839 §5.1: {problem}")))?;
                push(&mut self.candidates, candidate, MAXIMUM_CANDIDATES, line, "candidates")?;
            }
            "extmap" => {
                let extension = value.parse().map_err(|form: &'static str| line.error(form))?;
                push(&mut self.extensions, extension, MAXIMUM_EXTENSIONS, line, "header extensions")?;
            }
            "msid" => {
                let msid = value.parse().map_err(|form: &'static str| line.error(form))?;
                push(&mut self.msids, msid, MAXIMUM_MSIDS, line, "`a=msid`")?;
            }
            "ssrc-group" => {
                let group = value.parse().map_err(|form: &'static str| line.error(form))?;
                push(&mut self.ssrc_groups, group, MAXIMUM_SOURCE_GROUPS, line, "groups of sources")?;
            }
            "ssrc" => self.ssrc_attribute(value, &mut reading.sources).ok_or_else(|| {
                line.error("`a=ssrc:<number> <attribute>:<value>`, and at most 1024 sources in one m-line")
            })?,
            "rtpmap" => reading.formats.rtpmap(line, value)?,
            "fmtp" => reading.formats.fmtp(line, value)?,
            "rtcp-fb" => reading.formats.rtcp_fb(line, value)?,
            "sctp-port" => {
                let port = value.trim().parse().map_err(|_| line.error("`a=sctp-port:<0 to 65535>`"))?;
                self.sctp_port = Some(port);
            }
            "sctpmap" => {
                let port = value.split(' ').next().and_then(|word| word.parse().ok());
                let port = port.ok_or_else(|| line.error("`a=sctpmap:<port> webrtc-datachannel <streams>`"))?;
                self.sctp_port = Some(port);
                self.sctpmap = Some(value.to_owned());
            }
            "max-message-size" => {
                let size = value.trim().parse().map_err(|_| line.error("`a=max-message-size:<bytes>`"))?;
                self.max_message_size = Some(size);
            }
            _ => reading.transport.attribute(line, name, value)?,
        }
        Ok(())
    }

    /// `sources` has the place of each source that is known.
    fn ssrc_attribute(&mut self, value: &str, sources: &mut HashMap<Ssrc, usize>) -> Option<()> {
        let (number, attribute) = value.split_once(' ').unwrap_or((value, ""));
        let ssrc = Ssrc(number.parse().ok()?);
        let known = *sources.entry(ssrc).or_insert(self.ssrcs.len());
        if known == self.ssrcs.len() && known < MAXIMUM_SOURCES {
            self.ssrcs.push(SsrcDescription { ssrc, cname: None, msid: None });
        }
        let description = self.ssrcs.get_mut(known)?;
        match attribute.split_once(':') {
            Some(("cname", name)) => description.cname = Some(name.to_owned()),
            Some(("msid", msid)) => description.msid = Some(msid.parse().ok()?),
            _ => {}
        }
        Some(())
    }

    /// RFC 8866 §5.13: a session-level attribute holds for every m-line that does not say otherwise.
    fn inherit(&mut self, own: &SharedAttributes, session: &SharedAttributes) {
        let credentials = if own.ice_ufrag.is_some() || own.ice_pwd.is_some() { own } else { session };
        self.ice_ufrag.clone_from(&credentials.ice_ufrag);
        self.ice_pwd.clone_from(&credentials.ice_pwd);
        self.setup = own.setup.or(session.setup);
        self.direction = own.direction.or(session.direction).unwrap_or_default();
        let shared = if own.ice_options.is_empty() { &session.ice_options } else { &own.ice_options };
        self.ice_options = Arc::clone(shared);
        let shared = if own.fingerprints.is_empty() { &session.fingerprints } else { &own.fingerprints };
        self.fingerprints = Arc::clone(shared);
    }

    /// Writes the m-line; `mixed` says that the session allows mixed header extensions for all.
    pub(crate) fn to_lines(&self, mixed: bool) -> sdp_types::Media {
        let mut lines = sdp_types::Media {
            media: self.kind.clone(),
            port: self.port,
            num_ports: None,
            proto: self.protocol.clone(),
            fmt: self.formats.join(" "),
            media_title: None,
            connections: Vec::new(),
            bandwidths: Vec::new(),
            key: None,
            attributes: Vec::new(),
        };
        let family = if self.address.contains(':') { sdp_types::AddrType::Ip6 } else { sdp_types::AddrType::Ip4 };
        lines.add_connection(Connection::new(sdp_types::NetType::In, family, &self.address));
        lines.attributes = self.attributes();
        if self.extmap_allow_mixed && !mixed {
            lines.attributes.push(Attribute::new("extmap-allow-mixed"));
        }
        lines
    }

    /// The attributes in the order that Chromium writes them.
    fn attributes(&self) -> Vec<Attribute> {
        let mut attributes = Vec::new();
        let mut flag = |condition: bool, name: &str| {
            if condition {
                attributes.push(Attribute::new(name));
            }
        };
        flag(self.bundle_only, "bundle-only");
        let mut add = |name: &str, value: String| attributes.push(Attribute::with_value(name, value));
        for candidate in &self.candidates {
            add("candidate", candidate.to_string().split_off("candidate:".len()));
        }
        if self.end_of_candidates {
            attributes.push(Attribute::new("end-of-candidates"));
        }
        let mut add = |name: &str, value: String| attributes.push(Attribute::with_value(name, value));
        if let Some(ufrag) = &self.ice_ufrag {
            add("ice-ufrag", ufrag.to_string());
        }
        if let Some(pwd) = &self.ice_pwd {
            add("ice-pwd", pwd.to_string());
        }
        if !self.ice_options.is_empty() {
            add("ice-options", self.ice_options.join(" "));
        }
        for fingerprint in self.fingerprints.iter() {
            add("fingerprint", fingerprint.to_string());
        }
        if let Some(setup) = self.setup {
            add("setup", setup.to_string());
        }
        if let Some(mid) = &self.mid {
            add("mid", mid.to_string());
        }
        for extension in &self.extensions {
            add("extmap", extension.to_string());
        }
        attributes.push(Attribute::new(self.direction));
        let mut add = |name: &str, value: String| attributes.push(Attribute::with_value(name, value));
        for msid in &self.msids {
            add("msid", msid.to_string());
        }
        for (condition, name) in
            [(self.rtcp_mux, "rtcp-mux"), (self.rtcp_mux_only, "rtcp-mux-only"), (self.rtcp_rsize, "rtcp-rsize")]
        {
            if condition {
                attributes.push(Attribute::new(name));
            }
        }
        let mut add = |name: &str, value: String| attributes.push(Attribute::with_value(name, value));
        for format in &self.payload_formats {
            add("rtpmap", format.rtpmap());
            for feedback in &format.feedback {
                add("rtcp-fb", format!("{} {feedback}", format.payload_type));
            }
            if let Some(parameters) = &format.parameters {
                add("fmtp", format!("{} {parameters}", format.payload_type));
            }
        }
        for group in &self.ssrc_groups {
            add("ssrc-group", group.to_string());
        }
        for description in &self.ssrcs {
            if let Some(cname) = &description.cname {
                add("ssrc", format!("{} cname:{cname}", description.ssrc));
            }
            if let Some(msid) = &description.msid {
                add("ssrc", format!("{} msid:{msid}", description.ssrc));
            }
            if description.cname.is_none() && description.msid.is_none() {
                add("ssrc", description.ssrc.to_string());
            }
        }
        match (&self.sctpmap, self.sctp_port) {
            (Some(map), _) => add("sctpmap", map.clone()),
            (None, Some(port)) => add("sctp-port", port.to_string()),
            (None, None) => {}
        }
        if let Some(size) = self.max_message_size {
            add("max-message-size", size.to_string());
        }
        attributes
    }
}

/// Adds what a line says, unless there are as many already as there may be.
fn push<T>(
    items: &mut Vec<T>,
    item: T,
    most: usize,
    line: &Line<'_>,
    what: &'static str,
) -> Result<(), DescriptionError> {
    if items.len() >= most {
        return Err(line.error(format!("no more than {most} {what} in one m-line")));
    }
    items.push(item);
    Ok(())
}

/// What is gathered while the lines of an m-line are read.
#[derive(Debug, Default)]
struct Reading {
    transport: Inherited,
    formats: Formats,
    sources: HashMap<Ssrc, usize>,
}

/// The attributes that may stand at session level and then hold for every m-line, as they are read.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    ice_ufrag: Option<Arc<str>>,
    ice_pwd: Option<Arc<str>>,
    ice_options: Vec<String>,
    fingerprints: Vec<Fingerprint>,
    setup: Option<Setup>,
    direction: Option<Direction>,
}

/// The same once they were read, for any number of m-lines.
#[derive(Debug, Default)]
pub(crate) struct SharedAttributes {
    ice_ufrag: Option<Arc<str>>,
    ice_pwd: Option<Arc<str>>,
    ice_options: Arc<[String]>,
    fingerprints: Arc<[Fingerprint]>,
    setup: Option<Setup>,
    direction: Option<Direction>,
}

impl SharedAttributes {
    /// The bytes that they take.
    pub(crate) fn memory(&self) -> usize {
        let words = [&self.ice_ufrag, &self.ice_pwd].into_iter().flatten().map(|word| word.len() + 32).sum::<usize>();
        words + limits::ice_options(&self.ice_options) + limits::fingerprints(&self.fingerprints)
    }
}

impl Inherited {
    pub(crate) fn share(self) -> SharedAttributes {
        SharedAttributes {
            ice_ufrag: self.ice_ufrag,
            ice_pwd: self.ice_pwd,
            ice_options: if self.ice_options.is_empty() { Arc::default() } else { self.ice_options.into() },
            fingerprints: if self.fingerprints.is_empty() { Arc::default() } else { self.fingerprints.into() },
            setup: self.setup,
            direction: self.direction,
        }
    }

    pub(crate) fn attribute(&mut self, line: &Line<'_>, name: &str, value: &str) -> Result<(), DescriptionError> {
        match name {
            // RFC 8839 §5.4: 4 to 256 characters for the fragment, 22 to 256 for the password.
            "ice-ufrag" => match value.trim() {
                text if (4..=256).contains(&text.len()) => self.ice_ufrag = Some(text.into()),
                _ => return Err(line.error("`a=ice-ufrag:` with 4 to 256 characters (RFC 8839 §5.4)")),
            },
            "ice-pwd" => match value.trim() {
                text if (22..=256).contains(&text.len()) => self.ice_pwd = Some(text.into()),
                _ => return Err(line.error("`a=ice-pwd:` with 22 to 256 characters (RFC 8839 §5.4)")),
            },
            "ice-options" => {
                let words = value.split_ascii_whitespace().take(MAXIMUM_ICE_OPTIONS + 1);
                self.ice_options = words.map(str::to_owned).collect();
                if self.ice_options.len() > MAXIMUM_ICE_OPTIONS {
                    return Err(line.error("no more than 32 words in `a=ice-options`"));
                }
            }
            "fingerprint" if self.fingerprints.len() >= MAXIMUM_FINGERPRINTS => {
                return Err(line.error("no more than 16 fingerprints in one place"));
            }
            "fingerprint" => self.fingerprints.push(value.parse().map_err(|form: &'static str| line.error(form))?),
            "setup" => match Setup::from_word(value.trim()) {
                Some(setup) => self.setup = Some(setup),
                None => return Err(line.error("`a=setup:` with active, passive or actpass (RFC 8842 §5.1)")),
            },
            _ => {
                if let Some(direction) = Direction::from_word(name) {
                    self.direction = Some(direction);
                }
            }
        }
        Ok(())
    }
}
