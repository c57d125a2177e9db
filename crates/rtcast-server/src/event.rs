//! What a server tells about its viewers.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The number of a viewer, counted from 1 as long as the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewerId(pub u64);

impl fmt::Display for ViewerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// How a viewer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signalling {
    /// Over the WebSocket.
    WebSocket,
    /// By WHEP.
    Whep,
}

impl Signalling {
    /// A word for people and programs: `websocket` or `whep`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Whep => "whep",
        }
    }
}

/// Why a viewer is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeaveReason {
    /// It said goodbye: a `bye` on the WebSocket, a DELETE by WHEP, or the close of its connection.
    Bye,
    /// Its connection broke, or was never made.
    Failed,
    /// The server stopped.
    Shutdown,
}

impl LeaveReason {
    /// A word for people and programs: `bye`, `failed` or `shutdown`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bye => "bye",
            Self::Failed => "failed",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Something that happened to a server's viewers.
///
/// ```no_run
/// # async fn log(server: rtcast_server::Server) {
/// use rtcast_server::ServerEvent;
///
/// let mut events = server.events();
/// while let Ok(event) = events.recv().await {
///     match event {
///         ServerEvent::ViewerJoined { viewer, stream, .. } => println!("{viewer} watches {stream}"),
///         ServerEvent::ViewerLeft { viewer, reason, .. } => println!("{viewer} is gone: {}", reason.as_str()),
///         _ => {}
///     }
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ServerEvent {
    /// A viewer's connection stands; pictures flow.
    ViewerJoined {
        /// Which one.
        viewer: ViewerId,
        /// The name of the stream that it watches.
        stream: Arc<str>,
        /// How it came.
        signalling: Signalling,
        /// Where its signalling came from.
        address: SocketAddr,
    },
    /// A viewer's connection failed for a reason that is worth telling, such as a certificate that cannot be used.
    ViewerFailed {
        /// Which one.
        viewer: ViewerId,
        /// The name of the stream that it wanted to watch.
        stream: Arc<str>,
        /// How it came.
        signalling: Signalling,
        /// What happened, why, and what to do.
        reason: String,
    },
    /// A viewer that had joined is gone.
    ViewerLeft {
        /// Which one.
        viewer: ViewerId,
        /// The name of the stream that it watched.
        stream: Arc<str>,
        /// Why.
        reason: LeaveReason,
        /// How long it watched.
        watched: Duration,
    },
}
