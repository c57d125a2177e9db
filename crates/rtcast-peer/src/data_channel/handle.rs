//! The handle of a channel, and the view of the transport below it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use rtcast_proto::data_channel::{
    DataChannelError, DataChannelInfo, DataChannelMessage, DataChannelState, SctpTransportState,
};

use super::state::{ChannelState, ConnectionData};
use crate::endpoint::{ConnectionId, ShardHandle};
use crate::error::Error;

/// A data channel: W3C's `RTCDataChannel`.
///
/// Cheap to clone; all clones are one channel. Dropping the last one closes it, unless
/// [`on_message`](Self::on_message) reads it. A channel does not keep its connection open.
///
/// A peer that sends faster than [`recv`](Self::recv) is called is held back once 4 MiB wait, over all channels of the
/// connection together: a channel that nobody reads in the end stops the others.
///
/// ```no_run
/// # async fn example(pc: rtcast_peer::PeerConnection) -> Result<(), rtcast_peer::Error> {
/// let channel = pc.create_data_channel("chat", Default::default()).await?;
/// // …exchange descriptions, then:
/// channel.opened().await?;
/// channel.send_text("hello").await?;
/// while let Some(message) = channel.recv().await {
///     println!("{message:?}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DataChannel {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<ChannelState>,
    data: Arc<ConnectionData>,
    shard: ShardHandle,
    connection: ConnectionId,
}

impl DataChannel {
    /// The handle of a channel of that connection.
    pub(crate) fn new(data: &Arc<ConnectionData>, info: DataChannelInfo, origin: &(ShardHandle, ConnectionId)) -> Self {
        let (shard, connection) = origin.clone();
        Self { inner: Arc::new(Inner { shared: data.insert(info), data: Arc::clone(data), shard, connection }) }
    }

    /// W3C's `label`: its name, which need not be unique.
    pub fn label(&self) -> &str {
        &self.inner.shared.label
    }

    /// W3C's `id`; `None` until it is chosen, with the connection.
    pub fn id(&self) -> Option<u16> {
        self.inner.shared.id()
    }

    /// W3C's `ordered`.
    pub fn ordered(&self) -> bool {
        self.inner.shared.init.ordered
    }

    /// W3C's `protocol`.
    pub fn protocol(&self) -> &str {
        &self.inner.shared.init.protocol
    }

    /// W3C's `negotiated`.
    pub fn negotiated(&self) -> bool {
        self.inner.shared.init.negotiated
    }

    /// W3C's `maxRetransmits`.
    pub fn max_retransmits(&self) -> Option<u16> {
        self.inner.shared.init.max_retransmits
    }

    /// W3C's `maxPacketLifeTime`, in milliseconds.
    pub fn max_packet_life_time(&self) -> Option<u16> {
        self.inner.shared.init.max_packet_life_time
    }

    /// W3C's `readyState`.
    pub fn ready_state(&self) -> DataChannelState {
        self.inner.shared.ready_state()
    }

    /// W3C's `bufferedAmount`: bytes that were sent and that the peer has not acknowledged.
    pub fn buffered_amount(&self) -> usize {
        self.inner.shared.buffered.load(Ordering::Acquire)
    }

    /// W3C's `bufferedAmountLowThreshold`. Default: 0.
    pub fn buffered_amount_low_threshold(&self) -> usize {
        self.inner.shared.low_threshold.load(Ordering::Relaxed)
    }

    /// Sets where [`buffered_amount_low`](Self::buffered_amount_low) comes.
    pub fn set_buffered_amount_low_threshold(&self, bytes: usize) {
        self.inner.shared.low_threshold.store(bytes, Ordering::Relaxed);
    }

    /// Sets how many bytes may be buffered before [`send`](Self::send) waits and [`try_send`](Self::try_send) refuses.
    /// Default: 16 MiB. Less means less delay and less memory.
    pub fn set_max_buffered_amount(&self, bytes: usize) {
        self.inner.shared.high_water.store(bytes, Ordering::Relaxed);
    }

