//! One RTP stream at one viewer: every sequence number is checked, every picture timed; payloads are looked into only
//! until the first picture is there, or always at a viewer that verifies.

use std::time::{Duration, Instant};

use rtcast_proto::connection::WallClock;
use rtcast_proto::jitter::NackGenerator;
use rtcast_proto::payload::starts_keyframe;
use rtcast_proto::rtcp::{ReportBlock, RtcpWriter, SenderInfo};
use rtcast_proto::rtp::RtpPacket;
use rtcast_proto::{Codec, MediaKind, SequenceNumber, Ssrc};

use super::window::{Arrival, Settled, Window};
use crate::histogram::Histogram;

/// How long a missing packet is waited for: longer than any answer to a NACK takes.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// The least time between two requests for a keyframe.
const KEYFRAME_REQUEST_INTERVAL: Duration = Duration::from_millis(500);
/// No film has so many pictures a second.
const FASTEST: u32 = 250;
/// So many equal steps between two pictures show what the step is.
const SURE_OF_STEP: u32 = 10;

/// What a stream has counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StreamCounts {
    pub(crate) packets: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) duplicates: u64,
    pub(crate) repaired: u64,
    pub(crate) skipped: u64,
    pub(crate) nacks: u64,
    pub(crate) keyframe_requests: u64,
    pub(crate) settled: Settled,
}

/// How long pictures took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Delays {
    /// From the moment that the sender's reports give a picture to its last packet.
    pub(crate) by_report: Histogram,
    /// The same, above the least that this viewer has seen: no common clock is needed.
    pub(crate) over_least: Histogram,
    /// Between the last packets of two pictures.
    pub(crate) pause: Histogram,
}

impl StreamCounts {
    pub(crate) const fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.payload_bytes += other.payload_bytes;
        self.duplicates += other.duplicates;
        self.repaired += other.repaired;
        self.skipped += other.skipped;
        self.nacks += other.nacks;
        self.keyframe_requests += other.keyframe_requests;
        self.settled.lost += other.settled.lost;
        self.settled.whole += other.settled.whole;
        self.settled.broken += other.settled.broken;
    }

    /// What was counted after an earlier moment.
    pub(crate) const fn since(&self, earlier: &Self) -> Self {
        Self {
            packets: self.packets - earlier.packets,
            payload_bytes: self.payload_bytes - earlier.payload_bytes,
            duplicates: self.duplicates - earlier.duplicates,
            repaired: self.repaired - earlier.repaired,
            skipped: self.skipped - earlier.skipped,
            nacks: self.nacks - earlier.nacks,
            keyframe_requests: self.keyframe_requests - earlier.keyframe_requests,
            settled: Settled {
                // What was missing then may have come since.
                lost: self.settled.lost.saturating_sub(earlier.settled.lost),
                whole: self.settled.whole - earlier.settled.whole,
                broken: self.settled.broken - earlier.settled.broken,
            },
        }
    }
}

impl Delays {
    pub(crate) fn add(&mut self, other: &Self) {
        self.by_report.add(&other.by_report);
        self.over_least.add(&other.over_least);
        self.pause.add(&other.pause);
    }
}

pub(crate) struct Stream {
    pub(crate) ssrc: Ssrc,
    codec: Codec,
    retransmission: bool,
    window: Window,
    base: u64,
    nack: NackGenerator,
    gap_since: Option<Instant>,
    /// Whether a keyframe is still to be seen, for which payloads are looked into.
    seeks_keyframe: bool,
    /// The packet with which the first keyframe begins, while that is not whole.
    keyframe_begins: Option<u64>,
    first_picture: Option<Instant>,
    next_keyframe_request: Instant,
    started: Instant,
    arrival: Arrived,
    sender_report: Option<(SenderInfo, Instant)>,
    delays: Delays,
    counts: StreamCounts,
    expected_at_report: u64,
    received_at_report: u64,
}

