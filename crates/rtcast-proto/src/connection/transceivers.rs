//! What the application does with transceivers once they are there (W3C webrtc-pc §5).

use super::{Connection, ConnectionEvent};
use crate::codec::RtpCodec;
use crate::jsep::{Transceiver, TransceiverId};
use crate::sdp::{DescriptionError, Direction, SessionDescription};

impl Connection {
    /// One transceiver.
    pub fn transceiver(&self, id: TransceiverId) -> Option<&Transceiver> {
        self.jsep.transceiver(id)
    }

    /// Sets the direction that is wanted; a negotiation makes it so.
    ///
    /// # Errors
    /// If there is no such transceiver or it is stopped.
    pub fn set_direction(&mut self, transceiver: TransceiverId, direction: Direction) -> Result<(), DescriptionError> {
        self.jsep.set_direction(transceiver, direction)?;
        self.check_negotiation_needed();
        Ok(())
    }

    /// W3C's `setStreams` of a sender: the streams that its track belongs to from the next negotiation on.
    ///
    /// # Errors
    /// If there is no such transceiver or it is stopped.
    pub fn set_streams(&mut self, transceiver: TransceiverId, streams: Vec<String>) -> Result<(), DescriptionError> {
        self.jsep.set_streams(transceiver, streams)?;
        self.check_negotiation_needed();
        Ok(())
    }

    /// W3C's `replaceTrack`: sends another track, or none, without a new negotiation. Sequence numbers and timestamps of
    /// the stream go on.
    ///
    /// # Errors
    /// If there is no such transceiver or it is stopped; [`DescriptionError::Modified`] if the new track has `codecs`,
    /// and none of them was negotiated.
    pub fn replace_track(
        &mut self,
        transceiver: TransceiverId,
        track_id: Option<String>,
        codecs: &[RtpCodec],
    ) -> Result<(), DescriptionError> {
        let slot = self.senders.iter().find(|slot| slot.transceiver == transceiver);
        if let Some(media) = slot.and_then(|slot| slot.media.as_ref())
            && !codecs.is_empty()
            && !codecs.iter().any(|codec| media.send_codec_for(codec).is_some())
            && self.jsep.transceiver(transceiver).is_some_and(|transceiver| !transceiver.stopping())
        {
            // W3C webrtc-pc §5.2, replaceTrack: what would need a negotiation is an InvalidModificationError.
            let names: Vec<String> = codecs.iter().map(|codec| codec.codec.to_string()).collect();
            return Err(DescriptionError::Modified {
                problem: format!("the peer did not negotiate the new track's codec ({})", names.join(", ")),
                hint: "remove the old track, add the new one and negotiate".into(),
            });
        }
        self.jsep.replace_track(transceiver, track_id)?;
        if let Some(slot) = self.slot(transceiver) {
            slot.sender.begin_timeline();
        }
        self.events.push_back(ConnectionEvent::SendersChanged);
        self.check_negotiation_needed();
        Ok(())
    }

    /// W3C's `stop` of a transceiver: it sends and receives nothing from now on, and the next negotiation tells the peer.
    /// Stopping twice is fine.
    ///
    /// # Errors
    /// If there never was such a transceiver.
    pub fn stop_transceiver(&mut self, transceiver: TransceiverId) -> Result<(), DescriptionError> {
        let was_live = self.jsep.transceiver(transceiver).is_some_and(|t| !t.stopping() && !t.stopped());
        self.jsep.stop(transceiver)?;
        if was_live {
            // W3C webrtc-pc §5.4, "stop sending and receiving": a goodbye, and the received track ends.
            self.send_goodbye_of(transceiver);
            if let Some(slot) = self.slot(transceiver) {
                slot.stopped = true;
            }
            let retired = &mut self.retired;
            self.receivers.retain(|receiver| {
                let stays = receiver.transceiver() != transceiver;
                if !stays {
                    retired.add_receiver(receiver);
                }
                stays
            });
            self.events.push_back(ConnectionEvent::TransceiverStopped(transceiver));
            self.events.push_back(ConnectionEvent::SendersChanged);
        }
        self.check_negotiation_needed();
        Ok(())
    }

    /// W3C's `currentLocalDescription`.
    pub const fn current_local_description(&self) -> Option<&SessionDescription> {
        self.jsep.current_local_description()
    }

    /// W3C's `pendingLocalDescription`.
    pub const fn pending_local_description(&self) -> Option<&SessionDescription> {
        self.jsep.pending_local_description()
    }

    /// W3C's `currentRemoteDescription`.
    pub const fn current_remote_description(&self) -> Option<&SessionDescription> {
        self.jsep.current_remote_description()
    }

    /// W3C's `pendingRemoteDescription`.
    pub const fn pending_remote_description(&self) -> Option<&SessionDescription> {
        self.jsep.pending_remote_description()
    }

    /// W3C's `canTrickleIceCandidates`: whether the peer takes candidates after its description; `None` before the first
    /// remote description (RFC 8838 §4.1).
    pub fn can_trickle_ice_candidates(&self) -> Option<bool> {
        let session = self.jsep.remote_description()?.session();
        let trickle = |options: &[String]| options.iter().any(|option| option == "trickle");
        Some(session.media.iter().any(|media| !media.is_rejected() && trickle(&media.ice_options)))
    }

    /// W3C's negotiation-needed flag: something came up that only a new offer tells the peer.
    pub const fn is_negotiation_needed(&self) -> bool {
        self.negotiation_needed
    }

    /// Grows whenever something changed that descriptions or transceivers show.
    pub const fn revision(&self) -> u64 {
        self.revision
    }
}
