//! A sender's place in a broadcast.

use std::sync::Arc;
use std::time::Instant;

use rtcast_proto::connection::Connection;
use rtcast_proto::jsep::TransceiverId;
use rtcast_track::{Broadcast, FrameSink, KeyframeGate, MediaKind, PacketizedFrame, Subscription};

/// One sender that takes the frames of one broadcast.
pub(super) struct Feed {
    subscription: Subscription,
    next_packet: u64,
    gate: KeyframeGate,
}

impl Feed {
    /// Joins the broadcast and sends what is kept of it.
    pub(super) fn join(
        now: Instant,
        broadcast: &Broadcast,
        sink: &Arc<dyn FrameSink>,
        connection: &mut Connection,
        transceiver: TransceiverId,
    ) -> Self {
        let (subscription, group) = broadcast.subscribe(sink);
        let kind = broadcast.codec().codec.kind();
        let mut feed = Self { subscription, next_packet: 0, gate: KeyframeGate::closed(kind) };
        if kind == MediaKind::Video && !feed.catch_up(now, connection, transceiver, &group) {
            broadcast.request_keyframe();
        }
        feed
    }

    /// Answers the viewer's request for a keyframe: it is given the kept group of pictures once more, from its keyframe.
    /// Where none is kept the source is asked.
    pub(super) fn keyframe_requested(&mut self, now: Instant, connection: &mut Connection, transceiver: TransceiverId) {
        let group = self.broadcast().group();
        if !self.catch_up(now, connection, transceiver, &group) {
            self.broadcast().request_keyframe();
        }
    }

    /// Gives the viewer a group of pictures, after which it goes on with what follows. Returns whether it is so.
    fn catch_up(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        transceiver: TransceiverId,
        group: &[Arc<PacketizedFrame>],
    ) -> bool {
        let Some(last) = group.last() else { return false };
        if !connection.catch_up(now, transceiver, group) {
            return false;
        }
        // Frames that are on their way to this shard are in the group already.
        self.next_packet = last.first_packet + last.len() as u64;
        self.gate.open();
        true
    }

    pub(super) const fn broadcast(&self) -> &Broadcast {
        self.subscription.broadcast()
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
        if gap && self.gate.close() {
            self.broadcast().request_keyframe();
        }
        if !self.gate.admits(frame.keyframe) {
            return;
        }
        connection.send_frame(transceiver, frame, frame.timestamp);
    }
}
