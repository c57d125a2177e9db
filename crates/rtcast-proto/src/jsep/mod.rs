//! JSEP (RFC 8829): offers and answers as a state machine, without any transport.
//!
//! [`Jsep`] writes descriptions, takes those of the peer, and says after each what was negotiated. A description is
//! checked completely before anything changes: a call that fails leaves everything as it was. A transceiver that a
//! description does not mention is left alone.

mod answer;
mod codec_matching;
mod config;
mod h264;
mod media_section;
mod negotiated;
mod negotiation_needed;
mod numbering;
mod offer;
mod offer_review;
mod remote_candidate;
mod remote_transport;
mod rollback;
mod set_description;
mod transceiver;
mod validate;

use std::sync::Arc;

pub use config::{
    ABS_SEND_TIME_EXTENSION, AUDIO_LEVEL_EXTENSION, BundlePolicy, CodecCapability, DEPENDENCY_DESCRIPTOR_EXTENSION,
    HeaderExtensionCapability, JsepConfig, LocalTransport, MID_EXTENSION, PLAYOUT_DELAY_EXTENSION,
    REPAIRED_RTP_STREAM_ID_EXTENSION, RTP_STREAM_ID_EXTENSION, TRANSPORT_WIDE_CC_EXTENSION,
};
pub use h264::{SendFit, can_send};
pub use negotiated::{
    Negotiated, NegotiatedCodec, NegotiatedData, NegotiatedMedia, Outcome, RefusalReason, RefusedMedia, RemoteSource,
    RemoteTrack, TelephoneEvents,
};
pub use remote_candidate::RemoteCandidate;
pub use remote_transport::{IceParameters, RemoteTransport};
pub use transceiver::{Transceiver, TransceiverId, TransceiverInit};

use crate::codec::RtpCodec;
pub use crate::dtls::DtlsRole;
pub use crate::sdp::SignalingState;
pub(crate) use codec_matching::carries;

use crate::random::Random;
use crate::sdp::{DescriptionError, Direction, SdpType, Session, SessionDescription};
use crate::types::{MediaKind, Mid, Ssrc};

/// One side of the exchange of offers and answers.
///
/// ```
/// use rtcast_proto::jsep::{Jsep, JsepConfig, LocalTransport, TransceiverInit};
/// use rtcast_proto::types::MediaKind;
///
/// let transport = |name: &str| LocalTransport {
///     ice_ufrag: name.into(),
///     ice_pwd: "a password of 22 letters or more".replace(' ', "+"),
///     fingerprints: vec![format!("sha-256 {}", ["AB"; 32].join(":")).parse().unwrap()],
///     ..LocalTransport::default()
/// };
/// let mut caller = Jsep::new(JsepConfig::default(), [1; 32]);
/// let mut callee = Jsep::new(JsepConfig::default(), [2; 32]);
/// caller.add_transceiver(MediaKind::Video, TransceiverInit::default());
///
/// let offer = caller.create_offer(&transport("caller"))?;
/// caller.set_local_description(&offer)?;
/// callee.set_remote_description(&offer)?;
/// let answer = callee.create_answer(&transport("callee"))?;
/// callee.set_local_description(&answer)?;
/// let outcome = caller.set_remote_description(&answer)?;
/// assert_eq!(outcome.negotiated.unwrap().transport.ice.ufrag, "callee");
/// # Ok::<(), rtcast_proto::sdp::DescriptionError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Jsep {
    config: Arc<JsepConfig>,
    random: Random,
    state: SignalingState,
    session_id: u64,
    session_version: u64,
    cname: String,
    /// The lowest number that was never a mid of a settled session; mids are not used twice.
    next_mid: u32,
    transceivers: Vec<Transceiver>,
    next_transceiver: u32,
    data: Option<DataSection>,
    data_requested: bool,
    current_local: Option<SessionDescription>,
    current_remote: Option<SessionDescription>,
    pending_local: Option<SessionDescription>,
    pending_remote: Option<SessionDescription>,
    last_offer: Option<Created>,
    last_answer: Option<Created>,
    /// What a rollback goes back to; there while an offer is pending.
    before_offer: Option<rollback::Snapshot>,
    dtls_role: Option<DtlsRole>,
    ice_restart_requested: bool,
    /// The peer's credentials of the last exchange that ended.
    settled_ice: Option<IceParameters>,
    /// The m-line of the remote description whose transport is in use.
    remote_section: Option<usize>,
}

