//! What is received is sent on to others and recorded at once.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{connect, endpoint, first_track, next_frame, wait_for};
use rtcast_peer::{
    Broadcast, Codec, Configuration, Frame, FrameSink, MediaStreamTrack, MediaTime, PacketizedFrame, PeerConnection,
    PeerConnectionState, RtpCodec, TrackStateChange,
};

/// A frame of a length of its own, over one packet or several, whose bytes tell its number.
fn frame(codec: Codec, number: u32, keyframe: bool) -> Frame {
    let length = 20 + number * 397 % 4_000;
    let mut data: Vec<u8> = (0..length).map(|at| (at ^ number.wrapping_mul(31)) as u8).collect();
    data[10..14].copy_from_slice(&number.to_be_bytes());
    if codec == Codec::Vp8 {
        data[..3].copy_from_slice(&[if keyframe { 0x10 } else { 0x11 }, 2, 0]);
        data[3..10].copy_from_slice(&[0x9d, 0x01, 0x2a, 0, 5, 0xd0, 2]);
    } else {
        data.truncate(200);
    }
    let time = MediaTime::from_ticks(i64::from(number), 50);
    Frame::new(codec, data, time).with_keyframe(codec == Codec::Opus || keyframe)
}

/// A recorder: keeps what it is handed.
#[derive(Default)]
struct Recorder {
    frames: Mutex<Vec<Frame>>,
    ended: Mutex<bool>,
}

impl FrameSink for Recorder {
    fn deliver(&self, _: &Broadcast, frame: &Frame, packets: &Arc<PacketizedFrame>) {
        assert!(!packets.is_empty());
        self.frames.lock().unwrap().push(frame.clone());
    }

    fn ended(&self, _: &Broadcast) {
        *self.ended.lock().unwrap() = true;
    }
}

async fn connection() -> PeerConnection {
    PeerConnection::new(Configuration::on(&endpoint(1).await)).await.unwrap()
}

/// Joins two connections, of which the first sends the track; gives the track as the second receives it.
async fn send(from: &PeerConnection, to: &PeerConnection, track: MediaStreamTrack) -> MediaStreamTrack {
    let mut events = to.events();
    from.add_track(track).await.unwrap();
    connect(from, to).await;
    wait_for(from, PeerConnectionState::Connected).await;
    first_track(&mut events).await
}

/// What came begins with a frame that can be decoded, and is the sent frames from there on, byte for byte.
fn is_what_was_sent(who: &str, received: &[Frame], sent: &[Frame]) {
    assert!(received[0].keyframe, "{who} begins with what cannot be decoded");
    let begin = sent.iter().position(|frame| frame.data == received[0].data).expect("it was sent");
    for (received, sent) in received.iter().zip(&sent[begin..]) {
        assert_eq!(received.data, sent.data, "{who}: at {:?}", sent.timestamp);
        assert_eq!((received.codec, received.keyframe), (sent.codec, sent.keyframe), "{who}");
    }
    let span = |frames: &[Frame]| frames[frames.len() - 1].timestamp.since(frames[0].timestamp);
    assert_eq!(span(received), span(&sent[begin..begin + received.len()]), "{who}");
}

async fn is_sent_on_and_recorded(codec: Codec) {
    const WANTED: usize = 60;
    let kind = codec.kind();
    let origin = Broadcast::with_keyframes_on_request(RtpCodec::new(codec));
    let (publisher, hub) = (connection().await, connection().await);
    let track = send(&publisher, &hub, MediaStreamTrack::new(kind, vec![origin.clone()])).await;
    let mut changes = track.state_changes();

    let sent = Arc::new(Mutex::new(Vec::new()));
    let source = tokio::spawn({
        let (sent, origin) = (Arc::clone(&sent), origin.clone());
        async move {
            let mut answered = 0;
            for number in 0.. {
                let asked = origin.upstream().keyframe_requests();
                let keyframe = number == 0 || asked != answered;
                answered = asked;
                let frame = frame(codec, number, keyframe);
                sent.lock().unwrap().push(frame.clone());
                origin.send(&frame, Instant::now());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    assert_eq!(changes.recv().await, Some(TrackStateChange::Unmute));

    // Whatever asks for the track, one stream of it comes from the publisher.
    let (first, second) = (connection().await, connection().await);
    let (to_first, to_second) = (connection().await, connection().await);
    let at_first = send(&to_first, &first, track.clone()).await;
    let at_second = send(&to_second, &second, track.clone()).await;
    let recorder = Arc::new(Recorder::default());
    let rendition = track.renditions().remove(0);
    assert_eq!(rendition.codec().codec, codec);
    let (subscription, _) = rendition.subscribe(&(recorder.clone() as Arc<dyn FrameSink>));
    rendition.request_keyframe();

    let (mut by_first, mut by_second) = (Vec::new(), Vec::new());
    for _ in 0..WANTED {
        by_first.push(next_frame(&at_first).await);
        by_second.push(next_frame(&at_second).await);
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    let recorded = loop {
        let frames = recorder.frames.lock().unwrap().clone();
        let begin = frames.iter().position(|frame| frame.keyframe).unwrap_or(frames.len());
        if frames.len() - begin >= WANTED {
            break frames[begin..].to_vec();
        }
        assert!(Instant::now() < deadline, "the recorder has {} frames", frames.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let sent = sent.lock().unwrap().clone();
    is_what_was_sent("the first viewer", &by_first, &sent);
    is_what_was_sent("the second viewer", &by_second, &sent);
    is_what_was_sent("the recorder", &recorded, &sent);

    // One reader more or less is nobody else's business, and who has left is handed nothing.
    drop(subscription);
    let kept = recorder.frames.lock().unwrap().len();
    for _ in 0..5 {
        next_frame(&at_first).await;
    }
    assert_eq!(recorder.frames.lock().unwrap().len(), kept);

    // The end of what is received is the end of what was sent on.
    let (_joined, _) = rendition.subscribe(&(recorder.clone() as Arc<dyn FrameSink>));
    hub.close().await;
    let ended = async {
        while !*recorder.ended.lock().unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("the recorder is told of the end");
    source.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn received_pictures_are_sent_on_to_two_and_recorded() {
    is_sent_on_and_recorded(Codec::Vp8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn received_sound_is_sent_on_to_two_and_recorded() {
    is_sent_on_and_recorded(Codec::Opus).await;
}
