//! A peer that does what lines of JSON on standard input tell it, and tells on standard output what happens.
//!
//! ```text
//! cargo run --example stdio_peer -- '{"send": true, "iceServers": [{"urls": ["stun:stun.example.org"]}]}'
//! ```
//!
//! Commands: `{"do": "offer", "iceRestart": false}`, `{"do": "answer", "description": …}`, `{"do": "take", "description": …}`,
//! `{"do": "candidate", "candidate": …}`, `{"do": "stats"}`; the end of the input closes the connection. A peer that sends
//! plays made-up frames at 30 a second.

use std::io::Write;
use std::time::{Duration, Instant};

use rtcast_peer::{
    Broadcast, Codec, Configuration, Frame, IceCandidate, IceServer, IceTransportPolicy, MediaKind, MediaStreamTrack,
    MediaTime, OfferOptions, PeerConnection, PeerConnectionEvent, RtpCodec, SessionDescription, ToJson,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let settings: Value = serde_json::from_str(&std::env::args().nth(1).unwrap_or_else(|| "{}".to_owned()))?;
    let connection = PeerConnection::new(configuration(&settings)).await?;
    tokio::spawn(tell_events(connection.clone()));
    if settings["send"] == true {
        let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
        connection.add_track(MediaStreamTrack::new(MediaKind::Video, vec![broadcast.clone()])).await?;
        tokio::spawn(play(broadcast));
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        if let Err(error) = obey(&connection, &serde_json::from_str(&line)?).await {
            tell(&json!({"event": "error", "error": error.to_string()}));
        }
    }
    connection.close().await;
    Ok(())
}

fn configuration(settings: &Value) -> Configuration {
    let mut configuration = Configuration::default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    for server in settings["iceServers"].as_array().into_iter().flatten() {
        configuration.ice_servers.push(IceServer {
            urls: server["urls"].as_array().into_iter().flatten().filter_map(text).collect(),
            username: text(&server["username"]),
            credential: text(&server["credential"]),
        });
    }
    if settings["iceTransportPolicy"] == "relay" {
        configuration.ice_transport_policy = IceTransportPolicy::Relay;
    }
    configuration
}

async fn obey(connection: &PeerConnection, command: &Value) -> Result<(), Failure> {
    let description = || SessionDescription::from_json(&command["description"].to_string());
    match command["do"].as_str().unwrap_or_default() {
        "offer" => {
            let options = OfferOptions { ice_restart: command["iceRestart"] == true };
            let offer = connection.create_offer_with(options).await?;
            connection.set_local_description(offer).await?;
            tell_description(connection)?;
        }
        "answer" => {
            connection.set_remote_description(description()?).await?;
            connection.set_local_description(None).await?;
            tell_description(connection)?;
        }
        "take" => connection.set_remote_description(description()?).await?,
        "candidate" => {
            connection.add_ice_candidate(IceCandidate::from_json(&command["candidate"].to_string())?).await?;
        }
        "stats" => {
            let stats = connection.stats().await?;
            let pair = stats.selected_pair.map(|pair| json!([pair.local.to_string(), pair.remote.to_string()]));
            let frames: u64 = stats.receivers.iter().map(|receiver| receiver.stats.frames_received).sum();
            let lost: i64 = stats.receivers.iter().map(|receiver| receiver.stats.packets_lost).sum();
            tell(&json!({"event": "stats", "pair": pair, "frames": frames, "lost": lost}));
        }
        other => return Err(format!("there is no command {other:?}").into()),
    }
    Ok(())
}

fn tell_description(connection: &PeerConnection) -> Result<(), Failure> {
    let description: Value = serde_json::from_str(&connection.local_description().to_json())?;
    tell(&json!({"event": "description", "description": description}));
    Ok(())
}

async fn tell_events(connection: PeerConnection) {
    let mut events = connection.events();
    while let Some(event) = events.recv().await {
        match event {
            PeerConnectionEvent::ConnectionStateChange(state) => {
                tell(&json!({"event": "state", "state": state.as_str()}));
            }
            PeerConnectionEvent::IceCandidate(Some(candidate)) => {
                let candidate: Value = serde_json::from_str(&candidate.to_json()).unwrap_or_default();
                tell(&json!({"event": "candidate", "candidate": candidate}));
            }
            PeerConnectionEvent::IceGatheringStateChange(state) => {
                tell(&json!({"event": "gathering", "state": state.as_str()}));
            }
            PeerConnectionEvent::IceCandidateError(error) => {
                let text = error.error_text;
                tell(&json!({"event": "candidateError", "url": error.url, "code": error.error_code, "text": text}));
            }
            PeerConnectionEvent::Track(event) => {
                tokio::spawn(async move { while event.track.recv().await.is_some() {} });
            }
            _ => {}
        }
    }
}

async fn play(broadcast: Broadcast) {
    let mut ticks = tokio::time::interval(Duration::from_millis(33));
    for number in 0_u32.. {
        ticks.tick().await;
        let keyframe = number.is_multiple_of(30);
        let mut data = vec![number as u8; 6_000];
        // The head of a VP8 frame (RFC 6386 §9.1).
        data[..3].copy_from_slice(&[if keyframe { 0x10 } else { 0x11 }, 2, 0]);
        data[3..10].copy_from_slice(&[0x9d, 0x01, 0x2a, 0, 5, 0xd0, 2]);
        let timestamp = MediaTime::from_ticks(i64::from(number) * 3_000, 90_000);
        broadcast.send(&Frame::new(Codec::Vp8, data, timestamp).with_keyframe(keyframe), Instant::now());
    }
}

/// One line; whoever read it may be gone.
fn tell(value: &Value) {
    let _ = writeln!(std::io::stdout().lock(), "{value}");
}
