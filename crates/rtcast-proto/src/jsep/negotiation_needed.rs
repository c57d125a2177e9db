//! Whether there is something to negotiate (W3C webrtc-pc §4.7.3).

use crate::jsep::media_section::stream_words;
use crate::jsep::transceiver::Transceiver;
use crate::jsep::{Jsep, SignalingState};
use crate::sdp::{Direction, Media, SdpType, SessionDescription};

impl Jsep {
    /// Whether an offer of ours would say something that was not negotiated yet: W3C's `negotiationneeded`.
    ///
    /// Always `false` outside the stable state; ask again when that is reached.
    pub fn negotiation_needed(&self) -> bool {
        if self.state != SignalingState::Stable {
            return false;
        }
        let data_missing = self.data_requested && self.data.is_none();
        data_missing
            || self.ice_restart_requested
            || self.transceivers.iter().any(|transceiver| self.needs_negotiation(transceiver))
    }

    fn needs_negotiation(&self, transceiver: &Transceiver) -> bool {
        if transceiver.stopped {
            return false;
        }
        if transceiver.stopping {
            return true;
        }
        let (Some(local), Some(index)) = (&self.current_local, transceiver.media_line) else { return true };
        let ours = section(local, index);
        let theirs = self.current_remote.as_ref().and_then(|remote| section(remote, index));
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return true };
        if transceiver.direction.sends() && streams_differ(ours, &transceiver.stream_ids) {
            return true;
        }
        match local.sdp_type() {
            SdpType::Offer => {
                ours.direction != transceiver.direction && theirs.direction.reversed() != transceiver.direction
            }
            _ => ours.direction != transceiver.direction.and(theirs.direction.reversed()),
        }
    }
}

fn section(description: &SessionDescription, index: usize) -> Option<&Media> {
    description.session().media.get(index)
}

fn streams_differ(ours: &Media, wanted: &[String]) -> bool {
    // An answer that could not send says nothing about streams; that is a matter of its direction.
    if ours.direction == Direction::Recvonly || ours.direction == Direction::Inactive {
        return false;
    }
    let said: Vec<&str> = ours.msids.iter().filter_map(|msid| msid.stream.as_deref()).collect();
    let wanted: Vec<String> = stream_words(wanted).collect();
    said.len() != wanted.len() || !wanted.iter().all(|stream| said.contains(&stream.as_str()))
}
