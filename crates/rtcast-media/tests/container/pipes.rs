//! The same packets come out of a pipe as out of a file.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use rtcast_media::{Packet, SourceCodec};

use crate::media::sample;
use crate::{open, read_all};

/// A named pipe into which a thread writes a file, in small pieces.
fn pipe_of(name: &str, file: &Path) -> (PathBuf, JoinHandle<io::Result<()>>) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}.pipe", std::process::id()));
    let _ = std::fs::remove_file(&path);
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let bytes = std::fs::read(file).unwrap();
    let end = path.clone();
    let writer = std::thread::spawn(move || {
        let mut pipe = File::create(end)?;
        bytes.chunks(1_000).try_for_each(|piece| pipe.write_all(piece))
    });
    (path, writer)
}

fn of_stream(packets: &[Packet], stream: usize) -> Vec<&Packet> {
    packets.iter().filter(|packet| packet.stream == stream).collect()
}

#[test]
fn pipes_yield_what_files_do() {
    for name in [
        "baseline.mp4",
        "high.mp4",
        "high-faststart.mp4",
        "high-fragmented.mp4",
        "high-separate.mp4",
        "high.mov",
        "high.mkv",
        "vp8.webm",
        "vp8-live.webm",
        "av1.mkv",
        "vp9.ivf",
        "av1.ivf",
        "high.h264",
        "baseline.h264",
        "opus.ogg",
        "s16.wav",
        "mulaw.wav",
        "tone.aac",
        "pictures.y4m",
    ] {
        let file = sample(name);
        let mut expected = open(&file);
        let (path, writer) = pipe_of(name, &file);
        let mut demuxer = open(&path);
        assert_eq!(demuxer.streams().len(), expected.streams().len(), "{name}");
        for (found, expected) in demuxer.streams().iter().zip(expected.streams()) {
            assert_eq!((&found.codec, &found.codec_name), (&expected.codec, &expected.codec_name), "{name}");
            assert_eq!((found.width, found.frame_rate), (expected.width, expected.frame_rate), "{name}");
            assert_eq!(found.reordered, expected.reordered, "{name}");
        }
        let (found, wanted) = (read_all(&mut *demuxer), read_all(&mut *expected));
        for stream in 0..demuxer.streams().len() {
            assert!(of_stream(&found, stream) == of_stream(&wanted, stream), "{name}: stream {stream} differs");
        }
        // An mp4 whose index stands at its end was kept in a temporary file.
        let spooled = matches!(name, "baseline.mp4" | "high.mp4" | "high.mov");
        assert_eq!(demuxer.rewind().unwrap(), spooled, "{name}");
        writer.join().unwrap().unwrap();
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn what_is_not_built_in_is_decoded_from_a_pipe() {
    // The first is recognised at once, the second only when its index has been read.
    for (name, pictures) in [("high.ts", 90), ("hevc-opus.mkv", 90)] {
        let (path, writer) = pipe_of(name, &sample(name));
        let mut demuxer = open(&path);
        let codecs: Vec<_> = demuxer.streams().iter().map(|stream| stream.codec.clone()).collect();
        assert_eq!(codecs, [SourceCodec::I420, SourceCodec::PcmS16], "{name}");
        let packets = read_all(&mut *demuxer);
        assert_eq!(of_stream(&packets, 0).len(), pictures, "{name}");
        assert!(!demuxer.rewind().unwrap(), "{name}");
        writer.join().unwrap().unwrap();
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn what_must_be_read_from_its_end_goes_by_a_temporary_file() {
    let (path, writer) = pipe_of("hevc-ac3.mp4", &sample("hevc-ac3.mp4"));
    let mut demuxer = open(&path);
    let codecs: Vec<_> = demuxer.streams().iter().map(|stream| stream.codec.clone()).collect();
    assert_eq!(codecs, [SourceCodec::I420, SourceCodec::PcmS16]);
    let packets = read_all(&mut *demuxer);
    assert_eq!(of_stream(&packets, 0).len(), 90);
    assert!(demuxer.rewind().unwrap());
    assert_eq!(of_stream(&read_all(&mut *demuxer), 0).len(), 90);
    writer.join().unwrap().unwrap();
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_reader_that_stops_early_leaves_nobody_waiting() {
    let (path, writer) = pipe_of("early.webm", &sample("vp8.webm"));
    let mut demuxer = open(&path);
    assert!(demuxer.next_packet().unwrap().is_some());
    drop(demuxer);
    assert_eq!(writer.join().unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    std::fs::remove_file(path).unwrap();
}
