//! Echoes what comes on data channels. Descriptions go by hand, or by whoever starts this: one line of JSON each way.
//!
//! `cargo run --example data_channel -- answer` reads an offer from standard input and prints the answer.
//! `cargo run --example data_channel -- offer` prints an offer, with a channel named `rtcast`, and reads the answer.
//! It ends with its standard input.

use std::error::Error;
use std::time::Duration;

use rtcast::prelude::*;
use rtcast::{DataChannel, DataChannelInit, IceGatheringState};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let pc = PeerConnection::new(Configuration::default()).await?;
    pc.on_data_channel(|channel| {
        eprintln!("the peer has opened {:?}", channel.label());
        tokio::spawn(echo(channel));
    });
    match std::env::args().nth(1).as_deref() {
        Some("offer") => {
            let channel = pc.create_data_channel("rtcast", DataChannelInit::default()).await?;
            pc.set_local_description(None).await?;
            print(&pc).await?;
            let answer = lines.next_line().await?.ok_or("no answer came")?;
            pc.set_remote_description(SessionDescription::from_json(&answer)?).await?;
            tokio::spawn(echo(channel));
        }
        Some("answer") => {
            let offer = lines.next_line().await?.ok_or("no offer came")?;
            pc.set_remote_description(SessionDescription::from_json(&offer)?).await?;
            pc.set_local_description(None).await?;
            print(&pc).await?;
        }
        _ => return Err("usage: data_channel offer|answer".into()),
    }
    while lines.next_line().await?.is_some() {}
    pc.close().await;
    Ok(())
}

/// Prints our description once all candidates are in it.
async fn print(pc: &PeerConnection) -> Result<(), Box<dyn Error>> {
    while pc.ice_gathering_state() != IceGatheringState::Complete {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("{}", pc.local_description().ok_or("it was set")?.to_json());
    Ok(())
}

/// Sends every message back. On the message `close` it closes the channel.
async fn echo(channel: DataChannel) {
    while let Some(message) = channel.recv().await {
        if message.as_bytes() == b"close" {
            channel.close();
        } else if let Err(error) = channel.send_message(message).await {
            eprintln!("{:?} is not echoed any more: {error}", channel.label());
        }
    }
    eprintln!("{:?} is closed", channel.label());
}
