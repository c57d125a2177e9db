//! The player, seen from its broadcasts: what comes, when, and in which order.

mod support;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rtcast_media::codec::{audio_decoder, video_decoder};
use rtcast_media::container::{self, Source};
use rtcast_media::pattern::{GREEN, PatternOptions, TestPattern};
use rtcast_media::{CodecPolicy, Demuxer, EncodedChunk, MediaError, MediaPlayer, Packet, SourceCodec, StreamInfo};
use rtcast_track::{Broadcast, Codec, Frame, FrameReader, Hint, MediaStreamTrack, MediaTime};
use support::{amplitude, audio_stream, ffmpeg, folder, video_stream};
use tokio::task::JoinSet;

const SMALL: PatternOptions = PatternOptions { width: 320, height: 180, frame_rate: 30 };

#[tokio::test]
async fn the_test_pattern_comes_in_every_codec_at_its_pace() {
    let player = MediaPlayer::test_pattern(SMALL).expect("a player");
    assert_eq!(player.plan().to_string(), "video: test pattern → VP8 and H.264, on demand · audio: tone → Opus");
    assert_eq!(player.info().to_string(), "320x180 30 fps test pattern · tone 48 kHz stereo");
    let heard = listen(&player, Duration::from_secs(3)).await;
    for codec in [Codec::Vp8, Codec::H264] {
        let frames = &heard[&codec];
        assert!((85..=92).contains(&frames.len()), "{codec}: {} pictures in 3 s", frames.len());
        assert!(frames[0].1.keyframe);
        assert_paced(frames, 120);
        let mut decoder = video_decoder(&video_stream(SourceCodec::Rtp(codec))).expect("a decoder");
        let mut pictures = Vec::new();
        for (_, frame) in frames {
            pictures.extend(decoder.decode(&EncodedChunk::from(frame)).expect("decoded"));
        }
        let picture = &pictures[60];
        // The middle of the green block.
        let (luma, chroma) = (135 * 320 + 40, 67 * 160 + 20);
        let colour = [picture.y()[luma], picture.u()[chroma], picture.v()[chroma]];
        assert!(colour.iter().zip(GREEN).all(|(found, green)| found.abs_diff(green) < 8), "{codec}: {colour:?}");
    }
    let sound = &heard[&Codec::Opus];
    assert!((145..=156).contains(&sound.len()), "{} pieces of sound in 3 s", sound.len());
    assert_paced(sound, 120);
    assert!((pitch_amplitude(sound, 1_200) - 3_276.7).abs() < 200.0, "the tone has {}", pitch_amplitude(sound, 1_200));
}

#[tokio::test]
async fn nothing_is_read_until_somebody_watches_and_it_goes_on_where_it_stood() {
    let count = Arc::new(AtomicUsize::new(0));
    let source = Counted { inner: TestPattern::new(SMALL), count: Arc::clone(&count) };
    let player = MediaPlayer::builder().demuxer(Box::new(source), "pattern").expect("a player");
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(count.load(Ordering::Relaxed), 0);

    let vp8 = rendition(&player.video().expect("pictures"), Codec::Vp8);
    let first = collect(&vp8, Duration::from_millis(700)).await;
    assert_eq!(first[0].1.timestamp, MediaTime::ZERO, "it starts with the first picture");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let read = count.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(count.load(Ordering::Relaxed), read, "it stands still");

    let second = collect(&vp8, Duration::from_millis(700)).await;
    let stood = first.last().expect("pictures").1.timestamp;
    let (came, frame) = &second[0];
    assert!(frame.keyframe, "a new viewer begins with a keyframe");
    let gap = frame.timestamp.since(stood).as_secs_f64();
    assert!((0.0..0.2).contains(&gap), "{gap} s are missing");
    assert!(*came < Duration::from_millis(250), "the picture came after {came:?}");
    assert!((17..=24).contains(&second.len()), "no burst: {} pictures in 0.7 s", second.len());
}

