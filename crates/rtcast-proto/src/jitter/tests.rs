use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::payload::Packetizer;
use crate::types::MediaTime;

const FRAME_TIME: Duration = Duration::from_nanos(33_333_333);

/// Random numbers that are the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

#[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
fn instant() -> Instant {
    Instant::now()
}

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A sender of VP8-like frames, every one of other bytes.
struct Sender {
    packetizer: Packetizer,
    codec: Codec,
    first_index: u64,
    first_timestamp: u32,
    sent: Vec<Frame>,
}

impl Sender {
    fn new(codec: Codec, first_index: u64, first_timestamp: u32) -> Self {
        Self { packetizer: Packetizer::new(codec, 1_000), codec, first_index, first_timestamp, sent: Vec::new() }
    }

    fn video() -> Self {
        Self::new(Codec::Vp8, 65_500, u32::MAX - 10_000)
    }

    /// The packets of the next frame, of this length.
    fn send(&mut self, length: usize, keyframe: bool) -> Vec<ReceivedPacket> {
        let count = self.sent.len();
        let mut data: Vec<u8> = (0..length).map(|at| (at * 7 + count) as u8).collect();
        if self.codec == Codec::Vp8 {
            data[0] = u8::from(!keyframe);
        }
        let step = if self.codec == Codec::Vp8 { 3_000 } else { 960 };
        let timestamp = MediaTime::from_ticks(count as i64 * step, self.codec.clock_rate());
        let frame = Frame::new(self.codec, data, timestamp).with_keyframe(keyframe);
        self.sent.push(frame.clone());
        let packets = self.packetizer.packetize(&frame, instant()).unwrap();
        let last = packets.len() as u64 - 1;
        let packet = |(offset, payload): (u64, &[u8])| ReceivedPacket {
            index: self.first_index + packets.first_packet + offset,
            timestamp: self.first_timestamp.wrapping_add(packets.timestamp as u32),
            marker: offset == last && self.codec == Codec::Vp8,
            payload: Bytes::copy_from_slice(payload),
        };
        (0..).zip(packets.iter()).map(packet).collect()
    }
}

fn buffer(codec: Codec) -> JitterBuffer {
    JitterBuffer::new(codec, JitterConfig::new(codec))
}

fn push_all(buffer: &mut JitterBuffer, now: Instant, packets: impl IntoIterator<Item = ReceivedPacket>) {
    for packet in packets {
        buffer.push(now, packet);
    }
}

fn pop_all(buffer: &mut JitterBuffer, now: Instant) -> Vec<Frame> {
    std::iter::from_fn(|| buffer.pop(now)).collect()
}

#[test]
fn frames_come_out_as_they_went_in_over_the_wraps() {
    let mut now = instant();
    let mut sender = Sender::video();
    let mut receiver = buffer(Codec::Vp8);
    let mut received = Vec::new();
    for index in 0..60 {
        let packets = sender.send(if index % 30 == 0 { 20_000 } else { 2_500 }, index % 30 == 0);
        push_all(&mut receiver, now, packets);
        received.extend(pop_all(&mut receiver, now));
        assert_eq!(received.len(), index + 1, "each frame comes with its last packet");
        assert!(receiver.poll_nack(now).is_empty() && !receiver.poll_keyframe_request(now));
        now += FRAME_TIME;
    }
    assert_eq!(received, sender.sent);
    assert_eq!(receiver.poll_timeout(), None);
    assert_eq!(receiver.statistics().frames_delivered, 60);
}

