//! What the containers' readers yield, held against ffprobe and ffmpeg.

use std::path::Path;

use rtcast_media::{Demuxer, SourceCodec, StreamInfo};
use rtcast_track::{Codec, MediaKind, MediaTime};

use crate::media::{decoded_pictures, decoded_sound, expected_packets, sample};
use crate::{open, read_all};

fn stream_of(demuxer: &dyn Demuxer, kind: MediaKind) -> (usize, StreamInfo) {
    let streams = demuxer.streams();
    let index = streams.iter().position(|stream| stream.kind == kind).unwrap();
    (index, streams[index].clone())
}

/// Compares a file's packets with ffprobe's: count, times, keyframes, and what is decoded but not shown.
fn agrees_with_ffprobe(name: &str, kinds: &[MediaKind]) -> Vec<StreamInfo> {
    let path = sample(name);
    let mut demuxer = open(&path);
    let packets = read_all(&mut *demuxer);
    let streams = demuxer.streams().to_vec();
    assert_eq!(streams.len(), kinds.len(), "{name}: {streams:?}");

    let specifier = |kind| if kind == MediaKind::Video { "v:0" } else { "a:0" };
    let expected: Vec<_> = kinds.iter().map(|kind| expected_packets(&path, specifier(*kind))).collect();
    let presented = expected.iter().flatten().filter(|packet| !packet.discard).map(|packet| packet.pts);
    let start = presented.fold(f64::INFINITY, f64::min);
    let first = packets.iter().filter(|packet| !packet.chunk.discard).map(|packet| packet.chunk.timestamp).min();
    assert_eq!(first, Some(MediaTime::ZERO), "{name}");

    // Matroska's clock has milliseconds, and its writers round Opus' pre-skip to them.
    let tolerance = if name.ends_with("mkv") || name.ends_with("webm") { 0.0012 } else { 0.000_05 };
    for (kind, expected) in kinds.iter().zip(expected) {
        let (index, info) = stream_of(&*demuxer, *kind);
        let found: Vec<_> = packets.iter().filter(|packet| packet.stream == index).collect();
        if info.codec == SourceCodec::PcmS16 {
            continue;
        }
        assert_eq!(found.len(), expected.len(), "{name}: packets of {kind}");
        for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let close = |found: MediaTime, expected: f64| (found.as_secs_f64() - (expected - start)).abs() < tolerance;
            assert!(
                close(found.chunk.timestamp, expected.pts),
                "{name} {kind} {number}: {found:?} is not {expected:?}"
            );
            assert_eq!(
                (found.chunk.keyframe, found.chunk.discard),
                (expected.keyframe, expected.discard),
                "{name} {kind} {number}"
            );
            if let Some(dts) = expected.dts {
                assert!(close(found.dts, dts), "{name} {kind} {number}: {found:?} is not {expected:?}");
            }
        }
        assert!(found.is_sorted_by_key(|packet| packet.dts), "{name} {kind}: decoding times run backwards");
        assert!(
            found.iter().all(|packet| packet.dts <= packet.chunk.timestamp),
            "{name} {kind}: shown before it is decoded"
        );
    }
    assert!(
        packets.windows(2).all(|pair| pair[0].dts.since(pair[1].dts).as_secs_f64() < 1.1),
        "{name}: not interleaved"
    );

    assert!(demuxer.rewind().unwrap());
    assert!(read_all(&mut *demuxer) == packets, "{name}: other packets after going back");
    streams
}

