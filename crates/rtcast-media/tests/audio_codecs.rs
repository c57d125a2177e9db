//! Decoders of sound, the converter to pieces of 48 kHz stereo, and the Opus encoder.

mod support;

use bytes::Bytes;
use rtcast_media::codec::resample::{AudioConverter, PIECE};
use rtcast_media::codec::{audio_decoder, audio_encoder, opus_encoder};
use rtcast_media::container::{self, Source};
use rtcast_media::raw::AudioFrame;
use rtcast_media::{EncodedChunk, MediaError, SourceCodec, StreamInfo};
use rtcast_track::{Bitrate, Codec, MediaTime};
use support::{amplitude, audio_stream, ffmpeg, folder};

#[test]
fn aac_becomes_opus_of_the_same_pitch_and_time() {
    for (rate, channels) in [(44_100, 2), (48_000, 2), (22_050, 1)] {
        let aac = adts(&format!("sine=frequency=440:sample_rate={rate}:duration=3"), rate, channels);
        let mut decoder = audio_decoder(&aac.0).expect("a decoder");
        let mut converter = AudioConverter::new();
        let mut encoder = opus_encoder(Bitrate::from_kbps(96)).expect("an encoder");
        let mut pieces = Vec::new();
        for packet in &aac.1 {
            let sound = decoder.decode(packet).expect("decoded").expect("sound");
            assert_eq!((sound.rate(), sound.channels(), sound.timestamp()), (rate, channels, packet.timestamp));
            pieces.extend(converter.push(&sound).expect("converted"));
        }
        pieces.extend(converter.finish().expect("finished"));

        let opus = audio_stream(SourceCodec::Rtp(Codec::Opus), 48_000, 2, Bytes::new());
        let mut opus_decoder = audio_decoder(&opus).expect("a decoder");
        let mut heard: Vec<i16> = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            assert_eq!(piece.timestamp(), MediaTime::from_micros(20_000 * index as i64), "{rate} piece {index}");
            let frame = encoder.encode(piece).expect("encoded");
            assert!(frame.keyframe && frame.data.len() < 1_276);
            // libopus looks 6.5 ms ahead at this setting.
            assert_eq!(piece.timestamp().since(frame.timestamp), MediaTime::from_micros(6_500));
            let decoded = opus_decoder.decode(&EncodedChunk::from(&frame)).expect("decoded").expect("sound");
            assert_eq!(decoded.duration(), MediaTime::from_micros(20_000));
            heard.extend(decoded.samples());
        }
        let seconds = heard.len() as f64 / 2.0 / 48_000.0;
        assert!((3.0..3.2).contains(&seconds), "{seconds} s");
        let second = &heard[2 * 48_000..4 * 48_000];
        for channel in [0, 1] {
            let tone = amplitude(second, channel, 2, 48_000, 440.0);
            let others = [220.0, 404.0, 479.0, 880.0].map(|other| amplitude(second, channel, 2, 48_000, other));
            assert!(tone > 2_800.0, "{rate} Hz: the tone has {tone:.0}");
            assert!(others.iter().all(|other| *other < tone / 50.0), "{rate} Hz: {tone:.0} beside {others:.0?}");
        }
    }
}

#[test]
fn the_converter_keeps_time_across_the_resampler() {
    // A click at 0.5 s in 44.1 kHz must lie at 0.5 s in 48 kHz.
    let mut samples = vec![0_i16; 2 * 44_100];
    samples[2 * 22_050] = 32_000;
    let mut converter = AudioConverter::new();
    let mut heard = Vec::new();
    for (index, part) in samples.chunks(2 * 1_000).enumerate() {
        let timestamp = MediaTime::from_ticks(1_000 * index as i64, 44_100);
        let frame = AudioFrame::new(part.to_vec(), 44_100, 2, timestamp).expect("legal");
        heard.extend(converter.push(&frame).expect("converted"));
    }
    heard.extend(converter.finish().expect("finished"));
    assert_eq!(heard.len(), 50);
    let all: Vec<i16> = heard.iter().flat_map(|piece| piece.samples().to_vec()).collect();
    let loudest = (0..all.len() / 2).max_by_key(|&index| all[2 * index].unsigned_abs()).expect("not empty");
    assert!((23_999..=24_001).contains(&loudest), "the click lies at sample {loudest}");
}

