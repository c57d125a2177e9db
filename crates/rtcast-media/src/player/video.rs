//! Pictures that are re-encoded: decoded once, on a thread of their own, and encoded once per codec, each on its own.
//!
//! Nothing here grows: packets queue for the decoder up to [`DECODE_QUEUE`], then the rest of the group of pictures is
//! left out; pictures queue for an encoder up to [`ENCODE_QUEUE`], then the newest are left out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rtcast_peer::{Bitrate, Broadcast, MediaTime};
use tokio::sync::watch;

use super::clock::Clock;
use crate::codec::{LastingDecoder, VideoDecoder, VideoEncoderSettings, video_encoder};
use crate::error::MediaError;
use crate::packet::{Packet, SourceCodec, StreamInfo};
use crate::plan::encoded_size;
use crate::raw::VideoFrame;

/// Packets that wait for the decoder.
const DECODE_QUEUE: usize = 32;
/// Pictures that wait for an encoder.
const ENCODE_QUEUE: usize = 3;
/// What is kept of the group of pictures that is being shown, so that decoding can begin in its middle.
const GROUP_PACKETS: usize = 1_500;
const GROUP_BYTES: usize = 64 << 20;
/// Keyframes on request are at least this far apart.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(500);
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
    /// Packets are left out until the next keyframe.
    skipping: bool,
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
}

impl VideoTranscoder {
    pub(super) fn new(
        stream: &StreamInfo,
        broadcasts: Vec<Broadcast>,
        surroundings: &Surroundings,
    ) -> Result<Self, MediaError> {
        let (jobs, queue) = sync_channel(DECODE_QUEUE);
        let encoders = broadcasts
            .into_iter()
            .map(|broadcast| Encoder::start(broadcast, stream.frame_rate, surroundings))
            .collect::<Result<_, _>>()?;
        let mut decoder = Decoder {
            stream: stream.clone(),
            show_from: MediaTime::ZERO,
            failed: 0,
            encoders,
            surroundings: surroundings.clone(),
        };
        let decoder = spawn("rtcast-decode", move || {
            if let Err(error) = decoder.run(&queue) {
                // Nobody listens once the player has ended.
                let _ = decoder.surroundings.failures.send(error);
            }
        })?;
        Ok(Self { jobs, decoder, group: Vec::new(), group_bytes: 0, pre_roll: false, active: false, skipping: true })
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
        if packet.keyframe {
            self.group.clear();
            self.group_bytes = 0;
            self.pre_roll = true;
        }
        let ends_pre_roll = self.pre_roll && !packet.discard;
        self.pre_roll &= packet.discard;
        let begins_with_pre_roll = ends_pre_roll && !packet.keyframe;
        self.group_bytes += packet.data.len();
        if self.group.len() >= GROUP_PACKETS || self.group_bytes > GROUP_BYTES {
            self.group = Vec::new();
        } else if packet.keyframe || !self.group.is_empty() {
            self.group.push(packet.clone());
        }
        match (wanted, self.active) {
            (false, _) => self.active = false,
            // It may be long, and all of it is due at once; it goes to the decoder whole, with the first that is shown.
            (true, _) if self.pre_roll => {}
            (true, active) if !active || begins_with_pre_roll => self.restart(position),
            (true, _) => {
                self.skipping &= !packet.keyframe;
                if !self.skipping && self.jobs.try_send(Job::Packet(packet)).is_err() {
                    tracing::debug!("the video decoder is too slow: skipping to the next keyframe");
                    self.skipping = true;
                }
            }
        }
        Ok(())
    }

    /// The stream begins anew or ends.
    pub(super) fn flush(&mut self) {
        self.group.clear();
        self.group_bytes = 0;
        self.pre_roll = false;
        if self.active && !self.skipping && self.jobs.try_send(Job::Flush).is_err() {
            self.skipping = true;
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
                self.skipping = self.group.is_empty();
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
    encoders: Vec<Encoder>,
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
                    packets
                }
                Job::Packet(packet) => vec![packet],
                Job::Flush => {
                    let pictures = decoder.flush();
                    if !self.show(pictures)? {
                        return Ok(());
                    }
                    continue;
                }
            };
            for packet in packets {
                if !self.show(decoder.decode(&packet))? {
                    return Ok(());
                }
            }
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
                continue;
            }
            let (width, height) = encoded_size(picture.width(), picture.height());
            let Some(picture) = picture.scaled(width, height) else { continue };
            let Some(due) = self.surroundings.clock.wait_until(picture.timestamp()) else { return Ok(false) };
            for encoder in &self.encoders {
                encoder.offer(&picture, due)?;
            }
        }
        Ok(true)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        for encoder in self.encoders.drain(..) {
            drop(encoder.queue);
            // As above: its panic has been printed.
            let _ = encoder.thread.join();
        }
    }
}

/// The hand that feeds an encoder's thread.
struct Encoder {
    queue: SyncSender<Due>,
    thread: JoinHandle<()>,
    demand: watch::Receiver<usize>,
}

struct Due {
    picture: VideoFrame,
    at: Instant,
}

