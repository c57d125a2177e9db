//! Writes the first files of the corpora, from the clips that `rtcast-proto` is tested with:
//! `cargo run --bin seed`, in `fuzz/`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;
use std::{fs, io};

use rtcast_proto::dtls::{Certificate, DimplEndpoint, DtlsEndpoint, DtlsOutput, DtlsRole, DtlsVersion};
use rtcast_proto::ice::{IceCredentials, IceRole, IceTransport, LocalCandidate};
use rtcast_proto::payload::{Packetizer, h264, is_keyframe};
use rtcast_proto::rtcp::{ReportBlock, RtcpWriter, SenderInfo};
use rtcast_proto::rtp::{ExtensionWriter, write_header};
use rtcast_proto::{
    Bitrate, Codec, Frame, MediaTime, PayloadType, SdpType, SequenceNumber, SessionDescription, Ssrc,
};

const CLIPS: [(&str, Codec, &str); 7] = [
    ("h264_high.h264", Codec::H264, "depacketize_h264"),
    ("h264_slices.h264", Codec::H264, "depacketize_h264"),
    ("vp8.ivf", Codec::Vp8, "depacketize_vp8"),
    ("vp9.ivf", Codec::Vp9, "depacketize_vp9"),
    ("vp9_superframe.ivf", Codec::Vp9, "depacketize_vp9"),
    ("av1_aom.ivf", Codec::Av1, "depacketize_av1"),
    ("av1_svt.ivf", Codec::Av1, "depacketize_av1"),
];

fn main() -> io::Result<()> {
    for (file, codec, corpus) in CLIPS {
        let clip = fs::read(format!("../crates/rtcast-proto/tests/fixtures/{file}"))?;
        let frames = if codec == Codec::H264 { access_units(&clip) } else { ivf_frames(&clip) };
        for (index, data) in frames.iter().take(4).enumerate() {
            let name = format!("{}_{index}", file.replace('.', "_"));
            if index == 0 {
                let short: Vec<Vec<u8>> = frames.iter().filter(|data| data.len() < 1_500).take(4).cloned().collect();
                write("jitter_buffer", &name, &received(codec, &short))?;
            }
            write("frame_headers", &name, &data[..data.len().min(200)])?;
            if data.len() < 3_000 {
                write("packetize", &name, &[&[75], data.as_slice()].concat())?;
            }
            for length in [150, 1_100] {
                write(corpus, &format!("{name}_{length}"), &packets(codec, length, data))?;
            }
        }
    }
    for (index, length) in [1, 40, 160, 390].into_iter().enumerate() {
        let sound = packets(Codec::Opus, 1_200, &vec![0xfc; length]);
        write("depacketize_sound", &format!("sound_{index}"), &sound)?;
        write("jitter_buffer", &format!("sound_{index}"), &received(Codec::Opus, &vec![vec![0xfc; length]; 6]))?;
    }
    rtp()?;
    rtcp()?;
    descriptions()?;
    sctp()?;
    dtls()?;
    stun()
}

/// What each side of a handshake with RSA certificates receives.
fn dtls() -> io::Result<()> {
    let pem = fs::read_to_string("../crates/rtcast-proto/tests/fixtures/rsa_certificate.pem")?;
    let certificate = Certificate::from_pem(&pem).map_err(io::Error::other)?;
    for (number, version) in [DtlsVersion::V1_2, DtlsVersion::V1_3, DtlsVersion::Auto].into_iter().enumerate() {
        let now = Instant::now();
        let new = |role| DimplEndpoint::new(role, version, &certificate, now).map_err(io::Error::other);
        let mut sides = [new(DtlsRole::Client)?, new(DtlsRole::Server)?];
        let mut received = [Vec::new(), Vec::new()];
        for turn in 0..12 {
            let mut buffer = [0; 2_048];
            let mut sent = Vec::new();
            sides[turn % 2].handle_timeout(now).map_err(io::Error::other)?;
            loop {
                match sides[turn % 2].poll_output(&mut buffer) {
                    DtlsOutput::Packet(packet) => sent.push(packet.to_vec()),
                    DtlsOutput::Timeout(_) => break,
                    _ => {}
                }
            }
            for packet in sent {
                sides[1 - turn % 2].handle_packet(&packet).map_err(io::Error::other)?;
                received[1 - turn % 2].extend((packet.len() as u16).to_le_bytes());
                received[1 - turn % 2].extend(packet);
            }
        }
        for (role, received) in received.iter().enumerate() {
            let kind = (number << 1 | role) as u8;
            write("dtls_packets", &format!("handshake_{kind}"), &[&[kind], received.as_slice()].concat())?;
        }
    }
    Ok(())
}

