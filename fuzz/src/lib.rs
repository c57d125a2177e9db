//! What each fuzz target does with its bytes.
//!
//! The targets under `fuzz_targets/` call these functions, and so does the test `corpus` of `rtcast-proto`, which runs
//! every file of the corpora on every machine.

mod dtls;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtcast_proto::data_channel::dcep_round_trip;
use rtcast_proto::ice::{
    FramingKind, IceCredentials, IceServerUrl, IceTransport, LocalCandidate, StreamFraming, binding_owner,
    binding_response, is_authentic_check, mdns_answers, mdns_query, username_of,
};
use rtcast_proto::jitter::{JitterBuffer, JitterConfig, ReceivedPacket};
use rtcast_proto::payload::{self, Packetizer};
use rtcast_proto::rtcp::{self, RtcpPacket, RtcpWriter};
use rtcast_proto::rtp::{self, RtpPacket};
use rtcast_proto::sctp::{
    Association, OutgoingMessage, PayloadProtocolId, Reliability, SctpAssociation, SctpConfig, SctpEvent, SctpState,
    StreamId,
};
use rtcast_proto::sdp::{SdpLines, Session};
use rtcast_proto::srtp::{SrtpProfile, SrtpSession};
use rtcast_proto::{
    Codec, Frame, IceCandidate, Jsep, JsepConfig, LocalTransport, MediaKind, MediaTime, SdpType, SessionDescription,
    Ssrc,
};

pub use dtls::{certificate, dtls_packets};

/// A function that takes any bytes and panics only if it found a mistake.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("certificate", certificate),
    ("dcep_message", dcep_message),
    ("depacketize_h264", depacketize_h264),
    ("depacketize_vp8", depacketize_vp8),
    ("depacketize_vp9", depacketize_vp9),
    ("depacketize_av1", depacketize_av1),
    ("depacketize_sound", depacketize_sound),
    ("dtls_packets", dtls_packets),
    ("frame_headers", frame_headers),
    ("ice_server_url", ice_server_url),
    ("jitter_buffer", jitter_buffer),
    ("jsep_offer", jsep_offer),
    ("mdns_message", mdns_message),
    ("packetize", packetize),
    ("rtcp_packets", rtcp_packets),
    ("rtp_header", rtp_header),
    ("sctp_packet", sctp_packet),
    ("sdp_repeated", sdp_repeated),
    ("sdp_session", sdp_session),
    ("signalling_json", signalling_json),
    ("srtp_packet", srtp_packet),
    ("stream_framing", stream_framing),
    ("stun_binding", stun_binding),
    ("stun_message", stun_message),
];

/// Joins H.264 payloads.
pub fn depacketize_h264(data: &[u8]) {
    depacketize(Codec::H264, data);
}

/// Joins VP8 payloads.
pub fn depacketize_vp8(data: &[u8]) {
    depacketize(Codec::Vp8, data);
}

/// Joins VP9 payloads.
pub fn depacketize_vp9(data: &[u8]) {
    depacketize(Codec::Vp9, data);
}

/// Joins AV1 payloads.
pub fn depacketize_av1(data: &[u8]) {
    depacketize(Codec::Av1, data);
}

/// Joins payloads of Opus and of G.711.
pub fn depacketize_sound(data: &[u8]) {
    depacketize(Codec::Opus, data);
    depacketize(Codec::Pcmu, data);
}

/// Reads the headers inside frames of every codec.
pub fn frame_headers(data: &[u8]) {
    for codec in Codec::ALL {
        payload::is_keyframe(codec, data);
        payload::starts_frame(codec, data);
        payload::starts_keyframe(codec, data);
    }
    payload::vp8::keyframe_size(data);
    payload::vp9::keyframe_size(data);
    let mut set = None;
    for unit in payload::h264::nal_units(data) {
        assert!(!unit.is_empty());
        set = payload::h264::SequenceParameterSet::parse(unit).or(set);
        if let Some(set) = &set {
            payload::h264::SliceHeader::parse(unit, set);
            assert!(set.profile_level_id().len() == 6 && set.width > 0 && set.height > 0);
            set.reorders_pictures();
        }
    }
    payload::h264::SequenceParameterSet::parse(data);
    assert!(payload::av1::obus(data).count() <= data.len());
}

/// Cuts any bytes as a frame of every codec: what is taken must come back, and then stay the same.
pub fn packetize(data: &[u8]) {
    let Some((&size, data)) = data.split_first() else {
        return;
    };
    for codec in Codec::ALL {
        let Some(once) = there_and_back(codec, usize::from(size) * 4, data) else {
            continue;
        };
        if !matches!(codec, Codec::H264 | Codec::Av1) {
            assert_eq!(once, data);
        }
        assert_eq!(there_and_back(codec, usize::from(size) * 3, &once).as_ref(), Some(&once));
    }
}

