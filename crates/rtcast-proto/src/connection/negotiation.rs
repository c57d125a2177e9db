//! Descriptions: JSEP's outcome applied to transport, senders and receivers.

use std::time::Instant;

use tracing::debug;

use super::extensions::SendExtensions;
use super::receiver::RtpReceiver;
use super::sender::{RtpSender, SendEncoding};
use super::{Connection, ConnectionEvent, SenderSlot};
use crate::ice::{IceCredentials, IceRole};
use crate::jsep::{
    LocalTransport, Negotiated, NegotiatedMedia, Outcome, RemoteCandidate, SignalingState, Transceiver, TransceiverId,
    TransceiverInit, carries,
};
use crate::sdp::{Candidate, DescriptionError, IceCandidate, RtcpFeedback, SdpType, SessionDescription};
use crate::types::MediaKind;
use crate::{Codec, RtpCodec};

/// Candidates of the peer that are remembered for statistics, and the bytes of memory that they may take.
const MAX_REMOTE_CANDIDATES: usize = 64;
const MAX_REMOTE_CANDIDATE_MEMORY: usize = 24 * 1024;

impl Connection {
    /// W3C's `addTrack`: sends a track on a transceiver of its kind that has none and never sent, else on a new one.
    ///
    /// # Errors
    /// If the track is being sent already, or the connection is closed.
    pub fn add_track(
        &mut self,
        kind: MediaKind,
        track_id: &str,
        stream_ids: &[String],
    ) -> Result<TransceiverId, DescriptionError> {
        let id = self.jsep.add_track(kind, track_id, stream_ids)?;
        self.sync_senders();
        self.check_negotiation_needed();
        Ok(id)
    }

    /// W3C's `removeTrack`.
    ///
    /// # Errors
    /// If there is no such transceiver, or the connection is closed.
    pub fn remove_track(&mut self, transceiver: TransceiverId) -> Result<(), DescriptionError> {
        self.jsep.remove_track(transceiver)?;
        self.events.push_back(ConnectionEvent::SendersChanged);
        self.check_negotiation_needed();
        Ok(())
    }

    /// W3C's `addTransceiver`.
    pub fn add_transceiver(&mut self, kind: MediaKind, init: TransceiverInit) -> TransceiverId {
        let id = self.jsep.add_transceiver(kind, init);
        self.sync_senders();
        self.check_negotiation_needed();
        id
    }

    /// The transceivers in the order of their making.
    pub fn transceivers(&self) -> &[Transceiver] {
        self.jsep.transceivers()
    }

    /// Chooses codecs and their order for the next negotiation: W3C's `setCodecPreferences`.
    ///
    /// # Errors
    /// If a codec is not among the capabilities, or the transceiver is stopped.
    pub fn set_codec_preferences(
        &mut self,
        transceiver: TransceiverId,
        codecs: &[RtpCodec],
    ) -> Result<(), DescriptionError> {
        self.jsep.set_codec_preferences(transceiver, codecs)?;
        self.check_negotiation_needed();
        Ok(())
    }

    /// W3C's `createAnswer`.
    ///
    /// # Errors
    /// If there is no offer to answer.
    pub fn create_answer(&mut self) -> Result<SessionDescription, DescriptionError> {
        let transport = self.local_transport(self.transport.ice.credentials());
        self.jsep.create_answer(&transport)
    }

    /// W3C's `setLocalDescription`; without a description it makes the fitting one.
    ///
    /// # Errors
    /// [`DescriptionError`]; nothing has changed then.
    pub fn set_local_description(
        &mut self,
        now: Instant,
        description: Option<SessionDescription>,
    ) -> Result<(), DescriptionError> {
        let description = match description {
            Some(description) => description,
            // W3C webrtc §4.4.2: an answer if an offer of the peer waits, else an offer.
            None => match self.signaling_state() {
                SignalingState::HaveRemoteOffer | SignalingState::HaveLocalPranswer => self.create_answer()?,
                _ => self.create_offer()?,
            },
        };
        let outcome = self.jsep.set_local_description(&description)?;
        self.forget_stale_candidates();
        self.restart_by_local(&description, &outcome);
        if description.sdp_type() == SdpType::Offer && self.jsep.current_local_description().is_none() {
            // RFC 8445 §6.1.1: whoever makes the first offer controls, unless only the other is a full agent.
            let lite = self.transport.ice.is_lite();
            self.transport.ice.set_role(if lite { IceRole::Controlled } else { IceRole::Controlling });
        }
        self.apply(now, &outcome);
        if description.sdp_type() != SdpType::Rollback {
            self.begin_gathering();
        }
        // After the candidates, which belong to this description and not to the offer that may follow at once.
        self.renew_negotiation_needed(&outcome);
        self.after(now);
        Ok(())
    }

