//! Perfect negotiation (W3C webrtc-pc §10.7) with a peer that renegotiates as well: both sides add, remove, replace, turn
//! and stop what they send, and restart ICE, whenever they like.
//!
//! `cargo run --example renegotiate -- polite|impolite [SECONDS] [SEED]` waits for the peer's WebSocket and renegotiates at
//! random for so many seconds; then it sends on the first m-line and is quiet. For each line on its standard input it prints
//! a line of JSON: what is agreed on, and what has come. It ends when the peer says goodbye.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rtcast::media::pattern::PatternOptions;
use rtcast::prelude::*;
use rtcast::signaling::{Message, Signaling};
use rtcast::{Direction, PeerConnectionState, SdpType, SignalingState};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let polite = match arguments.next().as_deref() {
        Some("polite") => true,
        Some("impolite") => false,
        _ => return Err("usage: renegotiate polite|impolite [SECONDS] [SEED]".into()),
    };
    let seconds: u64 = arguments.next().map_or(Ok(20), |seconds| seconds.parse())?;
    let seed: u64 = arguments.next().map_or(Ok(1), |seed| seed.parse())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ws://{}", listener.local_addr()?);
    let (stream, _) = listener.accept().await?;
    let websocket = Signaling::accept(stream).await?;
    let player = MediaPlayer::test_pattern(PatternOptions::default())?;
    let call = Call {
        pc: PeerConnection::new(Configuration::default()).await?,
        websocket,
        pattern: player.video()?,
        polite,
        dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        offers: 0,
        collisions: 0,
        ignoring: false,
        frames: Arc::default(),
    };
    call.run(Instant::now() + Duration::from_secs(seconds)).await
}

struct Call {
    pc: PeerConnection,
    websocket: Signaling,
    pattern: MediaStreamTrack,
    polite: bool,
    dice: u64,
    offers: u32,
    collisions: u32,
    ignoring: bool,
    /// The frames that came on each m-line.
    frames: Arc<Mutex<HashMap<String, u64>>>,
}

impl Call {
    async fn run(mut self, quiet_from: Instant) -> Result<(), Failure> {
        let mut questions = BufReader::new(tokio::io::stdin()).lines();
        let mut events = self.pc.events();
        self.pc.add_track(self.another_track()).await?;
        let mut deeds = tokio::time::interval(Duration::from_millis(150));
        let mut quiet = false;
        loop {
            tokio::select! {
                // The candidates of an offer go out before what takes it back is read.
                biased;
                Some(event) = events.recv() => self.handle(event).await?,
                message = self.websocket.recv() => match message? {
                    Some(Message::Candidate(candidate)) => match self.pc.add_ice_candidate(candidate).await {
                        // Candidates of an offer that was ignored fit nothing.
                        Err(error) if !self.ignoring => return Err(error.into()),
                        _ => {}
                    },
                    Some(Message::Bye) | None => break,
                    Some(message) => {
                        if let Some(description) = message.description()? {
                            self.take(description).await?;
                        }
                    }
                },
                Ok(Some(_)) = questions.next_line() => println!("{}", self.summary(quiet)),
                _ = deeds.tick(), if !quiet => {
                    if Instant::now() >= quiet_from {
                        self.settle().await?;
                        quiet = true;
                    } else if self.pc.connection_state() == PeerConnectionState::Connected {
                        self.renegotiate().await?;
                    }
                }
            }
        }
        self.pc.close().await;
        Ok(())
    }