/// Receives packets in any order and at any time.
pub fn jitter_buffer(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else {
        return;
    };
    let codec = Codec::ALL[usize::from(kind) % Codec::ALL.len()];
    let config = JitterConfig { retransmission: kind & 0x80 != 0, max_packets: 64, max_bytes: 16 << 10, max_frames: 8 };
    let mut buffer = JitterBuffer::new(codec, config);
    let mut now = some_instant();
    let mut index = 1_000_u64;
    let mut timestamp = 0_u32;
    let mut pushed = 0;
    let mut last = None;
    let mut frames = 0;
    for piece in pieces(data) {
        let Some((&[flags, step, ticks], payload)) = piece.split_first_chunk::<3>() else {
            continue;
        };
        now += Duration::from_millis([0, 5, 60, 1_100][usize::from(flags >> 2 & 3)]);
        let step = i64::from(step.cast_signed());
        index = index.wrapping_add_signed([1, step, step << 6, step << 48][usize::from(flags >> 4 & 3)]);
        timestamp = timestamp.wrapping_add_signed(i32::from(ticks.cast_signed()) * 3_000);
        let payload = Bytes::copy_from_slice(payload);
        buffer.push(now, ReceivedPacket { index, timestamp, marker: flags & 1 != 0, payload });
        pushed += 1;
        assert!(buffer.poll_nack(now).len() <= 1_000);
        buffer.poll_keyframe_request(now);
        if flags & 2 != 0 {
            continue;
        }
        while let Some(frame) = buffer.pop(now) {
            assert!(!frame.data.is_empty());
            assert!(frame.keyframe || last.is_some(), "the first frame is one at which decoding can start");
            assert!(last.is_none_or(|last| last <= frame.timestamp), "time runs backwards");
            last = Some(frame.timestamp);
            frames += 1;
        }
        if let Some(at) = buffer.poll_timeout() {
            assert!(at <= now + Duration::from_millis(1_500), "nothing is waited for so long");
        }
    }
    let statistics = buffer.statistics();
    assert_eq!((statistics.packets_received, statistics.frames_delivered), (pushed, frames));
}

/// Reads an RTP packet and its header extensions.
pub fn rtp_header(data: &[u8]) {
    if let Ok(packet) = RtpPacket::parse(data) {
        assert!(packet.header_length + packet.payload.len() <= data.len());
        if let Some((profile, block)) = packet.extension {
            assert!(rtp::extensions(profile, block).all(|(_, value)| value.len() < block.len()));
        }
    }
    if let Some((profile, block)) = data.split_first_chunk::<2>() {
        assert!(rtp::extensions(u16::from_be_bytes(*profile), block).count() <= block.len());
    }
}

/// Reads a compound of RTCP packets; what misses packets is written and read again.
pub fn rtcp_packets(data: &[u8]) {
    for packet in rtcp::packets(data).map_while(Result::ok) {
        match packet {
            RtcpPacket::TransportFeedback(feedback) => {
                let mut writer = RtcpWriter::default();
                writer.transport_feedback(Ssrc(1), &feedback);
                let again: Vec<_> = rtcp::packets(writer.bytes()).collect();
                assert_eq!(again, [Ok(RtcpPacket::TransportFeedback(feedback))]);
            }
            RtcpPacket::Nack { media, lost } => {
                assert!(lost.len() <= data.len() * 17 / 4);
                let mut writer = RtcpWriter::default();
                writer.nack(Ssrc(1), media, &lost);
                let mut again: Vec<u16> = Vec::new();
                for packet in rtcp::packets(writer.bytes()) {
                    let Ok(RtcpPacket::Nack { lost, .. }) = packet else {
                        panic!("a NACK was written and {packet:?} was read");
                    };
                    again.extend(lost);
                }
                assert!(lost.iter().all(|number| again.contains(number)));
            }
            RtcpPacket::SenderReport { reports, .. } | RtcpPacket::ReceiverReport { reports, .. } => {
                assert!(reports.len() <= 31);
            }
            RtcpPacket::ReceiverEstimatedMaximumBitrate { bitrate, .. } => drop(bitrate.to_string()),
            _ => {}
        }
    }
}

