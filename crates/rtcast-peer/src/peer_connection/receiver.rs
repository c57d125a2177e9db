//! What receives a track: W3C's `RTCRtpReceiver`.

use rtcast_proto::connection::{ContributingSource, RtpReceiveParameters, SynchronizationSource};
use rtcast_proto::{JsepConfig, MediaKind};
use rtcast_track::MediaStreamTrack;

use super::capabilities::RtpCapabilities;
use super::handle::Handle;
use super::transports::DtlsTransport;
use crate::error::Error;

/// What receives a track: W3C's `RTCRtpReceiver`.
///
/// Cheap to clone; all clones are one receiver. A handle does not keep the connection open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpReceiver {
    handle: Handle,
}

impl RtpReceiver {
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

    /// The track: there from the beginning, muted until something comes. It can be read, and sent on by any connection.
    pub fn track(&self) -> MediaStreamTrack {
        let (view, id) = (self.handle.view(), self.handle.id());
        let name = self.handle.read(|transceiver| transceiver.remote_track_id().to_owned()).unwrap_or_default();
        view.received_track(id, self.kind()).named(&name)
    }

    /// The transport, once a description with its m-line was set.
    pub fn transport(&self) -> Option<DtlsTransport> {
        let associated = self.handle.read(|transceiver| transceiver.mid().is_some()).unwrap_or(false);
        associated.then(|| DtlsTransport::new(self.handle.view()))
    }

    /// What can be received of that kind: all that is implemented.
    pub fn capabilities(kind: MediaKind) -> RtpCapabilities {
        RtpCapabilities::of(&JsepConfig::default(), kind)
    }

    /// What was negotiated; empty before that.
    ///
    /// # Errors
    /// [`Error::Closed`] after the end of the connection.
    pub async fn parameters(&self) -> Result<RtpReceiveParameters, Error> {
        let id = self.handle.id();
        self.handle.call(move |entry, _| entry.connection.receiver_parameters(id)).await
    }

    /// The streams from which packets came within the last ten seconds.
    ///
    /// # Errors
    /// [`Error::Closed`] after the end of the connection.
    pub async fn synchronization_sources(&self) -> Result<Vec<SynchronizationSource>, Error> {
        let id = self.handle.id();
        self.handle.call(move |entry, now| entry.connection.synchronization_sources(now, id)).await
    }

    /// Those who contributed, by the word of a mixer, to the packets of the last ten seconds.
    ///
    /// # Errors
    /// [`Error::Closed`] after the end of the connection.
    pub async fn contributing_sources(&self) -> Result<Vec<ContributingSource>, Error> {
        let id = self.handle.id();
        self.handle.call(move |entry, now| entry.connection.contributing_sources(now, id)).await
    }
}
