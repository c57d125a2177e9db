//! One viewer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use reqwest::Client;
use rtcast_peer::{
    Configuration, Direction, MediaKind, PeerConnection, PeerConnectionEvent, PeerConnectionState, RemoteTrack,
};

use crate::whep::{Session, WhepError};

/// How long a viewer waits to be connected.
const PATIENCE: Duration = Duration::from_secs(20);

/// A viewer that is connected.
pub(crate) struct Viewer {
    connection: PeerConnection,
    session: Session,
    seen: Arc<Seen>,
    start: Instant,
}

/// What a viewer's tracks delivered.
#[derive(Debug, Default)]
struct Seen {
    first_picture: OnceLock<Instant>,
    pictures: AtomicU64,
    sounds: AtomicU64,
}

/// What a viewer has counted so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) lost: i64,
    pub(crate) retransmitted: u64,
    pub(crate) pictures: u64,
    pub(crate) sounds: u64,
    pub(crate) keyframe_requests: u64,
}

impl Viewer {
    /// Asks for the stream and waits until media can flow.
    pub(crate) async fn join(client: Client, url: String) -> Result<Self, WhepError> {
        let start = Instant::now();
        // Towards a server on this machine one socket is enough; otherwise all addresses are candidates.
        let local = ["://localhost", "://127.", "://[::1]"].iter().any(|host| url.contains(host));
        let mut configuration = Configuration::default();
        configuration.address = local.then(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let connection = PeerConnection::new(configuration).await?;
        connection.add_transceiver(MediaKind::Video, Direction::Recvonly).await?;
        connection.add_transceiver(MediaKind::Audio, Direction::Recvonly).await?;
        let seen = Arc::new(Seen::default());
        let counting = Arc::clone(&seen);
        connection.on_track(move |event| {
            tokio::spawn(count(event.track, Arc::clone(&counting)));
        });
        let mut events = connection.events();
        connection.set_local_description(None).await?;
        let offer = connection.local_description();
        let offer = offer.as_ref().map(|offer| offer.sdp()).unwrap_or_default();
        let (session, answer) = Session::open(client, &url, offer).await?;
        connection.set_remote_description(answer).await?;
        let connected = async {
            while connection.connection_state() != PeerConnectionState::Connected {
                match events.recv().await {
                    Some(PeerConnectionEvent::ConnectionStateChange(PeerConnectionState::Failed)) | None => {
                        return false;
                    }
                    Some(_) => {}
                }
            }
            true
        };
        match tokio::time::timeout(PATIENCE, connected).await {
            Ok(true) => Ok(Self { connection, session, seen, start }),
            _ => {
                session.close().await;
                Err(WhepError::TimedOut(PATIENCE.as_secs()))
            }
        }
    }

    /// The time from the request to the first whole picture.
    pub(crate) fn first_picture(&self) -> Option<Duration> {
        self.seen.first_picture.get().map(|at| *at - self.start)
    }

    pub(crate) async fn counted(&self) -> Counted {
        let mut counted = Counted {
            pictures: self.seen.pictures.load(Ordering::Relaxed),
            sounds: self.seen.sounds.load(Ordering::Relaxed),
            ..Counted::default()
        };
        // A connection that has ended in the meantime counts no further.
        for receiver in self.connection.stats().await.map(|stats| stats.receivers).unwrap_or_default() {
            counted.packets += receiver.stats.packets_received;
            counted.bytes += receiver.stats.bytes_received;
            counted.lost += receiver.stats.packets_lost;
            counted.retransmitted += receiver.stats.retransmitted_packets_received;
            counted.keyframe_requests += receiver.stats.pli_count;
        }
        counted
    }

    pub(crate) async fn leave(self) {
        self.session.close().await;
        self.connection.close().await;
    }
}

async fn count(track: RemoteTrack, seen: Arc<Seen>) {
    while track.recv().await.is_some() {
        match track.kind() {
            MediaKind::Video => {
                seen.first_picture.get_or_init(Instant::now);
                seen.pictures.fetch_add(1, Ordering::Relaxed);
            }
            MediaKind::Audio => {
                seen.sounds.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
