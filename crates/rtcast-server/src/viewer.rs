//! One viewer: its peer connection from admission to farewell.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rtcast::{Configuration, EventStream, IceCandidate, PeerConnection, PeerConnectionEvent, PeerConnectionState};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use crate::event::{LeaveReason, ServerEvent, Signalling, ViewerId};
use crate::message::ErrorObject;
use crate::negotiation::viewer_jsep;
use crate::shared::Shared;

/// How long a viewer may take from its offer to a standing connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// How long the farewell to one viewer may take.
const CLOSE_LIMIT: Duration = Duration::from_millis(400);

/// A viewer. Dropping it ends the connection without a farewell; [`Viewer::leave`] says goodbye.
pub(crate) struct Viewer {
    pub(crate) connection: PeerConnection,
    events: EventStream,
    membership: Membership,
    deadline: Option<Instant>,
}

/// What concerns the signalling of a viewer.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A candidate of ours, or their end.
    Candidate(Option<IceCandidate>),
    /// The connection is over.
    Ended(LeaveReason),
}

impl Viewer {
    /// Admits a viewer to a stream: a new peer connection with the stream's tracks.
    pub(crate) async fn admit(
        shared: &Arc<Shared>,
        name: &str,
        signalling: Signalling,
        address: SocketAddr,
    ) -> Result<Self, ErrorObject> {
        let Some((name, stream)) = shared.stream(name) else {
            let message = format!("there is no stream named {name:?}");
            return Err(ErrorObject::new("NotFoundError", message, "/api/streams lists the streams"));
        };
        let place = shared.place()?;
        let mut configuration = Configuration::on(&shared.endpoint);
        configuration.jsep = Some(viewer_jsep());
        let connection = PeerConnection::new(configuration).await?;
        let events = connection.events();
        for track in &stream.tracks {
            connection.add_track(track.clone()).await?;
        }
        let membership = Membership {
            shared: shared.clone(),
            id: shared.next_viewer(),
            stream: name,
            signalling,
            address,
            joined: None,
            reason: LeaveReason::Failed,
            place: Some(place),
        };
        Ok(Self { connection, events, membership, deadline: Some(Instant::now() + CONNECT_LIMIT) })
    }

    /// Waits for what concerns the signalling. Safe to cancel. Must not be called again after [`Happening::Ended`].
    pub(crate) async fn next(&mut self) -> Happening {
        loop {
            let event = match self.deadline {
                Some(deadline) => tokio::select! {
                    event = self.events.recv() => event,
                    () = tokio::time::sleep_until(deadline) => return Happening::Ended(LeaveReason::Failed),
                },
                None => self.events.recv().await,
            };
            match event {
                Some(PeerConnectionEvent::IceCandidate(candidate)) => return Happening::Candidate(candidate),
                Some(PeerConnectionEvent::ConnectionStateChange(state)) => match state {
                    PeerConnectionState::Connected => {
                        self.deadline = None;
                        self.membership.join();
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

    /// Says goodbye over the connection and takes the viewer off the list. Returns its place, which is free once that is
    /// dropped.
    pub(crate) async fn leave(mut self, reason: LeaveReason) -> Option<OwnedSemaphorePermit> {
        self.membership.reason = reason;
        if timeout(CLOSE_LIMIT, self.connection.close()).await.is_err() {
            tracing::warn!(viewer = self.membership.id.0, "the farewell took too long");
        }
        self.membership.place.take()
    }
}

/// Keeps the list of viewers true: whoever is dropped is off it.
struct Membership {
    shared: Arc<Shared>,
    id: ViewerId,
    stream: Arc<str>,
    signalling: Signalling,
    address: SocketAddr,
    joined: Option<Instant>,
    reason: LeaveReason,
    place: Option<OwnedSemaphorePermit>,
}

impl Membership {
    fn join(&mut self) {
        if self.joined.is_some() {
            return;
        }
        self.joined = Some(Instant::now());
        self.shared.join(self.id, self.stream.clone());
        self.shared.tell(ServerEvent::ViewerJoined {
            viewer: self.id,
            stream: self.stream.clone(),
            signalling: self.signalling,
            address: self.address,
        });
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
