//! Setting a description: all checks first, then everything at once (RFC 8829 §5.6 to §5.11).

use std::sync::Arc;

use crate::jsep::media_section::transport_section;
use crate::jsep::negotiated::{Outcome, RemoteTrack};
use crate::jsep::offer::Mids;
use crate::jsep::remote_transport::{RemoteTransport, remote_transport};
use crate::jsep::transceiver::Transceiver;
use crate::jsep::{Created, DataSection, Jsep, Owner, SignalingState, TransceiverId, validate};
use crate::sdp::{DescriptionError, Direction, Media, SdpType, Session, SessionDescription};
use crate::types::{MediaKind, Mid};

/// Numbers above this, which only a peer chooses, do not count when the next mid is sought.
const HIGHEST_MID: u32 = 65_535;

impl Jsep {
    /// Sets what [`create_offer`](Self::create_offer) or [`create_answer`](Self::create_answer) returned last.
    ///
    /// # Errors
    /// [`DescriptionError::State`] or [`DescriptionError::Modified`]; nothing has changed then.
    pub fn set_local_description(&mut self, description: &SessionDescription) -> Result<Outcome, DescriptionError> {
        let next_state = validate::state(self.state, description.sdp_type(), true)?;
        match description.sdp_type() {
            SdpType::Rollback => self.commit(|jsep, outcome| {
                jsep.roll_back(outcome);
                Ok(())
            }),
            SdpType::Offer => {
                let created = Created::session(self.last_offer.as_ref());
                validate::unchanged(description.session(), created, true)?;
                self.commit(|jsep, _| {
                    jsep.apply_local_offer(description, next_state);
                    Ok(())
                })
            }
            SdpType::Answer | SdpType::Pranswer => {
                let created = Created::session(self.last_answer.as_ref());
                validate::unchanged(description.session(), created, false)?;
                self.commit(|jsep, outcome| jsep.apply_local_answer(description, next_state, outcome))
            }
        }
    }

    /// Takes a description of the peer.
    ///
    /// An offer that meets ours takes ours back first (W3C webrtc-pc §4.4.1.5).
    ///
    /// # Errors
    /// A [`DescriptionError`] that says what does not fit; nothing has changed then.
    pub fn set_remote_description(&mut self, description: &SessionDescription) -> Result<Outcome, DescriptionError> {
        let next_state = validate::state(self.state, description.sdp_type(), false)?;
        match description.sdp_type() {
            SdpType::Rollback => self.commit(|jsep, outcome| {
                jsep.roll_back(outcome);
                Ok(())
            }),
            SdpType::Offer => {
                validate::mids(description.session())?;
                self.commit(|jsep, outcome| jsep.apply_remote_offer(description, next_state, outcome))
            }
            SdpType::Answer | SdpType::Pranswer => {
                validate::mids(description.session())?;
                self.commit(|jsep, outcome| jsep.apply_remote_answer(description, next_state, outcome))
            }
        }
    }

    /// Runs a change on a copy and takes the copy if it succeeds.
    fn commit(
        &mut self,
        change: impl FnOnce(&mut Self, &mut Outcome) -> Result<(), DescriptionError>,
    ) -> Result<Outcome, DescriptionError> {
        let mut next = self.clone();
        let mut outcome = Outcome {
            signaling_state: self.state,
            remote_transport: None,
            negotiated: None,
            tracks_added: Vec::new(),
            tracks_removed: Vec::new(),
            stopped: Vec::new(),
            refused: Vec::new(),
            rolled_back: false,
        };
        change(&mut next, &mut outcome)?;
        outcome.signaling_state = next.state;
        *self = next;
        Ok(outcome)
    }

    fn apply_local_offer(&mut self, description: &SessionDescription, next_state: SignalingState) {
        if self.state == SignalingState::Stable {
            self.before_offer = Some(self.snapshot());
        }
        let owners = self.last_offer.as_ref().map(|created| Arc::clone(&created.owners)).unwrap_or_default();
        for (index, (media, owner)) in description.session().media.iter().zip(owners.iter()).enumerate() {
            let Some(mid) = &media.mid else { continue };
            match owner {
                Owner::Transceiver(id) => {
                    if let Some(transceiver) = self.find(*id) {
                        transceiver.mid = Some(mid.clone());
                        transceiver.media_line = Some(index);
                    }
                }
                Owner::Data => self.data = Some(DataSection { mid: mid.clone(), media_line: index }),
                Owner::Nobody => {}
            }
        }
        self.pending_local = Some(description.clone());
        self.state = next_state;
    }