#[test]
fn reordered_and_doubled_packets_change_nothing() {
    let now = instant();
    let mut random = Random(7);
    let mut sender = Sender::video();
    let mut receiver = buffer(Codec::Vp8);
    let mut packets: Vec<ReceivedPacket> = (0..40).flat_map(|index| sender.send(4_500, index == 0)).collect();
    for _ in 0..100 {
        let at = random.next() as usize % (packets.len() - 6);
        packets[at..at + 6].reverse();
        packets.insert(at + 3, packets[at].clone());
    }
    let mut received = Vec::new();
    for packet in packets {
        receiver.push(now, packet);
        received.extend(pop_all(&mut receiver, now));
    }
    assert_eq!(received, sender.sent);
    assert_eq!(receiver.statistics().packets_duplicated + receiver.statistics().packets_discarded, 100);
    assert!(receiver.poll_nack(now + milliseconds(5_000)).is_empty());
}

#[test]
fn the_first_packets_may_come_in_any_order() {
    let now = instant();
    let mut sender = Sender::video();
    let mut receiver = buffer(Codec::Vp8);
    let mut packets = sender.send(6_000, true);
    packets.swap(0, 3);
    push_all(&mut receiver, now, packets);
    assert_eq!(pop_all(&mut receiver, now), sender.sent);
}

#[test]
fn a_retransmitted_packet_completes_its_frame_and_those_after_it() {
    let start = instant();
    let mut sender = Sender::video();
    let mut receiver = buffer(Codec::Vp8);
    push_all(&mut receiver, start, sender.send(5_000, true));
    assert_eq!(pop_all(&mut receiver, start).len(), 1);
    let mut packets = sender.send(5_000, false);
    let lost = packets.remove(2);
    push_all(&mut receiver, start, packets);
    push_all(&mut receiver, start, sender.send(5_000, false));
    assert_eq!(receiver.pop(start), None);
    assert_eq!(receiver.poll_nack(start), [lost.index as u16]);
    assert!(receiver.poll_nack(start).is_empty());
    let later = start + milliseconds(50);
    receiver.push(later, lost);
    assert_eq!(pop_all(&mut receiver, later), sender.sent[1..]);
    assert_eq!(receiver.poll_timeout(), None);
    assert!(!receiver.poll_keyframe_request(later));
}

#[test]
fn after_a_loss_nothing_is_shown_until_a_keyframe_which_is_asked_for_again_and_again() {
    let start = instant();
    let mut now = start;
    let mut sender = Sender::video();
    let mut receiver = buffer(Codec::Vp8);
    receiver.handle_round_trip_time(milliseconds(20));
    push_all(&mut receiver, now, sender.send(5_000, true));
    assert_eq!(pop_all(&mut receiver, now).len(), 1);
    sender.send(5_000, false); // Lost as a whole.
    let mut requests = Vec::new();
    let mut asked = 0;
    for _ in 0..60 {
        push_all(&mut receiver, now, sender.send(5_000, false));
        let next_frame = now + FRAME_TIME;
        loop {
            assert_eq!(receiver.pop(now), None, "nothing can be decoded");
            asked += receiver.poll_nack(now).len();
            if receiver.poll_keyframe_request(now) {
                requests.push((now - start).as_millis());
            }
            match receiver.poll_timeout() {
                Some(at) if at < next_frame => now = at,
                _ => break,
            }
        }
        now = next_frame;
    }
    assert_eq!(requests, [250, 750, 1_250, 1_750]);
    assert_eq!(asked, 6 * 10, "six packets, ten times");
    push_all(&mut receiver, now, sender.send(5_000, true));
    push_all(&mut receiver, now, sender.send(500, false));
    assert_eq!(pop_all(&mut receiver, now), sender.sent[62..]);
    assert_eq!(receiver.poll_timeout(), None);
    let statistics = receiver.statistics();
    assert_eq!((statistics.packets_lost, statistics.frames_dropped, statistics.keyframe_requests), (6, 60, 4));
}

