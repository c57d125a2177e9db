//! Where the built-in readers say no, another way is found before anybody is told.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use rtcast_media::container::{self, Options};
use rtcast_media::{Demuxer, MediaError, Packet, Source, SourceCodec};
use rtcast_track::{Codec, Hint, MediaKind, MediaTime};

use crate::media::sample;
use crate::{open, read_all};

fn pictures(demuxer: &dyn Demuxer, packets: &[Packet]) -> usize {
    let is_picture =
        |packet: &&Packet| demuxer.streams()[packet.stream].kind == MediaKind::Video && !packet.chunk.discard;
    packets.iter().filter(is_picture).count()
}

#[test]
fn forms_that_no_built_in_reader_takes_are_played() {
    for (name, size, count) in [
        ("pictures.mjpeg", (160, 120), 10),
        ("moving.apng", (160, 120), 10),
        ("moving.webp", (160, 120), 10),
        ("half.y4m", (160, 120), 10),
        ("ten-bits.y4m", (160, 120), 10),
    ] {
        let mut demuxer = open(&sample(name));
        let info = demuxer.streams()[0].clone();
        assert_eq!((info.codec, (info.width, info.height)), (SourceCodec::I420, size), "{name}");
        for pass in 0..2 {
            let packets = read_all(&mut *demuxer);
            assert_eq!(pictures(&*demuxer, &packets), count, "{name}, pass {pass}");
            assert!(packets.iter().all(|packet| packet.chunk.data.len() == 160 * 120 * 3 / 2), "{name}");
            assert!(packets.windows(2).all(|pair| pair[0].chunk.timestamp < pair[1].chunk.timestamp), "{name}");
            assert!(demuxer.rewind().unwrap(), "{name}");
        }
    }
}

#[test]
fn a_sequence_of_images_is_a_track_of_pictures() {
    let mut demuxer = open(&sample("moving.avif"));
    assert_eq!(demuxer.streams()[0].codec, SourceCodec::Rtp(Codec::Av1));
    let packets = read_all(&mut *demuxer);
    assert_eq!(packets.len(), 10);
    assert!(packets[0].chunk.keyframe);
}

#[test]
fn a_single_picture_is_shown_and_repeated() {
    for name in ["still.png", "still.jpg", "still.gif", "still.webp"] {
        let mut demuxer = open(&sample(name));
        let info = demuxer.streams()[0].clone();
        assert_eq!((info.codec, info.width, info.height), (SourceCodec::I420, 160, 120), "{name}");
        for _ in 0..2 {
            let packets = read_all(&mut *demuxer);
            assert_eq!(packets.len(), 50, "{name}");
            assert!(packets.iter().all(|packet| packet.chunk.data == packets[0].chunk.data), "{name}");
            assert_eq!(packets[49].chunk.timestamp, MediaTime::from_micros(9_800_000), "{name}");
            assert!(demuxer.rewind().unwrap(), "{name}");
        }
    }
}

#[test]
fn colours_of_webp_are_those_that_were_meant() {
    let mut demuxer = open(&sample("red.webp"));
    let packet = demuxer.next_packet().unwrap().unwrap();
    let [y, u, v] = [0, 64 * 48, 64 * 48 * 5 / 4].map(|at| i32::from(packet.chunk.data[at]));
    // (200, 50, 50) by BT.601.
    for (found, expected) in [(y, 97), (u, 106), (v, 194)] {
        assert!((found - expected).abs() <= 3, "{y} {u} {v}");
    }
}

#[test]
fn sound_is_played_though_no_picture_can_be() {
    let demuxer = open(&sample("no-keyframe.ts"));
    let kinds: Vec<_> = demuxer.streams().iter().map(|stream| stream.kind).collect();
    assert_eq!(kinds, [MediaKind::Audio]);
    // A recording that begins in the middle of a group: the sound from its start, the pictures from the next keyframe.
    let bytes = std::fs::read(sample("high.ts")).unwrap();
    let cut = bytes.len() / 188 / 6 * 188;
    let path = written("begins-late.ts", &bytes[cut..]);
    let mut demuxer = open(&path);
    let packets = read_all(&mut *demuxer);
    let first = |kind| {
        let of_kind = |packet: &&Packet| demuxer.streams()[packet.stream].kind == kind;
        packets.iter().filter(of_kind).map(|packet| packet.chunk.timestamp).min().unwrap().as_secs_f64()
    };
    let (picture, sound) = (first(MediaKind::Video), first(MediaKind::Audio));
    assert!(picture - sound > 0.2, "the first picture at {picture} s, the first sound at {sound} s");
    assert!(pictures(&*demuxer, &packets) >= 30);
}

#[test]
fn what_a_server_gives_only_from_front_to_back_is_played() {
    // Its index stands at its end, where nobody gets without ranges.
    let bytes = std::fs::read(sample("high.mp4")).unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/film.mp4", server.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in server.incoming() {
            let (mut connection, bytes) = (connection.unwrap(), bytes.clone());
            std::thread::spawn(move || {
                let mut request = [0; 4_096];
                let _ = connection.read(&mut request);
                let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
                // The client may hang up at any time.
                let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(&bytes));
            });
        }
    });
    let mut demuxer = container::open(&Source::parse(&address)).unwrap();
    assert_eq!(demuxer.streams().len(), 2);
    let packets = read_all(&mut *demuxer);
    assert_eq!(pictures(&*demuxer, &packets), 90);
}

#[test]
fn every_fault_has_a_hint_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Source::Path(path)
    };
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cases = [
        (Source::Path(folder.path().into()), "it is a directory", "name one of the files"),
        (Source::Path(folder.path().join("nothing.mp4")), "No such file", "check the path"),
        (written("empty.mp4", b""), "it is empty", "has written nothing"),
        (written("letter.mp4", b"Dear sir or madam,\n"), "it is text", "name a media file"),
        (written("films.zip", b"PK\x03\x04\x14\0\0\0"), "a zip archive", "unpack it"),
        (written("noise.bin", &[0xfe; 5_000]), "Invalid data", "ffplay"),
        (
            written("cut.mp4", b"\0\0\0\x10ftypisom\0\0\0\0\0\0\x10\0mdatabc"),
            "no index (moov)",
            "get or make the file again",
        ),
        (Source::parse(&format!("http://{nobody}/film.mp4")), "Connection refused", "nothing listens there"),
        (Source::parse("nonsense://host/film"), "Protocol not found", "ffmpeg -protocols"),
    ];
    for (source, reason, hint) in cases {
        let Err(error) = container::open(&source) else { panic!("{source} opened") };
        let (text, hinted) = (error.to_string(), error.hint().unwrap_or_default());
        assert!(text.contains(reason), "{source}: {text}");
        assert!(hinted.contains(hint), "{source}: {hinted}");
        assert!(!hinted.contains("download"), "{hinted}");
    }
    let mut options = Options::default();
    options.ffmpeg = None;
    let Err(error) = container::open_with(&Source::Path(sample("half.y4m")), &options) else { panic!("opened") };
    assert!(matches!(error, MediaError::Unsupported { .. }) && error.to_string().contains("422"), "{error}");
}

fn written(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}
