//! The parts of an m-line that offers and answers write alike.

use std::collections::HashMap;
use std::sync::Arc;

use crate::jsep::config::{HeaderExtensionCapability, LocalTransport};
use crate::jsep::transceiver::Transceiver;
use crate::sdp::{
    CandidateType, Direction, Fingerprint, HeaderExtension, Media, Msid, Session, Setup, SsrcDescription, SsrcGroup,
    parse_payload_type, static_format,
};
use crate::types::{MediaKind, Mid};

pub(crate) const SECURE_RTP: &str = "UDP/TLS/RTP/SAVPF";
pub(crate) const SECURE_SCTP: &str = "UDP/DTLS/SCTP";
pub(crate) const DATA_CHANNEL_FORMAT: &str = "webrtc-datachannel";

/// What the transport says of itself, once for all m-lines.
pub(crate) struct SharedTransport {
    ice_ufrag: Arc<str>,
    ice_pwd: Arc<str>,
    ice_options: Arc<[String]>,
    fingerprints: Arc<[Fingerprint]>,
}

impl SharedTransport {
    pub(crate) fn new(transport: &LocalTransport) -> Self {
        Self {
            ice_ufrag: transport.ice_ufrag.as_str().into(),
            ice_pwd: transport.ice_pwd.as_str().into(),
            // RFC 8840 §4.1.1: `trickle` says that candidates may follow.
            ice_options: Arc::new(["trickle".to_owned()]),
            fingerprints: transport.fingerprints.as_slice().into(),
        }
    }
}

/// Writes the ICE and DTLS attributes.
///
/// They stand in every bundled m-line, as browsers write them, though RFC 9143 §7.1.3 asks for them in one only.
pub(crate) fn put_transport(media: &mut Media, transport: &SharedTransport, setup: Setup) {
    media.ice_ufrag = Some(Arc::clone(&transport.ice_ufrag));
    media.ice_pwd = Some(Arc::clone(&transport.ice_pwd));
    media.ice_options = Arc::clone(&transport.ice_options);
    media.fingerprints = Arc::clone(&transport.fingerprints);
    media.setup = Some(setup);
}

/// Writes the candidates into the m-line that stands for the bundle, and takes them out of the others; and what holds
/// for the session, into all.
pub(crate) fn put_session(session: &mut Session, transport: &LocalTransport) {
    let tagged = transport_section(session);
    for (index, media) in session.media.iter_mut().enumerate() {
        media.extmap_allow_mixed |= session.extmap_allow_mixed;
        if Some(index) != tagged {
            media.candidates.clear();
            media.end_of_candidates = false;
            continue;
        }
        media.candidates.clone_from(&transport.candidates);
        media.end_of_candidates = transport.end_of_candidates;
        // RFC 8839 §4.2.1.2: the default candidate, that which is most likely to work: a relay, else what a STUN
        // server saw, else the host itself. RFC 8840 §4.1.1: port 9 and the unspecified address stand for none yet.
        let default =
            [CandidateType::Relayed, CandidateType::ServerReflexive, CandidateType::Host].into_iter().find_map(|typ| {
                transport.candidates.iter().find(|candidate| {
                    candidate.typ == typ
                        && candidate.component == 1
                        && candidate.transport.eq_ignore_ascii_case("udp")
                        && candidate.address.parse::<std::net::Ipv4Addr>().is_ok()
                })
            });
        media.port = default.map_or(9, |candidate| candidate.port);
        media.address = default.map_or_else(|| "0.0.0.0".to_owned(), |candidate| candidate.address.clone());
    }
}

/// The m-lines in use, in the order in which they may stand for the bundle: first its members, then the others.
pub(crate) fn live_sections(session: &Session) -> impl Iterator<Item = usize> {
    let places = places(session);
    let mut seen = vec![false; session.media.len()];
    let members = session.bundle.iter().flatten().filter_map(move |mid| places.get(mid).copied());
    members.chain(0..session.media.len()).filter(move |index| {
        let first = seen.get_mut(*index).is_some_and(|seen| !std::mem::replace(seen, true));
        first && session.media.get(*index).is_some_and(|media| !media.is_rejected())
    })
}

/// The place of each mid.
pub(crate) fn places(session: &Session) -> HashMap<&Mid, usize> {
    // Should a mid stand twice, its first place counts.
    let lines = session.media.iter().enumerate().rev();
    lines.filter_map(|(index, media)| Some((media.mid.as_ref()?, index))).collect()
}

