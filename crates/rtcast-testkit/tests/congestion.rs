//! Who decides how fast media leaves is told of what is sent and reported, and its target is told to the application.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rtcast_proto::congestion::{CongestionController, Feedback, FixedRate, SentPacket};
use rtcast_proto::connection::ConnectionEvent;
use rtcast_proto::{Bitrate, Codec, JsepConfig, RtpCodec};
use rtcast_testkit::{Link, Pair, Side, vp8_frame};

/// What a controller heard.
#[derive(Debug, Default)]
struct Heard {
    packets: usize,
    bytes: usize,
    numbers: Vec<Option<u64>>,
    reports: usize,
    timeouts: usize,
}

/// Lets everything leave, halves its target with each of the peer's reports, and wants to be woken once.
#[derive(Debug)]
struct Halving {
    heard: Arc<Mutex<Heard>>,
    target: Bitrate,
    wake: Option<Instant>,
}

impl CongestionController for Halving {
    fn budget(&mut self, _now: Instant) -> usize {
        1_000_000
    }

    fn wait_for(&self, _bytes: usize) -> Duration {
        Duration::ZERO
    }

    fn handle_sent(&mut self, _now: Instant, packet: SentPacket) {
        let mut heard = self.heard.lock().unwrap();
        heard.packets += 1;
        heard.bytes += packet.bytes;
        heard.numbers.push(packet.transport_sequence_number);
    }

    fn handle_feedback(&mut self, _now: Instant, feedback: Feedback<'_>) {
        if matches!(feedback, Feedback::Report { .. }) {
            self.heard.lock().unwrap().reports += 1;
            self.target = Bitrate::from_bps(self.target.as_bps() / 2);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.wake
    }

    fn handle_timeout(&mut self, now: Instant) {
        assert!(self.wake.take().is_some_and(|wake| wake <= now));
        self.heard.lock().unwrap().timeouts += 1;
    }

    fn target_bitrate(&self) -> Bitrate {
        self.target
    }

    fn pacing_rate(&self) -> Bitrate {
        self.target
    }
}

fn targets(pair: &Pair) -> Vec<u64> {
    let told = pair.left.events.iter().filter_map(|event| match event {
        ConnectionEvent::TargetBitrateChanged { bitrate } => Some(bitrate.as_bps()),
        _ => None,
    });
    told.collect()
}

fn call(pair: &mut Pair, frames: u64) {
    let codec = RtpCodec::new(Codec::Vp8);
    let video = pair.add_track(Side::Left, &codec, "camera");
    pair.negotiate(Side::Left);
    pair.connect(Duration::from_secs(10)).unwrap();
    pair.left.connection.select_codec(video, Some(&codec));
    let mut packetizer = Pair::packetizer(&codec);
    for number in 0..frames {
        pair.send(Side::Left, video, &mut packetizer, &vp8_frame(number, 3_000, number == 0));
        pair.run_for(Duration::from_millis(100));
    }
}

#[test]
fn a_controller_hears_of_packets_and_reports_and_each_change_of_its_target_is_told_once() {
    let mut pair = Pair::new(&Link::default(), 1);
    let heard = Arc::new(Mutex::new(Heard::default()));
    let target = Bitrate::from_bps(8_000_000);
    let wake = Some(pair.now + Duration::from_secs(1));
    let controller = Halving { heard: Arc::clone(&heard), target, wake };
    pair.with(Side::Left, |left, _| left.set_congestion_controller(Box::new(controller)));
    call(&mut pair, 30);
    let stats = pair.left.connection.stats();
    let heard = heard.lock().unwrap();
    let sent: u64 = stats.senders.iter().map(|sender| sender.stats.packets_sent).sum();
    assert_eq!(heard.packets as u64, sent);
    assert!(heard.numbers.iter().all(Option::is_none), "none were negotiated");
    assert!(heard.bytes > 90_000, "{heard:?}");
    assert!(heard.reports >= 2, "{heard:?}");
    assert_eq!(heard.timeouts, 1);
    let told = targets(&pair);
    assert_eq!(told.len(), heard.reports + 1, "{told:?}");
    assert!(told.windows(2).all(|pair| pair[1] == pair[0] / 2) && told[0] == 8_000_000, "{told:?}");
    assert_eq!(pair.left.connection.target_bitrate().as_bps(), *told.last().unwrap());
}

#[test]
fn packets_are_numbered_over_the_transport_where_that_was_negotiated_and_none_goes_twice_as_it_was() {
    for retransmission in [true, false] {
        let mut jsep = JsepConfig::default().with_transport_wide_feedback();
        jsep.codecs.iter_mut().for_each(|codec| codec.retransmission = retransmission);
        let mut pair = Pair::with_config(&Link::default(), 3, &jsep);
        let heard = Arc::new(Mutex::new(Heard::default()));
        let target = Bitrate::from_bps(8_000_000);
        let controller = Halving { heard: Arc::clone(&heard), target, wake: None };
        pair.with(Side::Left, |left, _| left.set_congestion_controller(Box::new(controller)));
        call(&mut pair, 30);
        assert_eq!(pair.right.frames.len(), 30);
        let numbers = &heard.lock().unwrap().numbers;
        assert!(numbers.len() >= 90);
        // Without RTX the very same packet would have to go again, with the number that it had.
        let expected: Vec<_> = (0..numbers.len() as u64).map(|number| retransmission.then_some(number)).collect();
        assert_eq!(*numbers, expected);
    }
}

#[test]
fn the_fixed_rate_tells_its_target_when_it_is_set_and_never_again() {
    let mut pair = Pair::new(&Link::default(), 2);
    call(&mut pair, 30);
    assert!(targets(&pair).is_empty());
    let set = |pair: &mut Pair, rate| {
        let controller = Box::new(FixedRate::new(Bitrate::from_bps(rate)));
        pair.with(Side::Left, |left, _| left.set_congestion_controller(controller));
    };
    set(&mut pair, 2_000_000);
    set(&mut pair, 2_000_000);
    pair.run_for(Duration::from_secs(5));
    assert_eq!(targets(&pair), [2_000_000]);
}
