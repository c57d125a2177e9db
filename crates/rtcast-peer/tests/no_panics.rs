//! Whatever has ever been tried on the parsers is sent to a living endpoint: no thread of the program panics, and those who
//! are connected stay so.

use std::fs;
use std::net::UdpSocket;
use std::panic;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rtcast_peer::{
    Configuration, DataChannelInit, Direction, Endpoint, EndpointConfig, IceCandidate, MediaKind, PeerConnection,
    PeerConnectionEvent, PeerConnectionState, SdpType, SessionDescription,
};

static PANICS: AtomicUsize = AtomicUsize::new(0);

fn corpus() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut files = Vec::new();
    for target in fs::read_dir(root).unwrap() {
        for file in fs::read_dir(target.unwrap().path()).unwrap() {
            files.push(fs::read(file.unwrap().path()).unwrap());
        }
    }
    files
}

/// An ordinary offer with another line in the place of one.
fn changed(offer: &str, name: &str, line: &str) -> String {
    let lines = offer.lines().map(|known| if known.starts_with(name) { line } else { known });
    lines.flat_map(|line| [line, "\r\n"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_thread_panics_at_anything_in_the_corpora() {
    let config = EndpointConfig { address: "127.0.0.1:0".parse().unwrap(), ..EndpointConfig::default() };
    let endpoint = Endpoint::bind(config.clone()).unwrap();
    let elsewhere = Endpoint::bind(config).unwrap();
    // After the endpoint has put in a hook of its own, which keeps quiet about what it catches.
    panic::set_hook(Box::new(|info| {
        eprintln!("{info}");
        PANICS.fetch_add(1, Ordering::Relaxed);
    }));
    let session = PeerConnection::new(Configuration::on(&endpoint)).await.unwrap();
    let viewer = PeerConnection::new(Configuration::on(&elsewhere)).await.unwrap();
    let mut events = session.events();
    let channel = viewer.create_data_channel("chat", DataChannelInit::default()).await.unwrap();
    viewer.set_local_description(None).await.unwrap();
    session.set_remote_description(viewer.local_description().unwrap()).await.unwrap();
    session.set_local_description(None).await.unwrap();
    viewer.set_remote_description(session.local_description().unwrap()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), channel.opened()).await.unwrap().unwrap();
    // A channel lives as long as both ends are held.
    let theirs = loop {
        if let Some(PeerConnectionEvent::DataChannel(theirs)) = events.recv().await {
            break theirs;
        }
    };

    let asker = PeerConnection::new(Configuration::on(&elsewhere)).await.unwrap();
    asker.add_transceiver(MediaKind::Video, Direction::Recvonly).await.unwrap();
    asker.set_local_description(None).await.unwrap();
    let offer = asker.local_description().unwrap().sdp().to_owned();
    let mut offers = Vec::new();
    for length in [0, 3, 4, 118, 119, 128, 129, 200, 256, 257, 4_000] {
        let text = "u".repeat(length);
        offers.push(changed(&offer, "a=ice-ufrag:", &format!("a=ice-ufrag:{text}")));
        offers.push(changed(&offer, "a=ice-pwd:", &format!("a=ice-pwd:{text}")));
        offers.push(changed(&offer, "a=candidate:", &format!("a=candidate:{text} 1 udp 1 127.0.0.1 9 typ host")));
    }
    for odd in [
        "1 1 udp 4294967295 127.0.0.1 9 typ prflx",
        "1 1 tcp 0 127.0.0.1 0 typ host tcptype passive",
        "1 1 ssltcp 1 ::1 9 typ host",
    ] {
        offers.push(changed(&offer, "a=candidate:", &format!("a=candidate:{odd}")));
    }

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for file in corpus() {
        // A datagram that is too long for UDP is cut, as the network would refuse it.
        socket.send_to(&file[..file.len().min(60_000)], endpoint.local_address()).unwrap();
        if let Ok(text) = String::from_utf8(file) {
            let candidate =
                IceCandidate { candidate: text.clone(), sdp_m_line_index: Some(0), ..IceCandidate::default() };
            drop(session.add_ice_candidate(candidate).await);
            offers.push(text);
        }
    }
    for text in offers {
        let Ok(offer) = SessionDescription::new(SdpType::Offer, text) else { continue };
        let target = PeerConnection::new(Configuration::on(&endpoint)).await.unwrap();
        if target.set_remote_description(offer).await.is_ok() {
            drop(target.set_local_description(None).await);
            // Its first checks leave at once.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    channel.send_text("still here").await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(20), theirs.recv()).await.expect("a message in time");
    assert!(heard.is_some());
    assert_eq!(session.connection_state(), PeerConnectionState::Connected);
    assert_eq!(endpoint.survey().await.connected, 1);
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "panics of any thread");
}
