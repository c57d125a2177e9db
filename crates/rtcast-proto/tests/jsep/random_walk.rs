//! Two sides that do this and that in no order, and what must hold all the same.

use rtcast_proto::jsep::{JsepConfig, Negotiated, NegotiatedCodec, SignalingState};
use rtcast_proto::sdp::{Direction, SessionDescription};
use rtcast_proto::types::MediaKind;

use crate::common::{Side, transport};

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    fn kind(&mut self) -> MediaKind {
        [MediaKind::Audio, MediaKind::Video][self.below(2)]
    }

    fn direction(&mut self) -> Direction {
        [Direction::Sendrecv, Direction::Sendonly, Direction::Recvonly, Direction::Inactive][self.below(4)]
    }
}

/// One thing that an application may do at any time.
fn act(side: &mut Side, dice: &mut Dice, names: &mut u32) {
    *names += 1;
    let ids: Vec<_> = side.jsep.transceivers().iter().filter(|t| !t.stopped()).map(|t| t.id()).collect();
    let id = ids.get(dice.below(ids.len())).copied();
    match (dice.below(8), id) {
        (0 | 1, _) => {
            side.jsep.add_track(dice.kind(), &format!("track{names}"), &[format!("stream{}", *names % 3)]).unwrap();
        }
        (2, _) => drop(side.add(dice.kind(), dice.direction())),
        (3, Some(id)) => side.jsep.stop(id).unwrap(),
        (4, Some(id)) => side.jsep.remove_track(id).unwrap(),
        // A transceiver that was told to stop changes no more.
        (5 | 6, Some(id)) => drop(side.jsep.set_direction(id, dice.direction())),
        _ if side.jsep.config().data_channels => side.jsep.request_data().unwrap(),
        _ => {}
    }
}

fn agree(ours: &Negotiated, theirs: &Negotiated) {
    assert_ne!(ours.dtls_role, theirs.dtls_role);
    assert_eq!(ours.data.as_ref().map(|data| &data.mid), theirs.data.as_ref().map(|data| &data.mid));
    assert_eq!(ours.media.len(), theirs.media.len());
    let numbers = |codecs: &[NegotiatedCodec]| -> Vec<_> {
        codecs.iter().map(|codec| (codec.payload_type, codec.rtx, codec.codec.codec, codec.feedback.clone())).collect()
    };
    for (ours, theirs) in ours.media.iter().zip(&theirs.media) {
        assert_eq!((&ours.mid, ours.kind, ours.media_line), (&theirs.mid, theirs.kind, theirs.media_line));
        assert_eq!(ours.direction, theirs.direction.reversed());
        assert_eq!(numbers(&ours.send_codecs), numbers(&theirs.receive_codecs));
        assert_eq!(numbers(&ours.receive_codecs), numbers(&theirs.send_codecs));
        assert!(!ours.send_codecs.is_empty());
        for extension in &ours.extensions {
            let same = theirs.extensions.iter().find(|other| other.uri == extension.uri).unwrap();
            assert_eq!((extension.id, extension.direction), (same.id, same.direction.reversed()));
        }
        if ours.direction.receives() {
            let source = &ours.remote_sources[0];
            assert_eq!((source.ssrc, source.rtx), (theirs.ssrc, theirs.rtx_ssrc));
        }
    }
}

/// What holds for a side at any time.
fn consistent(side: &Side) {
    let live: Vec<_> = side.jsep.transceivers().iter().filter(|t| !t.stopped()).collect();
    for (index, one) in live.iter().enumerate() {
        assert_eq!(one.mid().is_some(), one.media_line().is_some());
        for other in live.iter().skip(index + 1) {
            assert!(one.mid().is_none() || one.mid() != other.mid(), "two transceivers with the mid {:?}", one.mid());
            assert!(one.media_line().is_none() || one.media_line() != other.media_line());
            assert_ne!(one.ssrc(), other.ssrc());
        }
    }
    if side.jsep.signaling_state() == SignalingState::Stable {
        assert_eq!(side.jsep.pending_local_description(), None);
        assert_eq!(side.jsep.pending_remote_description(), None);
    }
}

/// One exchange, perhaps after a glare, a rollback or an ICE restart.
fn exchange(offerer: &mut Side, answerer: &mut Side, dice: &mut Dice, names: &mut u32) {
    if dice.below(4) == 0 {
        // The answerer offers too, and gives way.
        answerer.offer();
        consistent(answerer);
    }
    if dice.below(4) == 0 {
        // A first offer is given up, on both sides or before it was sent.
        let offer = offerer.offer();
        if dice.below(2) == 0 {
            answerer.take(&offer);
            answerer.take(&SessionDescription::rollback());
            consistent(answerer);
        }
        offerer.jsep.set_local_description(&SessionDescription::rollback()).unwrap();
        consistent(offerer);
    }
    if dice.below(6) == 0 {
        offerer.transport = transport(&format!("{}{names}", &offerer.transport.ice_ufrag[..5]));
    }
    let offer = offerer.offer();
    consistent(offerer);
    answerer.take(&offer);
    consistent(answerer);
    if dice.below(3) == 0 {
        act(answerer, dice, names);
    }
    if dice.below(5) == 0 {
        let provisional = answerer.jsep.create_pranswer(&answerer.transport).unwrap();
        answerer.jsep.set_local_description(&provisional).unwrap();
        offerer.take(&provisional);
    }
    if dice.below(3) == 0 {
        act(offerer, dice, names);
    }
    let (answer, answered) = answerer.answer();
    let offered = offerer.take(&answer);
    consistent(offerer);
    consistent(answerer);
    match (&offered.negotiated, &answered.negotiated) {
        (Some(ours), Some(theirs)) => agree(ours, theirs),
        (ours, theirs) => assert_eq!((ours, theirs), (&None, &None)),
    }
}

#[test]
fn both_sides_always_agree() {
    let mut dice = Dice(0x6a09_e667_f3bc_c908);
    let mut names = 0;
    for walk in 0..100 {
        let config = || if walk % 2 == 0 { JsepConfig::default() } else { JsepConfig::default().with_data_channels() };
        let (mut alice, mut robert) = (Side::with("alice", config()), Side::with("robert", config()));
        for _ in 0..12 {
            for side in [&mut alice, &mut robert] {
                for _ in 0..dice.below(3) {
                    act(side, &mut dice, &mut names);
                }
            }
            if dice.below(2) == 0 {
                exchange(&mut alice, &mut robert, &mut dice, &mut names);
            } else {
                exchange(&mut robert, &mut alice, &mut dice, &mut names);
            }
        }
        // When nobody does anything more, a few exchanges leave nothing to negotiate.
        for _ in 0..2 {
            for alice_offers in [true, false] {
                let (offerer, answerer) =
                    if alice_offers { (&mut alice, &mut robert) } else { (&mut robert, &mut alice) };
                let offer = offerer.offer();
                answerer.take(&offer);
                let (answer, _) = answerer.answer();
                offerer.take(&answer);
            }
        }
        assert!(!alice.jsep.negotiation_needed(), "walk {walk}: {:#?}", alice.jsep.transceivers());
        assert!(!robert.jsep.negotiation_needed(), "walk {walk}: {:#?}", robert.jsep.transceivers());
    }
}
