//! One HTTP connection and the time that its client may take.
//!
//! A client that sends or reads slowly, or nothing at all, holds a connection and what it has said so far. Everything that
//! changes how a connection stands happens while its task polls it, so the deadline is looked at after each poll.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service as _;

use crate::client::Peer;
use crate::quota::Place;
use crate::time::TimeLimits;

/// From the head of a request to its response; whoever waits within has shorter limits.
const RESPONSE_LIMIT: Duration = Duration::from_secs(60);
/// The longest head that is read, and what a connection may have unread.
const HEAD_SIZE: usize = 16 * 1024;
const HEAD_FIELDS: usize = 100;

/// Serves a connection until either side ends it, its time is up, or the server stops. A WebSocket that it became goes on.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: Peer,
    place: Place,
    begun: Instant,
    limits: TimeLimits,
    router: Router,
    stopping: impl Future<Output = ()>,
) {
    let timing = Timing::new(begun, limits);
    let io = TokioIo::new(TimedStream { stream, timing: timing.clone(), _place: place });
    let service = service_fn({
        let timing = timing.clone();
        move |mut request: Request<Incoming>| {
            timing.set(Phase::Answering, RESPONSE_LIMIT);
            request.extensions_mut().insert(peer);
            let response = router.clone().call(request);
            let timing = timing.clone();
            async move {
                let response = response.await.unwrap_or_else(|never: Infallible| match never {});
                timing.set(Phase::Responding { written: false }, timing.limits.response);
                Ok::<_, Infallible>(response.map(|body| TimedBody { body, timing }))
            }
        }
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None::<Duration>)
        .half_close(true)
        .max_buf_size(HEAD_SIZE)
        .max_headers(HEAD_FIELDS)
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let mut stopping = std::pin::pin!(stopping);
    let mut stopped = false;
    let mut sleep: Pin<&mut Sleep> = std::pin::pin!(sleep_until(timing.deadline()));
    std::future::poll_fn(|cx| {
        if !stopped && stopping.as_mut().poll(cx).is_ready() {
            stopped = true;
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(result) = connection.as_mut().poll(cx) {
            if let Err(error) = result {
                tracing::debug!(%error, "an HTTP connection has ended");
            }
            return Poll::Ready(());
        }
        let deadline = timing.deadline();
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        ready!(sleep.as_mut().poll(cx));
        tracing::debug!(client = %peer.0, "an HTTP connection took too long");
        Poll::Ready(())
    })
    .await;
}

/// What a connection is doing, and until when it may.
#[derive(Debug, Clone)]
struct Timing {
    state: Arc<Mutex<(Phase, Instant)>>,
    limits: TimeLimits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has come since the last response.
    Idle,
    /// A head has begun, or the connection is new.
    Head,
    /// The server has a request to answer.
    Answering,
    /// The client has a response to read; whether hyper has taken all of it.
    Responding { written: bool },
}

impl Timing {
    fn new(begun: Instant, limits: TimeLimits) -> Self {
        Self { state: Arc::new(Mutex::new((Phase::Head, begun + limits.head))), limits }
    }

    fn state(&self) -> MutexGuard<'_, (Phase, Instant)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deadline(&self) -> Instant {
        self.state().1
    }

    fn set(&self, phase: Phase, limit: Duration) {
        *self.state() = (phase, Instant::now() + limit);
    }

    /// Goes on from one phase to the next; what comes at another time changes nothing.
    fn advance(&self, from: Phase, to: Phase, limit: Duration) {
        let mut state = self.state();
        if state.0 == from {
            *state = (to, Instant::now() + limit);
        }
    }
}

/// A response's body that says when it is written.
struct TimedBody {
    body: Body,
    timing: Timing,
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TimedBody {
    fn drop(&mut self) {
        let limit = self.timing.limits.response;
        self.timing.advance(Phase::Responding { written: false }, Phase::Responding { written: true }, limit);
    }
}

/// A stream that notes when a request begins and when a response has left.
struct TimedStream {
    stream: TcpStream,
    timing: Timing,
    _place: Place,
}

impl AsyncRead for TimedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.timing.advance(Phase::Idle, Phase::Head, self.timing.limits.head);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.timing.advance(Phase::Responding { written: true }, Phase::Idle, self.timing.limits.idle);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