/// When pictures came, against their timestamps.
#[derive(Debug, Default)]
struct Arrived {
    last_timestamp: Option<u32>,
    /// Ticks of the media clock since the first picture.
    media: i64,
    /// The most frequent step between two pictures, found by a vote, and its majority.
    step: u32,
    votes: u32,
    /// The transit time of the last packet and the mean deviation, scaled as in RFC 3550 §A.8.
    last_transit: Option<i64>,
    jitter: i64,
    /// The least time between a picture's timestamp and its arrival, from an origin of our own, in microseconds.
    least_transit: Option<i64>,
    last_picture: Option<Instant>,
}

impl Stream {
    pub(crate) fn new(now: Instant, packet: &RtpPacket<'_>, codec: Codec, retransmission: bool) -> Self {
        // One whole turn of the sequence numbers lies before the first packet, so that an earlier one has an index.
        let base = u64::from(packet.sequence_number.0) + 0x1_0000;
        let video = codec.kind() == MediaKind::Video;
        Self {
            ssrc: packet.ssrc,
            codec,
            retransmission,
            window: Window::new(base),
            base,
            nack: NackGenerator::new(),
            gap_since: None,
            seeks_keyframe: video,
            keyframe_begins: None,
            first_picture: None,
            next_keyframe_request: now + KEYFRAME_REQUEST_INTERVAL,
            started: now,
            arrival: Arrived::default(),
            sender_report: None,
            delays: Delays::default(),
            counts: StreamCounts::default(),
            expected_at_report: base,
            received_at_report: 0,
        }
    }

    pub(crate) const fn kind(&self) -> MediaKind {
        self.codec.kind()
    }

    /// Whether the next packet's payload is to be decrypted even where packets are not verified.
    pub(crate) const fn wants_payload(&self) -> bool {
        self.seeks_keyframe
    }

    /// When the first picture, or the first sound, was whole.
    pub(crate) const fn first_picture(&self) -> Option<Instant> {
        self.first_picture
    }

    /// Takes a packet; its payload counts only if it is `plain`. Returns whether the viewer has something to ask for.
    pub(crate) fn handle_packet(
        &mut self,
        now: Instant,
        clock: &WallClock,
        packet: &RtpPacket<'_>,
        payload_length: usize,
        plain: bool,
    ) -> bool {
        self.counts.packets += 1;
        self.counts.payload_bytes += payload_length as u64;
        let index = packet.sequence_number.extend(self.window.end());
        if plain && self.seeks_keyframe && starts_keyframe(self.codec, packet.payload) {
            self.seeks_keyframe = false;
            self.keyframe_begins = Some(index);
        }
        self.arrival.count_jitter(now, self.started, packet.timestamp, self.codec.clock_rate());
        // Sound has no pictures; each of its packets is one. RTP marks the last packet of a picture (RFC 6184 §5.1).
        let ends_picture = packet.marker || self.kind() == MediaKind::Audio;
        let arrival = self.insert(now, index, ends_picture);
        match arrival {
            Arrival::InOrder if ends_picture => self.time_picture(now, clock, packet.timestamp),
            // What came around a gap is not timed, and no step is reckoned across it.
            Arrival::Around => self.arrival.last_timestamp = None,
            _ => {}
        }
        self.window.has_gap() || self.seeks_keyframe
    }

    /// Takes a packet that came again under another source, by its original number.
    pub(crate) fn handle_retransmission(&mut self, now: Instant, original: SequenceNumber, packet: &RtpPacket<'_>) {
        self.counts.packets += 1;
        let index = original.extend(self.window.end());
        let ends_picture = packet.marker || self.kind() == MediaKind::Audio;
        self.insert(now, index, ends_picture);
    }

    pub(crate) const fn handle_sender_report(&mut self, now: Instant, info: SenderInfo) {
        self.sender_report = Some((info, now));
    }

    /// Writes requests for what is missing. Gives up what was asked for in vain.
    pub(crate) fn write_feedback(&mut self, now: Instant, rtcp: &mut RtcpWriter) {
        if let Some(since) = self.gap_since
            && now >= since + PATIENCE
        {
            self.window.give_up();
            self.nack.give_up_before(self.window.front());
            self.gap_since = self.window.has_gap().then_some(now);
            // Pictures are broken until a keyframe comes; whether one does is seen in the payloads.
            self.seeks_keyframe = self.kind() == MediaKind::Video;
        }
        if self.retransmission && self.window.has_gap() {
            let lost = self.nack.poll(now);
            if !lost.is_empty() {
                self.counts.nacks += 1;
                rtcp.nack(super::viewer::OWN_SSRC, self.ssrc, &lost);
            }
        }
        if self.seeks_keyframe && now >= self.next_keyframe_request {
            self.next_keyframe_request = now + KEYFRAME_REQUEST_INTERVAL;
            self.counts.keyframe_requests += 1;
            rtcp.picture_loss_indication(super::viewer::OWN_SSRC, self.ssrc);
        }
    }

