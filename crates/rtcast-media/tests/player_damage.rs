//! What the player makes of damage, and of what a built-in decoder does not take: it goes on.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rtcast_media::container::{self, Source};
use rtcast_media::{CodecPolicy, Demuxer, EncodedChunk, MediaError, MediaPlayer, Packet, SourceCodec, StreamInfo};
use rtcast_track::{Broadcast, Codec, Frame, MediaTime};
use support::{audio_stream, ffmpeg, folder, video_stream};

const PICTURES: &str = "-f lavfi -i testsrc2=size=320x240:rate=25:duration=2";
const H264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";

fn make(folder: &Path, name: &str, arguments: &str) -> PathBuf {
    let path = folder.join(name);
    let mut words: Vec<&str> = arguments.split_whitespace().collect();
    words.push(path.to_str().expect("a plain path"));
    ffmpeg(&words);
    path
}

fn packets(path: &Path) -> Vec<Packet> {
    let mut demuxer = container::open(&Source::Path(path.into())).expect("opens");
    let mut packets = Vec::new();
    while let Some(packet) = demuxer.next_packet().expect("reads") {
        packets.push(packet);
    }
    packets
}

/// What comes until the player ends, or so much time has passed.
async fn watch(player: &MediaPlayer, codec: Codec, time: Duration) -> Vec<Frame> {
    let tracks = [player.video(), player.audio()];
    let mut broadcasts = tracks.iter().flatten().flat_map(|track| track.renditions());
    let broadcast: Broadcast =
        broadcasts.find(|broadcast| broadcast.codec().codec == codec).expect("the rendition").clone();
    let mut subscription = broadcast.subscribe_frames();
    let mut frames = Vec::new();
    let end = tokio::time::Instant::now() + time;
    while let Ok(Some(frame)) = tokio::time::timeout_at(end, subscription.recv()).await {
        frames.push(frame);
    }
    frames
}

/// Packets as a source.
struct Replayed {
    streams: Vec<StreamInfo>,
    packets: Vec<Packet>,
    next: usize,
    /// After so many packets reading fails.
    breaks_after: Option<usize>,
    rewinds: Arc<AtomicUsize>,
}

impl Replayed {
    fn new(packets: Vec<Packet>) -> Self {
        let streams = vec![StreamInfo { reordered: true, ..video_stream(SourceCodec::Rtp(Codec::H264)) }];
        Self { streams, packets, next: 0, breaks_after: None, rewinds: Arc::default() }
    }
}

impl Demuxer for Replayed {
    fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    fn duration(&self) -> Option<MediaTime> {
        None
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        if self.breaks_after == Some(self.next) {
            return Err(MediaError::Invalid { source_name: "replayed".into(), reason: "it is cut here".into() });
        }
        self.next += 1;
        Ok(self.packets.get(self.next - 1).cloned())
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        self.next = 0;
        self.rewinds.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }
}

#[tokio::test]
async fn a_damaged_picture_costs_no_more_than_its_group() {
    let folder = folder("damaged_picture");
    let file = make(&folder, "film.mp4", &format!("{PICTURES} {H264} -g 10 -bf 0"));
    let mut packets = packets(&file);
    assert_eq!(packets.len(), 50);
    // The fourth of the second group, and the keyframe of the fourth, from their middle on.
    for index in [13, 30] {
        let mut bytes = packets[index].chunk.data.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle..].iter_mut().enumerate().for_each(|(at, byte)| *byte = (at * 167 + 13) as u8);
        packets[index].chunk.data = bytes.into();
    }
    let source = Box::new(Replayed::new(packets));
    let player = MediaPlayer::builder().codec(CodecPolicy::Vp8).demuxer(source, "damaged").expect("a player");
    let frames = watch(&player, Codec::Vp8, Duration::from_secs(6)).await;
    player.ended().await.expect("it ends well");
    // Whether the decoder notices the damage or not, at most those two groups' rest is missing.
    assert!(frames.len() >= 30, "{} pictures of 50", frames.len());
    let last = frames.last().expect("a picture").timestamp;
    assert!(last >= MediaTime::from_micros(1_900_000), "the last picture is that of {last:?}");
}

#[tokio::test]
async fn what_the_decoder_refuses_in_mid_stream_goes_to_ffmpeg() {
    let folder = folder("mid_stream");
    let plain = packets(&make(&folder, "plain.mp4", &format!("{PICTURES} {H264} -g 25 -bf 0")));
    let interlaced = format!("{PICTURES} {H264} -g 50 -bf 2 -flags +ilme+ildct");
    let interlaced = packets(&make(&folder, "interlaced.mp4", &interlaced));
    let later = interlaced.into_iter().map(|mut packet| {
        let shift = MediaTime::from_micros(2_100_000);
        packet.chunk.timestamp = packet.chunk.timestamp.offset(shift);
        let dts = packet.dts.offset(shift);
        packet.with_dts(dts)
    });
    let packets: Vec<Packet> = plain.into_iter().chain(later).collect();
    let count = packets.len();
    let source = Box::new(Replayed::new(packets));
    let player = MediaPlayer::builder().codec(CodecPolicy::Vp8).demuxer(source, "mixed").expect("a player");
    let frames = watch(&player, Codec::Vp8, Duration::from_secs(8)).await;
    player.ended().await.expect("it ends well");
    let late = frames.iter().filter(|frame| frame.timestamp > MediaTime::from_micros(2_050_000)).count();
    assert!(late > 35, "{late} pictures of the second part, {} of {count} in all", frames.len());
}

