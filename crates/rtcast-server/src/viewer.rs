//! One viewer: its peer connection from admission to farewell.

use std::sync::Arc;
use std::time::Duration;

use rtcast::signaling::RemoteError;
use rtcast::{
    Configuration, Direction, EventStream, IceCandidate, PeerConnection, PeerConnectionEvent, PeerConnectionState,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use crate::client::Client;
use crate::event::{LeaveReason, ServerEvent, Signalling, ViewerId};
use crate::negotiation::viewer_jsep;
use crate::quota::Place;
use crate::state::{ServerState, Ticket};

/// How long a viewer may take from its offer to a standing connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// What still comes within this time was on its way, and does not show that the viewer lives.
const ON_THE_WAY: Duration = Duration::from_secs(1);
/// How long the farewell to one viewer may take.
const CLOSE_LIMIT: Duration = Duration::from_millis(400);

/// A viewer. Dropping it ends the connection without a farewell; [`Viewer::leave`] says goodbye.
pub(crate) struct Viewer {
    pub(crate) connection: PeerConnection,
    events: EventStream,
    membership: Membership,
    /// For the connection to be made.
    deadline: Option<Instant>,
    life: Life,
}

/// Whether a viewer whose connection stands has shown that it is there.
#[derive(Debug, Clone, Copy)]
enum Life {
    /// There is no connection yet, or it has shown it.
    Settled,
    /// The connection has just been made.
    Begun { until: Instant },
    /// By then something must have come beyond so many datagrams.
    Awaited { until: Instant, heard: u64 },
}

/// What concerns the signalling of a viewer.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A candidate of ours, or their end.
    Candidate(Option<IceCandidate>),
    /// The connection is over.
    Ended(LeaveReason),
    /// The connection stands, but the server has no place for its viewer any more.
    Refused(RemoteError),
}

impl Viewer {
    /// Admits a viewer to a stream: a new peer connection that sends the stream's tracks and receives nothing.
    pub(crate) async fn admit(
        shared: &Arc<ServerState>,
        name: &str,
        signalling: Signalling,
        client: Client,
        ticket: Ticket,
    ) -> Result<Self, RemoteError> {
        let Some((name, stream)) = shared.stream(name) else {
            let message = format!("there is no stream named {name:?}");
            return Err(RemoteError::new("NotFoundError", message, "/api/streams lists the streams"));
        };
        let mut configuration = Configuration::on(&shared.endpoint);
        configuration.jsep = Some(viewer_jsep());
        let connection = PeerConnection::new(configuration).await?;
        let events = connection.events();
        for track in &stream.tracks {
            connection.add_track(track.clone()).await?;
        }
        for transceiver in connection.transceivers() {
            transceiver.set_direction(Direction::Sendonly).await?;
        }
        let membership = Membership {
            shared: shared.clone(),
            id: shared.next_viewer(),
            stream: name,
            signalling,
            client,
            joined: None,
            reason: LeaveReason::Failed,
            pending: Some(ticket.pending),
            place: None,
            presence: Some(ticket.presence),
        };
        let deadline = Some(Instant::now() + CONNECT_LIMIT);
        Ok(Self { connection, events, membership, deadline, life: Life::Settled })
    }

