//! Plays a source to any number of viewers.
//!
//! One thread sends pictures and sound by one clock. It starts with the first viewer that wants something, stands still
//! while nobody does, and goes on where it stood; only a live source goes on by itself. What must be re-encoded is decoded once and
//! encoded once per codec, for all viewers, and only while somebody wants that codec.

mod agenda;
mod audio;
mod clock;
mod demand;
mod engine;
mod open;
mod reader;
mod timeline;
mod video;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};

use rtcast_track::{Bitrate, Broadcast, MediaKind, MediaStreamTrack, MediaTime};
use tokio::sync::watch;

use self::clock::Clock;
use self::engine::{Control, Engine, Settings};
use crate::container::Source;
use crate::error::MediaError;
use crate::packet::{Demuxer, StreamInfo};
use crate::pattern::{PatternOptions, TestPattern};
use crate::plan::{CodecPolicy, Plan};

/// A source that plays. Clones are handles of the same player.
///
/// It stops, and its tracks end, when the last handle is dropped: keep one as long as the tracks shall play.
///
/// ```no_run
/// # async fn play() -> Result<(), Box<dyn std::error::Error>> {
/// use rtcast_media::MediaPlayer;
///
/// let player = MediaPlayer::open("foo.mp4").await?;
/// println!("{}, {}", player.info(), player.plan());
/// let (pictures, sound) = (player.video()?, player.audio()?);
/// // Add the tracks to any number of peer connections, then:
/// player.ended().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MediaPlayer {
    shared: Arc<Shared>,
}

/// How a source is to be played: once, in whatever codecs the viewers need.
///
/// ```no_run
/// # async fn play() -> Result<(), rtcast_media::MediaError> {
/// use rtcast_media::{CodecPolicy, MediaPlayer};
/// use rtcast_track::Bitrate;
///
/// let builder = MediaPlayer::builder().looping(true).codec(CodecPolicy::H264).bitrate(Bitrate::from_kbps(4_000));
/// let player = builder.open("film.mkv").await?;
/// println!("{}", player.plan());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct PlayerBuilder {
    looping: bool,
    codec: CodecPolicy,
    bitrate: Option<Bitrate>,
    live: bool,
}

/// What a source is. Its display is one line: `1280x720 30 fps H.264 High · AAC 48 kHz stereo · 12:41`.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceInfo {
    /// The path, or another name of the source.
    pub name: String,
    /// How long it is, if the container tells.
    pub duration: Option<MediaTime>,
    /// Its streams.
    pub streams: Vec<StreamInfo>,
}

struct Shared {
    info: SourceInfo,
    plan: Plan,
    video: Option<MediaStreamTrack>,
    audio: Option<MediaStreamTrack>,
    ended: watch::Receiver<Option<Result<(), Arc<MediaError>>>>,
    control: Arc<Control>,
    thread: Thread,
}

