//! Sends a film to whoever offers: a WebSocket server that answers each offer with the film's tracks.
//!
//! `cargo run --example answer -- foo.mp4 127.0.0.1:8765`, and then in another shell
//! `cargo run --example offer -- ws://127.0.0.1:8765`.

use std::error::Error;

use rtcast::prelude::*;
use rtcast::signaling::{Message, Signaling};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: answer FILE [ADDRESS:PORT]";
    let film = arguments.next().ok_or(usage)?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8765".to_owned());
    let listener = TcpListener::bind(&address).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let film = film.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &film).await {
                eprintln!("a call ended: {error}");
            }
        });
    }
}

async fn serve(stream: TcpStream, film: &str) -> Result<(), Box<dyn Error>> {
    let mut websocket = Signaling::accept(stream).await?;
    let offer = websocket.recv().await?.as_ref().map(Message::description).transpose()?.flatten();
    let offer = offer.ok_or("the other side did not begin with an offer")?;

    let player = MediaPlayer::open(film).await?;
    let pc = PeerConnection::new(Configuration::default()).await?;
    pc.add_track(player.video()?).await?;
    if let Ok(sound) = player.audio() {
        pc.add_track(sound).await?;
    }
    pc.set_remote_description(offer).await?;
    pc.set_local_description(None).await?;
    let answer = pc.local_description().ok_or("an answer was set")?;
    websocket.send(&Message::from(answer)).await?;

    // The call lasts until the other side hangs up or the film is over.
    tokio::select! {
        ended = websocket.follow(&pc) => ended?,
        ended = player.ended() => ended?,
    }
    pc.close().await;
    Ok(())
}