    fn apply_local_answer(
        &mut self,
        description: &SessionDescription,
        next_state: SignalingState,
        outcome: &mut Outcome,
    ) -> Result<(), DescriptionError> {
        let Some(offer) = self.pending_remote.clone() else { return Err(lost("the peer's offer", self.state)) };
        let answer = description.session();
        for (index, media) in answer.media.iter().enumerate() {
            self.apply_direction(index, media.is_rejected(), media.direction, outcome);
        }
        // RFC 9143 §7.3.1: the m-line that stands for the bundle in our answer stands for it in the offer too.
        if let Some(transport) = self.read_transport(offer.session(), transport_section(answer), SdpType::Offer)? {
            outcome.negotiated = self.negotiate(answer, offer.session(), transport, true);
        }
        self.finish(outcome, next_state);
        if next_state == SignalingState::Stable {
            self.become_stable(description.clone(), offer);
        } else {
            self.pending_local = Some(description.clone());
            self.state = next_state;
        }
        Ok(())
    }

    fn apply_remote_offer(
        &mut self,
        description: &SessionDescription,
        next_state: SignalingState,
        outcome: &mut Outcome,
    ) -> Result<(), DescriptionError> {
        if self.state == SignalingState::HaveLocalOffer {
            self.roll_back(outcome);
        }
        let offer = description.session();
        if let Some(before) = self.remote_description() {
            validate::offer_follows(offer, before.session(), |index| self.is_reusable(index))?;
        }
        if self.state == SignalingState::Stable {
            self.before_offer = Some(self.snapshot());
        }
        let review = self.review(offer);
        outcome.refused = review.refused(offer);
        outcome.remote_transport = self.read_transport(offer, review.tag, SdpType::Offer)?;
        // For m-lines without a mid: the lowest numbers that nothing else uses.
        let mut mids = None;
        for (index, media) in offer.media.iter().enumerate() {
            if review.refusal(index).is_some() {
                continue;
            }
            let known = || self.transceivers.iter().find(|t| t.media_line == Some(index)).and_then(|t| t.mid.clone());
            let mid = media.mid.clone().or_else(known);
            let mid = mid.unwrap_or_else(|| mids.get_or_insert_with(|| Mids::new(self, [offer].into_iter())).fresh());
            match media.media_kind() {
                Some(kind) => self.associate(index, mid, kind, media, review.taker(index)),
                None => self.data = Some(DataSection { mid, media_line: index }),
            }
            self.note_remote_track(index, media, media.direction.reversed(), outcome);
        }
        self.pending_remote = Some(description.clone());
        self.last_answer = None;
        self.state = next_state;
        Ok(())
    }

    fn apply_remote_answer(
        &mut self,
        description: &SessionDescription,
        next_state: SignalingState,
        outcome: &mut Outcome,
    ) -> Result<(), DescriptionError> {
        let Some(offer) = self.pending_local.clone() else { return Err(lost("our offer", self.state)) };
        let answer = description.session();
        outcome.remote_transport = self.read_transport(answer, transport_section(answer), description.sdp_type())?;
        validate::answer_fits(answer, offer.session())?;
        for (index, (media, offered)) in answer.media.iter().zip(&offer.session().media).enumerate() {
            // RFC 3264 §6.1: a peer cannot send what was not offered to be received, whatever its answer says.
            let direction = offered.direction.and(media.direction.reversed());
            self.note_remote_track(index, media, direction, outcome);
            self.apply_direction(index, media.is_rejected(), direction, outcome);
        }
        if let Some(transport) = outcome.remote_transport.clone() {
            outcome.negotiated = self.negotiate(offer.session(), answer, transport, false);
        }
        self.finish(outcome, next_state);
        if next_state == SignalingState::Stable {
            self.become_stable(offer, description.clone());
        } else {
            self.pending_remote = Some(description.clone());
            self.state = next_state;
        }
        Ok(())
    }

    fn become_stable(&mut self, local: SessionDescription, remote: SessionDescription) {
        let mids = local.session().media.iter().filter_map(|media| media.mid.as_ref());
        let numbers = mids.filter_map(|mid| mid.as_str().parse::<u32>().ok()).filter(|number| *number <= HIGHEST_MID);
        self.next_mid = numbers.map(|number| number + 1).max().unwrap_or(0).max(self.next_mid);
        // W3C webrtc §4.4.1.5: a restart that was asked for has taken place once our credentials are others.
        if self.current_local.as_ref().is_some_and(|before| super::ice_fragment(before) != super::ice_fragment(&local))
        {
            self.ice_restart_requested = false;
        }
        self.current_local = Some(local);
        self.current_remote = Some(remote);
        self.pending_local = None;
        self.pending_remote = None;
        self.before_offer = None;
        // W3C webrtc-pc §4.4.1.5: what was created before this exchange ended is out of date.
        self.last_offer = None;
        self.last_answer = None;
        self.state = SignalingState::Stable;
        // W3C webrtc-pc §4.4.1.5: stopped transceivers leave the connection, so that a peer that adds and stops m-lines
        // again and again fills no memory.
        self.transceivers.retain(|transceiver| !transceiver.stopped);
    }