#[test]
fn a_keyframe_that_is_there_is_shown_without_waiting_for_what_was_before() {
    let now = instant();
    let mut sender = Sender::video();
    let mut receiver = buffer(Codec::Vp8);
    push_all(&mut receiver, now, sender.send(900, false));
    assert_eq!(receiver.pop(now), None);
    assert!(receiver.poll_keyframe_request(now), "joined in the middle");
    sender.send(3_000, false);
    push_all(&mut receiver, now, sender.send(3_000, true));
    assert_eq!(pop_all(&mut receiver, now), [sender.sent[2].clone().with_timestamp(MediaTime::ZERO)]);
    assert!(receiver.poll_nack(now + milliseconds(100)).is_empty());
}

#[test]
fn a_frame_without_its_beginning_or_its_end_is_never_given_out() {
    let now = instant();
    for missing in 0..5 {
        let mut sender = Sender::video();
        let mut receiver = buffer(Codec::Vp8);
        let mut packets = sender.send(5_000, true);
        packets.remove(missing);
        push_all(&mut receiver, now, packets);
        push_all(&mut receiver, now, sender.send(5_000, false));
        let later = now + milliseconds(1_000);
        assert_eq!((receiver.pop(now), receiver.pop(later)), (None, None), "{missing}");
        assert!(receiver.poll_keyframe_request(later));
    }
}

#[test]
fn packets_of_padding_fill_their_places() {
    let now = instant();
    let mut sender = Sender::video();
    let mut receiver = buffer(Codec::Vp8);
    let mut offset = 0;
    for index in 0..5 {
        for mut packet in sender.send(2_500, index == 0) {
            packet.index += offset;
            let padding = ReceivedPacket {
                index: packet.index + 1,
                timestamp: packet.timestamp,
                marker: false,
                payload: Bytes::new(),
            };
            receiver.push(now, packet);
            receiver.push(now, padding);
            offset += 1;
        }
    }
    assert_eq!(pop_all(&mut receiver, now), sender.sent);
    assert_eq!(receiver.poll_timeout(), None);
}

#[test]
fn frames_without_markers_end_where_the_timestamp_changes() {
    let now = instant();
    let mut sender = Sender::video();
    let mut receiver = buffer(Codec::Vp8);
    for index in 0..4 {
        let packets = sender.send(2_500, index == 0).into_iter();
        push_all(&mut receiver, now, packets.map(|packet| ReceivedPacket { marker: false, ..packet }));
    }
    assert_eq!(pop_all(&mut receiver, now), sender.sent[..3]);
}

#[test]
fn sound_goes_on_after_a_loss() {
    let start = instant();
    let mut sender = Sender::new(Codec::Opus, 65_530, 5);
    let mut receiver = buffer(Codec::Opus);
    let packets: Vec<ReceivedPacket> = (0..12).flat_map(|_| sender.send(80, true)).collect();
    for (index, packet) in packets.into_iter().enumerate() {
        match index {
            4 => {}
            7 => receiver.push(start, ReceivedPacket { payload: Bytes::new(), ..packet }),
            _ => receiver.push(start, packet),
        }
    }
    assert_eq!(pop_all(&mut receiver, start), sender.sent[..4]);
    let due = receiver.poll_timeout().unwrap();
    assert_eq!(due, start + milliseconds(60));
    let expected = [&sender.sent[5..7], &sender.sent[8..]].concat();
    assert_eq!(pop_all(&mut receiver, due), expected, "with their own times");
    assert!(!receiver.poll_keyframe_request(due) && receiver.poll_nack(due).is_empty());
}

#[test]
fn sound_that_is_sent_again_is_waited_for_at_most_200_milliseconds() {
    let start = instant();
    let mut sender = Sender::new(Codec::Opus, 0, 0);
    let mut receiver =
        JitterBuffer::new(Codec::Opus, JitterConfig { retransmission: true, ..JitterConfig::new(Codec::Opus) });
    receiver.handle_round_trip_time(milliseconds(3_000));
    let packets: Vec<ReceivedPacket> = (0..6).flat_map(|_| sender.send(80, true)).collect();
    push_all(&mut receiver, start, packets.iter().filter(|packet| packet.index != 1).cloned());
    assert_eq!(receiver.poll_nack(start), [1]);
    assert_eq!(pop_all(&mut receiver, start + milliseconds(199)).len(), 1);
    assert_eq!(pop_all(&mut receiver, start + milliseconds(200)).len(), 4);
    receiver.push(start + milliseconds(201), packets[1].clone());
    assert_eq!(receiver.statistics().packets_discarded, 1);
}

