//! One peer connection as a state machine: descriptions in, datagrams in and out, frames in and out.
//!
//! Five verbs drive it. [`Connection::handle_input`] takes a datagram, [`Connection::handle_timeout`] the time; after
//! either, and after any other call that changes something, the caller empties [`Connection::poll_transmit`] and
//! [`Connection::poll_event`] and asks [`Connection::poll_timeout`] when to come back.

mod batch;
mod catch_up;
mod data;
mod departure;
mod dtmf;
mod event;
mod extensions;
mod feedback;
mod gathering;
mod history;
mod inbound;
mod keyframe_requests;
mod negotiation;
mod parameters;
mod receiver;
mod restart;
mod retransmission;
mod sender;
mod sources;
mod state;
mod stats;
mod stats_report;
mod transceivers;
mod transport;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::codec::RtpCodec;
use crate::data_channel::DataChannels;
use crate::dtls::{Certificate, DtlsVersion};
use crate::frame::PacketizedFrame;
use crate::ice::{CheckPace, IceCredentials, SelectedPair};
use crate::jsep::{Jsep, JsepConfig, NegotiatedMedia, TransceiverId};
use crate::random::Random;
use crate::rtcp::RtcpWriter;
use crate::rtp::RtpPacket;
use crate::srtp::SrtpSession;
use crate::types::Bitrate;

use departure::{Congestion, Departure};
use dtmf::Dtmf;
use keyframe_requests::KeyframeRequests;
use receiver::RtpReceiver;
use sender::{RtpSender, Stopped};
use transport::{Received, Transport};

pub use batch::{Transmit, TransmitBatch};
pub use dtmf::DtmfError;
pub use event::ConnectionEvent;
pub use gathering::{IceCandidateError, IceOptions, StaleCandidates};
pub use parameters::{
    RtcpParameters, RtpCodecParameters, RtpEncodingParameters, RtpHeaderExtensionParameters, RtpReceiveParameters,
    RtpSendParameters,
};
pub use receiver::ReceiverStats;
pub use restart::OfferOptions;
pub use sender::SenderStats;
pub use sources::{ContributingSource, SynchronizationSource};
pub use state::{IceGatheringState, PeerConnectionState};
pub use stats::{ConnectionStats, ReceiverReport, SenderReport};
pub use stats_report::RemoteSenderReport;
pub use transport::DtlsTransportState;

/// Time between reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How often we report while we neither send nor receive. RFC 3550 §6.2: five seconds is the least that it recommends.
const RESTING_REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// A report goes so much earlier if something else is sent anyway; RFC 3550 §6.2 has the time between reports vary by half.
const EARLY_REPORT: Duration = Duration::from_millis(1_500);

/// The relation of the process's clock to the wall clock.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    /// A moment by the process's clock.
    pub instant: Instant,
    /// The same moment as 32.32 fixed-point seconds since 1900.
    pub ntp_time: u64,
}

impl WallClock {
    /// The wall-clock time of a moment, as 32.32 fixed-point seconds since 1900.
    pub fn ntp_time(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.instant);
        let fraction = (u128::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        self.ntp_time.wrapping_add(since.as_secs() << 32).wrapping_add(fraction as u64)
    }
}

/// What a connection is made from.
///
/// ```
/// use std::{sync::Arc, time::Instant};
/// use rtcast_proto::JsepConfig;
/// use rtcast_proto::connection::{Connection, ConnectionConfig, WallClock};
/// use rtcast_proto::dtls::{Certificate, DtlsVersion};
///
/// let connection = Connection::new(ConnectionConfig {
///     certificate: Certificate::generate()?,
///     dtls_version: DtlsVersion::Auto,
///     jsep: Arc::new(JsepConfig::default()),
///     username_prefix: "a".to_owned(),
///     seed: [7; 32], // Unpredictable bytes, but for this example.
///     clock: WallClock { instant: Instant::now(), ntp_time: 3_900_000_000 << 32 },
/// });
/// assert!(connection.username_fragments().all(|fragment| fragment.starts_with('a')));
/// # Ok::<(), rtcast_proto::dtls::CertificateError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ConnectionConfig {
    /// The certificate; connections may share one.
    pub certificate: Certificate,
    /// The versions of DTLS to speak.
    pub dtls_version: DtlsVersion,
    /// The codecs and header extensions.
    pub jsep: Arc<JsepConfig>,
    /// How our ICE username fragment begins, by which whoever owns the socket finds the connection.
    pub username_prefix: String,
    /// Unpredictable bytes, different for every connection.
    pub seed: [u8; 32],
    /// The wall clock, for sender reports.
    pub clock: WallClock,
}