    async fn handle(&mut self, event: PeerConnectionEvent) -> Result<(), Failure> {
        match event {
            PeerConnectionEvent::NegotiationNeeded if self.pc.signaling_state() == SignalingState::Stable => {
                self.pc.set_local_description(None).await?;
                self.offers += 1;
                self.tell().await?;
            }
            PeerConnectionEvent::IceCandidate(Some(candidate)) => {
                self.websocket.send(&Message::Candidate(candidate)).await?;
            }
            PeerConnectionEvent::Track(event) => {
                let mid = event.transceiver.mid().map(|mid| mid.to_string()).unwrap_or_default();
                let frames = Arc::clone(&self.frames);
                // A track is told anew when the peer sends it again; its frames go to one of the readers.
                tokio::spawn(async move {
                    while event.track.recv().await.is_some() {
                        *frames.lock().unwrap_or_else(PoisonError::into_inner).entry(mid.clone()).or_default() += 1;
                    }
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// An offer of the peer that meets ours takes ours back, or is ignored.
    async fn take(&mut self, description: SessionDescription) -> Result<(), Failure> {
        let offer = description.sdp_type() == SdpType::Offer;
        let collision = offer && self.pc.signaling_state() != SignalingState::Stable;
        self.collisions += u32::from(collision);
        self.ignoring = collision && !self.polite;
        if self.ignoring {
            return Ok(());
        }
        self.pc.set_remote_description(description).await?;
        if offer {
            self.pc.set_local_description(None).await?;
            self.tell().await?;
        }
        Ok(())
    }

    async fn tell(&mut self) -> Result<(), Failure> {
        let description = self.pc.local_description().ok_or("a description was set")?;
        Ok(self.websocket.send(&Message::from(description)).await?)
    }

    async fn renegotiate(&mut self) -> Result<(), Failure> {
        let live: Vec<_> = self.pc.transceivers().into_iter().filter(|t| !t.stopped()).collect();
        let transceiver = live.get(self.below(live.len().max(1))).cloned();
        let track = self.another_track();
        match (self.below(9), transceiver) {
            (0, _) if live.len() < 6 => drop(self.pc.add_track(track).await?),
            (1, _) if live.len() < 6 => drop(self.pc.add_transceiver(MediaKind::Video, Direction::Recvonly).await?),
            (2, Some(transceiver)) => self.pc.remove_track(&transceiver.sender()).await?,
            // Chromium loses its transport, or its own BUNDLE group, when the m-line that stands for it is stopped.
            (3, Some(transceiver)) if transceiver.mid().is_some_and(|mid| mid.as_str() != "0") => {
                transceiver.stop().await?;
            }
            (4, Some(transceiver)) => transceiver.sender().replace_track(track).await?,
            (5, Some(transceiver)) => {
                let directions = [Direction::Sendrecv, Direction::Sendonly, Direction::Recvonly, Direction::Inactive];
                let direction = directions[self.below(directions.len())];
                transceiver.set_direction(direction).await?;
            }
            (6, _) => self.pc.restart_ice().await?,
            _ => {}
        }
        Ok(())
    }

    /// Whatever came before, pictures flow on the first m-line in the end.
    async fn settle(&mut self) -> Result<(), Failure> {
        let first = self.pc.transceivers().into_iter().find(|t| t.mid().is_some_and(|mid| mid.as_str() == "0"));
        let first = first.ok_or("the first m-line is never stopped")?;
        first.set_direction(Direction::Sendrecv).await?;
        Ok(first.sender().replace_track(self.another_track()).await?)
    }

    /// The test pattern once more, as a track of its own.
    fn another_track(&self) -> MediaStreamTrack {
        MediaStreamTrack::new(MediaKind::Video, self.pattern.renditions())
    }

    fn below(&mut self, limit: usize) -> usize {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice % limit as u64) as usize
    }

    fn summary(&self, quiet: bool) -> String {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<serde_json::Value> = self
            .pc
            .transceivers()
            .iter()
            .map(|transceiver| {
                let mid = transceiver.mid().map(|mid| mid.to_string());
                serde_json::json!({
                    "mid": mid,
                    "direction": transceiver.current_direction().map(|direction| direction.to_string()),
                    "sending": transceiver.sender().track().is_some(),
                    "frames": mid.and_then(|mid| frames.get(&mid).copied()).unwrap_or(0),
                })
            })
            .collect();
        serde_json::json!({
            "quiet": quiet,
            "state": self.pc.signaling_state().to_string(),
            "connection": self.pc.connection_state().to_string(),
            "offers": self.offers,
            "collisions": self.collisions,
            "lines": lines,
        })
        .to_string()
    }
}
