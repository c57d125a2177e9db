//! TCP between peers (RFC 6544): connections that we open, and those that we wait for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rtcast_proto::ice::{FramingKind, StreamFraming, username_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use super::CompanionConfig;
use crate::endpoint::{DETOUR_CAPACITY, Detour, DetouredRun, Endpoint, Entry, ShardHandle, shard_of};

/// Connections of one peer connection; more are turned away.
const MAX_CONNECTIONS: usize = 16;

/// How long opening a connection may take.
const CONNECT: Duration = Duration::from_secs(8);

/// After a failure, how long it takes until the next check may open the connection again.
const AGAIN: Duration = Duration::from_secs(2);

/// Checks come every few seconds; a connection without any is of no use.
const IDLE: Duration = Duration::from_secs(35);

/// How long the first message of a connection may take.
const FIRST: Duration = Duration::from_secs(10);

/// How long a write may wait for the peer to read. The media behind it is worthless by then.
const WRITE: Duration = Duration::from_secs(5);

/// Opens a connection for an active candidate and carries what goes that way.
pub(super) async fn open(
    config: Arc<CompanionConfig>,
    local: SocketAddr,
    remote: SocketAddr,
    outgoing: mpsc::Receiver<DetouredRun>,
) {
    let connecting = async {
        let socket = if local.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(SocketAddr::new(local.ip(), 0))?;
        socket.connect(remote).await
    };
    let result = match timeout(CONNECT, connecting).await {
        Ok(Ok(stream)) => {
            carry(&config, stream, StreamFraming::new(FramingKind::Length), local, remote, outgoing).await
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
    };
    if let Err(error) = result {
        debug!(%error, %remote, "a TCP connection to the peer is no more");
        tokio::time::sleep(AGAIN).await;
    }
    detach(&config, local, remote);
}

/// Waits for connections to passive candidates, until the peer connection ends.
pub(super) async fn listen(config: Arc<CompanionConfig>, listener: std::net::TcpListener) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, remote)) = accepted else {
                    // Too many open files, for one; others may close some.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let Ok(local) = stream.local_addr() else { continue };
                if connections.len() >= MAX_CONNECTIONS {
                    continue;
                }
                let config = Arc::clone(&config);
                connections.spawn(async move {
                    let (carrier, outgoing) = mpsc::channel(DETOUR_CAPACITY);
                    let attached = config.shard.call(
                        config.id,
                        Box::new(move |entry, _| {
                            entry.detours.get_or_insert_default().add(Detour::new(local, Some(remote), carrier));
                        }),
                    );
                    let framing = StreamFraming::new(FramingKind::Length);
                    if attached
                        && let Err(error) = carry(&config, stream, framing, local, remote, outgoing).await
                    {
                        debug!(%error, %remote, "a TCP connection of the peer is no more");
                    }
                    detach(&config, local, remote);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

impl Endpoint {
    /// Carries a TCP connection of a peer to that of this endpoint's connections which its first STUN message names, until
    /// either ends.
    ///
    /// # Errors
    /// What ended it: silence, something that is no STUN in frames (RFC 4571), an unknown name, or the system.
    pub async fn accept_tcp(&self, stream: TcpStream) -> io::Result<()> {
        adopt(self.shard_handles(), stream, self.tcp_base()).await
    }
}

/// Takes a connection of a peer whom its first message names, on behalf of whoever shares a port; `port` stands for TCP in
/// our address. Carries messages both ways until either side ends.
async fn adopt(shards: &[ShardHandle], mut stream: TcpStream, port: u16) -> io::Result<()> {
    let invalid = |problem: &'static str| io::Error::new(io::ErrorKind::InvalidData, problem);
    let local = SocketAddr::new(stream.local_addr()?.ip().to_canonical(), port);
    let remote = stream.peer_addr()?;
    let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
    let mut framing = StreamFraming::new(FramingKind::Length);
    let first = async {
        let mut buffer = [0; 2_048];
        loop {
            let length = stream.read(&mut buffer).await?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if !framing.push(&buffer[..length]) {
                return Err(invalid("the peer does not speak ICE"));
            }
            if let Some(message) = framing.next_message() {
                return Ok(message.to_vec());
            }
        }
    };
    let first = timeout(FIRST, first).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let username = username_of(&first).ok_or_else(|| invalid("the first message is no check of ICE"))?;
    let shard = shard_of(username).and_then(|shard| shards.get(shard));
    let shard = shard.ok_or_else(|| invalid("the first message names nobody here"))?;
    let (carrier, outgoing) = mpsc::channel(DETOUR_CAPACITY);
    let (places, inbound) = oneshot::channel();
    let of_shard = shard.clone();
    let attach = move |entry: &mut Entry, _| {
        let detours = entry.detours.get_or_insert_default();
        // Without its carrier the connection ends at once.
        if !detours.is_full() {
            detours.add(Detour::new(local, Some(remote), carrier));
        }
        // Whoever asked may have stopped waiting.
        let _ = places.send(detours.inbound(&of_shard));
    };
    let id = shard.attach(username.to_owned(), Box::new(attach)).await;
    let (Some(id), Ok(inbound)) = (id, inbound.await) else {
        return Err(invalid("the first message names nobody here"));
    };
    let config = CompanionConfig { id, shard: shard.clone(), servers: Vec::new(), inbound };
    hand_in(&config, remote, local, &first).await;
    let result = carry(&config, stream, framing, local, remote, outgoing).await;
    detach(&config, local, remote);
    result
}

fn detach(config: &CompanionConfig, local: SocketAddr, remote: SocketAddr) {
    config.shard.call(
        config.id,
        Box::new(move |entry, _| {
            if let Some(detours) = &mut entry.detours {
                detours.remove(local, Some(remote));
            }
        }),
    );
}

/// Gives a message to the shard, once there is a place for it. Meanwhile the connection is not read, so that its peer waits
/// and not memory grows.
async fn hand_in(config: &CompanionConfig, remote: SocketAddr, local: SocketAddr, message: &[u8]) {
    if let Some(place) = config.inbound.wait(message.len()).await {
        config.shard.detoured(config.id, remote, local, message, place);
    }
}

/// Carries messages both ways until either side ends.
async fn carry(
    config: &CompanionConfig,
    mut stream: TcpStream,
    mut framing: StreamFraming,
    local: SocketAddr,
    remote: SocketAddr,
    mut outgoing: mpsc::Receiver<DetouredRun>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut buffer, mut out) = (vec![0; 64 * 1024], Vec::new());
    loop {
        while let Some(message) = framing.next_message() {
            hand_in(config, remote, local, message).await;
        }
        tokio::select! {
            read = timeout(IDLE, stream.read(&mut buffer)) => {
                let length = read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
                if length == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                if !framing.push(&buffer[..length]) {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
            run = outgoing.recv() => {
                let Some(run) = run else { return Ok(()) };
                out.clear();
                run.contents.chunks(run.segment_size.max(1)).for_each(|datagram| framing.write(datagram, &mut out));
                timeout(WRITE, stream.write_all(&out)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            }
        }
    }
}