/// A datagram that came in.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// The peer's address.
    pub source: SocketAddr,
    /// Our address that it came to.
    pub destination: SocketAddr,
    /// The bytes; decrypted in place.
    pub contents: &'a mut [u8],
}

/// What a call has left to do for whoever owns the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Attention {
    /// Nothing: only counters have changed.
    Nothing,
    /// To send what [`Connection::poll_transmit`] has, and to set the timer anew by [`Connection::poll_timeout`].
    Transmit,
    /// That, and before it to take the events; any state may have changed.
    Everything,
}

/// One peer connection.
///
/// Two of them, whose datagrams need no network, are connected after a few of these rounds:
///
/// ```
/// # use std::sync::Arc;
/// # use rtcast_proto::JsepConfig;
/// # use rtcast_proto::connection::{ConnectionConfig, WallClock};
/// # use rtcast_proto::dtls::{Certificate, DtlsVersion};
/// use std::time::{Duration, Instant};
/// use rtcast_proto::connection::{Connection, Datagram, PeerConnectionState, TransmitBatch};
/// # let mut now = Instant::now();
/// # let make = |number: u8| -> Result<Connection, Box<dyn std::error::Error>> {
/// #     let mut connection = Connection::new(ConnectionConfig {
/// #         certificate: Certificate::generate()?,
/// #         dtls_version: DtlsVersion::V1_2,
/// #         jsep: Arc::new(JsepConfig::default().with_data_channels()),
/// #         username_prefix: String::new(),
/// #         seed: [number; 32],
/// #         clock: WallClock { instant: now, ntp_time: 3_900_000_000 << 32 },
/// #     });
/// #     connection.add_local_address(([10, 0, 0, number], 5_000).into());
/// #     Ok(connection)
/// # };
/// # let (mut left, mut right) = (make(1)?, make(2)?);
/// # left.create_data_channel(now, "chat", Default::default())?;
/// # left.set_local_description(now, None)?;
/// # right.set_remote_description(now, &left.local_description().ok_or("no offer")?)?;
/// # right.set_local_description(now, None)?;
/// # left.set_remote_description(now, &right.local_description().ok_or("no answer")?)?;
///
/// fn carry(now: Instant, from: &mut Connection, to: &mut Connection) {
///     let mut batch = TransmitBatch::default();
///     while !from.poll_transmit(now, &mut batch) || !batch.is_empty() {
///         for run in batch.iter() {
///             for datagram in run.datagrams() {
///                 let contents = &mut datagram.to_vec();
///                 let _ = to.handle_input(now, Datagram { source: run.source, destination: run.destination, contents });
///             }
///         }
///         batch.clear();
///     }
/// }
///
/// while left.connection_state() != PeerConnectionState::Connected {
///     carry(now, &mut left, &mut right);
///     carry(now, &mut right, &mut left);
///     let next = left.poll_timeout().into_iter().chain(right.poll_timeout()).min().ok_or("nothing to wait for")?;
///     now = next.max(now + Duration::from_millis(1));
///     let _ = (left.handle_timeout(now), right.handle_timeout(now));
/// }
/// assert!(std::iter::from_fn(|| left.poll_event()).count() > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Connection {
    jsep: Jsep,
    transport: Transport,
    gathering: gathering::Gathering,
    restart: restart::Restart,
    certificate: Certificate,
    clock: WallClock,
    random: Random,
    senders: Vec<SenderSlot>,
    receivers: Vec<RtpReceiver>,
    congestion: Congestion,
    paced_until: Option<Instant>,
    next_report: Option<Instant>,
    rtcp: RtcpWriter,
    events: VecDeque<ConnectionEvent>,
    observed: state::Observed,
    closing: bool,
    next_sender: usize,
    estimate: Option<Bitrate>,
    negotiation_needed: bool,
    revision: u64,
    remote_candidates: Vec<crate::sdp::Candidate>,
    retired: stats_report::Retired,
}

