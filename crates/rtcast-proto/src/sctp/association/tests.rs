//! Two associations and a network of numbers between them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::*;
use super::super::{chunk, packet};
use super::Association;

/// What the network does to a packet: by its number of that direction and its bytes, when it arrives, if it does.
type Fate = Box<dyn FnMut(u64, &[u8]) -> Option<Duration>>;

type Flight = (Instant, u64, usize, Vec<u8>);

struct End {
    association: Association,
    fate: Fate,
    sent: u64,
    bytes: u64,
    events: Vec<SctpEvent>,
    received: Vec<(u16, Bytes)>,
    /// Whether the application reads.
    reads: bool,
}

struct Pair {
    start: Instant,
    now: Instant,
    ends: [End; 2],
    /// By arrival and order: the end that it goes to, and the packet.
    flights: BinaryHeap<Reverse<Flight>>,
    order: u64,
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1_u64 << 31) as f64
    }
}

fn delayed(milliseconds: u64) -> Fate {
    Box::new(move |_, _| Some(Duration::from_millis(milliseconds)))
}

/// Loses that share, and lets each packet take up to `jitter` milliseconds more.
fn lossy(seed: u64, share: f64, delay: u64, jitter: u64) -> Fate {
    let mut dice = Dice(seed);
    Box::new(move |_, _| {
        let late = Duration::from_micros((dice.roll() * jitter as f64 * 1e3) as u64);
        (dice.roll() >= share).then(|| Duration::from_millis(delay) + late)
    })
}

impl Pair {
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn new(config: SctpConfig, fates: [Fate; 2]) -> Self {
        let now = Instant::now();
        let mut seed = 0;
        let ends = fates.map(|fate| {
            seed += 1;
            let association = Association::new(config, [seed; 32]);
            End { association, fate, sent: 0, bytes: 0, events: vec![], received: vec![], reads: true }
        });
        Self { start: now, now, ends, flights: BinaryHeap::new(), order: 0 }
    }

    fn connected(config: SctpConfig, fates: [Fate; 2]) -> Self {
        let mut pair = Self::new(config, fates);
        let now = pair.now;
        pair.ends.iter_mut().for_each(|end| end.association.connect(now));
        pair.run_until(Duration::from_secs(60), |pair| {
            pair.ends.iter().all(|end| end.association.state() == SctpState::Connected)
        });
        pair
    }

    fn send(&mut self, end: usize, stream: u16, data: impl Into<Bytes>, unordered: bool, reliability: Reliability) {
        let message = OutgoingMessage {
            stream: StreamId(stream),
            ppid: PayloadProtocolId(53),
            data: data.into(),
            unordered,
            reliability,
        };
        let now = self.now;
        self.ends[end].association.send(now, message).unwrap();
    }

    fn reliable(&mut self, end: usize, stream: u16, data: impl Into<Bytes>) {
        self.send(end, stream, data, false, Reliability::default());
    }

    fn settle(&mut self) {
        let mut packet = Vec::new();
        for at in 0..2 {
            let end = &mut self.ends[at];
            let before = end.sent;
            while end.association.poll_transmit(self.now, &mut packet) {
                assert!(packet.len() <= 1_160 && packet.len() % 4 == 0, "{}", packet.len());
                end.sent += 1;
                assert!(end.sent - before < 20_000, "packets without end");
                end.bytes += packet.len() as u64;
                if let Some(delay) = (end.fate)(end.sent, &packet) {
                    self.order += 1;
                    self.flights.push(Reverse((self.now + delay, self.order, 1 - at, packet.clone())));
                }
            }
            while let Some(event) = end.association.poll_event() {
                match event {
                    SctpEvent::Message { stream, data, .. } => {
                        if end.reads {
                            end.association.consumed(data.len());
                        }
                        end.received.push((stream.0, data));
                    }
                    event => end.events.push(event),
                }
            }
        }
    }

    /// Goes on to what happens next. Returns `false` if nothing ever will.
    fn step(&mut self) -> bool {
        self.settle();
        let timers = self.ends.iter().filter_map(|end| end.association.poll_timeout());
        let arrival = self.flights.peek().map(|Reverse(flight)| flight.0);
        let Some(next) = timers.chain(arrival).min() else { return false };
        self.now = self.now.max(next);
        while self.flights.peek().is_some_and(|Reverse(flight)| flight.0 <= self.now) {
            let Some(Reverse((_, _, to, packet))) = self.flights.pop() else { break };
            self.ends[to].association.handle_input(self.now, &packet);
        }
        for end in &mut self.ends {
            if end.association.poll_timeout().is_some_and(|at| at <= self.now) {
                end.association.handle_timeout(self.now);
            }
        }
        self.settle();
        true
    }