/// The m-line of the data channels.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DataSection {
    mid: Mid,
    media_line: usize,
}

/// A description that was created here, and whose m-lines they are.
#[derive(Debug, Clone)]
struct Created {
    description: SessionDescription,
    owners: Arc<[Owner]>,
}

impl Created {
    fn session(created: Option<&Self>) -> Option<&Session> {
        created.map(|created| created.description.session())
    }
}

/// Whose m-line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Transceiver(TransceiverId),
    Data,
    Nobody,
}

impl Jsep {
    /// A connection without transceivers; many may share a configuration. The seed must be different and unpredictable for each connection.
    pub fn new(config: impl Into<Arc<JsepConfig>>, seed: [u8; 32]) -> Self {
        let mut random = Random::new(seed);
        Self {
            // RFC 8829 §5.2.1: the session identifier has 63 random bits.
            session_id: random.u64() >> 1,
            // RFC 7022 §4.2: a canonical name of 96 random bits, here as hexadecimal digits.
            cname: random.bytes::<12>().iter().map(|byte| format!("{byte:02x}")).collect(),
            config: config.into(),
            random,
            state: SignalingState::Stable,
            session_version: 0,
            next_mid: 0,
            transceivers: Vec::new(),
            next_transceiver: 0,
            data: None,
            data_requested: false,
            current_local: None,
            current_remote: None,
            pending_local: None,
            pending_remote: None,
            last_offer: None,
            last_answer: None,
            before_offer: None,
            dtls_role: None,
            ice_restart_requested: false,
            settled_ice: None,
            remote_section: None,
        }
    }

    /// Where the exchange stands.
    pub const fn signaling_state(&self) -> SignalingState {
        self.state
    }

    /// What this side can do.
    pub fn config(&self) -> &JsepConfig {
        &self.config
    }

    /// The canonical name of our sources (RFC 7022).
    pub fn cname(&self) -> &str {
        &self.cname
    }

    /// The transceivers in the order of their making. Those that are stopped leave with the exchange that stops them.
    pub fn transceivers(&self) -> &[Transceiver] {
        &self.transceivers
    }

    /// One transceiver.
    pub fn transceiver(&self, id: TransceiverId) -> Option<&Transceiver> {
        self.transceivers.iter().find(|transceiver| transceiver.id == id)
    }

    /// Adds a transceiver, whose m-line comes with the next offer that we make.
    pub fn add_transceiver(&mut self, kind: MediaKind, init: TransceiverInit) -> TransceiverId {
        let id = self.new_transceiver(kind, init.direction);
        if let Some(transceiver) = self.find(id) {
            if let Some(track) = init.track_id {
                transceiver.msid_track.clone_from(&track);
                transceiver.track_id = Some(track);
            }
            transceiver.stream_ids = init.stream_ids;
        }
        id
    }