#[test]
fn a_gap_stays_a_gap_and_rounded_timestamps_are_none() {
    let mut converter = AudioConverter::new();
    let mut times = Vec::new();
    let mut push = |milliseconds: i64| {
        let timestamp = MediaTime::from_micros(milliseconds * 1_000);
        let frame = AudioFrame::new(vec![0; 2 * 1_024], 48_000, 2, timestamp).expect("legal");
        for piece in converter.push(&frame).expect("converted") {
            assert_eq!(piece.samples().len(), 2 * PIECE);
            times.push(piece.timestamp().as_nanos() / 1_000_000);
        }
    };
    // 1,024 samples are 21.33 ms; these are rounded down. The last three lie before what has been heard by then.
    for milliseconds in [0, 21, 42, 64, 1_000, 1_021, 500, 975, 996] {
        push(milliseconds);
    }
    // Of the very last, 1,040 to 1,060 is not complete.
    assert_eq!(times, [0, 20, 40, 60, 1_000, 1_020]);
}

#[test]
fn more_channels_are_mixed_to_two() {
    let mix = |channels: u16, loud: usize| -> [i16; 2] {
        let samples =
            (0..usize::from(channels) * PIECE).map(|at| if at % usize::from(channels) == loud { 10_000 } else { 0 });
        let frame = AudioFrame::new(samples.collect(), 48_000, channels, MediaTime::ZERO).expect("legal");
        let piece = AudioConverter::new().push(&frame).expect("converted").remove(0);
        [piece.samples()[0], piece.samples()[1]]
    };
    assert_eq!(mix(1, 0), [10_000, 10_000]);
    assert_eq!(mix(2, 1), [0, 10_000]);
    // Of 5.1: left is 1, centre and surround 0.7071 of 2.4142 in all; the bass is left out.
    assert_eq!(mix(6, 0), [4_142, 0]);
    assert_eq!(mix(6, 2), [2_929, 2_929]);
    assert_eq!(mix(6, 3), [0, 0]);
    assert_eq!(mix(6, 5), [0, 2_929]);
    assert_eq!(mix(11, 1), [0, 10_000]);
}

#[test]
fn telephones_hear_the_mix_of_both_channels_at_its_level() {
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let mut encoder = audio_encoder(codec, Bitrate::from_kbps(64)).expect("an encoder");
        let mut decoder =
            audio_decoder(&audio_stream(SourceCodec::Rtp(codec), 8_000, 1, Bytes::new())).expect("a decoder");
        let mut heard: Vec<i16> = Vec::new();
        for piece in 0..60_i64 {
            let sine = |at: i64, hertz: f64| {
                let phase = std::f64::consts::TAU * hertz * at as f64 / 48_000.0;
                (8_000.0 * phase.sin()).round() as i16
            };
            // What lies beyond half the rate must not fold back into the band.
            let sample = |at| [sine(at, 440.0) + sine(at, 6_500.0), sine(at, 880.0)];
            let samples = (piece * 960..(piece + 1) * 960).flat_map(sample).collect();
            let frame = AudioFrame::new(samples, 48_000, 2, MediaTime::from_ticks(piece, 50)).expect("legal");
            let encoded = encoder.encode(&frame).expect("encoded");
            assert_eq!((encoded.codec, encoded.data.len()), (codec, 160));
            let delay = frame.timestamp().since(encoded.timestamp).as_nanos() / 1_000_000;
            assert!((0..20).contains(&delay), "{delay} ms");
            heard.extend(decoder.decode(&EncodedChunk::from(&encoded)).expect("decoded").expect("sound").samples());
        }
        let heard = &heard[1_600..];
        for (hertz, expected) in [(440.0, 4_000.0), (880.0, 4_000.0), (1_500.0, 0.0)] {
            let found = amplitude(heard, 0, 1, 8_000, hertz);
            assert!((found - expected).abs() < 80.0, "{codec}: {hertz} Hz has {found:.0}");
        }
    }
}

#[test]
fn surround_in_opus_is_mixed_as_ffmpeg_mixes_it() {
    let path = folder("surround").join("surround.mkv").to_str().expect("a plain path").to_owned();
    // Front left and right, centre, bass, back left and right; each has its own tone.
    let tones = [440, 550, 660, 60, 770, 880].map(|hertz| format!("0.2*sin(2*PI*{hertz}*t)")).join("|");
    let source = format!("aevalsrc={tones}:channel_layout=5.1:sample_rate=48000:duration=2");
    ffmpeg(&["-f", "lavfi", "-i", &source, "-c:a", "libopus", "-b:a", "384k", "-mapping_family", "1", &path]);
    let expected = samples(&ffmpeg(&["-i", &path, "-ac", "2", "-f", "s16le", "-"]));
    let mut demuxer = container::open(&Source::parse(&path)).expect("opened");
    let mut decoder = audio_decoder(&demuxer.streams()[0]).expect("a decoder");
    let mut converter = AudioConverter::new();
    let mut heard: Vec<i16> = Vec::new();
    while let Some(packet) = demuxer.next_packet().expect("read") {
        let Some(sound) = decoder.decode(&packet.chunk).expect("decoded") else { continue };
        assert_eq!(sound.channels(), 6);
        heard.extend(converter.push(&sound).expect("converted").iter().flat_map(|piece| piece.samples().to_vec()));
    }
    for channel in [0, 1] {
        for hertz in [440.0, 550.0, 660.0, 770.0, 880.0] {
            let [found, wanted] =
                [&heard, &expected].map(|all| amplitude(&all[48_000..96_000], channel, 2, 48_000, hertz));
            assert!((found - wanted).abs() < 60.0, "channel {channel}, {hertz} Hz: {found:.0}, not {wanted:.0}");
        }
    }
}