    /// W3C's `setRemoteDescription`.
    ///
    /// # Errors
    /// [`DescriptionError`]; nothing has changed then.
    pub fn set_remote_description(
        &mut self,
        now: Instant,
        description: &SessionDescription,
    ) -> Result<(), DescriptionError> {
        let first = self.jsep.current_remote_description().is_none();
        let outcome = self.jsep.set_remote_description(description)?;
        self.forget_stale_candidates();
        if first
            && description.sdp_type() == SdpType::Offer
            && let Some(transport) = &outcome.remote_transport
        {
            // RFC 8445 §6.1.1: towards a lite agent the full one controls, whoever offers.
            let role = if transport.ice.lite { IceRole::Controlling } else { IceRole::Controlled };
            self.transport.ice.set_role(role);
            self.add_remote_candidates(&transport.candidates);
        }
        self.restart_by_remote(description, &outcome);
        self.apply(now, &outcome);
        self.renew_negotiation_needed(&outcome);
        self.after(now);
        Ok(())
    }

    /// W3C's `addIceCandidate`. Candidates of other transports, and names that only the peer's network can resolve, are
    /// ignored: the peer's own checks make those paths known.
    ///
    /// # Errors
    /// [`DescriptionError`] if the text is damaged, names no m-line of the description, or comes before it.
    pub fn add_ice_candidate(&mut self, now: Instant, candidate: &IceCandidate) -> Result<(), DescriptionError> {
        match self.jsep.check_candidate(candidate)? {
            RemoteCandidate::Use(parsed) if parsed.is_mdns() => {
                self.events.push_back(ConnectionEvent::NameToResolve(candidate.clone()));
                return Ok(());
            }
            RemoteCandidate::Use(parsed) => self.add_remote_candidates(&[parsed]),
            RemoteCandidate::End | RemoteCandidate::Unused => return Ok(()),
        }
        self.transport.handle_timeout(now);
        self.after(now);
        Ok(())
    }

    /// W3C's `localDescription`, with the candidates known by now.
    pub fn local_description(&self) -> Option<SessionDescription> {
        let described = self.jsep.local_fragment().unwrap_or_default();
        let credentials = self.transport.ice.credentials();
        let credentials = IceCredentials { username_fragment: described.to_owned(), ..credentials.clone() };
        self.jsep.local_description(&self.local_transport(&credentials))
    }

    /// W3C's `remoteDescription`.
    pub fn remote_description(&self) -> Option<SessionDescription> {
        self.jsep.remote_description().cloned()
    }

    /// Those of a track's codecs that are configured here, in their order, in the form that
    /// [`set_codec_preferences`](Self::set_codec_preferences) takes; behind them all other codecs of the kind. With
    /// [`sending_only`](crate::JsepConfig::sending_only) those alone in which one of the track's can be sent as it is.
    pub fn sendable_codecs(&self, codecs: &[RtpCodec]) -> Vec<RtpCodec> {
        let Some(kind) = codecs.first().map(|codec| codec.codec.kind()) else { return Vec::new() };
        let configured = || self.jsep.config().codecs.iter().map(|capability| &capability.codec);
        let sending_only = self.jsep.config().sending_only;
        let serves = |known: &RtpCodec, codec: &RtpCodec| match sending_only {
            true => carries(known, codec),
            false => known.codec == codec.codec,
        };
        let mut sorted: Vec<RtpCodec> = Vec::new();
        for codec in codecs {
            sorted.extend(
                configured()
                    .filter(|known| serves(known, codec) && !sorted.contains(known))
                    .cloned()
                    .collect::<Vec<_>>(),
            );
        }
        if sending_only {
            return sorted;
        }
        let rest: Vec<RtpCodec> =
            configured().filter(|known| known.codec.kind() == kind && !sorted.contains(known)).cloned().collect();
        sorted.extend(rest);
        sorted
    }