    /// Waits until the channel is open.
    ///
    /// # Errors
    /// [`Error::DataChannel`] if it is closed instead.
    pub async fn opened(&self) -> Result<(), Error> {
        let mut state = self.inner.shared.state.subscribe();
        // The sender lives as long as this handle.
        let reached = state.wait_for(|state| *state != DataChannelState::Connecting).await.map(|state| *state);
        match reached {
            Ok(DataChannelState::Open | DataChannelState::Closing) => Ok(()),
            _ => Err(DataChannelError::Closed.into()),
        }
    }

    /// Waits until the channel is closed. Returns why, if something went wrong.
    pub async fn closed(&self) -> Option<String> {
        let mut state = self.inner.shared.state.subscribe();
        let _ = state.wait_for(|state| *state == DataChannelState::Closed).await;
        self.inner.shared.reason()
    }

    /// W3C's `bufferedamountlow`: waits until the buffered amount falls to the threshold; returns at once if it is there,
    /// or if the channel is closed.
    pub async fn buffered_amount_low(&self) {
        let shared = &self.inner.shared;
        loop {
            let low = shared.low.notified();
            if self.buffered_amount() <= self.buffered_amount_low_threshold()
                || shared.ready_state() == DataChannelState::Closed
            {
                return;
            }
            low.await;
        }
    }

    /// Sends bytes; waits while more is buffered than [`set_max_buffered_amount`](Self::set_max_buffered_amount) allows.
    /// An empty message is one.
    ///
    /// A file, of which no more than 1 MiB waits at a time:
    ///
    /// ```no_run
    /// # async fn example(channel: rtcast_peer::DataChannel, file: bytes::Bytes) -> Result<(), rtcast_peer::Error> {
    /// channel.set_max_buffered_amount(1 << 20);
    /// for piece in file.chunks(64 << 10) {
    ///     channel.send(piece.to_vec()).await?;
    /// }
    /// channel.buffered_amount_low().await;
    /// assert_eq!(channel.buffered_amount(), 0, "the peer has all of it");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::DataChannel`] if the channel is not open or the message is longer than the peer takes.
    pub async fn send(&self, data: impl Into<Bytes> + Send) -> Result<(), Error> {
        self.send_message(DataChannelMessage::Binary(data.into())).await
    }

