//! One call of webrtc-rs, whose signalling goes over standard input and output.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use peer_common::{Arguments, Message, PICTURE_INTERVAL, Report, SOUND_INTERVAL, messages, picture, sound, text};
use rtc::media::Sample;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_OPUS, MIME_TYPE_VP8};
use rtc::rtp::codec::vp8::Vp8Packet;
use rtc::rtp::packetizer::Depacketizer;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::media_stream::Track;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_sample::TrackLocalStaticSample;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceCandidateInit,
    RTCIceGatheringState, RTCPeerConnectionIceEvent, RTCPeerConnectionState, RTCSessionDescription, Registry,
    register_default_interceptors,
};
use webrtc::rtp_transceiver::RtpSender;

struct Handler {
    arguments: Arguments,
    report: Arc<Mutex<Report>>,
    gathered: watch::Sender<bool>,
    connected: watch::Sender<bool>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        if !self.arguments.trickles {
            return;
        }
        let candidate = event.candidate.to_json().expect("a candidate");
        let mut message = serde_json::to_value(candidate).expect("it is JSON");
        message["type"] = json!("candidate");
        println!("{message}");
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.send_replace(true);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            self.connected.send_replace(true);
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        tokio::spawn(receive(track, Arc::clone(&self.report)));
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        tokio::spawn(echo(channel, Arc::clone(&self.report)));
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = Arguments::read();
    let (said, mut hearing) = mpsc::unbounded_channel();
    std::thread::spawn(move || peer_common::read_lines(|message| drop(said.send(message))));
    let mut engine = MediaEngine::default();
    for (kind, codec, payload_type) in [(RtpCodecKind::Audio, opus(), 111), (RtpCodecKind::Video, vp8(), 96)] {
        let codec = RTCRtpCodecParameters { rtp_codec: codec, payload_type, ..Default::default() };
        engine.register_codec(codec, kind).expect("a codec of its own");
    }
    let registry = register_default_interceptors(Registry::new(), &mut engine).expect("its own interceptors");
    let report = Arc::new(Mutex::new(Report::default()));
    let (gathered, connected) = (watch::Sender::new(false), watch::Sender::new(false));
    let handler =
        Handler { arguments, report: Arc::clone(&report), gathered: gathered.clone(), connected: connected.clone() };
    let pc = PeerConnectionBuilder::new()
        .with_media_engine(engine)
        .with_interceptor_registry(registry)
        .with_handler(Arc::new(handler))
        .with_runtime(webrtc::runtime::default_runtime().expect("tokio is there"))
        .with_udp_addrs(vec!["127.0.0.1:0"])
        .build()
        .await
        .expect("a connection");
    let mut tracks = Vec::new();
    for (kind, codec, ssrc) in [(RtpCodecKind::Audio, opus(), 0x0a0d_1000), (RtpCodecKind::Video, vp8(), 0x71de_0000)] {
        let coding = RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() };
        let encoding = RTCRtpEncodingParameters { rtp_coding_parameters: coding, codec, ..Default::default() };
        let name = kind.to_string();
        let track = MediaStreamTrack::new("stream".into(), name.clone(), name, kind, vec![encoding]);
        let track = Arc::new(TrackLocalStaticSample::new(Instant::now(), track).expect("a packetiser"));
        let sender = pc.add_track(Arc::clone(&track) as Arc<dyn TrackLocal>).await.expect("a sender");
        tracks.push((kind, track, sender));
    }
    if arguments.offers {
        let channel = pc.create_data_channel("chat", None).await.expect("a channel");
        tokio::spawn(ask(channel, Arc::clone(&report)));
        let offer = pc.create_offer(None).await.expect("an offer");
        describe(&pc, arguments, offer, gathered.subscribe()).await;
    }
    for (kind, track, sender) in tracks {
        tokio::spawn(send(kind, track, sender, connected.subscribe()));
    }
    while let Some(message) = hearing.recv().await {
        match text(&message, "type") {
            "offer" => {
                pc.set_remote_description(description(&message)).await.expect("an offer that webrtc-rs takes");
                let answer = pc.create_answer(None).await.expect("an answer");
                describe(&pc, arguments, answer, gathered.subscribe()).await;
            }
            "answer" => pc.set_remote_description(description(&message)).await.expect("an answer that webrtc-rs takes"),
            "candidate" => {
                let candidate: RTCIceCandidateInit = serde_json::from_value(message).expect("a candidate");
                pc.add_ice_candidate(candidate).await.expect("a candidate that webrtc-rs takes");
            }
            "report" => println!("{}", lock(&report).to_json()),
            _ => {}
        }
    }
    pc.close().await.expect("its end");
}

fn opus() -> RTCRtpCodec {
    codec(MIME_TYPE_OPUS, 48_000, 2)
}

