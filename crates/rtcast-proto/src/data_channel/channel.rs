//! One channel: its settings and its state.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::DataChannelError;
use crate::sctp::{Reliability, StreamId};

/// A channel, unique in its connection for all time. W3C's `id`, which is used again, is the
/// [`stream`](DataChannelInfo::id).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DataChannelId(pub(crate) u64);

/// Settings of a channel: W3C's `RTCDataChannelInit`.
///
/// Messages that are of no use when they come late, in any order and sent once:
///
/// ```
/// use rtcast_proto::data_channel::DataChannelInit;
///
/// let positions = DataChannelInit { ordered: false, max_retransmits: Some(0), ..DataChannelInit::default() };
/// assert!(!positions.negotiated && positions.max_packet_life_time.is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataChannelInit {
    /// Whether messages arrive in the order of their sending. Default: yes.
    pub ordered: bool,
    /// For how many milliseconds a message is sent and sent again; not together with `max_retransmits`. Default: as long
    /// as it takes.
    pub max_packet_life_time: Option<u16>,
    /// How often a message is sent again. Default: as often as it takes.
    pub max_retransmits: Option<u16>,
    /// The name of what is spoken on the channel. Default: empty.
    pub protocol: String,
    /// Whether both applications make the channel, with the same `id`, so that nothing is said about it on the wire.
    /// Default: no.
    pub negotiated: bool,
    /// The id, 0 to 65,534: needed with `negotiated`, chosen by the connection without. Default: none.
    pub id: Option<u16>,
}

impl Default for DataChannelInit {
    fn default() -> Self {
        Self {
            ordered: true,
            max_packet_life_time: None,
            max_retransmits: None,
            protocol: String::new(),
            negotiated: false,
            id: None,
        }
    }
}

impl DataChannelInit {
    /// W3C webrtc §6.1 `createDataChannel`, steps 4 to 16.
    pub(super) fn check(&self, label: &str) -> Result<(), DataChannelError> {
        let wrong = |problem: &str, hint| Err(DataChannelError::Argument { problem: problem.to_owned(), hint });
        for (what, text) in [("label", label), ("protocol", &self.protocol)] {
            if text.len() > usize::from(u16::MAX) {
                let problem = format!("the {what} has {} bytes in UTF-8, and 65,535 are the most", text.len());
                return wrong(&problem, "choose a shorter one");
            }
        }
        if self.max_packet_life_time.is_some() && self.max_retransmits.is_some() {
            return wrong("both max_packet_life_time and max_retransmits are set", "set one of them");
        }
        match (self.negotiated, self.id) {
            (true, None) => wrong("a negotiated channel has no id", "give both ends the same id"),
            (_, Some(u16::MAX)) => wrong("65,535 is no id of a channel", "choose one from 0 to 65,534"),
            _ => Ok(()),
        }
    }

    /// Until when a message is worth sending.
    pub(super) fn reliability(&self) -> Reliability {
        Reliability {
            max_retransmits: self.max_retransmits,
            max_packet_life_time: self.max_packet_life_time.map(|ms| Duration::from_millis(ms.into())),
        }
    }
}

/// W3C's `RTCDataChannelState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DataChannelState {
    /// The connection is being made.
    #[default]
    Connecting,
    /// Messages can be sent.
    Open,
    /// Either side has begun to close it; what was sent before still arrives.
    Closing,
    /// Ended.
    Closed,
}

impl DataChannelState {
    /// The word of the W3C.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for DataChannelState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A message of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataChannelMessage {
    /// A string.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl DataChannelMessage {
    /// The bytes, of a string those of its UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A channel as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataChannelInfo {
    /// The channel.
    pub channel: DataChannelId,
    /// Its name, which need not be unique.
    pub label: String,
    /// Its settings.
    pub init: DataChannelInit,
    /// W3C's `id`, which is the SCTP stream; `None` until the DTLS role is known.
    pub id: Option<u16>,
    /// How it stands.
    pub state: DataChannelState,
    /// Bytes that were sent and not acknowledged.
    pub buffered_amount: usize,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) label: String,
    pub(super) init: DataChannelInit,
    pub(super) stream: Option<StreamId>,
    pub(super) state: DataChannelState,
    pub(super) buffered: usize,
    /// Bytes of messages about the channel itself that are not acknowledged; they come before all others.
    pub(super) control: usize,
    /// Whether the peer is known to know of it, so that messages may overtake the one that opens it (RFC 8832 §6).
    pub(super) acknowledged: bool,
    pub(super) outgoing_reset: bool,
    pub(super) incoming_reset: bool,
    pub(super) stats: super::transport::ChannelCounters,
}

impl Channel {
    pub(super) fn new(label: String, init: DataChannelInit) -> Self {
        let acknowledged = init.negotiated;
        Self {
            label,
            stream: init.id.map(StreamId),
            init,
            state: DataChannelState::Connecting,
            buffered: 0,
            control: 0,
            acknowledged,
            outgoing_reset: false,
            incoming_reset: false,
            stats: super::transport::ChannelCounters::default(),
        }
    }

    pub(super) fn info(&self, channel: DataChannelId) -> DataChannelInfo {
        DataChannelInfo {
            channel,
            label: self.label.clone(),
            init: self.init.clone(),
            id: self.stream.map(|stream| stream.0),
            state: self.state,
            buffered_amount: self.buffered,
        }
    }
}
