//! The data channels of a connection.

use rtcast_proto::data_channel::{DataChannelError, DataChannelInit, SctpTransportState};

use super::PeerConnection;
use super::events::PeerConnectionEvent;
use crate::data_channel::{DataChannel, SctpTransport};
use crate::error::Error;

impl PeerConnection {
    /// W3C's `createDataChannel`. The first one makes a negotiation needed; the channel opens with the connection.
    ///
    /// ```
    /// use rtcast_peer::{Configuration, DataChannelInit, DataChannelState, PeerConnection};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), rtcast_peer::Error> {
    /// let pc = PeerConnection::new(Configuration::default()).await?;
    /// let init = DataChannelInit { ordered: false, max_retransmits: Some(0), ..DataChannelInit::default() };
    /// let positions = pc.create_data_channel("positions", init).await?;
    /// assert_eq!((positions.label(), positions.ordered()), ("positions", false));
    /// assert_eq!(positions.ready_state(), DataChannelState::Connecting);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::DataChannel`] if the settings contradict each other, the id is taken, or none is free, [`Error::Closed`]
    /// after the end.
    pub async fn create_data_channel(&self, label: &str, init: DataChannelInit) -> Result<DataChannel, Error> {
        let label = label.to_owned();
        let (data, origin) = (self.view().data(), self.origin());
        let made = self.call(move |entry, now| {
            // Registered on the connection's thread, so that no event about it comes before.
            let info = entry.connection.create_data_channel(now, &label, init)?;
            Ok::<_, DataChannelError>(DataChannel::new(&data, info, &origin))
        });
        Ok(made.await??)
    }

    /// W3C's `sctp`; `None` before data channels were negotiated.
    ///
    /// # Errors
    /// [`Error::Closed`] after the end.
    pub async fn sctp(&self) -> Result<Option<SctpTransport>, Error> {
        self.call(|entry, _| {
            let channels = entry.connection.data_channels();
            channels.state().map(|state| SctpTransport {
                state,
                max_message_size: channels.max_message_size(),
                max_channels: (state == SctpTransportState::Connected).then(|| channels.max_channels()),
            })
        })
        .await
    }

    /// Calls `callback` for every channel that the peer makes from now on. The callback runs on a task that ends with
    /// the connection. To be called within a tokio runtime.
    pub fn on_data_channel(&self, mut callback: impl FnMut(DataChannel) + Send + 'static) {
        self.on_event(move |event| {
            if let PeerConnectionEvent::DataChannel(channel) = event {
                callback(channel);
            }
        });
    }
}