#[tokio::test]
async fn interlaced_pictures_come_through_a_pipe_as_from_a_file() {
    let folder = folder("interlaced_pipe");
    let interlaced = format!("{PICTURES} {H264} -g 100 -bf 2 -flags +ilme+ildct");
    let file = make(&folder, "film.mkv", &interlaced);
    let pipe = folder.join("pipe.mkv");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let end = pipe.clone();
    let writer = std::thread::spawn(move || std::fs::copy(file, end));
    let player = MediaPlayer::open(&pipe).await.expect("a player");
    let frames = watch(&player, Codec::Vp8, Duration::from_secs(6)).await;
    player.ended().await.expect("it ends well");
    assert!(frames.len() > 40, "{} pictures of 50", frames.len());
    writer.join().expect("no panic").expect("written");
}

#[tokio::test]
async fn sound_whose_configuration_the_decoder_refuses_goes_to_ffmpeg() {
    let folder = folder("refused_sound");
    let file = make(&folder, "sound.m4b", "-f lavfi -i sine=duration=1:sample_rate=44100 -c:a aac -f mp4");
    let mut bytes = std::fs::read(&file).expect("read");
    // AudioSpecificConfig behind its tag (ISO/IEC 14496-1 §7.2.6.7), cut to two bytes which say that a delay of a core
    // coder follows.
    let at = bytes.windows(5).position(|window| window == [5, 0x80, 0x80, 0x80, 5]).expect("its configuration") + 5;
    bytes[at - 1] = 2;
    bytes[at + 1] |= 2;
    std::fs::write(&file, bytes).expect("written");
    let player = MediaPlayer::open(&file).await.expect("a player");
    let frames = watch(&player, Codec::Opus, Duration::from_secs(4)).await;
    player.ended().await.expect("it ends well");
    assert!(frames.len() > 40, "{} pieces of sound of 50", frames.len());
}

#[tokio::test]
async fn a_source_that_breaks_off_begins_anew_when_it_is_looped() {
    let folder = folder("breaks_off");
    let file = make(&folder, "film.mp4", &format!("{PICTURES} {H264} -g 10 -bf 0"));
    let mut source = Replayed::new(packets(&file));
    source.breaks_after = Some(30);
    let rewinds = Arc::clone(&source.rewinds);
    let player = MediaPlayer::builder().looping(true).codec(CodecPolicy::Copy).demuxer(Box::new(source), "broken");
    let frames = watch(&player.expect("a player"), Codec::H264, Duration::from_secs(3)).await;
    assert!(rewinds.load(Ordering::Relaxed) >= 2);
    assert!(frames.len() > 55, "{} pictures in 3 s", frames.len());

    // What is broken from its first packet on is not begun again and again.
    let mut source = Replayed::new(packets(&file));
    source.breaks_after = Some(0);
    let player = MediaPlayer::builder().looping(true).codec(CodecPolicy::Copy).demuxer(Box::new(source), "broken");
    let player = player.expect("a player");
    watch(&player, Codec::H264, Duration::from_secs(3)).await;
    assert!(player.ended().await.expect_err("it cannot be read").to_string().contains("it is cut here"));
}

#[tokio::test]
async fn sound_goes_on_when_no_picture_can_be_decoded() {
    // Pictures that are none, and silence.
    let mut packets = Vec::new();
    for slot in 0..500i64 {
        let pts = MediaTime::from_micros(slot * 5_000);
        let packet = |stream, data: &[u8], duration| {
            let chunk = EncodedChunk::new(data.to_vec(), pts);
            Packet::new(stream, chunk.with_duration(MediaTime::from_micros(duration)))
        };
        packets.push(packet(0, &[0x30, 1, 2, 3, 4, 5, 6, 7], 5_000));
        if slot % 4 == 0 {
            packets.push(packet(1, &[0xfc, 0xff, 0xfe], 20_000));
        }
    }
    let mut source = Replayed::new(packets);
    source.streams = vec![
        video_stream(SourceCodec::Rtp(Codec::Vp9)),
        audio_stream(SourceCodec::Rtp(Codec::Opus), 48_000, 2, bytes::Bytes::new()),
    ];
    let player = MediaPlayer::builder().codec(CodecPolicy::Vp8).demuxer(Box::new(source), "noise").expect("a player");
    let time = Duration::from_secs(8);
    let (pictures, sound) = tokio::join!(watch(&player, Codec::Vp8, time), watch(&player, Codec::Opus, time));
    player.ended().await.expect("it ends well");
    assert!(pictures.is_empty());
    assert!(sound.len() > 110, "{} pieces of sound of 125", sound.len());
}