impl Encoder {
    fn start(broadcast: Broadcast, frame_rate: f64, surroundings: &Surroundings) -> Result<Self, MediaError> {
        let (queue, pictures) = sync_channel(ENCODE_QUEUE);
        let demand = broadcast.demand();
        let surroundings = surroundings.clone();
        let thread = spawn(&format!("rtcast-{}", broadcast.codec().codec.encoding_name()), move || {
            if let Err(error) = encode(&broadcast, &pictures, frame_rate, &surroundings.bitrate) {
                // Nobody listens once the player has ended.
                let _ = surroundings.failures.send(error);
            }
        })?;
        Ok(Self { queue, thread, demand })
    }

    /// Hands over a picture if anybody wants it and the encoder keeps up. Fails if its thread has ended.
    fn offer(&self, picture: &VideoFrame, at: Instant) -> Result<(), MediaError> {
        if *self.demand.borrow() == 0 {
            return Ok(());
        }
        match self.queue.try_send(Due { picture: picture.clone(), at }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                tracing::debug!("the video encoder is too slow: a picture is left out");
                Ok(())
            }
            Err(TrySendError::Disconnected(_)) => Err(broken_off()),
        }
    }
}

/// What is told of a thread that ended without telling an error of its own.
fn broken_off() -> MediaError {
    let reason = "a thread that re-encodes the pictures broke off; it has printed why".into();
    MediaError::Codec { codec: "video".into(), reason }
}

fn encode(
    broadcast: &Broadcast,
    pictures: &Receiver<Due>,
    frame_rate: f64,
    wanted_bitrate: &AtomicU64,
) -> Result<(), MediaError> {
    let mut bitrate = wanted_bitrate.load(Ordering::Relaxed);
    let settings = VideoEncoderSettings { bitrate: Bitrate::from_bps(bitrate), frame_rate };
    let mut encoder = video_encoder(broadcast.codec().codec, settings)?;
    let mut requests = KeyframeRequests::new(broadcast.keyframe_requests(), broadcast.demand());
    let mut failed = 0;
    for due in pictures {
        let wanted = wanted_bitrate.load(Ordering::Relaxed);
        if wanted != bitrate {
            bitrate = wanted;
            encoder.set_bitrate(Bitrate::from_bps(bitrate))?;
        }
        match encoder.encode(&due.picture, requests.take(Instant::now())) {
            Ok(frame) => {
                failed = 0;
                if let Some(frame) = frame {
                    if frame.keyframe {
                        requests.sent(Instant::now());
                    }
                    broadcast.send(&frame, due.at);
                }
            }
            Err(error) => {
                failed += 1;
                tracing::debug!(%error, "a picture cannot be encoded");
                if failed >= FAILURES {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

/// Requests for a keyframe, of viewers that ask and of those that join, made one if they come close together.
struct KeyframeRequests {
    count: watch::Receiver<u64>,
    demand: watch::Receiver<usize>,
    viewers: usize,
    pending: bool,
    last: Option<Instant>,
}

impl KeyframeRequests {
    const fn new(count: watch::Receiver<u64>, demand: watch::Receiver<usize>) -> Self {
        Self { count, demand, viewers: 0, pending: false, last: None }
    }

    /// Whether the next picture shall be a keyframe.
    fn take(&mut self, now: Instant) -> bool {
        if self.count.has_changed().unwrap_or(false) {
            self.count.borrow_and_update();
            self.pending = true;
        }
        if self.demand.has_changed().unwrap_or(false) {
            let viewers = *self.demand.borrow_and_update();
            // As many as before: one has left and another joined.
            self.pending |= viewers >= self.viewers;
            self.viewers = viewers;
        }
        self.pending && self.last.is_none_or(|last| now.saturating_duration_since(last) >= KEYFRAME_INTERVAL)
    }

    /// A keyframe has been made, upon request or not.
    fn sent(&mut self, now: Instant) {
        self.pending = false;
        self.last = Some(now);
    }
}

/// Starts a thread of this name.
pub(super) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, MediaError> {
    let error = |error| MediaError::Io { source_name: format!("the thread {name}"), error };
    thread::Builder::new().name(name.into()).spawn(body).map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_come_close_together_make_one_keyframe() {
        let (requests, count) = watch::channel(0);
        let (viewers, demand) = watch::channel(1);
        let mut keyframes = KeyframeRequests::new(count, demand);
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert!(!keyframes.take(at(0)));
        requests.send_modify(|count| *count += 1);
        requests.send_modify(|count| *count += 1);
        assert!(keyframes.take(at(33)));
        keyframes.sent(at(33));
        assert!(!keyframes.take(at(66)));
        requests.send_modify(|count| *count += 1);
        assert!(!keyframes.take(at(100)));
        assert!(!keyframes.take(at(532)));
        assert!(keyframes.take(at(533)), "the request has waited");
        keyframes.sent(at(533));
        assert!(!keyframes.take(at(2_000)));
        viewers.send_replace(2);
        assert!(keyframes.take(at(2_033)), "a viewer has joined");
        keyframes.sent(at(2_033));
        viewers.send_replace(1);
        assert!(!keyframes.take(at(4_000)), "a viewer has left");
        viewers.send_replace(0);
        viewers.send_replace(1);
        assert!(keyframes.take(at(5_000)), "another has come instead");
    }
}
