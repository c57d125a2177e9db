//! Tracks that the peer sends: from a shard to whoever reads them or sends them on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rtcast_proto::jsep::TransceiverId;
use rtcast_proto::{Codec, MediaKind, MediaTime, NtpTime, ReceivedFrame, RtpCodec};
use rtcast_track::{Broadcast, KeyframeGate, MediaStreamTrack, TrackSource};

use crate::endpoint::{ConnectionId, Entry, ShardHandle};

/// The least time between two changes of the codec. A peer that changes it more often loses frames, and nobody else time.
const CODEC_CHANGE_INTERVAL: Duration = Duration::from_secs(1);

/// What was captured longer ago than this by the peer's word, or is yet to be captured, counts as captured on arrival.
const GREATEST_DELAY: MediaTime = MediaTime::from_micros(2_000_000);

/// The peer's wall clock beside ours: a moment by both. All tracks of a connection share it, so that sound and pictures
/// stay together when they are sent on.
#[derive(Debug, Default)]
pub(super) struct CaptureClock(Mutex<Option<(NtpTime, Instant)>>);

impl CaptureClock {
    /// When a frame that comes now was captured, by our clock.
    fn captured_at(&self, now: Instant, by_peer: Option<NtpTime>) -> Instant {
        let Some(by_peer) = by_peer else { return now };
        let mut moment = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (theirs, ours) = *moment.get_or_insert((by_peer, now));
        let arrived = MediaTime::from(now.saturating_duration_since(ours));
        let delay = arrived.since(by_peer.since(theirs));
        if delay < MediaTime::ZERO || delay > GREATEST_DELAY {
            // It came sooner after its capture than any before, or the clock was set.
            *moment = Some((by_peer, now));
            return now;
        }
        now.checked_sub(delay.to_duration()).unwrap_or(now)
    }
}

/// A track that the peer sends, and what changes it.
pub(super) struct ReceivedTrack {
    track: MediaStreamTrack,
    source: TrackSource,
    origin: Origin,
    /// A request for a keyframe is on its way to the connection.
    pending: Arc<AtomicBool>,
    sent: Mutex<Option<Sent>>,
}

/// What the peer sends now.
#[derive(Debug)]
struct Sent {
    broadcast: Broadcast,
    codec: Codec,
    since: Instant,
}

impl ReceivedTrack {
    pub(super) fn new(kind: MediaKind, shard: ShardHandle, id: ConnectionId, transceiver: TransceiverId) -> Self {
        let (track, source) = MediaStreamTrack::with_source(kind, Vec::new(), true);
        Self { track, source, origin: (shard, id, transceiver), pending: Arc::default(), sent: Mutex::default() }
    }

    /// The track under that name.
    pub(super) fn named(&self, name: &str) -> MediaStreamTrack {
        self.track.with_id(name)
    }

    /// Takes a frame; `codec` tells the parameters of its codec, if they are needed.
    pub(super) fn push(
        &self,
        now: Instant,
        clock: &CaptureClock,
        received: &ReceivedFrame,
        codec: impl FnOnce() -> Option<RtpCodec>,
    ) {
        if self.track.ended() {
            return;
        }
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.as_ref().is_none_or(|sent| sent.codec != received.frame.codec) {
            if sent.as_ref().is_some_and(|sent| now.saturating_duration_since(sent.since) < CODEC_CHANGE_INTERVAL) {
                return;
            }
            // A stream that begins otherwise shows nothing to anybody.
            if !KeyframeGate::closed(self.track.kind()).admits(received.frame.keyframe) {
                self.request_keyframe();
                return;
            }
            let codec = codec().filter(|codec| codec.codec == received.frame.codec);
            let codec = codec.unwrap_or_else(|| RtpCodec::new(received.frame.codec));
            let broadcast = self.broadcast(codec);
            let next = Sent { broadcast: broadcast.clone(), codec: received.frame.codec, since: now };
            let before = sent.replace(next);
            self.source.add_rendition(broadcast);
            if let Some(before) = before {
                self.source.remove_rendition(&before.broadcast);
            }
        }
        self.source.set_muted(false);
        if let Some(sent) = &*sent {
            sent.broadcast.forward(received, clock.captured_at(now, received.frame.captured_at));
        }
    }

    /// The peer sends nothing for now.
    pub(super) fn mute(&self) {
        self.source.set_muted(true);
    }

    /// Nothing comes any more; `told` says whether listeners hear of it.
    pub(super) fn end(&self, told: bool) {
        self.source.end(told);
    }

    /// A broadcast whose sinks' requests for keyframes go to the peer.
    fn broadcast(&self, codec: RtpCodec) -> Broadcast {
        let broadcast = Broadcast::received(codec);
        let (origin, pending, passed_on) = (self.origin.clone(), Arc::clone(&self.pending), AtomicU64::new(0));
        broadcast.upstream().observe(move |upstream| {
            let asked = upstream.keyframe_requests();
            if passed_on.swap(asked, Ordering::Relaxed) != asked {
                request_keyframe(&origin, &pending);
            }
        });
        broadcast
    }

    fn request_keyframe(&self) {
        request_keyframe(&self.origin, &self.pending);
    }
}

/// Where a track comes from.
type Origin = (ShardHandle, ConnectionId, TransceiverId);

/// Asks the peer for a keyframe, on the thread of its connection. Requests that come before that are one.
fn request_keyframe((shard, id, transceiver): &Origin, pending: &Arc<AtomicBool>) {
    if !pending.swap(true, Ordering::Relaxed) {
        let (transceiver, pending) = (*transceiver, Arc::clone(pending));
        let work = move |entry: &mut Entry, now| {
            pending.store(false, Ordering::Relaxed);
            entry.connection.request_keyframe(now, transceiver);
        };
        shard.call(*id, Box::new(work));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_keep_the_distance_at_which_they_were_captured() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let captured = |milliseconds: i64| Some(NtpTime(9 << 40).offset(MediaTime::from_micros(milliseconds * 1_000)));
        let near = |left: Instant, right: Instant| {
            left.saturating_duration_since(right).max(right.saturating_duration_since(left)) < Duration::from_micros(1)
        };
        let clock = CaptureClock::default();
        assert_eq!(clock.captured_at(at(5), None), at(5));
        assert_eq!(clock.captured_at(at(10), captured(1_000)), at(10));
        assert!(near(clock.captured_at(at(70), captured(1_040)), at(50)), "20 ms late");
        assert_eq!(clock.captured_at(at(80), captured(1_080)), at(80), "sooner than any before");
        assert!(near(clock.captured_at(at(130), captured(1_120)), at(120)));
        assert_eq!(clock.captured_at(at(160), captured(900_000)), at(160), "their clock was set");
        assert!(near(clock.captured_at(at(200), captured(900_030)), at(190)));
    }
}
