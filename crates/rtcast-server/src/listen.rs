//! One port for HTTP by TCP and for media by UDP, and if asked for by TCP as well, and a bound on connections.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rtcast::{Endpoint, EndpointConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ServerError;

/// How many ports after the one asked for are tried.
const FURTHER_PORTS: u16 = 100;
/// How many TCP connections may be open; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 16_384;
/// How many of them may carry media; further ones are closed.
const MEDIA_CONNECTIONS: usize = 4_096;
/// How long to wait when the process has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the TCP and the UDP port of one number: the one asked for, else the next that is free for both. `media` says how
/// the UDP port works.
pub(crate) async fn listen(
    address: SocketAddr,
    media: &EndpointConfig,
) -> Result<(TcpListener, Endpoint), ServerError> {
    for step in 0..=FURTHER_PORTS {
        let mut attempt = address;
        if address.port() != 0 {
            let Some(port) = address.port().checked_add(step) else { break };
            attempt.set_port(port);
        }
        let listener = match TcpListener::bind(attempt).await {
            Ok(listener) => listener,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => continue,
            Err(error) => return Err(ServerError::Bind { address: attempt, error }),
        };
        let local = listener.local_addr().map_err(|error| ServerError::Bind { address: attempt, error })?;
        match Endpoint::bind(EndpointConfig { address: local, ..media.clone() }) {
            Ok(endpoint) => return Ok((listener, endpoint)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ServerError::Interface(error)),
            Err(error) => return Err(ServerError::Endpoint { address: local, error }),
        }
    }
    Err(ServerError::PortsTaken { address, tried: FURTHER_PORTS })
}

/// A listener that holds at most [`CONNECTIONS`] connections open.
pub(crate) struct BoundedListener {
    listener: TcpListener,
    free: Arc<Semaphore>,
    media: Option<MediaConnections>,
}

/// Where connections go that carry media instead of HTTP.
#[derive(Clone)]
struct MediaConnections {
    endpoint: Endpoint,
    free: Arc<Semaphore>,
}

impl BoundedListener {
    /// With an endpoint, connections that begin as those of ICE do are its own.
    pub(crate) fn new(listener: TcpListener, media: Option<Endpoint>) -> Self {
        let media =
            media.map(|endpoint| MediaConnections { endpoint, free: Arc::new(Semaphore::new(MEDIA_CONNECTIONS)) });
        Self { listener, free: Arc::new(Semaphore::new(CONNECTIONS)), media }
    }
}

impl Listener for BoundedListener {
    type Io = BoundedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok(permit) = self.free.clone().acquire_owned().await else {
                // The semaphore is never closed.
                std::future::pending().await
            };
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "a connection keeps Nagle's delay");
                    }
                    let stream = Some((stream, permit));
                    return (BoundedStream { stream, media: self.media.clone() }, address);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that gives its place back when it is dropped, or when it turns out to carry media.
pub(crate) struct BoundedStream {
    /// `None` once it belongs to somebody else; for HTTP it has ended then.
    stream: Option<(TcpStream, OwnedSemaphorePermit)>,
    /// As long as nothing was read.
    media: Option<MediaConnections>,
}

impl BoundedStream {
    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(|(stream, _)| Pin::new(stream)).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    /// Looks at the first byte and hands the connection over if it is none of HTTP's: a message of ICE stands behind its
    /// length (RFC 4571 §2), and none has 1,536 bytes.
    fn poll_kind(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        const HIGHEST_LENGTH_BYTE: u8 = 5;
        let (Some(media), Some((stream, _))) = (&self.media, &self.stream) else { return Poll::Ready(Ok(())) };
        let mut first = [0];
        let mut peeked = ReadBuf::new(&mut first);
        std::task::ready!(stream.poll_peek(cx, &mut peeked))?;
        let carries_media = peeked.filled().first().is_some_and(|first| *first <= HIGHEST_LENGTH_BYTE);
        let media = media.clone();
        self.media = None;
        if carries_media
            && let Some((stream, _)) = self.stream.take()
            && let Ok(permit) = media.free.try_acquire_owned()
        {
            tokio::spawn(async move {
                let _permit = permit;
                if let Err(error) = media.endpoint.accept_tcp(stream).await {
                    tracing::debug!(%error, "a TCP connection for media has ended");
                }
            });
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_kind(cx))?;
        match self.stream() {
            Ok(stream) => stream.poll_read(cx, buffer),
            Err(_) => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(|(stream, _)| stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stream() {
            Ok(stream) => stream.poll_flush(cx),
            Err(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stream() {
            Ok(stream) => stream.poll_shutdown(cx),
            Err(_) => Poll::Ready(Ok(())),
        }
    }
}

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientAddress(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, BoundedListener>> for ClientAddress {
    fn connect_info(stream: IncomingStream<'_, BoundedListener>) -> Self {
        Self(*stream.remote_addr())
    }
}
