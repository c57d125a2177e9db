//! A sender and a receiver that share an m-line: W3C's `RTCRtpTransceiver`.

use std::sync::Arc;

use crate::codec::RtpCodec;
use crate::sdp::Direction;
use crate::types::{MediaKind, Mid, Ssrc};

/// Names a transceiver for as long as the connection lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransceiverId(pub(crate) u32);

impl std::fmt::Display for TransceiverId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "transceiver {}", self.0)
    }
}

/// How a transceiver begins: W3C's `RTCRtpTransceiverInit`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransceiverInit {
    /// The direction that is wanted. Default: `sendrecv`.
    pub direction: Direction,
    /// The track to send, if there is one already.
    pub track_id: Option<String>,
    /// The streams that the track belongs to.
    pub stream_ids: Vec<String>,
}

/// What JSEP knows of a transceiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transceiver {
    pub(crate) id: TransceiverId,
    pub(crate) kind: MediaKind,
    pub(crate) mid: Option<Mid>,
    pub(crate) media_line: Option<usize>,
    pub(crate) direction: Direction,
    pub(crate) current_direction: Option<Direction>,
    /// W3C's `FiredDirection`: what the application was last told about the remote track.
    pub(crate) fired_direction: Option<Direction>,
    pub(crate) stopping: bool,
    pub(crate) stopped: bool,
    pub(crate) created_by_add_track: bool,
    pub(crate) created_by_remote: bool,
    pub(crate) ever_sent: bool,
    pub(crate) track_id: Option<String>,
    pub(crate) stream_ids: Vec<String>,
    /// The track of the sender's `a=msid`, which stays when the track is replaced (RFC 8829 §5.2.1).
    pub(crate) msid_track: String,
    pub(crate) ssrc: Ssrc,
    pub(crate) rtx_ssrc: Ssrc,
    pub(crate) remote_track_id: String,
    pub(crate) remote_stream_ids: Vec<String>,
    /// Shared with the copies that the handles read.
    pub(crate) codec_preferences: Arc<[RtpCodec]>,
}

impl Transceiver {
    /// Its name.
    pub const fn id(&self) -> TransceiverId {
        self.id
    }

    /// Audio or video.
    pub const fn kind(&self) -> MediaKind {
        self.kind
    }

    /// The mid of its m-line, once a description that has it was set.
    pub const fn mid(&self) -> Option<&Mid> {
        self.mid.as_ref()
    }

    /// The place of its m-line, once a description that has it was set.
    pub const fn media_line(&self) -> Option<usize> {
        self.media_line
    }

    /// The direction that is wanted.
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    /// The direction that was negotiated, `None` before the first answer and when it is stopped.
    pub const fn current_direction(&self) -> Option<Direction> {
        self.current_direction
    }

    /// Whether it is stopped for good.
    pub const fn stopped(&self) -> bool {
        self.stopped
    }

    /// Whether it was told to stop, and the next offer says so.
    pub const fn stopping(&self) -> bool {
        self.stopping
    }

    /// The track that is sent, `None` if there is none now.
    pub fn track_id(&self) -> Option<&str> {
        self.track_id.as_deref()
    }

    /// The streams that the sent track belongs to.
    pub fn stream_ids(&self) -> &[String] {
        &self.stream_ids
    }

    /// The source that we send with.
    pub const fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// The source of our retransmissions.
    pub const fn rtx_ssrc(&self) -> Ssrc {
        self.rtx_ssrc
    }

    /// The identifier of the track that the peer sends: its own, or one that was made up if it told none.
    pub fn remote_track_id(&self) -> &str {
        &self.remote_track_id
    }

    /// The streams that the peer's track belongs to.
    pub fn remote_stream_ids(&self) -> &[String] {
        &self.remote_stream_ids
    }

    pub(crate) const fn is_live(&self) -> bool {
        !self.stopped && !self.stopping
    }
}
