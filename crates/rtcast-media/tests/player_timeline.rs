//! The player's timeline: loops, starts in the middle of a group, and pictures far apart.

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rtcast_media::container::{self, Source};
use rtcast_media::{CodecPolicy, Demuxer, EncodedChunk, MediaError, MediaPlayer, Packet, SourceCodec, StreamInfo};
use rtcast_track::{Broadcast, Codec, Frame, MediaTime};
use support::{audio_stream, ffmpeg, folder, video_stream};

/// A frame and how long after the start of listening it came.
type Arrived = (Duration, Frame);

async fn collect(broadcast: &Broadcast, time: Duration) -> Vec<Arrived> {
    let start = Instant::now();
    let mut subscription = broadcast.subscribe_frames();
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = tokio::time::timeout(time.saturating_sub(start.elapsed()), subscription.recv()).await {
        frames.push((start.elapsed(), frame));
    }
    frames
}

fn rendition(player: &MediaPlayer, codec: Codec) -> Broadcast {
    let tracks = [player.video(), player.audio()];
    let mut broadcasts = tracks.iter().flatten().flat_map(|track| track.renditions());
    broadcasts.find(|broadcast| broadcast.codec().codec == codec).expect("the rendition").clone()
}

fn make(folder: &Path, name: &str, arguments: &str) -> PathBuf {
    let path = folder.join(name);
    let mut words: Vec<&str> = arguments.split_whitespace().collect();
    words.push(path.to_str().expect("a plain path"));
    ffmpeg(&words);
    path
}

/// By how much frames came late or early, from the first to the last of them in media time.
fn longest_pause(frames: &[Arrived]) -> Duration {
    frames.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or_default()
}

#[tokio::test]
async fn copies_without_a_transcoder_do_not_pause_at_the_loop() {
    let folder = folder("loops");
    // Passes that last longer than what counts as late, so that a task left at the start would set the clock back.
    let h264 = "-f lavfi -i testsrc2=size=160x120:rate=25:duration=1.6 -c:v libx264 -preset ultrafast -g 25 -bf 0 \
                -pix_fmt yuv420p";
    let av1 = "-f lavfi -i testsrc2=size=160x120:rate=25:duration=1.6 -c:v libsvtav1 -preset 12 -g 25";
    for (name, arguments, codec) in [("copy.mp4", h264, Codec::H264), ("loop.ivf", av1, Codec::Av1)] {
        let file = make(&folder, name, arguments);
        let builder = MediaPlayer::builder().looping(true).codec(CodecPolicy::Copy);
        let player = builder.open(&file).await.expect("a player");
        let frames = collect(&rendition(&player, codec), Duration::from_millis(5_200)).await;
        // Three passes and a bit: 130 pictures, less those of a slow start.
        assert!(frames.len() > 110, "{name}: {} pictures in 5.2 s", frames.len());
        assert!(longest_pause(&frames) < Duration::from_millis(900), "{name}: {:?}", longest_pause(&frames));
        assert!(frames.is_sorted_by_key(|(_, frame)| frame.timestamp), "{name}");
    }
}

