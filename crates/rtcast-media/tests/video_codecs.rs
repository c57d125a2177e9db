//! Encoders and decoders of pictures, against each other and against ffmpeg.

mod support;

use rtcast_media::codec::{VideoEncoderSettings, video_decoder, video_encoder};
use rtcast_media::raw::{Plane, VideoFrame};
use rtcast_media::{EncodedChunk, MediaError, SourceCodec};
use rtcast_proto::ColorSpace;
use rtcast_proto::payload::h264::SequenceParameterSet;
use rtcast_track::{Bitrate, Codec, MediaTime};
use support::{ffmpeg, folder, pattern, psnr, run, video_stream};

const SETTINGS: VideoEncoderSettings = VideoEncoderSettings { bitrate: Bitrate::from_kbps(1_000), frame_rate: 30.0 };

#[test]
fn what_is_encoded_decodes_to_the_same_pictures_at_the_same_times() {
    for codec in [Codec::H264, Codec::Vp8] {
        let pictures = pattern(640, 360, 40);
        let mut encoder = video_encoder(codec, SETTINGS).expect("an encoder");
        let mut decoder = video_decoder(&video_stream(SourceCodec::Rtp(codec))).expect("a decoder");
        let mut decoded = Vec::new();
        for (index, picture) in pictures.iter().enumerate() {
            let frame = encoder.encode(picture, false).expect("encoded").expect("no picture is left out");
            assert_eq!((frame.codec, frame.timestamp), (codec, picture.timestamp()));
            assert_eq!(frame.keyframe, index == 0, "{codec} picture {index}");
            decoded.extend(decoder.decode(&EncodedChunk::from(&frame)).expect("decoded"));
        }
        decoded.extend(decoder.flush().expect("flushed"));
        assert_eq!(decoded.len(), pictures.len(), "{codec}");
        for (picture, decoded) in pictures.iter().zip(&decoded) {
            assert_eq!(decoded.timestamp(), picture.timestamp());
            let likeness = psnr(picture, decoded);
            assert!(likeness > 30.0, "{codec} at {:?}: {likeness:.1} dB", picture.timestamp());
        }
    }
}

#[test]
fn keyframes_come_when_forced_and_stand_alone() {
    for codec in [Codec::H264, Codec::Vp8] {
        let pictures = pattern(320, 180, 30);
        let mut encoder = video_encoder(codec, SETTINGS).expect("an encoder");
        for (index, picture) in pictures.iter().enumerate() {
            let force = index % 10 == 7;
            let frame = encoder.encode(picture, force).expect("encoded").expect("no picture is left out");
            assert_eq!(frame.keyframe, index == 0 || force, "{codec} picture {index}");
            if frame.keyframe {
                let mut decoder = video_decoder(&video_stream(SourceCodec::Rtp(codec))).expect("a decoder");
                let mut decoded = decoder.decode(&EncodedChunk::from(&frame)).expect("a keyframe decodes alone");
                decoded.extend(decoder.flush().expect("flushed"));
                assert_eq!(decoded.len(), 1, "{codec} picture {index}");
            }
        }
    }
}

#[test]
fn h264_is_annex_b_of_constrained_baseline_with_parameter_sets_before_each_keyframe() {
    let mut encoder = video_encoder(Codec::H264, SETTINGS).expect("an encoder");
    for (index, picture) in pattern(320, 180, 6).iter().enumerate() {
        let frame = encoder.encode(picture, index == 3).expect("encoded").expect("no picture is left out");
        let units = nal_units(&frame.data);
        let types: Vec<u8> = units.iter().map(|unit| unit[0] & 0x1f).collect();
        if frame.keyframe {
            assert_eq!(types, [7, 8, 5], "picture {index}");
            // profile_idc 66, constraint_set0 and 1.
            assert_eq!((units[0][1], units[0][2] & 0xc0), (66, 0xc0));
            let colour = SequenceParameterSet::parse(units[0]).expect("a parameter set").colour;
            assert_eq!((colour.primaries, colour.transfer, colour.matrix, colour.full_range), (6, 6, 6, Some(false)));
            assert_eq!(frame.color_space, Some(ColorSpace::BT601));
        } else {
            assert_eq!(types, [1], "picture {index}");
        }
    }
}