impl MediaPlayer {
    /// Opens a file, or whatever else [`Source::parse`] understands, to play it once. Waits until the head of the source
    /// has been read. The error says what is wrong with the source, and what to do.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, MediaError> {
        Self::builder().open(path).await
    }

    /// The moving test pattern with its tone, without end.
    ///
    /// Each of its tracks plays when somebody wants it:
    ///
    /// ```
    /// # #[cfg(feature = "opus")] {
    /// use rtcast_media::MediaPlayer;
    /// use rtcast_media::pattern::PatternOptions;
    /// use rtcast_track::Codec;
    ///
    /// let player = MediaPlayer::test_pattern(PatternOptions::default())?;
    /// let mut sound = player.audio()?.reader();
    /// assert_eq!(sound.recv_blocking().map(|frame| frame.codec), Some(Codec::Opus));
    /// player.stop();
    /// # }
    /// # Ok::<(), rtcast_media::MediaError>(())
    /// ```
    pub fn test_pattern(options: PatternOptions) -> Result<Self, MediaError> {
        Self::builder().test_pattern(options)
    }

    /// A player to be set up before it opens its source.
    pub fn builder() -> PlayerBuilder {
        PlayerBuilder::default()
    }

    /// The track of the pictures, the same at each call. Fails if the source has none.
    pub fn video(&self) -> Result<MediaStreamTrack, MediaError> {
        self.track(&self.shared.video, MediaKind::Video)
    }

    /// The track of the sound, the same at each call. Fails if the source has none.
    pub fn audio(&self) -> Result<MediaStreamTrack, MediaError> {
        self.track(&self.shared.audio, MediaKind::Audio)
    }

    /// What the source is.
    pub fn info(&self) -> &SourceInfo {
        &self.shared.info
    }

    /// What is done with its streams.
    pub fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    /// Sets the bitrate of re-encoded pictures from the next one on.
    pub fn set_bitrate(&self, bitrate: Bitrate) {
        self.shared.control.bitrate.store(bitrate.as_bps(), Ordering::Relaxed);
    }

    /// Waits until the source has ended, was stopped, or failed.
    pub async fn ended(&self) -> Result<(), Arc<MediaError>> {
        let mut ended = self.shared.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Ok(())),
            // The thread cannot end without saying so, but by a panic.
            Err(_) => Err(Arc::new(MediaError::Invalid {
                source_name: self.shared.info.name.clone(),
                reason: "the player stopped working on it; its thread has printed why".into(),
            })),
        }
    }

    /// Stops now; the tracks end.
    pub fn stop(&self) {
        self.shared.stop();
    }

    fn track(&self, track: &Option<MediaStreamTrack>, kind: MediaKind) -> Result<MediaStreamTrack, MediaError> {
        let source_name = || self.shared.info.name.clone();
        track.clone().ok_or_else(|| MediaError::NoSuchStream { source_name: source_name(), kind: kind.as_str() })
    }
}

impl fmt::Debug for MediaPlayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MediaPlayer({}: {})", self.shared.info.name, self.shared.plan)
    }
}

impl PlayerBuilder {
    /// Whether the source begins anew at its end. Timestamps keep rising. Default: no. Standard input and other pipes
    /// play once in any case.
    #[must_use]
    pub const fn looping(mut self, looping: bool) -> Self {
        self.looping = looping;
        self
    }

    /// Which codecs the pictures may be sent in. Default: [`CodecPolicy::Auto`].
    #[must_use]
    pub const fn codec(mut self, codec: CodecPolicy) -> Self {
        self.codec = codec;
        self
    }

    /// The bitrate of re-encoded pictures. By default it follows from their size and rate: 2.5 Mb/s for 720p30.
    #[must_use]
    pub const fn bitrate(mut self, bitrate: Bitrate) -> Self {
        self.bitrate = Some(bitrate);
        self
    }

    /// Whether the source goes on by itself, watched or not, so that what nobody takes is stale. Default: no, but for
    /// cameras and for URLs other than those of HTTP.
    #[must_use]
    pub const fn live(mut self, live: bool) -> Self {
        self.live = live;
        self
    }

    /// Opens whatever [`Source::parse`] understands: a file, standard input as `-`, a URL, a device. What is not built
    /// in is decoded by the `ffmpeg` program, if there is one.
    pub async fn open(mut self, path: impl AsRef<Path>) -> Result<MediaPlayer, MediaError> {
        let path = path.as_ref();
        // A name that is no text can only be a path.
        let source = path.to_str().map_or_else(|| Source::Path(path.to_owned()), Source::parse);
        let name = source.to_string();
        let opening = tokio::task::spawn_blocking(move || {
            let (demuxer, plan) = open::open(&source, self.codec, self.bitrate)?;
            self.live |= open::is_live(&source);
            self.start(demuxer, plan, &name)
        });
        opening.await.unwrap_or_else(|error| {
            // The task is never cancelled while the runtime lives.
            let reason = format!("opening it broke off: {error}");
            Err(MediaError::Invalid { source_name: path.display().to_string(), reason })
        })
    }

    /// The moving test pattern with its tone, without end.
    pub fn test_pattern(self, options: PatternOptions) -> Result<MediaPlayer, MediaError> {
        self.demuxer(Box::new(TestPattern::new(options)), "test pattern")
    }