fn vp8() -> RTCRtpCodec {
    codec(MIME_TYPE_VP8, 90_000, 0)
}

fn codec(name: &str, clock_rate: u32, channels: u16) -> RTCRtpCodec {
    RTCRtpCodec { mime_type: name.to_owned(), clock_rate, channels, ..Default::default() }
}

fn description(message: &Value) -> RTCSessionDescription {
    serde_json::from_value(message.clone()).expect("a description")
}

/// Sets our description and tells it: with all candidates, or without any, which then follow.
async fn describe(
    pc: &impl PeerConnection,
    arguments: Arguments,
    ours: RTCSessionDescription,
    mut gathered: watch::Receiver<bool>,
) {
    let mut told = json!({ "type": arguments.description_type(), "sdp": ours.sdp.clone() });
    if arguments.trickles {
        println!("{told}");
    }
    pc.set_local_description(ours).await.expect("a description of its own");
    if !arguments.trickles {
        gathered.wait_for(|gathered| *gathered).await.expect("the handler stays");
        told["sdp"] = json!(pc.local_description().await.expect("it was set").sdp);
        println!("{told}");
    }
}

async fn send(
    kind: RtpCodecKind,
    track: Arc<TrackLocalStaticSample>,
    sender: Arc<dyn RtpSender>,
    mut connected: watch::Receiver<bool>,
) {
    connected.wait_for(|connected| *connected).await.expect("the handler stays");
    let parameters = sender.get_parameters().await.expect("a sender has parameters");
    let payload_type = parameters.rtp_parameters.codecs.first().expect("a negotiated codec").payload_type;
    let ssrc = *track.ssrcs().await.first().expect("a source");
    let interval = if kind == RtpCodecKind::Audio { SOUND_INTERVAL } else { PICTURE_INTERVAL };
    let mut ticks = tokio::time::interval(interval);
    for number in 0.. {
        ticks.tick().await;
        let data = if kind == RtpCodecKind::Audio { sound(number) } else { picture(number) };
        let sample = Sample { data: data.into(), duration: interval, ..Sample::new(Instant::now()) };
        if let Err(error) = track.sample_writer(ssrc, payload_type).write_sample(&sample).await {
            eprintln!("frame {number} of {kind} was not sent: {error}");
        }
    }
}

async fn receive(track: Arc<dyn TrackRemote>, report: Arc<Mutex<Report>>) {
    let kind = track.kind().await;
    // A picture so far, and the number of the packet that goes on with it.
    let mut partial: Option<(Vec<u8>, u16)> = None;
    while let Some(event) = track.poll().await {
        let TrackRemoteEvent::OnRtpPacket(packet) = event else { continue };
        if kind == RtpCodecKind::Audio {
            lock(&report).sound(&packet.payload);
            continue;
        }
        let mut format = Vp8Packet::default();
        let payload: Bytes = packet.payload.clone();
        let Ok(part) = format.depacketize(&payload) else { continue };
        let number = packet.header.sequence_number;
        if format.s == 1 && format.pid == 0 {
            partial = Some((Vec::new(), number));
        }
        // What misses a packet is no picture; the stream goes on with the next.
        let Some((mut data, _)) = partial.take().filter(|(_, expected)| *expected == number) else { continue };
        data.extend_from_slice(&part);
        match packet.header.marker {
            true => lock(&report).picture(&data),
            false => partial = Some((data, number.wrapping_add(1))),
        }
    }
}

/// Sends every message on a channel of ours, and takes what comes back.
async fn ask(channel: Arc<dyn DataChannel>, report: Arc<Mutex<Report>>) {
    while let Some(event) = channel.poll().await {
        match event {
            DataChannelEvent::OnOpen => {
                for message in messages() {
                    write(&channel, &message).await;
                }
            }
            DataChannelEvent::OnMessage(message) => {
                lock(&report).echo(Message { binary: !message.is_string, data: message.data.to_vec() });
            }
            _ => {}
        }
    }
}

/// Sends every message back.
async fn echo(channel: Arc<dyn DataChannel>, report: Arc<Mutex<Report>>) {
    while let Some(event) = channel.poll().await {
        if let DataChannelEvent::OnMessage(message) = event {
            write(&channel, &Message { binary: !message.is_string, data: message.data.to_vec() }).await;
            lock(&report).echoed();
        }
    }
}

async fn write(channel: &Arc<dyn DataChannel>, message: &Message) {
    let sent = match message.binary {
        true => channel.send(BytesMut::from(&message.data[..])).await,
        false => channel.send_text(std::str::from_utf8(&message.data).expect("a string")).await,
    };
    sent.expect("a message that webrtc-rs takes");
}

fn lock(report: &Mutex<Report>) -> MutexGuard<'_, Report> {
    report.lock().unwrap_or_else(PoisonError::into_inner)
}
