//! The film from webrtc-rs to any number of viewers: each picture packetised once, each viewer with a track that takes RTP.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use peer_common::{TICKS_PER_FRAME, arguments, due, serve, video};
use rtc::interceptor::Registry;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MediaEngine};
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::rtp;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use tokio::sync::Notify;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState, RTCPeerConnectionState,
};
use webrtc::runtime::default_runtime;

struct Viewer {
    /// It lives as long as the viewer.
    _connection: Arc<dyn PeerConnection>,
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    payload_type: u8,
    sequence: u16,
    begun: bool,
}

type Joined = (Arc<dyn PeerConnection>, Arc<TrackLocalStaticRTP>, (u32, u8), Arc<Signals>);

#[derive(Default)]
struct Signals {
    gathered: Notify,
    connected: std::sync::atomic::AtomicBool,
}

#[derive(Clone)]
struct Handler(Arc<Signals>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.0.gathered.notify_one();
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let connected = state == RTCPeerConnectionState::Connected;
        self.0.connected.store(connected, std::sync::atomic::Ordering::Relaxed);
    }
}

fn main() {
    let (film, port, _) = arguments();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be started");
    let handle = runtime.handle().clone();
    let (joined, joining) = mpsc::channel::<Joined>();
    let joined = Mutex::new(joined);
    serve(port, move |offer| {
        let (viewer, answer) = handle.block_on(answer(offer))?;
        joined.lock().expect("nobody panics with it").send(viewer).map_err(|error| error.to_string())?;
        Ok(answer)
    });
    runtime.block_on(async move {
        let mut waiting: Vec<Joined> = Vec::new();
        let mut viewers: Vec<Viewer> = Vec::new();
        let start = Instant::now();
        for number in 0.. {
            tokio::time::sleep((start + due(number)).saturating_duration_since(Instant::now())).await;
            waiting.extend(joining.try_iter());
            for (connection, track, (ssrc, payload_type), _) in waiting
                .extract_if(.., |(_, _, _, signals)| signals.connected.load(std::sync::atomic::Ordering::Relaxed))
            {
                viewers.push(Viewer { _connection: connection, track, ssrc, payload_type, sequence: 0, begun: false });
            }
            let frame = &film.frames[number as usize % film.frames.len()];
            let payloads: Vec<Bytes> =
                frame.payloads.iter().map(|payload| Bytes::from_owner(payload.clone())).collect();
            for viewer in &mut viewers {
                if !viewer.begun && !frame.keyframe {
                    continue;
                }
                viewer.begun = true;
                for (at, payload) in payloads.iter().enumerate() {
                    let packet = rtp::Packet {
                        header: rtp::Header {
                            version: 2,
                            marker: at + 1 == payloads.len(),
                            payload_type: viewer.payload_type,
                            sequence_number: viewer.sequence,
                            timestamp: (number as u32).wrapping_mul(TICKS_PER_FRAME),
                            ssrc: viewer.ssrc,
                            ..Default::default()
                        },
                        payload: payload.clone(),
                    };
                    viewer.sequence = viewer.sequence.wrapping_add(1);
                    // A viewer that is gone takes nothing.
                    let _ = viewer.track.write_rtp(packet).await;
                }
            }
        }
    });
}

async fn answer(offer: String) -> Result<(Joined, String), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let feedback = |typ: &str, parameter: &str| RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() };
    let codec = RTCRtpCodec {
        mime_type: MIME_TYPE_H264.to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f".to_owned(),
        rtcp_feedback: vec![feedback("nack", ""), feedback("nack", "pli"), feedback("goog-remb", "")],
    };
    let (_, payload_type) = video(&offer).ok_or("the offer has no H.264")?;
    let mut engine = MediaEngine::default();
    let parameters = RTCRtpCodecParameters { rtp_codec: codec.clone(), payload_type, ..Default::default() };
    engine.register_codec(parameters, RtpCodecKind::Video).map_err(|error| text(&error))?;
    let registry = register_default_interceptors(Registry::new(), &mut engine).map_err(|error| text(&error))?;
    let signals = Arc::new(Signals::default());
    let connection = PeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::new().build())
        .with_media_engine(engine)
        .with_interceptor_registry(registry)
        .with_handler(Arc::new(Handler(Arc::clone(&signals))))
        .with_runtime(default_runtime().ok_or("there is no runtime")?)
        .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
        .build()
        .await
        .map_err(|error| text(&error))?;
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1_000);
    let ssrc = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
        codec,
        ..Default::default()
    };
    let track = Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
        "film".to_owned(),
        "film-video".to_owned(),
        "film".to_owned(),
        RtpCodecKind::Video,
        vec![encoding],
    )));
    connection.add_track(Arc::clone(&track) as Arc<dyn TrackLocal>).await.map_err(|error| text(&error))?;
    let offer = RTCSessionDescription::offer(offer).map_err(|error| text(&error))?;
    connection.set_remote_description(offer).await.map_err(|error| text(&error))?;
    let answer = connection.create_answer(None).await.map_err(|error| text(&error))?;
    connection.set_local_description(answer).await.map_err(|error| text(&error))?;
    let gathered = tokio::time::timeout(Duration::from_secs(5), signals.gathered.notified()).await;
    gathered.map_err(|error| text(&error))?;
    let local = connection.local_description().await.ok_or("there is no answer")?;
    Ok(((Arc::new(connection), track, (ssrc, payload_type), signals), local.sdp))
}