    /// Runs until it is so. Returns the time that it took.
    fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        self.settle();
        while !done(self) {
            assert!(self.step() && self.now - start < limit, "not within {limit:?}: {:?}", self.associations());
        }
        self.now - start
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        loop {
            let timers = self.ends.iter().filter_map(|end| end.association.poll_timeout());
            let arrival = self.flights.peek().map(|Reverse(flight)| flight.0);
            if timers.chain(arrival).min().is_none_or(|next| next > end) {
                break;
            }
            self.step();
        }
        self.now = end;
    }

    fn associations(&self) -> [&Association; 2] {
        self.ends.each_ref().map(|end| &end.association)
    }

    fn told(&self, end: usize, event: &SctpEvent) -> bool {
        self.ends[end].events.contains(event)
    }
}

fn settings() -> [SctpConfig; 3] {
    let full = SctpConfig::default();
    [full, SctpConfig { interleaving: false, ..full }, SctpConfig { zero_checksum: false, ..full }]
}

/// Bytes that tell their place.
fn pattern(length: usize, seed: u8) -> Bytes {
    (0..length).map(|at| (at as u8).wrapping_mul(7) ^ (at >> 8) as u8 ^ seed).collect()
}

#[test]
fn both_ends_may_begin_at_once_or_one_alone() {
    for config in settings() {
        let pair = Pair::connected(config, [delayed(10), delayed(10)]);
        assert_eq!(pair.now - pair.start, Duration::from_millis(30), "three ways");
        let mut pair = Pair::new(config, [delayed(10), delayed(30)]);
        let now = pair.now;
        pair.ends[0].association.connect(now);
        pair.reliable(0, 1, "early");
        pair.run_until(Duration::from_secs(1), |pair| !pair.ends[1].received.is_empty());
        assert_eq!(pair.now - pair.start, Duration::from_millis(50), "data goes with the cookie");
        assert!(pair.told(1, &SctpEvent::Connected));
        assert_eq!(pair.associations().map(|end| end.max_streams()), [Some(65_535); 2]);
    }
}

#[test]
fn the_handshake_survives_loss_of_any_of_its_packets() {
    for lost in 1..=4 {
        for side in 0..2 {
            let lose =
                |number: u64| -> Fate { Box::new(move |at, _| (at != number).then(|| Duration::from_millis(5))) };
            let fates = if side == 0 { [lose(lost), delayed(5)] } else { [delayed(5), lose(lost)] };
            let mut pair = Pair::connected(SctpConfig::default(), fates);
            pair.reliable(0, 0, "a");
            pair.reliable(1, 0, "b");
            pair.run_until(Duration::from_secs(5), |pair| pair.ends.iter().all(|end| end.received.len() == 1));
        }
    }
}

#[test]
fn messages_of_all_lengths_arrive_whole_and_in_order() {
    for config in settings() {
        let mut pair = Pair::connected(config, [lossy(1, 0.05, 10, 15), lossy(2, 0.05, 10, 15)]);
        let lengths = [1, 2, 3, 1_131, 1_132, 1_133, 1_136, 5_000, 65_536, 262_144];
        for end in 0..2 {
            for (number, length) in lengths.into_iter().enumerate() {
                pair.reliable(end, number as u16 % 3, pattern(length, number as u8));
            }
        }
        pair.run_until(Duration::from_secs(120), |pair| {
            pair.ends.iter().all(|end| end.received.len() == lengths.len())
        });
        for end in &pair.ends {
            for stream in 0..3 {
                let of_stream: Vec<&Bytes> =
                    end.received.iter().filter(|(id, _)| *id == stream).map(|(_, data)| data).collect();
                let expected = lengths.iter().enumerate().filter(|(number, _)| *number as u16 % 3 == stream);
                let expected: Vec<Bytes> = expected.map(|(number, length)| pattern(*length, number as u8)).collect();
                assert!(of_stream.into_iter().eq(expected.iter()), "stream {stream}");
            }
        }
        pair.run_until(Duration::from_secs(20), |pair| {
            pair.associations().iter().all(|association| association.stats().bytes_in_flight == 0)
        });
        for end in &pair.ends {
            let settled: usize = end
                .events
                .iter()
                .map(|event| if let SctpEvent::Settled { bytes, .. } = event { *bytes } else { 0 })
                .sum();
            assert_eq!(settled, lengths.iter().sum::<usize>(), "every byte was settled once");
        }
    }
}

