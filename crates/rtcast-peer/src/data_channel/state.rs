//! What a channel's handles and the thread of its connection share.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rtcast_proto::data_channel::{
    DataChannelEvent, DataChannelId, DataChannelInfo, DataChannelInit, DataChannelMessage, DataChannelState,
};
use tokio::sync::{Notify, watch};

use crate::endpoint::{ConnectionId, ShardHandle};

/// The connection is told of what the application has read in portions of this many bytes: an eighth of the receiver
/// window, so that the peer never waits for it.
const PORTION: usize = 512 << 10;

pub(super) type MessageCallback = Box<dyn FnMut(DataChannelMessage) + Send>;

/// The channels of one connection.
pub(crate) struct ConnectionData {
    channels: Mutex<HashMap<DataChannelId, Arc<ChannelState>>>,
    consumed: AtomicUsize,
    /// The most that the peer takes in one message; 0 for no limit.
    max_message_size: AtomicU64,
}

/// One channel.
pub(super) struct ChannelState {
    pub(super) channel: DataChannelId,
    pub(super) label: String,
    pub(super) init: DataChannelInit,
    pub(super) state: watch::Sender<DataChannelState>,
    /// Bytes that were sent and not acknowledged, those included that the connection has not seen yet.
    pub(super) buffered: AtomicUsize,
    pub(super) low_threshold: AtomicUsize,
    pub(super) high_water: AtomicUsize,
    pub(super) readable: Notify,
    pub(super) writable: Notify,
    pub(super) low: Notify,
    inbox: Mutex<Inbox>,
    id: AtomicU64,
}

#[derive(Default)]
struct Inbox {
    messages: VecDeque<DataChannelMessage>,
    callback: Option<MessageCallback>,
    /// Whether a callback was set, which may be running.
    called_back: bool,
    /// Whether no handle is left to read.
    deserted: bool,
    reason: Option<String>,
}

/// No id yet.
const NO_ID: u64 = u64::MAX;

/// More than this is not buffered by `send`; W3C's browsers have 16 MiB.
const HIGH_WATER: usize = 16 << 20;

impl Default for ConnectionData {
    fn default() -> Self {
        Self { channels: Mutex::default(), consumed: AtomicUsize::new(0), max_message_size: AtomicU64::new(0) }
    }
}

impl ConnectionData {
    /// Registers a channel of the connection.
    pub(super) fn insert(&self, info: DataChannelInfo) -> Arc<ChannelState> {
        let shared = Arc::new(ChannelState {
            channel: info.channel,
            label: info.label,
            init: info.init,
            state: watch::Sender::new(info.state),
            buffered: AtomicUsize::new(0),
            low_threshold: AtomicUsize::new(0),
            high_water: AtomicUsize::new(HIGH_WATER),
            readable: Notify::new(),
            writable: Notify::new(),
            low: Notify::new(),
            inbox: Mutex::default(),
            id: AtomicU64::new(info.id.map_or(NO_ID, u64::from)),
        });
        lock(&self.channels).insert(info.channel, Arc::clone(&shared));
        shared
    }

    pub(super) fn max_message_size(&self) -> Option<u64> {
        Some(self.max_message_size.load(Ordering::Relaxed)).filter(|size| *size != 0)
    }

    /// Counts bytes that the application has read, and tells the connection now and then.
    pub(super) fn consumed(&self, shard: &ShardHandle, id: ConnectionId, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let sum = self.consumed.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if sum >= PORTION {
            let portion = self.consumed.swap(0, Ordering::Relaxed);
            shard.call(id, Box::new(move |entry, _| entry.connection.data_consumed(portion)));
        }
    }

    /// Takes what the connection tells. Returns a channel that the peer has made.
    pub(crate) fn handle(
        &self,
        event: DataChannelEvent,
        origin: &(ShardHandle, ConnectionId),
    ) -> Option<DataChannelInfo> {
        match event {
            DataChannelEvent::Incoming(info) => return Some(info),
            DataChannelEvent::Open { channel, id } => {
                if let Some(shared) = self.find(channel) {
                    shared.id.store(id.into(), Ordering::Relaxed);
                    shared.state.send_replace(DataChannelState::Open);
                }
            }
            DataChannelEvent::Message { channel, message } => {
                let bytes = message.len();
                let kept = self.find(channel).is_some_and(|shared| shared.deliver(message));
                if !kept {
                    self.consumed(&origin.0, origin.1, bytes);
                }
            }
            DataChannelEvent::Settled { channel, bytes } => {
                if let Some(shared) = self.find(channel) {
                    shared.settled(bytes);
                }
            }
            DataChannelEvent::Closing { channel } => {
                if let Some(shared) = self.find(channel) {
                    shared.state.send_replace(DataChannelState::Closing);
                    shared.wake();
                }
            }
            DataChannelEvent::Closed { channel, reason } => {
                if let Some(shared) = lock(&self.channels).remove(&channel) {
                    shared.end(reason);
                }
            }
            DataChannelEvent::MaxMessageSize(size) => {
                self.max_message_size.store(size.unwrap_or(0), Ordering::Relaxed);
            }
            _ => {}
        }
        None
    }