    /// What was negotiated for a sender, without the codecs to receive; `None` before that and while it may not send.
    pub fn negotiated_sender(&self, transceiver: TransceiverId) -> Option<&NegotiatedMedia> {
        self.senders.iter().find(|slot| slot.transceiver == transceiver)?.sendable()
    }

    /// Chooses what a sender sends from now on: the negotiated entry that can carry a stream of this codec. Returns
    /// whether there is one; with `None` it stops sending.
    pub fn select_codec(&mut self, transceiver: TransceiverId, codec: Option<&RtpCodec>) -> bool {
        let Some(slot) = self.senders.iter_mut().find(|slot| slot.transceiver == transceiver) else { return false };
        let media = slot.sendable();
        let entry = codec.zip(media).and_then(|(codec, media)| media.send_codec_for(codec).map(|entry| (media, entry)));
        let Some((media, entry)) = entry else {
            slot.sender.set_encoding(None, SendExtensions::default());
            return false;
        };
        let encoding = SendEncoding {
            codec: entry.codec.codec,
            payload_type: entry.payload_type,
            rtx_payload_type: entry.rtx,
            nack: entry.rtx.is_some() || entry.feedback.contains(&RtcpFeedback::Nack),
        };
        let repeats = encoding.nack && encoding.rtx_payload_type.is_none();
        let extensions = SendExtensions::negotiated(media, repeats);
        slot.sender.set_encoding(Some(encoding), extensions);
        true
    }

    /// The codec that a sender sends now.
    pub fn sending_codec(&self, transceiver: TransceiverId) -> Option<Codec> {
        let slot = self.senders.iter().find(|slot| slot.transceiver == transceiver)?;
        slot.sender.encoding().map(|encoding| encoding.codec)
    }

    /// What a description with these credentials says of our side.
    pub(super) fn local_transport(&self, credentials: &IceCredentials) -> LocalTransport {
        LocalTransport {
            ice_ufrag: credentials.username_fragment.clone(),
            ice_pwd: credentials.password.clone(),
            ice_lite: self.transport.ice.is_lite(),
            fingerprints: vec![self.certificate.fingerprint().clone()],
            candidates: self.candidates_for(&credentials.username_fragment),
            end_of_candidates: self.is_gathered(&credentials.username_fragment),
        }
    }

    pub(super) fn add_remote_candidates(&mut self, candidates: &[Candidate]) {
        for candidate in candidates {
            if self.remote_candidates.len() < MAX_REMOTE_CANDIDATES && !self.remote_candidates.contains(candidate) {
                let taken: usize = self.remote_candidates.iter().map(Candidate::memory).sum();
                if taken + candidate.memory() <= MAX_REMOTE_CANDIDATE_MEMORY {
                    self.remote_candidates.push(candidate.clone());
                }
            }
            if candidate.is_mdns() {
                let media_line = self.jsep.remote_section().and_then(|line| u16::try_from(line).ok());
                self.events.push_back(ConnectionEvent::NameToResolve(IceCandidate {
                    candidate: candidate.to_string(),
                    sdp_mid: None,
                    sdp_m_line_index: media_line,
                    username_fragment: None,
                }));
                continue;
            }
            if let Err(error) = self.transport.ice.add_remote_candidate(&candidate.to_string()) {
                debug!(%error, "a candidate was ignored");
            }
        }
    }

    fn apply(&mut self, now: Instant, outcome: &Outcome) {
        self.sync_senders();
        for refused in &outcome.refused {
            debug!(media_line = refused.media_line, kind = refused.kind, reason = ?refused.reason, "an m-line is refused");
        }
        if let Some(negotiated) = &outcome.negotiated {
            self.apply_negotiated(now, negotiated);
        }
        self.reject_waiting_data();
        for track in &outcome.tracks_added {
            self.events.push_back(ConnectionEvent::Track(track.clone()));
        }
        for transceiver in &outcome.tracks_removed {
            self.events.push_back(ConnectionEvent::TrackMuted(*transceiver));
        }
        for transceiver in &outcome.stopped {
            self.events.push_back(ConnectionEvent::TransceiverStopped(*transceiver));
        }
    }

