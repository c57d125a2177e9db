//! Offers, answers and candidates.

use rtcast_proto::connection::{IceGatheringState, OfferOptions, PeerConnectionState};
use rtcast_proto::ice::IceTransportState;
use rtcast_proto::{IceCandidate, SessionDescription, SignalingState};

use super::PeerConnection;
use crate::error::Error;

impl PeerConnection {
    /// Makes an offer of what this side wants to send and receive.
    ///
    /// # Errors
    /// [`Error::Description`] if the state forbids it, [`Error::Closed`] after the end.
    pub async fn create_offer(&self) -> Result<SessionDescription, Error> {
        Ok(self.call(|entry, _| entry.connection.create_offer()).await??)
    }

    /// Makes an offer with options, such as one that restarts ICE.
    ///
    /// # Errors
    /// As [`create_offer`](Self::create_offer).
    pub async fn create_offer_with(&self, options: OfferOptions) -> Result<SessionDescription, Error> {
        Ok(self.call(move |entry, _| entry.connection.create_offer_with(options)).await??)
    }

    /// Makes the next offer restart ICE, and asks for it with `negotiationneeded`: W3C's `restartIce`. Media goes on over
    /// the path that it has until a new one is found.
    ///
    /// After the network has changed, over the signalling that there is:
    ///
    /// ```no_run
    /// # use rtcast_peer::{Error, PeerConnection, SessionDescription};
    /// # async fn example(pc: PeerConnection, answer: SessionDescription) -> Result<(), Error> {
    /// pc.restart_ice().await?;
    /// pc.set_local_description(None).await?;
    /// // The peer is sent `pc.local_description()` and answers it:
    /// pc.set_remote_description(answer).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`] after the end.
    pub async fn restart_ice(&self) -> Result<(), Error> {
        self.call(|entry, _| entry.connection.restart_ice()).await
    }

    /// Makes an answer to the peer's offer.
    ///
    /// # Errors
    /// [`Error::Description`] if there is no offer to answer, [`Error::Closed`] after the end.
    pub async fn create_answer(&self) -> Result<SessionDescription, Error> {
        Ok(self.call(|entry, _| entry.connection.create_answer()).await??)
    }

    /// Puts an offer or answer of ours into force. With `None` the fitting one is made.
    ///
    /// ```
    /// use rtcast_peer::{Configuration, PeerConnection, SessionDescription, SignalingState};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), rtcast_peer::Error> {
    /// let pc = PeerConnection::new(Configuration::default()).await?;
    /// pc.create_data_channel("chat", Default::default()).await?;
    /// pc.set_local_description(None).await?;
    /// assert_eq!(pc.signaling_state(), SignalingState::HaveLocalOffer);
    /// // Taken back, as if it had never been made:
    /// pc.set_local_description(SessionDescription::rollback()).await?;
    /// assert_eq!(pc.signaling_state(), SignalingState::Stable);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Description`], which names the mistake; nothing has changed then. [`Error::Closed`] after the end.
    pub async fn set_local_description(&self, description: impl Into<Option<SessionDescription>>) -> Result<(), Error> {
        let description = description.into();
        let set = self.call(move |entry, now| {
            let result = entry.connection.set_local_description(now, description);
            entry.observer().descriptions_updated(&entry.connection);
            entry.observer().candidates_withdrawn(&entry.connection);
            result
        });
        Ok(set.await??)
    }

    /// Takes the peer's offer or answer.
    ///
    /// A description that is refused leaves everything as it was, and says what is wrong with it:
    ///
    /// ```
    /// use rtcast_peer::{Configuration, Hint, PeerConnection, SdpType, SessionDescription, SignalingState};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pc = PeerConnection::new(Configuration::default()).await?;
    /// let answer = SessionDescription::new(SdpType::Answer, "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\n")?;
    /// let Err(error) = pc.set_remote_description(answer).await else { return Err("nothing was offered".into()) };
    /// assert_eq!(error.name(), "InvalidStateError");
    /// assert!(error.problem().contains("signaling state \"stable\""));
    /// assert_eq!(pc.signaling_state(), SignalingState::Stable);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Description`], which names the mistake; nothing has changed then. [`Error::Closed`] after the end.
    pub async fn set_remote_description(&self, description: SessionDescription) -> Result<(), Error> {
        let set = self.call(move |entry, now| {
            let result = entry.connection.set_remote_description(now, &description);
            entry.observer().descriptions_updated(&entry.connection);
            entry.observer().candidates_withdrawn(&entry.connection);
            result
        });
        Ok(set.await??)
    }

    /// Takes a candidate of the peer; an empty one says that no more come.
    ///
    /// What the peer's application sends as JSON:
    ///
    /// ```no_run
    /// # async fn example(pc: rtcast_peer::PeerConnection, message: &str) -> Result<(), rtcast_peer::Error> {
    /// use rtcast_peer::IceCandidate;
    ///
    /// pc.add_ice_candidate(IceCandidate::from_json(message)?).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Description`] if it is damaged or there is no remote description yet, [`Error::Closed`] after the end.
    pub async fn add_ice_candidate(&self, candidate: IceCandidate) -> Result<(), Error> {
        Ok(self.call(move |entry, now| entry.connection.add_ice_candidate(now, &candidate)).await??)
    }

    /// The local description, pending or else current, with the candidates known by now; `None` before the first.
    pub fn local_description(&self) -> Option<SessionDescription> {
        self.inner.view.snapshot().local.clone()
    }

    /// The remote description, pending or else current; `None` before the first.
    pub fn remote_description(&self) -> Option<SessionDescription> {
        self.inner.view.snapshot().remote.clone()
    }

    /// The local description that is negotiated; `None` before the first answer.
    pub fn current_local_description(&self) -> Option<SessionDescription> {
        self.inner.view.snapshot().current_local.clone()
    }

    /// The local description that waits for the end of its exchange.
    pub fn pending_local_description(&self) -> Option<SessionDescription> {
        self.inner.view.snapshot().pending_local.clone()
    }

    /// The remote description that is negotiated; `None` before the first answer.
    pub fn current_remote_description(&self) -> Option<SessionDescription> {
        self.inner.view.snapshot().current_remote.clone()
    }

    /// The remote description that waits for the end of its exchange.
    pub fn pending_remote_description(&self) -> Option<SessionDescription> {
        self.inner.view.snapshot().pending_remote.clone()
    }

    /// Whether the peer takes candidates after its description; `None` before the first remote description.
    pub fn can_trickle_ice_candidates(&self) -> Option<bool> {
        self.inner.view.snapshot().can_trickle
    }

    /// How the connection as a whole stands.
    pub fn connection_state(&self) -> PeerConnectionState {
        self.inner.view.snapshot().connection
    }

    /// How ICE stands.
    pub fn ice_connection_state(&self) -> IceTransportState {
        self.inner.view.snapshot().ice
    }

    /// Whether all candidates are known.
    pub fn ice_gathering_state(&self) -> IceGatheringState {
        self.inner.view.snapshot().gathering
    }

    /// Where the exchange of descriptions stands.
    pub fn signaling_state(&self) -> SignalingState {
        self.inner.view.snapshot().signaling
    }
}
