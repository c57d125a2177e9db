//! One call with another stack, by the lines that the programs in `tests/peers` speak: descriptions and candidates as JSON
//! over standard input and output. Sends sound, pictures and messages whose bytes can be foretold, and checks those that come.
//!
//! `cargo run --example interop -- offer|answer trickle|whole [pattern]`: with `pattern` it sends the test pattern instead, to
//! peers that decode, and counts what comes. A line `{"type":"report"}` asks what has come, `{"type":"restart"}` for an offer
//! that restarts ICE.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rtcast::media::pattern::PatternOptions;
use rtcast::prelude::*;
use rtcast::signaling::Message;
use rtcast::{
    Broadcast, Codec, DataChannel, DataChannelInit, DataChannelMessage, IceGatheringState, MediaStreamTrack, MediaTime,
    PeerConnectionState, RtpCodec, SdpType, TrackEvent,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::watch;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (offers, trickles, pattern) = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [role @ ("offer" | "answer"), candidates @ ("trickle" | "whole"), rest @ ..]
            if matches!(rest, [] | ["pattern"]) =>
        {
            (*role == "offer", *candidates == "trickle", !rest.is_empty())
        }
        _ => return Err("usage: interop offer|answer trickle|whole [pattern]".into()),
    };
    let mut configuration = Configuration::default();
    configuration.address = Some(([127, 0, 0, 1], 0).into());
    let pc = PeerConnection::new(configuration).await?;
    let report = Arc::new(Mutex::new(Report::default()));
    let (connected, _) = watch::channel(false);
    let mut events = pc.events();
    let player = MediaPlayer::test_pattern(PatternOptions::default())?;
    for kind in [MediaKind::Audio, MediaKind::Video] {
        let track = match (kind, pattern) {
            (MediaKind::Audio, true) => player.audio()?,
            (MediaKind::Video, true) => player.video()?,
            (_, false) => numbered_track(kind, connected.subscribe()),
        };
        pc.add_track(track).await?;
    }
    if offers {
        let channel = pc.create_data_channel("chat", DataChannelInit::default()).await?;
        tokio::spawn(ask(channel, Arc::clone(&report)));
        describe(&pc, trickles).await?;
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            Some(event) = events.recv() => match event {
                PeerConnectionEvent::IceCandidate(Some(candidate)) if trickles => {
                    println!("{}", Message::Candidate(candidate).to_json());
                }
                PeerConnectionEvent::ConnectionStateChange(PeerConnectionState::Connected) => {
                    connected.send_replace(true);
                }
                PeerConnectionEvent::Track(TrackEvent { track, .. }) => {
                    tokio::spawn(receive(track, pattern, Arc::clone(&report)));
                }
                PeerConnectionEvent::DataChannel(channel) => {
                    tokio::spawn(echo(channel, Arc::clone(&report)));
                }
                _ => {}
            },
            line = lines.next_line() => {
                let Some(line) = line? else { break };
                let message: serde_json::Value = serde_json::from_str(&line)?;
                match message["type"].as_str() {
                    Some("report") => {
                        println!("{}", lock(&report).to_json());
                        continue;
                    }
                    Some("restart") => {
                        pc.restart_ice().await?;
                        describe(&pc, trickles).await?;
                        continue;
                    }
                    _ => {}
                }
                match Message::from_json(&line)? {
                    Message::Candidate(candidate) => pc.add_ice_candidate(candidate).await?,
                    message => {
                        let Some(description) = message.description()? else { continue };
                        let offered = description.sdp_type() == SdpType::Offer;
                        pc.set_remote_description(description).await?;
                        if offered {
                            describe(&pc, trickles).await?;
                        }
                    }
                }
            }
        }
    }
    pc.close().await;
    Ok(())
}

/// Sets our description and tells it: with all candidates, or without any, which then follow.
async fn describe(pc: &PeerConnection, trickles: bool) -> Result<(), Failure> {
    pc.set_local_description(None).await?;
    while !trickles && pc.ice_gathering_state() != IceGatheringState::Complete {
        tokio::task::yield_now().await;
    }
    let mut description = pc.local_description().ok_or("it was set")?;
    if trickles {
        let later = |line: &&str| line.starts_with("a=candidate:") || line.starts_with("a=end-of-candidates");
        let sdp: String =
            description.sdp().lines().filter(|line| !later(line)).flat_map(|line| [line, "\r\n"]).collect();
        description = SessionDescription::new(description.sdp_type(), sdp)?;
    }
    println!("{}", description.to_json());
    Ok(())
}