#[test]
fn g711_and_pcm_decode_as_ffmpeg_does() {
    let source = "sine=frequency=440:sample_rate=8000:duration=0.5";
    let expected = ffmpeg(&["-f", "lavfi", "-i", source, "-f", "s16le", "-"]);
    let pcm = decode_all(&audio_stream(SourceCodec::PcmS16, 8_000, 1, Bytes::new()), expected.clone());
    assert_eq!(pcm, samples(&expected));
    for (codec, name) in [(Codec::Pcmu, "mulaw"), (Codec::Pcma, "alaw")] {
        let coded = ffmpeg(&["-f", "lavfi", "-i", source, "-f", name, "-"]);
        let folder = folder(name);
        let path = folder.join("coded").to_str().expect("a plain path").to_owned();
        std::fs::write(&path, &coded).expect("written");
        let expected = ffmpeg(&["-f", name, "-ar", "8000", "-i", &path, "-f", "s16le", "-"]);
        let found = decode_all(&audio_stream(SourceCodec::Rtp(codec), 8_000, 1, Bytes::new()), coded);
        assert_eq!(found, samples(&expected), "{name}");
    }
}

#[test]
fn aac_of_six_channels_is_refused_with_advice() {
    // AudioSpecificConfig of AAC-LC, 48 kHz, 5.1.
    let stream = audio_stream(SourceCodec::Aac, 48_000, 6, Bytes::from_static(&[0x11, 0xb0]));
    let error = audio_decoder(&stream).err().expect("refused");
    assert!(matches!(error, MediaError::Unsupported { .. }));
    assert!(error.to_string().contains("install `ffmpeg`"), "{error}");
}

#[test]
fn garbage_is_an_error_not_a_panic() {
    let aac = audio_stream(SourceCodec::Aac, 44_100, 2, Bytes::from_static(&[0x12, 0x10]));
    let opus = audio_stream(SourceCodec::Rtp(Codec::Opus), 48_000, 2, Bytes::new());
    for stream in [aac, opus] {
        let mut decoder = audio_decoder(&stream).expect("a decoder");
        let mut state = 7_u32;
        let mut errors = 0;
        for length in 0..400_usize {
            let garbage: Vec<u8> = (0..length % 97)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            errors += usize::from(decoder.decode(&at(garbage, MediaTime::ZERO)).is_err());
        }
        assert!(errors > 0, "{}", stream.codec_name);
    }
}

fn decode_all(stream: &StreamInfo, data: Vec<u8>) -> Vec<i16> {
    let mut decoder = audio_decoder(stream).expect("a decoder");
    decoder.decode(&at(data, MediaTime::ZERO)).expect("decoded").expect("sound").samples().to_vec()
}

fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.as_chunks().0.iter().map(|&pair| i16::from_le_bytes(pair)).collect()
}

fn at(data: Vec<u8>, pts: MediaTime) -> EncodedChunk {
    EncodedChunk::new(data, pts)
}

/// AAC-LC made by ffmpeg, as a stream and packets that begin at zero.
fn adts(source: &str, rate: u32, channels: u16) -> (StreamInfo, Vec<EncodedChunk>) {
    let data = ffmpeg(&["-f", "lavfi", "-i", source, "-ac", &channels.to_string(), "-c:a", "aac", "-f", "adts", "-"]);
    let index = match rate {
        44_100 => 4,
        48_000 => 3,
        _ => 7,
    };
    // ISO/IEC 14496-3 §1.6.2.1: object type 2 in five bits, the rate's index and the channels in four each.
    let configuration = (2_u16 << 11) | (index << 7) | (channels << 3);
    let stream = audio_stream(SourceCodec::Aac, rate, channels, configuration.to_be_bytes().to_vec().into());
    let mut packets = Vec::new();
    let mut rest = &data[..];
    while rest.len() > 7 {
        let length = usize::from(rest[3] & 3) << 11 | usize::from(rest[4]) << 3 | usize::from(rest[5] >> 5);
        let pts = MediaTime::from_ticks(1_024 * packets.len() as i64, rate);
        packets.push(at(rest[7..length].to_vec(), pts));
        rest = &rest[length..];
    }
    (stream, packets)
}