#[tokio::test]
async fn b_frames_and_aac_are_re_encoded_and_looped_together() {
    let file = make(
        "loop",
        "b.mp4",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=320x180:rate=30:duration=1",
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440:sample_rate=44100:duration=1",
            "-c:v",
            "libx264",
            "-bf",
            "3",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
            "-ac",
            "2",
        ],
    );
    let player = MediaPlayer::builder().looping(true).open(&file).await.expect("a player");
    assert_eq!(
        player.plan().to_string(),
        "video: H.264 High has B-frames → re-encode (VP8 and H.264, on demand) · audio: AAC → Opus"
    );
    let heard = listen(&player, Duration::from_millis(3_600)).await;
    for codec in [Codec::Vp8, Codec::H264] {
        let frames = &heard[&codec];
        assert!((98..=110).contains(&frames.len()), "{codec}: {} pictures in 3.6 s", frames.len());
        assert_paced(frames, 150);
        // Each pass takes as long as the longer stream, so that its first picture may come up to 100 ms late.
        for pair in frames.windows(2) {
            let step = pair[1].1.timestamp.since(pair[0].1.timestamp).as_secs_f64();
            assert!((0.03..0.11).contains(&step), "{codec}: a step of {step} s");
        }
    }
    let sound = &heard[&Codec::Opus];
    assert_paced(sound, 150);
    let (first, last) = (sound[0].1.timestamp, sound[sound.len() - 1].1.timestamp);
    assert!(last.since(first).as_secs_f64() > 3.2);
    // ffmpeg's sine has 1/8 of full scale, which its mix to stereo lowers by 3 dB.
    assert!(pitch_amplitude(sound, 1_200) > 2_300.0, "the tone has {}", pitch_amplitude(sound, 1_200));
}

#[tokio::test]
async fn what_can_be_copied_comes_byte_for_byte_and_ends_in_time() {
    let file = make(
        "copy",
        "baseline.mp4",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=320x180:rate=30:duration=1.5",
            "-c:v",
            "libx264",
            "-profile:v",
            "baseline",
            "-g",
            "15",
            "-pix_fmt",
            "yuv420p",
        ],
    );
    let player = MediaPlayer::open(&file).await.expect("a player");
    assert_eq!(player.plan().to_string(), "video: copy (VP8 on demand)");
    assert!(matches!(player.audio(), Err(MediaError::NoSuchStream { kind: "audio", .. })));
    let start = Instant::now();
    let h264 = rendition(&player.video().expect("pictures"), Codec::H264);
    let (frames, ended) = tokio::join!(collect(&h264, Duration::from_millis(1_900)), player.ended());
    ended.expect("it ends well");
    let mut demuxer = container::open(&Source::Path(file)).expect("opens");
    let mut expected = Vec::new();
    while let Some(packet) = demuxer.next_packet().expect("reads") {
        expected.push((packet.chunk.timestamp, packet.chunk.data, packet.chunk.keyframe));
    }
    let found: Vec<_> = frames.into_iter().map(|(_, frame)| (frame.timestamp, frame.data, frame.keyframe)).collect();
    assert_eq!(found.len(), 45);
    assert!(found == expected, "the frames are the packets");
    assert!(h264.is_closed());
    assert!(start.elapsed() < Duration::from_millis(2_500));
}

#[tokio::test]
async fn copies_are_looped_with_rising_times_and_unchanged() {
    let file = make(
        "loop_copy",
        "film.webm",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=320x180:rate=30:duration=1",
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440:sample_rate=48000:duration=1",
            "-c:v",
            "libvpx",
            "-b:v",
            "500k",
            "-c:a",
            "libopus",
        ],
    );
    let player = MediaPlayer::builder().looping(true).open(&file).await.expect("a player");
    assert_eq!(player.plan().to_string(), "video: copy (H.264 on demand) · audio: copy");
    let track = player.video().expect("pictures");
    let (vp8, opus) = (rendition(&track, Codec::Vp8), rendition(&player.audio().expect("sound"), Codec::Opus));
    let time = Duration::from_millis(2_600);
    let (pictures, sound) = tokio::join!(collect(&vp8, time), collect(&opus, time));
    let mut demuxer = container::open(&Source::Path(file)).expect("opens");
    let mut expected = [Vec::new(), Vec::new()];
    while let Some(packet) = demuxer.next_packet().expect("reads") {
        if !packet.chunk.discard {
            expected[packet.stream].push(packet.chunk.data);
        }
    }
    for (frames, expected, at_least) in [(&pictures, &expected[0], 70), (&sound, &expected[1], 115)] {
        assert!(frames.len() > at_least, "{} frames in 2.6 s", frames.len());
        assert_paced(frames, 120);
        // Listening may begin a little late.
        let first = expected.iter().position(|data| *data == frames[0].1.data).expect("a frame of the file");
        assert!(first < 10, "the first frame is that of the place {first}");
        for (index, (_, frame)) in frames.iter().enumerate() {
            assert!(frame.data == expected[(first + index) % expected.len()], "{} {index}", frame.codec);
        }
    }
}

