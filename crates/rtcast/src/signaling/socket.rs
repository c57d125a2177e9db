//! The WebSocket that carries the messages.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rtcast_peer::{DescriptionError, Error, PeerConnection, SdpType, ToJson};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::{Message, MessageError, RemoteError};

/// Longer messages are refused; a description of a hundred m-lines is shorter.
const MAX_MESSAGE: usize = 256 * 1024;

/// How long the other side may take for its part of the exchange.
const PATIENCE: Duration = Duration::from_secs(15);

/// What can go wrong with signalling.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignalingError {
    /// The socket could not be opened, or failed.
    #[error("the signalling WebSocket failed: {0}; check the address and whether the other side is there")]
    Socket(#[source] Box<tungstenite::Error>),
    /// The other side closed the socket before the exchange was complete.
    #[error("the other side closed the signalling WebSocket before the exchange was complete")]
    Closed,
    /// The other side did not do its part in time.
    #[error("the other side sent no {expected} within {} s", PATIENCE.as_secs())]
    TimedOut {
        /// What was waited for.
        expected: &'static str,
    },
    /// A message is none of the protocol.
    #[error("a signalling message was not understood: {problem}")]
    Message {
        /// What is wrong with it.
        problem: String,
    },
    /// A description or candidate of the other side is wrong.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// The peer connection refused.
    #[error(transparent)]
    Connection(#[from] Error),
    /// The other side refused.
    #[error("the other side refused: {0}")]
    Refused(RemoteError),
}

impl From<MessageError> for SignalingError {
    fn from(error: MessageError) -> Self {
        Self::Message { problem: error.to_string() }
    }
}

impl From<tungstenite::Error> for SignalingError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => Self::Closed,
            error => Self::Socket(Box::new(error)),
        }
    }
}

