//! Pictures that are re-encoded: decoded once, on a thread of their own, and encoded once per codec, each on its own.
//!
//! Nothing here grows: packets queue for the decoder up to [`DECODE_QUEUE`], then the rest of the group of pictures is
//! left out; each lane has a queue of its own.
//!
//! Whoever joins sees the picture that is being shown, however long it stands: the decoder keeps it, and an encoder that
//! is asked for a keyframe while no other picture comes makes it of that one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use rtcast_track::{Bitrate, Broadcast, KeyframeGate, MediaKind, MediaTime};

use super::clock::Clock;
use crate::codec::{LastingDecoder, VideoDecoder};
use crate::convert::Converter;
use crate::error::MediaError;
use crate::lane::{LaneSettings, VideoLane, broken_off, spawn};
use crate::packet::{Packet, SourceCodec, StreamInfo};
use crate::raw::VideoFrame;

/// Packets that wait for the decoder; of raw pictures, which are large, fewer.
const DECODE_QUEUE: usize = 256;
const DECODE_QUEUE_RAW: usize = 32;
/// What is kept of the group of pictures that is being shown, so that decoding can begin in its middle. What does not
/// fit in is decoded as it comes, wanted or not.
const GROUP_PACKETS: usize = 300;
const GROUP_BYTES: usize = 32 << 20;
/// The same of what leads to an edit list's start, which is decoded at one go.
const PRE_ROLL_PACKETS: usize = 1_500;
/// The picture that stands is shown anew to who joins, unless the next one comes sooner than this.
const SOON: MediaTime = MediaTime::from_micros(100_000);
/// So many failures in a row end the stream; fewer are a damaged stretch.
const FAILURES: u32 = 300;

/// The threads that re-encode one stream of pictures.
pub(super) struct VideoTranscoder {
    jobs: SyncSender<Job>,
    decoder: JoinHandle<()>,
    /// The packets since the last keyframe; empty if there were too many.
    group: Vec<Packet>,
    group_bytes: usize,
    /// The group has begun, and nothing of it is to be shown so far: the way to an edit list's start.
    pre_roll: bool,
    active: bool,
    /// Closed while packets are left out until the next keyframe.
    gate: KeyframeGate,
    /// The group is too long to be kept: it is decoded as it comes.
    following: bool,
}

/// What a transcoder needs of its player.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) clock: Arc<Clock>,
    /// The bitrate that encoders aim at, in bits per second.
    pub(super) bitrate: Arc<AtomicU64>,
    /// Where an error goes that ends the stream.
    pub(super) failures: Sender<MediaError>,
}

enum Job {
    /// Decode a group of pictures from its start, and show those from this time on.
    Restart(Vec<Packet>, MediaTime),
    Packet(Packet),
    /// Show what is held back; a keyframe follows.
    Flush,
    /// Somebody new wants to see the picture that is being shown.
    Refresh,
}

impl VideoTranscoder {
    pub(super) fn new(
        stream: &StreamInfo,
        broadcasts: Vec<Broadcast>,
        surroundings: &Surroundings,
    ) -> Result<Self, MediaError> {
        let is_raw = matches!(stream.codec, SourceCodec::I420);
        let (jobs, queue) = sync_channel(if is_raw { DECODE_QUEUE_RAW } else { DECODE_QUEUE });
        let lanes = broadcasts
            .into_iter()
            .map(|broadcast| {
                let bitrate = Bitrate::from_bps(surroundings.bitrate.load(Ordering::Relaxed));
                let failures = surroundings.failures.clone();
                // Nobody listens once the player has ended.
                let failed = move |error| drop(failures.send(error));
                VideoLane::start(broadcast, LaneSettings::new(bitrate, stream.frame_rate), failed)
            })
            .collect::<Result<_, _>>()?;
        let mut decoder = Decoder {
            stream: stream.clone(),
            show_from: MediaTime::ZERO,
            failed: 0,
            converter: Converter::new(stream.picture),
            latest: None,
            is_latest_new: false,
            lanes,
            surroundings: surroundings.clone(),
        };
        let decoder = spawn("rtcast-decode", move || {
            if let Err(error) = decoder.run(&queue) {
                // Nobody listens once the player has ended.
                let _ = decoder.surroundings.failures.send(error);
            }
        })?;
        Ok(Self {
            jobs,
            decoder,
            group: Vec::new(),
            group_bytes: 0,
            pre_roll: false,
            active: false,
            gate: KeyframeGate::closed(MediaKind::Video),
            following: false,
        })
    }