    /// When [`write_feedback`](Self::write_feedback) has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let keyframe = self.seeks_keyframe.then_some(self.next_keyframe_request);
        let nack = if self.retransmission && self.window.has_gap() { self.nack.poll_timeout() } else { None };
        [keyframe, nack, self.gap_since.map(|since| since + PATIENCE)].into_iter().flatten().min()
    }

    /// RFC 3550 §6.4.1 and §A.3.
    pub(crate) fn report_block(&mut self, now: Instant) -> ReportBlock {
        let received = self.counts.packets - self.counts.duplicates;
        let (expected, new_received) =
            (self.window.end() - self.expected_at_report, received - self.received_at_report);
        let lost = expected.saturating_sub(new_received);
        let fraction_lost = (lost * 256).checked_div(expected).unwrap_or(0).min(255) as u8;
        self.expected_at_report = self.window.end();
        self.received_at_report = received;
        let (last_sender_report, delay_since_last) = match &self.sender_report {
            Some((info, at)) => {
                (info.middle_ntp(), (now.saturating_duration_since(*at).as_secs_f64() * 65_536.0) as u32)
            }
            None => (0, 0),
        };
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost,
            cumulative_lost: ((self.window.end() - self.base) as i64 - received as i64).clamp(-0x80_0000, 0x7f_ffff)
                as i32,
            // The first turn lies before the stream, as if it had begun at it.
            highest_sequence: (self.window.end() - 1 - 0x1_0000) as u32,
            jitter: (self.arrival.jitter >> 4) as u32,
            last_sender_report,
            delay_since_last,
        }
    }

    pub(crate) fn counts(&self) -> StreamCounts {
        let mut settled = self.window.settled();
        settled.lost += self.window.missing();
        StreamCounts { settled, ..self.counts }
    }

    pub(crate) const fn delays(&self) -> &Delays {
        &self.delays
    }

    /// Forgets how long pictures took until now.
    pub(crate) fn clear_delays(&mut self) {
        self.delays.by_report.clear();
        self.delays.over_least.clear();
        self.delays.pause.clear();
        self.arrival.least_transit = None;
    }

    fn insert(&mut self, now: Instant, index: u64, ends_picture: bool) -> Arrival {
        let filled = index < self.window.end();
        let whole = self.window.settled().whole;
        let arrival = self.window.insert(index, ends_picture);
        match arrival {
            Arrival::InOrder => self.nack.handle_packet(now, index),
            Arrival::Around => {
                self.counts.repaired += u64::from(filled);
                self.nack.handle_packet(now, index);
            }
            Arrival::Duplicate | Arrival::TooLate => self.counts.duplicates += 1,
        }
        if self.first_picture.is_none() && self.window.settled().whole > whole {
            let begun = match self.keyframe_begins {
                Some(begins) => self.window.front() > begins,
                None => self.kind() == MediaKind::Audio,
            };
            if begun {
                self.first_picture = Some(now);
            }
        }
        if !self.window.has_gap() {
            self.gap_since = None;
        } else if self.gap_since.is_none() {
            self.gap_since = Some(now);
        }
        arrival
    }

    fn time_picture(&mut self, now: Instant, clock: &WallClock, timestamp: u32) {
        let arrival = &mut self.arrival;
        if let Some(last) = arrival.last_timestamp {
            let step = timestamp.wrapping_sub(last);
            self.counts.skipped += arrival.count_step(step, self.codec.clock_rate());
            arrival.media += i64::from(step.cast_signed());
        }
        arrival.last_timestamp = Some(timestamp);
        if let Some(last) = arrival.last_picture.replace(now) {
            self.delays.pause.record(now.saturating_duration_since(last));
        }
        if self.codec.kind() == MediaKind::Audio {
            return;
        }
        let micros = |ticks: i64| ticks * 1_000_000 / i64::from(self.codec.clock_rate());
        let transit = now.saturating_duration_since(self.started).as_micros() as i64 - micros(arrival.media);
        let least = arrival.least_transit.map_or(transit, |least| least.min(transit));
        arrival.least_transit = Some(least);
        self.delays.over_least.record(Duration::from_micros((transit - least) as u64));
        if let Some((info, at)) = &self.sender_report {
            // RFC 3550 §6.4.1: the report gives one moment by both clocks; near it neither has wrapped.
            let since_report = now.saturating_duration_since(*at).as_micros() as i64;
            let report_delay = ntp_micros(clock.ntp_time(*at)) - ntp_micros(info.ntp_time);
            let media = micros(i64::from(timestamp.wrapping_sub(info.rtp_time).cast_signed()));
            let delay = since_report + report_delay - media;
            self.delays.by_report.record(Duration::from_micros(delay.max(0) as u64));
        }
    }
}