#[tokio::test]
async fn a_cut_in_the_middle_of_a_group_begins_with_the_edit_s_first_picture() {
    let folder = folder("cut");
    let whole = "-f lavfi -i testsrc2=size=320x180:rate=30:duration=4 -c:v libx264 -preset ultrafast -g 120 -bf 2 \
                 -pix_fmt yuv420p";
    let whole = make(&folder, "whole.mp4", whole);
    let cut = make(&folder, "cut.mp4", &format!("-ss 2 -i {} -c copy", whole.display()));
    let mut demuxer = container::open(&Source::Path(cut.clone())).expect("opens");
    let mut hidden = 0;
    while let Some(packet) = demuxer.next_packet().expect("reads") {
        hidden += usize::from(packet.chunk.discard);
    }
    // More than the decoder's queue holds.
    assert!(hidden > 50, "{hidden} pictures before the edit");

    // Re-encoded: all of the edit's two seconds, from its first picture on, again and again.
    let player = MediaPlayer::builder().looping(true).codec(CodecPolicy::Vp8).open(&cut).await.expect("a player");
    let frames = collect(&rendition(&player, Codec::Vp8), Duration::from_millis(3_500)).await;
    let first = &frames.first().expect("a picture").1;
    assert!(first.keyframe && first.timestamp < MediaTime::from_micros(500_000), "{:?}", first.timestamp);
    assert!(frames.len() > 60, "{} pictures in 3.5 s", frames.len());

    // Passed through: what is hidden is sent at once and squeezed to before the beginning.
    let player = MediaPlayer::builder().codec(CodecPolicy::Copy).open(&cut).await.expect("a player");
    let frames = collect(&rendition(&player, Codec::H264), Duration::from_millis(1_000)).await;
    let early = frames.iter().filter(|(_, frame)| frame.timestamp < MediaTime::ZERO);
    // Those that are decoded behind the first that is shown, since their pictures are reordered, stay behind it.
    assert!((hidden - 3..=hidden).contains(&early.clone().count()), "{} of {hidden}", early.clone().count());
    assert!(early.clone().all(|(_, frame)| frame.timestamp >= MediaTime::from_micros(-30_000)));
    assert!(frames.len() > hidden + 10, "{} frames, {hidden} of them hidden", frames.len());
}

/// Slides that stand for long, with sound beside them.
struct Slides {
    streams: [StreamInfo; 2],
    packets: std::vec::IntoIter<Packet>,
}

impl Slides {
    fn new(seconds_apart: i64) -> Self {
        let file = folder("slides").join("slide.ivf");
        let size = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=1:duration=1", "-c:v", "libvpx"];
        ffmpeg(&[&size[..], &[file.to_str().expect("a plain path")]].concat());
        let mut demuxer = container::open(&Source::Path(file)).expect("opens");
        let slide = demuxer.next_packet().expect("reads").expect("a picture");
        let silence =
            |pts| EncodedChunk::new(vec![0xfc, 0xff, 0xfe], pts).with_duration(MediaTime::from_micros(20_000));
        let mut packets = Vec::new();
        for slot in 0..=(seconds_apart + 1) * 50 {
            let pts = MediaTime::from_micros(slot * 20_000);
            if slot % (seconds_apart * 50) == 0 {
                packets.push(Packet::new(0, EncodedChunk::new(slide.chunk.data.clone(), pts)));
            }
            packets.push(Packet::new(1, silence(pts)));
        }
        let sound = audio_stream(SourceCodec::Rtp(Codec::Opus), 48_000, 2, bytes::Bytes::new());
        let streams = [video_stream(SourceCodec::Rtp(Codec::Vp8)), sound];
        Self { streams, packets: packets.into_iter() }
    }
}

impl Demuxer for Slides {
    fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    fn duration(&self) -> Option<MediaTime> {
        None
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        Ok(self.packets.next())
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        Ok(false)
    }
}

#[tokio::test]
async fn sound_goes_on_while_a_slide_stands() {
    // A slide that is so far off is read long before it is due, and keeps the sound from nothing.
    let player = MediaPlayer::builder().demuxer(Box::new(Slides::new(70)), "slides").expect("a player");
    let (pictures, sound) = (rendition(&player, Codec::Vp8), rendition(&player, Codec::Opus));
    let time = Duration::from_millis(2_000);
    let (pictures, sound) = tokio::join!(collect(&pictures, time), collect(&sound, time));
    assert_eq!(pictures.len(), 1, "the second slide is due in 70 s");
    assert!(sound.len() > 80, "{} pieces of sound in 2 s", sound.len());
    assert!(longest_pause(&sound) < Duration::from_millis(600), "{:?}", longest_pause(&sound));
}
