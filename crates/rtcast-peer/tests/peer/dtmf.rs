//! Tones of a dial pad from one peer to the other.

use std::time::Duration;

use crate::support::{connect, endpoint, wait_for};
use rtcast_peer::{
    Broadcast, Codec, Configuration, Error, MediaKind, MediaStreamTrack, PeerConnection, PeerConnectionEvent,
    PeerConnectionState, RtpCodec, RtpSender,
};

#[tokio::test(flavor = "multi_thread")]
async fn tones_are_told_on_both_sides() {
    let new = async || PeerConnection::new(Configuration::on(&endpoint(1).await)).await.unwrap();
    let (left, right) = (new().await, new().await);
    let sound = Broadcast::new(RtpCodec::new(Codec::Opus));
    let pictures = Broadcast::new(RtpCodec::new(Codec::Vp8));
    let sender = left.add_track(MediaStreamTrack::new(MediaKind::Audio, vec![sound])).await.unwrap();
    let other = left.add_track(MediaStreamTrack::new(MediaKind::Video, vec![pictures])).await.unwrap();
    assert!(other.dtmf().is_none(), "pictures have no tones");
    assert!(RtpSender::capabilities(MediaKind::Audio).telephone_events);
    let dtmf = sender.dtmf().expect("sound has tones");
    assert!(!dtmf.can_insert());
    let error = dtmf.insert("1").await.unwrap_err();
    assert_eq!(error.name(), "InvalidStateError");
    assert!(error.to_string().contains("not connected"), "{error}");

    connect(&left, &right).await;
    wait_for(&left, PeerConnectionState::Connected).await;
    wait_for(&right, PeerConnectionState::Connected).await;
    assert!(dtmf.can_insert());
    let types: Vec<String> =
        sender.parameters().await.unwrap().codecs.into_iter().map(|codec| codec.mime_type).collect();
    assert!(types.contains(&"audio/telephone-event".to_owned()), "{types:?}");
    let error = dtmf.insert("1x").await.unwrap_err();
    assert!(matches!(error, Error::Dtmf(_)) && error.name() == "InvalidCharacterError", "{error}");

    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    dtmf.on_tone_change(move |tone| tell.send(tone).unwrap_or_default());
    let mut events = right.events();
    dtmf.insert_with("1#d", Duration::from_millis(60), Duration::from_millis(40)).await.unwrap();
    assert_eq!(dtmf.tone_buffer(), "#D", "the first is being sent");
    let mut received = String::new();
    while received.len() < 3 {
        let event = tokio::time::timeout(Duration::from_secs(10), events.recv()).await.expect("in time");
        if let PeerConnectionEvent::ToneReceived(event) = event.expect("an event") {
            assert_eq!(event.transceiver.mid(), right.transceivers()[0].mid());
            assert_eq!(event.duration, Duration::from_millis(60));
            received.push(event.tone);
        }
    }
    assert_eq!(received, "1#D");
    let mut changes = Vec::new();
    while changes.last() != Some(&None) {
        changes.push(tokio::time::timeout(Duration::from_secs(10), told.recv()).await.expect("in time").unwrap());
    }
    assert_eq!(changes, [Some('1'), Some('#'), Some('D'), None]);
    assert_eq!(dtmf.tone_buffer(), "");
}