fn rtp() -> io::Result<()> {
    let mut extensions = ExtensionWriter::default();
    extensions.push(1, b"0");
    extensions.push(3, &[1, 2, 3]);
    let block = extensions.finish();
    for (name, extension) in [("plain", &[][..]), ("extension", &block)] {
        let mut packet = [0; 64];
        write_header(&mut packet, true, PayloadType::new(96), SequenceNumber(9), 3_000, Ssrc(5), extension);
        write("rtp_header", name, &packet)?;
        write("srtp_packet", name, &[&[64, 0], packet.as_slice(), &[64, 0], &packet].concat())?;
        write("srtp_packet", &format!("{name}_short"), &[&[26, 0], &packet[..26]].concat())?;
        packet[0] |= 0x21;
        packet[63] = 8;
        write("rtp_header", &format!("{name}_padded"), &packet)?;
    }
    write("rtp_header", "two_byte_extension", &[0x10, 0x00, 1, 1, b'0', 2, 0, 3, 2, 7, 7, 0])
}

fn rtcp() -> io::Result<()> {
    let report = ReportBlock {
        ssrc: Ssrc(7),
        fraction_lost: 3,
        cumulative_lost: -2,
        highest_sequence: 70_000,
        jitter: 11,
        last_sender_report: 0x1234_5678,
        delay_since_last: 655,
    };
    let info = SenderInfo { ntp_time: 0xdead_beef_0000_0000, rtp_time: 90_000, packet_count: 12, octet_count: 12_000 };
    let mut writer = RtcpWriter::default();
    writer.sender_report(Ssrc(1), &info, &[report]);
    writer.source_description(Ssrc(1), "name@example");
    write("rtcp_packets", "sender_report", writer.bytes())?;
    writer.clear();
    writer.receiver_report(Ssrc(1), &[report, report]);
    writer.nack(Ssrc(1), Ssrc(7), &[1, 2, 9, 40, 65_535]);
    writer.picture_loss_indication(Ssrc(1), Ssrc(7));
    write("rtcp_packets", "receiver_report", writer.bytes())?;
    writer.full_intra_request(Ssrc(1), Ssrc(7), 3);
    writer.receiver_estimated_maximum_bitrate(Ssrc(1), Bitrate::from_kbps(2_500), &[Ssrc(7), Ssrc(8)]);
    writer.goodbye(&[Ssrc(1), Ssrc(2)]);
    write("rtcp_packets", "everything", writer.bytes())
}

fn descriptions() -> io::Result<()> {
    for name in ["chromium_offer_recvonly", "firefox_offer_recvonly"] {
        let text = fs::read_to_string(format!("../crates/rtcast-proto/tests/fixtures/{name}.sdp"))?;
        let description = SessionDescription::new(SdpType::Offer, text.as_str()).map_err(io::Error::other)?;
        // One m-line is enough, and whatever stands before it.
        let short: Vec<&str> = text.split_inclusive("m=").take(2).collect();
        let short = short.concat().trim_end_matches("m=").to_owned();
        for corpus in ["sdp_session", "jsep_offer"] {
            write(corpus, name, text.as_bytes())?;
            write(corpus, &format!("{name}_short"), short.as_bytes())?;
        }
        write("signalling_json", name, description.to_json().as_bytes())?;
    }
    let candidate = "candidate:1 1 udp 2122260223 192.0.2.1 40000 typ host generation 0 ufrag abcd network-id 1";
    let reflexive = "candidate:2 1 tcp 1686052607 203.0.113.9 9 typ srflx raddr 192.0.2.1 rport 9 tcptype active";
    write("signalling_json", "candidate", candidate.as_bytes())?;
    write("signalling_json", "reflexive", reflexive.as_bytes())?;
    let json = format!("{{\"candidate\":\"{candidate}\",\"sdpMid\":\"0\",\"sdpMLineIndex\":0}}");
    write("signalling_json", "candidate_json", json.as_bytes())?;
    write("signalling_json", "end", b"null")
}