    /// Sends a track: on a transceiver of its kind that has none and never sent, else on a new one (W3C addTrack).
    ///
    /// # Errors
    /// [`DescriptionError::Argument`] if the track is being sent already, [`DescriptionError::State`] when closed.
    pub fn add_track(
        &mut self,
        kind: MediaKind,
        track_id: &str,
        stream_ids: &[String],
    ) -> Result<TransceiverId, DescriptionError> {
        self.refuse_when_closed("add a track")?;
        if self.transceivers.iter().any(|t| !t.stopped && t.track_id.as_deref() == Some(track_id)) {
            return Err(DescriptionError::argument(
                format!("the track {track_id:?} is being sent already"),
                "a track has one sender in a connection: clone the track, or use the sender that it has",
            ));
        }
        let reusable =
            self.transceivers.iter().find(|t| t.kind == kind && t.is_live() && t.track_id.is_none() && !t.ever_sent);
        let id = match reusable.map(|transceiver| transceiver.id) {
            Some(id) => id,
            None => {
                let id = self.new_transceiver(kind, Direction::new(true, !self.config.sending_only));
                if let Some(transceiver) = self.find(id) {
                    transceiver.created_by_add_track = true;
                }
                id
            }
        };
        let sending_only = self.config.sending_only;
        if let Some(transceiver) = self.find(id) {
            transceiver.direction = Direction::new(true, transceiver.direction.receives() && !sending_only);
            transceiver.track_id = Some(track_id.to_owned());
            transceiver.msid_track = track_id.to_owned();
            transceiver.stream_ids = stream_ids.to_vec();
            // What the peer's offer brought about is ours from now on, and outlives a rollback of that offer.
            transceiver.created_by_add_track |= transceiver.created_by_remote;
            transceiver.created_by_remote = false;
        }
        Ok(id)
    }

    /// Sends no track on this transceiver any more (W3C removeTrack).
    ///
    /// # Errors
    /// [`DescriptionError::Argument`] if there never was such a transceiver, [`DescriptionError::State`] when closed.
    pub fn remove_track(&mut self, id: TransceiverId) -> Result<(), DescriptionError> {
        self.refuse_when_closed("remove a track")?;
        if self.is_gone(id) {
            return Ok(());
        }
        let transceiver = self.find_or_refuse(id)?;
        if transceiver.track_id.take().is_some() && transceiver.is_live() {
            transceiver.direction = Direction::new(false, transceiver.direction.receives());
        }
        Ok(())
    }

    /// Sends another track, or none, without a new negotiation (W3C replaceTrack).
    ///
    /// # Errors
    /// [`DescriptionError::Argument`] if there is no such transceiver or it is stopped.
    pub fn replace_track(&mut self, id: TransceiverId, track_id: Option<String>) -> Result<(), DescriptionError> {
        self.find_live(id)?.track_id = track_id;
        Ok(())
    }

    /// Sets the direction that is wanted; a negotiation makes it so.
    ///
    /// # Errors
    /// [`DescriptionError::Argument`] if there is no such transceiver or it is stopped.
    pub fn set_direction(&mut self, id: TransceiverId, direction: Direction) -> Result<(), DescriptionError> {
        self.find_live(id)?.direction = direction;
        Ok(())
    }

    /// Sets the streams that the sent track belongs to (W3C setStreams); a negotiation tells the peer.
    ///
    /// # Errors
    /// [`DescriptionError`] if there is no such transceiver or it is stopped.
    pub fn set_streams(&mut self, id: TransceiverId, mut stream_ids: Vec<String>) -> Result<(), DescriptionError> {
        let mut seen = std::collections::HashSet::new();
        stream_ids.retain(|stream| seen.insert(stream.clone()));
        self.find_live(id)?.stream_ids = stream_ids;
        Ok(())
    }

    /// Chooses codecs and their order for the next negotiation; an empty list goes back to all.
    ///
    /// RTX goes with each codec that has it.
    ///
    /// # Errors
    /// [`DescriptionError::Argument`] if a codec is not among the capabilities, or the transceiver is stopped.
    pub fn set_codec_preferences(&mut self, id: TransceiverId, codecs: &[RtpCodec]) -> Result<(), DescriptionError> {
        let config = Arc::clone(&self.config);
        let transceiver = self.find_live(id)?;
        for codec in codecs {
            let known = config.codecs.iter().any(|c| codec_matching::compatible(&c.codec, codec));
            if !known || codec.codec.kind() != transceiver.kind {
                return Err(DescriptionError::argument(
                    format!("{} is not among the codecs of this {} transceiver", codec.mime_type(), transceiver.kind),
                    "choose from the capabilities that were configured",
                ));
            }
        }
        transceiver.codec_preferences = codecs.into();
        Ok(())
    }