    /// W3C webrtc-pc §4.4.1.5: in the stable state the flag is cleared and found anew, so that what came up meanwhile is told.
    fn renew_negotiation_needed(&mut self, outcome: &Outcome) {
        if outcome.signaling_state == SignalingState::Stable {
            self.negotiation_needed = false;
        }
        self.check_negotiation_needed();
    }

    fn apply_negotiated(&mut self, now: Instant, negotiated: &Negotiated) {
        let remote = &negotiated.transport;
        self.transport.ice.set_remote_credentials(&IceCredentials {
            username_fragment: remote.ice.ufrag.clone(),
            password: remote.ice.pwd.clone(),
        });
        self.add_remote_candidates(&remote.candidates);
        self.transport.ice.start();
        self.transport.start_dtls(now, negotiated.dtls_role, remote.fingerprints.clone());
        self.apply_data(now, negotiated);
        self.transport.handle_timeout(now);

        for slot in &mut self.senders {
            let media = negotiated.media.iter().find(|media| media.transceiver == slot.transceiver);
            // What only the receiver needs, the receiver has.
            slot.media = media.map(|media| NegotiatedMedia { receive_codecs: Vec::new(), ..media.clone() });
            if slot.media.as_ref().is_none_or(|media| !media.direction.sends()) {
                slot.sender.set_encoding(None, SendExtensions::default());
            }
        }
        let live = |id| self.jsep.transceiver(id).is_some_and(|transceiver| !transceiver.stopping());
        let receiving = |media: &&NegotiatedMedia| media.direction.receives() && live(media.transceiver);
        let retired = &mut self.retired;
        self.receivers.retain(|receiver| {
            let stays = negotiated.media.iter().filter(receiving).any(|m| m.transceiver == receiver.transceiver());
            if !stays {
                retired.add_receiver(receiver);
            }
            stays
        });
        for media in negotiated.media.iter().filter(receiving) {
            match self.receivers.iter_mut().find(|receiver| receiver.transceiver() == media.transceiver) {
                Some(receiver) => receiver.update(media),
                None => self.receivers.push(RtpReceiver::new(media)),
            }
        }
        self.events.push_back(ConnectionEvent::SendersChanged);
    }

    /// Gives every transceiver its sender; senders and receivers of transceivers that are gone leave.
    fn sync_senders(&mut self) {
        let transceivers = self.jsep.transceivers();
        let retired = &mut self.retired;
        self.receivers.retain(|receiver| {
            let stays = transceivers.iter().any(|transceiver| transceiver.id() == receiver.transceiver());
            if !stays {
                retired.add_receiver(receiver);
            }
            stays
        });
        let retired = &mut retired.sent;
        self.senders.retain(|slot| {
            let stays = transceivers.iter().any(|transceiver| transceiver.id() == slot.transceiver);
            if !stays {
                let stats = slot.sender.stats();
                *retired = (retired.0 + stats.packets_sent, retired.1 + stats.bytes_sent);
            }
            stays
        });
        for transceiver in self.jsep.transceivers() {
            let id = transceiver.id();
            if self.senders.iter().all(|slot| slot.transceiver != id) {
                let sender = RtpSender::new(&mut self.random, transceiver.ssrc(), transceiver.rtx_ssrc());
                // Most connections have one or two, and a slot is large.
                self.senders.reserve_exact(1);
                self.senders.push(SenderSlot::new(id, sender));
            }
        }
    }

    /// W3C webrtc-pc §4.7.3: updates the negotiation-needed flag, and tells when it becomes set. Called after everything
    /// that may change what the handles show.
    pub(super) fn check_negotiation_needed(&mut self) {
        self.revision += 1;
        if self.signaling_state() != SignalingState::Stable {
            return;
        }
        let needed = self.jsep.negotiation_needed();
        if needed && !self.negotiation_needed {
            self.events.push_back(ConnectionEvent::NegotiationNeeded);
        }
        self.negotiation_needed = needed;
    }
}
