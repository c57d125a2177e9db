//! Lanes: each makes one rendition of pictures that it is handed, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rtcast_track::{Bitrate, Broadcast, MediaTime, Upstream};

use crate::codec::{VideoEncoder, VideoEncoderSettings, video_encoder_of};
use crate::error::MediaError;
use crate::plan::fitted;
use crate::raw::VideoFrame;

/// Pictures that wait for an encoder; then the newest are left out.
const QUEUE: usize = 3;
/// A picture that is followed by no other for so long is sent once more: receivers show a picture when the next one has
/// come, the first one of all at least.
const LONE: Duration = Duration::from_millis(150);
/// While nobody watches, a lane looks so often whether anybody does.
const UNWATCHED: Duration = Duration::from_secs(1);
/// Two frames of a track are at least one tick of the video clock apart.
const TICK: MediaTime = MediaTime::from_ticks(1, 90_000);
/// Keyframes on request are at least this far apart.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(500);
/// So many failures in a row end the lane; fewer are a damaged stretch.
const FAILURES: u32 = 300;

/// What a lane makes of the pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LaneSettings {
    /// The bitrate to aim at.
    pub bitrate: Bitrate,
    /// Pictures per second that are handed in, for the rate control; what is not between 1 and 240 counts as 30.
    pub frame_rate: f64,
    /// The largest size, columns and rows: what is larger is made smaller, its proportions kept. `None` leaves every
    /// picture its size.
    pub max_size: Option<(u32, u32)>,
    /// Pictures per second at most: those that come sooner are left out. `None`, and what is not between 0.01 and 1,000,
    /// encodes all.
    pub max_frame_rate: Option<f64>,
}

impl LaneSettings {
    /// A lane that takes pictures as they come, at this rate.
    pub const fn new(bitrate: Bitrate, frame_rate: f64) -> Self {
        Self { bitrate, frame_rate, max_size: None, max_frame_rate: None }
    }

    /// Sets the largest size.
    #[must_use]
    pub const fn with_max_size(self, width: u32, height: u32) -> Self {
        Self { max_size: Some((width, height)), ..self }
    }

    /// Sets the highest frame rate.
    #[must_use]
    pub const fn with_max_frame_rate(self, frame_rate: f64) -> Self {
        Self { max_frame_rate: Some(frame_rate), ..self }
    }
}

/// Encodes pictures for one broadcast, at a size, rate and bitrate of its own.
///
/// Several lanes may be handed the same pictures, whose pixels they share. Nothing is encoded while nobody wants the
/// broadcast; a keyframe is made when a sink asks for one or joins, at most two a second, and if no other picture comes
/// then of the one that stands. Dropping a lane blocks until what waits, three pictures at
/// most, is encoded.
pub struct VideoLane {
    queue: Option<SyncSender<Due>>,
    thread: Option<JoinHandle<()>>,
    upstream: Upstream,
    bitrate: Arc<AtomicU64>,
}

struct Due {
    picture: VideoFrame,
    at: Instant,
}

impl VideoLane {
    /// Starts a lane that sends to this broadcast in its codec, and calls `failed` if it must end before it is dropped.
    ///
    /// # Errors
    /// [`MediaError::Unsupported`] if this build has no encoder of the codec, [`MediaError::Io`] if there is no thread.
    pub fn start(
        broadcast: Broadcast,
        settings: LaneSettings,
        failed: impl FnOnce(MediaError) + Send + 'static,
    ) -> Result<Self, MediaError> {
        let LaneSettings { bitrate, frame_rate, max_size, max_frame_rate } = settings;
        let frame_rate = max_frame_rate.map_or(frame_rate, |most| frame_rate.min(most));
        let (queue, pictures) = sync_channel(QUEUE);
        let upstream = broadcast.upstream();
        let wanted = Arc::new(AtomicU64::new(bitrate.as_bps()));
        let name = format!("rtcast-{}", broadcast.codec().codec.encoding_name());
        let mut lane = Lane {
            encoder: video_encoder_of(broadcast.codec(), VideoEncoderSettings { bitrate, frame_rate })?,
            requests: KeyframeRequests::new(broadcast.upstream()),
            broadcast,
            max_size,
            pace: Pace { interval: interval(max_frame_rate), next: None },
            last: None,
            is_lone: false,
            failed: 0,
        };
        let thread = spawn(&name, {
            let wanted = Arc::clone(&wanted);
            move || {
                if let Err(error) = lane.run(&pictures, &wanted, bitrate.as_bps()) {
                    failed(error);
                }
            }
        })?;
        Ok(Self { queue: Some(queue), thread: Some(thread), upstream, bitrate: wanted })
    }

