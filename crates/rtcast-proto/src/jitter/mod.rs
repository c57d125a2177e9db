//! The receiving side of one RTP stream: packets in any order go in, whole frames in order come out.
//!
//! [`JitterBuffer`] puts frames together, asks for lost packets again ([`NackGenerator`]), and says when a keyframe is
//! needed because one could not be had. It holds no frame back for smooth playing; that is for who plays.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::codec::Codec;
use crate::frame::{Frame, KeyframeGate, ReceivedFrame};
use crate::payload;
use crate::types::MediaKind;

mod nack;
mod parameter_sets;
mod timeline;
mod window;

#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tests;

pub use nack::NackGenerator;
use parameter_sets::ParameterSets;
use timeline::Timeline;
use window::{Front, Packet, Slot, Window};

/// The round-trip time that is assumed until one was measured.
const ASSUMED_ROUND_TRIP: Duration = Duration::from_millis(100);
/// The least time between two requests for a keyframe.
const KEYFRAME_REQUEST_INTERVAL: Duration = Duration::from_millis(500);
/// How long reordered packets are waited for where lost ones are not sent again.
const REORDERING_PATIENCE: Duration = Duration::from_millis(60);
/// How far before the first packet that arrived the stream may turn out to begin.
const MOST_BEFORE_FIRST: u64 = 128;
/// A stream cannot come this far; a packet from before index 0 has wrapped to beyond it.
const GREATEST_INDEX: u64 = u64::MAX / 2;
/// How many packets in a row, all too old, show that the sender has begun anew.
const OLD_PACKETS_OF_A_RESTART: u32 = 50;
/// How many packets in a row after a great leap show that the sender has leapt, RFC 3550 §A.1.
const PACKETS_OF_A_LEAP: u32 = 2;

/// A packet as it came, without its RTP header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedPacket {
    /// The sequence number, extended to 64 bits so that it does not wrap.
    pub index: u64,
    /// The timestamp of the RTP header.
    pub timestamp: u32,
    /// The marker bit of the RTP header.
    pub marker: bool,
    /// The payload without padding. It is kept until the frame is taken, and with it the buffer that it is a part of.
    pub payload: Bytes,
}

/// What a [`JitterBuffer`] may hold and hope for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JitterConfig {
    /// Whether the peer sends lost packets again when asked, that is `a=rtcp-fb … nack` was negotiated.
    pub retransmission: bool,
    /// The greatest number of packets held, and the widest span from the oldest to the newest.
    pub max_packets: usize,
    /// The most payload bytes held.
    pub max_bytes: usize,
    /// The most frames held that nobody has taken.
    pub max_frames: usize,
}

impl JitterConfig {
    /// What suits a codec: for video 4,096 packets, 16 MiB, 300 frames and retransmission; for sound 512 packets,
    /// 512 KiB, 256 frames and no retransmission.
    pub const fn new(codec: Codec) -> Self {
        match codec.kind() {
            MediaKind::Video => Self { retransmission: true, max_packets: 4_096, max_bytes: 16 << 20, max_frames: 300 },
            MediaKind::Audio => Self { retransmission: false, max_packets: 512, max_bytes: 512 << 10, max_frames: 256 },
        }
    }
}

/// What a [`JitterBuffer`] has seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct JitterStatistics {
    /// Packets that came, whatever became of them.
    pub packets_received: u64,
    /// Packets that came when their place was already given up, or that fit no known position.
    pub packets_discarded: u64,
    /// Packets that were already there.
    pub packets_duplicated: u64,
    /// Packets that never came in time.
    pub packets_lost: u64,
    /// Frames that were taken.
    pub frames_delivered: u64,
    /// Whole frames that were thrown away: undecodable after a loss, broken, or too many.
    pub frames_dropped: u64,
    /// Requests for a keyframe.
    pub keyframe_requests: u64,
    /// Sequence numbers asked for, repetitions counted.
    pub retransmission_requests: u64,
}

