//! ICE restart (RFC 8445 §9, RFC 8839 §4.4.1.1.1, RFC 8829 §4.1.8): new credentials and a new search for a path, while media
//! goes on over the old one.

use super::Connection;
use crate::ice::IceCredentials;
use crate::jsep::{Outcome, SignalingState, ice_fragment};
use crate::sdp::{DescriptionError, SdpType, SessionDescription};

/// W3C's `RTCOfferOptions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OfferOptions {
    /// Whether the offer asks for an ICE restart. Default: no, unless [`Connection::restart_ice`] was called.
    pub ice_restart: bool,
}

/// What restarts need to remember.
#[derive(Debug)]
pub(super) struct Restart {
    username_prefix: String,
    /// The credentials of an offer that was made but is not set yet.
    reserved: Option<IceCredentials>,
}

impl Restart {
    pub(super) const fn new(username_prefix: String) -> Self {
        Self { username_prefix, reserved: None }
    }
}

impl Connection {
    /// W3C's `createOffer` without options.
    ///
    /// # Errors
    /// If the connection is closed, or the peer's offer waits for an answer.
    pub fn create_offer(&mut self) -> Result<SessionDescription, DescriptionError> {
        self.create_offer_with(OfferOptions::default())
    }

    /// W3C's `createOffer`.
    ///
    /// # Errors
    /// If the connection is closed, or the peer's offer waits for an answer.
    pub fn create_offer_with(&mut self, options: OfferOptions) -> Result<SessionDescription, DescriptionError> {
        // Before the first exchange there is nothing to restart.
        let begun = self.jsep.current_local_description().is_some();
        let restart = begun && (options.ice_restart || self.jsep.ice_restart_requested());
        // An offer that waits for its answer and restarts already need not do so twice.
        let restarting = self.signaling_state() == SignalingState::HaveLocalOffer
            && self.jsep.current_local_description().and_then(ice_fragment)
                != Some(self.transport.ice.credentials().username_fragment.as_str());
        let credentials = if restart && !restarting {
            let made = self.fresh_credentials();
            self.restart.reserved.get_or_insert(made).clone()
        } else {
            self.transport.ice.credentials().clone()
        };
        let transport = self.local_transport(&credentials);
        self.jsep.create_offer(&transport)
    }

    /// W3C's `restartIce`: the next offer, of whomever's making, restarts ICE; `negotiationneeded` is told.
    pub fn restart_ice(&mut self) {
        if !self.closing {
            self.jsep.request_ice_restart();
            self.check_negotiation_needed();
        }
    }

    /// A description of ours was set.
    pub(super) fn restart_by_local(&mut self, description: &SessionDescription, outcome: &Outcome) {
        match description.sdp_type() {
            SdpType::Rollback => self.transport.ice.abandon_restart(),
            SdpType::Offer => {
                let reserved = self
                    .restart
                    .reserved
                    .take_if(|reserved| ice_fragment(description) == Some(reserved.username_fragment.as_str()));
                if let Some(credentials) = reserved {
                    self.transport.ice.restart(&credentials);
                }
            }
            SdpType::Answer | SdpType::Pranswer => {}
        }
        self.settle(outcome);
    }

    /// A description of the peer was set.
    pub(super) fn restart_by_remote(&mut self, description: &SessionDescription, outcome: &Outcome) {
        if outcome.rolled_back {
            self.transport.ice.abandon_restart();
        }
        let restarts = description.sdp_type() == SdpType::Offer
            && outcome.remote_transport.as_ref().is_some_and(|transport| transport.ice_restart);
        if restarts && let Some(transport) = &outcome.remote_transport {
            // RFC 8839 §4.4.1.1.1: the answer to a restart has new credentials as well.
            let credentials = self.fresh_credentials();
            let candidates = transport.candidates.clone();
            self.transport.ice.restart(&credentials);
            self.transport.ice.set_remote_credentials(&IceCredentials {
                username_fragment: transport.ice.ufrag.clone(),
                password: transport.ice.pwd.clone(),
            });
            self.add_remote_candidates(&candidates);
        }
        self.settle(outcome);
    }

    fn settle(&mut self, outcome: &Outcome) {
        if outcome.signaling_state == SignalingState::Stable {
            self.restart.reserved = None;
            self.transport.ice.settle_restart();
        }
    }

    fn fresh_credentials(&mut self) -> IceCredentials {
        IceCredentials::from_random(&self.restart.username_prefix, self.random.bytes())
    }
}