struct SenderSlot {
    transceiver: TransceiverId,
    sender: RtpSender,
    media: Option<NegotiatedMedia>,
    encoding: RtpEncodingParameters,
    /// Names what `sender_parameters` gave last, until it is given back (W3C `[[LastReturnedParameters]]`).
    transaction: Option<u64>,
    stopped: bool,
    dtmf: Dtmf,
    keyframes: KeyframeRequests,
}

impl SenderSlot {
    fn new(transceiver: TransceiverId, sender: RtpSender) -> Self {
        let encoding = RtpEncodingParameters::DEFAULT;
        Self {
            transceiver,
            sender,
            media: None,
            encoding,
            transaction: None,
            stopped: false,
            dtmf: Dtmf::default(),
            keyframes: KeyframeRequests::default(),
        }
    }

    /// When it has something to do next.
    fn poll_timeout(&self) -> Option<Instant> {
        let timers = [self.dtmf.poll_timeout(), self.keyframes.poll_timeout(), self.sender.poll_timeout()];
        timers.into_iter().flatten().min()
    }

    /// What was negotiated, if anything may be sent now.
    fn sendable(&self) -> Option<&NegotiatedMedia> {
        let allowed = self.encoding.active && !self.stopped;
        self.media.as_ref().filter(|media| allowed && media.direction.sends())
    }
}

impl Connection {
    /// A connection without transceivers and addresses.
    pub fn new(config: ConnectionConfig) -> Self {
        let mut random = Random::new(config.seed);
        let credentials = IceCredentials::from_random(&config.username_prefix, random.bytes());
        let data = DataChannels::new(data::max_receive_message_size(&config.jsep));
        Self {
            jsep: Jsep::new(config.jsep, random.bytes()),
            transport: Transport::new(
                &credentials,
                random.bytes(),
                config.certificate.clone(),
                config.dtls_version,
                data,
            ),
            gathering: gathering::Gathering::default(),
            restart: restart::Restart::new(config.username_prefix),
            certificate: config.certificate,
            clock: config.clock,
            random,
            senders: Vec::new(),
            receivers: Vec::new(),
            congestion: Congestion::default(),
            paced_until: None,
            next_report: None,
            rtcp: RtcpWriter::default(),
            events: VecDeque::new(),
            observed: state::Observed::default(),
            closing: false,
            next_sender: 0,
            estimate: None,
            negotiation_needed: false,
            revision: 0,
            remote_candidates: Vec::new(),
            retired: stats_report::Retired::default(),
        }
    }

    /// The fragments by which the peer's STUN messages name this connection: during an ICE restart more than one. They
    /// change when [`ConnectionEvent::UsernameFragmentsChanged`] is told.
    pub fn username_fragments(&self) -> impl Iterator<Item = &str> {
        self.transport.ice.username_fragments()
    }

    /// Takes a datagram. Anything may come; what is not authentic changes nothing.
    ///
    /// Returns what is left to do: of most datagrams that a server of many viewers gets, such as reports and checks of
    /// pairs that work, next to nothing.
    pub fn handle_input(&mut self, now: Instant, datagram: Datagram<'_>) -> Attention {
        let Datagram { source, destination, contents } = datagram;
        match self.transport.handle_datagram(now, source, destination, contents) {
            Received::Nothing => {}
            Received::Quiet => return Attention::Transmit,
            Received::Rtp { index, length } => match contents.get(..length).map(RtpPacket::parse) {
                Some(Ok(packet)) => self.handle_rtp(now, index, &packet),
                _ => debug!("an authentic packet is no RTP"),
            },
            Received::Rtcp { length, elsewhere } => {
                if let Some(compound) = contents.get(..length) {
                    self.handle_rtcp(now, compound);
                }
                let more = elsewhere || !self.receivers.is_empty() || self.needs_attention(now) || self.has_work();
                return if more { Attention::Everything } else { Attention::Nothing };
            }
        }
        self.after(now);
        Attention::Everything
    }

