//! Both sides renegotiate whenever they like, by the pattern of W3C webrtc-pc §10.7, and end up agreed.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use rtcast_proto::connection::ConnectionEvent;
use rtcast_proto::jsep::{TransceiverId, TransceiverInit};
use rtcast_proto::payload::Packetizer;
use rtcast_proto::{Codec, Direction, MediaKind, RtpCodec, SdpType, SessionDescription, SignalingState};
use rtcast_testkit::{Link, Pair, Random, Side, vp8_frame};

const FRAME: Duration = Duration::from_millis(33);

/// How long a description takes to the other side: longer than a few of the application's deeds lie apart.
const SIGNALING: Duration = Duration::from_millis(80);

/// One side's part of the pattern, and what it sends.
struct Party {
    side: Side,
    polite: bool,
    inbox: VecDeque<(Instant, SessionDescription)>,
    packetizers: HashMap<TransceiverId, Packetizer>,
    sent: HashMap<TransceiverId, u64>,
    tracks: u32,
    offers: u32,
    collisions: u32,
}

impl Party {
    fn new(side: Side, polite: bool) -> Self {
        Self {
            side,
            polite,
            inbox: VecDeque::new(),
            packetizers: HashMap::new(),
            sent: HashMap::new(),
            tracks: 0,
            offers: 0,
            collisions: 0,
        }
    }

    /// Hands on what the connection told, and takes what has arrived. Returns what is to be sent.
    fn act(&mut self, pair: &mut Pair) -> Vec<SessionDescription> {
        let now = pair.now;
        let mut outgoing = Vec::new();
        let vp8 = RtpCodec::new(Codec::Vp8);
        loop {
            let peer = pair.peer(self.side);
            let events = std::mem::take(&mut peer.events);
            let arrived = self.inbox.front().is_some_and(|(at, _)| *at <= now);
            if events.is_empty() && !arrived {
                return outgoing;
            }
            let connection = &mut peer.connection;
            for event in events {
                match event {
                    ConnectionEvent::NegotiationNeeded if connection.signaling_state() == SignalingState::Stable => {
                        connection.set_local_description(now, None).expect("an offer");
                        outgoing.push(connection.local_description().expect("the offer"));
                        self.offers += 1;
                    }
                    ConnectionEvent::SendersChanged => {
                        let ids: Vec<_> = connection.transceivers().iter().map(|t| t.id()).collect();
                        for id in ids {
                            if connection.transceiver(id).is_some_and(|t| t.track_id().is_some()) {
                                connection.select_codec(id, Some(&vp8));
                            }
                        }
                    }
                    _ => {}
                }
            }
            if arrived && let Some((_, description)) = self.inbox.pop_front() {
                let offer = description.sdp_type() == SdpType::Offer;
                if offer && connection.signaling_state() != SignalingState::Stable {
                    self.collisions += 1;
                    if !self.polite {
                        continue;
                    }
                }
                match connection.set_remote_description(now, &description) {
                    Ok(()) => {}
                    // The answer to an offer that the polite side has taken back meanwhile.
                    Err(error) => panic!("{:?} refused a description: {error}\n{}", self.side, description.sdp()),
                }
                if offer {
                    connection.set_local_description(now, None).expect("an answer");
                    outgoing.push(connection.local_description().expect("the answer"));
                }
            }
            pair.settle();
        }
    }

    /// One thing that an application may do.
    fn renegotiate(&mut self, pair: &mut Pair, random: &mut Random) {
        let mut below = |limit: usize| (random.fraction() * limit as f64) as usize;
        let connection = &mut pair.peer(self.side).connection;
        let live: Vec<_> =
            connection.transceivers().iter().filter(|t| !t.stopping() && !t.stopped()).map(|t| t.id()).collect();
        self.tracks += 1;
        let name = format!("{:?}-{}", self.side, self.tracks);
        let id = live.get(below(live.len().max(1))).copied();
        let directions = [Direction::Sendrecv, Direction::Sendonly, Direction::Recvonly, Direction::Inactive];
        match (below(9), id) {
            (0 | 1, _) if live.len() < 8 => {
                connection.add_track(MediaKind::Video, &name, &["stream".to_owned()]).expect("a track");
            }
            (2, _) if live.len() < 8 => {
                let init = TransceiverInit { direction: directions[below(4)], ..TransceiverInit::default() };
                connection.add_transceiver(MediaKind::Video, init);
            }
            (3, Some(id)) => connection.stop_transceiver(id).expect("stopped"),
            (4, Some(id)) => connection.remove_track(id).expect("removed"),
            (5, Some(id)) => connection.set_direction(id, directions[below(4)]).expect("a direction"),
            (6, Some(id)) => {
                connection.replace_track(id, Some(name), &[RtpCodec::new(Codec::Vp8)]).expect("replaced");
                // Another track has another time.
                self.packetizers.remove(&id);
            }
            (7, Some(id)) => connection.set_streams(id, vec![name]).expect("streams"),
            (8, _) => connection.restart_ice(),
            _ => {}
        }
        pair.settle();
    }

