//! Streams a film to browsers until Enter is pressed, as little as the command `rtcast stream` comes to.
//!
//! `cargo run --package rtcast-server --example stream -- foo.mp4`, then open the address that it prints.

use std::error::Error;

use rtcast::MediaPlayer;
use rtcast_server::{Server, Stream, name_of};
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let film = std::env::args().nth(1).ok_or("usage: stream FILM")?;
    let player = MediaPlayer::open(&film).await?;
    let mut stream = Stream::new().title(&film).description(player.info().to_string());
    for track in [player.video(), player.audio()].into_iter().flatten() {
        stream = stream.track(track);
    }

    let name = name_of(&film);
    let server = Server::builder().stream(name.clone(), stream).bind(([127, 0, 0, 1], 8080).into()).await?;
    println!("http://{}/{name}", server.local_address());

    let mut input = tokio::io::stdin();
    tokio::select! {
        ended = player.ended() => ended?,
        read = input.read_u8() => drop(read),
    }
    server.shutdown().await;
    Ok(())
}