/// Carries packets from a sender to a receiver and requests back, with delay, jitter and loss.
struct Link {
    random: Random,
    loss: u64,
    to_receiver: BTreeMap<(Instant, u64), ReceivedPacket>,
    to_sender: BTreeMap<(Instant, u64), u16>,
    count: u64,
}

impl Link {
    const DELAY: Duration = Duration::from_millis(25);

    fn send(&mut self, now: Instant, packet: ReceivedPacket) {
        self.count += 1;
        // Nobody can miss the very first packet.
        if self.count == 1 || !self.random.percent(self.loss) {
            let jitter = milliseconds(self.random.next() % 5);
            self.to_receiver.insert((now + Self::DELAY + jitter, self.count), packet);
        }
    }

    fn ask(&mut self, now: Instant, numbers: Vec<u16>) {
        if self.random.percent(self.loss) {
            return;
        }
        for number in numbers {
            self.count += 1;
            self.to_sender.insert((now + Self::DELAY, self.count), number);
        }
    }
}

fn take_due<T>(queue: &mut BTreeMap<(Instant, u64), T>, now: Instant) -> Vec<T> {
    let later = queue.split_off(&(now + Duration::from_nanos(1), 0));
    std::mem::replace(queue, later).into_values().collect()
}

#[test]
fn with_five_percent_loss_every_frame_comes_by_retransmission() {
    let start = instant();
    let mut link =
        Link { random: Random(99), loss: 5, to_receiver: BTreeMap::new(), to_sender: BTreeMap::new(), count: 0 };
    let mut sender = Sender::video();
    let mut receiver = buffer(Codec::Vp8);
    receiver.handle_round_trip_time(milliseconds(55));
    let mut history = BTreeMap::new();
    let mut received = Vec::new();
    let mut longest = Duration::ZERO;
    for tick in 0..22_000 {
        let now = start + milliseconds(tick);
        // A receiver cannot miss a packet that nothing follows, so the last frame comes through.
        if tick == 19_900 {
            link.loss = 0;
        }
        if tick % 33 == 0 && tick < 20_000 {
            for packet in sender.send(if tick % 3_300 == 0 { 40_000 } else { 8_000 }, tick % 3_300 == 0) {
                history.insert(packet.index as u16, packet.clone());
                link.send(now, packet);
            }
        }
        for number in take_due(&mut link.to_sender, now) {
            link.send(now, history[&number].clone());
        }
        for packet in take_due(&mut link.to_receiver, now) {
            receiver.push(now, packet);
        }
        for frame in pop_all(&mut receiver, now) {
            longest = longest.max(now - start - milliseconds(received.len() as u64 * 33));
            received.push(frame);
        }
        let numbers = receiver.poll_nack(now);
        if !numbers.is_empty() {
            link.ask(now, numbers);
        }
        assert!(!receiver.poll_keyframe_request(now), "at {tick} ms: {:?}", receiver.statistics());
    }
    assert_eq!(received.len(), 607);
    assert_eq!(received, sender.sent);
    assert!(longest < milliseconds(450), "{longest:?}");
    let statistics = receiver.statistics();
    assert_eq!((statistics.packets_lost, statistics.frames_dropped), (0, 0));
}

