//! What the program ffmpeg does for sources that are not built in.

use std::path::Path;

use rtcast_media::container::{self, Options};
use rtcast_media::{Demuxer, MediaError, Packet, Source, SourceCodec};
use rtcast_track::{Codec, MediaKind, MediaTime};

use crate::media::{decoded_sound, expected_packets, sample};
use crate::{open, read_all};

fn of_stream(packets: &[Packet], stream: usize) -> Vec<&Packet> {
    packets.iter().filter(|packet| packet.stream == stream).collect()
}

/// Names of the codecs, and how the packets come.
fn codecs(demuxer: &dyn Demuxer) -> Vec<(String, SourceCodec)> {
    demuxer.streams().iter().map(|stream| (stream.codec_name.clone(), stream.codec.clone())).collect()
}

fn first_time(packets: &[&Packet]) -> f64 {
    packets
        .iter()
        .filter(|packet| !packet.chunk.discard)
        .map(|packet| packet.chunk.timestamp)
        .min()
        .unwrap()
        .as_secs_f64()
}

#[test]
fn both_streams_are_decoded() {
    for (name, video, audio) in
        [("hevc-ac3.mp4", "HEVC Main", "AC-3"), ("high.ts", "H.264 High", "AAC LC"), ("vorbis.ogg", "", "Vorbis")]
    {
        let path = sample(name);
        let mut demuxer = open(&path);
        let mut expected = vec![(video.to_owned(), SourceCodec::I420), (audio.to_owned(), SourceCodec::PcmS16)];
        expected.retain(|(name, _)| !name.is_empty());
        assert_eq!(codecs(&*demuxer), expected, "{name}");
        let duration = demuxer.duration().unwrap().as_secs_f64();
        assert!((duration - 3.0).abs() < 0.1, "{name}: {duration}");

        let packets = read_all(&mut *demuxer);
        assert_eq!(packets.iter().map(|packet| packet.chunk.timestamp).min(), Some(MediaTime::ZERO), "{name}");
        let sound = of_stream(&packets, demuxer.streams().len() - 1);
        let samples: usize = sound.iter().map(|packet| packet.chunk.data.len() / 4).sum();
        assert!(samples.abs_diff(3 * 48_000) < 5_000, "{name}: {samples} samples");
        if !video.is_empty() {
            let info = demuxer.streams()[0].clone();
            assert_eq!((info.width, info.height, info.frame_rate), (320, 180, 30.0), "{name}");
            let pictures = of_stream(&packets, 0);
            assert_eq!(pictures.len(), 90, "{name}");
            assert!(
                pictures.iter().all(|packet| packet.chunk.data.len() == 320 * 180 * 3 / 2 && packet.chunk.keyframe),
                "{name}"
            );
        }
        assert!(demuxer.rewind().unwrap(), "{name}");
        assert_eq!(read_all(&mut *demuxer).len(), packets.len(), "{name}");
    }
}

#[test]
fn one_stream_is_decoded_and_the_other_copied() {
    let path = sample("h264-ac3.mp4");
    let mut demuxer = open(&path);
    let expected = [("H.264 High".to_owned(), SourceCodec::Rtp(Codec::H264)), ("AC-3".to_owned(), SourceCodec::PcmS16)];
    assert_eq!(codecs(&*demuxer), expected);
    assert!(demuxer.streams()[0].reordered);
    let packets = read_all(&mut *demuxer);
    assert_eq!(of_stream(&packets, 0).len(), expected_packets(&path, "v:0").len());
    let sound = of_stream(&packets, 1);
    let bytes: usize = sound.iter().map(|packet| packet.chunk.data.len()).sum();
    assert!(bytes.abs_diff(decoded_sound(&path).len() * 48_000 / 44_100) < 20_000, "{bytes}");
    // Neither stream runs ahead of the other in what comes out.
    assert!(packets.windows(2).all(|pair| pair[0].dts <= pair[1].dts));
    assert!(first_time(&of_stream(&packets, 0)).max(first_time(&sound)) < 0.05);
    assert!(demuxer.rewind().unwrap());
    assert_eq!(read_all(&mut *demuxer).len(), packets.len());

    let demuxer = open(&sample("hevc-opus.mkv"));
    let expected = [("HEVC Main".to_owned(), SourceCodec::I420), ("Opus".to_owned(), SourceCodec::Rtp(Codec::Opus))];
    assert_eq!(codecs(&*demuxer), expected);
}

