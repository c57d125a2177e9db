//! Tones of a dial pad, sent instead of sound by telephone events (RFC 4733, W3C webrtc-pc §7).

use std::time::{Duration, Instant};

use rtcast_proto::connection::{ConnectionEvent, DtmfError};
use rtcast_proto::jsep::{JsepConfig, TransceiverId};
use rtcast_proto::payload::Packetizer;
use rtcast_proto::{Codec, Direction, Frame, MediaTime, RtpCodec};
use rtcast_testkit::{Link, Pair, Side};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A call in which the left side sends sound.
struct Call {
    pair: Pair,
    sound: TransceiverId,
    codec: RtpCodec,
    packetizer: Packetizer,
    number: i64,
}

impl Call {
    fn new(codec: Codec, link: &Link, jsep: &JsepConfig) -> Self {
        let mut pair = Pair::with_config(link, 21, jsep);
        let codec = RtpCodec::new(codec);
        let sound = pair.add_track(Side::Left, &codec, "voice");
        pair.negotiate(Side::Left);
        pair.connect(Duration::from_secs(5)).expect("connected");
        assert!(pair.left.connection.select_codec(sound, Some(&codec)));
        let packetizer = Pair::packetizer(&codec);
        Self { pair, sound, codec, packetizer, number: 0 }
    }

    /// Sends sound for that time, a packet every 20 ms, and returns what was sent when.
    fn talk(&mut self, time: Duration) {
        let end = self.pair.now + time;
        while self.pair.now < end {
            let rate = self.codec.codec.clock_rate();
            let frame = Frame::new(
                self.codec.codec,
                self.number.to_be_bytes().to_vec(),
                MediaTime::from_ticks(self.number * i64::from(rate) / 50, rate),
            )
            .with_keyframe(true);
            self.number += 1;
            self.pair.send(Side::Left, self.sound, &mut self.packetizer, &frame);
            self.pair.run_for(MS(20));
        }
    }

    fn insert(&mut self, tones: &str, duration: u64, gap: u64) -> Result<(), DtmfError> {
        let sound = self.sound;
        self.pair.with(Side::Left, |c, now| c.insert_dtmf(now, sound, tones, MS(duration), MS(gap)))
    }

    fn changes(&self) -> String {
        let changes = self.pair.left.events.iter().filter_map(|event| match event {
            ConnectionEvent::ToneChange { tone, .. } => Some(tone.unwrap_or('.')),
            _ => None,
        });
        changes.collect()
    }

    fn received(&self) -> Vec<(char, u64)> {
        let tones = self.pair.right.events.iter().filter_map(|event| match event {
            ConnectionEvent::ToneReceived { tone, duration, .. } => Some((*tone, duration.as_millis() as u64)),
            _ => None,
        });
        tones.collect()
    }

    fn buffer(&self) -> String {
        self.pair.left.connection.tone_buffer(self.sound).to_string()
    }
}

fn telephone_lines(sdp: &str) -> Vec<&str> {
    sdp.lines().filter_map(|line| line.split_once(" telephone-event/").map(|(_, rate)| rate)).collect()
}

#[test]
fn tones_arrive_in_order_and_as_long_as_they_were_asked_for() {
    for codec in [Codec::Opus, Codec::Pcmu] {
        let mut call = Call::new(codec, &Link::default(), &JsepConfig::default());
        assert!(call.pair.left.connection.can_insert_dtmf(call.sound));
        call.talk(MS(200));
        call.insert("1a#,*", 120, 50).expect("tones");
        assert_eq!((call.changes().as_str(), call.buffer().as_str()), ("1", "A#,*"), "the first begins at once");
        call.talk(MS(4_000));
        assert_eq!(call.changes(), "1A#,*.", "{codec}");
        assert_eq!(call.received(), [('1', 120), ('A', 120), ('#', 120), ('*', 120)], "{codec}");
        assert_eq!(call.buffer(), "");
    }
}