/// A WebSocket that speaks the protocol, on either side of it.
///
/// Two connections of one program, which agree over a socket between them:
///
/// ```
/// use rtcast::prelude::*;
/// use rtcast::signaling::{Signaling, SignalingError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let url = format!("ws://{}", listener.local_addr()?);
/// let caller = PeerConnection::new(Configuration::default()).await?;
/// let callee = PeerConnection::new(Configuration::default()).await?;
/// caller.create_data_channel("chat", Default::default()).await?;
///
/// let offering = async { Signaling::connect(&url).await?.offer(&caller).await };
/// let answering = async {
///     let (stream, _) = listener.accept().await.map_err(|_| SignalingError::Closed)?;
///     Signaling::accept(stream).await?.answer(&callee).await
/// };
/// tokio::try_join!(offering, answering)?;
/// assert_eq!(caller.remote_description().map(|answer| answer.sdp_type().as_str()), Some("answer"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Signaling {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Signaling {
    /// Opens a socket to a server, such as `ws://localhost:8080/foo/ws`.
    ///
    /// # Errors
    /// [`SignalingError::Socket`] if nobody answers there or it is no WebSocket.
    pub async fn connect(url: &str) -> Result<Self, SignalingError> {
        let (socket, _) = tokio_tungstenite::connect_async_with_config(url, Some(limits()), true).await?;
        Ok(Self { socket })
    }

    /// Takes a socket that a client opened.
    ///
    /// # Errors
    /// [`SignalingError::Socket`] if the client does not open a WebSocket.
    pub async fn accept(stream: TcpStream) -> Result<Self, SignalingError> {
        let stream = MaybeTlsStream::Plain(stream);
        let socket = tokio_tungstenite::accept_async_with_config(stream, Some(limits())).await?;
        Ok(Self { socket })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`SignalingError::Closed`] or [`SignalingError::Socket`] if the other side is gone.
    pub async fn send(&mut self, message: &Message) -> Result<(), SignalingError> {
        Ok(self.socket.send(tungstenite::Message::text(message.to_json())).await?)
    }

    /// The next message; `None` when the other side has closed the socket.
    ///
    /// # Errors
    /// [`SignalingError::Message`] for a message that is wrong; the socket goes on.
    pub async fn recv(&mut self) -> Result<Option<Message>, SignalingError> {
        loop {
            match self.socket.next().await.transpose() {
                Ok(Some(tungstenite::Message::Text(text))) => return Ok(Some(Message::from_json(&text)?)),
                Ok(Some(tungstenite::Message::Binary(_))) => {
                    let problem = "it is binary; messages are text".to_owned();
                    return Err(SignalingError::Message { problem });
                }
                Ok(Some(tungstenite::Message::Close(_)) | None) => return Ok(None),
                Ok(Some(_)) => {}
                Err(error) => match SignalingError::from(error) {
                    SignalingError::Closed => return Ok(None),
                    error => return Err(error),
                },
            }
        }
    }

    /// Offers what the connection has to send and receive, and takes the answer.
    ///
    /// # Errors
    /// Whatever either side refuses.
    pub async fn offer(&mut self, connection: &PeerConnection) -> Result<(), SignalingError> {
        connection.set_local_description(None).await?;
        self.send_text(connection.local_description().to_json()).await?;
        self.take(connection, SdpType::Answer, "answer").await
    }

    /// Waits for the other side's offer and answers it.
    ///
    /// # Errors
    /// Whatever either side refuses; the other side is told what is refused here.
    pub async fn answer(&mut self, connection: &PeerConnection) -> Result<(), SignalingError> {
        self.take(connection, SdpType::Offer, "offer").await?;
        connection.set_local_description(None).await?;
        self.send_text(connection.local_description().to_json()).await
    }

    /// Asks the other side to offer, and answers it.
    ///
    /// # Errors
    /// Whatever either side refuses.
    pub async fn request(&mut self, connection: &PeerConnection) -> Result<(), SignalingError> {
        self.send(&Message::Request).await?;
        self.answer(connection).await
    }

    /// Passes the other side's candidates on to the connection until it says goodbye or closes the socket.
    ///
    /// A viewer, which asks a server for its stream and watches until that ends:
    ///
    /// ```no_run
    /// # async fn watch() -> Result<(), Box<dyn std::error::Error>> {
    /// use rtcast::prelude::*;
    /// use rtcast::signaling::Signaling;
    ///
    /// let pc = PeerConnection::new(Configuration::default()).await?;
    /// pc.on_track(|event| println!("{} comes", event.track.kind()));
    /// let mut signaling = Signaling::connect("ws://localhost:8080/film/ws").await?;
    /// signaling.request(&pc).await?;
    /// signaling.follow(&pc).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SignalingError::Socket`] if the socket fails, [`SignalingError::Refused`] if the other side reports an error.
    pub async fn follow(&mut self, connection: &PeerConnection) -> Result<(), SignalingError> {
        loop {
            match self.recv().await? {
                Some(Message::Candidate(candidate)) => connection.add_ice_candidate(candidate).await?,
                Some(Message::Error { error }) => return Err(SignalingError::Refused(error)),
                Some(Message::Bye) | None => return Ok(()),
                Some(_) => {}
            }
        }
    }

    /// Says goodbye and closes the socket.
    pub async fn close(mut self) {
        // The other side may be gone already, which is what this is for.
        let _ = self.send(&Message::Bye).await;
        let _ = self.socket.close(None).await;
    }

    async fn send_text(&mut self, text: String) -> Result<(), SignalingError> {
        Ok(self.socket.send(tungstenite::Message::text(text)).await?)
    }

    /// Takes candidates until the description comes, and sets it.
    async fn take(
        &mut self,
        connection: &PeerConnection,
        sdp_type: SdpType,
        expected: &'static str,
    ) -> Result<(), SignalingError> {
        let mut early = Vec::new();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let received = tokio::time::timeout_at(deadline, self.recv()).await;
            let Some(message) = received.map_err(|_| SignalingError::TimedOut { expected })?? else {
                return Err(SignalingError::Closed);
            };
            if let Some(description) = message.description()? {
                if description.sdp_type() != sdp_type {
                    continue;
                }
                if let Err(error) = connection.set_remote_description(description).await {
                    self.send(&Message::Error { error: RemoteError::from(&error) }).await?;
                    return Err(error.into());
                }
                break;
            }
            match message {
                // Candidates may overtake their description where several tasks send; a few are kept.
                Message::Candidate(candidate) if early.len() < 64 => early.push(candidate),
                Message::Error { error } => return Err(SignalingError::Refused(error)),
                Message::Bye => return Err(SignalingError::Closed),
                _ => {}
            }
        }
        for candidate in early {
            connection.add_ice_candidate(candidate).await?;
        }
        Ok(())
    }
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE))
}
