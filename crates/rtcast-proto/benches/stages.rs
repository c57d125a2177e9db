//! What each stage of a packet's way costs: `cargo bench -p rtcast-proto`.
//!
//! The picture is one of the usual film: 10 kB, nine packets of 1,120 bytes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rtcast_proto::jitter::{JitterBuffer, JitterConfig, ReceivedPacket};
use rtcast_proto::payload::Packetizer;
use rtcast_proto::rtcp::{ReportBlock, RtcpWriter, packets};
use rtcast_proto::rtp::MAX_PAYLOAD;
use rtcast_proto::rtp::{RtpPacket, write_header};
use rtcast_proto::sctp::{
    Association, OutgoingMessage, PayloadProtocolId, Reliability, SctpAssociation, SctpConfig, SctpEvent, SctpState,
    StreamId,
};
use rtcast_proto::srtp::{SrtpProfile, SrtpSession};
use rtcast_proto::{Codec, Frame, MediaTime, PayloadType, SdpType, SequenceNumber, SessionDescription, Ssrc};

const PICTURE: usize = 10_000;
const PACKETS: u64 = 1_000;
const SSRC: Ssrc = Ssrc(7);

#[expect(clippy::disallowed_methods, reason = "a benchmark needs some instant")]
fn instant() -> Instant {
    Instant::now()
}

/// An H.264 picture: parameter sets where decoding can start, then one slice.
fn picture(codec: Codec, keyframe: bool) -> Frame {
    let mut data = Vec::with_capacity(PICTURE + 64);
    match codec {
        Codec::H264 => {
            if keyframe {
                data.extend([0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1f, 0xda, 0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80]);
            }
            data.extend([0, 0, 0, 1, if keyframe { 0x65 } else { 0x41 }]);
        }
        _ => data.extend([if keyframe { 0x10 } else { 0x11 }, 2, 0, 0x9d, 0x01, 0x2a, 0, 5, 0xd0, 2]),
    }
    data.resize(PICTURE, 0x5a);
    Frame::new(codec, data, MediaTime::ZERO).with_keyframe(keyframe)
}

fn packetize(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("packetize");
    group.throughput(Throughput::Bytes(PICTURE as u64));
    for codec in [Codec::H264, Codec::Vp8] {
        let frame = picture(codec, false);
        let mut packetizer = Packetizer::new(codec, MAX_PAYLOAD);
        let now = instant();
        group.bench_function(codec.to_string(), |bencher| {
            bencher.iter(|| packetizer.packetize(black_box(&frame), now).expect("the picture is well formed"));
        });
    }
}

fn sessions(profile: SrtpProfile) -> (SrtpSession, SrtpSession) {
    let material: Vec<u8> = (0..profile.keying_material_length() as u8).collect();
    let session = |client| SrtpSession::new(profile, &material, client).expect("the material is long enough");
    (session(true), session(false))
}

/// A protected packet of the usual length at the start of `out`; returns its length.
fn protect_one(session: &SrtpSession, index: u64, payload: &[u8], out: &mut [u8]) -> usize {
    let sequence_number = SequenceNumber(index as u16);
    let header = write_header(out, false, PayloadType::new(96), sequence_number, index as u32, SSRC, &[]);
    session.protect_rtp(SSRC, index, header, payload, out).expect("the buffer is long enough")
}

fn srtp(criterion: &mut Criterion) {
    let payload = vec![0x5a; 1_106];
    for profile in [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmSha1_80] {
        let (sender, _) = sessions(profile);
        let mut out = vec![0; 1_500];
        let mut index = 0;
        criterion.bench_function(&format!("protect/{}", profile.as_str()), |bencher| {
            bencher.iter(|| {
                index += 1;
                protect_one(&sender, index, black_box(&payload), &mut out)
            });
        });
        let mut group = criterion.benchmark_group("unprotect");
        group.throughput(Throughput::Elements(PACKETS));
        group.bench_function(profile.as_str(), |bencher| {
            let protected = || {
                let (sender, receiver) = sessions(profile);
                let packets: Vec<Vec<u8>> = (0..PACKETS)
                    .map(|index| {
                        let mut out = vec![0; 1_500];
                        let length = protect_one(&sender, index, &payload, &mut out);
                        out.truncate(length);
                        out
                    })
                    .collect();
                (receiver, packets)
            };
            bencher.iter_batched_ref(
                protected,
                |(receiver, packets)| {
                    for packet in packets {
                        receiver.unprotect_rtp(packet).expect("the packet is authentic");
                    }
                },
                BatchSize::LargeInput,
            );
        });
    }
}