/// Reads an SDP; what was read is written and read again.
pub fn sdp_session(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Session::parse(text) {
        Ok(session) => {
            let written = session.to_string();
            let again = Session::parse(&written).expect("what was written can be read");
            assert_eq!(again, session);
        }
        Err(error) => drop((
            error.to_string(),
            rtcast_proto::Hint::hint(&error).map(|hint| hint.len()),
            rtcast_proto::Hint::problem(&error),
        )),
    }
    if let Ok(lines) = SdpLines::parse(text) {
        SdpLines::parse(&lines.to_string()).expect("what was written can be read");
    }
}

/// Reads descriptions and candidates as they come by signalling.
pub fn signalling_json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match SessionDescription::from_json(text) {
        Ok(description) => {
            assert_eq!(SessionDescription::from_json(&description.to_json()).ok().as_ref(), Some(&description));
        }
        Err(error) => drop(error.to_string()),
    }
    match IceCandidate::from_json(text) {
        Ok(candidate) => {
            assert_eq!(IceCandidate::from_json(&candidate.to_json()).ok().as_ref(), Some(&candidate));
        }
        Err(error) => drop(error.to_string()),
    }
    let candidate = IceCandidate { candidate: text.to_owned(), ..IceCandidate::default() };
    if let Ok(Some(parsed)) = candidate.parsed() {
        let again = IceCandidate { candidate: parsed.to_string(), ..IceCandidate::default() }.parsed();
        assert_eq!(again.ok().flatten().as_ref(), Some(&parsed));
    }
}

/// Takes an offer and answers it. An offer that is refused changes nothing.
pub fn jsep_offer(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(offer) = SessionDescription::new(SdpType::Offer, text) else {
        return;
    };
    let transport = LocalTransport {
        ice_ufrag: "answerer".to_owned(),
        ice_pwd: "0123456789012345678901".to_owned(),
        fingerprints: vec![format!("sha-256 {}", ["AB"; 32].join(":")).parse().expect("a good fingerprint")],
        ..LocalTransport::default()
    };
    let mut jsep = Jsep::new(JsepConfig::default(), [7; 32]);
    let _ = jsep.add_track(MediaKind::Video, "track", &["stream".to_owned()]);
    let (state, transceivers) = (jsep.signaling_state(), jsep.transceivers().len());
    match jsep.set_remote_description(&offer) {
        Ok(_) => {
            let answer = jsep.create_answer(&transport).expect("what was taken can be answered");
            jsep.set_local_description(&answer).expect("our own answer is good");
            assert_eq!(answer.session().media.len(), offer.session().media.len());
        }
        Err(error) => {
            drop(error.to_string());
            assert!(jsep.remote_description().is_none());
            assert_eq!((jsep.signaling_state(), jsep.transceivers().len()), (state, transceivers));
        }
    }
}

/// An offer in which some lines, or words, come again and again, at 4 KiB and at 64 KiB: to read it and to answer it may
/// cost no more than ten times what it would if the cost grew as the length does.
///
/// What stands before an empty line comes once, what stands behind it again and again, with a `#` for its number and a `%`
/// for its number below 128. What begins with a blank or a semicolon goes on in the line before.
pub fn sdp_repeated(data: &[u8]) {
    const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-ufrag:repeated\r\n\
                        a=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\na=fingerprint:sha-256 ";
    const SHORT: usize = 4 << 10;
    const LONG: usize = 64 << 10;
    /// Times below this say nothing about what they would grow to.
    const LEAST: Duration = Duration::from_millis(1);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (once, block) = text.split_once("\n\n").unwrap_or(("", text));
    if block.trim().is_empty() {
        return;
    }
    let of_length = |length: usize| {
        let end = if once.is_empty() || block.starts_with([' ', ';']) { "" } else { "\n" };
        let mut text = format!("{HEAD}{}\r\n{once}{end}", ["AB"; 32].join(":"));
        for number in 0.. {
            if text.len() + block.len() + 8 > length {
                return text;
            }
            text += &block.replace('#', &number.to_string()).replace('%', &(number % 128).to_string());
        }
        text
    };
    let cost = |text: &str| {
        let start = Instant::now();
        jsep_offer(text.as_bytes());
        start.elapsed()
    };
    let (short, long) = (of_length(SHORT), of_length(LONG));
    let mut costs = (cost(&short).max(LEAST), cost(&long));
    // A machine that has other things to do may be late at times, not each time.
    for _ in 0..5 {
        if costs.1 <= costs.0 * 10 * (LONG / SHORT) as u32 {
            return;
        }
        costs = (costs.0.max(cost(&short)), costs.1.min(cost(&long)));
    }
    panic!("{:?} for 4 KiB and {:?} for 64 KiB", costs.0, costs.1);
}