    /// Waits for what concerns the signalling. Safe to cancel. Must not be called again after [`Happening::Ended`].
    pub(crate) async fn next(&mut self) -> Happening {
        loop {
            let life = match self.life {
                Life::Begun { until } | Life::Awaited { until, .. } => Some(until),
                Life::Settled => None,
            };
            let event = match self.deadline.or(life) {
                Some(deadline) => tokio::select! {
                    event = self.events.recv() => event,
                    () = tokio::time::sleep_until(deadline) => {
                        if self.deadline.is_some() || self.is_silent().await {
                            return Happening::Ended(LeaveReason::Failed);
                        }
                        continue;
                    }
                },
                None => self.events.recv().await,
            };
            match event {
                Some(PeerConnectionEvent::IceCandidate(candidate)) => return Happening::Candidate(candidate),
                Some(PeerConnectionEvent::ConnectionStateChange(state)) => match state {
                    PeerConnectionState::Connected => {
                        self.deadline = None;
                        match self.membership.join() {
                            Ok(true) => self.life = Life::Begun { until: Instant::now() + ON_THE_WAY },
                            Ok(false) => {}
                            Err(error) => return Happening::Refused(error),
                        }
                    }
                    PeerConnectionState::Failed => {
                        if let Some(reason) = self.failure() {
                            self.membership.tell_failure(reason);
                        }
                        return Happening::Ended(LeaveReason::Failed);
                    }
                    PeerConnectionState::Closed => return Happening::Ended(LeaveReason::Bye),
                    _ => {}
                },
                Some(_) => {}
                None => return Happening::Ended(LeaveReason::Bye),
            }
        }
    }

    /// Why DTLS failed, if it did; a failure for other reasons is the network's.
    pub(crate) fn failure(&self) -> Option<String> {
        self.connection.dtls_transport().and_then(|transport| transport.error())
    }

    /// Goes on with the question whether the viewer lives. Whether it does not: nothing at all has come since its connection
    /// was made.
    async fn is_silent(&mut self) -> bool {
        // Of a connection that is closed, which its events tell, nothing comes.
        let heard = self.connection.stats().await.map_or(0, |stats| stats.datagrams_received);
        self.life = match self.life {
            Life::Begun { until } => Life::Awaited {
                until: until + self.membership.shared.limits.first_word.saturating_sub(ON_THE_WAY),
                heard,
            },
            Life::Awaited { heard: before, .. } if before == heard => return true,
            Life::Awaited { .. } | Life::Settled => Life::Settled,
        };
        false
    }

    /// Says goodbye over the connection and takes the viewer off the list. A server that stops waits until what this
    /// returns is dropped.
    pub(crate) async fn leave(mut self, reason: LeaveReason) -> Option<OwnedSemaphorePermit> {
        self.membership.reason = reason;
        if timeout(CLOSE_LIMIT, self.connection.close()).await.is_err() {
            tracing::warn!(viewer = self.membership.id.0, "the farewell took too long");
        }
        self.membership.presence.take()
    }
}

/// Keeps the list of viewers true: whoever is dropped is off it.
struct Membership {
    shared: Arc<ServerState>,
    id: ViewerId,
    stream: Arc<str>,
    signalling: Signalling,
    client: Client,
    joined: Option<Instant>,
    reason: LeaveReason,
    /// Until the connection stands.
    pending: Option<Place>,
    /// From then on.
    place: Option<OwnedSemaphorePermit>,
    presence: Option<OwnedSemaphorePermit>,
}

impl Membership {
    /// Puts the viewer on the list. Returns whether it was not there before.
    fn join(&mut self) -> Result<bool, RemoteError> {
        if self.joined.is_some() {
            return Ok(false);
        }
        self.place = Some(self.shared.place()?);
        self.pending = None;
        self.joined = Some(Instant::now());
        self.shared.join(self.id, self.stream.clone(), self.client.key());
        self.shared.tell(ServerEvent::ViewerJoined {
            viewer: self.id,
            stream: self.stream.clone(),
            signalling: self.signalling,
            address: self.client.address,
        });
        Ok(true)
    }
}

impl Membership {
    fn tell_failure(&self, reason: String) {
        self.shared.tell(ServerEvent::ViewerFailed {
            viewer: self.id,
            stream: self.stream.clone(),
            signalling: self.signalling,
            reason,
        });
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.shared.part(self.id);
        if let Some(joined) = self.joined {
            self.shared.tell(ServerEvent::ViewerLeft {
                viewer: self.id,
                stream: self.stream.clone(),
                reason: self.reason,
                watched: joined.elapsed(),
            });
        }
    }
}