/// Chunks as the peer sends them; their numbers begin with 100.
fn sctp() -> io::Result<()> {
    let number = |number: u32| number.to_be_bytes().to_vec();
    let data = |tsn: u32, place: [u8; 4], flags: u8, text: &[u8]| {
        chunk(0, flags, &[number(tsn), place.to_vec(), number(53), text.to_vec()].concat())
    };
    let i_data = |tsn: u32, stream: u8, last: u32, flags: u8, text: &[u8]| {
        let place = vec![0, stream, 0, 0, 0, 0, 0, 0];
        chunk(64, flags, &[number(tsn), place, number(last), text.to_vec()].concat())
    };
    let gaps = vec![0, 2, 0, 1, 0, 2, 0, 3, 0, 5, 0, 5];
    let sack = chunk(3, 0, &[number(100), number(1 << 20), gaps, number(101)].concat());
    let reset = [vec![0, 13, 0, 20], number(100), number(5), number(98), vec![0, 1, 0, 3]].concat();
    let whole =
        [data(100, [0, 1, 0, 0], 3, b"hello"), data(101, [0, 1, 0, 1], 2, b"a"), data(102, [0, 1, 0, 1], 1, b"b")];
    let apart = [i_data(100, 1, 53, 2, b"a"), i_data(101, 1, 1, 1, b"b"), i_data(102, 2, 53, 7, b"c")];
    let control = [chunk(4, 0, b"\0\x01\0\x08info"), chunk(130, 0, &reset), chunk(255, 0, b"x"), chunk(63, 0, b"x")];
    let end = [chunk(7, 0, &number(99)), chunk(8, 0, b""), chunk(14, 0, b"")];
    let forward = chunk(192, 0, &[number(101), vec![0, 1, 0, 1]].concat());
    let i_forward = chunk(194, 0, &[number(101), vec![0, 1, 0, 0, 0, 0, 0, 1]].concat());
    write("sctp_packet", "data", &packed(0, &whole))?;
    write("sctp_packet", "i_data", &packed(1, &apart))?;
    write("sctp_packet", "sack", &packed(3, &[sack.clone()]))?;
    write("sctp_packet", "sack_plain", &packed(10, &[sack]))?;
    write("sctp_packet", "control", &packed(0, &control))?;
    write("sctp_packet", "forward", &packed(0, &[forward]))?;
    write("sctp_packet", "i_forward", &packed(1, &[i_forward]))?;
    write("sctp_packet", "end", &packed(0, &end))?;
    write("sctp_packet", "abort", &packed(0, &[chunk(6, 0, &[0, 12, 0, 4])]))?;
    write("sctp_packet", "cookie", &packed(0, &[chunk(10, 0, &[99; 88]), chunk(11, 0, b"")]))?;
    write("dcep_message", "ack", &[2])?;
    write("dcep_message", "open", b"\x03\x81\x01\0\0\0\0\x03\0\x05\0\x08labelprotocol")?;
    write("dcep_message", "timed", b"\x03\x02\x01\0\0\x01\x11\x70\0\0\0\x02\xff\xfe")
}

fn chunk(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut chunk = [&[kind, flags], &(body.len() as u16 + 4).to_be_bytes()[..], body].concat();
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

/// Packets behind their lengths, behind the byte that sets the scene.
fn packed(scene: u8, packets: &[Vec<u8>]) -> Vec<u8> {
    let pieces = packets.iter().flat_map(|packet| [&(packet.len() as u16).to_le_bytes(), packet.as_slice()].concat());
    std::iter::once(scene).chain(pieces).collect()
}

fn stun() -> io::Result<()> {
    let now = Instant::now();
    let ours = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 2), 5_000));
    let mut agent = IceTransport::new(&IceCredentials::from_random("", [2; 32]), [3; 32]);
    agent.add_local(LocalCandidate::host(ours)).map_err(io::Error::other)?;
    agent.set_role(IceRole::Controlling);
    agent.set_remote_credentials(&IceCredentials::from_random("", [1; 32]));
    let candidate = "candidate:1 1 udp 2122260223 10.0.0.1 4000 typ host";
    agent.add_remote_candidate(candidate).map_err(io::Error::other)?;
    agent.start();
    agent.handle_timeout(now);
    let (_, request) = agent.poll_transmit().ok_or_else(|| io::Error::other("no check was sent"))?;
    write("stun_message", "request", &[&(request.len() as u16).to_le_bytes(), request.as_slice()].concat())?;
    let response = [&[1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42], &request[8..20]].concat();
    write("stun_message", "response", &[&(response.len() as u16).to_le_bytes(), response.as_slice()].concat())?;
    write("stun_message", "candidate", candidate.as_bytes())?;
    let head = |class: u8, length: u8| [&[1, class, 0, length, 0x21, 0x12, 0xa4, 0x42][..], b"rtcA12345678"].concat();
    let turn = [&[0, 5, 0x40, 1, 0, 5][..], b"hello\0\0\0", &head(1, 0)].concat();
    write("stream_framing", "turn", &turn)?;
    write("stream_framing", "length", b"\x01\x03\0\x03abc\0\0\0\x04abcd")?;
    write("stream_framing", "short", b"\x01\x02\xff\xffabc")?;
    let record = |kind: u8, length: u8| [0, kind, 0x80, 1, 0, 0, 0, 120, 0, length];
    let owner = b"\x04name\x05local\0";
    let answers = [&[0, 0, 0x84, 0, 0, 0, 0, 2, 0, 0, 0, 0][..], owner, &record(1, 4), &[192, 168, 1, 9]].concat();
    let response = [answers.as_slice(), &[0xc0, 12], &record(28, 16), &[0; 15], &[1]].concat();
    write("mdns_message", "response", &response)?;
    write("mdns_message", "circle", &[0, 0, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1])?;
    write("mdns_message", "name", b"1f4712db-ea17-4bcf-a596-105139dfd8bf.local")?;
    for (name, url) in [
        ("stun", "stun:example.org:19302"),
        ("turn", "turn:192.0.2.1?transport=tcp"),
        ("turns", "turns:[2001:db8::1]:443"),
        ("wrong", "turn://user@example.org/?x"),
    ] {
        write("ice_server_url", name, url.as_bytes())?;
    }
    let mapped = [0, 0x20, 0, 8, 0, 1, 0x33, 0x26, 0xea, 0x12, 0xd5, 0x4b];
    write("stun_binding", "mapped", &[head(1, 12), mapped.to_vec()].concat())?;
    let mapped_v6 = [&[0, 0x20, 0, 20, 0, 2, 0x33, 0x26][..], &(0..16).collect::<Vec<u8>>()].concat();
    write("stun_binding", "mapped_v6", &[head(1, 24), mapped_v6].concat())?;
    let plain = [&[0x80, 0x22, 0, 4][..], b"seed", &[0, 1, 0, 8, 0, 1, 0x12, 0x34, 203, 0, 113, 9]].concat();
    write("stun_binding", "plain", &[head(1, 20), plain].concat())?;
    let busy = [0, 9, 0, 8, 0, 0, 4, 20, b'b', b'u', b's', b'y'];
    write("stun_binding", "error", &[head(0x11, 12), busy.to_vec()].concat())
}

