//! Closed connections leave nothing behind: no socket, no thread, no task. Alone in its process, so that counts mean
//! something.

use std::time::{Duration, Instant};

use rtcast_peer::{
    Broadcast, Codec, Configuration, MediaKind, MediaStreamTrack, PeerConnection, PeerConnectionState, RtpCodec,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    files: usize,
    threads: usize,
    tasks: usize,
}

fn count() -> Count {
    let entries = |path: &str| std::fs::read_dir(path).expect("this system has /proc").count();
    Count {
        files: entries("/proc/self/fd"),
        threads: entries("/proc/self/task"),
        tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
    }
}

async fn call() -> (PeerConnection, PeerConnection) {
    let address = "127.0.0.1:0".parse().ok();
    let new = async || {
        let mut configuration = Configuration::default();
        configuration.address = address;
        PeerConnection::new(configuration).await.unwrap()
    };
    let (left, right) = (new().await, new().await);
    for pc in [&left, &right] {
        pc.on_track(|event| event.track.on_state_change(|_| {}));
        pc.on_ice_candidate(|_| {});
        pc.on_negotiation_needed(|| {});
        pc.on_connection_state_change(|_| {});
    }
    let broadcast = Broadcast::new(RtpCodec::new(Codec::Vp8));
    left.add_track(MediaStreamTrack::new(MediaKind::Video, vec![broadcast])).await.unwrap();
    left.set_local_description(None).await.unwrap();
    right.set_remote_description(left.local_description().unwrap()).await.unwrap();
    right.set_local_description(None).await.unwrap();
    left.set_remote_description(right.local_description().unwrap()).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while left.connection_state() != PeerConnectionState::Connected {
        assert!(Instant::now() < deadline, "{left:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    (left, right)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_closed_and_dropped_connections() {
    // What the process opens once and keeps is opened by a first call.
    drop(call().await);
    let mut before = count();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = count();
        if now == before || Instant::now() > deadline {
            break;
        }
        before = now;
    }
    let mut calls = Vec::new();
    for _ in 0..10 {
        calls.push(call().await);
    }
    let busy = count();
    assert!(busy.files >= before.files + 20 && busy.tasks >= before.tasks + 80, "{before:?}, then {busy:?}");
    for (number, (left, right)) in calls.into_iter().enumerate() {
        if number % 2 == 0 {
            left.close().await;
            left.close().await;
            let events = left.events();
            drop(events);
            assert_eq!(left.connection_state(), PeerConnectionState::Closed);
            assert!(left.create_offer().await.is_err());
        }
        // Closing one side ends the other; dropping closes as well.
        drop((left, right));
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let after = count();
        if after == before {
            break;
        }
        assert!(Instant::now() < deadline, "{before:?} became {after:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
