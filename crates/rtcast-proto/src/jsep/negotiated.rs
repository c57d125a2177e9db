//! What the transport and the media layers learn from a description that was set.

use std::collections::{HashMap, HashSet};

use crate::codec::Codec;
use crate::codec::RtpCodec;
use crate::dtls::DtlsRole;
use crate::jsep::h264::{SendFit, can_send};
use crate::jsep::media_section::transport_section;
use crate::jsep::remote_transport::RemoteTransport;
use crate::jsep::transceiver::TransceiverId;
use crate::jsep::{Jsep, Owner, SignalingState, codec_matching};
use crate::sdp::{Direction, HeaderExtension, Media, PayloadFormat, Retransmissions, RtcpFeedback, Session, Setup};
use crate::types::{MediaKind, Mid, PayloadType, Ssrc};

/// What came of setting a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The state after it.
    pub signaling_state: SignalingState,
    /// How to reach the peer; there after every remote description with an m-line in use.
    pub remote_transport: Option<RemoteTransport>,
    /// What is in force from now on; there after an answer, final or provisional, of either side.
    pub negotiated: Option<Negotiated>,
    /// Tracks that the peer began to send: W3C's `track` events.
    pub tracks_added: Vec<RemoteTrack>,
    /// Transceivers whose remote track the peer stopped sending: W3C mutes it.
    pub tracks_removed: Vec<TransceiverId>,
    /// Transceivers that are stopped from now on.
    pub stopped: Vec<TransceiverId>,
    /// m-lines of the peer's offer that our answer will reject, with the reason.
    pub refused: Vec<RefusedMedia>,
    /// Whether an offer was taken back, by a rollback or because the peer's offer won.
    pub rolled_back: bool,
}

/// An m-line that is answered with port 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedMedia {
    /// Its place, from 0.
    pub media_line: usize,
    /// The first word of it.
    pub kind: String,
    /// Why.
    pub reason: RefusalReason,
}

/// Why an m-line is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The offer itself has port 0.
    RejectedByOffer,
    /// Neither audio, video nor data over DTLS.
    UnknownKind,
    /// Data channels are not configured.
    DataChannelsDisabled,
    /// It is not in the BUNDLE group of the first m-line, and we have one transport only.
    NotBundled,
    /// No codec of it is among ours.
    NoCommonCodec,
    /// Its transceiver was stopped on our side.
    Stopped,
    /// We only send, and there is no track for it, or the peer does not receive on it.
    NothingToSend,
}

/// A track that the peer sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteTrack {
    /// The transceiver that receives it.
    pub transceiver: TransceiverId,
    /// Audio or video.
    pub kind: MediaKind,
    /// The m-line's mid.
    pub mid: Mid,
    /// The peer's name of the track, or one that was made up.
    pub track_id: String,
    /// The streams that it belongs to.
    pub stream_ids: Vec<String>,
}

/// What both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// How to reach the peer.
    pub transport: RemoteTransport,
    /// Which side of DTLS we are.
    pub dtls_role: DtlsRole,
    /// The m-lines of audio and video in use.
    pub media: Vec<NegotiatedMedia>,
    /// The data channels, if they were negotiated.
    pub data: Option<NegotiatedData>,
}

/// What was agreed on for one m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedMedia {
    /// The transceiver.
    pub transceiver: TransceiverId,
    /// The place of the m-line, from 0.
    pub media_line: usize,
    /// The mid; made up if the peer's offer has none.
    pub mid: Mid,
    /// Audio or video.
    pub kind: MediaKind,
    /// Who sends, seen from us.
    pub direction: Direction,
    /// What we may send, in the order of the answer, with the payload types of the peer.
    pub send_codecs: Vec<NegotiatedCodec>,
    /// What the peer may send, in the order of the answer, with the payload types of our description.
    pub receive_codecs: Vec<NegotiatedCodec>,
    /// The telephone events (RFC 4733) that we may send, with the payload types of the peer.
    pub send_telephone_events: Vec<TelephoneEvents>,
    /// Those that the peer may send, with the payload types of our description.
    pub receive_telephone_events: Vec<TelephoneEvents>,
    /// The header extensions of both sides, their direction seen from us.
    pub extensions: Vec<HeaderExtension>,
    /// Whether one-byte and two-byte header extensions may be mixed (RFC 8285 §6).
    pub extmap_allow_mixed: bool,
    /// Whether RTCP packets need not be compound (RFC 5506).
    pub rtcp_rsize: bool,
    /// Our source.
    pub ssrc: Ssrc,
    /// The source of our retransmissions, if RTX was negotiated.
    pub rtx_ssrc: Option<Ssrc>,
    /// The sources that the peer announced; it may announce none and use the mid extension.
    pub remote_sources: Vec<RemoteSource>,
    /// The peer's track.
    pub remote_track_id: String,
    /// The streams of the peer's track.
    pub remote_stream_ids: Vec<String>,
}

