//! What all connections of an endpoint have been sent, and how they fare.

use std::time::Duration;

use rtcast_proto::MediaKind;
use rtcast_proto::connection::{Connection, PeerConnectionState};

/// Totals of an endpoint's connections, those that are gone included, and the state of the network to those that stand.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Survey {
    /// Connections that stand now.
    pub connected: usize,
    /// RTP packets sent, retransmissions included.
    pub packets_sent: u64,
    /// Bytes of RTP payload in these packets, without headers.
    pub bytes_sent: u64,
    /// Packets sent again.
    pub retransmitted_packets_sent: u64,
    /// Video frames sent.
    pub frames_sent: u64,
    /// Frames that single connections did not get because their network was too slow.
    pub frames_dropped: u64,
    /// Requests for lost packets received.
    pub nack_count: u64,
    /// Requests for keyframes received.
    pub keyframe_requests: u64,
    /// The share of packets that the peers lately reported lost, 0.0 to 1.0, the mean of all streams that stand.
    pub fraction_lost: f64,
    /// The round-trip times to the peers that stand, in ascending order.
    pub round_trip_times: Vec<Duration>,
    lost: f64,
    streams: u32,
}

impl Survey {
    /// Adds what a connection was sent.
    pub(super) fn add_totals(&mut self, connection: &Connection) {
        for (codec, stats) in connection.sender_stats() {
            self.packets_sent += stats.packets_sent;
            self.bytes_sent += stats.bytes_sent;
            self.retransmitted_packets_sent += stats.retransmitted_packets_sent;
            self.frames_dropped += stats.frames_dropped;
            self.nack_count += stats.nack_count;
            self.keyframe_requests += stats.pli_count + stats.fir_count;
            if codec.is_some_and(|codec| codec.kind() == MediaKind::Video) {
                self.frames_sent += stats.frames_sent;
            }
        }
    }

    /// Adds a connection that is there.
    pub(super) fn add(&mut self, connection: &Connection) {
        self.add_totals(connection);
        if connection.connection_state() != PeerConnectionState::Connected {
            return;
        }
        self.connected += 1;
        self.round_trip_times.extend(connection.round_trip_time());
        for (_, stats) in connection.sender_stats() {
            self.lost += stats.fraction_lost;
            self.streams += 1;
        }
    }

    /// The sum of what several shards have.
    pub(super) fn sum(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for part in parts {
            all.connected += part.connected;
            all.packets_sent += part.packets_sent;
            all.bytes_sent += part.bytes_sent;
            all.retransmitted_packets_sent += part.retransmitted_packets_sent;
            all.frames_sent += part.frames_sent;
            all.frames_dropped += part.frames_dropped;
            all.nack_count += part.nack_count;
            all.keyframe_requests += part.keyframe_requests;
            all.round_trip_times.extend(part.round_trip_times);
            all.lost += part.lost;
            all.streams += part.streams;
        }
        all.round_trip_times.sort_unstable();
        all.fraction_lost = if all.streams == 0 { 0.0 } else { all.lost / f64::from(all.streams) };
        all
    }
}