impl Arrived {
    /// Counts the step from one picture to the next. Returns how many pictures are missing in it, if the source's rate is
    /// constant; how far a step goes is found by a vote of all.
    fn count_step(&mut self, step: u32, rate: u32) -> u64 {
        // A step backwards is a sender that has begun anew; a tiny one is a sender that lets a viewer catch up.
        if step.cast_signed() <= (rate / FASTEST).cast_signed() {
            return 0;
        }
        if step.abs_diff(self.step) <= self.step / 16 {
            self.votes = self.votes.saturating_add(1).min(1_000);
            return 0;
        }
        if self.votes == 0 {
            (self.step, self.votes) = (step, 1);
            return 0;
        }
        let sure = self.votes >= SURE_OF_STEP;
        self.votes -= 1;
        let pictures = (step + self.step / 2) / self.step.max(1);
        if sure && pictures >= 2 { u64::from(pictures - 1) } else { 0 }
    }

    /// RFC 3550 §A.8.
    fn count_jitter(&mut self, now: Instant, base: Instant, timestamp: u32, rate: u32) {
        let arrival = (now.saturating_duration_since(base).as_micros() as i64) * i64::from(rate) / 1_000_000;
        let transit = arrival - i64::from(timestamp);
        if let Some(last) = self.last_transit.replace(transit) {
            let difference = (transit - last).abs();
            // A wrap of the timestamp would look like a day's delay.
            if difference < i64::from(rate) * 60 {
                self.jitter += difference - ((self.jitter + 8) >> 4);
            }
        }
    }
}

fn ntp_micros(ntp_time: u64) -> i64 {
    ((u128::from(ntp_time) * 1_000_000) >> 32) as i64
}

#[cfg(test)]
mod tests {
    use rtcast_proto::PayloadType;
    use rtcast_proto::rtcp::{RtcpPacket, packets};

    use super::*;

    struct Scene {
        now: Instant,
        clock: WallClock,
        stream: Option<Stream>,
    }

    impl Scene {
        fn new() -> Self {
            let now = Instant::now();
            Self { now, clock: WallClock { instant: now, ntp_time: 1 << 40 }, stream: None }
        }

        /// A packet of a film of three packets a picture at 30 a second; `number` counts them from the start.
        fn packet(&mut self, number: u32, payload: &[u8], plain: bool) {
            self.packet_at(number, (number / 3 * 3_000).wrapping_sub(50_000), payload, plain);
        }

        fn packet_at(&mut self, number: u32, timestamp: u32, payload: &[u8], plain: bool) {
            let packet = RtpPacket {
                marker: number % 3 == 2,
                payload_type: PayloadType::new(96),
                sequence_number: SequenceNumber((65_500 + number) as u16),
                timestamp,
                ssrc: Ssrc(7),
                csrc: &[],
                extension: None,
                payload,
                header_length: 12,
            };
            let stream = self.stream.get_or_insert_with(|| Stream::new(self.now, &packet, Codec::Vp8, true));
            stream.handle_packet(self.now, &self.clock, &packet, payload.len(), plain);
        }