#[test]
fn the_bitrate_follows_its_setting_without_a_keyframe() {
    for codec in [Codec::H264, Codec::Vp8] {
        let noisy = noisy_pictures(640, 360, 270);
        let settings = VideoEncoderSettings { bitrate: Bitrate::from_kbps(2_000), frame_rate: 30.0 };
        let mut encoder = video_encoder(codec, settings).expect("an encoder");
        let mut bytes = [0; 9];
        for (index, picture) in noisy.iter().enumerate() {
            match index {
                90 => encoder.set_bitrate(Bitrate::from_kbps(500)).expect("lowered"),
                180 => encoder.set_bitrate(Bitrate::from_kbps(3_000)).expect("raised"),
                _ => {}
            }
            let frame = encoder.encode(picture, false).expect("encoded").expect("no picture is left out");
            assert!(!frame.keyframe || !matches!(index, 90 | 180), "{codec} picture {index}");
            bytes[index / 30] += frame.data.len();
        }
        // The last of three seconds at each setting, when the rate control has settled.
        for (second, expected) in [(2, 2_000.0), (5, 500.0), (8, 3_000.0)] {
            let measured = bytes[second] as f64 * 8.0 / 1_000.0;
            let ratio = measured / expected;
            assert!((0.7..1.3).contains(&ratio), "{codec}: {measured:.0} kb/s for {expected} ({bytes:?})");
        }
    }
}

#[test]
fn sizes_change_in_flight_and_odd_ones_are_taken() {
    for codec in [Codec::H264, Codec::Vp8] {
        let mut encoder = video_encoder(codec, SETTINGS).expect("an encoder");
        let mut decoder = video_decoder(&video_stream(SourceCodec::Rtp(codec))).expect("a decoder");
        let source = &pattern(320, 180, 1)[0];
        let mut sizes = Vec::new();
        for (index, (width, height)) in [(320, 180), (161, 91), (400, 300)].into_iter().enumerate() {
            let timestamp = MediaTime::from_ticks(index as i64, 30);
            let picture = source.scaled(width, height).expect("a legal size").with_timestamp(timestamp);
            let frame = encoder.encode(&picture, false).expect("encoded").expect("no picture is left out");
            assert!(frame.keyframe, "{codec} {width}x{height}");
            let mut decoded = decoder.decode(&EncodedChunk::from(&frame)).expect("decoded");
            decoded.extend(decoder.flush().expect("flushed"));
            sizes.extend(decoded.iter().map(|picture| (picture.width(), picture.height())));
        }
        let odd = if codec == Codec::H264 { (160, 90) } else { (161, 91) };
        assert_eq!(sizes, [(320, 180), odd, (400, 300)], "{codec}");
    }
}

#[test]
fn pictures_of_b_frames_come_in_order_with_their_times_and_as_ffmpeg_decodes_them() {
    let folder = folder("b_frames");
    let path = |name: &str| folder.join(name).to_str().expect("a plain path").to_owned();
    for (profile, frames) in [("high", 3), ("main", 2)] {
        let (mp4, annex_b) = (path("b.mp4"), path("b.h264"));
        ffmpeg(&[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=320x240:rate=30:duration=4",
            "-c:v",
            "libx264",
            "-profile:v",
            profile,
            "-bf",
            &frames.to_string(),
            "-g",
            "50",
            "-pix_fmt",
            "yuv420p",
            &mp4,
        ]);
        ffmpeg(&["-i", &mp4, "-c", "copy", "-bsf:v", "h264_mp4toannexb,h264_metadata=aud=insert", &annex_b]);
        let listing = run("ffprobe", &["-v", "error", "-show_entries", "packet=pts", "-of", "csv=p=0", &mp4]);
        let times: Vec<i64> = String::from_utf8(listing)
            .expect("text")
            .lines()
            .map(|line| line.trim_end_matches(',').parse().expect("a number"))
            .collect();
        assert!(!times.is_sorted(), "the test file has B-frames");
        let expected = ffmpeg(&["-i", &mp4, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]);
        let expected: Vec<&[u8]> = expected.chunks_exact(320 * 240 * 3 / 2).collect();

        let units = access_units(&std::fs::read(&annex_b).expect("the file"));
        assert_eq!((units.len(), times.len()), (120, 120));
        let mut decoder = video_decoder(&video_stream(SourceCodec::Rtp(Codec::H264))).expect("a decoder");
        let mut decoded = Vec::new();
        for (data, &pts) in units.into_iter().zip(&times) {
            let pts = MediaTime::from_ticks(pts, 15_360);
            let chunk = EncodedChunk::new(data, pts).with_keyframe(false);
            decoded.extend(decoder.decode(&chunk).expect("decoded"));
        }
        decoded.extend(decoder.flush().expect("flushed"));

        let mut sorted = times.clone();
        sorted.sort_unstable();
        let found: Vec<i64> = decoded.iter().map(|picture| picture.timestamp().to_ticks(15_360)).collect();
        assert_eq!(found, sorted, "{profile}");
        for (index, (picture, expected)) in decoded.iter().zip(expected).enumerate() {
            let expected = VideoFrame::new(expected.to_vec().into(), 320, 240, MediaTime::ZERO).expect("a picture");
            // Not equal: the two round a few pixels of bidirectional prediction differently.
            assert!(psnr(picture, &expected) > 60.0, "{profile} {index}: {}", psnr(picture, &expected));
        }
    }
}

