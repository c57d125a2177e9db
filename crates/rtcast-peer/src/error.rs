//! What can go wrong with a peer connection.

use std::borrow::Cow;
use std::io;

use rtcast_proto::connection::DtmfError;
use rtcast_proto::data_channel::DataChannelError;
use rtcast_proto::dtls::CertificateError;
use rtcast_proto::ice::IceServerError;
use rtcast_proto::{DescriptionError, Hint};

/// An error of a peer connection. [`name`](Self::name) is the W3C's name of the exception, [`Hint`] tells what to do.
///
/// ```
/// use rtcast_peer::{Configuration, Hint, IceServer, PeerConnection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut configuration = Configuration::default();
/// configuration.ice_servers.push(IceServer::stun("http://example.org"));
/// if let Err(error) = PeerConnection::new(configuration).await {
///     assert_eq!(error.name(), "SyntaxError");
///     eprintln!("{}; {}", error.problem(), error.hint().unwrap_or_default());
/// }
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A description or candidate was refused, or the call does not fit the state. Nothing has changed.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// A data channel could not be made, or a message not be sent.
    #[error(transparent)]
    DataChannel(#[from] DataChannelError),
    /// Tones cannot be sent.
    #[error(transparent)]
    Dtmf(#[from] DtmfError),
    /// The connection is closed.
    #[error("the peer connection is closed; make a new one")]
    Closed,
    /// The track or transceiver belongs to another connection or is gone.
    #[error("{what} is not part of this connection; use one that it returned")]
    NotFound {
        /// What was looked for.
        what: &'static str,
    },
    /// An argument is of the wrong kind.
    #[error("{problem}; {hint}")]
    Type {
        /// What is wrong with it.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// What is asked for is not to be had.
    #[error("{problem}; {hint}")]
    InvalidAccess {
        /// What is wrong with it.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// The configuration cannot be changed so.
    #[error("{problem}; {hint}")]
    InvalidModification {
        /// What was changed.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// The operating system refused a socket or a thread.
    #[error("cannot open the media socket: {0}; check the address and whether the port is free")]
    Io(#[from] io::Error),
    /// A STUN or TURN server was configured wrongly.
    #[error(transparent)]
    IceServer(#[from] IceServerError),
    /// No certificate could be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl Error {
    /// The W3C's name of the exception, such as `InvalidStateError`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Description(error) => error.name(),
            Self::DataChannel(error) => error.name(),
            Self::Dtmf(error) => error.name(),
            Self::IceServer(error) => error.name(),
            Self::Closed => "InvalidStateError",
            Self::Type { .. } => "TypeError",
            Self::NotFound { .. } | Self::InvalidAccess { .. } => "InvalidAccessError",
            Self::InvalidModification { .. } => "InvalidModificationError",
            Self::Io(_) | Self::Certificate(_) => "OperationError",
        }
    }
}

impl Hint for Error {
    fn problem(&self) -> String {
        match self {
            Self::Description(error) => error.problem(),
            Self::DataChannel(error) => error.problem(),
            Self::Dtmf(error) => error.problem(),
            Self::IceServer(error) => error.problem(),
            Self::Type { problem, .. }
            | Self::InvalidAccess { problem, .. }
            | Self::InvalidModification { problem, .. } => problem.clone(),
            Self::Closed | Self::NotFound { .. } | Self::Io(_) | Self::Certificate(_) => self.to_string(),
        }
    }

    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Description(error) => error.hint(),
            Self::DataChannel(error) => error.hint(),
            Self::Dtmf(error) => error.hint(),
            Self::IceServer(error) => error.hint(),
            Self::Type { hint, .. } | Self::InvalidAccess { hint, .. } | Self::InvalidModification { hint, .. } => {
                Some(Cow::Borrowed(hint))
            }
            Self::Closed | Self::NotFound { .. } | Self::Io(_) | Self::Certificate(_) => None,
        }
    }
}