    /// A source of one's own, by the name that errors shall give it.
    ///
    /// ```
    /// use rtcast_media::{MediaPlayer, container};
    /// use rtcast_track::Codec;
    ///
    /// // A header of WAVE: 16 bits, mono, 48 kHz, and 20 ms of silence.
    /// let mut wav = b"RIFF\xa4\x07\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    /// wav.extend(b"\x80\xbb\0\0\0\x77\x01\0\x02\0\x10\0data\x80\x07\0\0");
    /// wav.extend([0; 2 * 960]);
    /// let source = container::open_bytes("silence.wav", wav.into())?;
    /// let player = MediaPlayer::builder().demuxer(source, "silence")?;
    /// assert!(player.video().is_err(), "it has no pictures");
    /// assert!(player.audio()?.codecs().iter().any(|codec| codec.codec == Codec::Pcmu));
    /// # Ok::<(), rtcast_media::MediaError>(())
    /// ```
    pub fn demuxer(self, demuxer: Box<dyn Demuxer>, name: &str) -> Result<MediaPlayer, MediaError> {
        let plan = Plan::new(demuxer.streams(), self.codec, self.bitrate)?;
        self.start(demuxer, plan, name)
    }

    fn start(self, demuxer: Box<dyn Demuxer>, plan: Plan, name: &str) -> Result<MediaPlayer, MediaError> {
        let info =
            SourceInfo { name: name.to_owned(), duration: demuxer.duration(), streams: demuxer.streams().to_vec() };
        let bitrate = plan.video.as_ref().and_then(|video| video.encoded().find_map(|rendition| rendition.bitrate));
        let control = Arc::new(Control {
            stop: AtomicBool::new(false),
            clock: Arc::new(Clock::new()),
            bitrate: Arc::new(AtomicU64::new(bitrate.unwrap_or_default().as_bps())),
        });
        let settings = Settings { name: name.to_owned(), looping: self.looping, live: self.live };
        let (mut engine, [video, audio]) = Engine::new(demuxer, &plan, settings, Arc::clone(&control))?;
        let mut track = |kind, broadcasts: Vec<Broadcast>| {
            (!broadcasts.is_empty()).then(|| {
                let (track, source) = MediaStreamTrack::with_source(kind, broadcasts, false);
                engine.add_track(source);
                track
            })
        };
        let (video, audio) = (track(MediaKind::Video, video), track(MediaKind::Audio, audio));
        let (sender, ended) = watch::channel(None);
        let body = move || {
            let result = engine.run();
            sender.send_replace(Some(result.map_err(Arc::new)));
        };
        let thread = thread::Builder::new()
            .name("rtcast-player".into())
            .spawn(body)
            .map_err(|error| MediaError::Io { source_name: "the player's thread".into(), error })?;
        let shared = Shared { info, plan, video, audio, ended, control, thread: thread.thread().clone() };
        Ok(MediaPlayer { shared: Arc::new(shared) })
    }
}

impl Shared {
    fn stop(&self) {
        self.control.stop.store(true, Ordering::Release);
        self.control.clock.stop();
        self.thread.unpark();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Display for SourceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for kind in [MediaKind::Video, MediaKind::Audio] {
            parts.extend(self.streams.iter().find(|stream| stream.kind == kind).map(describe));
        }
        parts.extend(self.duration.map(clock_face));
        f.write_str(&parts.join(" · "))
    }
}

fn describe(stream: &StreamInfo) -> String {
    let name = &stream.codec_name;
    match stream.kind {
        MediaKind::Video => {
            let rate =
                if stream.frame_rate > 0.0 { format!(" {} fps", short(stream.frame_rate)) } else { String::new() };
            format!("{}x{}{rate} {name}", stream.width, stream.height)
        }
        MediaKind::Audio => {
            let channels = match stream.channels {
                1 => "mono".to_owned(),
                2 => "stereo".to_owned(),
                count => format!("{count} channels"),
            };
            format!("{name} {} kHz {channels}", short(f64::from(stream.sample_rate) / 1_000.0))
        }
    }
}

/// At most two digits behind the point, none that are zero.
fn short(number: f64) -> String {
    format!("{number:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `12:41`, or with hours `1:02:41`.
fn clock_face(duration: MediaTime) -> String {
    let seconds = duration.to_duration().as_secs();
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}
