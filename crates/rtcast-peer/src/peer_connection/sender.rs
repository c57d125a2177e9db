//! What sends a track: W3C's `RTCRtpSender`.

use rtcast_proto::connection::RtpSendParameters;
use rtcast_proto::{DescriptionError, JsepConfig, MediaKind, RtpCodec};
use rtcast_track::MediaStreamTrack;

use super::PeerConnection;
use super::capabilities::RtpCapabilities;
use super::handle::Handle;
use super::transports::DtlsTransport;
use crate::error::Error;

/// What sends a track: W3C's `RTCRtpSender`.
///
/// Cheap to clone; all clones are one sender. A handle does not keep the connection open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpSender {
    handle: Handle,
}

impl RtpSender {
    pub(super) const fn new(handle: Handle) -> Self {
        Self { handle }
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Sound or pictures.
    pub const fn kind(&self) -> MediaKind {
        self.handle.kind()
    }

    /// The track that it sends; `None` if there is none now.
    pub fn track(&self) -> Option<MediaStreamTrack> {
        self.handle.view().sender_track(self.handle.id())
    }

    /// The connection that it belongs to; `None` once all its handles are gone.
    pub fn connection(&self) -> Option<PeerConnection> {
        self.handle.connection()
    }

    /// The transport, once a description with its m-line was set.
    pub fn transport(&self) -> Option<DtlsTransport> {
        let associated = self.handle.read(|transceiver| transceiver.mid().is_some()).unwrap_or(false);
        associated.then(|| DtlsTransport::new(self.handle.view()))
    }

    /// What can be sent of that kind: all that is implemented.
    pub fn capabilities(kind: MediaKind) -> RtpCapabilities {
        RtpCapabilities::of(&JsepConfig::default(), kind)
    }

    /// Sends another track of the same kind, or none, without a new negotiation: its timestamps and sequence numbers go
    /// on from those of the track before.
    ///
    /// ```
    /// use rtcast_peer::{Broadcast, Codec, Configuration, MediaKind, MediaStreamTrack, PeerConnection, RtpCodec};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), rtcast_peer::Error> {
    /// let track = || MediaStreamTrack::new(MediaKind::Video, vec![Broadcast::new(RtpCodec::new(Codec::Vp8))]);
    /// let pc = PeerConnection::new(Configuration::default()).await?;
    /// let sender = pc.add_track(track()).await?;
    /// let screen = track();
    /// sender.replace_track(screen.clone()).await?;
    /// assert_eq!(sender.track(), Some(screen));
    /// sender.replace_track(None).await?;
    /// assert_eq!(sender.track(), None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Type`] for a track of the other kind; [`Error::Description`] if none of its codecs was negotiated or the
    /// transceiver is stopped; [`Error::Closed`] after the end of the connection. The old track goes on then.
    pub async fn replace_track(&self, track: impl Into<Option<MediaStreamTrack>>) -> Result<(), Error> {
        let track = track.into();
        if let Some(track) = &track
            && track.kind() != self.kind()
        {
            return Err(Error::Type {
                problem: format!("a sender of {} cannot send a track of {}", self.kind(), track.kind()),
                hint: "use a sender of the track's kind, or `add_track`",
            });
        }
        let id = self.handle.id();
        let replaced = self.handle.call(move |entry, _| {
            let codecs: Vec<RtpCodec> = track.iter().flat_map(MediaStreamTrack::codecs).collect();
            let name = track.as_ref().map(|track| track.id().to_owned());
            entry.connection.replace_track(id, name, &codecs)?;
            entry.set_track(id, track);
            Ok::<_, DescriptionError>(())
        });
        Ok(replaced.await??)
    }

    /// Names the streams that the track belongs to; the next negotiation tells the peer.
    ///
    /// # Errors
    /// [`Error::Description`] if the transceiver is stopped, [`Error::Closed`] after the end of the connection.
    pub async fn set_streams(&self, streams: &[&str]) -> Result<(), Error> {
        let id = self.handle.id();
        let streams = streams.iter().map(ToString::to_string).collect();
        Ok(self.handle.call(move |entry, _| entry.connection.set_streams(id, streams)).await??)
    }

    /// What was negotiated, and what the application may set.
    ///
    /// # Errors
    /// [`Error::NotFound`] once the transceiver has left, [`Error::Closed`] after the end of the connection.
    pub async fn parameters(&self) -> Result<RtpSendParameters, Error> {
        let id = self.handle.id();
        let parameters = self.handle.call(move |entry, _| entry.connection.sender_parameters(id)).await?;
        parameters.ok_or(Error::NotFound { what: "the sender" })
    }

    /// Sets the encodings of the parameters that were read last. What is not `active` is not sent, without a new
    /// negotiation.
    ///
    /// ```
    /// use rtcast_peer::{Configuration, Direction, MediaKind, PeerConnection};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), rtcast_peer::Error> {
    /// let pc = PeerConnection::new(Configuration::default()).await?;
    /// let sender = pc.add_transceiver(MediaKind::Video, Direction::Sendonly).await?.sender();
    /// let mut parameters = sender.parameters().await?;
    /// parameters.encodings[0].active = false;
    /// sender.set_parameters(parameters).await?;
    /// assert!(!sender.parameters().await?.encodings[0].active, "it pauses");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Description`] if they are not the last that were read, if something else was changed or the transceiver
    /// is stopped; [`Error::Closed`] after the end of the connection.
    pub async fn set_parameters(&self, parameters: RtpSendParameters) -> Result<(), Error> {
        let id = self.handle.id();
        Ok(self.handle.call(move |entry, _| entry.connection.set_sender_parameters(id, &parameters)).await??)
    }
}