#[test]
fn sound_is_silent_during_a_tone_and_goes_on_in_time() {
    let mut call = Call::new(Codec::Opus, &Link::default(), &JsepConfig::default());
    call.talk(MS(500));
    let before = call.pair.right.frames.len();
    assert_eq!(before, 25);
    let packets = |call: &Call| call.pair.left.connection.stats().senders[0].stats.packets_sent;
    let (frames, sent) = (call.number, packets(&call));
    call.insert("5", 200, 70).expect("a tone");
    call.talk(MS(200));
    // Packets at 0, 50, 100, 150 and 200 ms, the last thrice.
    assert_eq!(packets(&call) - sent, 5, "no sound among them");
    call.talk(MS(800));
    assert_eq!(call.received(), [('5', 200)]);
    let lost = call.pair.right.connection.stats().receivers[0].stats.packets_lost;
    assert_eq!(lost, 0, "tones count as received");
    let after = &call.pair.right.frames[before..];
    // 220 ms without sound are 11 packets.
    assert_eq!(after.len() as i64, call.number - frames - 11);
    let pause = after[0].timestamp.since(call.pair.right.frames[before - 1].timestamp);
    assert_eq!(pause.as_secs_f64(), 0.24, "the timeline goes on");
    assert!(after.windows(2).all(|two| two[1].timestamp.since(two[0].timestamp).as_secs_f64() == 0.02));
}

#[test]
fn durations_are_held_within_their_limits_and_long_tones_go_in_segments() {
    let mut call = Call::new(Codec::Opus, &Link::default(), &JsepConfig::default());
    call.insert("1", 1, 0).expect("a tone");
    call.talk(MS(500));
    call.insert("2", 60_000, 0).expect("a tone");
    call.talk(MS(6_500));
    call.insert("3", 3_000, 0).expect("a tone");
    call.talk(MS(3_500));
    assert_eq!(call.received(), [('1', 40), ('2', 6_000), ('3', 3_000)]);
}

#[test]
fn other_tones_replace_those_that_wait_and_none_ends_the_sending() {
    let mut call = Call::new(Codec::Opus, &Link::default(), &JsepConfig::default());
    call.insert("123456", 100, 70).expect("tones");
    call.talk(MS(200));
    assert_eq!(call.buffer(), "3456");
    call.insert("99", 100, 70).expect("tones");
    call.talk(MS(2_000));
    assert_eq!(call.changes(), "1299.");
    call.insert("0000", 100, 70).expect("tones");
    call.talk(MS(50));
    call.insert("", 100, 70).expect("an end");
    call.talk(MS(2_000));
    assert_eq!(call.changes(), "1299.0.");
}

#[test]
fn tones_need_no_sound_beside_them() {
    let mut call = Call::new(Codec::Opus, &Link::default(), &JsepConfig::default());
    call.insert("42", 100, 70).expect("tones");
    call.pair.run_for(MS(500));
    call.talk(MS(200));
    assert_eq!(call.received(), [('4', 100), ('2', 100)]);
    assert_eq!(call.pair.right.frames.len(), 10);
}

#[test]
fn loss_rarely_hides_a_tone_and_never_repeats_one() {
    let link = Link { delay: MS(20), jitter: MS(30), loss: 0.2, duplication: 0.2, ..Link::default() };
    let mut call = Call::new(Codec::Opus, &Link::default(), &JsepConfig::default());
    call.pair.set_link(&link);
    let tones = "0123456789".repeat(20);
    call.insert(&tones, 100, 70).expect("tones");
    call.talk(Duration::from_secs(40));
    let received: String = call.received().iter().map(|(tone, _)| *tone).collect();
    assert_eq!(received, tones, "each is told by five packets, so that at this loss one in 3,000 is lost");
}