#[tokio::test]
async fn who_joins_in_the_middle_of_a_long_group_sees_a_picture_soon() {
    let file = make(
        "middle",
        "long.mp4",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=640x360:rate=30:duration=8",
            "-c:v",
            "libx264",
            "-bf",
            "0",
            "-g",
            "1000",
            "-pix_fmt",
            "yuv420p",
        ],
    );
    let player = MediaPlayer::open(&file).await.expect("a player");
    let track = player.video().expect("pictures");
    let (h264, vp8) = (rendition(&track, Codec::H264), rendition(&track, Codec::Vp8));
    let watching = tokio::spawn({
        let h264 = h264.clone();
        async move { collect(&h264, Duration::from_millis(3_800)).await }
    });
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let joined = collect(&vp8, Duration::from_millis(1_200)).await;
    let (came, frame) = &joined[0];
    assert!(frame.keyframe);
    assert!(*came < Duration::from_millis(700), "the first picture came after {came:?}");
    let position = frame.timestamp.as_secs_f64();
    assert!((2.3..3.2).contains(&position), "it shows {position} s");
    assert!(joined.len() > 15, "{} pictures in 1.2 s", joined.len());
    let copied = watching.await.expect("no panic");
    assert!((108..=118).contains(&copied.len()), "{} copied pictures in 3.8 s", copied.len());
}

#[tokio::test]
async fn a_picture_that_stands_is_shown_to_whoever_joins() {
    let source = "color=red:size=160x120:rate=1/20";
    let arguments = ["-f", "lavfi", "-i", source, "-t", "60", "-c:v", "libx264", "-profile:v", "baseline"];
    let file = make("still", "still.mp4", &[&arguments[..], &["-pix_fmt", "yuv420p"]].concat());
    let player = MediaPlayer::builder().codec(CodecPolicy::Vp8).open(&file).await.expect("a player");
    let vp8 = rendition(&player.video().expect("pictures"), Codec::Vp8);
    let mut first = vp8.subscribe_frames();
    let shown = soon(&mut first).await;
    assert!(shown.keyframe);
    let repeated = soon(&mut first).await;
    assert!(!repeated.keyframe && repeated.timestamp > shown.timestamp, "a picture alone may not be shown");
    let mut second = vp8.subscribe_frames();
    let anew = soon(&mut second).await;
    assert!(anew.keyframe && anew.timestamp > repeated.timestamp);
    let mut decoder = video_decoder(&video_stream(SourceCodec::Rtp(Codec::Vp8))).expect("a decoder");
    let picture = decoder.decode(&EncodedChunk::from(&anew)).expect("decoded").remove(0);
    // Red by BT.601.
    let colour = [picture.y()[80], picture.u()[40], picture.v()[40]];
    assert!(colour.iter().zip([81, 90, 240]).all(|(found, red)| found.abs_diff(red) < 8), "{colour:?}");
    drop((first, second));
    // Nobody has watched for a while, and nothing new has come.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut third = vp8.subscribe_frames();
    assert!(soon(&mut third).await.keyframe);
    // One leaves and another comes before anybody has noticed.
    drop(third);
    let mut fourth = vp8.subscribe_frames();
    while !soon(&mut fourth).await.keyframe {}
}