/// Puts the frames of one RTP stream together, in order and whole.
///
/// After [`push`](Self::push), and when the time of [`poll_timeout`](Self::poll_timeout) has come, call
/// [`pop`](Self::pop) until it gives nothing, then [`poll_nack`](Self::poll_nack) and
/// [`poll_keyframe_request`](Self::poll_keyframe_request).
///
/// A missing packet is waited for as long as it can still be sent again: a few round-trip times, at most a second for
/// video and 200 ms for sound. Then its frame is given up. Sound goes on with the next packet; video goes on with the
/// next keyframe, and nothing in between is given out. So too when a frame is broken, or when frames are not taken and
/// the limits of [`JitterConfig`] are reached: the oldest go first.
///
/// ```
/// use std::time::Instant;
/// use rtcast_proto::Codec;
/// use rtcast_proto::jitter::{JitterBuffer, JitterConfig, ReceivedPacket};
///
/// let now = Instant::now();
/// let mut buffer = JitterBuffer::new(Codec::Opus, JitterConfig::new(Codec::Opus));
/// for index in [0, 2, 1] {
///     let payload = vec![0xfc, index as u8].into();
///     buffer.push(now, ReceivedPacket { index, timestamp: 960 * index as u32, marker: false, payload });
/// }
/// let order: Vec<u8> = std::iter::from_fn(|| buffer.pop(now)).map(|frame| frame.data[1]).collect();
/// assert_eq!(order, [0, 1, 2]);
/// assert_eq!(buffer.statistics().packets_lost, 0);
/// ```
#[derive(Debug)]
pub struct JitterBuffer {
    codec: Codec,
    config: JitterConfig,
    round_trip: Option<Duration>,
    window: Window,
    timeline: Timeline,
    nack: Option<NackGenerator>,
    parameter_sets: ParameterSets,
    /// Timestamp and marker of the packet just before the window, if it came.
    before: Option<(u32, bool)>,
    /// Video only: it is closed while nothing can be decoded until a keyframe comes.
    gate: KeyframeGate,
    /// The first packet in the window with which a keyframe surely begins; kept while waiting.
    candidate: Option<u64>,
    /// When to ask for a keyframe, if one is missed.
    request_at: Option<Instant>,
    /// Before when not to ask for a keyframe again.
    next_request: Option<Instant>,
    /// The last of a run of packets out of place, and how long the run is.
    astray: Option<(ReceivedPacket, u32)>,
    statistics: JitterStatistics,
}

impl JitterBuffer {
    /// An empty buffer for a stream of this codec.
    pub fn new(codec: Codec, config: JitterConfig) -> Self {
        Self {
            codec,
            nack: config.retransmission.then(NackGenerator::new),
            config,
            round_trip: None,
            window: Window::new(codec.kind() == MediaKind::Audio),
            timeline: Timeline::new(codec.clock_rate()),
            parameter_sets: ParameterSets::default(),
            before: None,
            gate: KeyframeGate::closed(codec.kind()),
            candidate: None,
            request_at: None,
            next_request: None,
            astray: None,
            statistics: JitterStatistics::default(),
        }
    }

    /// Takes a packet that was sent again. It fills its place if that is still waited for; however many come that are not,
    /// they do not show that the sender has begun anew, as others do.
    pub fn push_retransmission(&mut self, now: Instant, packet: ReceivedPacket) {
        self.statistics.packets_received += 1;
        let fits = packet.index <= GREATEST_INDEX && matches!(self.place(&packet), Place::Fits);
        if fits {
            self.insert(now, packet);
        } else {
            self.statistics.packets_discarded += 1;
        }
    }

    /// Takes a packet. Duplicates, and packets whose place was given up, are counted and dropped.
    pub fn push(&mut self, now: Instant, packet: ReceivedPacket) {
        self.statistics.packets_received += 1;
        if packet.index > GREATEST_INDEX {
            self.statistics.packets_discarded += 1;
            return;
        }
        match self.place(&packet) {
            Place::Fits => {
                self.astray = None;
                self.insert(now, packet);
            }
            Place::Astray { enough } => self.stray(now, packet, enough),
        }
    }

    /// Gives the next frame, in the order of the sequence numbers, if it is whole; gives up what was waited for too
    /// long.
    pub fn pop(&mut self, now: Instant) -> Option<Frame> {
        self.pop_received(now).map(|received| received.frame)
    }

    /// The same with the payloads of the packets that brought it.
    pub fn pop_received(&mut self, now: Instant) -> Option<ReceivedFrame> {
        loop {
            self.skip_to_keyframe();
            match self.window.front() {
                Front::Whole { length } => {
                    if let Some(frame) = self.take(now, length) {
                        self.statistics.frames_delivered += 1;
                        return Some(frame);
                    }
                }
                Front::Gap { since, .. } if now >= since + self.patience() => self.give_up_front(now),
                Front::Gap { .. } | Front::Open => return None,
            }
        }
    }

    /// The sequence numbers to ask for again now, in a generic NACK (RFC 4585 §6.2.1); often none.
    pub fn poll_nack(&mut self, now: Instant) -> Vec<u16> {
        let numbers = self.nack.as_mut().map(|nack| nack.poll(now)).unwrap_or_default();
        self.statistics.retransmission_requests += numbers.len() as u64;
        numbers
    }

    /// Whether to ask for a keyframe now (RFC 4585 §6.3.1). Says so again every 500 ms, or one and a half round-trip
    /// times if that is longer, until a keyframe has come; never sooner, even if one came and was of no use.
    pub fn poll_keyframe_request(&mut self, now: Instant) -> bool {
        let due = self.request_at.is_some_and(|at| now >= at);
        if due {
            self.next_request = Some(now + KEYFRAME_REQUEST_INTERVAL.max(self.round_trip().mul_f32(1.5)));
            self.request_at = self.next_request;
            self.statistics.keyframe_requests += 1;
        }
        due
    }

