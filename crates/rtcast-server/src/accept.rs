//! Taking connections: how many, from whom, and for what.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rtcast::Endpoint;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::client::{ClientKey, Peer};
use crate::connection;
use crate::quota::{Full, Place};
use crate::state::{ServerState, stopped};

/// How many connections may carry media; further ones are closed.
const MEDIA_CONNECTIONS: usize = 4_096;
/// How long to wait when the system refuses to accept, as when there are no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often the log says that.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// What a client is told for whom there is no place. It is lost if the client has said something already.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Takes the connections of a listener.
pub(crate) struct Acceptor {
    pub(crate) listener: TcpListener,
    pub(crate) router: Router,
    pub(crate) shared: Arc<ServerState>,
    /// Where connections go that begin as those of ICE do.
    pub(crate) media: Option<Endpoint>,
}

/// Where connections go that carry media instead of HTTP.
#[derive(Clone)]
struct MediaConnections {
    endpoint: Endpoint,
    free: Arc<Semaphore>,
}

impl Acceptor {
    /// Serves until the server stops and the requests under way are answered. Dropping the future ends all of them.
    pub(crate) async fn run(self) {
        let Self { listener, router, shared, media } = self;
        let media =
            media.map(|endpoint| MediaConnections { endpoint, free: Arc::new(Semaphore::new(MEDIA_CONNECTIONS)) });
        let mut stopping = shared.stopping.subscribe();
        let mut complained: Option<Instant> = None;
        let mut tasks = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stopped(&mut stopping) => break,
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended && error.is_panic() {
                        tracing::error!("a request has brought its connection down; please report this");
                    }
                    continue;
                }
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    let peer = Peer(address);
                    match place(&shared, peer) {
                        Ok(place) => {
                            let task = attend(stream, peer, place, router.clone(), shared.clone(), media.clone());
                            tasks.spawn(task);
                        }
                        Err(full) => refuse(&stream, peer, full),
                    }
                }
                // The client has gone away while it waited; nothing is amiss here.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if complained.is_none_or(|at| at.elapsed() > COMPLAIN_EVERY) {
                        complained = Some(Instant::now());
                        tracing::warn!(%error, "connections cannot be accepted");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // No further ones; those that are idle end by themselves now.
        drop(listener);
        while tasks.join_next().await.is_some() {}
    }
}

/// A trusted proxy stands for many clients, whose requests are counted one by one.
fn place(shared: &ServerState, Peer(address): Peer) -> Result<Place, Full> {
    if shared.proxies.contains(address.ip()) {
        return shared.connections.take(None, true);
    }
    let client = ClientKey::of(address.ip());
    shared.connections.take(Some(client), shared.watches(client))
}

fn refuse(stream: &TcpStream, peer: Peer, full: Full) {
    tracing::debug!(client = %peer.0, ?full, "a connection was refused");
    let _ = stream.try_write(FULL);
}

/// Looks at the first byte and hands the connection over if it is none of HTTP's: a message of ICE stands behind its length
/// (RFC 4571 §2), and none has 1,536 bytes.
async fn attend(
    stream: TcpStream,
    peer: Peer,
    place: Place,
    router: Router,
    shared: Arc<ServerState>,
    media: Option<MediaConnections>,
) {
    const HIGHEST_LENGTH_BYTE: u8 = 5;
    let begun = Instant::now();
    let mut stopping = shared.stopping.subscribe();
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps Nagle's delay");
    }
    if let Some(media) = media {
        let mut first = [0];
        let peeked = tokio::select! {
            peeked = timeout_at(begun + shared.limits.head, stream.peek(&mut first)) => peeked,
            () = stopped(&mut stopping) => return,
        };
        if !matches!(peeked, Ok(Ok(1))) {
            return;
        }
        if first[0] <= HIGHEST_LENGTH_BYTE {
            let Ok(_permit) = media.free.try_acquire_owned() else { return };
            tokio::select! {
                ended = media.endpoint.accept_tcp(stream) => if let Err(error) = ended {
                    tracing::debug!(%error, "a TCP connection for media has ended");
                },
                () = stopped(&mut stopping) => {}
            }
            drop(place);
            return;
        }
    }
    let stopping = async move { stopped(&mut stopping).await };
    connection::serve(stream, peer, place, begun, shared.limits, router, stopping).await;
}