#[test]
fn a_sender_that_leaps_or_begins_anew_is_followed() {
    for (index, timestamp) in [(5_000_000, 77), (65_600, 3_000_000_000), (1_000, 5)] {
        let mut now = instant();
        let mut receiver = buffer(Codec::Vp8);
        let mut last = MediaTime::ZERO;
        let mut sender = Sender::new(Codec::Vp8, 65_600, 9_000);
        for count in 0..30 {
            push_all(&mut receiver, now, sender.send(3_000, count == 0));
            last = pop_all(&mut receiver, now)[0].timestamp;
            now += FRAME_TIME;
        }
        let mut sender = Sender::new(Codec::Vp8, index, timestamp);
        let mut received = Vec::new();
        for count in 0..60 {
            push_all(&mut receiver, now, sender.send(3_000, count % 20 == 0));
            received.extend(pop_all(&mut receiver, now));
            now += FRAME_TIME;
        }
        assert!(received.len() >= 40, "{index}: {}", received.len());
        assert_eq!(received.last().map(|frame| &frame.data), sender.sent.last().map(|frame| &frame.data));
        let times: Vec<MediaTime> = received.iter().map(|frame| frame.timestamp).collect();
        assert!(times[0] > last && times.is_sorted());
        assert!(times[times.len() - 1] < MediaTime::from_micros(5_000_000), "{index}: the clock goes on as time does");
    }
}

#[test]
fn what_is_sent_again_though_it_came_shows_no_new_beginning() {
    let mut now = instant();
    let mut receiver = buffer(Codec::Vp8);
    let mut sender = Sender::new(Codec::Vp8, 65_400, 9_000);
    let mut old = Vec::new();
    for count in 0..30 {
        let packets: Vec<_> = sender.send(3_000, count == 0);
        old.extend(packets.iter().cloned());
        push_all(&mut receiver, now, packets);
        assert_eq!(pop_all(&mut receiver, now).len(), 1);
        now += FRAME_TIME;
    }
    // A hundred in a row that nobody has missed.
    for packet in old.iter().cycle().take(100) {
        receiver.push_retransmission(now, packet.clone());
        assert!(receiver.pop(now).is_none());
    }
    assert_eq!(receiver.poll_timeout(), None);
    assert!(!receiver.poll_keyframe_request(now));
    push_all(&mut receiver, now, sender.send(3_000, false));
    assert_eq!(pop_all(&mut receiver, now).len(), 1);
}

#[test]
fn a_reader_that_is_too_slow_loses_old_frames_and_gets_new_ones() {
    let now = instant();
    let mut sender = Sender::video();
    let mut receiver = JitterBuffer::new(Codec::Vp8, JitterConfig { max_frames: 50, ..JitterConfig::new(Codec::Vp8) });
    for index in 0..200 {
        push_all(&mut receiver, now, sender.send(2_500, index % 20 == 0));
        assert!(receiver.window.frames() <= 50);
    }
    let received = pop_all(&mut receiver, now);
    assert_eq!(received.len(), 40, "from the first keyframe that is left");
    assert!(received[0].keyframe);
    assert!(received.iter().zip(&sender.sent[160..]).all(|(received, sent)| received.data == sent.data));
}

#[test]
fn a_keyframe_of_two_thousand_packets_fits() {
    let now = instant();
    let mut sender = Sender::video();
    let mut receiver = buffer(Codec::Vp8);
    let packets = sender.send(2_000 * 996, true);
    assert_eq!(packets.len(), 2_000);
    push_all(&mut receiver, now, packets.into_iter().rev());
    assert!(receiver.pop(now).is_some_and(|frame| frame.data == sender.sent[0].data), "even back to front");
}