#[test]
fn whoever_cannot_send_tones_is_told_why() {
    let refused = |result: Result<(), DtmfError>, name: &str, part: &str| {
        let error = result.expect_err("refused");
        assert_eq!(error.name(), name);
        assert!(error.to_string().contains(part), "{error}");
    };
    let mut call = Call::new(Codec::Opus, &Link::default(), &JsepConfig::default());
    refused(call.insert("12E", 100, 70), "InvalidCharacterError", "'E'");
    assert_eq!(call.buffer(), "", "nothing has changed");
    let video = call.pair.add_track(Side::Left, &RtpCodec::new(Codec::Vp8), "film");
    call.pair.negotiate(Side::Left);
    assert!(call.pair.left.connection.select_codec(video, Some(&RtpCodec::new(Codec::Vp8))));
    assert!(!call.pair.left.connection.can_insert_dtmf(video));

    call.pair.left.connection.set_direction(call.sound, Direction::Recvonly).expect("a direction");
    call.pair.negotiate(Side::Left);
    refused(call.insert("1", 100, 70), "InvalidStateError", "may not send now");
    call.pair.left.connection.stop_transceiver(call.sound).expect("stopped");
    refused(call.insert("1", 100, 70), "InvalidStateError", "stopped");
    let now = call.pair.now;
    call.pair.left.connection.close(now);
    refused(call.insert("1", 100, 70), "InvalidStateError", "not connected");

    let without = JsepConfig { telephone_events: false, ..JsepConfig::default() };
    let mut call = Call::new(Codec::Opus, &Link::default(), &without);
    refused(call.insert("1", 100, 70), "InvalidStateError", "not negotiated");
    let sdp = call.pair.left.connection.local_description().expect("an offer");
    assert!(telephone_lines(sdp.sdp()).is_empty());
}

#[test]
fn tones_end_with_the_right_to_send() {
    let mut call = Call::new(Codec::Opus, &Link::default(), &JsepConfig::default());
    call.insert("1234567890", 100, 70).expect("tones");
    call.talk(MS(200));
    call.pair.left.connection.set_direction(call.sound, Direction::Inactive).expect("a direction");
    call.pair.negotiate(Side::Left);
    call.pair.run_for(MS(2_000));
    assert_eq!(call.changes(), "12");
    assert_eq!(call.buffer(), "34567890", "W3C webrtc-pc §7.2: the task ends, the buffer stays");
}

#[test]
fn events_are_negotiated_with_the_clocks_of_the_sound() {
    let call = Call::new(Codec::Opus, &Link::default(), &JsepConfig::default());
    let offer = call.pair.left.connection.local_description().expect("an offer");
    assert_eq!(telephone_lines(offer.sdp()), ["48000", "8000"]);
    let answer = call.pair.right.connection.local_description().expect("an answer");
    assert_eq!(telephone_lines(answer.sdp()), ["48000", "8000"]);
    let mut narrow = JsepConfig::default();
    narrow.codecs.retain(|capability| capability.codec.codec != Codec::Opus);
    let call = Call::new(Codec::Pcmu, &Link::default(), &narrow);
    let offer = call.pair.left.connection.local_description().expect("an offer");
    assert_eq!(telephone_lines(offer.sdp()), ["8000"]);
}

#[test]
fn a_peer_with_events_of_8_khz_alone_gets_them_beside_opus() {
    // As Firefox offers them.
    let mut pair = Pair::new(&Link::default(), 22);
    let codec = RtpCodec::new(Codec::Opus);
    let sound = pair.add_track(Side::Left, &codec, "voice");
    pair.add_track(Side::Right, &codec, "other voice");
    let now: Instant = pair.now;
    pair.right.connection.set_local_description(now, None).expect("an offer");
    let offer = pair.right.connection.local_description().expect("the offer");
    let sdp = offer.sdp().replace(" telephone-event/48000", " something-else/48000");
    let offer = rtcast_proto::SessionDescription::new(offer.sdp_type(), sdp).expect("SDP");
    pair.left.connection.set_remote_description(now, &offer).expect("taken");
    pair.left.connection.set_local_description(now, None).expect("an answer");
    let answer = pair.left.connection.local_description().expect("the answer");
    assert_eq!(telephone_lines(answer.sdp()), ["8000"]);
    pair.right.connection.set_remote_description(now, &answer).expect("taken");
    pair.settle();
    pair.connect(Duration::from_secs(5)).expect("connected");
    assert!(pair.left.connection.select_codec(sound, Some(&codec)));
    pair.with(Side::Left, |c, now| c.insert_dtmf(now, sound, "7", MS(300), MS(70))).expect("a tone");
    pair.run_for(MS(1_000));
    let tone = pair.right.events.iter().find_map(|event| match event {
        ConnectionEvent::ToneReceived { tone, duration, .. } => Some((*tone, *duration)),
        _ => None,
    });
    assert_eq!(tone, Some(('7', MS(300))));
}
