//! Receives a film: offers to a WebSocket server and counts the frames that come, or keeps them in a file.
//!
//! `cargo run --example offer -- ws://127.0.0.1:8765 [FRAMES] [FILE]`: after so many pictures it hangs up; the file gets
//! the pictures as they came, one after the other.

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use rtcast::prelude::*;
use rtcast::signaling::Signaling;
use rtcast::{Direction, TrackEvent};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("usage: offer ws://ADDRESS:PORT [FRAMES] [FILE]")?;
    let limit: u64 = arguments.next().map_or(Ok(u64::MAX), |frames| frames.parse())?;
    let mut file = arguments.next().map(std::fs::File::create).transpose()?;

    let pc = PeerConnection::new(Configuration::default()).await?;
    pc.add_transceiver(MediaKind::Video, Direction::Recvonly).await?;
    pc.add_transceiver(MediaKind::Audio, Direction::Recvonly).await?;
    let (pictures, mut from_callback) = tokio::sync::mpsc::channel(1);
    pc.on_track(move |TrackEvent { track, .. }| match track.kind() {
        MediaKind::Video => {
            // One offer brings one video track.
            let _ = pictures.try_send(track);
        }
        MediaKind::Audio => {
            tokio::spawn(async move { while track.recv().await.is_some() {} });
        }
    });
    let mut websocket = Signaling::connect(&url).await?;
    websocket.offer(&pc).await?;

    let start = Instant::now();
    let track = from_callback.recv().await.ok_or("the other side sends no pictures")?;
    let (mut frames, mut bytes) = (0, 0);
    while frames < limit {
        let Some(frame) = track.recv().await else { break };
        if frames == 0 {
            println!("first frame after {} ms: {}", start.elapsed().as_millis(), frame.codec);
        }
        frames += 1;
        bytes += frame.data.len();
        if let Some(file) = &mut file {
            file.write_all(&frame.data)?;
        }
    }
    println!("{frames} frames, {bytes} bytes in {:.1} s", start.elapsed().as_secs_f64());
    websocket.close().await;
    pc.close().await;
    Ok(())
}