#[tokio::test]
async fn a_group_that_is_too_long_to_be_kept_is_followed() {
    let source = "testsrc2=size=64x48:rate=150:duration=6";
    let arguments = ["-f", "lavfi", "-i", source, "-c:v", "libx264", "-profile:v", "baseline", "-g", "9999"];
    let file = make("followed", "one.mp4", &[&arguments[..], &["-sc_threshold", "0", "-pix_fmt", "yuv420p"]].concat());
    let player = MediaPlayer::open(&file).await.expect("a player");
    let track = player.video().expect("pictures");
    assert_eq!(player.plan().to_string(), "video: copy (VP8 on demand)");
    let copied = collect(&rendition(&track, Codec::H264), Duration::from_millis(3_000)).await;
    assert!(copied.len() > 400, "{} pictures", copied.len());
    let last = copied[copied.len() - 1].1.timestamp;
    // Whoever has the codec of the copy is encoded for as well.
    let stand_in = track.renditions().into_iter().rfind(|broadcast| broadcast.codec().codec == Codec::H264);
    for broadcast in [stand_in.expect("another rendition"), rendition(&track, Codec::Vp8)] {
        let frame = soon(&mut broadcast.subscribe_frames()).await;
        let later = frame.timestamp.since(last).as_secs_f64();
        assert!(frame.keyframe && (-0.3..1.5).contains(&later), "{later} s after what was seen last");
    }
}

async fn soon(frames: &mut FrameReader) -> Frame {
    tokio::time::timeout(Duration::from_secs(10), frames.recv()).await.expect("soon").expect("a frame")
}

#[tokio::test]
async fn the_policy_decides_what_is_sent() {
    let file = make(
        "policy",
        "b.mp4",
        &["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30:duration=0.5", "-c:v", "libx264", "-pix_fmt", "yuv420p"],
    );
    // H.264 is encoded in fragments, and as single NAL units for those who take nothing else.
    for (policy, expected) in [
        (CodecPolicy::Vp8, vec![(Codec::Vp8, None)]),
        (CodecPolicy::H264, vec![(Codec::H264, Some("1")), (Codec::H264, Some("0"))]),
        (CodecPolicy::Copy, vec![(Codec::H264, Some("1"))]),
    ] {
        let player = MediaPlayer::builder().codec(policy).open(&file).await.expect("a player");
        let track = player.video().expect("pictures");
        let offered = track.codecs();
        let codecs: Vec<_> = offered.iter().map(|codec| (codec.codec, codec.parameter("packetization-mode"))).collect();
        assert_eq!(codecs, expected, "{policy}");
    }
}

#[tokio::test]
async fn what_the_built_in_decoders_refuse_is_left_to_ffmpeg() {
    let pictures = "testsrc2=size=320x240:rate=25:duration=1";
    let cases: [(&str, &[&str], &str); 3] = [
        ("ten_bits.mp4", &["-c:v", "libx264", "-pix_fmt", "yuv420p10le"], "H.264 High 10"),
        ("interlaced.mp4", &["-c:v", "libx264", "-pix_fmt", "yuv420p", "-flags", "+ilme+ildct"], "H.264 High"),
        ("av1.mp4", &["-c:v", "libsvtav1", "-preset", "12"], "AV1 Main"),
    ];
    for (name, arguments, codec) in cases {
        let file = make(name, name, &[&["-f", "lavfi", "-i", pictures], arguments].concat());
        let player = MediaPlayer::builder().codec(CodecPolicy::Vp8).open(&file).await.expect("a player");
        assert_eq!(player.plan().to_string(), format!("video: {codec} → VP8, on demand"), "{name}");
        let vp8 = rendition(&player.video().expect("pictures"), Codec::Vp8);
        let (frames, ended) = tokio::join!(collect(&vp8, Duration::from_millis(1_400)), player.ended());
        ended.expect("it ends well");
        assert!((23..=25).contains(&frames.len()), "{name}: {} pictures", frames.len());
    }
}

