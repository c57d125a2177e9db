//! Signalling over the WebSocket `/{name}/ws`.

use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{self, CloseFrame, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rtcast::signaling::{Message, MessageError, RemoteError};
use rtcast::{IceCandidate, PeerConnection};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::client::Client;
use crate::event::{LeaveReason, Signalling};
use crate::message_pace::MessagePace;
use crate::negotiation::{accept, add_candidate, answer, offer};
use crate::problem::Problem;
use crate::router::ForwardedPlace;
use crate::state::{ServerState, stopped};
use crate::viewer::{Happening, Viewer};

/// The longest message that is read; a browser's offer has about 10 kB.
const MESSAGE_LIMIT: usize = 64 * 1024;
/// The longest message that is received in order to be refused in words; a longer one ends the WebSocket.
const RECEIVE_LIMIT: usize = 128 * 1024;
/// What is taken from the kernel at a time, which each WebSocket has memory for.
const READ_BUFFER: usize = 8 * 1024;
/// Candidates that may come before the offer that they belong to.
const EARLY_CANDIDATES: usize = 50;
/// How often the viewer is pinged, and after what silence it is given up.
const PING_EVERY: Duration = Duration::from_secs(15);
const SILENCE_LIMIT: Duration = Duration::from_secs(45);
/// How long the viewer may leave what we send unread.
const SEND_LIMIT: Duration = Duration::from_secs(5);
/// After so many mistakes the WebSocket is closed.
const MISTAKES: u32 = 20;
/// How long the viewer may take to answer the close of the WebSocket.
const CLOSE_LIMIT: Duration = Duration::from_millis(250);

/// Makes the WebSocket of a request.
pub(crate) async fn upgrade(
    State(shared): State<Arc<ServerState>>,
    Path(name): Path<String>,
    Extension(client): Extension<Client>,
    Extension(place): Extension<ForwardedPlace>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            return Problem::new(StatusCode::UPGRADE_REQUIRED, format!("this is a WebSocket: {rejection}"))
                .hint("connect with a WebSocket client, or use WHEP")
                .header("upgrade", "websocket")
                .into_response();
        }
    };
    // A browser hides the response to a refused upgrade from its page, so an unknown stream is told of inside.
    upgrade.read_buffer_size(READ_BUFFER).max_message_size(RECEIVE_LIMIT).max_frame_size(RECEIVE_LIMIT).on_upgrade(
        move |socket| async move {
            let early = Vec::new();
            Conversation { shared, name, client, socket, viewer: None, early, mistakes: 0 }.run().await;
            drop(place);
        },
    )
}

/// One WebSocket and the viewer at its other end.
struct Conversation {
    shared: Arc<ServerState>,
    name: String,
    client: Client,
    socket: WebSocket,
    viewer: Option<Viewer>,
    /// Candidates that came before the offer, at most [`EARLY_CANDIDATES`].
    early: Vec<IceCandidate>,
    mistakes: u32,
}

/// Why the conversation is over, and how the WebSocket is closed.
struct End {
    reason: LeaveReason,
    code: u16,
    words: &'static str,
}

impl End {
    const fn new(reason: LeaveReason, code: u16, words: &'static str) -> Self {
        Self { reason, code, words }
    }
}

impl Conversation {
    async fn run(mut self) {
        let end = self.converse().await;
        let close = ws::Message::Close(Some(CloseFrame { code: end.code, reason: end.words.into() }));
        let viewer = self.viewer.take();
        let socket = &mut self.socket;
        // RFC 6455 §7.1.1: the server closes TCP once the closing handshake is done. What the viewer still sends is read,
        // for the kernel would answer unread bytes with a reset, which may overtake the goodbye.
        let closed = timeout(CLOSE_LIMIT, async {
            if socket.send(close).await.is_ok() {
                while let Some(Ok(_)) = socket.recv().await {}
            }
        });
        let left = async {
            match viewer {
                Some(viewer) => Some(viewer.leave(end.reason).await),
                None => None,
            }
        };
        // The place is given back last, so that a server that stops waits for the handshake, too.
        let (_, _place) = tokio::join!(closed, left);
    }