/// A track of frames whose bytes can be foretold.
fn numbered_track(kind: MediaKind, connected: watch::Receiver<bool>) -> MediaStreamTrack {
    let broadcast = Broadcast::new(RtpCodec::new(if kind == MediaKind::Audio { Codec::Opus } else { Codec::Vp8 }));
    tokio::spawn(send(kind, broadcast.clone(), connected));
    MediaStreamTrack::new(kind, vec![broadcast])
}

async fn send(kind: MediaKind, broadcast: Broadcast, mut connected: watch::Receiver<bool>) {
    if connected.wait_for(|connected| *connected).await.is_err() {
        return;
    }
    let interval = Duration::from_millis(if kind == MediaKind::Audio { 20 } else { 40 });
    let mut ticks = tokio::time::interval(interval);
    for number in 0.. {
        ticks.tick().await;
        let (codec, data) = match kind {
            MediaKind::Audio => (Codec::Opus, sound(number)),
            MediaKind::Video => (Codec::Vp8, picture(number)),
        };
        let timestamp = MediaTime::from_micros((interval * number).as_micros() as i64);
        broadcast.send(&Frame::new(codec, data, timestamp).with_keyframe(true), Instant::now());
    }
}

async fn receive(track: MediaStreamTrack, unchecked: bool, report: Arc<Mutex<Report>>) {
    while let Some(frame) = track.recv().await {
        match unchecked {
            true => lock(&report).count(track.kind()),
            false => lock(&report).check(track.kind(), &frame.data),
        }
    }
}

/// Sends every message on a channel of ours, and takes what comes back.
async fn ask(channel: DataChannel, report: Arc<Mutex<Report>>) -> Result<(), rtcast::Error> {
    channel.opened().await?;
    for message in messages() {
        channel.send_message(message).await?;
    }
    while let Some(message) = channel.recv().await {
        lock(&report).echoes.push(message);
    }
    Ok(())
}

/// Sends every message back.
async fn echo(channel: DataChannel, report: Arc<Mutex<Report>>) -> Result<(), rtcast::Error> {
    while let Some(message) = channel.recv().await {
        channel.send_message(message).await?;
        lock(&report).echoed += 1;
    }
    Ok(())
}

/// What has come so far.
#[derive(Default)]
struct Report {
    pictures: u32,
    sounds: u32,
    wrong: u32,
    echoes: Vec<DataChannelMessage>,
    echoed: usize,
}

impl Report {
    fn check(&mut self, kind: MediaKind, data: &[u8]) {
        let (at, frame): (usize, fn(u32) -> Vec<u8>) = match kind {
            MediaKind::Audio => (1, sound),
            MediaKind::Video => (10, picture),
        };
        let number = data.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        match number.filter(|number| frame(*number) == data) {
            Some(_) => self.count(kind),
            None => self.wrong += 1,
        }
    }

    const fn count(&mut self, kind: MediaKind) {
        match kind {
            MediaKind::Audio => self.sounds += 1,
            MediaKind::Video => self.pictures += 1,
        }
    }

    fn to_json(&self) -> String {
        let messages = messages();
        serde_json::json!({
            "type": "report",
            "pictures": self.pictures,
            "sounds": self.sounds,
            "wrong": self.wrong,
            "echoed": self.echoed == messages.len(),
            "echoes": self.echoes == messages,
        })
        .to_string()
    }
}

fn lock(report: &Mutex<Report>) -> MutexGuard<'_, Report> {
    report.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A keyframe of VP8, as far as packetisers look into it, of some packets.
fn picture(number: u32) -> Vec<u8> {
    numbered(&[0x10, 2, 0, 0x9d, 1, 0x2a, 64, 1, 240, 0], number, 3_000)
}

/// A frame of Opus, of one packet.
fn sound(number: u32) -> Vec<u8> {
    numbered(&[0xfc], number, 80)
}

fn numbered(head: &[u8], number: u32, length: usize) -> Vec<u8> {
    let mut frame = head.to_vec();
    frame.extend(number.to_be_bytes());
    frame.extend((frame.len()..length).map(|at| (number as usize * 31 + at * 7) as u8));
    frame
}

/// What the side that makes the channel sends, and gets back.
fn messages() -> Vec<DataChannelMessage> {
    let text = |text: &str| DataChannelMessage::Text(text.to_owned());
    let bytes = |length: usize| {
        DataChannelMessage::Binary((0..length).map(|at| ((at * 31) ^ (at >> 8)) as u8).collect::<Vec<_>>().into())
    };
    vec![text("text"), text("Ελλάδα 日本 🚀"), bytes(1), bytes(1_200), bytes(16_384), text(&"x".repeat(50_000))]
}
