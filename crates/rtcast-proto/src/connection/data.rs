//! Data channels of a connection.

use std::time::Instant;

use super::Connection;
use crate::data_channel::{
    DataChannelError, DataChannelId, DataChannelInfo, DataChannelInit, DataChannelMessage, DataChannels,
};
use crate::jsep::{JsepConfig, Negotiated, SignalingState};

/// What is taken when the description says that there is no limit: there is one, for memory is finite.
const NO_LIMIT: usize = 64 << 20;

/// The longest message that the peer may send.
pub(super) fn max_receive_message_size(config: &JsepConfig) -> usize {
    match usize::try_from(config.max_message_size) {
        Ok(0) | Err(_) => NO_LIMIT,
        Ok(size) => size.min(NO_LIMIT),
    }
}

impl Connection {
    /// W3C's `createDataChannel`. The first one makes a negotiation needed, unless there was one with data channels.
    ///
    /// # Errors
    /// [`DataChannelError`] if the settings contradict each other, the id is taken, none is free, the connection is
    /// closed, or data channels are not configured.
    pub fn create_data_channel(
        &mut self,
        now: Instant,
        label: &str,
        init: DataChannelInit,
    ) -> Result<DataChannelInfo, DataChannelError> {
        if self.closing {
            return Err(DataChannelError::ConnectionClosed);
        }
        if !self.jsep.config().data_channels {
            return Err(DataChannelError::Argument {
                problem: "data channels are turned off for this connection".to_owned(),
                hint: "turn them on with `JsepConfig::with_data_channels`",
            });
        }
        let info = self.transport.data.create(now, label, init)?;
        if self.jsep.request_data().is_ok() {
            self.check_negotiation_needed();
        }
        Ok(info)
    }

    /// Sends a message on a channel.
    ///
    /// # Errors
    /// [`DataChannelError`] if the channel is not open, the peer takes no message so long, or too much waits.
    pub fn send_data(
        &mut self,
        now: Instant,
        channel: DataChannelId,
        message: DataChannelMessage,
    ) -> Result<(), DataChannelError> {
        self.transport.data.send(now, channel, message)
    }

    /// Begins to close a channel; what was sent before still arrives.
    pub fn close_data_channel(&mut self, channel: DataChannelId) {
        self.transport.data.close(channel);
    }

    /// Says that the application has read so many bytes of messages, so that the peer may send more.
    pub fn data_consumed(&mut self, bytes: usize) {
        self.transport.data.consumed(bytes);
    }

    /// The data channels: W3C's `RTCSctpTransport`.
    pub const fn data_channels(&self) -> &DataChannels {
        &self.transport.data
    }

    pub(super) fn apply_data(&mut self, now: Instant, negotiated: &Negotiated) {
        match &negotiated.data {
            Some(data) => {
                let seed = self.random.bytes();
                self.transport.start_data(now, data, negotiated.dtls_role, seed);
            }
            // RFC 8841 §9.4: whoever rejects the m-line ends the association.
            None if self.transport.data.state().is_some() => {
                self.transport.reject_data(now, "the data channels were rejected by a new description");
            }
            None => {}
        }
    }

    /// Channels that wait for an m-line that the peer has rejected wait in vain.
    pub(super) fn reject_waiting_data(&mut self) {
        if self.signaling_state() == SignalingState::Stable
            && !self.jsep.requests_data()
            && self.transport.data.state().is_none()
            && !self.transport.data.is_empty()
        {
            self.transport.data.reject("the peer has rejected data channels");
        }
    }
}
