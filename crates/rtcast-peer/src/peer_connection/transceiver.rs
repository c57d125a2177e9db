//! A sender and a receiver that share an m-line: W3C's `RTCRtpTransceiver`.

use rtcast_proto::{Direction, MediaKind, Mid, RtpCodec};

use super::handle::Handle;
use super::receiver::RtpReceiver;
use super::sender::RtpSender;
use crate::error::Error;

/// A sender and a receiver that share an m-line: W3C's `RTCRtpTransceiver`.
///
/// Cheap to clone; all clones are one transceiver, and show it as it stands. A handle does not keep the connection open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpTransceiver {
    handle: Handle,
}

impl RtpTransceiver {
    pub(super) const fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// Sound or pictures.
    pub const fn kind(&self) -> MediaKind {
        self.handle.kind()
    }

    /// The m-line, once a description that has it was set.
    pub fn mid(&self) -> Option<Mid> {
        self.handle.read(|transceiver| transceiver.mid().cloned()).flatten()
    }

    /// The direction that is wanted; `inactive` once it is stopped, for which the W3C has a word of its own.
    pub fn direction(&self) -> Direction {
        let wanted = self.handle.read(|t| if t.stopping() { Direction::Inactive } else { t.direction() });
        wanted.unwrap_or(Direction::Inactive)
    }

    /// The direction that was negotiated, `None` before that and once it is stopped.
    pub fn current_direction(&self) -> Option<Direction> {
        self.handle.read(|transceiver| transceiver.current_direction()).flatten()
    }

    /// Whether it is stopped, by either side: it sends and receives nothing any more.
    pub fn stopped(&self) -> bool {
        self.handle.read(|transceiver| transceiver.stopped() || transceiver.stopping()).unwrap_or(true)
    }

    /// What sends.
    pub fn sender(&self) -> RtpSender {
        RtpSender::new(self.handle.clone())
    }

    /// What receives.
    pub fn receiver(&self) -> RtpReceiver {
        RtpReceiver::new(self.handle.clone())
    }

    /// Sets the direction that is wanted; the next negotiation makes it so.
    ///
    /// ```
    /// use rtcast_peer::{Configuration, Direction, MediaKind, PeerConnection};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), rtcast_peer::Error> {
    /// let pc = PeerConnection::new(Configuration::default()).await?;
    /// let transceiver = pc.add_transceiver(MediaKind::Audio, Direction::Sendrecv).await?;
    /// transceiver.set_direction(Direction::Inactive).await?;
    /// assert_eq!((transceiver.direction(), transceiver.current_direction()), (Direction::Inactive, None));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Description`] if it is stopped, [`Error::Closed`] after the end of the connection.
    pub async fn set_direction(&self, direction: Direction) -> Result<(), Error> {
        let id = self.handle.id();
        Ok(self.handle.call(move |entry, _| entry.connection.set_direction(id, direction)).await??)
    }

    /// Chooses the codecs and their order for the next negotiation; an empty list goes back to all. Adding a track puts
    /// the track's own codecs first.
    ///
    /// ```
    /// use rtcast_peer::{Codec, Configuration, Direction, MediaKind, PeerConnection, RtpReceiver};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), rtcast_peer::Error> {
    /// let pc = PeerConnection::new(Configuration::default()).await?;
    /// let transceiver = pc.add_transceiver(MediaKind::Video, Direction::Recvonly).await?;
    /// let mut codecs = RtpReceiver::capabilities(MediaKind::Video).codecs;
    /// codecs.retain(|codec| codec.codec == Codec::Vp8);
    /// transceiver.set_codec_preferences(codecs).await?;
    /// let offer = pc.create_offer().await?;
    /// assert!(offer.sdp().contains("VP8/90000") && !offer.sdp().contains("H264/90000"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Description`] if a codec is not implemented or not of this kind, or if it is stopped;
    /// [`Error::Closed`] after the end of the connection.
    pub async fn set_codec_preferences(&self, codecs: Vec<RtpCodec>) -> Result<(), Error> {
        let id = self.handle.id();
        Ok(self.handle.call(move |entry, _| entry.connection.set_codec_preferences(id, &codecs)).await??)
    }

    /// Sends and receives nothing any more; the next negotiation tells the peer. Stopping twice is fine.
    ///
    /// # Errors
    /// [`Error::Closed`] after the end of the connection.
    pub async fn stop(&self) -> Result<(), Error> {
        let id = self.handle.id();
        let stopped = self.handle.call(move |entry, _| {
            entry.connection.stop_transceiver(id)?;
            entry.set_track(id, None);
            Ok::<_, rtcast_proto::DescriptionError>(())
        });
        Ok(stopped.await??)
    }
}