    /// The connection is gone.
    pub(crate) fn ended(&self) {
        for (_, shared) in lock(&self.channels).drain() {
            shared.end(None);
        }
    }

    fn find(&self, channel: DataChannelId) -> Option<Arc<ChannelState>> {
        lock(&self.channels).get(&channel).cloned()
    }
}

impl ChannelState {
    pub(super) fn id(&self) -> Option<u16> {
        u16::try_from(self.id.load(Ordering::Relaxed)).ok()
    }

    pub(super) fn ready_state(&self) -> DataChannelState {
        *self.state.borrow()
    }

    /// The next message, or whether none can come any more.
    pub(super) fn pop(&self) -> Result<DataChannelMessage, bool> {
        let message = lock(&self.inbox).messages.pop_front();
        message.ok_or_else(|| self.ready_state() == DataChannelState::Closed)
    }

    /// Why the channel ended, if something went wrong.
    pub(super) fn reason(&self) -> Option<String> {
        lock(&self.inbox).reason.clone()
    }

    /// From now on messages go to the callback; to be called on the connection's thread. Returns the bytes of those that
    /// waited and went there now.
    pub(super) fn set_callback(&self, mut callback: MessageCallback) -> usize {
        let mut bytes = 0;
        loop {
            let mut inbox = lock(&self.inbox);
            let Some(message) = inbox.messages.pop_front() else {
                inbox.callback = Some(callback);
                return bytes;
            };
            drop(inbox);
            bytes += message.len();
            callback(message);
        }
    }

    /// Notes that a callback will be set, so that the channel lives on without handles.
    pub(super) fn will_call_back(&self) {
        lock(&self.inbox).called_back = true;
    }

    /// No handle is left. Returns the bytes that nobody will read, or `None` if a callback reads.
    pub(super) fn desert(&self) -> Option<usize> {
        let mut inbox = lock(&self.inbox);
        if inbox.called_back {
            return None;
        }
        inbox.deserted = true;
        Some(inbox.messages.drain(..).map(|message| message.len()).sum())
    }

    /// Hands a message on. Returns whether it is kept here; else it has been read, or never will be.
    fn deliver(&self, message: DataChannelMessage) -> bool {
        let mut inbox = lock(&self.inbox);
        if inbox.deserted {
            return false;
        }
        let Some(mut callback) = inbox.callback.take() else {
            inbox.messages.push_back(message);
            drop(inbox);
            self.readable.notify_one();
            return true;
        };
        // The callback may use the channel, so it runs without the lock.
        drop(inbox);
        callback(message);
        lock(&self.inbox).callback.get_or_insert(callback);
        false
    }

    /// Bytes have left the buffer, or never came into it.
    pub(super) fn settled(&self, bytes: usize) {
        let take = |buffered: usize| Some(buffered.saturating_sub(bytes));
        let before = self.buffered.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).unwrap_or_default();
        let after = before.saturating_sub(bytes);
        let threshold = self.low_threshold.load(Ordering::Relaxed);
        if before > threshold && after <= threshold {
            self.low.notify_waiters();
        }
        let half = self.high_water.load(Ordering::Relaxed) / 2;
        if after <= half {
            self.writable.notify_waiters();
        }
    }

    fn wake(&self) {
        self.readable.notify_waiters();
        self.readable.notify_one();
        self.writable.notify_waiters();
        self.low.notify_waiters();
    }

    fn end(&self, reason: Option<String>) {
        let callback = {
            let mut inbox = lock(&self.inbox);
            inbox.reason = reason;
            inbox.callback.take()
        };
        self.buffered.store(0, Ordering::Release);
        self.state.send_replace(DataChannelState::Closed);
        self.wake();
        drop(callback);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