fn parse(criterion: &mut Criterion) {
    let mut packet = vec![0; 1_200];
    let extension = [0xbe, 0xde, 0, 1, 0x10, b'0', 0, 0];
    write_header(&mut packet, true, PayloadType::new(96), SequenceNumber(1), 2, SSRC, &extension);
    criterion.bench_function("parse/RTP", |bencher| bencher.iter(|| RtpPacket::parse(black_box(&packet)).is_ok()));

    let report = ReportBlock {
        ssrc: SSRC,
        fraction_lost: 1,
        cumulative_lost: 2,
        highest_sequence: 3,
        jitter: 4,
        last_sender_report: 5,
        delay_since_last: 6,
    };
    let mut rtcp = RtcpWriter::default();
    rtcp.receiver_report(Ssrc(1), &[report, report]);
    rtcp.source_description(Ssrc(1), "benchmark");
    rtcp.nack(Ssrc(1), SSRC, &[1, 2, 3, 40, 41]);
    criterion.bench_function("parse/RTCP, a report and a NACK", |bencher| {
        bencher.iter(|| packets(black_box(rtcp.bytes())).filter(Result::is_ok).count());
    });

    let offer = include_str!("../tests/fixtures/chromium_offer_recvonly.sdp");
    criterion.bench_function("parse/SDP, an offer of Chromium", |bencher| {
        bencher.iter(|| SessionDescription::new(SdpType::Offer, black_box(offer)).expect("the offer is well formed"));
    });
}

fn jitter(criterion: &mut Criterion) {
    let mut packetizer = Packetizer::new(Codec::H264, MAX_PAYLOAD);
    let now = instant();
    let cut = |keyframe, packetizer: &mut Packetizer| {
        let frame = packetizer.packetize(&picture(Codec::H264, keyframe), now).expect("the picture is well formed");
        frame.iter().map(bytes::Bytes::copy_from_slice).collect::<Vec<_>>()
    };
    let (key, delta) = (cut(true, &mut packetizer), cut(false, &mut packetizer));
    let mut buffer = JitterBuffer::new(Codec::H264, JitterConfig::new(Codec::H264));
    let (mut index, mut picture) = (0x1_0000, 0u32);
    let mut group = criterion.benchmark_group("jitter buffer");
    group.throughput(Throughput::Elements(delta.len() as u64));
    group.bench_function("a picture in and out", |bencher| {
        bencher.iter(|| {
            let payloads = if picture == 0 { &key } else { &delta };
            for (at, payload) in payloads.iter().enumerate() {
                let marker = at + 1 == payloads.len();
                let timestamp = picture.wrapping_mul(3_000);
                buffer.push(now, ReceivedPacket { index, timestamp, marker, payload: payload.clone() });
                index += 1;
            }
            picture = picture.wrapping_add(1);
            buffer.pop(now).expect("the picture is whole")
        });
    });
}

/// Two associations that hand each other their packets until neither has one. Time stands still but for a round trip a turn.
struct Associations {
    ends: [Association; 2],
    now: Instant,
    packet: Vec<u8>,
    received: usize,
}

impl Associations {
    fn connected() -> Self {
        let ends = [1, 2].map(|seed| Association::new(SctpConfig::default(), [seed; 32]));
        let mut pair = Self { ends, now: instant(), packet: Vec::new(), received: 0 };
        pair.ends[0].connect(pair.now);
        pair.exchange();
        assert!(pair.ends.iter().all(|end| end.state() == SctpState::Connected), "the handshake is over");
        pair
    }

    fn exchange(&mut self) {
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for from in 0..2 {
                while self.ends[from].poll_transmit(self.now, &mut self.packet) {
                    self.ends[1 - from].handle_input(self.now, &self.packet);
                    quiet = false;
                }
            }
            self.now += Duration::from_micros(100);
        }
        for end in &mut self.ends {
            while let Some(event) = end.poll_event() {
                if let SctpEvent::Message { data, .. } = event {
                    self.received += data.len();
                    end.consumed(data.len());
                }
            }
        }
    }

    /// Takes messages over, both ends' acknowledgements included; delayed ones come with their timer.
    fn carry(&mut self, messages: usize, data: &bytes::Bytes) {
        let goal = self.received + messages * data.len();
        for _ in 0..messages {
            let message = OutgoingMessage {
                stream: StreamId(0),
                ppid: PayloadProtocolId(53),
                data: data.clone(),
                unordered: false,
                reliability: Reliability::default(),
            };
            self.ends[0].send(self.now, message).expect("the buffer has room");
        }
        self.exchange();
        while self.received < goal || self.ends[0].stats().bytes_in_flight > 0 {
            let next = self.ends.iter().filter_map(SctpAssociation::poll_timeout).min().expect("a timer runs");
            self.now = self.now.max(next);
            self.ends.iter_mut().for_each(|end| end.handle_timeout(self.now));
            self.exchange();
        }
    }
}

fn sctp(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("SCTP, both ends");
    for (name, messages, length) in [("a message of 1 KiB", 1, 1 << 10), ("64 messages of 16 KiB", 64, 16 << 10)] {
        let data = bytes::Bytes::from(vec![0x5a; length]);
        let mut pair = Associations::connected();
        group.throughput(Throughput::Bytes((messages * length) as u64));
        group.bench_function(name, |bencher| bencher.iter(|| pair.carry(messages, &data)));
    }
}

criterion_group!(stages, packetize, srtp, parse, jitter, sctp);
criterion_main!(stages);
