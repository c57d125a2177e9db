//! Why a server did not start.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;

use rtcast::Hint;

/// Why a server did not start; the text says what happened and why, [`Hint`] what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address cannot be bound at all, such as one of another machine or a port that needs privileges.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The port and those that follow it are taken, by TCP or by UDP.
    #[error("cannot listen on {address}: this port and the {tried} after it are taken")]
    PortsTaken {
        /// The address asked for.
        address: SocketAddr,
        /// How many further ports were tried.
        tried: u16,
    },
    /// The media endpoint did not start for another reason than a taken port.
    #[error("cannot open UDP port {address} for media: {error}")]
    Endpoint {
        /// The address asked for.
        address: SocketAddr,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// There is no network interface of a name that was asked for.
    #[error("cannot offer media: {0}")]
    Interface(#[source] io::Error),
    /// A stream's name cannot stand in an address.
    #[error("{name:?} cannot name a stream: {reason}")]
    Name {
        /// The name asked for.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A STUN or TURN server cannot be told to viewers.
    #[error("an ICE server cannot be told to viewers: {problem}")]
    IceServer {
        /// What is wrong with it.
        problem: String,
    },
    /// Two streams of one name.
    #[error("there are two streams named {name:?}")]
    DuplicateName {
        /// The name.
        name: String,
    },
}

impl Hint for ServerError {
    /// What a person can do about it; there always is something.
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Bind { .. } => "choose an address of this machine, such as 0.0.0.0, and a port above 1023",
            Self::PortsTaken { .. } => "choose another port, or 0 for any free one",
            Self::Endpoint { .. } => "check that the address is one of this machine's, and how many files may be open",
            Self::Interface(_) => "name one of those, as `ip address` lists them",
            Self::Name { .. } => "use letters, digits, '-', '_' and '.', at most 64 of them",
            Self::IceServer { .. } => "give stun:host[:port], or turn:host[:port] with a user name and a password",
            Self::DuplicateName { .. } => "give each stream a name of its own",
        };
        Some(hint.into())
    }
}