#[test]
fn h264_keyframes_without_parameter_sets_get_the_last_ones() {
    let now = instant();
    let mut receiver = buffer(Codec::H264);
    let packet = |index, payload: &'static [u8]| ReceivedPacket {
        index,
        timestamp: 3_000 * index as u32,
        marker: true,
        payload: Bytes::from_static(payload),
    };
    receiver.push(now, packet(0, &[0x65, 0x88]));
    receiver.push(now, packet(1, &[0x41, 0x9a]));
    assert_eq!(receiver.pop(now), None, "there are no parameter sets yet");
    receiver.push(now, packet(2, &[0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 2, 0, 2, 0x65, 0x88]));
    receiver.push(now, packet(3, &[0x65, 0x88]));
    receiver.push(now, packet(4, &[0x41, 0x9a]));
    let frames: Vec<(bool, Vec<u8>)> =
        pop_all(&mut receiver, now).into_iter().map(|frame| (frame.keyframe, frame.data.to_vec())).collect();
    let keyframe = (true, vec![0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 0x65, 0x88]);
    assert_eq!(frames, [keyframe.clone(), keyframe, (false, vec![0, 0, 0, 1, 0x41, 0x9a])]);
}

#[test]
fn a_leap_into_the_middle_of_a_keyframe_shows_no_part_of_it() {
    let now = instant();
    let mut receiver = buffer(Codec::H264);
    let packet = |index, timestamp, marker, payload: &'static [u8]| ReceivedPacket {
        index,
        timestamp,
        marker,
        payload: Bytes::from_static(payload),
    };
    let keyframe: &[u8] = &[0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 2, 0, 2, 0x65, 0x88];
    receiver.push(now, packet(0, 0, true, keyframe));
    assert_eq!(pop_all(&mut receiver, now).len(), 1);
    // The later slices of a keyframe; what stood before them is lost.
    receiver.push(now, packet(1_000_000, 3_000, false, &[0x65, 0x48]));
    receiver.push(now, packet(1_000_001, 3_000, true, &[0x65, 0x28]));
    assert_eq!(receiver.pop(now), None);
    assert!(receiver.poll_keyframe_request(now));
    receiver.push(now, packet(1_000_002, 6_000, true, keyframe));
    assert_eq!(pop_all(&mut receiver, now).len(), 1);
}

#[test]
fn a_hostile_sender_gets_no_more_memory_than_the_limits() {
    let start = instant();
    for codec in Codec::ALL {
        let mut random = Random(codec.clock_rate().into());
        let config =
            JitterConfig { retransmission: true, max_packets: 256, max_bytes: 64 << 10, ..JitterConfig::new(codec) };
        let mut receiver = JitterBuffer::new(codec, config);
        let payload = Bytes::from((0..1_200).map(|_| random.next() as u8).collect::<Vec<u8>>());
        let mut index = 1 << 20;
        let mut times = BTreeSet::new();
        for step in 0..60_000 {
            let now = start + Duration::from_micros(step * 200);
            index = match random.next() % 1_000 {
                0 => random.next(),
                1 => u64::MAX - random.next() % 3,
                2..100 => index.saturating_add(random.next() % 200),
                100..200 => index.saturating_sub(random.next() % 200),
                _ => index.saturating_add(1),
            };
            let from = random.next() as usize % 1_200;
            receiver.push(
                now,
                ReceivedPacket {
                    index,
                    timestamp: (random.next() % 4 * 0x4000_0000) as u32,
                    marker: random.percent(30),
                    payload: payload.slice(from..(from + random.next() as usize % 1_200).min(1_200)),
                },
            );
            assert!(receiver.window.length() <= 256 && receiver.window.bytes() <= 64 << 10);
            assert!(receiver.poll_nack(now).len() <= 1_000);
            receiver.poll_keyframe_request(now);
            if random.percent(50) {
                for frame in pop_all(&mut receiver, now) {
                    assert!(times.last().is_none_or(|last| *last <= frame.timestamp), "time runs backwards");
                    times.insert(frame.timestamp);
                }
            }
        }
        let statistics = receiver.statistics();
        assert_eq!(statistics.packets_received, 60_000);
        assert!(codec.kind() == MediaKind::Video || statistics.frames_delivered > 100, "{codec}: {statistics:?}");
        assert!(statistics.keyframe_requests <= 12 * 2 + 1, "{codec}: at most every 500 ms");
    }
}