        fn stream(&mut self) -> &mut Stream {
            self.stream.as_mut().unwrap()
        }
    }

    /// A VP8 payload that begins a keyframe, and one that does not.
    const KEY: &[u8] = &[0x10, 0x00, 0, 0];
    const DELTA: &[u8] = &[0x10, 0x01, 0, 0];

    #[test]
    fn the_first_picture_is_a_whole_keyframe() {
        let mut scene = Scene::new();
        for number in 0..3 {
            scene.packet(number, DELTA, true);
        }
        assert_eq!(scene.stream().first_picture(), None);
        assert!(scene.stream().wants_payload());
        scene.packet(3, KEY, true);
        assert!(!scene.stream().wants_payload());
        scene.packet(4, &[0, 0], false);
        assert_eq!(scene.stream().first_picture(), None);
        scene.packet(5, &[0, 0], false);
        assert_eq!(scene.stream().first_picture(), Some(scene.now));
    }

    #[test]
    fn what_is_missing_is_asked_for_and_given_up_in_the_end() {
        let mut scene = Scene::new();
        scene.packet(0, KEY, true);
        for number in [1, 2, 3, 5, 6, 7, 8] {
            scene.packet(number, DELTA, false);
        }
        let mut rtcp = RtcpWriter::default();
        let now = scene.now;
        scene.stream().write_feedback(now, &mut rtcp);
        let read: Vec<_> = packets(rtcp.bytes()).collect::<Result<_, _>>().unwrap();
        assert_eq!(read, [RtcpPacket::Nack { media: Ssrc(7), lost: vec![65_504] }]);
        let later = now + PATIENCE;
        assert!(scene.stream().poll_timeout().is_some_and(|at| at <= later));
        rtcp.clear();
        scene.stream().write_feedback(later, &mut rtcp);
        let read: Vec<_> = packets(rtcp.bytes()).collect::<Result<_, _>>().unwrap();
        assert_eq!(read, [RtcpPacket::PictureLossIndication { media: Ssrc(7) }]);
        assert_eq!(scene.stream().counts().settled, Settled { lost: 1, whole: 2, broken: 1 });
        assert_eq!(scene.stream().report_block(later).cumulative_lost, 1);
    }

    #[test]
    fn pictures_that_a_sender_leaves_out_are_missed() {
        let mut scene = Scene::new();
        // A viewer that catches up is sent pictures a millisecond apart at first.
        for number in 0..60 {
            scene.packet_at(number, (number / 3 * 90).wrapping_sub(51_800), KEY, false);
        }
        for number in 60..300 {
            scene.packet(number, KEY, false);
        }
        assert_eq!(scene.stream().counts().skipped, 0);
        // The sender leaves two pictures out, and its sequence numbers go on.
        let packet = RtpPacket {
            marker: true,
            payload_type: PayloadType::new(96),
            sequence_number: SequenceNumber((65_500 + 300) as u16),
            timestamp: (102u32 * 3_000).wrapping_sub(50_000),
            ssrc: Ssrc(7),
            csrc: &[],
            extension: None,
            payload: DELTA,
            header_length: 12,
        };
        let (now, clock) = (scene.now, scene.clock);
        scene.stream().handle_packet(now, &clock, &packet, 4, false);
        assert_eq!(scene.stream().counts().skipped, 2);
        assert_eq!(scene.stream().counts().settled.whole, 101);
    }

    #[test]
    fn the_delay_is_told_by_the_sender_s_report() {
        let mut scene = Scene::new();
        scene.packet(0, KEY, true);
        let info = SenderInfo {
            ntp_time: scene.clock.ntp_time(scene.now),
            rtp_time: 0u32.wrapping_sub(50_000),
            ..SenderInfo::default()
        };
        let now = scene.now;
        scene.stream().handle_sender_report(now, info);
        // Picture 3 is due after 100 ms and comes 8 ms later.
        scene.now += Duration::from_millis(108);
        for number in 1..12 {
            scene.packet(number, DELTA, false);
        }
        let delays = scene.stream().delays();
        let last = delays.by_report.quantile(0.01).as_millis();
        assert!((7..=9).contains(&last), "{last}");
    }
}