impl NegotiatedMedia {
    /// The id of a header extension that we may send.
    pub fn send_extension(&self, uri: &str) -> Option<u8> {
        self.extensions.iter().find(|e| e.uri == uri && e.direction.sends()).map(|e| e.id)
    }

    /// The id of a header extension that the peer may send.
    pub fn receive_extension(&self, uri: &str) -> Option<u8> {
        self.extensions.iter().find(|e| e.uri == uri && e.direction.receives()).map(|e| e.id)
    }

    /// The entry to send a stream of this codec with, as it is.
    ///
    /// H.264 goes by [`can_send`], an exact profile before another that browsers decode; the other codecs by the
    /// rules of offer and answer.
    pub fn send_codec_for(&self, stream: &RtpCodec) -> Option<&NegotiatedCodec> {
        if stream.codec != Codec::H264 {
            return self.send_codecs.iter().find(|entry| codec_matching::compatible(&entry.codec, stream));
        }
        let fits = |wanted| self.send_codecs.iter().find(|entry| can_send(&entry.codec, stream) == Some(wanted));
        fits(SendFit::Exact).or_else(|| fits(SendFit::Lenient))
    }
}

/// Telephone events of one clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelephoneEvents {
    /// The number in the packets.
    pub payload_type: PayloadType,
    /// The clock of their durations in hertz.
    pub clock_rate: u32,
}

/// One codec with its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedCodec {
    /// The number in the packets.
    pub payload_type: PayloadType,
    /// The codec with the parameters of the side that receives it.
    pub codec: RtpCodec,
    /// The RTP clock in hertz.
    pub clock_rate: u32,
    /// The payload type of its retransmissions, if both sides have RTX for it.
    pub rtx: Option<PayloadType>,
    /// The feedback that both sides understand.
    pub feedback: Vec<RtcpFeedback>,
}

/// A source of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteSource {
    /// The source.
    pub ssrc: Ssrc,
    /// The source of its retransmissions.
    pub rtx: Option<Ssrc>,
    /// Its canonical name.
    pub cname: Option<String>,
}

/// What was agreed on for data channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedData {
    /// The place of the m-line, from 0.
    pub media_line: usize,
    /// The mid.
    pub mid: Mid,
    /// Our SCTP port.
    pub local_port: u16,
    /// The peer's SCTP port.
    pub remote_port: u16,
    /// The largest message that the peer takes, in bytes, 0 for no limit; 65,536 if it does not say (RFC 8841 §6.1).
    pub max_message_size: u64,
}

impl Jsep {
    /// What two descriptions mean together; `we_answered` says whose the answer is.
    pub(crate) fn negotiate(
        &self,
        local: &Session,
        remote: &Session,
        transport: RemoteTransport,
        we_answered: bool,
    ) -> Option<Negotiated> {
        let dtls_role = if we_answered {
            let setup = transport_section(local).and_then(|index| local.media.get(index)).and_then(|m| m.setup)?;
            if setup == Setup::Passive { DtlsRole::Server } else { DtlsRole::Client }
        } else if transport.setup == Setup::Active {
            DtlsRole::Server
        } else {
            DtlsRole::Client
        };
        let mut media = Vec::new();
        let mut data = None;
        for (index, (ours, theirs)) in local.media.iter().zip(&remote.media).enumerate() {
            if ours.is_rejected() || theirs.is_rejected() {
                continue;
            }
            match self.owner(index) {
                Owner::Transceiver(id) => media.extend(self.negotiate_media(id, index, ours, theirs, we_answered)),
                Owner::Data => {
                    let mid = self.data.as_ref().map(|data| data.mid.clone())?;
                    data = Some(NegotiatedData {
                        media_line: index,
                        mid,
                        local_port: ours.sctp_port.unwrap_or(5000),
                        remote_port: theirs.sctp_port.unwrap_or(5000),
                        max_message_size: theirs.max_message_size.unwrap_or(65_536),
                    });
                }
                Owner::Nobody => {}
            }
        }
        Some(Negotiated { transport, dtls_role, media, data })
    }