    /// Whether somebody wants the pictures now.
    pub fn is_wanted(&self) -> bool {
        self.upstream.demand() > 0
    }

    /// Aims at another bitrate from the next picture on, without a keyframe.
    pub fn set_bitrate(&self, bitrate: Bitrate) {
        self.bitrate.store(bitrate.as_bps(), Ordering::Relaxed);
    }

    /// Hands over a picture, whose timestamp must lie after that of the one before, captured or due at `at`; it is left
    /// out if nobody wants it or the encoder is behind. Never blocks.
    ///
    /// # Errors
    /// [`MediaError::Codec`] once the lane has ended.
    pub fn push(&self, picture: &VideoFrame, at: Instant) -> Result<(), MediaError> {
        if !self.is_wanted() {
            return Ok(());
        }
        let sent = self.queue.as_ref().map(|queue| queue.try_send(Due { picture: picture.clone(), at }));
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => {
                tracing::debug!("the video encoder is too slow: a picture is left out");
                Ok(())
            }
            None | Some(Err(TrySendError::Disconnected(_))) => Err(broken_off()),
        }
    }
}

impl Drop for VideoLane {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; it must not become one here.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for VideoLane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VideoLane").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

/// The time between two pictures of this rate.
fn interval(frame_rate: Option<f64>) -> Option<MediaTime> {
    let frame_rate = frame_rate.filter(|rate| (0.01..=1_000.0).contains(rate))?;
    Some(MediaTime::from_micros((1e6 / frame_rate) as i64))
}

/// What is told of a thread that ended without telling an error of its own.
pub(crate) fn broken_off() -> MediaError {
    let reason = "a thread that re-encodes the pictures broke off; it has printed why".into();
    MediaError::Codec { codec: "video".into(), reason }
}

/// What the lane's thread works with.
struct Lane {
    broadcast: Broadcast,
    encoder: Box<dyn VideoEncoder>,
    requests: KeyframeRequests,
    max_size: Option<(u32, u32)>,
    pace: Pace,
    /// The picture that was encoded last, when it was due, and whether nothing has followed it.
    last: Option<(VideoFrame, Instant)>,
    is_lone: bool,
    failed: u32,
}

impl Lane {
    fn run(
        &mut self,
        pictures: &Receiver<Due>,
        wanted_bitrate: &AtomicU64,
        mut bitrate: u64,
    ) -> Result<(), MediaError> {
        let upstream = self.broadcast.upstream();
        loop {
            let due = if upstream.demand() > 0 {
                pictures.recv_timeout(LONE)
            } else {
                // Somebody may leave and another come so soon that the maker does not notice, so it is looked at again.
                self.requests.forget_viewers();
                pictures.recv_timeout(UNWATCHED)
            };
            let wanted = wanted_bitrate.load(Ordering::Relaxed);
            if wanted != bitrate {
                bitrate = wanted;
                self.encoder.set_bitrate(Bitrate::from_bps(bitrate))?;
            }
            match due {
                Ok(Due { picture, at }) => {
                    let keyframe = self.requests.take(Instant::now());
                    if !self.pace.admits(picture.timestamp()) && !keyframe {
                        continue;
                    }
                    self.is_lone = true;
                    let Some(picture) = self.fitted(&picture) else { continue };
                    self.encode(picture, at, keyframe)?;
                }
                Err(RecvTimeoutError::Timeout) if upstream.demand() == 0 => {}
                Err(RecvTimeoutError::Timeout) => self.repeat()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// The picture in the size of this lane; `None` for a size that no picture can have.
    fn fitted(&self, picture: &VideoFrame) -> Option<VideoFrame> {
        let Some(largest) = self.max_size else { return Some(picture.clone()) };
        let (width, height) = fitted(picture.width(), picture.height(), largest);
        let mut picture = picture.clone();
        // By half at most at a time: beyond that, fine detail aliases.
        while picture.width() > 2 * width && picture.height() > 2 * height {
            picture = picture.scaled(picture.width().div_ceil(2), picture.height().div_ceil(2))?;
        }
        picture.scaled(width, height)
    }

    /// Sends the picture that stands once more, if somebody needs a keyframe or it has come alone.
    fn repeat(&mut self) -> Result<(), MediaError> {
        let now = Instant::now();
        let Some((picture, at)) = self.last.clone() else { return Ok(()) };
        let keyframe = self.requests.take(now);
        if !keyframe && !self.is_lone {
            return Ok(());
        }
        // A keyframe that is repeated comes alone as well.
        self.is_lone = keyframe;
        let timestamp = picture.timestamp().offset(now.saturating_duration_since(at).into());
        self.encode(picture.with_timestamp(timestamp), now, keyframe)
    }

    fn encode(&mut self, mut picture: VideoFrame, at: Instant, keyframe: bool) -> Result<(), MediaError> {
        if let Some((last, _)) = &self.last {
            let timestamp = picture.timestamp().max(last.timestamp().offset(TICK));
            picture = picture.with_timestamp(timestamp);
        }
        match self.encoder.encode(&picture, keyframe) {
            Ok(frame) => {
                self.failed = 0;
                if let Some(frame) = frame {
                    if frame.keyframe {
                        self.requests.sent(Instant::now());
                    }
                    self.broadcast.send(&frame, at);
                }
            }
            Err(error) => {
                self.failed += 1;
                tracing::debug!(%error, "a picture cannot be encoded");
                if self.failed >= FAILURES {
                    return Err(error);
                }
            }
        }
        self.last = Some((picture, at));
        Ok(())
    }
}

/// Leaves out the pictures that come sooner than the highest frame rate allows.
struct Pace {
    /// The least time between two pictures, and when the next may come.
    interval: Option<MediaTime>,
    next: Option<MediaTime>,
}

impl Pace {
    /// Whether a picture of this time belongs to those of the highest frame rate.
    fn admits(&mut self, timestamp: MediaTime) -> bool {
        let Some(interval) = self.interval else { return true };
        // A picture that is early by a quarter of the interval will do: no source has even steps.
        let early = MediaTime::from_nanos(interval.as_nanos() / 4);
        if self.next.is_some_and(|next| next.since(timestamp) > early && next.since(timestamp) <= interval) {
            return false;
        }
        let next = self.next.filter(|next| timestamp.since(*next) < interval && next.since(timestamp) <= early);
        self.next = Some(next.unwrap_or(timestamp).offset(interval));
        true
    }
}

/// Requests for a keyframe, of viewers that ask and of those that join, made one if they come close together.
struct KeyframeRequests {
    upstream: Upstream,
    /// How many had asked, and how many had joined, when that was looked at last.
    asked: u64,
    joined: u64,
    pending: bool,
    last: Option<Instant>,
}

impl KeyframeRequests {
    fn new(upstream: Upstream) -> Self {
        let (asked, joined) = (upstream.keyframe_requests(), upstream.joins());
        Self { upstream, asked, joined, pending: false, last: None }
    }

    /// Whether the next picture shall be a keyframe.
    fn take(&mut self, now: Instant) -> bool {
        let (asked, joined) = (self.upstream.keyframe_requests(), self.upstream.joins());
        self.pending |= (asked, joined) != (self.asked, self.joined);
        (self.asked, self.joined) = (asked, joined);
        self.pending && self.last.is_none_or(|last| now.saturating_duration_since(last) >= KEYFRAME_INTERVAL)
    }

    /// Nobody watches, so that whoever comes next has joined, and can do nothing with other pictures than a keyframe.
    const fn forget_viewers(&mut self) {
        self.last = None;
    }

    /// A keyframe has been made, upon request or not.
    fn sent(&mut self, now: Instant) {
        self.pending = false;
        self.last = Some(now);
    }
}

/// Starts a thread of this name.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, MediaError> {
    let error = |error| MediaError::Io { source_name: format!("the thread {name}"), error };
    thread::Builder::new().name(name.into()).spawn(body).map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtcast_track::{Codec, RtpCodec};

    #[test]
    fn requests_that_come_close_together_make_one_keyframe() {
        let broadcast = Broadcast::with_keyframes_on_request(RtpCodec::new(Codec::Vp8));
        // A reader asks for a keyframe when it joins, as senders do.
        let first = broadcast.subscribe_frames();
        let mut keyframes = KeyframeRequests::new(broadcast.upstream());
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert!(!keyframes.take(at(0)));
        broadcast.request_keyframe();
        broadcast.request_keyframe();
        assert!(keyframes.take(at(33)));
        keyframes.sent(at(33));
        assert!(!keyframes.take(at(66)));
        broadcast.request_keyframe();
        assert!(!keyframes.take(at(100)));
        assert!(!keyframes.take(at(532)));
        assert!(keyframes.take(at(533)), "the request has waited");
        keyframes.sent(at(533));
        assert!(!keyframes.take(at(2_000)));
        let second = broadcast.subscribe_frames();
        assert!(keyframes.take(at(2_033)), "a viewer has joined");
        keyframes.sent(at(2_033));
        drop(second);
        assert!(!keyframes.take(at(4_000)), "a viewer has left");
        drop(first);
        let third = broadcast.subscribe_frames();
        assert!(keyframes.take(at(5_000)), "another has come instead");
        keyframes.sent(at(5_000));
        let others = [(); 2].map(|()| broadcast.subscribe_frames());
        assert!(keyframes.take(at(6_000)));
        keyframes.sent(at(6_000));
        drop((third, others));
        keyframes.forget_viewers();
        let _last = broadcast.subscribe_frames();
        assert!(keyframes.take(at(6_010)), "one has come after all had left");
    }

    /// Which of the pictures of these times are encoded.
    fn chosen(frame_rate: f64, times: impl Iterator<Item = MediaTime>) -> Vec<usize> {
        let mut pace = Pace { interval: interval(Some(frame_rate)), next: None };
        times.enumerate().filter(|(_, time)| pace.admits(*time)).map(|(number, _)| number).collect()
    }

    #[test]
    fn a_lower_rate_leaves_pictures_out_evenly() {
        let at_30 = || (0..30).map(|number| MediaTime::from_ticks(number, 30));
        assert_eq!(chosen(10.0, at_30()), (0..30).step_by(3).collect::<Vec<_>>());
        assert_eq!(chosen(15.0, at_30()), (0..30).step_by(2).collect::<Vec<_>>());
        assert_eq!(chosen(30.0, at_30()).len(), 30);
        assert_eq!(chosen(60.0, at_30()).len(), 30);
        assert_eq!(chosen(f64::NAN, at_30()).len(), 30);
        let of_25 = chosen(10.0, (0..250).map(|number| MediaTime::from_ticks(number, 25)));
        assert!((98..=102).contains(&of_25.len()), "{of_25:?}");
        // A source that is a little off its beat, one that stands for a while, one that begins anew.
        let uneven =
            (0..30).map(|number| MediaTime::from_ticks(number, 30).offset(MediaTime::from_micros(number % 3 * 900)));
        assert_eq!(chosen(10.0, uneven), (0..30).step_by(3).collect::<Vec<_>>());
        let paused = [0, 33, 66, 5_000, 5_033, 5_066, 5_100].map(|time| MediaTime::from_micros(time * 1_000));
        assert_eq!(chosen(10.0, paused.into_iter()), [0, 3, 6]);
        let again = [9_000, 9_033, 9_066, 0, 33, 66, 100].map(|time| MediaTime::from_micros(time * 1_000));
        assert_eq!(chosen(10.0, again.into_iter()), [0, 3, 6]);
    }

    #[cfg(feature = "vpx")]
    #[test]
    fn each_lane_has_a_size_of_its_own() {
        let (large, small) = [(); 2].map(|()| Broadcast::with_keyframes_on_request(RtpCodec::new(Codec::Vp8))).into();
        let settings = LaneSettings::new(Bitrate::from_kbps(500), 30.0);
        let start =
            |broadcast: &Broadcast, settings| VideoLane::start(broadcast.clone(), settings, |error| panic!("{error}"));
        let lanes =
            [start(&large, settings).expect("a lane"), start(&small, settings.with_max_size(100, 90)).expect("a lane")];
        let picture =
            VideoFrame::new(vec![80; 640 * 360 * 3 / 2].into(), 640, 360, MediaTime::ZERO).expect("a picture");
        assert!(lanes.iter().all(|lane| !lane.is_wanted()));
        let mut readers = [large.subscribe_frames(), small.subscribe_frames()];
        for lane in &lanes {
            lane.push(&picture, Instant::now()).expect("it runs");
        }
        // RFC 6386 §9.1: a keyframe has its size behind the start code.
        let sizes = readers.each_mut().map(|reader| {
            let frame = reader.recv_blocking().expect("a frame");
            assert!(frame.keyframe);
            [6, 8].map(|at| u16::from_le_bytes([frame.data[at], frame.data[at + 1]]) & 0x3fff)
        });
        assert_eq!(sizes, [[640, 360], [100, 56]]);
    }
}