/// The video packets as a stream that ffmpeg reads, behind the arguments that name its format.
fn elementary(demuxer: &mut dyn Demuxer) -> (Vec<&'static str>, Vec<u8>) {
    let (index, info) = stream_of(demuxer, MediaKind::Video);
    let packets: Vec<_> = read_all(demuxer).into_iter().filter(|packet| packet.stream == index).collect();
    let four = match info.codec {
        SourceCodec::Rtp(Codec::H264) => {
            let stream = packets.iter().flat_map(|packet| packet.chunk.data.iter().copied()).collect();
            return (vec!["-f", "h264", "-i", "-"], stream);
        }
        SourceCodec::Rtp(Codec::Vp8) => b"VP80",
        SourceCodec::Rtp(Codec::Vp9) => b"VP90",
        SourceCodec::Rtp(Codec::Av1) => b"AV01",
        other => panic!("{other:?}"),
    };
    let mut out = b"DKIF\0\0\x20\0".to_vec();
    out.extend(four);
    out.extend((info.width as u16).to_le_bytes());
    out.extend((info.height as u16).to_le_bytes());
    out.extend(1_000_000u32.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.extend([0; 8]);
    for packet in packets {
        out.extend((packet.chunk.data.len() as u32).to_le_bytes());
        out.extend(packet.chunk.timestamp.to_ticks(1_000_000).to_le_bytes());
        out.extend(&packet.chunk.data);
    }
    (vec!["-f", "ivf", "-i", "-"], out)
}

/// The pictures decoded from our packets are those that ffmpeg decodes from the file.
fn decodes_alike(name: &str) {
    let path = sample(name);
    let (arguments, stream) = elementary(&mut *open(&path));
    let ours = decoded_pictures(&arguments, Some(&stream));
    let mut arguments = vec!["-i", path.to_str().unwrap()];
    if name.ends_with("h264") {
        arguments.splice(0..0, ["-f", "h264"]);
    }
    if name.ends_with("mp4") || name.ends_with("mov") {
        arguments.splice(0..0, ["-ignore_editlist", "1"]);
    }
    let theirs = decoded_pictures(&arguments, None);
    assert!(ours.len() > 40, "{name}: only {} pictures", ours.len());
    assert!(ours == theirs, "{name}: {} pictures and {} differ", ours.len(), theirs.len());
}

const BOTH: [MediaKind; 2] = [MediaKind::Video, MediaKind::Audio];
const VIDEO: [MediaKind; 1] = [MediaKind::Video];

#[test]
fn baseline_mp4() {
    let streams = agrees_with_ffprobe("baseline.mp4", &VIDEO);
    let video = &streams[0];
    assert_eq!((video.codec_name.as_str(), video.reordered), ("H.264 Constrained Baseline", false));
    assert_eq!((video.width, video.height, video.frame_rate), (320, 180, 30.0));
    let fmtp = video.sdp_fmtp_line.as_deref().unwrap();
    assert!(fmtp.contains("profile-level-id=42c0") && fmtp.contains("packetization-mode=1"), "{fmtp}");
    decodes_alike("baseline.mp4");
}

#[test]
fn high_mp4_with_reordering_and_sound() {
    let streams = agrees_with_ffprobe("high.mp4", &BOTH);
    assert_eq!((streams[0].codec_name.as_str(), streams[0].reordered), ("H.264 High", true));
    let sound = &streams[1];
    assert_eq!((&sound.codec, sound.codec_name.as_str()), (&SourceCodec::Aac, "AAC"));
    assert_eq!((sound.sample_rate, sound.channels, sound.extradata.len()), (44_100, 2, 5));
    decodes_alike("high.mp4");
    let duration = open(&sample("high.mp4")).duration().unwrap().as_secs_f64();
    assert!((duration - 3.0).abs() < 0.05, "{duration}");
}

#[test]
fn fragmented_mp4() {
    for name in ["high-fragmented.mp4", "high-separate.mp4", "high-hybrid.mp4"] {
        let streams = agrees_with_ffprobe(name, &BOTH);
        assert!(streams[0].reordered, "{name}");
        assert_eq!(streams[0].frame_rate, 30.0, "{name}");
        decodes_alike(name);
        let duration = open(&sample(name)).duration().unwrap().as_secs_f64();
        assert!((duration - 3.0).abs() < 0.1, "{name}: {duration}");
    }
}

#[test]
fn an_mp4_whose_edit_list_cuts_its_start() {
    agrees_with_ffprobe("high-cut.mp4", &BOTH);
    decodes_alike("high-cut.mp4");
    let packets = read_all(&mut *open(&sample("high-cut.mp4")));
    assert!(packets.iter().filter(|packet| packet.chunk.discard).count() > 10);
}

#[test]
fn quicktime_with_uncompressed_sound() {
    for (name, rate) in [("high.mov", 44_100), ("high-big-endian.mov", 44_100)] {
        let streams = agrees_with_ffprobe(name, &BOTH);
        let sound = &streams[1];
        assert_eq!((&sound.codec, sound.sample_rate, sound.channels), (&SourceCodec::PcmS16, rate, 2), "{name}");
        let packets = read_all(&mut *open(&sample(name)));
        let sound: Vec<_> = packets.iter().filter(|packet| packet.stream == 1).collect();
        let frames: usize = sound.iter().map(|packet| packet.chunk.data.len() / 4).sum();
        assert!(frames.abs_diff(3 * rate as usize) < 3_000, "{name}: {frames} frames");
        assert!(sound.len() * 1_100 > frames / 2, "{name}: {} packets", sound.len());
        for pair in sound.windows(2) {
            let gap = pair[1].chunk.timestamp.since(pair[0].chunk.timestamp.offset(pair[0].chunk.duration)).as_nanos();
            assert!(gap.abs() < 2, "{name}: a gap of {gap} ns");
        }
    }
}

#[test]
fn h264_in_matroska() {
    let streams = agrees_with_ffprobe("high.mkv", &BOTH);
    assert_eq!((streams[0].codec_name.as_str(), streams[0].reordered), ("H.264 High", true));
    assert_eq!(streams[0].frame_rate, 30.0);
    decodes_alike("high.mkv");
}

#[test]
fn webm() {
    for (name, codec) in [("vp8.webm", "VP8"), ("vp9.webm", "VP9"), ("vp8-live.webm", "VP8")] {
        let streams = agrees_with_ffprobe(name, &BOTH);
        assert_eq!((streams[0].codec_name.as_str(), streams[0].reordered), (codec, false), "{name}");
        assert_eq!((streams[0].width, streams[0].height, streams[0].frame_rate), (320, 180, 30.0), "{name}");
        assert_eq!((streams[1].codec_name.as_str(), streams[1].sample_rate, streams[1].channels), ("Opus", 48_000, 2));
        assert!(streams[1].extradata.starts_with(b"OpusHead"), "{name}");
        decodes_alike(name);
    }
}

#[test]
fn vp9_and_opus_in_mp4() {
    let streams = agrees_with_ffprobe("vp9.mp4", &BOTH);
    assert_eq!(streams[0].sdp_fmtp_line.as_deref(), Some("profile-id=0"));
    assert!(streams[1].extradata.starts_with(b"OpusHead"));
    decodes_alike("vp9.mp4");
}

#[test]
fn av1() {
    for name in ["av1.mp4", "av1.mkv", "av1.ivf"] {
        let streams = agrees_with_ffprobe(name, &VIDEO);
        assert_eq!(streams[0].codec_name, "AV1 Main", "{name}");
        assert_eq!(streams[0].sdp_fmtp_line.as_deref(), Some("profile=0"), "{name}");
        decodes_alike(name);
        let packets = read_all(&mut *open(&sample(name)));
        // OBU type 2 is a temporal delimiter, type 1 a sequence header; the bit of value 2 announces a size.
        for packet in packets {
            let first = packet.chunk.data[0];
            assert_eq!(first & 2, 2, "{name}");
            assert_ne!(first >> 3 & 15, 2, "{name}");
            assert_eq!(first >> 3 & 15 == 1, packet.chunk.keyframe, "{name}");
        }
    }
}

#[test]
fn ivf() {
    for name in ["vp8.ivf", "vp9.ivf"] {
        let streams = agrees_with_ffprobe(name, &VIDEO);
        assert_eq!((streams[0].width, streams[0].height, streams[0].frame_rate), (320, 180, 30.0), "{name}");
        decodes_alike(name);
    }
}

#[test]
fn h264_byte_streams() {
    for (name, profile, reordered) in
        [("high.h264", "High", true), ("high-aud.h264", "High", true), ("baseline.h264", "Constrained Baseline", false)]
    {
        let container = sample(&name.replace("-aud", "").replace("h264", "mp4"));
        let mut demuxer = open(&sample(name));
        let packets = read_all(&mut *demuxer);
        let (_, info) = stream_of(&*demuxer, MediaKind::Video);
        assert_eq!((info.codec_name, info.reordered), (format!("H.264 {profile}"), reordered), "{name}");
        assert_eq!((info.width, info.height, info.frame_rate), (320, 180, 30.0), "{name}");
        // The same pictures, with the times that the container of their origin gives them.
        let mut origin = open(&container);
        let expected: Vec<_> = read_all(&mut *origin).into_iter().filter(|packet| packet.stream == 0).collect();
        assert_eq!(packets.len(), expected.len(), "{name}");
        let start = expected.iter().map(|packet| packet.chunk.timestamp).min().unwrap();
        for (found, expected) in packets.iter().zip(&expected) {
            assert_eq!(found.chunk.keyframe, expected.chunk.keyframe, "{name}");
            assert!(
                found.chunk.timestamp.since(expected.chunk.timestamp.since(start)).as_nanos().abs() < 2,
                "{name}: {found:?} {expected:?}"
            );
            assert!(found.dts <= found.chunk.timestamp, "{name}");
        }
        assert!(packets.is_sorted_by_key(|packet| packet.dts), "{name}");
        decodes_alike(name);
        assert!(demuxer.rewind().unwrap());
        assert!(read_all(&mut *demuxer) == packets, "{name}: other packets after going back");
    }
    decodes_alike("interlaced.h264");
}

#[test]
fn opus_in_ogg() {
    let streams = agrees_with_ffprobe("opus.ogg", &[MediaKind::Audio]);
    assert_eq!((&streams[0].codec, streams[0].channels), (&SourceCodec::Rtp(Codec::Opus), 2));
    let duration = open(&sample("opus.ogg")).duration().unwrap().as_secs_f64();
    assert!((duration - 3.0).abs() < 0.01, "{duration}");
}

#[test]
fn chained_ogg_goes_on_where_the_first_link_ends() {
    let link = std::fs::read(sample("opus.ogg")).unwrap();
    let alone = read_all(&mut *open(&sample("opus.ogg")));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chained.ogg");
    std::fs::write(&path, [&link[..], &link[..]].concat()).unwrap();
    let mut demuxer = open(&path);
    let packets = read_all(&mut *demuxer);
    assert_eq!(demuxer.streams().len(), 1);
    assert_eq!(packets.len(), 2 * alone.len());
    assert!(packets.is_sorted_by_key(|packet| packet.chunk.timestamp));
    let second = &packets[alone.len()];
    assert!((second.chunk.timestamp.as_secs_f64() - 3.0).abs() < 0.05, "{second:?}");
    assert!(demuxer.rewind().unwrap());
    assert!(read_all(&mut *demuxer) == packets);
}

#[test]
fn wave_in_every_form() {
    let names = ["s16.wav", "u8.wav", "s24.wav", "s32.wav", "f32.wav", "mulaw-16k.wav", "big.rf64.wav"];
    for name in names {
        let path = sample(name);
        let mut demuxer = open(&path);
        let packets = read_all(&mut *demuxer);
        let (_, info) = stream_of(&*demuxer, MediaKind::Audio);
        let rate = if name.contains("16k") { 16_000 } else { 44_100 };
        assert_eq!((info.codec, info.sample_rate, info.channels), (SourceCodec::PcmS16, rate, 2), "{name}");
        let found = packets.iter().flat_map(|packet| packet.chunk.data.iter().copied()).collect::<Vec<u8>>();
        let expected = decoded_sound(&path);
        assert_eq!(found.len(), expected.len(), "{name}");
        // ffmpeg rounds 24 and 32 bits, we cut them: one step of difference.
        let samples =
            |bytes: &[u8]| bytes.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect::<Vec<_>>();
        let differ = samples(&found).iter().zip(samples(&expected)).any(|(a, b)| a.abs_diff(b) > 1);
        assert!(!differ, "{name}");
        assert!(packets.iter().all(|packet| packet.chunk.duration.as_nanos() <= 20_000_000), "{name}");
        assert_eq!(demuxer.duration().map(|duration| duration.to_ticks(rate)), Some(found.len() as i64 / 4), "{name}");
        assert!(demuxer.rewind().unwrap());
        assert!(read_all(&mut *demuxer) == packets, "{name}");
    }
    for (name, codec) in [("mulaw.wav", Codec::Pcmu), ("alaw.wav", Codec::Pcma)] {
        let mut demuxer = open(&sample(name));
        let (_, info) = stream_of(&*demuxer, MediaKind::Audio);
        assert_eq!((info.codec, info.sample_rate, info.channels), (SourceCodec::Rtp(codec), 8_000, 1), "{name}");
        let packets = read_all(&mut *demuxer);
        assert_eq!(packets.len(), 150, "{name}");
        assert!(packets.iter().all(|packet| packet.chunk.data.len() == 160), "{name}");
    }
}

#[test]
fn aac_behind_adts_headers() {
    let streams = agrees_with_ffprobe("tone.aac", &[MediaKind::Audio]);
    let sound = &streams[0];
    assert_eq!((&sound.codec, sound.sample_rate, sound.channels), (&SourceCodec::Aac, 44_100, 2));
    assert_eq!(sound.extradata[..], [0x12, 0x10]);
}

#[test]
fn uncompressed_pictures() {
    let mut demuxer = open(&sample("pictures.y4m"));
    let (_, info) = stream_of(&*demuxer, MediaKind::Video);
    assert_eq!((info.codec, info.width, info.height, info.frame_rate), (SourceCodec::I420, 320, 180, 30.0));
    let packets = read_all(&mut *demuxer);
    assert_eq!(packets.len(), 90);
    assert!(packets.iter().all(|packet| packet.chunk.data.len() == 320 * 180 * 3 / 2));
    assert_eq!(packets[89].chunk.timestamp.to_ticks(30), 89);
}

#[test]
fn h264_comes_with_parameter_sets_before_every_keyframe() {
    for name in ["baseline.mp4", "high-fragmented.mp4", "high.mkv"] {
        let packets = read_all(&mut *open(&sample(name)));
        for packet in packets.iter().filter(|packet| packet.stream == 0) {
            assert_eq!(packet.chunk.data[..4], [0, 0, 0, 1], "{name}");
            let first = packet.chunk.data[4] & 0x1f;
            assert_eq!(first == 7, packet.chunk.keyframe, "{name}: begins with a unit of type {first}");
            assert!(
                !packet.chunk.data.windows(5).any(|bytes| bytes == [0, 0, 0, 1, 9]),
                "{name}: a delimiter was left"
            );
        }
    }
}
