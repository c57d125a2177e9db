//! Who is told what a shard's connections do, and who does for them what needs more than the shard's sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rtcast_proto::connection::{Connection, ConnectionEvent};
use rtcast_proto::jsep::TransceiverId;
use rtcast_proto::{ReceivedFrame, RtpCodec};
use rtcast_track::MediaStreamTrack;
use tokio::sync::mpsc;

use super::detour::DetouredRun;

/// Whoever holds handles on a connection. Called on the shard's thread, so it must not block.
pub(crate) trait Observer: Send + Sync {
    /// What the handles show of the states may have changed.
    fn updated(&self, connection: &Connection);

    /// What the handles show of descriptions and transceivers has changed.
    fn descriptions_updated(&self, connection: &Connection);

    /// Candidates that nobody has heard of yet may belong to a description that stands no more.
    fn candidates_withdrawn(&self, connection: &Connection);

    /// Something has happened.
    fn event(self: Arc<Self>, event: ConnectionEvent);

    /// A transceiver has received a frame; `codec` tells the parameters of its codec.
    fn frame(
        &self,
        now: Instant,
        transceiver: TransceiverId,
        frame: &ReceivedFrame,
        codec: &mut dyn FnMut() -> Option<RtpCodec>,
    );

    /// A transceiver sends another track, or none.
    fn track_replaced(&self, transceiver: TransceiverId, track: Option<MediaStreamTrack>);

    /// The connection is gone.
    fn ended(&self);
}

/// Whoever looks for candidates and names for a connection, and opens TCP connections to its peer.
pub(crate) trait Companion: Send {
    /// Whether the connection ever asked for something.
    fn is_at_work(&self) -> bool;

    /// Passes on what the connection wants.
    fn tell(&mut self, event: &ConnectionEvent);

    /// Opens a TCP connection from an active candidate, and carries what comes from `outgoing`.
    fn connect(&mut self, local: SocketAddr, remote: SocketAddr, outgoing: mpsc::Receiver<DetouredRun>);
}
