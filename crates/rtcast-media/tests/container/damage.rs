//! Bad, cut and hostile files: a result in bounded time, never a panic.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use rtcast_media::container::{self, Options};
use rtcast_media::{MediaError, Source};
use tempfile::TempPath;

use crate::media::sample;

/// More packets than any of the samples has, but for damage that repeats some.
const MOST_PACKETS: usize = 100_000;

const SAMPLES: [&str; 24] = [
    "baseline.mp4",
    "high.mp4",
    "high-fragmented.mp4",
    "high-separate.mp4",
    "high-hybrid.mp4",
    "high-cut.mp4",
    "high.mov",
    "vp9.mp4",
    "av1.mp4",
    "hevc-ac3.mp4",
    "high.mkv",
    "av1.mkv",
    "vp8.webm",
    "vp8-live.webm",
    "vp8.ivf",
    "vp9.ivf",
    "av1.ivf",
    "high.h264",
    "interlaced.h264",
    "opus.ogg",
    "s24.wav",
    "big.rf64.wav",
    "tone.aac",
    "pictures.y4m",
];

/// A file with these bytes, as long as it is held.
fn file(name: &str, bytes: &[u8]) -> TempPath {
    let mut file = tempfile::Builder::new().suffix(name).tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.into_temp_path()
}

/// Opens and reads a file to its end or its error; the number of packets, or the error of opening.
fn play(path: &Path) -> Result<usize, MediaError> {
    let mut options = Options::default();
    options.ffmpeg = None;
    let mut demuxer = container::open_with(&Source::Path(path.into()), &options)?;
    let mut count = 0;
    while let Ok(Some(packet)) = demuxer.next_packet() {
        assert!(packet.stream < demuxer.streams().len());
        assert!(!packet.chunk.data.is_empty());
        count += 1;
        assert!(count < MOST_PACKETS, "no end in sight");
    }
    Ok(count)
}

/// xorshift: the same numbers on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

#[test]
fn cut_files_play_up_to_the_cut() {
    for name in SAMPLES {
        let bytes = std::fs::read(sample(name)).unwrap();
        let whole = play(&sample(name));
        let started = Instant::now();
        let mut before = 0;
        let mut longest = 0;
        let mut cuts: Vec<usize> = (0..64.min(bytes.len())).collect();
        cuts.extend((1..40).map(|part| bytes.len() * part / 40));
        for cut in cuts {
            let count = play(&file(name, &bytes[..cut])).unwrap_or(0);
            if let Ok(whole) = &whole {
                assert!(count <= *whole, "{name} cut at {cut}: {count} packets of {whole}");
            }
            assert!(count >= before || count == 0, "{name} cut at {cut}: {count} packets after {before}");
            before = count;
            longest = longest.max(count);
        }
        // What needs its end to be played is not played in part.
        let index_at_end = name.ends_with("mp4") || name.ends_with("mov");
        if let (Ok(whole), false) = (whole, index_at_end) {
            assert!(longest * 10 > whole * 6, "{name}: at most {longest} packets of {whole}");
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{name}: {:?}", started.elapsed());
    }
}

#[test]
fn a_cut_index_first_mp4_plays_up_to_the_cut() {
    for name in ["high-faststart.mp4", "high-fragmented.mp4", "high-separate.mp4"] {
        let bytes = std::fs::read(sample(name)).unwrap();
        let whole = play(&sample(name)).unwrap();
        let count = play(&file(name, &bytes[..bytes.len() * 3 / 4])).unwrap();
        assert!(count * 2 > whole && count < whole, "{name}: {count} packets of {whole}");
    }
}

#[test]
fn damaged_files_end() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for name in SAMPLES {
        let bytes = std::fs::read(sample(name)).unwrap();
        let started = Instant::now();
        for round in 0..60 {
            let mut damaged = bytes.clone();
            // The head and the tail hold the structure, so most damage is done there.
            let reach = match round % 3 {
                0 => 0..damaged.len().min(600),
                1 => damaged.len().saturating_sub(3_000)..damaged.len(),
                _ => 0..damaged.len(),
            };
            for _ in 0..=random.below(8) {
                let at = reach.start + random.below(reach.len());
                damaged[at] = match random.below(4) {
                    0 => 0xff,
                    1 => 0,
                    2 => damaged[at] ^ 1 << random.below(8),
                    _ => random.below(256) as u8,
                };
            }
            let path = file(name, &damaged);
            // Any result will do, if it comes.
            let _ = play(&path);
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{name}: {:?}", started.elapsed());
    }
}

#[test]
fn lengths_that_lie_take_no_memory() {
    let huge = u32::MAX.to_be_bytes();
    let mut movie = b"\0\0\0\x08free".to_vec();
    movie.extend(huge);
    movie.extend(b"moov");
    let mut webm = vec![0x1a, 0x45, 0xdf, 0xa3, 0x01, 0x0f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    webm.extend([0; 20]);
    let mut ivf = b"DKIF\0\0\x20\0VP80\x40\x01\xb4\0\x1e\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    ivf.extend([0xff, 0xff, 0xff, 0x7f]);
    ivf.extend([0; 8]);
    for (name, bytes) in [("movie", movie), ("webm", webm), ("ivf", ivf)] {
        let Err(error) = play(&file(name, &bytes)) else { panic!("{name} opened") };
        assert!(matches!(error, MediaError::Invalid { .. }), "{name}: {error:?}");
    }
}

#[test]
fn errors_name_the_file_and_say_what_was_found() {
    let cases: [(&str, &[u8], &[&str]); 6] = [
        ("empty.mp4", b"", &["empty.mp4", "it is empty", "expected mp4"]),
        ("text.mp4", b"Dear sir or madam,\n", &["text.mp4", "text", "expected mp4"]),
        ("zip.mp4", b"PK\x03\x04\x14\0\0\0", &["zip archive", "expected mp4"]),
        ("noise.mp4", &[1, 2, 3, 4, 5, 6, 7, 8, 9], &["01 02 03 04", "install ffmpeg"]),
        ("cut.mp4", b"\0\0\0\x10ftypisom\0\0\0\0\0\0\x10\0mdatabc", &["no index (moov)", "cut"]),
        ("segment.mp4", b"\0\0\0\x08styp\0\0\0\x08moof", &["initialisation segment"]),
    ];
    for (name, bytes, parts) in cases {
        refuses(&file(name, bytes), parts);
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    refuses(directory, &["directory", "media file was expected"]);
    refuses(&directory.join("no-such-file.mp4"), &["cannot read", "no-such-file.mp4", "No such file"]);
}

fn refuses(path: &Path, parts: &[&str]) {
    let Err(error) = play(path) else { panic!("{} opened", path.display()) };
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{text}");
    }
}