/// Takes packets that nobody with the keys has sent: none may pass.
pub fn srtp_packet(data: &[u8]) {
    for profile in [SrtpProfile::AeadAes128Gcm, SrtpProfile::Aes128CmSha1_80] {
        let mut session = SrtpSession::new(profile, &[7; 128], true).expect("enough keying material");
        for piece in pieces(data) {
            assert!(session.unprotect_rtp(&mut piece.to_vec()).is_err());
            assert!(session.unprotect_rtcp(&mut piece.to_vec()).is_err());
        }
    }
}

/// Takes apart the URL of a STUN or TURN server.
pub fn ice_server_url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match IceServerUrl::parse(text) {
        Ok(server) => assert!(server.port != 0 && !server.host.is_empty()),
        Err(error) => drop(error.to_string()),
    }
}

/// Cuts a stream into messages, in pieces of one size and whole: the messages are the same.
pub fn stream_framing(data: &[u8]) {
    let [kind, step, stream @ ..] = data else { return };
    let kind = if kind.is_multiple_of(2) { FramingKind::Turn } else { FramingKind::Length };
    let messages = |step: usize| {
        let mut framing = StreamFraming::new(kind);
        let mut messages = Vec::new();
        for piece in stream.chunks(step.max(1)) {
            framing.push(piece);
            while let Some(message) = framing.next_message() {
                messages.push(message.to_vec());
            }
        }
        messages
    };
    assert_eq!(messages(usize::from(*step)), messages(stream.len()));
}

/// Reads the answers of an mDNS message, and asks for whatever name is in it.
pub fn mdns_message(data: &[u8]) {
    assert!(mdns_answers(data, "name.local").len() <= 64);
    if let Ok(name) = std::str::from_utf8(data)
        && let Some(query) = mdns_query(name)
    {
        assert!(query.len() < 300);
    }
}

/// Reads what a STUN server answers.
pub fn stun_binding(data: &[u8]) {
    binding_owner(data);
    if let Some(Err((code, text))) = binding_response(data) {
        assert!(code < 800 && text.chars().count() <= 128);
    }
}

/// Takes STUN messages at a port that is known to the peer.
pub fn stun_message(data: &[u8]) {
    let now = some_instant();
    let local = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 4_000));
    let remote = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 2), 5_000));
    let mut ice = IceTransport::new(&IceCredentials::from_random("", [1; 32]), [3; 32]);
    ice.add_local(LocalCandidate::host(local)).expect("a good address");
    ice.start();
    ice.set_remote_credentials(&IceCredentials::from_random("", [2; 32]));
    ice.handle_timeout(now);
    for (count, piece) in pieces(data).into_iter().take(20).enumerate() {
        username_of(piece);
        binding_owner(piece);
        is_authentic_check(piece, "VOkJxbRl1RmTxUk/WvJxBt");
        let now = now + Duration::from_millis(20 * count as u64);
        ice.handle_packet(now, remote, local, piece);
        while ice.poll_transmit().is_some() {}
    }
    if let Ok(text) = std::str::from_utf8(data) {
        if let Err(error) = ice.add_remote_candidate(text) {
            drop(error.to_string());
        }
        ice.handle_timeout(now + Duration::from_secs(1));
        any_credentials(text, local, now);
    }
}

/// Checks an address by credentials that a description may have, however long.
fn any_credentials(text: &str, local: SocketAddr, now: Instant) {
    let mut ice = IceTransport::new(&IceCredentials::from_random("A", [1; 32]), [3; 32]);
    ice.add_local(LocalCandidate::host(local)).expect("a good address");
    let text: String = text.chars().filter(|letter| letter.is_ascii_graphic()).take(256).collect();
    ice.set_remote_credentials(&IceCredentials { username_fragment: text.clone(), password: text });
    ice.start();
    ice.add_remote_candidate("candidate:1 1 udp 1 10.0.0.9 9 typ host").expect("a good candidate");
    for step in 0..3 {
        ice.handle_timeout(now + Duration::from_millis(300 * step));
        while ice.poll_transmit().is_some() {}
    }
}

/// Reads a message about a data channel; what was read is written and read again.
pub fn dcep_message(data: &[u8]) {
    dcep_round_trip(data);
}