#[test]
fn variants_that_browsers_and_built_in_decoders_lack_are_decoded() {
    assert_eq!(codecs(&*open(&sample("high-10.mp4"))), [("H.264 High 10".to_owned(), SourceCodec::I420)]);
    let demuxer = open(&sample("surround.mp4"));
    assert_eq!(demuxer.streams()[0].codec, SourceCodec::Rtp(Codec::H264));
    let sound = &demuxer.streams()[1];
    assert_eq!((&sound.codec, sound.sample_rate, sound.channels), (&SourceCodec::PcmS16, 48_000, 2));
}

#[test]
fn what_is_asked_for_is_decoded_though_it_is_built_in() {
    let mut options = Options::default();
    options.decode = vec![MediaKind::Video];
    let mut demuxer = container::open_with(&Source::Path(sample("av1.mp4")), &options).unwrap();
    assert_eq!(codecs(&*demuxer), [("AV1 Main".to_owned(), SourceCodec::I420)]);
    assert_eq!(read_all(&mut *demuxer).len(), 90);
}

#[test]
fn without_the_program_the_error_names_the_codec_and_what_to_install() {
    let mut options = Options::default();
    for program in [None, Some("no-such-program".into())] {
        options.ffmpeg = program;
        for (name, parts) in [("hevc-ac3.mp4", ["HEVC video and AC-3 audio"]), ("high.ts", ["MPEG-TS"])] {
            let Err(error) = container::open_with(&Source::Path(sample(name)), &options) else {
                panic!("{name} opened")
            };
            assert!(matches!(error, MediaError::Unsupported { .. }), "{error:?}");
            let text = error.to_string();
            for part in parts.into_iter().chain([name, "apt-get install ffmpeg", "brew install ffmpeg"]) {
                assert!(text.contains(part), "{text}");
            }
        }
    }
}

#[test]
fn the_program_s_own_words_are_in_the_error() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = directory.join("broken.avi");
    std::fs::write(&path, b"RIFF\x10\0\0\0AVI LIST\xff\xff\xff\xffjunkjunk").unwrap();
    let Err(error) = container::open(&Source::Path(path)) else { panic!("opened") };
    let text = error.to_string();
    assert!(text.contains("broken.avi") && text.contains("AVI") && text.contains("ffmpeg says: "), "{text}");
}

#[test]
fn generators_and_addresses_are_opened() {
    let mut demuxer = container::open(&Source::parse("lavfi:testsrc2=size=64x48:rate=10:duration=1")).unwrap();
    let info = demuxer.streams()[0].clone();
    assert_eq!((info.width, info.height, info.frame_rate), (64, 48, 10.0));
    assert_eq!(read_all(&mut *demuxer).len(), 10);
    assert!(!demuxer.rewind().unwrap());

    // Nothing listens on port 1.
    let Err(error) = container::open(&Source::parse("http://127.0.0.1:1/a.mp4")) else { panic!("opened") };
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn pictures_that_a_telephone_marked_as_turned_are_turned() {
    let mut bytes = std::fs::read(sample("baseline.mp4")).unwrap();
    // The matrix of the track's header, for a quarter to the right.
    let at = bytes.windows(4).position(|kind| kind == b"tkhd").unwrap() + 44;
    let matrix: [i32; 9] = [0, 0x1_0000, 0, -0x1_0000, 0, 0, 180 << 16, 0, 0x4000_0000];
    for (place, number) in bytes[at..].chunks_mut(4).zip(matrix) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("turned.mp4");
    std::fs::write(&path, bytes).unwrap();
    let mut demuxer = open(&path);
    let info = demuxer.streams()[0].clone();
    assert_eq!((info.codec, info.width, info.height), (SourceCodec::I420, 180, 320));
    assert_eq!(read_all(&mut *demuxer).len(), 90);

    let mut options = Options::default();
    options.ffmpeg = Some("no-such-program".into());
    let demuxer = container::open_with(&Source::Path(path), &options).unwrap();
    assert_eq!(demuxer.streams()[0].codec, SourceCodec::Rtp(Codec::H264));
}
