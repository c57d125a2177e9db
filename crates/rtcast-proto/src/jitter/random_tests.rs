//! Thousands of streams with losses, delays, doubles and leaps: whatever comes out was sent, whole, and can be decoded.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::payload::{Packetizer, h264::START_CODE};
use crate::types::MediaTime;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

#[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
fn instant() -> Instant {
    Instant::now()
}

/// A frame that looks like one of this codec from outside, in several pieces, with bytes that no other frame has.
fn frame(codec: Codec, count: u32, keyframe: bool, random: &mut Random) -> Frame {
    let mut body = |length: u64| -> Vec<u8> {
        // No zeros, which could look like a start code.
        let number = count.to_le_bytes().map(|byte| byte | 1);
        let exact = [count & 0x7f, count >> 7].map(|part| part as u8 | 0x80);
        let rest = (0..random.below(length)).map(|at| (at % 200 + 1) as u8);
        number.into_iter().chain(exact).chain(rest).collect()
    };
    let data = match codec {
        Codec::H264 => {
            let sets = if keyframe { [&START_CODE[..], &[0x67, 9], &START_CODE, &[0x68, 9]].concat() } else { vec![] };
            let kind = if keyframe { 0x65 } else { 0x41 };
            let first = [&START_CODE[..], &[kind, 0x88], &body(500)].concat();
            let second = [&START_CODE[..], &[kind, 0x48], &body(300)].concat();
            [sets, first, second].concat()
        }
        Codec::Vp8 => [vec![u8::from(!keyframe)], body(600)].concat(),
        Codec::Vp9 => [vec![if keyframe { 0x82 } else { 0x86 }, 0x49, 0x83, 0x42], body(600)].concat(),
        Codec::Av1 => {
            let sequence = if keyframe { vec![0x0a, 2, 0, 0] } else { vec![] };
            let obu = |body: Vec<u8>| {
                let payload = [vec![if keyframe { 0x10 } else { 0x30 }], body].concat();
                let length = payload.len() as u16;
                [vec![0x32, (length & 0x7f) as u8 | 0x80, (length >> 7) as u8], payload].concat()
            };
            [sequence, obu([vec![7; 130], body(300)].concat()), obu([vec![7; 130], body(300)].concat())].concat()
        }
        _ => body(150),
    };
    Frame::new(codec, data, MediaTime::from_ticks(count.into(), 30)).with_keyframe(keyframe)
}

#[test]
fn whatever_comes_out_was_sent_whole_and_can_be_decoded() {
    let start = instant();
    let mut delivered = BTreeMap::<Codec, (usize, usize)>::new();
    for seed in 0..400 {
        let mut random = Random(seed * 0x9e37_79b9 + 1);
        let codec = Codec::ALL[seed as usize % 5];
        let video = codec.kind() == MediaKind::Video;
        let (loss, answered) = (random.below(25), random.below(100));
        let leaps = random.below(4) == 0;
        let retransmission = random.below(4) > 0;
        let mut buffer = JitterBuffer::new(codec, JitterConfig { retransmission, ..JitterConfig::new(codec) });
        let mut packetizer = Packetizer::new(codec, 160);
        let mut sent: Vec<Frame> = Vec::new();
        let mut history = BTreeMap::<u16, ReceivedPacket>::new();
        let mut travelling = BTreeMap::<(u64, u64), ReceivedPacket>::new();
        let (mut base, mut wants_keyframe, mut last, mut number) = (70_000, true, None::<usize>, 0);
        for tick in 0..1_500 {
            let now = start + Duration::from_millis(tick);
            if tick % 10 == 0 && tick < 1_200 {
                let keyframe = !video || wants_keyframe || random.below(20) == 0;
                wants_keyframe = false;
                if leaps && random.below(40) == 0 {
                    base += 1_000_000;
                }
                let frame = frame(codec, sent.len() as u32, keyframe, &mut random);
                let packets = packetizer.packetize(&frame, now).unwrap();
                for (offset, payload) in (0..).zip(packets.iter()) {
                    let packet = ReceivedPacket {
                        index: base + packets.first_packet + offset,
                        timestamp: (base as u32).wrapping_add(packets.timestamp as u32),
                        marker: video && offset + 1 == packets.len() as u64,
                        payload: Bytes::copy_from_slice(payload),
                    };
                    history.insert(packet.index as u16, packet.clone());
                    for _ in 0..=u64::from(random.below(30) == 0) {
                        if random.below(100) >= loss {
                            let late = if random.below(10) == 0 { random.below(40) } else { random.below(3) };
                            number += 1;
                            travelling.insert((tick + 20 + late, number), packet.clone());
                        }
                    }
                }
                sent.push(frame);
            }
            let later = travelling.split_off(&(tick + 1, 0));
            for packet in std::mem::replace(&mut travelling, later).into_values() {
                buffer.push(now, packet);
            }
            while let Some(frame) = buffer.pop(now) {
                let at = sent.iter().position(|sent| sent.data == frame.data).expect("a frame that was never sent");
                assert_eq!(frame.keyframe, sent[at].keyframe);
                assert!(last.is_none_or(|last| last < at), "{codec} {seed}: out of order");
                let follows = last.is_some_and(|last| last + 1 == at);
                assert!(frame.keyframe || follows, "{codec} {seed}: {at} after {last:?} cannot be decoded");
                last = Some(at);
                delivered.entry(codec).or_default().0 += 1;
            }
            for lost in buffer.poll_nack(now) {
                if random.below(100) < answered {
                    number += 1;
                    travelling.extend(history.get(&lost).map(|packet| ((tick + 40, number), packet.clone())));
                }
            }
            wants_keyframe |= buffer.poll_keyframe_request(now);
        }
        delivered.entry(codec).or_default().1 += sent.len();
    }
    assert_eq!(delivered.len(), 5);
    for (codec, (delivered, sent)) in delivered {
        assert!(delivered * 3 > sent, "{codec}: only {delivered} of {sent} came");
    }
}