    fn negotiate_media(
        &self,
        id: TransceiverId,
        media_line: usize,
        ours: &Media,
        theirs: &Media,
        we_answered: bool,
    ) -> Option<NegotiatedMedia> {
        let transceiver = self.transceiver(id)?;
        let (answer, offer) = if we_answered { (ours, theirs) } else { (theirs, ours) };
        let (our_retransmissions, their_retransmissions) = (ours.retransmissions(), theirs.retransmissions());
        let retransmission =
            |of: &Retransmissions, of_type: PayloadType| of.get(usize::from(of_type.value())).copied()?;
        let mut send_codecs = Vec::new();
        let mut receive_codecs = Vec::new();
        for answered in &answer.payload_formats {
            let Some(offered) = counterpart(answered, offer) else { continue };
            let (mine, peers) = if we_answered { (answered, offered) } else { (offered, answered) };
            let feedback: Vec<_> = mine.feedback.iter().filter(|kind| peers.feedback.contains(kind)).cloned().collect();
            let my_rtx = retransmission(&our_retransmissions, mine.payload_type);
            let peers_rtx = retransmission(&their_retransmissions, peers.payload_type);
            let entry = |format: &PayloadFormat, rtx: Option<PayloadType>| {
                Some(NegotiatedCodec {
                    payload_type: format.payload_type,
                    codec: format.codec()?,
                    clock_rate: format.clock_rate,
                    rtx,
                    feedback: feedback.clone(),
                })
            };
            send_codecs.extend(entry(peers, peers_rtx.filter(|_| my_rtx.is_some())));
            receive_codecs.extend(entry(mine, my_rtx.filter(|_| peers_rtx.is_some())));
        }
        let (mut send_telephone_events, mut receive_telephone_events) = (Vec::new(), Vec::new());
        for answered in &answer.payload_formats {
            let Some(clock_rate) = answered.telephone_event_rate() else { continue };
            let same = |format: &&PayloadFormat| format.telephone_event_rate() == Some(clock_rate);
            let Some(offered) = offer.payload_formats.iter().find(same) else { continue };
            let (mine, peers) = if we_answered { (answered, offered) } else { (offered, answered) };
            send_telephone_events.push(TelephoneEvents { payload_type: peers.payload_type, clock_rate });
            receive_telephone_events.push(TelephoneEvents { payload_type: mine.payload_type, clock_rate });
        }
        let extensions = answer.extensions.iter().filter(|e| offer.extensions.iter().any(|o| o.uri == e.uri));
        let extensions = extensions.cloned().map(|extension| match we_answered {
            true => extension,
            false => HeaderExtension { direction: extension.direction.reversed(), ..extension },
        });
        let retransmitted = RetransmittedSources::of(theirs);
        let remote_sources = theirs
            .ssrcs
            .iter()
            .filter(|source| !retransmitted.retransmissions.contains(&source.ssrc))
            .map(|source| RemoteSource {
                ssrc: source.ssrc,
                rtx: retransmitted.by_source.get(&source.ssrc).copied(),
                cname: source.cname.clone(),
            })
            .collect();
        Some(NegotiatedMedia {
            transceiver: id,
            media_line,
            mid: transceiver.mid.clone()?,
            kind: transceiver.kind,
            direction: ours.direction.and(theirs.direction.reversed()),
            rtx_ssrc: send_codecs.iter().any(|codec| codec.rtx.is_some()).then_some(transceiver.rtx_ssrc),
            send_codecs,
            receive_codecs,
            send_telephone_events,
            receive_telephone_events,
            extensions: extensions.collect(),
            extmap_allow_mixed: ours.extmap_allow_mixed && theirs.extmap_allow_mixed,
            rtcp_rsize: ours.rtcp_rsize && theirs.rtcp_rsize,
            ssrc: transceiver.ssrc,
            remote_sources,
            remote_track_id: transceiver.remote_track_id.clone(),
            remote_stream_ids: transceiver.remote_stream_ids.clone(),
        })
    }
}

/// What `a=ssrc-group:FID` says.
struct RetransmittedSources {
    by_source: HashMap<Ssrc, Ssrc>,
    retransmissions: HashSet<Ssrc>,
}

impl RetransmittedSources {
    fn of(media: &Media) -> Self {
        let mut sources = Self { by_source: HashMap::new(), retransmissions: HashSet::new() };
        for group in media.ssrc_groups.iter().filter(|group| group.semantics == "FID") {
            let Some((first, rest)) = group.ssrcs.split_first() else { continue };
            sources.retransmissions.extend(rest);
            if let Some(second) = rest.first() {
                sources.by_source.entry(*first).or_insert(*second);
            }
        }
        sources
    }
}

/// The format of the offer that an answer's format replies to: the same number if it fits, else the first that fits.
pub(crate) fn counterpart<'a>(answered: &PayloadFormat, offer: &'a Media) -> Option<&'a PayloadFormat> {
    let codec = answered.codec()?;
    let fits =
        |format: &&PayloadFormat| format.codec().is_some_and(|offered| codec_matching::answers(&codec, &offered));
    let same_number = offer.payload_formats.iter().find(|format| format.payload_type == answered.payload_type);
    same_number.filter(fits).or_else(|| offer.payload_formats.iter().find(fits))
}