    /// What an answer says about one m-line, seen from us.
    fn apply_direction(&mut self, index: usize, rejected: bool, direction: Direction, outcome: &mut Outcome) {
        match self.owner(index) {
            Owner::Transceiver(id) => {
                let Some(transceiver) = self.find(id) else { return };
                if rejected {
                    transceiver.stopping = true;
                    if !transceiver.stopped {
                        transceiver.stopped = true;
                        outcome.stopped.push(id);
                    }
                }
                transceiver.current_direction = (!rejected).then_some(direction);
                transceiver.ever_sent |= !rejected && direction.sends();
                if rejected || !direction.receives() {
                    end_remote_track(transceiver, outcome);
                }
            }
            Owner::Data if rejected => {
                self.data = None;
                self.data_requested = false;
            }
            Owner::Data | Owner::Nobody => {}
        }
    }

    /// Reads how to reach the peer, and remembers which m-line says it.
    fn read_transport(
        &mut self,
        session: &Session,
        tag: Option<usize>,
        sdp_type: SdpType,
    ) -> Result<Option<RemoteTransport>, DescriptionError> {
        self.remote_section = tag;
        match tag {
            Some(tag) => remote_transport(session, tag, sdp_type, self.settled_ice.as_ref()),
            None => Ok(None),
        }
    }

    /// Remembers what later exchanges are compared with: the DTLS role, and the peer's credentials.
    fn finish(&mut self, outcome: &Outcome, next_state: SignalingState) {
        let Some(negotiated) = &outcome.negotiated else { return };
        self.dtls_role = Some(negotiated.dtls_role);
        if next_state == SignalingState::Stable {
            self.settled_ice = Some(negotiated.transport.ice.clone());
        }
    }

    /// RFC 8829 §5.10: finds the transceiver of an offered m-line, or makes one.
    fn associate(&mut self, index: usize, mid: Mid, kind: MediaKind, media: &Media, taker: Option<TransceiverId>) {
        let known = self.transceivers.iter().find(|t| t.media_line == Some(index)).map(|t| t.id);
        let waiting = || {
            let mut free = self.transceivers.iter().filter(|t| t.kind == kind && t.is_live() && t.media_line.is_none());
            free.find(|t| t.created_by_add_track && media.direction.receives()).map(|t| t.id)
        };
        let id = match known.or(taker).or_else(waiting) {
            Some(id) => id,
            None => {
                let id = self.new_transceiver(kind, Direction::Recvonly);
                if let Some(transceiver) = self.find(id) {
                    transceiver.created_by_remote = true;
                }
                id
            }
        };
        if let Some(transceiver) = self.find(id) {
            transceiver.mid = Some(mid);
            transceiver.media_line = Some(index);
        }
    }

    /// W3C webrtc-pc §4.4.1.5: tells the application when the peer begins and ends to send.
    fn note_remote_track(&mut self, index: usize, media: &Media, direction: Direction, outcome: &mut Outcome) {
        let Owner::Transceiver(id) = self.owner(index) else { return };
        let Some(transceiver) = self.find(id) else { return };
        if media.is_rejected() || !direction.receives() || transceiver.stopping {
            end_remote_track(transceiver, outcome);
            return;
        }
        let mut msids = media.msids.clone();
        if msids.is_empty() {
            msids.extend(media.ssrcs.iter().find_map(|source| source.msid.clone()));
        }
        if let Some(track) = msids.iter().find_map(|msid| msid.track.clone()) {
            transceiver.remote_track_id = track;
        }
        transceiver.remote_stream_ids = msids.into_iter().filter_map(|msid| msid.stream).collect();
        transceiver.remote_stream_ids.dedup();
        let began = !transceiver.fired_direction.is_some_and(Direction::receives);
        transceiver.fired_direction = Some(direction);
        if began && let Some(mid) = transceiver.mid.clone() {
            outcome.tracks_added.push(RemoteTrack {
                transceiver: id,
                kind: transceiver.kind,
                mid,
                track_id: transceiver.remote_track_id.clone(),
                stream_ids: transceiver.remote_stream_ids.clone(),
            });
        }
    }

    /// Whether this m-line is out of use, so that the next offer may put another in its place.
    fn is_reusable(&self, index: usize) -> bool {
        let rejected = |description: &Option<SessionDescription>| {
            let media = description.as_ref().and_then(|description| description.session().media.get(index));
            media.is_some_and(Media::is_rejected)
        };
        self.owner(index) == Owner::Nobody && (rejected(&self.current_local) || rejected(&self.current_remote))
    }
}

fn end_remote_track(transceiver: &mut Transceiver, outcome: &mut Outcome) {
    if transceiver.fired_direction.is_some_and(Direction::receives) {
        outcome.tracks_removed.push(transceiver.id);
    }
    transceiver.fired_direction = transceiver.fired_direction.map(|_| Direction::Inactive);
}

/// The state promises a pending description; should it ever lack, this is an error and not a panic.
fn lost(what: &'static str, state: SignalingState) -> DescriptionError {
    DescriptionError::State {
        operation: "set an answer",
        state,
        hint: format!("{what} is not there any more; start again with a new offer").into(),
    }
}
