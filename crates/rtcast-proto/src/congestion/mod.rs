//! How fast media may leave: what a sender learns of its path, and what follows from it.
//!
//! A [`CongestionController`] hears of every packet that leaves and of all that the peer reports, and answers two
//! questions: how many bytes may leave now, and what bitrate whoever makes the media should aim at. It opens no socket and
//! reads no clock. [`FixedRate`] asks nothing of its path; what estimates the path (GCC, NADA, SCReAM) takes its place by
//! [`Connection::set_congestion_controller`](crate::connection::Connection::set_congestion_controller).

mod fixed_rate;
mod pacer;

use std::fmt;
use std::time::{Duration, Instant};

use crate::rtcp::{ReportBlock, TransportFeedback};
use crate::types::{Bitrate, Ssrc};

pub use fixed_rate::FixedRate;
pub(crate) use pacer::Pacer;

/// A packet of media that has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentPacket {
    /// Its stream; a retransmission has that of its own.
    pub ssrc: Ssrc,
    /// The bytes of UDP payload: header, payload and authentication tag.
    pub bytes: usize,
    /// Its number among all packets of the transport, of which the low 16 bits stand in the packet; `None` if none was
    /// negotiated.
    pub transport_sequence_number: Option<u64>,
}

impl SentPacket {
    /// A packet of so many bytes, without a number.
    pub const fn new(ssrc: Ssrc, bytes: usize) -> Self {
        Self { ssrc, bytes, transport_sequence_number: None }
    }
}

/// What the peer reports of what it was sent.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Feedback<'a> {
    /// When each packet of the transport arrived (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    Transport(&'a TransportFeedback),
    /// What was lost of one stream, and its jitter (RFC 3550 §6.4.1).
    Report {
        /// The report.
        report: &'a ReportBlock,
        /// The round-trip time that follows from the reports so far, if any.
        round_trip_time: Option<Duration>,
    },
    /// The bitrate that the peer believes to be able to receive (draft-alvestrand-rmcat-remb-03).
    MaximumBitrate(Bitrate),
}

/// Decides how fast the media of one connection leaves.
///
/// Sans-IO: the connection tells it of everything, with the time, and asks. An implementation never waits and never fails.
pub trait CongestionController: fmt::Debug + Send {
    /// The bytes that may leave now, in whole packets.
    fn budget(&mut self, now: Instant) -> usize;

    /// How long from the moment of the last [`budget`](Self::budget) until `bytes` may leave, if nothing leaves before.
    fn wait_for(&self, bytes: usize) -> Duration;

    /// A packet has left; packets come in the order of sending.
    fn handle_sent(&mut self, now: Instant, packet: SentPacket);

    /// The peer has reported something.
    fn handle_feedback(&mut self, now: Instant, feedback: Feedback<'_>);

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; `None` if only packets and reports change anything.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The time that [`poll_timeout`](Self::poll_timeout) asked for has come.
    fn handle_timeout(&mut self, now: Instant);

    /// What all media of the connection should take together. Whoever encodes goes by it; what is encoded already goes out
    /// as it is. The connection tells its changes as
    /// [`TargetBitrateChanged`](crate::connection::ConnectionEvent::TargetBitrateChanged).
    fn target_bitrate(&self) -> Bitrate;

    /// How fast waiting packets leave; above the target, so that a large picture does not hold up those behind it.
    fn pacing_rate(&self) -> Bitrate;
}