/// Takes chunks that only the peer could send, in a packet each, in the middle of an association.
pub fn sctp_packet(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else {
        return;
    };
    let mut now = some_instant();
    let config = SctpConfig { interleaving: kind & 1 != 0, receive_buffer: 1 << 20, ..SctpConfig::default() };
    let mut ends = [1, 2].map(|seed| Association::new(config, [seed; 32]));
    let mut packet = Vec::new();
    // RFC 9260 §3.3.2: the first packet of either end, an INIT and an INIT ACK, holds its tag and its first TSN.
    let mut first: [Option<([u8; 4], u32)>; 2] = [None; 2];
    ends[0].connect(now);
    for _ in 0..4 {
        for from in 0..2 {
            while ends[from].poll_transmit(now, &mut packet) {
                let word = |at: usize| [packet[at], packet[at + 1], packet[at + 2], packet[at + 3]];
                first[from].get_or_insert_with(|| (word(16), u32::from_be_bytes(word(28))));
                ends[1 - from].handle_input(now, &packet);
            }
        }
    }
    let [Some((tag, ours)), Some((_, theirs))] = first else {
        panic!("no handshake");
    };
    let [mut association, _] = ends;
    assert_eq!(association.state(), SctpState::Connected);
    if kind & 2 != 0 {
        for stream in 0..3 {
            let message = OutgoingMessage {
                stream: StreamId(stream),
                ppid: PayloadProtocolId(53),
                data: vec![stream as u8; 5_000].into(),
                unordered: stream == 1,
                reliability: Reliability { max_retransmits: (stream == 2).then_some(0), max_packet_life_time: None },
            };
            association.send(now, message).expect("there is room");
        }
    }
    let mut delivered = 0;
    for chunks in pieces(data) {
        let mut bytes = [&[0x13, 0x88, 0x13, 0x88], &tag[..], &[0; 4], chunks].concat();
        // The numbers of the corpora begin with 100.
        let (place, base) = match chunks.first() {
            Some(0 | 64 | 192 | 194) => (16, theirs),
            Some(130) => (20, theirs),
            _ => (16, ours),
        };
        if let Some(number) = bytes.get_mut(place..place + 4).filter(|_| chunks.first() != Some(&1)) {
            let value = u32::from_be_bytes([number[0], number[1], number[2], number[3]]);
            number.copy_from_slice(&value.wrapping_add(base).wrapping_sub(100).to_be_bytes());
        }
        if kind & 4 != 0 {
            bytes = chunks.to_vec();
        }
        association.handle_input(now, &bytes);
        let mut packets = 0;
        while association.poll_transmit(now, &mut packet) {
            assert!(packet.len() <= 1_160);
            packets += 1;
            assert!(packets < 1_000, "an answer without end");
        }
        while let Some(event) = association.poll_event() {
            if let SctpEvent::Message { data: message, .. } = event {
                delivered += message.len();
                association.consumed(message.len());
            }
        }
        if let Some(at) = association.poll_timeout().filter(|_| kind & 8 != 0) {
            now = now.max(at);
            association.handle_timeout(now);
        }
    }
    assert!(delivered <= data.len(), "more came out than went in");
}

fn there_and_back(codec: Codec, max_payload: usize, data: &[u8]) -> Option<Bytes> {
    let frame = Frame::new(codec, Bytes::copy_from_slice(data), MediaTime::ZERO)
        .with_keyframe(payload::is_keyframe(codec, data));
    // Sound is not cut.
    let max_payload =
        if codec == Codec::Opus || codec == Codec::Pcmu || codec == Codec::Pcma { 1 << 16 } else { max_payload };
    let packets = Packetizer::new(codec, max_payload).packetize(&frame, some_instant()).ok()?;
    let payloads: Vec<&[u8]> = packets.iter().collect();
    let most = max_payload.max(payload::MIN_PAYLOAD_LENGTH);
    assert!(payloads.iter().all(|payload| !payload.is_empty() && payload.len() <= most));
    // A frame of a delimiter alone, or of OBUs that are dropped, has been refused before.
    Some(payload::depacketize(codec, &payloads).expect("what was just cut can be joined").data)
}

fn depacketize(codec: Codec, data: &[u8]) {
    let payloads = pieces(data);
    for payload in &payloads {
        payload::starts_frame(codec, payload);
        payload::starts_keyframe(codec, payload);
    }
    let given: usize = payloads.iter().map(|payload| 3 * payload.len() + 8).sum();
    if let Ok(joined) = payload::depacketize(codec, &payloads) {
        assert!(!joined.data.is_empty() && joined.data.len() <= given);
    }
}

/// Cuts the bytes into pieces: each stands behind two bytes, of which eleven bits say its length.
fn pieces(mut data: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length) & 0x7ff);
        let (piece, rest) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        data = rest;
    }
    pieces
}

fn some_instant() -> Instant {
    Instant::now()
}