    /// Sends a string; waits as [`send`](Self::send) does.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_text(&self, text: impl Into<String> + Send) -> Result<(), Error> {
        self.send_message(DataChannelMessage::Text(text.into())).await
    }

    /// Sends a message; waits as [`send`](Self::send) does.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_message(&self, message: DataChannelMessage) -> Result<(), Error> {
        let shared = &self.inner.shared;
        loop {
            let writable = shared.writable.notified();
            let buffered = self.buffered_amount();
            if buffered == 0 || buffered + message.len() <= shared.high_water.load(Ordering::Relaxed) {
                return Ok(self.enqueue(message)?);
            }
            self.check(&message)?;
            writable.await;
        }
    }

    /// Sends a message without waiting, as W3C's `send` does. May be called from any thread, also from a callback.
    ///
    /// ```
    /// use rtcast_peer::{Configuration, DataChannelMessage, PeerConnection};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), rtcast_peer::Error> {
    /// let pc = PeerConnection::new(Configuration::default()).await?;
    /// let channel = pc.create_data_channel("chat", Default::default()).await?;
    /// let early = channel.try_send(DataChannelMessage::Text("hello".to_owned()));
    /// assert!(early.is_err_and(|error| error.name() == "InvalidStateError"), "it is not open yet");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::DataChannel`] if the channel is not open, the message is longer than the peer takes, or too much is
    /// buffered.
    pub fn try_send(&self, message: DataChannelMessage) -> Result<(), Error> {
        let buffered = self.buffered_amount();
        if buffered > 0 && buffered + message.len() > self.inner.shared.high_water.load(Ordering::Relaxed) {
            return Err(DataChannelError::BufferFull { buffered }.into());
        }
        Ok(self.enqueue(message)?)
    }

    /// The next message; `None` once the channel is closed and all have been read. Clones share the messages: each goes
    /// to one of them.
    pub async fn recv(&self) -> Option<DataChannelMessage> {
        let shared = &self.inner.shared;
        loop {
            let readable = shared.readable.notified();
            match shared.pop() {
                Ok(message) => {
                    self.inner.consumed(message.len());
                    return Some(message);
                }
                // Whoever else waits must see the end too.
                Err(true) => {
                    shared.readable.notify_one();
                    return None;
                }
                Err(false) => readable.await,
            }
        }
    }

    /// Calls `callback` for every message from now on, in place of [`recv`](Self::recv). It runs on the thread of the
    /// connection, which is the shortest way, and must not block. It keeps the channel open until
    /// [`close`](Self::close) or the end of the connection.
    ///
    /// A channel that sends back what it gets, without a task:
    ///
    /// ```no_run
    /// # fn example(channel: rtcast_peer::DataChannel) {
    /// let echo = channel.clone();
    /// channel.on_message(move |message| {
    ///     if let Err(error) = echo.try_send(message) {
    ///         eprintln!("{error}");
    ///     }
    /// });
    /// # }
    /// ```
    pub fn on_message(&self, callback: impl FnMut(DataChannelMessage) + Send + 'static) {
        let (shared, data) = (Arc::clone(&self.inner.shared), Arc::clone(&self.inner.data));
        let (shard, id) = (self.inner.shard.clone(), self.inner.connection);
        shared.will_call_back();
        let work = move |_: &mut crate::endpoint::Entry, _| {
            let bytes = shared.set_callback(Box::new(callback));
            data.consumed(&shard, id, bytes);
        };
        self.inner.shard.call(self.inner.connection, Box::new(work));
    }

    /// W3C's `close`: what was sent before still arrives. Closing twice is fine.
    pub fn close(&self) {
        self.inner.close();
    }

    fn check(&self, message: &DataChannelMessage) -> Result<(), DataChannelError> {
        match self.ready_state() {
            DataChannelState::Open => {}
            DataChannelState::Closed => return Err(DataChannelError::Closed),
            state => return Err(DataChannelError::NotOpen { state: state.as_str() }),
        }
        match self.inner.data.max_message_size() {
            Some(limit) if message.len() as u64 > limit => {
                Err(DataChannelError::TooLarge { length: message.len(), limit })
            }
            _ => Ok(()),
        }
    }

    fn enqueue(&self, message: DataChannelMessage) -> Result<(), DataChannelError> {
        self.check(&message)?;
        let shared = Arc::clone(&self.inner.shared);
        // An empty message is one byte on its way.
        let bytes = message.len().max(1);
        shared.buffered.fetch_add(bytes, Ordering::AcqRel);
        let work = move |entry: &mut crate::endpoint::Entry, now| {
            if let Err(error) = entry.connection.send_data(now, shared.channel, message) {
                // It was closed in between; its end is told by its state.
                tracing::debug!(%error, "a message was not sent");
                shared.settled(bytes);
            }
        };
        if self.inner.shard.call(self.inner.connection, Box::new(work)) {
            Ok(())
        } else {
            Err(DataChannelError::Closed)
        }
    }
}

impl Inner {
    fn consumed(&self, bytes: usize) {
        self.data.consumed(&self.shard, self.connection, bytes);
    }

    fn close(&self) {
        let shared = Arc::clone(&self.shared);
        // A connection that is gone has closed it.
        self.shard.call(
            self.connection,
            Box::new(move |entry, _| {
                entry.connection.close_data_channel(shared.channel);
                shared.state.send_if_modified(|state| {
                    let ends = *state == DataChannelState::Open;
                    if ends {
                        *state = DataChannelState::Closing;
                    }
                    ends
                });
            }),
        );
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(bytes) = self.shared.desert() {
            self.consumed(bytes);
            self.close();
        }
    }
}

impl fmt::Debug for DataChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataChannel")
            .field("label", &self.label())
            .field("id", &self.id())
            .field("ready_state", &self.ready_state())
            .finish_non_exhaustive()
    }
}

/// What carries the data channels, as it stood when asked for: W3C's `RTCSctpTransport`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SctpTransport {
    /// How it stands.
    pub state: SctpTransportState,
    /// The largest message that may be sent, in bytes; `None` for no limit.
    pub max_message_size: Option<u64>,
    /// How many channels there may be; `None` before it is connected.
    pub max_channels: Option<u16>,
}
