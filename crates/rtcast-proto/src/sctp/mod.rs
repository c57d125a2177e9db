//! SCTP over DTLS (RFC 9260, RFC 8261) as data channels use it, without I/O.
//!
//! [`SctpAssociation`] is what the layers above see; [`Association`] is the implementation. Beyond RFC 9260 it speaks
//! partial reliability (RFC 3758), stream reset (RFC 6525), interleaving of messages (RFC 8260), zero checksums
//! (RFC 9653), and finds losses by time as RACK and the tail loss probe do (RFC 8985).
//!
//! Every queue is indexed by its number or taken from an end: what a packet costs does not depend on how much is in
//! flight or waits. User data is copied once, into the packet.

mod association;
mod chunk;
mod congestion;
mod handshake;
mod inbound;
mod outbound;
mod packet;
mod rack;
mod reassembly;
mod retransmission;
mod sequence;
mod stream_reset;

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use association::Association;

/// A stream of an association, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u16);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a message's bytes mean (RFC 9260 §3.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PayloadProtocolId(pub u32);

/// What an association is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SctpConfig {
    /// Our port. Default: 5000.
    pub local_port: u16,
    /// The peer's port. Default: 5000.
    pub remote_port: u16,
    /// The longest packet in bytes, a multiple of four. Default: 1,160, which DTLS, UDP and IP make 1,237 at most.
    pub max_packet_size: usize,
    /// The most bytes that wait here for the application or for missing pieces: our receiver window. Default: 4 MiB.
    pub receive_buffer: usize,
    /// The longest message that is taken, in bytes; a longer one ends the association. Default: 256 KiB.
    pub max_receive_message_size: usize,
    /// The most bytes that may wait to be acknowledged. [`SctpAssociation::send`] refuses what exceeds it. Default: 64 MiB.
    pub send_buffer: usize,
    /// Whether messages of several streams may be interleaved (RFC 8260), if the peer can. Default: yes.
    pub interleaving: bool,
    /// Whether packets go without a checksum (RFC 9653), if the peer agrees; DTLS protects them. Default: yes.
    pub zero_checksum: bool,
}

impl Default for SctpConfig {
    fn default() -> Self {
        Self {
            local_port: 5000,
            remote_port: 5000,
            max_packet_size: 1_160,
            receive_buffer: 4 << 20,
            max_receive_message_size: 256 << 10,
            send_buffer: 64 << 20,
            interleaving: true,
            zero_checksum: true,
        }
    }
}

/// Until when a message is worth sending (RFC 3758, RFC 7496).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reliability {
    /// How often a lost piece may be sent again; `None` for as often as it takes.
    pub max_retransmits: Option<u16>,
    /// For how long after its sending it may be sent and sent again; `None` for as long as it takes.
    pub max_packet_life_time: Option<Duration>,
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// The stream.
    pub stream: StreamId,
    /// What the bytes mean.
    pub ppid: PayloadProtocolId,
    /// The bytes, at least one.
    pub data: Bytes,
    /// Whether it may overtake and be overtaken.
    pub unordered: bool,
    /// Until when it is worth sending.
    pub reliability: Reliability,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SctpError {
    /// Not connected any more.
    #[error("the SCTP association is closed")]
    Closed,
    /// The buffer has no room.
    #[error("{buffered} bytes wait to be acknowledged, and the buffer holds {limit}")]
    BufferFull {
        /// What waits.
        buffered: usize,
        /// What may wait.
        limit: usize,
    },
    /// Messages have at least one byte (RFC 9260 §6.9).
    #[error("an SCTP message cannot be empty")]
    Empty,
    /// The peer takes fewer streams.
    #[error("the peer has no stream {stream}: it takes {limit}")]
    NoSuchStream {
        /// The stream.
        stream: StreamId,
        /// How many streams the peer takes.
        limit: u16,
    },
}