    /// Stops a transceiver for good; the next offer says so (W3C stop).
    ///
    /// # Errors
    /// [`DescriptionError::Argument`] if there never was such a transceiver.
    pub fn stop(&mut self, id: TransceiverId) -> Result<(), DescriptionError> {
        if self.is_gone(id) {
            return Ok(());
        }
        let transceiver = self.find_or_refuse(id)?;
        transceiver.stopping = true;
        // A transceiver without an m-line has nobody to tell.
        if transceiver.mid.is_none() && transceiver.media_line.is_none() {
            transceiver.stopped = true;
            transceiver.current_direction = None;
        }
        Ok(())
    }

    /// Asks for the m-line of data channels in our offers, as W3C's first createDataChannel does; a peer that rejects it
    /// is not asked again.
    ///
    /// # Errors
    /// [`DescriptionError::Unsupported`] if data channels are not configured.
    pub fn request_data(&mut self) -> Result<(), DescriptionError> {
        if !self.config.data_channels {
            return Err(DescriptionError::Unsupported {
                problem: "data channels are not configured for this connection".into(),
                hint: "turn them on with `JsepConfig::with_data_channels`".into(),
            });
        }
        self.data_requested = true;
        Ok(())
    }

    /// Whether the m-line of data channels is asked for, or there.
    pub(crate) const fn requests_data(&self) -> bool {
        self.data_requested || self.data.is_some()
    }

    /// Ends everything; every later call about descriptions is refused.
    pub fn close(&mut self) {
        self.state = SignalingState::Closed;
        for transceiver in &mut self.transceivers {
            transceiver.stopping = true;
            transceiver.stopped = true;
            transceiver.current_direction = None;
        }
    }

    /// The local description that is negotiated, as it was set.
    pub const fn current_local_description(&self) -> Option<&SessionDescription> {
        self.current_local.as_ref()
    }

    /// The local description that waits for an answer, as it was set.
    pub const fn pending_local_description(&self) -> Option<&SessionDescription> {
        self.pending_local.as_ref()
    }

    /// The remote description that is negotiated, as it was set.
    pub const fn current_remote_description(&self) -> Option<&SessionDescription> {
        self.current_remote.as_ref()
    }

    /// The remote description that waits for an answer, as it was set.
    pub const fn pending_remote_description(&self) -> Option<&SessionDescription> {
        self.pending_remote.as_ref()
    }

    /// The remote description, pending or else current.
    pub fn remote_description(&self) -> Option<&SessionDescription> {
        self.pending_remote.as_ref().or(self.current_remote.as_ref())
    }

    /// The local description, pending or else current, with the candidates that are known by now.
    pub fn local_description(&self, transport: &LocalTransport) -> Option<SessionDescription> {
        let description = self.pending_local.as_ref().or(self.current_local.as_ref())?;
        let mut session = description.session().clone();
        media_section::put_session(&mut session, transport);
        if session == *description.session() {
            return Some(description.clone());
        }
        Some(SessionDescription::from_session(description.sdp_type(), session))
    }

    /// The ICE user name fragment of the local description, pending or else current.
    pub fn local_fragment(&self) -> Option<&str> {
        ice_fragment(self.pending_local.as_ref().or(self.current_local.as_ref())?)
    }

    /// Asks for an ICE restart with the next offer: W3C's `restartIce`. It stays asked for until an exchange ends in which
    /// our credentials changed.
    pub const fn request_ice_restart(&mut self) {
        if self.current_local.is_some() {
            self.ice_restart_requested = true;
        }
    }

    /// Whether an ICE restart is asked for.
    pub const fn ice_restart_requested(&self) -> bool {
        self.ice_restart_requested
    }

    /// The m-line that the peer's candidates go with.
    pub(crate) const fn remote_section(&self) -> Option<usize> {
        self.remote_section
    }

    /// The m-line that our candidates go with: its place, and its mid.
    pub fn candidate_section(&self) -> Option<(usize, Option<Mid>)> {
        let session = self.pending_local.as_ref().or(self.current_local.as_ref())?.session();
        let index = media_section::transport_section(session)?;
        Some((index, session.media.get(index).and_then(|media| media.mid.clone())))
    }