#[test]
fn vp9_of_all_samplings_decodes_close_to_ffmpeg() {
    let folder = folder("vp9");
    for (format, profile) in [("yuv420p", "0"), ("yuv444p", "1"), ("yuv420p10le", "2")] {
        let ivf = folder.join("vp9.ivf").to_str().expect("a plain path").to_owned();
        ffmpeg(&[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=162x90:rate=30:duration=0.5",
            "-c:v",
            "libvpx-vp9",
            "-profile:v",
            profile,
            "-pix_fmt",
            format,
            "-deadline",
            "realtime",
            "-b:v",
            "1M",
            &ivf,
        ]);
        let expected = ffmpeg(&["-i", &ivf, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]);
        let packets = ivf_frames(&std::fs::read(&ivf).expect("the file"));
        let mut decoder = video_decoder(&video_stream(SourceCodec::Rtp(Codec::Vp9))).expect("a decoder");
        let mut decoded = Vec::new();
        for packet in &packets {
            decoded.extend(decoder.decode(packet).expect("decoded"));
        }
        let size = 162 * 90 + 2 * 81 * 45;
        assert_eq!(decoded.len() * size, expected.len(), "{format}");
        assert!(decoded.is_sorted_by_key(VideoFrame::timestamp));
        for (picture, expected) in decoded.iter().zip(expected.chunks_exact(size)) {
            let expected = VideoFrame::new(expected.to_vec().into(), 162, 90, MediaTime::ZERO).expect("a picture");
            // Not equal: ffmpeg dithers 10 bits.
            assert!(psnr(picture, &expected) > 40.0, "{format}: {}", psnr(picture, &expected));
        }
    }
}

#[test]
fn what_no_decoder_here_takes_is_decoded_by_ffmpeg() {
    let folder = folder("external");
    for (name, encoder, format, profile) in [
        ("deep.ivf", "libsvtav1", "yuv420p10le", None),
        ("deep.h264", "libx264", "yuv420p10le", Some("profile-level-id=6e0028")),
        ("wide.h264", "libx264", "yuv422p", Some("profile-level-id=7a0028")),
    ] {
        let path = folder.join(name).to_str().expect("a plain path").to_owned();
        let source = "testsrc2=size=192x128:rate=30:duration=1";
        ffmpeg(&[
            "-f",
            "lavfi",
            "-i",
            source,
            "-c:v",
            encoder,
            "-g",
            "15",
            "-bf",
            "0",
            "-pix_fmt",
            format,
            "-x264-params",
            "aud=1",
            &path,
        ]);
        let expected = ffmpeg(&["-i", &path, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]);
        let data = std::fs::read(&path).expect("the file");
        let (packets, codec) = if profile.is_none() {
            (ivf_frames(&data), Codec::Av1)
        } else {
            let packets = access_units(&data).into_iter().enumerate().map(|(index, unit)| {
                EncodedChunk::new(unit, MediaTime::from_ticks(index as i64, 30)).with_keyframe(index == 0)
            });
            (packets.collect(), Codec::H264)
        };
        let mut stream = video_stream(SourceCodec::Rtp(codec));
        stream.sdp_fmtp_line = profile.map(str::to_owned);
        let mut decoder = video_decoder(&stream).expect("a decoder");
        // It can be used again after it was flushed.
        for pass in 0..2 {
            let mut decoded = Vec::new();
            for packet in &packets {
                decoded.extend(decoder.decode(packet).expect("decoded"));
            }
            decoded.extend(decoder.flush().expect("flushed"));
            let size = 192 * 128 * 3 / 2;
            assert_eq!((decoded.len(), decoded.len() * size), (packets.len(), expected.len()), "{name}, pass {pass}");
            for (index, (picture, expected)) in decoded.iter().zip(expected.chunks_exact(size)).enumerate() {
                assert_eq!(picture.timestamp(), MediaTime::from_ticks(index as i64, 30), "{name}");
                let expected = VideoFrame::new(expected.to_vec().into(), 192, 128, MediaTime::ZERO).expect("a picture");
                assert!(psnr(picture, &expected) > 40.0, "{name}: {}", psnr(picture, &expected));
            }
        }
    }
}