/// How an association stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SctpState {
    /// Not started.
    #[default]
    New,
    /// The handshake goes on.
    Connecting,
    /// Messages flow.
    Connected,
    /// Ended by either side.
    Closed,
}

/// Something that happened to an association.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SctpEvent {
    /// The handshake is complete.
    Connected,
    /// A message came.
    Message {
        /// The stream.
        stream: StreamId,
        /// What the bytes mean.
        ppid: PayloadProtocolId,
        /// The bytes.
        data: Bytes,
    },
    /// Bytes of a stream were acknowledged, or given up because they were not worth sending any more.
    Settled {
        /// The stream.
        stream: StreamId,
        /// How many.
        bytes: usize,
    },
    /// The peer has ended its side of a stream; its next message begins anew.
    IncomingReset {
        /// The stream.
        stream: StreamId,
    },
    /// Our side of a stream has ended, as asked for, and may be used again.
    OutgoingReset {
        /// The stream.
        stream: StreamId,
    },
    /// The peer has lost everything and begun anew (RFC 9260 §5.2.4.1); all streams are as new.
    Restarted,
    /// The association has ended.
    Closed {
        /// What the peer or the network did; `None` if all is in order.
        reason: Option<String>,
    },
}

/// What an association counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SctpStats {
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets received that were ours.
    pub packets_received: u64,
    /// Bytes of user data sent, without repetitions.
    pub bytes_sent: u64,
    /// Bytes of user data received, without repetitions.
    pub bytes_received: u64,
    /// Chunks that were sent again.
    pub chunks_retransmitted: u64,
    /// Times at which nothing came for so long that all was sent again.
    pub timeouts: u64,
    /// The smoothed round-trip time, once measured.
    pub round_trip_time: Option<Duration>,
    /// The congestion window in bytes.
    pub congestion_window: usize,
    /// Bytes that are on their way.
    pub bytes_in_flight: usize,
    /// The room that the peer announced last, in bytes.
    pub peer_receive_window: usize,
}

/// One end of an association, driven without I/O.
///
/// After any other call, [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event) are emptied and
/// [`poll_timeout`](Self::poll_timeout) is asked again.
pub trait SctpAssociation: Send {
    /// Starts the handshake. Both ends may (RFC 9260 §5.2.1).
    fn connect(&mut self, now: Instant);

    /// Takes a packet that DTLS has decrypted. Anything may come.
    fn handle_input(&mut self, now: Instant, packet: &[u8]);

    /// Tells the time, when [`poll_timeout`](Self::poll_timeout) asked for it.
    fn handle_timeout(&mut self, now: Instant);

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Writes the next packet into `packet`, whose contents are replaced. Returns whether there was one.
    fn poll_transmit(&mut self, now: Instant, packet: &mut Vec<u8>) -> bool;

    /// The next thing that happened.
    fn poll_event(&mut self) -> Option<SctpEvent>;

    /// Queues a message.
    ///
    /// # Errors
    /// [`SctpError`]; nothing was queued then.
    fn send(&mut self, now: Instant, message: OutgoingMessage) -> Result<(), SctpError>;

    /// Ends our side of a stream once all its messages are acknowledged (RFC 6525 §5.1.2).
    fn reset_stream(&mut self, stream: StreamId);

    /// Takes the end of our side of a stream for confirmed, because the peer has begun the stream anew: its confirmation was
    /// lost or is late.
    fn assume_reset(&mut self, stream: StreamId);

    /// Says that the application has read so many bytes of messages; until then they count against the receiver window.
    fn consumed(&mut self, bytes: usize);

    /// Ends the association at once; the peer is told by an ABORT.
    fn abort(&mut self, now: Instant);

    /// Ends the association once everything is acknowledged (RFC 9260 §9.2).
    fn shutdown(&mut self, now: Instant);

    /// How it stands.
    fn state(&self) -> SctpState;

    /// How many streams there may be in either direction, once connected.
    fn max_streams(&self) -> Option<u16>;

    /// The counters as they stand.
    fn stats(&self) -> SctpStats;
}