    /// Whether a description of this type may be set as the local one now.
    ///
    /// # Errors
    /// [`DescriptionError::State`].
    pub fn check_local(&self, sdp_type: SdpType) -> Result<(), DescriptionError> {
        validate::state(self.state, sdp_type, true).map(|_| ())
    }

    /// Whether a description of this type may be set as the remote one now.
    ///
    /// # Errors
    /// [`DescriptionError::State`].
    pub fn check_remote(&self, sdp_type: SdpType) -> Result<(), DescriptionError> {
        validate::state(self.state, sdp_type, false).map(|_| ())
    }

    fn new_transceiver(&mut self, kind: MediaKind, direction: Direction) -> TransceiverId {
        let id = TransceiverId(self.next_transceiver);
        self.next_transceiver += 1;
        let transceivers = &self.transceivers;
        let taken = |ssrc: Ssrc| transceivers.iter().any(|t| t.ssrc == ssrc || t.rtx_ssrc == ssrc);
        let ssrc = self.random.ssrc(taken);
        let rtx_ssrc = self.random.ssrc(|rtx| rtx == ssrc || taken(rtx));
        self.transceivers.push(Transceiver {
            id,
            kind,
            mid: None,
            media_line: None,
            direction,
            current_direction: None,
            fired_direction: None,
            stopping: false,
            stopped: false,
            created_by_add_track: false,
            created_by_remote: false,
            ever_sent: false,
            track_id: None,
            stream_ids: Vec::new(),
            msid_track: self.random.uuid(),
            ssrc,
            rtx_ssrc,
            remote_track_id: self.random.uuid(),
            remote_stream_ids: Vec::new(),
            codec_preferences: Arc::default(),
        });
        id
    }

    fn find(&mut self, id: TransceiverId) -> Option<&mut Transceiver> {
        self.transceivers.iter_mut().find(|transceiver| transceiver.id == id)
    }

    fn find_or_refuse(&mut self, id: TransceiverId) -> Result<&mut Transceiver, DescriptionError> {
        self.find(id).ok_or_else(|| {
            DescriptionError::argument(format!("this connection has no {id}"), "use one that this connection made")
        })
    }

    fn find_live(&mut self, id: TransceiverId) -> Result<&mut Transceiver, DescriptionError> {
        let stopped = DescriptionError::State {
            operation: "change a stopped transceiver",
            state: self.state,
            hint: "add a new transceiver; a stopped one stays stopped".into(),
        };
        if self.is_gone(id) {
            return Err(stopped);
        }
        let transceiver = self.find_or_refuse(id)?;
        if transceiver.is_live() { Ok(transceiver) } else { Err(stopped) }
    }

    /// Whether this transceiver was here and is stopped.
    fn is_gone(&self, id: TransceiverId) -> bool {
        id.0 < self.next_transceiver && self.transceiver(id).is_none()
    }

    fn refuse_when_closed(&self, operation: &'static str) -> Result<(), DescriptionError> {
        match self.state {
            SignalingState::Closed => Err(DescriptionError::State {
                operation,
                state: self.state,
                hint: "the connection was closed; make a new one".into(),
            }),
            _ => Ok(()),
        }
    }

    /// Whose m-line this is now.
    fn owner(&self, media_line: usize) -> Owner {
        if let Some(transceiver) = self.transceivers.iter().find(|t| t.media_line == Some(media_line)) {
            Owner::Transceiver(transceiver.id)
        } else if self.data.as_ref().is_some_and(|data| data.media_line == media_line) {
            Owner::Data
        } else {
            Owner::Nobody
        }
    }
}

/// The ICE user name fragment of a description of ours.
pub(crate) fn ice_fragment(description: &SessionDescription) -> Option<&str> {
    let session = description.session();
    session.media.get(media_section::transport_section(session)?)?.ice_ufrag.as_deref()
}
