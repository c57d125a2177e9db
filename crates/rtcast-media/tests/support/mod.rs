//! What the tests of this crate share.
#![expect(dead_code, reason = "each test program uses a part of it")]

use std::path::PathBuf;
use std::process::Command;

use bytes::Bytes;
use rtcast_media::pattern::{PatternOptions, TestPattern};
use rtcast_media::raw::VideoFrame;
use rtcast_media::{PictureProperties, SourceCodec, StreamInfo};
use rtcast_track::{MediaKind, MediaTime};

/// Pictures of the test pattern.
pub(crate) fn pattern(width: u32, height: u32, count: u64) -> Vec<VideoFrame> {
    let pattern = TestPattern::new(PatternOptions { width, height, frame_rate: 30 });
    let picture = |number: u64| {
        let timestamp = MediaTime::from_ticks(number as i64, 30);
        VideoFrame::new(pattern.picture(number), width, height, timestamp).expect("a whole picture")
    };
    (0..count).map(picture).collect()
}

/// A stream of which nothing but the codec is known.
pub(crate) fn video_stream(codec: SourceCodec) -> StreamInfo {
    StreamInfo {
        kind: MediaKind::Video,
        codec_name: format!("{codec:?}"),
        codec,
        extradata: Bytes::new(),
        width: 0,
        height: 0,
        frame_rate: 0.0,
        sample_rate: 0,
        channels: 0,
        reordered: false,
        sdp_fmtp_line: None,
        picture: PictureProperties::default(),
    }
}

/// A stream of sound.
pub(crate) fn audio_stream(codec: SourceCodec, sample_rate: u32, channels: u16, extradata: Bytes) -> StreamInfo {
    StreamInfo { kind: MediaKind::Audio, sample_rate, channels, extradata, ..video_stream(codec) }
}

/// The likeness of two pictures' brightness in decibels: 30 is passable, 40 good.
pub(crate) fn psnr(left: &VideoFrame, right: &VideoFrame) -> f64 {
    assert_eq!((left.width(), left.height()), (right.width(), right.height()));
    let squares = left.y().iter().zip(right.y()).map(|(l, r)| (f64::from(*l) - f64::from(*r)).powi(2));
    let mean = squares.sum::<f64>() / left.y().len() as f64;
    10.0 * (255.0 * 255.0 / mean.max(1e-9)).log10()
}

/// The strength of one frequency in interleaved samples of which one channel is taken, as the amplitude of a sine.
pub(crate) fn amplitude(samples: &[i16], channel: usize, channels: usize, rate: u32, frequency: f64) -> f64 {
    let values: Vec<f64> = samples.iter().skip(channel).step_by(channels).map(|&sample| sample.into()).collect();
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (index, value) in values.iter().enumerate() {
        let angle = std::f64::consts::TAU * frequency * index as f64 / f64::from(rate);
        real += value * angle.cos();
        imaginary += value * angle.sin();
    }
    2.0 * f64::hypot(real, imaginary) / values.len() as f64
}

/// A folder of its own for the files of one test, emptied first.
pub(crate) fn folder(test: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a folder for test files");
    path
}

/// Runs ffmpeg quietly and returns its standard output.
pub(crate) fn ffmpeg(arguments: &[&str]) -> Vec<u8> {
    run("ffmpeg", &[&["-nostdin", "-hide_banner", "-loglevel", "error", "-y"], arguments].concat())
}

/// Runs a program that must succeed and returns its standard output.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).output().expect("the program is installed (see README)");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