#[test]
fn a_burst_that_is_lost_comes_back_within_few_round_trips() {
    // 300 packets in a row are lost in the middle of a transfer over 50 ms.
    let fate: Fate = Box::new(|at, _| (!(800..1_100).contains(&at)).then(|| Duration::from_millis(25)));
    let mut pair = Pair::connected(SctpConfig::default(), [fate, delayed(25)]);
    for number in 0..128 {
        pair.reliable(0, 0, pattern(16_384, number));
    }
    let took = pair.run_until(Duration::from_secs(10), |pair| pair.ends[1].received.len() == 128);
    println!("2 MiB with 300 packets lost in a row: {took:?}, {:?}", pair.associations()[0].stats());
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    assert_eq!(pair.associations()[0].stats().timeouts, 0, "found without a timeout");
}

#[test]
fn a_lost_tail_is_asked_for_before_the_timeout() {
    let fate: Fate = Box::new(|at, _| (at != 20).then(|| Duration::from_millis(10)));
    let mut pair = Pair::connected(SctpConfig::default(), [fate, delayed(10)]);
    while pair.ends[0].sent < 19 {
        let received = pair.ends[1].received.len();
        pair.reliable(0, 0, "x");
        pair.run_until(Duration::from_secs(1), |pair| pair.ends[1].received.len() > received);
    }
    pair.run_for(Duration::from_millis(200));
    let received = pair.ends[1].received.len();
    pair.reliable(0, 0, "tail");
    let took = pair.run_until(Duration::from_secs(1), |pair| pair.ends[1].received.len() > received);
    assert!(took < Duration::from_millis(120), "{took:?}");
    assert_eq!(pair.associations()[0].stats().timeouts, 0);
}

#[test]
fn a_loss_that_a_probe_repairs_shrinks_the_window_and_a_late_answer_does_not() {
    for (lost, shrinks) in [(true, true), (false, false)] {
        let mut pair = Pair::connected(SctpConfig::default(), [delayed(10), delayed(10)]);
        let deliver = |pair: &mut Pair| {
            let received = pair.ends[1].received.len();
            pair.reliable(0, 0, "x");
            pair.run_until(Duration::from_secs(1), |pair| pair.ends[1].received.len() > received);
            pair.run_for(Duration::from_millis(100));
        };
        for _ in 0..20 {
            deliver(&mut pair);
        }
        let window = pair.associations()[0].stats().congestion_window;
        // Either the tail itself is lost, or its acknowledgement comes after the probe.
        let (of, from) = if lost { (0, pair.ends[0].sent) } else { (1, pair.ends[1].sent) };
        pair.ends[of].fate = Box::new(move |at, _| match (at == from + 1, lost) {
            (true, true) => None,
            (true, false) => Some(Duration::from_millis(150)),
            _ => Some(Duration::from_millis(10)),
        });
        deliver(&mut pair);
        let repeated = pair.associations()[0].stats();
        assert_eq!((repeated.timeouts, repeated.chunks_retransmitted), (0, 1), "a probe was sent");
        pair.run_for(Duration::from_millis(300));
        deliver(&mut pair);
        let after = pair.associations()[0].stats().congestion_window;
        assert_eq!(after < window, shrinks, "{after} after {window}, lost: {lost}");
    }
}

#[test]
fn reordering_alone_is_hardly_taken_for_loss() {
    let mut pair = Pair::connected(SctpConfig::default(), [lossy(5, 0.0, 20, 10), delayed(20)]);
    for number in 0..64 {
        pair.reliable(0, 0, pattern(16_384, number));
    }
    pair.run_until(Duration::from_secs(20), |pair| pair.ends[1].received.len() == 64);
    let stats = pair.associations()[0].stats();
    assert!(stats.chunks_retransmitted * 20 < stats.packets_sent, "{stats:?}");
}

#[test]
fn a_large_message_does_not_block_other_streams() {
    let mut pair = Pair::connected(SctpConfig::default(), [delayed(20), delayed(20)]);
    pair.reliable(0, 1, pattern(256 << 10, 1));
    pair.settle();
    pair.reliable(0, 2, "urgent");
    pair.run_until(Duration::from_secs(5), |pair| pair.ends[1].received.len() == 2);
    assert_eq!(pair.ends[1].received[0], (2, Bytes::from_static(b"urgent")));
}

