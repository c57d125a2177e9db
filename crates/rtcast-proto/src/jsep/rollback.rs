//! Taking a pending offer back (RFC 8829 §4.1.10.2).

use crate::jsep::negotiated::Outcome;
use crate::jsep::transceiver::{Transceiver, TransceiverId};
use crate::jsep::{DataSection, Jsep, SignalingState};
use crate::sdp::Direction;
use crate::types::Mid;

/// What a pending offer may change and a rollback puts back.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    transceivers: Vec<Association>,
    data: Option<DataSection>,
    remote_section: Option<usize>,
}

#[derive(Debug, Clone)]
struct Association {
    id: TransceiverId,
    mid: Option<Mid>,
    media_line: Option<usize>,
    current_direction: Option<Direction>,
    fired_direction: Option<Direction>,
    remote_track_id: String,
    remote_stream_ids: Vec<String>,
}

impl Jsep {
    pub(crate) fn snapshot(&self) -> Snapshot {
        let association = |t: &Transceiver| Association {
            id: t.id,
            mid: t.mid.clone(),
            media_line: t.media_line,
            current_direction: t.current_direction,
            fired_direction: t.fired_direction,
            remote_track_id: t.remote_track_id.clone(),
            remote_stream_ids: t.remote_stream_ids.clone(),
        };
        Snapshot {
            transceivers: self.transceivers.iter().map(association).collect(),
            data: self.data.clone(),
            remote_section: self.remote_section,
        }
    }

    /// Goes back to the stable state before the pending offer; what the application added meanwhile stays.
    pub(crate) fn roll_back(&mut self, outcome: &mut Outcome) {
        let Some(snapshot) = self.before_offer.take() else { return };
        for transceiver in &mut self.transceivers {
            let receiving = transceiver.fired_direction.is_some_and(Direction::receives);
            match snapshot.transceivers.iter().find(|before| before.id == transceiver.id) {
                Some(before) => {
                    transceiver.mid.clone_from(&before.mid);
                    transceiver.media_line = before.media_line;
                    transceiver.current_direction = before.current_direction;
                    transceiver.fired_direction = before.fired_direction;
                    transceiver.remote_track_id.clone_from(&before.remote_track_id);
                    transceiver.remote_stream_ids.clone_from(&before.remote_stream_ids);
                }
                None => {
                    transceiver.mid = None;
                    transceiver.media_line = None;
                    transceiver.current_direction = None;
                    transceiver.fired_direction = None;
                    // W3C webrtc-pc §4.4.1.5: one that only the offer brought about goes with it.
                    if transceiver.created_by_remote {
                        transceiver.stopping = true;
                    }
                }
            }
            // One that was told to stop and has no m-line any more has nobody to tell.
            if transceiver.stopping && transceiver.media_line.is_none() && !transceiver.stopped {
                transceiver.stopped = true;
                outcome.stopped.push(transceiver.id);
            }
            if receiving && !transceiver.fired_direction.is_some_and(Direction::receives) {
                outcome.tracks_removed.push(transceiver.id);
            }
        }
        let stopped = &outcome.stopped;
        self.transceivers.retain(|transceiver| !stopped.contains(&transceiver.id));
        self.data = snapshot.data;
        self.remote_section = snapshot.remote_section;
        self.pending_local = None;
        self.pending_remote = None;
        self.last_answer = None;
        self.state = SignalingState::Stable;
        outcome.rolled_back = true;
    }
}
