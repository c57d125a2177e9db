//! A sender's place in a broadcast.

use std::sync::Arc;

use rtcast_proto::connection::Connection;
use rtcast_proto::jsep::TransceiverId;
use rtcast_proto::{MediaKind, PacketizedFrame};

use crate::broadcast::{Broadcast, FrameSink};

/// The distance in time, as receivers see it, between the frames that a late joiner is given at once. One millisecond:
/// the whole group is decoded as fast as it can be, and the picture is there.
const CATCH_UP_SPACING_MS: i64 = 1;

/// One sender that takes the frames of one broadcast.
pub(super) struct Subscription {
    broadcast: Broadcast,
    sink: Arc<dyn FrameSink>,
    next_packet: u64,
    waiting_for_keyframe: bool,
}

impl Subscription {
    /// Joins the broadcast and sends what is kept of it.
    pub(super) fn join(
        broadcast: &Broadcast,
        sink: Arc<dyn FrameSink>,
        connection: &mut Connection,
        transceiver: TransceiverId,
    ) -> Self {
        let group = broadcast.subscribe(&sink);
        let video = broadcast.codec().codec.kind() == MediaKind::Video;
        let mut subscription = Self {
            broadcast: broadcast.clone(),
            sink,
            next_packet: 0,
            waiting_for_keyframe: video && group.is_empty(),
        };
        if subscription.waiting_for_keyframe {
            broadcast.request_keyframe();
        }
        let spacing = i64::from(broadcast.codec().codec.clock_rate()) * CATCH_UP_SPACING_MS / 1_000;
        if let Some(last) = group.last() {
            for (position, frame) in group.iter().enumerate() {
                let behind = (group.len() - 1 - position) as i64;
                // A group that is younger than it would be squeezed into keeps its own times.
                let timestamp = frame.timestamp.max(last.timestamp - behind * spacing);
                connection.send_frame(transceiver, frame, timestamp);
            }
            subscription.next_packet = last.first_packet + last.len() as u64;
        }
        subscription
    }

    pub(super) fn broadcast(&self) -> &Broadcast {
        &self.broadcast
    }

    /// Sends the next frame, unless it came with the kept group already or cannot be decoded after a gap.
    pub(super) fn deliver(
        &mut self,
        connection: &mut Connection,
        transceiver: TransceiverId,
        frame: &Arc<PacketizedFrame>,
    ) {
        if frame.first_packet < self.next_packet {
            return;
        }
        let gap = self.next_packet != 0 && frame.first_packet > self.next_packet;
        self.next_packet = frame.first_packet + frame.len() as u64;
        if gap && frame.codec.kind() == MediaKind::Video && !self.waiting_for_keyframe {
            self.waiting_for_keyframe = true;
            self.broadcast.request_keyframe();
        }
        if self.waiting_for_keyframe {
            if !frame.keyframe {
                return;
            }
            self.waiting_for_keyframe = false;
        }
        connection.send_frame(transceiver, frame, frame.timestamp);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.broadcast.unsubscribe(&self.sink);
    }
}