#[tokio::test]
async fn a_source_that_trickles_is_played_at_its_pace() {
    let source = Trickling { inner: TestPattern::new(SMALL), ahead: Duration::ZERO, start: None };
    let player = MediaPlayer::builder().demuxer(Box::new(source), "pipe").expect("a player");
    let heard = listen(&player, Duration::from_secs(2)).await;
    for (codec, expected) in [(Codec::Vp8, 55..=61), (Codec::Opus, 92..=102)] {
        assert!(expected.contains(&heard[&codec].len()), "{codec}: {} frames in 2 s", heard[&codec].len());
        assert_paced(&heard[&codec], 150);
    }
}

#[tokio::test]
async fn a_live_source_goes_on_by_itself_and_is_shown_without_delay() {
    // When it is opened, 1.5 s have piled up.
    let ahead = Duration::from_millis(1_500);
    let source = Trickling { inner: TestPattern::new(SMALL), ahead, start: None };
    let player = MediaPlayer::builder().live(true).demuxer(Box::new(source), "camera").expect("a player");
    let start = Instant::now();
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    let vp8 = rendition(&player.video().expect("pictures"), Codec::Vp8);
    let joined = start.elapsed();
    let frames = collect(&vp8, Duration::from_millis(600)).await;
    let (came, frame) = &frames[0];
    let delay = (joined + *came + ahead).as_secs_f64() - frame.timestamp.as_secs_f64();
    assert!((-0.05..0.5).contains(&delay), "it is shown {delay} s late");
    assert!((15..=20).contains(&frames.len()), "{} pictures in 0.6 s", frames.len());
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_tracks() {
    let player = MediaPlayer::test_pattern(SMALL).expect("a player");
    let vp8 = rendition(&player.video().expect("pictures"), Codec::Vp8);
    let heard = collect(&vp8, Duration::from_millis(200)).await;
    assert!(!heard.is_empty());
    let other = player.clone();
    drop(player);
    assert!(!vp8.is_closed());
    let ended = tokio::spawn({
        let vp8 = vp8.clone();
        async move {
            while !vp8.is_closed() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    drop(other);
    tokio::time::timeout(Duration::from_secs(2), ended).await.expect("it ends soon").expect("no panic");
}

#[tokio::test]
async fn bad_sources_say_what_is_wrong() {
    let folder = folder("bad");
    let missing = MediaPlayer::open(folder.join("missing.mp4")).await.expect_err("there is no such file");
    assert!(matches!(missing, MediaError::Io { .. }) && missing.to_string().contains("missing.mp4"), "{missing}");
    let text = folder.join("text.mp4");
    std::fs::write(&text, "this is no film").expect("written");
    let error = MediaPlayer::open(&text).await.expect_err("it is no film");
    assert!(matches!(error, MediaError::Unplayable { .. }), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("name a media file")), "{:?}", error.hint());

    // What can be read of a damaged source is played before the error is told.
    let player = MediaPlayer::builder().demuxer(Box::new(Breaking(TestPattern::new(SMALL), 40)), "breaking");
    let player = player.expect("a player");
    let vp8 = rendition(&player.video().expect("pictures"), Codec::Vp8);
    let (frames, ended) = tokio::join!(collect(&vp8, Duration::from_millis(1_200)), player.ended());
    assert!(matches!(*ended.expect_err("it breaks"), MediaError::Invalid { .. }));
    assert!((14..=16).contains(&frames.len()), "{} pictures before it breaks", frames.len());

    // An empty one is told at once, even if it is to be looped.
    let empty = MediaPlayer::builder().looping(true).demuxer(Box::new(Empty(TestPattern::new(SMALL))), "empty");
    let empty = empty.expect("a player");
    let sound = rendition(&empty.audio().expect("sound"), Codec::Opus);
    let _listening = sound.subscribe_frames();
    let ended = tokio::time::timeout(Duration::from_secs(2), empty.ended()).await.expect("it ends at once");
    assert!(ended.expect_err("it is empty").to_string().contains("no packet"));
}

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

/// Listens to every rendition of a player; of two with the same codec, to the better one.
async fn listen(player: &MediaPlayer, time: Duration) -> HashMap<Codec, Vec<Arrived>> {
    let mut listeners = JoinSet::new();
    for track in [player.video(), player.audio()].into_iter().flatten() {
        for codec in track.codecs().iter().map(|codec| codec.codec).collect::<HashSet<_>>() {
            let broadcast = rendition(&track, codec);
            listeners.spawn(async move { (broadcast.codec().codec, collect(&broadcast, time).await) });
        }
    }
    listeners.join_all().await.into_iter().collect()
}

fn rendition(track: &MediaStreamTrack, codec: Codec) -> Broadcast {
    track.renditions().iter().find(|broadcast| broadcast.codec().codec == codec).expect("the rendition").clone()
}

/// Timestamps rise, and frames come when they are due, within so many milliseconds.
fn assert_paced(frames: &[Arrived], tolerance: i64) {
    for pair in frames.windows(2) {
        let (earlier, later) = (pair[0].1.timestamp, pair[1].1.timestamp);
        assert!(earlier < later, "{}: {later:?} follows {earlier:?}", pair[1].1.codec);
    }
    let delays =
        frames.iter().map(|(came, frame)| MediaTime::from(*came).since(frame.timestamp).as_nanos() / 1_000_000);
    let (least, most) = (delays.clone().min().unwrap_or(0), delays.max().unwrap_or(0));
    assert!(most - least <= tolerance, "frames come {least} to {most} ms after their times");
}

/// The strength of 440 Hz in half a second of some Opus, from so many milliseconds on.
fn pitch_amplitude(sound: &[Arrived], from: usize) -> f64 {
    let stream = audio_stream(SourceCodec::Rtp(Codec::Opus), 48_000, 2, bytes::Bytes::new());
    let mut decoder = audio_decoder(&stream).expect("a decoder");
    let mut samples = Vec::new();
    for (_, frame) in sound {
        samples
            .extend_from_slice(decoder.decode(&EncodedChunk::from(frame)).expect("decoded").expect("sound").samples());
    }
    amplitude(&samples[from * 96..][..48_000], 0, 2, 48_000, 440.0)
}

fn make(test: &str, name: &str, arguments: &[&str]) -> PathBuf {
    let path = folder(test).join(name);
    ffmpeg(&[arguments, &[path.to_str().expect("a plain path")]].concat());
    path
}

/// Counts the packets that are read.
struct Counted {
    inner: TestPattern,
    count: Arc<AtomicUsize>,
}

impl Demuxer for Counted {
    fn streams(&self) -> &[StreamInfo] {
        self.inner.streams()
    }

    fn duration(&self) -> Option<MediaTime> {
        None
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.inner.next_packet()
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        self.inner.rewind()
    }
}

/// Yields packets no earlier than they would be made, but for those that have piled up before.
struct Trickling {
    inner: TestPattern,
    ahead: Duration,
    start: Option<Instant>,
}

impl Demuxer for Trickling {
    fn streams(&self) -> &[StreamInfo] {
        self.inner.streams()
    }

    fn duration(&self) -> Option<MediaTime> {
        None
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        let packet = self.inner.next_packet()?;
        let start = *self.start.get_or_insert_with(Instant::now);
        if let Some(packet) = &packet {
            let made = start + packet.chunk.timestamp.to_duration();
            std::thread::sleep(made.saturating_duration_since(Instant::now() + self.ahead));
        }
        Ok(packet)
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        Ok(false)
    }
}

/// Fails after so many packets.
struct Breaking(TestPattern, usize);

impl Demuxer for Breaking {
    fn streams(&self) -> &[StreamInfo] {
        self.0.streams()
    }

    fn duration(&self) -> Option<MediaTime> {
        None
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        let error = || MediaError::Invalid { source_name: "breaking".into(), reason: "it breaks off".into() };
        self.1 = self.1.checked_sub(1).ok_or_else(error)?;
        self.0.next_packet()
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        self.0.rewind()
    }
}

/// Announces streams and holds nothing.
struct Empty(TestPattern);

impl Demuxer for Empty {
    fn streams(&self) -> &[StreamInfo] {
        self.0.streams()
    }

    fn duration(&self) -> Option<MediaTime> {
        None
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        Ok(None)
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        Ok(true)
    }
}