    /// Somebody who decodes or sends on what comes out needs a keyframe: one is asked for at the next
    /// [`poll_keyframe_request`](Self::poll_keyframe_request), with the same time between two requests as after a loss.
    pub fn request_keyframe(&mut self, now: Instant) {
        if self.codec.kind() == MediaKind::Video {
            let earliest = self.next_request.map_or(now, |earliest| earliest.max(now));
            self.request_at.get_or_insert(earliest);
        }
    }

    /// When something is to be done even if no packet comes.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let gap = match self.window.front() {
            Front::Gap { since, .. } => Some(since + self.patience()),
            Front::Whole { .. } | Front::Open => None,
        };
        let nack = self.nack.as_ref().and_then(NackGenerator::poll_timeout);
        [gap, nack, self.request_at].into_iter().flatten().min()
    }

    /// Takes a measured round-trip time, from which the waiting times follow. Until the first, 100 ms are assumed.
    pub fn handle_round_trip_time(&mut self, round_trip: Duration) {
        self.round_trip = Some(round_trip);
        if let Some(nack) = &mut self.nack {
            nack.handle_round_trip_time(round_trip);
        }
    }

    /// What has been seen so far.
    pub const fn statistics(&self) -> JitterStatistics {
        self.statistics
    }

    fn round_trip(&self) -> Duration {
        self.round_trip.unwrap_or(ASSUMED_ROUND_TRIP).min(Duration::from_secs(10))
    }

    /// How long a missing packet is waited for.
    fn patience(&self) -> Duration {
        const fn milliseconds(count: u64) -> Duration {
            Duration::from_millis(count)
        }
        match (self.config.retransmission, self.codec.kind()) {
            (false, _) => REORDERING_PATIENCE,
            (true, MediaKind::Video) => {
                (self.round_trip() * 5 + milliseconds(150)).clamp(milliseconds(250), milliseconds(1_000))
            }
            (true, MediaKind::Audio) => {
                (self.round_trip() * 2 + milliseconds(40)).clamp(milliseconds(60), milliseconds(200))
            }
        }
    }

    fn place(&self, packet: &ReceivedPacket) -> Place {
        let Some(start) = self.window.start() else {
            return Place::Fits;
        };
        let end = self.window.end();
        if packet.index < start {
            let may_be_first = self.window.is_untouched()
                && start - packet.index <= MOST_BEFORE_FIRST
                && end - packet.index <= self.config.max_packets as u64;
            return if may_be_first { Place::Fits } else { Place::Astray { enough: OLD_PACKETS_OF_A_RESTART } };
        }
        // RFC 3550 §A.1: a great leap is believed when the next packet confirms it.
        let leaps = packet.index.saturating_sub(end) > self.config.max_packets as u64 / 2;
        if leaps { Place::Astray { enough: PACKETS_OF_A_LEAP } } else { Place::Fits }
    }

    /// Holds a packet that is out of place, and begins anew with it when enough others have come right before it.
    fn stray(&mut self, now: Instant, packet: ReceivedPacket, enough: u32) {
        let run = match &self.astray {
            Some((previous, run)) if previous.index.checked_add(1) == Some(packet.index) => run + 1,
            _ => 1,
        };
        if run < enough {
            self.statistics.packets_discarded += 1;
            self.astray = Some((packet, run));
            return;
        }
        let previous = self.astray.take().map(|(previous, _)| previous);
        self.begin_anew(now);
        for packet in previous.into_iter().chain([packet]) {
            self.insert(now, packet);
        }
    }

    fn begin_anew(&mut self, now: Instant) {
        self.window = Window::new(self.codec.kind() == MediaKind::Audio);
        self.timeline.interrupt();
        self.before = None;
        if let Some(nack) = &mut self.nack {
            nack.reset();
        }
        self.lose(now);
    }

    fn insert(&mut self, now: Instant, packet: ReceivedPacket) {
        let index = packet.index;
        if self.window.contains(index) {
            self.statistics.packets_duplicated += 1;
            return;
        }
        while !self.has_room(&packet) {
            self.give_up_front(now);
            if self.window.start().is_some_and(|start| index < start) {
                self.statistics.packets_discarded += 1;
                return;
            }
        }
        if !self.gate.is_open()
            && self.candidate.is_none_or(|candidate| index < candidate)
            && payload::starts_keyframe(self.codec, &packet.payload)
        {
            self.candidate = Some(index);
        }
        if let Some(nack) = &mut self.nack {
            nack.handle_packet(now, index);
        }
        self.window.insert(
            now,
            index,
            Packet { timestamp: packet.timestamp, marker: packet.marker, payload: packet.payload },
        );
    }

    /// Whether a packet can be added without passing a limit. An empty window has room for any.
    fn has_room(&self, packet: &ReceivedPacket) -> bool {
        let Some(start) = self.window.start().filter(|_| !self.window.is_empty()) else {
            return true;
        };
        let span = packet.index.saturating_sub(start) < self.config.max_packets as u64;
        let bytes = self.window.bytes() + packet.payload.len() <= self.config.max_bytes;
        span && bytes && self.window.frames() < self.config.max_frames
    }

    /// Throws away what is before the first keyframe, if one is needed and its beginning is there.
    fn skip_to_keyframe(&mut self) {
        let Some(candidate) = self.candidate.filter(|_| !self.gate.is_open()) else {
            return;
        };
        while self.window.start().is_some_and(|start| start < candidate) {
            match self.window.front() {
                Front::Whole { length } => {
                    self.statistics.frames_dropped += 1;
                    self.discard(length.min(self.window.distance_to(candidate)));
                }
                Front::Gap { length, .. } => self.discard((length + 1).min(self.window.distance_to(candidate))),
                Front::Open => self.discard(self.window.distance_to(candidate)),
            }
        }
    }

    /// Takes so many packets off the front, which make a whole frame, and joins them if they can be decoded.
    fn take(&mut self, now: Instant, length: usize) -> Option<ReceivedFrame> {
        let before = self.before;
        let packets = self.remove(length);
        let first = packets.iter().find(|packet| !packet.payload.is_empty())?;
        let timestamp = first.timestamp;
        let video = self.codec.kind() == MediaKind::Video;
        // Where the packet before is not known, only the payload can tell that nothing is missing in front.
        let begins = !video
            || before.is_some_and(|(previous, marker)| marker || previous != timestamp)
            || payload::starts_keyframe(self.codec, &first.payload);
        let payloads: Vec<&[u8]> = packets.iter().map(|packet| packet.payload.as_ref()).collect();
        let joined = if begins { payload::depacketize(self.codec, &payloads).ok() } else { None };
        let joined = joined.and_then(|mut joined| {
            let completed = self.codec == Codec::H264 && self.parameter_sets.complete(&mut joined);
            self.gate.admits(joined.keyframe).then_some((joined, completed))
        });
        let Some((joined, completed)) = joined else {
            self.statistics.frames_dropped += 1;
            self.lose(now);
            return None;
        };
        self.candidate = None;
        if joined.keyframe {
            self.request_at = None;
        }
        let payloads = packets.into_iter().map(|packet| packet.payload).filter(|payload| !payload.is_empty());
        let payloads = if completed { Vec::new() } else { payloads.collect() };
        let frame =
            Frame::new(self.codec, joined.data, self.timeline.extend(now, timestamp)).with_keyframe(joined.keyframe);
        Some(ReceivedFrame { frame, rtp_timestamp: timestamp, payloads })
    }

    /// Gives up the frame at the front, with the gap in or after it.
    fn give_up_front(&mut self, now: Instant) {
        match self.window.front() {
            Front::Whole { length } => {
                self.statistics.frames_dropped += 1;
                self.discard(length);
            }
            Front::Gap { length, .. } => self.discard(length + self.window.missing_after(length)),
            Front::Open => self.discard(self.window.length()),
        }
        self.lose(now);
    }

    /// Video: from here on, only a keyframe helps.
    fn lose(&mut self, now: Instant) {
        if self.codec.kind() == MediaKind::Audio {
            return;
        }
        self.request_keyframe(now);
        // While waiting, no candidate means that the window holds none.
        let passed = self.candidate.is_some_and(|candidate| self.window.start().is_none_or(|start| candidate < start));
        if self.gate.close() || passed {
            self.candidate = self.window.find(|packet| payload::starts_keyframe(self.codec, &packet.payload));
        }
    }

    fn discard(&mut self, length: usize) {
        self.remove(length);
    }

    fn remove(&mut self, length: usize) -> Vec<Packet> {
        let mut packets = Vec::with_capacity(length);
        for slot in self.window.take_front(length) {
            match slot {
                Slot::Missing { .. } => {
                    self.statistics.packets_lost += 1;
                    self.before = None;
                }
                Slot::Present(packet) => {
                    // A packet of padding lies between frames and says nothing about them.
                    if !packet.payload.is_empty() {
                        self.before = Some((packet.timestamp, packet.marker));
                    }
                    packets.push(packet);
                }
            }
        }
        if let (Some(nack), Some(start)) = (&mut self.nack, self.window.start()) {
            nack.give_up_before(start);
        }
        packets
    }
}

/// Where a packet belongs.
enum Place {
    /// Into the window, or right after it.
    Fits,
    /// Too far before or behind; so many in a row make a new beginning.
    Astray { enough: u32 },
}