/// The m-line whose ICE and DTLS attributes hold in an answer, or in a description of ours.
pub(crate) fn transport_section(session: &Session) -> Option<usize> {
    live_sections(session).next()
}

/// For each m-line whether it is this one, or in the same BUNDLE group.
pub(crate) fn bundled_with(session: &Session, tag: usize) -> Vec<bool> {
    let mut bundled = vec![false; session.media.len()];
    let mut mark = |index: usize| bundled.get_mut(index).into_iter().for_each(|bundled| *bundled = true);
    mark(tag);
    let mid = session.media.get(tag).and_then(|media| media.mid.as_ref());
    // A mid is in one group at most.
    if let Some(group) = mid.and_then(|mid| session.bundle.iter().find(|group| group.contains(mid))) {
        let places = places(session);
        group.iter().filter_map(|mid| places.get(mid)).for_each(|index| mark(*index));
    }
    bundled
}

/// An m-line that is turned down: port 0, and the first of the formats that were there.
pub(crate) fn rejected(like: &Media) -> Media {
    let mut media = Media::new(&like.kind, &like.protocol);
    media.port = 0;
    // RFC 3264 §6: at least one format stands there, and the list means nothing.
    media.formats = like.formats.first().cloned().into_iter().collect();
    media.mid.clone_from(&like.mid);
    media.direction = Direction::Inactive;
    // Payload types 0 and 8 mean PCMU and PCMA wherever they stand (RFC 3551 §6), here too.
    let first = media.formats.first().and_then(|format| parse_payload_type(format));
    media.payload_formats =
        first.filter(|_| media.protocol.contains("RTP/")).and_then(static_format).into_iter().collect();
    media
}

/// Writes the sender's track and sources (RFC 8829 §5.2.1).
pub(crate) fn put_sender(media: &mut Media, transceiver: &Transceiver, cname: &str) {
    if !media.direction.sends() {
        return;
    }
    let track = Some(msid_word(&transceiver.msid_track));
    let in_stream = |stream: Option<String>| Msid { stream, track: track.clone() };
    media.msids = stream_words(&transceiver.stream_ids).map(|stream| in_stream(Some(stream))).collect();
    if media.msids.is_empty() {
        media.msids.push(in_stream(None));
    }
    let describe = |ssrc| SsrcDescription { ssrc, cname: Some(cname.to_owned()), msid: media.msids.first().cloned() };
    media.ssrcs = vec![describe(transceiver.ssrc)];
    if media.payload_formats.iter().any(|format| format.retransmits().is_some()) {
        media.ssrcs.push(describe(transceiver.rtx_ssrc));
        media.ssrc_groups =
            vec![SsrcGroup { semantics: "FID".to_owned(), ssrcs: vec![transceiver.ssrc, transceiver.rtx_ssrc] }];
    }
}

/// The streams as `a=msid` names them.
pub(crate) fn stream_words(streams: &[String]) -> impl Iterator<Item = String> {
    streams.iter().filter(|stream| !stream.is_empty() && *stream != "-").map(|stream| msid_word(stream))
}

/// RFC 8830 §2: the words of `a=msid` are 1 to 64 characters of a token. Names that applications choose are made so.
fn msid_word(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_graphic() && !r#""(),/:;<=>?@[\]"#.contains(c);
    let word: String = name.chars().take(64).map(|c| if allowed(c) { c } else { '_' }).collect();
    if word.is_empty() { "_".to_owned() } else { word }
}

/// Lists the payload formats in the m-line itself.
pub(crate) fn put_formats(media: &mut Media) {
    media.formats = media.payload_formats.iter().map(|format| format.payload_type.to_string()).collect();
}

/// The offered extensions that we have as well, with the offer's ids (RFC 8285 §7).
pub(crate) fn answer_extensions(
    offered: &Media,
    ours: &[HeaderExtensionCapability],
    kind: MediaKind,
) -> Vec<HeaderExtension> {
    let known = |uri: &str| ours.iter().any(|capability| capability.serves(kind) && capability.uri == uri);
    let mut accepted: Vec<HeaderExtension> = Vec::new();
    for extension in &offered.extensions {
        if known(&extension.uri) && !accepted.iter().any(|other| other.uri == extension.uri) {
            accepted.push(HeaderExtension {
                direction: extension.direction.reversed(),
                attributes: None,
                ..extension.clone()
            });
        }
    }
    accepted
}