    async fn converse(&mut self) -> End {
        if self.shared.stream(&self.name).is_none() {
            let message = format!("there is no stream named {:?}", self.name);
            let error = RemoteError::new("NotFoundError", message, "/api/streams lists the streams");
            let _ = self.send(Message::Error { error }).await;
            return End::new(LeaveReason::Failed, close_code::POLICY, "no such stream");
        }
        let mut stopping = self.shared.stopping.subscribe();
        let mut ping = interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let useless = heard + self.shared.limits.viewer;
        let mut pace = MessagePace::new(heard);
        loop {
            // Who sends more than that is not read for a while, and is held up by TCP.
            let ready = pace.ready_at();
            let wait = Instant::now() < ready;
            let step = tokio::select! {
                () = sleep_until(ready), if wait => Ok(()),
                message = self.socket.recv(), if !wait => {
                    heard = Instant::now();
                    pace.count(heard);
                    match message {
                        Some(Ok(message)) => self.receive(message).await,
                        Some(Err(error)) => {
                            let message = format!("the message cannot be read: {error}");
                            let hint = format!("send messages of at most {MESSAGE_LIMIT} bytes");
                            let _ = self.send(Message::Error { error: RemoteError::new("DataError", message, hint) }).await;
                            Err(End::new(LeaveReason::Bye, close_code::POLICY, "unreadable"))
                        }
                        None => Err(End::new(LeaveReason::Bye, close_code::NORMAL, "")),
                    }
                }
                happening = next(&mut self.viewer) => self.happened(happening).await,
                _ = ping.tick() => {
                    if heard.elapsed() > SILENCE_LIMIT {
                        Err(End::new(LeaveReason::Failed, close_code::AWAY, "silent for too long"))
                    } else {
                        self.deliver(ws::Message::Ping(Default::default())).await
                    }
                }
                () = sleep_until(useless), if self.viewer.is_none() => {
                    Err(End::new(LeaveReason::Failed, close_code::AWAY, "no offer for too long"))
                }
                () = stopped(&mut stopping) => {
                    let _ = timeout(Duration::from_millis(100), self.send(Message::Bye)).await;
                    Err(End::new(LeaveReason::Shutdown, close_code::AWAY, "the server stops"))
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn receive(&mut self, message: ws::Message) -> Result<(), End> {
        let text = match message {
            ws::Message::Text(text) => text,
            ws::Message::Binary(_) => {
                let hint = r#"send JSON in a text message, such as {"type":"request"}"#;
                return self.mistake(RemoteError::new("TypeError", "the message is binary", hint)).await;
            }
            ws::Message::Close(_) => return Err(End::new(LeaveReason::Bye, close_code::NORMAL, "")),
            ws::Message::Ping(_) | ws::Message::Pong(_) => return Ok(()),
        };
        if text.len() > MESSAGE_LIMIT {
            let message = format!("the message has {} bytes, the limit is {MESSAGE_LIMIT}", text.len());
            return self.mistake(RemoteError::new("DataError", message, "offer fewer m-lines or codecs")).await;
        }
        let result = match Message::from_json(&text) {
            Ok(message) => self.act(message).await,
            Err(error) => Err(Failure::Mistake(error.into())),
        };
        match result {
            Ok(()) => Ok(()),
            Err(Failure::Mistake(error)) => self.mistake(error).await,
            Err(Failure::End(end)) => Err(end),
        }
    }

    async fn act(&mut self, message: Message) -> Result<(), Failure> {
        match message {
            Message::Offer { sdp } => {
                let sdp = match &self.viewer {
                    Some(viewer) => {
                        let connection = viewer.connection.clone();
                        answer(&self.shared, &connection, sdp).await?
                    }
                    // A viewer whose first offer is refused is none, and may try again.
                    None => {
                        let viewer = self.admit().await?;
                        let connection = viewer.connection.clone();
                        let sdp = answer(&self.shared, &connection, sdp).await?;
                        self.viewer = Some(viewer);
                        sdp
                    }
                };
                self.take_early_candidates().await;
                self.send(Message::Answer { sdp }).await?;
            }
            Message::Request => {
                if self.viewer.is_none() {
                    self.viewer = Some(self.admit().await?);
                }
                let sdp = offer(&self.connection("request")?).await?;
                self.send(Message::Offer { sdp }).await?;
            }
            Message::Answer { sdp } => {
                accept(&self.shared, &self.connection("answer")?, sdp).await?;
                self.take_early_candidates().await;
            }
            Message::Candidate(candidate) => match &self.viewer {
                Some(viewer) if viewer.connection.remote_description().is_some() => {
                    add_candidate(&viewer.connection.clone(), candidate).await?;
                }
                // Some clients tell candidates as they find them, and the offer when it is made.
                _ if self.early.len() < EARLY_CANDIDATES => self.early.push(candidate),
                _ => {
                    let message = format!("there are {EARLY_CANDIDATES} candidates, but no description yet");
                    let hint = r#"send {"type":"offer","sdp":…} first"#;
                    return Err(RemoteError::new("InvalidStateError", message, hint).into());
                }
            },
            Message::Bye => return Err(Failure::End(End::new(LeaveReason::Bye, close_code::NORMAL, "bye"))),
            Message::Error { error } => {
                let short = |text: &str| text.chars().take(200).collect::<String>();
                let (name, message) = (short(&error.name), short(&error.message));
                tracing::info!(name, message, "a viewer reports an error");
            }
            other => return Err(RemoteError::from(MessageError::unknown(other.kind())).into()),
        }
        Ok(())
    }

    async fn admit(&mut self) -> Result<Viewer, RemoteError> {
        let ticket = self.shared.admit(self.client)?;
        Viewer::admit(&self.shared, &self.name, Signalling::WebSocket, self.client, ticket).await
    }

    /// Takes the candidates that came before their description. One that does not fit it is of no use, but no mistake: it
    /// may belong to a description that was refused.
    async fn take_early_candidates(&mut self) {
        let Some(connection) = self.viewer.as_ref().map(|viewer| viewer.connection.clone()) else { return };
        for candidate in take(&mut self.early) {
            if let Err(error) = add_candidate(&connection, candidate).await {
                tracing::debug!(name = error.name, message = error.message, "an early candidate was left out");
            }
        }
    }

    fn connection(&self, message: &str) -> Result<PeerConnection, RemoteError> {
        self.viewer.as_ref().map(|viewer| viewer.connection.clone()).ok_or_else(|| {
            let hint = r#"send {"type":"offer","sdp":…} or {"type":"request"} first"#;
            RemoteError::new("InvalidStateError", format!("there is no connection yet for this {message}"), hint)
        })
    }

    async fn happened(&mut self, happening: Happening) -> Result<(), End> {
        match happening {
            Happening::Candidate(candidate) => {
                // Our fragment goes without saying: it stands in the description, and there is one.
                let candidate = IceCandidate { username_fragment: None, ..candidate.unwrap_or_default() };
                self.send(Message::Candidate(candidate)).await
            }
            Happening::Refused(error) => {
                self.send(Message::Error { error }).await?;
                self.send(Message::Bye).await?;
                Err(End::new(LeaveReason::Failed, close_code::AGAIN, "full"))
            }
            Happening::Ended(reason) => {
                if reason == LeaveReason::Failed {
                    let error = match self.viewer.as_ref().and_then(Viewer::failure) {
                        Some(reason) => {
                            let hint = "UDP passes; see what the message says of the two ends";
                            RemoteError::new("NetworkError", format!("the connection failed: {reason}"), hint)
                        }
                        None => {
                            let hint = "check that UDP passes between here and there, and connect again";
                            RemoteError::new("NetworkError", "the connection failed", hint)
                        }
                    };
                    self.send(Message::Error { error }).await?;
                }
                self.send(Message::Bye).await?;
                Err(End::new(reason, close_code::NORMAL, "bye"))
            }
        }
    }

    /// Tells of a mistake; the WebSocket stays open, unless there were too many.
    async fn mistake(&mut self, error: RemoteError) -> Result<(), End> {
        tracing::debug!(name = error.name, message = error.message, "a viewer was refused something");
        self.send(Message::Error { error }).await?;
        self.mistakes += 1;
        if self.mistakes >= MISTAKES {
            return Err(End::new(LeaveReason::Failed, close_code::POLICY, "too many mistakes"));
        }
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        self.deliver(ws::Message::Text(message.to_json().into())).await
    }

    async fn deliver(&mut self, message: ws::Message) -> Result<(), End> {
        match timeout(SEND_LIMIT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::new(LeaveReason::Bye, close_code::NORMAL, "")),
            Err(_) => Err(End::new(LeaveReason::Failed, close_code::AWAY, "unread for too long")),
        }
    }
}

/// What stops the handling of a message: a mistake of the viewer, or the end.
enum Failure {
    Mistake(RemoteError),
    End(End),
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        Self::Mistake(error)
    }
}

impl From<End> for Failure {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

/// What the viewer's connection has to say; never, while there is none.
async fn next(viewer: &mut Option<Viewer>) -> Happening {
    match viewer {
        Some(viewer) => viewer.next().await,
        None => std::future::pending().await,
    }
}
