//! Handles of transceivers, senders and receivers: what they show, and what they change.

use std::time::{Duration, Instant};

use crate::support::{connect, endpoint, first_track, frame, next_frame, wait_for};
use rtcast_peer::{
    Bitrate, Broadcast, Codec, Configuration, Direction, Error, MediaKind, MediaStreamTrack, PeerConnection,
    PeerConnectionState, RtpCodec, RtpEncodingParameters, RtpReceiver, RtpSender, RtpTransceiverInit,
};

fn vp8_track() -> (Broadcast, MediaStreamTrack) {
    let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
    let track = MediaStreamTrack::new(MediaKind::Video, vec![broadcast.clone()]);
    (broadcast, track)
}

async fn pair() -> (PeerConnection, PeerConnection) {
    let new = async || PeerConnection::new(Configuration::on(&endpoint(1).await)).await.unwrap();
    (new().await, new().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_shows_its_transceiver_as_it_stands() {
    let (left, right) = pair().await;
    let (_broadcast, track) = vp8_track();
    let init = RtpTransceiverInit {
        direction: Direction::Sendonly,
        streams: vec!["living room".to_owned()],
        send_encodings: vec![RtpEncodingParameters { active: false, ..RtpEncodingParameters::default() }; 3],
    };
    let transceiver = left.add_transceiver(track.clone(), init).await.unwrap();
    assert_eq!((transceiver.kind(), transceiver.direction()), (MediaKind::Video, Direction::Sendonly));
    assert_eq!((transceiver.mid(), transceiver.current_direction(), transceiver.stopped()), (None, None, false));
    assert_eq!(transceiver.sender().track(), Some(track.clone()));
    assert!(transceiver.sender().transport().is_none() && transceiver.receiver().transport().is_none());
    assert_eq!(transceiver.sender().parameters().await.unwrap().encodings.len(), 1, "no simulcast");
    assert!(left.add_track(track).await.is_err(), "it is sent already");

    let mut events = right.events();
    connect(&left, &right).await;
    let received = first_track(&mut events).await;
    assert_eq!(transceiver.mid().unwrap().as_str(), "0");
    assert_eq!(transceiver.current_direction(), Some(Direction::Sendonly));
    assert!(transceiver.sender().transport().is_some());
    let theirs = right.transceivers().remove(0);
    assert_eq!((theirs.mid(), theirs.current_direction()), (transceiver.mid(), Some(Direction::Recvonly)));
    assert_eq!(theirs.receiver().track().id(), received.id());
    assert_eq!((left.senders().len(), left.receivers().len(), right.senders().len()), (1, 1, 1));
    assert_eq!(left.senders()[0], transceiver.sender());

    transceiver.set_direction(Direction::Sendrecv).await.unwrap();
    assert_eq!(transceiver.direction(), Direction::Sendrecv, "at once");
    assert_eq!(transceiver.current_direction(), Some(Direction::Sendonly), "not before it is negotiated");
    transceiver.stop().await.unwrap();
    transceiver.stop().await.unwrap();
    assert!(transceiver.stopped() && left.senders().is_empty());
    assert_eq!(transceiver.sender().track(), None);
    let error = transceiver.set_direction(Direction::Inactive).await.unwrap_err();
    assert_eq!(error.name(), "InvalidStateError");
    connect(&left, &right).await;
    assert!(left.transceivers().is_empty() && right.transceivers().is_empty());
    assert!(theirs.stopped() && theirs.mid().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_of_another_connection_is_not_removed() {
    let (left, right) = pair().await;
    let (_broadcast, track) = vp8_track();
    let sender = left.add_track(track).await.unwrap();
    let error = right.remove_track(&sender).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert_eq!(error.name(), "InvalidAccessError");
    left.remove_track(&sender).await.unwrap();
    assert_eq!(sender.track(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_does_not_keep_the_connection_open() {
    let (left, right) = pair().await;
    let (_broadcast, track) = vp8_track();
    let sender = left.add_track(track).await.unwrap();
    let transceiver = left.transceivers().remove(0);
    connect(&left, &right).await;
    wait_for(&right, PeerConnectionState::Connected).await;
    drop(left);
    wait_for(&right, PeerConnectionState::Closed).await;
    assert!(sender.connection().is_none() && transceiver.stopped());
    assert!(matches!(sender.parameters().await, Err(Error::Closed)));
    assert!(matches!(transceiver.stop().await, Err(Error::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_is_replaced_without_negotiation() {
    let (left, right) = pair().await;
    let (first, track) = vp8_track();
    let sender = left.add_track(track).await.unwrap();
    let mut events = right.events();
    connect(&left, &right).await;
    let received = first_track(&mut events).await;
    first.upstream().wait_for(|upstream| upstream.demand() == 1).await;
    let begin = Instant::now();
    for number in 0..10 {
        first.send(&frame(number, 1_000), begin + Duration::from_millis(33) * number);
    }
    for number in 0..10 {
        assert_eq!(next_frame(&received).await.data, frame(number, 1_000).data);
    }
    let (second, other) = vp8_track();
    sender.replace_track(other.clone()).await.unwrap();
    assert_eq!(sender.track(), Some(other));
    second.upstream().wait_for(|upstream| upstream.demand() == 1).await;
    assert_eq!(first.upstream().demand(), 0);
    for number in 0..10 {
        second.send(&frame(number, 2_000), begin + Duration::from_millis(33) * (10 + number));
    }
    let mut times = Vec::new();
    for number in 0..10 {
        let received = next_frame(&received).await;
        assert_eq!(received.data, frame(number, 2_000).data);
        times.push(received.timestamp.as_secs_f64());
    }
    assert!((0.31..0.35).contains(&times[0]), "the first frame of the other track is at {} s", times[0]);
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]));

    let sound = MediaStreamTrack::new(MediaKind::Audio, vec![Broadcast::new(RtpCodec::new(Codec::Opus))]);
    let error = sender.replace_track(sound).await.unwrap_err();
    assert_eq!(error.name(), "TypeError");
    sender.replace_track(None).await.unwrap();
    second.upstream().wait_for(|upstream| upstream.demand() == 0).await;
    assert_eq!(left.signaling_state(), rtcast_peer::SignalingState::Stable);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_active_is_not_sent() {
    let (left, right) = pair().await;
    let (broadcast, track) = vp8_track();
    let sender = left.add_track(track).await.unwrap();
    let mut events = right.events();
    connect(&left, &right).await;
    let received = first_track(&mut events).await;
    let mut upstream = broadcast.upstream();
    upstream.wait_for(|upstream| upstream.demand() == 1).await;

    let mut parameters = sender.parameters().await.unwrap();
    assert_eq!(parameters.codecs[0].mime_type, "video/VP8");
    assert_eq!(parameters.codecs[1].mime_type, "video/rtx");
    assert!(parameters.rtcp.reduced_size && parameters.rtcp.cname.is_some());
    assert!(parameters.header_extensions.iter().any(|e| e.uri.ends_with("sdes:mid")));
    parameters.encodings[0].active = false;
    parameters.encodings[0].max_bitrate = Some(Bitrate::from_kbps(800));
    sender.set_parameters(parameters.clone()).await.unwrap();
    upstream.wait_for(|upstream| upstream.demand() == 0).await;
    let error = sender.set_parameters(parameters).await.unwrap_err();
    assert_eq!(error.name(), "InvalidModificationError", "these were set already: {error}");

    let mut parameters = sender.parameters().await.unwrap();
    assert_eq!(parameters.encodings[0].max_bitrate, Some(Bitrate::from_kbps(800)));
    let mut wrong = parameters.clone();
    wrong.codecs.clear();
    assert_eq!(sender.set_parameters(wrong).await.unwrap_err().name(), "InvalidModificationError");
    let mut wrong = parameters.clone();
    wrong.encodings.push(RtpEncodingParameters::default());
    assert_eq!(sender.set_parameters(wrong).await.unwrap_err().name(), "InvalidModificationError");
    parameters.encodings[0].active = true;
    sender.set_parameters(parameters).await.unwrap();
    upstream.wait_for(|upstream| upstream.demand() == 1).await;
    broadcast.send(&frame(0, 1_000), Instant::now());
    assert_eq!(next_frame(&received).await.data, frame(0, 1_000).data);

    let receiver = right.receivers().remove(0);
    let parameters = receiver.parameters().await.unwrap();
    assert_eq!(parameters.codecs[0].mime_type, "video/VP8");
    let sources = receiver.synchronization_sources().await.unwrap();
    assert_eq!(sources.len(), 1);
    assert!(receiver.contributing_sources().await.unwrap().is_empty(), "there is no mixer");
    let stats = receiver.get_stats().await.unwrap();
    assert!(stats.iter().any(|object| object.dictionary.type_name() == "inbound-rtp"));
    assert!(sender.get_stats().await.unwrap().iter().any(|object| object.dictionary.type_name() == "outbound-rtp"));
    assert!(left.get_stats().await.unwrap().len() > 5);
}

#[test]
fn capabilities_name_what_is_implemented() {
    for capabilities in [RtpSender::capabilities(MediaKind::Video), RtpReceiver::capabilities(MediaKind::Video)] {
        let names: Vec<String> = capabilities.codecs.iter().map(RtpCodec::mime_type).collect();
        for name in ["video/VP8", "video/VP9", "video/H264", "video/AV1"] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
        assert!(capabilities.retransmission);
    }
    let audio = RtpSender::capabilities(MediaKind::Audio);
    assert!(audio.codecs.iter().all(|codec| codec.codec.kind() == MediaKind::Audio));
    assert!(audio.header_extensions.iter().any(|uri| uri.contains("ssrc-audio-level")));
}