#[test]
fn a_reader_that_stops_holds_the_sender_and_not_memory() {
    let config = SctpConfig { receive_buffer: 512 << 10, ..SctpConfig::default() };
    let mut pair = Pair::connected(config, [delayed(5), delayed(5)]);
    pair.ends[1].reads = false;
    for number in 0..200 {
        pair.reliable(0, 0, pattern(16_384, number));
    }
    pair.run_for(Duration::from_secs(20));
    let got: usize = pair.ends[1].received.iter().map(|(_, data)| data.len()).sum();
    assert!(got <= 560 << 10, "{got} bytes came in spite of a window of 512 KiB");
    assert!(got > 400 << 10);
    let sent = pair.ends[0].sent;
    pair.run_for(Duration::from_secs(20));
    assert!(pair.ends[0].sent - sent < 20, "it asks seldom");
    pair.ends[1].reads = true;
    pair.ends[1].association.consumed(got);
    let took = pair.run_until(Duration::from_secs(30), |pair| pair.ends[1].received.len() == 200);
    assert!(took < Duration::from_secs(2), "the new window is told at once: {took:?}");
}

#[test]
fn what_is_not_worth_sending_any_more_is_skipped() {
    for config in settings() {
        for (retransmits, life) in [(Some(0), None), (None, Some(Duration::from_millis(1)))] {
            let reliability = Reliability { max_retransmits: retransmits, max_packet_life_time: life };
            let mut pair = Pair::connected(config, [lossy(9, 0.2, 10, 0), lossy(10, 0.05, 10, 0)]);
            for unordered in [false, true] {
                let before = pair.ends[1].received.len();
                for number in 0..100_u32 {
                    let data = pattern(if number % 10 == 0 { 5_000 } else { 50 }, number as u8);
                    pair.send(0, 4, data, unordered, reliability);
                    pair.run_for(Duration::from_millis(30));
                }
                // One that is sent until it comes shows that nothing waits for the others.
                pair.reliable(0, 4, "last");
                pair.run_until(Duration::from_secs(20), |pair| {
                    pair.ends[1].received.iter().skip(before).any(|(_, data)| data == &b"last"[..])
                });
                let got = pair.ends[1].received.len() - before;
                assert!((40..100).contains(&got), "{got} of 101 came through");
            }
            pair.run_for(Duration::from_secs(5));
            assert_eq!(pair.associations()[0].stats().bytes_in_flight, 0);
            assert_eq!(pair.ends[0].association.outbound.buffered(), 0);
            assert_eq!(pair.ends[1].association.reassembly.buffered(), 0, "no pieces are left behind");
        }
    }
}

#[test]
fn a_stream_ends_after_its_messages_and_begins_anew() {
    for config in settings() {
        let mut pair = Pair::connected(config, [lossy(3, 0.1, 10, 5), lossy(4, 0.1, 10, 5)]);
        for round in 0..20_u8 {
            for stream in [7, 9] {
                pair.reliable(0, stream, pattern(20_000, round));
                pair.ends[0].association.reset_stream(StreamId(stream));
            }
            pair.run_until(Duration::from_secs(60), |pair| {
                [7, 9].iter().all(|stream| pair.told(0, &SctpEvent::OutgoingReset { stream: StreamId(*stream) }))
            });
            assert!(pair.told(1, &SctpEvent::IncomingReset { stream: StreamId(7) }));
            pair.ends.iter_mut().for_each(|end| end.events.clear());
            assert_eq!(pair.ends[1].received.len(), 2 * (usize::from(round) + 1));
        }
    }
}

#[test]
fn a_peer_that_begins_anew_is_met_anew() {
    let mut pair = Pair::connected(SctpConfig::default(), [delayed(5), delayed(5)]);
    pair.reliable(0, 1, "before");
    pair.run_for(Duration::from_millis(100));
    pair.ends[1].association = Association::new(SctpConfig::default(), [77; 32]);
    let now = pair.now;
    pair.ends[1].association.connect(now);
    pair.run_until(Duration::from_secs(5), |pair| pair.told(0, &SctpEvent::Restarted));
    pair.reliable(0, 1, "after");
    pair.reliable(1, 1, "back");
    pair.run_until(Duration::from_secs(5), |pair| !pair.ends[0].received.is_empty());
    assert_eq!(pair.ends[1].received.last().unwrap().1, "after");
}

