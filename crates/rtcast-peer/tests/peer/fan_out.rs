//! One broadcast, many viewers.

use std::time::{Duration, Instant};

use crate::support::{connect, endpoint, endpoint_with, first_track, frame, next_frame, wait_for};
use rtcast_peer::{
    Broadcast, Codec, Configuration, Endpoint, MediaKind, MediaStreamTrack, PeerConnection, PeerConnectionState,
    RtpCodec, SocketOptions,
};

async fn watch(server: &Endpoint, broadcast: &Broadcast) -> (PeerConnection, PeerConnection, MediaStreamTrack) {
    watch_any(server, vec![broadcast.clone()]).await
}

async fn watch_any(
    server: &Endpoint,
    renditions: Vec<Broadcast>,
) -> (PeerConnection, PeerConnection, MediaStreamTrack) {
    let sender = PeerConnection::new(Configuration::on(server)).await.unwrap();
    let track = MediaStreamTrack::new(MediaKind::Video, renditions);
    sender.add_track(track).await.unwrap();
    let mut configuration = Configuration::default();
    configuration.address = Some("127.0.0.1:0".parse().unwrap());
    let viewer = PeerConnection::new(configuration).await.unwrap();
    let mut events = viewer.events();
    connect(&sender, &viewer).await;
    let track = first_track(&mut events).await;
    wait_for(&sender, PeerConnectionState::Connected).await;
    wait_for(&viewer, PeerConnectionState::Connected).await;
    (sender, viewer, track)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_viewer_gets_every_frame_whatever_the_kernel_can_do() {
    const VIEWERS: usize = 12;
    let all = SocketOptions::default();
    let cases = [
        (1, all),
        (2, all),
        (2, SocketOptions { send_offload: false, ..all }),
        (2, SocketOptions { receive_offload: false, ..all }),
        (2, SocketOptions { reuse_port: false, ..all }),
        (2, SocketOptions { buffer_size: 128 << 10, ..all }),
        (3, SocketOptions { send_offload: false, receive_offload: false, reuse_port: false, buffer_size: 128 << 10 }),
    ];
    for (shards, options) in cases {
        let server = endpoint_with(shards, options).await;
        let capabilities = server.capabilities();
        assert!(options.send_offload || capabilities.send_segments == 1);
        assert!(options.receive_offload || capabilities.receive_segments == 1);
        assert!(options.reuse_port || !capabilities.reuse_port);
        let missing = capabilities.shortcomings();
        let switched_off = [options.send_offload, options.receive_offload, options.reuse_port];
        assert!(missing.len() >= switched_off.iter().filter(|on| !**on).count(), "{missing:?}");
        let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
        let mut viewers = Vec::new();
        for _ in 0..VIEWERS {
            viewers.push(watch(&server, &broadcast).await);
        }
        broadcast.upstream().wait_for(|upstream| upstream.demand() == VIEWERS).await;
        let sending = broadcast.clone();
        tokio::spawn(async move {
            for number in 0..60 {
                sending.send(&frame(number, 12_000), Instant::now());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        for (_, _, track) in &viewers {
            for number in 0..60 {
                assert_eq!(next_frame(track).await.data, frame(number, 12_000).data, "frame {number}");
            }
        }
        // A batch is counted once it has left, when its first datagrams may have arrived already.
        let deadline = Instant::now() + Duration::from_secs(5);
        while server.stats().datagrams_sent <= 60 * 11 * VIEWERS as u64 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let stats = server.stats();
        assert_eq!(stats.connections, VIEWERS as u64);
        assert!(stats.datagrams_sent > 60 * 11 * VIEWERS as u64, "{stats:?}");
        if server.capabilities().send_segments > 1 {
            assert!(stats.send_calls * 4 < stats.datagrams_sent, "frames leave in few calls: {stats:?}");
        }
        drop(viewers);
        broadcast.upstream().wait_for(|upstream| upstream.demand() == 0).await;
        server.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_joiner_sees_the_whole_group_of_pictures_at_once() {
    let server = endpoint(2).await;
    let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
    // A keyframe and twenty pictures of 30 kB: more than a socket buffer of the peer would take in one go.
    for number in 30..51 {
        broadcast.send(&frame(number, 30_000), Instant::now());
    }
    let (_sender, _viewer, track) = watch(&server, &broadcast).await;
    let start = Instant::now();
    for number in 30..51 {
        assert_eq!(next_frame(&track).await.data, frame(number, 30_000).data, "frame {number}");
    }
    println!("the group came in {:?}", start.elapsed());
    broadcast.send(&frame(51, 30_000), Instant::now());
    assert_eq!(next_frame(&track).await.data, frame(51, 30_000).data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_of_a_stream_that_keeps_nothing_asks_for_a_keyframe() {
    let server = endpoint(1).await;
    let broadcast = Broadcast::with_keyframes_on_request(RtpCodec::new(Codec::Vp8));
    let mut upstream = broadcast.upstream();
    let (_sender, _viewer, track) = watch(&server, &broadcast).await;
    let asked = upstream.wait_for(|upstream| upstream.keyframe_requests() > 0);
    tokio::time::timeout(Duration::from_secs(10), asked).await.unwrap();
    broadcast.send(&frame(31, 1_000), Instant::now());
    broadcast.send(&frame(60, 1_000), Instant::now());
    assert!(next_frame(&track).await.keyframe, "what cannot be decoded is not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_group_is_too_long_to_be_kept_another_rendition_stands_in_until_the_next_keyframe() {
    let server = endpoint(2).await;
    let long = Broadcast::new(RtpCodec::new(Codec::Vp8));
    let on_request = Broadcast::with_keyframes_on_request(RtpCodec::new(Codec::Vp8));
    let (_first, _viewer, early) = watch_any(&server, vec![long.clone(), on_request.clone()]).await;
    long.upstream().wait_for(|upstream| upstream.demand() == 1).await;
    assert_eq!(on_request.upstream().demand(), 0, "nothing has been sent, so that nobody is late");
    long.send(&frame(30, 500), Instant::now());
    assert!(next_frame(&early).await.keyframe);
    for _ in 0..700 {
        long.send(&frame(31, 100), Instant::now());
    }
    let mut upstream = on_request.upstream();
    let (_sender, _late_viewer, late) = watch_any(&server, vec![long.clone(), on_request.clone()]).await;
    let asked = upstream.wait_for(|upstream| upstream.keyframe_requests() > 0);
    tokio::time::timeout(Duration::from_secs(10), asked).await.unwrap();
    on_request.send(&frame(60, 1_000), Instant::now());
    assert_eq!(next_frame(&late).await.data, frame(60, 1_000).data, "a picture at once");
    long.send(&frame(61, 1_001), Instant::now());
    on_request.send(&frame(61, 1_000), Instant::now());
    assert_eq!(next_frame(&late).await.data, frame(61, 1_000).data, "it goes on with what stands in");
    long.send(&frame(90, 1_001), Instant::now());
    assert_eq!(next_frame(&late).await.data, frame(90, 1_001).data, "the keyframe ends it");
    on_request.upstream().wait_for(|upstream| upstream.demand() == 0).await;
    assert_eq!(long.upstream().demand(), 2);
    long.send(&frame(91, 1_001), Instant::now());
    assert_eq!(next_frame(&late).await.data, frame(91, 1_001).data);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_or_awaits_what_ends_goes_on_with_what_is_left() {
    let server = endpoint(1).await;
    let [long, stand_in, last] = [false, true, true].map(|on_request| {
        let codec = RtpCodec::new(Codec::Vp8);
        if on_request { Broadcast::with_keyframes_on_request(codec) } else { Broadcast::new(codec) }
    });
    // What is sent has begun, and is not kept from its beginning.
    long.send(&frame(31, 100), Instant::now());
    let (_sender, _viewer, track) = watch_any(&server, vec![long.clone(), stand_in.clone(), last.clone()]).await;
    stand_in.upstream().wait_for(|upstream| upstream.demand() == 1).await;
    stand_in.send(&frame(60, 1_000), Instant::now());
    assert_eq!(next_frame(&track).await.data, frame(60, 1_000).data);
    // It awaited the first one; now there is nothing to wait for.
    assert_eq!(long.upstream().demand(), 1);
    long.close();
    long.upstream().wait_for(|upstream| upstream.demand() == 0).await;
    stand_in.send(&frame(61, 1_000), Instant::now());
    assert_eq!(next_frame(&track).await.data, frame(61, 1_000).data, "the one that stood in goes on");
    stand_in.close();
    last.upstream().wait_for(|upstream| upstream.demand() == 1).await;
    last.send(&frame(90, 1_000), Instant::now());
    assert_eq!(next_frame(&track).await.data, frame(90, 1_000).data, "and another takes its place");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_the_endpoint_says_goodbye_to_all() {
    let server = endpoint(2).await;
    let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
    let (sender, viewer, track) = watch(&server, &broadcast).await;
    let start = Instant::now();
    server.close().await;
    server.close().await;
    wait_for(&viewer, PeerConnectionState::Closed).await;
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(track.recv().await, None);
    assert!(sender.create_offer().await.is_err());
    assert!(PeerConnection::new(Configuration::on(&server)).await.is_err());
}
