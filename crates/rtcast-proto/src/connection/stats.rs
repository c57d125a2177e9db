//! What a connection counts.

use std::time::Duration;

use super::receiver::RtpReceiver;
use super::{Connection, ReceiverStats, SenderStats};
use crate::codec::Codec;
use crate::ice::SelectedPair;
use crate::jsep::TransceiverId;
use crate::srtp::SrtpProfile;
use crate::types::{Bitrate, Ssrc};

/// A sender and what it counted.
#[derive(Debug, Clone, PartialEq)]
pub struct SenderReport {
    /// Its transceiver.
    pub transceiver: TransceiverId,
    /// Its source.
    pub ssrc: Ssrc,
    /// What it sends now.
    pub codec: Option<Codec>,
    /// The counters.
    pub stats: SenderStats,
}

/// A receiver and what it counted.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceiverReport {
    /// Its transceiver.
    pub transceiver: TransceiverId,
    /// The counters.
    pub stats: ReceiverStats,
}

/// A snapshot of a connection's counters.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConnectionStats {
    /// The addresses that media takes.
    pub selected_pair: Option<SelectedPair>,
    /// The round-trip time of ICE's checks.
    pub round_trip_time: Option<Duration>,
    /// Datagrams received from the peer, checks and answers of ICE included.
    pub datagrams_received: u64,
    /// The version of DTLS.
    pub dtls_version: Option<&'static str>,
    /// How media is protected.
    pub srtp_profile: Option<SrtpProfile>,
    /// What the peer last estimated that the path carries.
    pub available_outgoing_bitrate: Option<Bitrate>,
    /// The senders.
    pub senders: Vec<SenderReport>,
    /// The receivers.
    pub receivers: Vec<ReceiverReport>,
}

impl Connection {
    /// The counters as they stand.
    pub fn stats(&self) -> ConnectionStats {
        ConnectionStats {
            selected_pair: self.selected_pair(),
            round_trip_time: self.transport.ice.round_trip_time(),
            datagrams_received: self.transport.heard,
            dtls_version: self.transport.dtls_version(),
            srtp_profile: self.transport.srtp().map(crate::srtp::SrtpSession::profile),
            available_outgoing_bitrate: self.estimate,
            senders: self
                .senders
                .iter()
                .map(|slot| SenderReport {
                    transceiver: slot.transceiver,
                    ssrc: slot.sender.ssrc,
                    codec: slot.sender.encoding().map(|encoding| encoding.codec),
                    stats: *slot.sender.stats(),
                })
                .collect(),
            receivers: self.receivers.iter().map(RtpReceiver::report).collect(),
        }
    }

    /// The counters of each sender, with its codec, without a copy of anything else.
    pub fn sender_stats(&self) -> impl Iterator<Item = (Option<Codec>, &SenderStats)> {
        self.senders.iter().map(|slot| (slot.sender.encoding().map(|encoding| encoding.codec), slot.sender.stats()))
    }

    /// The round-trip time of ICE's checks.
    pub fn round_trip_time(&self) -> Option<Duration> {
        self.transport.ice.round_trip_time()
    }
}