#[test]
fn shutdown_waits_for_the_data_and_abort_does_not() {
    let closed = SctpEvent::Closed { reason: None };
    let mut pair = Pair::connected(SctpConfig::default(), [lossy(6, 0.2, 10, 0), lossy(7, 0.2, 10, 0)]);
    pair.reliable(0, 1, pattern(100_000, 1));
    let now = pair.now;
    pair.ends[0].association.shutdown(now);
    pair.run_until(Duration::from_secs(60), |pair| pair.told(0, &closed) && pair.told(1, &closed));
    assert_eq!(pair.ends[1].received.len(), 1);

    let mut pair = Pair::connected(SctpConfig::default(), [delayed(5), delayed(5)]);
    let now = pair.now;
    pair.ends[0].association.abort(now);
    pair.run_until(Duration::from_secs(1), |pair| pair.told(0, &closed) && pair.told(1, &closed));
    assert!(!pair.step(), "nothing is left to do");
    let late = OutgoingMessage {
        stream: StreamId(1),
        ppid: PayloadProtocolId(53),
        data: Bytes::from_static(b"x"),
        unordered: false,
        reliability: Reliability::default(),
    };
    assert_eq!(pair.ends[0].association.send(now, late), Err(SctpError::Closed));
}

#[test]
fn an_idle_association_asks_now_and_then() {
    let mut pair = Pair::connected(SctpConfig::default(), [delayed(5), delayed(5)]);
    let before = pair.ends[0].sent;
    pair.run_for(Duration::from_secs(100));
    let heartbeats = pair.ends[0].sent - before;
    assert!((4..=8).contains(&heartbeats), "{heartbeats} packets: three heartbeats each way and their answers");
}

#[test]
fn unknown_chunks_are_skipped_or_stop_the_packet_and_are_reported_as_they_ask() {
    let mut pair = Pair::connected(SctpConfig::default(), [delayed(5), delayed(5)]);
    let tag = pair.ends[1].association.local_tag;
    for (unknown, passes, reported) in
        [(0x3f, false, false), (0x7f, false, true), (0xbf, true, false), (0xff, true, true)]
    {
        let mut bytes = Vec::new();
        let mut writer = packet::PacketWriter::new(&mut bytes, 1_000, (5000, 5000), tag);
        writer.chunk(unknown, 0, |body| body.extend_from_slice(b"what is this"));
        writer.chunk(chunk::kind::HEARTBEAT, 0, |body| packet::put_parameter(body, 1, b"info"));
        writer.finish(true);
        let now = pair.now;
        pair.ends[1].association.handle_input(now, &bytes);
        let mut answer = Vec::new();
        let answered = pair.ends[1].association.poll_transmit(now, &mut answer);
        let kinds: Vec<u8> =
            if answered { chunk::Chunks(&answer[12..]).map(|chunk| chunk.kind).collect() } else { vec![] };
        assert_eq!(kinds.contains(&chunk::kind::HEARTBEAT_ACK), passes, "{unknown}");
        assert_eq!(kinds.contains(&chunk::kind::ERROR), reported, "{unknown}");
    }
}

#[test]
fn packets_with_a_wrong_tag_or_checksum_change_nothing() {
    let mut pair = Pair::connected(SctpConfig::default(), [delayed(5), delayed(5)]);
    let now = pair.now;
    for (tag, spoil) in [(1, 0), (pair.ends[1].association.local_tag, 1)] {
        let mut bytes = Vec::new();
        let mut writer = packet::PacketWriter::new(&mut bytes, 1_000, (5000, 5000), tag);
        writer.chunk(chunk::kind::ABORT, 0, |_| {});
        writer.finish(true);
        bytes[8] ^= spoil;
        pair.ends[1].association.handle_input(now, &bytes);
        assert_eq!(pair.ends[1].association.state(), SctpState::Connected);
    }
}

#[test]
fn what_is_queued_costs_the_same_whatever_waits() {
    // 16 MiB in a window that takes them all: the work must not grow with what is in flight.
    let config = SctpConfig { receive_buffer: 64 << 20, ..SctpConfig::default() };
    let mut pair = Pair::connected(config, [delayed(50), delayed(50)]);
    for number in 0..1_024_u32 {
        pair.reliable(0, 0, pattern(16_384, number as u8));
    }
    let took = pair.run_until(Duration::from_secs(30), |pair| pair.ends[1].received.len() == 1_024);
    assert!(took < Duration::from_secs(3), "16 MiB over 100 ms: {took:?}");
}