    /// How long before its decoding time a packet is to be pushed, so that reordering and decoding are done in time.
    pub(super) const fn lead(stream: &StreamInfo) -> MediaTime {
        // Raw pictures need no decoding, and are too large for many to wait.
        MediaTime::from_micros(if matches!(stream.codec, SourceCodec::I420) { 60_000 } else { 250_000 })
    }

    /// Takes the next packet, in decoding order. Nothing is decoded unless somebody wants the pictures; when they begin
    /// to, decoding starts at the last keyframe and showing at `position`. Fails if a thread has panicked.
    pub(super) fn push(&mut self, packet: Packet, wanted: bool, position: MediaTime) -> Result<(), MediaError> {
        if self.decoder.is_finished() {
            return Err(broken_off());
        }
        if packet.chunk.keyframe {
            self.forget_group();
            self.pre_roll = true;
        }
        let ends_pre_roll = self.pre_roll && !packet.chunk.discard;
        self.pre_roll &= packet.chunk.discard;
        let mut begins_with_pre_roll = ends_pre_roll && !packet.chunk.keyframe;
        let begins = packet.chunk.keyframe || !self.group.is_empty();
        if begins && !self.following {
            self.group_bytes += packet.chunk.data.len();
            let most = if self.pre_roll { PRE_ROLL_PACKETS } else { GROUP_PACKETS };
            if self.group.len() < most && self.group_bytes <= GROUP_BYTES {
                self.group.push(packet.clone());
            } else {
                if !self.active || begins_with_pre_roll {
                    self.restart(position);
                }
                begins_with_pre_roll = false;
                // If the decoder is still busy with what was wanted before, the group is lost.
                self.following = self.active;
                self.group = Vec::new();
            }
        }
        let was_active = self.active && !begins_with_pre_roll;
        self.active = was_active;
        self.wake(wanted, position);
        let decodes = was_active && self.active && !self.pre_roll;
        if decodes && self.gate.admits(packet.chunk.keyframe) && self.jobs.try_send(Job::Packet(packet)).is_err() {
            tracing::debug!("the video decoder is too slow: skipping to the next keyframe");
            self.gate.close();
            self.following = false;
        }
        Ok(())
    }

    /// Begins to decode, if the pictures are wanted and are not being decoded, or ends it.
    pub(super) fn wake(&mut self, wanted: bool, position: MediaTime) {
        match (wanted || self.following, self.active) {
            (false, _) => self.active = false,
            // It may be long, and all of it is due at once; it goes to the decoder whole, with the first that is shown.
            (true, _) if self.pre_roll => {}
            (true, false) => self.restart(position),
            (true, true) => {}
        }
    }

    /// Shows the picture that stands to who has just joined.
    pub(super) fn refresh(&self) {
        // If the queue is full, other pictures are about to come.
        let _ = self.jobs.try_send(Job::Refresh);
    }

    fn forget_group(&mut self) {
        self.group.clear();
        self.group_bytes = 0;
        self.pre_roll = false;
        self.following = false;
    }

    /// The stream begins anew or ends.
    pub(super) fn flush(&mut self) {
        self.forget_group();
        if self.active && self.gate.is_open() && self.jobs.try_send(Job::Flush).is_err() {
            self.gate.close();
        }
    }

    /// Waits until all pictures that were pushed have been sent, or the clock is stopped.
    pub(super) fn finish(self) {
        drop(self.jobs);
        // A panic there has been printed; it must not become one here.
        let _ = self.decoder.join();
    }

    fn restart(&mut self, position: MediaTime) {
        match self.jobs.try_send(Job::Restart(self.group.clone(), position)) {
            Ok(()) => {
                self.active = true;
                self.gate = KeyframeGate::closed(MediaKind::Video);
                if !self.group.is_empty() {
                    self.gate.open();
                }
            }
            // The decoder still works on what was wanted before; the next packet tries again.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.active = false,
        }
    }
}

