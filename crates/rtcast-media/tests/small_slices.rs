//! H.264 for viewers that take single NAL units alone: whatever the picture, each fits a packet.

mod support;

use std::time::Instant;

use rtcast_media::codec::{VideoEncoderSettings, single_nal_unit_codec, video_decoder, video_encoder_of};
use rtcast_media::raw::VideoFrame;
use rtcast_media::{EncodedChunk, SourceCodec};
use rtcast_proto::payload::Packetizer;
use rtcast_track::{Bitrate, Codec, MediaTime};
use support::{pattern, psnr, video_stream};

/// Pictures that no encoder can make small.
fn noise(width: u32, height: u32, number: i64) -> VideoFrame {
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64 ^ number as u64;
    let bytes = (0..width * height * 3 / 2).map(|_| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice as u8
    });
    let timestamp = MediaTime::from_ticks(number, 30);
    VideoFrame::new(bytes.collect::<Vec<u8>>().into(), width, height, timestamp).expect("a whole picture")
}

#[test]
fn every_nal_unit_fits_a_packet_and_the_pictures_are_the_same() {
    let settings = VideoEncoderSettings { bitrate: Bitrate::from_kbps(4_000), frame_rate: 30.0 };
    let codec = single_nal_unit_codec();
    let mut encoder = video_encoder_of(&codec, settings).expect("an encoder");
    assert_eq!(encoder.codec(), codec);
    let mut packetizer = Packetizer::of(&codec, 1_100);
    let mut decoder = video_decoder(&video_stream(SourceCodec::Rtp(Codec::H264))).expect("a decoder");
    let (mut decoded, mut most) = (Vec::new(), 0);
    let pictures = pattern(1_280, 720, 12);
    for (index, picture) in pictures.iter().enumerate() {
        let frame = encoder.encode(picture, index == 6).expect("encoded").expect("no picture is left out");
        let packets = packetizer.packetize(&frame, Instant::now()).expect("nothing has to be cut");
        most = most.max(packets.len());
        decoded.extend(decoder.decode(&EncodedChunk::from(&frame)).expect("decoded"));
    }
    decoded.extend(decoder.flush().expect("flushed"));
    assert!(most > 8, "a keyframe has many slices, not {most}");
    assert_eq!(decoded.len(), pictures.len());
    for (picture, decoded) in pictures.iter().zip(&decoded) {
        assert!(psnr(picture, decoded) > 30.0);
    }

    let mut encoder = video_encoder_of(&codec, settings).expect("an encoder");
    for number in 0..6 {
        let frame = encoder.encode(&noise(640, 360, number), false).expect("encoded").expect("a picture");
        packetizer.packetize(&frame, Instant::now()).expect("noise fits as well");
    }
}