    /// Reads a little of all that the peer's next report or check will touch. Whoever has such for many connections calls
    /// this for all of them first: their memory then comes at once, where each would wait for its own.
    pub fn warm(&self) -> usize {
        let own = self.receivers.len() + self.events.len() + usize::from(self.transport.data.has_events());
        let times = usize::from(self.paced_until.is_some()) + usize::from(self.next_report.is_some());
        let senders = self.senders.iter().map(|slot| slot.sender.warm()).fold(0, usize::wrapping_add);
        (own + times).wrapping_add(senders).wrapping_add(self.transport.warm())
    }

    fn has_work(&self) -> bool {
        self.senders.iter().any(|slot| slot.sender.has_work())
    }

    /// Tells the time, when [`poll_timeout`](Self::poll_timeout) asked for it. Returns what is left to do.
    pub fn handle_timeout(&mut self, now: Instant) -> Attention {
        let changed = self.transport.handle_timeout(now);
        if self.paced_until.is_some_and(|until| until <= now) {
            self.paced_until = None;
        }
        self.senders.iter_mut().for_each(|slot| slot.sender.handle_timeout(now));
        self.drive_congestion(now);
        if !changed && self.only_reports(now) {
            // Whoever is written to anyway gets the report that is due soon as well: the thread wakes up half as often. The
            // check is the longer of the two, and with it in front both leave in one run. Who catches up is written to all
            // the time.
            self.transport.enqueue_checks();
            let early = if self.is_paced() { Duration::ZERO } else { EARLY_REPORT };
            if self.next_report.is_some_and(|at| at <= now + early) {
                self.send_reports(now);
            }
            return Attention::Transmit;
        }
        self.drive_keyframe_requests(now);
        self.drive_receivers(now);
        self.drive_dtmf(now);
        if self.next_report.is_some_and(|at| at <= now) {
            self.send_reports(now);
        }
        self.after(now);
        Attention::Everything
    }

    /// Whether all that is due here is reports and packets that were spread.
    fn only_reports(&self, now: Instant) -> bool {
        let requested = |slot: &SenderSlot| slot.keyframes.poll_timeout().is_some_and(|at| at <= now);
        self.receivers.is_empty()
            && self.events.is_empty()
            && self.senders.iter().all(|slot| slot.dtmf.poll_timeout().is_none() && !requested(slot))
    }

    /// Whether packets wait for their time.
    fn is_paced(&self) -> bool {
        self.paced_until.is_some() || self.senders.iter().any(|slot| slot.sender.catches_up())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; to be asked again after every other call.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        let receivers = self.receivers.iter().filter_map(RtpReceiver::poll_timeout).min();
        let senders = self.senders.iter().filter_map(SenderSlot::poll_timeout).min();
        let congestion = self.congestion.controller.poll_timeout();
        let timers =
            [self.transport.poll_timeout(), self.paced_until, self.next_report, receivers, senders, congestion];
        timers.into_iter().flatten().min()
    }