struct Decoder {
    stream: StreamInfo,
    show_from: MediaTime,
    /// Errors since the last picture.
    failed: u32,
    converter: Converter,
    /// The picture that is being shown, and whether it is new to everybody.
    latest: Option<VideoFrame>,
    is_latest_new: bool,
    lanes: Vec<VideoLane>,
    surroundings: Surroundings,
}

impl Decoder {
    fn run(&mut self, queue: &Receiver<Job>) -> Result<(), MediaError> {
        let mut decoder = LastingDecoder::new(&self.stream)?;
        for job in queue {
            let packets = match job {
                Job::Restart(packets, show_from) => {
                    decoder.restart()?;
                    self.show_from = show_from;
                    self.is_latest_new = true;
                    packets
                }
                Job::Packet(packet) => vec![packet],
                Job::Refresh => {
                    self.is_latest_new = true;
                    self.show_latest(None)?;
                    continue;
                }
                Job::Flush => {
                    let pictures = decoder.flush();
                    if !self.show(pictures)? {
                        return Ok(());
                    }
                    continue;
                }
            };
            for packet in packets {
                if !self.show(decoder.decode(&packet.chunk))? {
                    return Ok(());
                }
            }
            self.show_latest(None)?;
        }
        let pictures = decoder.flush();
        self.show(pictures).map(drop)
    }

    /// Hands each picture to the encoders when it is due. `false`: the player has been stopped.
    fn show(&mut self, pictures: Result<Vec<VideoFrame>, MediaError>) -> Result<bool, MediaError> {
        let pictures = match pictures {
            Ok(pictures) => pictures,
            Err(error) => {
                self.failed += 1;
                tracing::debug!(%error, "a picture cannot be decoded");
                return if self.failed < FAILURES { Ok(true) } else { Err(error) };
            }
        };
        for picture in pictures {
            self.failed = 0;
            if picture.timestamp() < self.show_from {
                self.latest = Some(picture);
                continue;
            }
            self.show_latest(Some(picture.timestamp()))?;
            if !self.show_at_its_time(picture)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn show_at_its_time(&mut self, picture: VideoFrame) -> Result<bool, MediaError> {
        // It takes time, so it is done before the picture is due.
        let converted = if self.is_wanted() { self.converter.convert(&picture) } else { None };
        let Some(due) = self.surroundings.clock.wait_until(picture.timestamp()) else { return Ok(false) };
        // Who joined meanwhile is shown it as well.
        let converted = converted.or_else(|| if self.is_wanted() { self.converter.convert(&picture) } else { None });
        self.latest = Some(picture);
        self.is_latest_new = false;
        if let Some(picture) = converted {
            self.push(&picture, due)?;
        }
        Ok(true)
    }

    /// Shows the picture that stands, if it is new to somebody and none follows soon.
    fn show_latest(&mut self, next: Option<MediaTime>) -> Result<(), MediaError> {
        if !std::mem::take(&mut self.is_latest_new) || !self.is_wanted() {
            return Ok(());
        }
        let Some(latest) = &self.latest else { return Ok(()) };
        let now = Instant::now();
        let timestamp = self.surroundings.clock.position(now);
        if next.is_some_and(|next| next.since(timestamp) < SOON) {
            return Ok(());
        }
        if let Some(picture) = self.converter.convert(&latest.clone().with_timestamp(timestamp)) {
            self.push(&picture, now)?;
        }
        Ok(())
    }

    fn is_wanted(&self) -> bool {
        self.lanes.iter().any(VideoLane::is_wanted)
    }

    /// Hands a picture to all lanes.
    fn push(&self, picture: &VideoFrame, at: Instant) -> Result<(), MediaError> {
        let bitrate = Bitrate::from_bps(self.surroundings.bitrate.load(Ordering::Relaxed));
        for lane in &self.lanes {
            lane.set_bitrate(bitrate);
            lane.push(picture, at)?;
        }
        Ok(())
    }
}