    /// A frame on every transceiver that may send.
    fn send_media(&mut self, pair: &mut Pair, number: u64) {
        let vp8 = RtpCodec::new(Codec::Vp8);
        let connection = &pair.peer(self.side).connection;
        let sending: Vec<_> = connection
            .transceivers()
            .iter()
            .map(|t| t.id())
            .filter(|id| connection.sending_codec(*id).is_some())
            .collect();
        for id in sending {
            let packetizer = self.packetizers.entry(id).or_insert_with(|| Pair::packetizer(&vp8));
            let count = self.sent.entry(id).or_default();
            pair.send(self.side, id, packetizer, &vp8_frame(number, 600, true));
            *count += 1;
        }
    }
}

fn frames_by_mid(pair: &mut Pair, side: Side) -> HashMap<String, usize> {
    let peer = pair.peer(side);
    let mut counts = HashMap::new();
    for id in std::mem::take(&mut peer.frame_receivers) {
        if let Some(mid) = peer.connection.transceiver(id).and_then(|t| t.mid()) {
            *counts.entry(mid.to_string()).or_default() += 1;
        }
    }
    peer.frames.clear();
    counts
}

/// A minute of it, then quiet, then a look at what was agreed.
fn run(seed: u64, link: &Link) {
    let mut pair = Pair::new(link, seed);
    let mut random = Random::new(seed);
    let mut parties = [Party::new(Side::Left, false), Party::new(Side::Right, true)];
    pair.add_track(Side::Left, &RtpCodec::new(Codec::Vp8), "first");
    pair.settle();
    let start = pair.now;
    let mut number = 0;
    let mut next_deed = start + Duration::from_millis(500);
    while pair.now < start + Duration::from_secs(63) {
        if pair.now >= next_deed && pair.now < start + Duration::from_secs(60) {
            let party = &mut parties[(random.fraction() * 2.0) as usize];
            party.renegotiate(&mut pair, &mut random);
            next_deed = pair.now + Duration::from_millis(400).mul_f64(random.fraction());
        }
        for index in 0..2 {
            let outgoing = parties[index].act(&mut pair);
            for description in outgoing {
                // Through JSON, as between two programs; one channel, so that nothing overtakes.
                let text = description.to_json();
                let received = SessionDescription::from_json(&text).expect("our own JSON");
                let arrival = pair.now + SIGNALING;
                parties[1 - index].inbox.push_back((arrival, received));
            }
        }
        for party in &mut parties {
            party.send_media(&mut pair, number);
        }
        number += 1;
        pair.run_for(FRAME);
    }
    let [left, right] = &parties;
    assert!(left.offers > 20 && right.offers > 20, "seed {seed}: {} and {} offers", left.offers, right.offers);
    assert!(left.collisions + right.collisions > 5, "seed {seed}: the offers never met");

    for side in [Side::Left, Side::Right] {
        let connection = &pair.peer(side).connection;
        assert_eq!(connection.signaling_state(), SignalingState::Stable, "seed {seed}, {side:?}");
        assert_eq!(connection.pending_local_description(), None);
        assert_eq!(connection.pending_remote_description(), None);
        assert!(!connection.is_negotiation_needed(), "seed {seed}, {side:?} still wants something");
    }
    // Both sides have the same m-lines in the same directions.
    let lines = |pair: &mut Pair, side: Side, reversed: bool| -> Vec<(String, Option<Direction>)> {
        let transceivers = pair.peer(side).connection.transceivers();
        let line = |t: &rtcast_proto::jsep::Transceiver| {
            let direction = t.current_direction().map(|d| if reversed { d.reversed() } else { d });
            (t.mid().map(ToString::to_string).unwrap_or_default(), direction)
        };
        let mut lines: Vec<_> = transceivers.iter().filter(|t| !t.stopped()).map(line).collect();
        lines.sort_by(|left, right| left.0.cmp(&right.0));
        lines
    };
    assert_eq!(lines(&mut pair, Side::Left, false), lines(&mut pair, Side::Right, true), "seed {seed}");

    // Media flows on every m-line that was agreed to carry it, and on no other.
    for (from, to) in [(0, Side::Right), (1, Side::Left)] {
        frames_by_mid(&mut pair, to);
        for more in 0..30 {
            parties[from].send_media(&mut pair, number + more);
            pair.run_for(FRAME);
        }
        pair.run_for(Duration::from_secs(1));
        let arrived = frames_by_mid(&mut pair, to);
        let connection = &pair.peer(parties[from].side).connection;
        let sending: Vec<_> =
            connection.transceivers().iter().filter(|t| connection.sending_codec(t.id()).is_some()).collect();
        for transceiver in &sending {
            let mid = transceiver.mid().expect("an m-line").to_string();
            let count = arrived.get(&mid).copied().unwrap_or_default();
            assert_eq!(count, 30, "seed {seed}: frames to {to:?} on m-line {mid}");
        }
        assert_eq!(arrived.len(), sending.len(), "seed {seed}: {arrived:?}");
        number += 30;
    }
}

#[test]
fn both_sides_renegotiate_at_random_for_a_minute() {
    for seed in 0..8 {
        run(seed, &Link { delay: Duration::from_millis(20), ..Link::default() });
    }
}