    /// Writes what is to be sent into `batch`. Returns `false` if the batch became full: then it is sent, cleared, and
    /// this is called again.
    pub fn poll_transmit(&mut self, now: Instant, batch: &mut TransmitBatch) -> bool {
        if !self.transport.poll_transmit(batch) || !self.transport.poll_data(now, batch) {
            return false;
        }
        if self.paced_until.is_some_and(|until| until > now) {
            return true;
        }
        let Some(pair) = self.transport.media_pair() else { return true };
        let Some(srtp) = self.transport.srtp() else { return true };
        let mut departure = Departure::new(now, pair, srtp, batch, &mut self.congestion, self.clock);
        let available = departure.budget();
        let mut outcome = Stopped::Done;
        // Whoever was interrupted goes on first, so that sound is not starved by a long picture or the reverse.
        for turn in 0..self.senders.len() {
            let at = (self.next_sender + turn) % self.senders.len();
            let slot = &mut self.senders[at];
            if !slot.sender.has_work() {
                continue;
            }
            let first_frame = slot.sender.stats().frames_sent == 0;
            let measured = if slot.sender.catches_up() { self.transport.ice.round_trip_time() } else { None };
            let stopped = slot.sender.poll_transmit(measured, &mut departure);
            if first_frame && slot.sender.stats().frames_sent > 0 {
                // The first report follows the first frame at once, for the receiver aligns sound and pictures by it.
                self.next_report = Some(now);
            }
            if !matches!(stopped, Stopped::Done | Stopped::CatchingUp) {
                outcome = stopped;
                self.next_sender = if outcome == Stopped::BatchFull { at } else { (at + 1) % self.senders.len() };
                break;
            }
        }
        if departure.budget() < available && self.next_report.is_some_and(|at| at > now + REPORT_INTERVAL) {
            // The rest is over.
            self.next_report = Some(now);
        }
        match outcome {
            Stopped::Done | Stopped::CatchingUp => true,
            Stopped::BatchFull => false,
            Stopped::Paced(bytes) => {
                self.paced_until = Some(now + self.congestion.controller.wait_for(bytes.max(16 * 1024)));
                true
            }
        }
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<ConnectionEvent> {
        let event = self.events.pop_front();
        if event.is_none() && self.receivers.is_empty() {
            // Who only sends has events seldom, and may be one of thousands.
            self.events = VecDeque::new();
        }
        event.or_else(|| self.transport.data.poll_event().map(ConnectionEvent::DataChannel))
    }

    /// Queues a frame on a sender; `timestamp` is its time in ticks of the RTP clock, usually the frame's own. Ignored
    /// unless the frame's codec is the one chosen by [`select_codec`](Self::select_codec). To be followed by
    /// [`poll_transmit`](Self::poll_transmit).
    pub fn send_frame(&mut self, transceiver: TransceiverId, frame: &Arc<PacketizedFrame>, timestamp: i64) {
        if self.transport.media_pair().is_none() {
            return;
        }
        let Some(slot) = self.senders.iter_mut().find(|slot| slot.transceiver == transceiver) else { return };
        if slot.sender.enqueue(frame, timestamp) {
            slot.keyframes.hold(frame.captured_at);
        }
    }

    /// Gives a viewer who joins late, or has asked for a keyframe, the frames that are kept of a stream: from a keyframe up
    /// to the last frame that [`send_frame`](Self::send_frame) had or would have had. What still waits for the viewer is
    /// dropped. They leave as fast as the path seems to carry, about three times as fast as the stream at first; their
    /// timestamps are those of the time at which they leave, and all of them can be sent again. A keyframe that comes
    /// meanwhile takes the place of all that is left.
    ///
    /// Returns whether it is so: not if there is no keyframe at the front, another codec is chosen, or there are more than
    /// 1,023 frames or 32 MiB. To be followed by [`poll_transmit`](Self::poll_transmit).
    pub fn catch_up(&mut self, now: Instant, transceiver: TransceiverId, frames: &[Arc<PacketizedFrame>]) -> bool {
        if self.transport.media_pair().is_none() {
            return false;
        }
        let Some(slot) = self.senders.iter_mut().find(|slot| slot.transceiver == transceiver) else { return false };
        let begun = slot.sender.catch_up(now, frames);
        if begun {
            slot.keyframes.catch_up_began(now);
        }
        begun
    }

    /// The codec, with the parameters that were negotiated, of what a transceiver has received last; `None` before
    /// anything has come.
    pub fn receive_codec(&self, transceiver: TransceiverId) -> Option<&RtpCodec> {
        self.receivers.iter().find(|receiver| receiver.transceiver() == transceiver)?.codec()
    }

    /// Asks the peer for a keyframe of what a transceiver receives (RFC 4585 §6.3.1): at once, unless one was asked for
    /// within the last half second or one and a half round-trip times. Ignored for sound, and where nothing comes. To be
    /// followed by [`poll_transmit`](Self::poll_transmit).
    pub fn request_keyframe(&mut self, now: Instant, transceiver: TransceiverId) {
        let Some(receiver) = self.receivers.iter_mut().find(|receiver| receiver.transceiver() == transceiver) else {
            return;
        };
        receiver.request_keyframe(now);
        self.drive_receivers(now);
    }

    /// Whether, after frames were sent, there is more to do than to send: an event waits, or a timer was set anew.
    pub fn needs_attention(&self, now: Instant) -> bool {
        !self.events.is_empty()
            || self.transport.data.has_events()
            || self.paced_until.is_some()
            || self.senders.iter().any(|slot| slot.poll_timeout().is_some())
            || self.next_report.is_some_and(|at| at <= now)
    }

    /// Says goodbye: RTCP BYE and the DTLS alert are queued, then nothing follows. The caller empties
    /// [`poll_transmit`](Self::poll_transmit) once more. Closing twice is fine.
    pub fn close(&mut self, now: Instant) {
        if self.closing {
            return;
        }
        self.closing = true;
        self.send_goodbye();
        self.transport.close_dtls(now);
        self.jsep.close();
        self.revision += 1;
        self.next_report = None;
        self.paced_until = None;
        self.receivers.clear();
        for slot in &mut self.senders {
            slot.dtmf = Dtmf::default();
            slot.keyframes = KeyframeRequests::default();
            slot.sender.stop();
        }
        self.after(now);
    }

    fn handle_rtp(&mut self, now: Instant, index: u64, packet: &RtpPacket<'_>) {
        let Some(at) = self.receiver_of(packet) else { return };
        if !self.receivers[at].has_stream(packet.ssrc) {
            // It is here from now on, wherever it was before.
            self.receivers.iter_mut().for_each(|receiver| receiver.forget_stream(packet.ssrc));
        }
        let receiver = &mut self.receivers[at];
        let transceiver = receiver.transceiver();
        for (tone, duration) in receiver.handle_packet(now, index, packet).into_iter().flatten() {
            self.events.push_back(ConnectionEvent::ToneReceived { transceiver, tone, duration });
        }
        self.drive_receivers(now);
    }

    /// RFC 9143 §9.2: the m-line that the packet names, else that of its source, else the only one that has the payload type.
    fn receiver_of(&self, packet: &RtpPacket<'_>) -> Option<usize> {
        let receivers = &self.receivers;
        if let Some(mid) = receivers.iter().find_map(|receiver| receiver.mid_in(packet)) {
            // What names an m-line that is not there, or not yet, belongs to no other.
            return receivers.iter().position(|receiver| receiver.is_named(mid));
        }
        let by_type = || {
            let mut takers = receivers.iter().enumerate().filter(|(_, taker)| taker.takes_unknown(packet));
            match (takers.next(), takers.next()) {
                (Some((at, _)), None) => Some(at),
                _ => None,
            }
        };
        let seen = receivers.iter().position(|receiver| receiver.has_stream(packet.ssrc));
        seen.or_else(|| receivers.iter().position(|receiver| receiver.has_source(packet.ssrc))).or_else(by_type)
    }

    /// Whether [`close`](Self::close) was called.
    pub const fn is_closed(&self) -> bool {
        self.closing
    }

    /// The keys of media, once there are any, for whoever reads and writes packets on a way of its own past this
    /// connection, such as a load generator. Packets that go that way are in no counter and no report here.
    pub const fn srtp_mut(&mut self) -> Option<&mut SrtpSession> {
        self.transport.srtp_mut()
    }

    /// Shares the pace of ICE's checks with other connections (RFC 8445 §14), before the first of them. Default: a pace of
    /// its own.
    pub fn set_check_pace(&mut self, pace: Arc<CheckPace>) {
        self.transport.ice.set_pace(pace);
    }

    /// Whether the peer has proven to ICE that this address is its own: it has answered a check from there.
    pub fn knows(&self, remote: SocketAddr) -> bool {
        self.transport.knows(remote)
    }

    /// The addresses that media takes, once there are any.
    pub fn selected_pair(&self) -> Option<SelectedPair> {
        self.transport.ice.selected_pair()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("username_fragment", &self.transport.ice.credentials().username_fragment)
            .field("state", &self.connection_state())
            .finish_non_exhaustive()
    }
}