#[test]
fn packets_marked_to_be_discarded_show_nothing_and_garbage_is_an_error_not_a_panic() {
    for codec in [Codec::H264, Codec::Vp8] {
        let pictures = pattern(320, 180, 20);
        let mut encoder = video_encoder(codec, SETTINGS).expect("an encoder");
        let mut decoder = video_decoder(&video_stream(SourceCodec::Rtp(codec))).expect("a decoder");
        let mut times = Vec::new();
        for (index, picture) in pictures.iter().enumerate() {
            let frame = encoder.encode(picture, index == 12).expect("encoded").expect("no picture is left out");
            let mut packet = EncodedChunk::from(&frame);
            packet.discard = index < 5;
            if index == 10 {
                packet.data = packet.data.iter().map(|byte| byte.wrapping_mul(31).wrapping_add(7)).collect();
            }
            match decoder.decode(&packet) {
                Ok(pictures) => times.extend(pictures.iter().map(VideoFrame::timestamp)),
                Err(error) => assert!(matches!(error, MediaError::Codec { .. }) && index >= 10, "{index}: {error}"),
            }
        }
        times.extend(decoder.flush().expect("flushed").iter().map(VideoFrame::timestamp));
        let all: Vec<MediaTime> = pictures.iter().map(VideoFrame::timestamp).collect();
        assert_eq!(times[..5], all[5..10], "{codec}");
        assert!(times.ends_with(&all[12..]), "{codec}: {times:?}");
        assert!(times.is_sorted());
    }
}

/// Pictures that cannot be compressed well: the pattern with noise that changes.
fn noisy_pictures(width: u32, height: u32, count: u64) -> Vec<VideoFrame> {
    let mut state = 1_u32;
    let base = pattern(width, height, 1).remove(0);
    (0..count as i64)
        .map(|index| {
            let noisy: Vec<u8> = base
                .y()
                .iter()
                .map(|&value| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    value.saturating_add((state >> 27) as u8)
                })
                .collect();
            let half = width as usize / 2;
            let planes = [
                Plane { data: &noisy, stride: width as usize },
                Plane { data: base.u(), stride: half },
                Plane { data: base.v(), stride: half },
            ];
            VideoFrame::from_planes(planes, width, height, MediaTime::from_ticks(index, 30)).expect("a picture")
        })
        .collect()
}

/// The units behind four-byte start codes.
fn nal_units(data: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = (0..data.len().saturating_sub(3)).filter(|&at| data[at..at + 4] == [0, 0, 0, 1]).collect();
    assert_eq!(starts.first(), Some(&0), "begins with a start code of four bytes");
    let ends = starts.iter().skip(1).copied().chain([data.len()]);
    starts.iter().zip(ends).map(|(&start, end)| &data[start + 4..end]).collect()
}

/// Cuts Annex B at its access unit delimiters.
fn access_units(data: &[u8]) -> Vec<Vec<u8>> {
    let is_delimiter = |at: &usize| data[*at..at + 4] == [0, 0, 1, 9];
    let starts: Vec<usize> = (0..data.len() - 4).filter(is_delimiter).collect();
    let ends = starts.iter().skip(1).copied().chain([data.len()]);
    starts.iter().zip(ends).map(|(&start, end)| data[start..end].to_vec()).collect()
}

/// The packets of an IVF file.
fn ivf_frames(mut data: &[u8]) -> Vec<EncodedChunk> {
    data = &data[32..];
    let mut packets = Vec::new();
    while data.len() > 12 {
        let length = u32::from_le_bytes(data[..4].try_into().expect("four bytes")) as usize;
        let pts = i64::from_le_bytes(data[4..12].try_into().expect("eight bytes"));
        let pts = MediaTime::from_ticks(pts, 30);
        packets.push(EncodedChunk::new(data[12..12 + length].to_vec(), pts).with_keyframe(packets.is_empty()));
        data = &data[12 + length..];
    }
    packets
}