fn write(corpus: &str, name: &str, data: &[u8]) -> io::Result<()> {
    fs::create_dir_all(format!("corpus/{corpus}"))?;
    fs::write(format!("corpus/{corpus}/{name}"), data)
}

/// The first packets of a frame, each behind its length.
fn packets(codec: Codec, max_payload: usize, data: &[u8]) -> Vec<u8> {
    let keyframe = is_keyframe(codec, data);
    let frame = Frame::new(codec, data.to_vec(), MediaTime::ZERO).with_keyframe(keyframe);
    let packets = Packetizer::new(codec, max_payload).packetize(&frame, Instant::now()).expect("a good frame");
    let (first, last) = (packets.iter().take(3), packets.iter().skip(3).last());
    first.chain(last).flat_map(|payload| [&(payload.len() as u16).to_le_bytes(), payload].concat()).collect()
}

/// The packets of frames, as the target `jitter_buffer` reads them.
fn received(codec: Codec, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut packetizer = Packetizer::new(codec, 400);
    let kind = Codec::ALL.into_iter().position(|other| other == codec).unwrap_or_default() as u8;
    let mut data = vec![kind | 0x80];
    for frame in frames {
        let keyframe = is_keyframe(codec, frame);
        let frame = Frame::new(codec, frame.clone(), MediaTime::ZERO).with_keyframe(keyframe);
        let packets = packetizer.packetize(&frame, Instant::now()).expect("a good frame");
        for (index, payload) in packets.iter().enumerate() {
            let marker = u8::from(index + 1 == packets.len());
            data.extend((payload.len() as u16 + 3).to_le_bytes());
            data.extend([marker | 4, 1, u8::from(index == 0)]);
            data.extend(payload);
        }
    }
    data
}

/// The access units between delimiters.
fn access_units(clip: &[u8]) -> Vec<Vec<u8>> {
    let mut units: Vec<Vec<u8>> = Vec::new();
    for unit in h264::nal_units(clip) {
        match units.last_mut() {
            Some(last) if h264::NalUnitType::of(unit) != Some(h264::NalUnitType::AccessUnitDelimiter) => {
                last.extend([&h264::START_CODE, unit].concat());
            }
            _ => units.push(Vec::new()),
        }
    }
    units
}

fn ivf_frames(clip: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = clip.get(32..).unwrap_or_default();
    let mut frames = Vec::new();
    while let Some((header, after)) = rest.split_first_chunk::<12>() {
        let [a, b, c, d, ..] = *header;
        let (frame, after) = after.split_at(u32::from_le_bytes([a, b, c, d]) as usize);
        frames.push(frame.to_vec());
        rest = after;
    }
    frames
}
