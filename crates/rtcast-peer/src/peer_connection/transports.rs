//! What packets go over: W3C's `RTCDtlsTransport` and `RTCIceTransport`.

use std::fmt;
use std::sync::Arc;

use rtcast_proto::IceCandidate;
use rtcast_proto::connection::{DtlsTransportState, IceGatheringState};
use rtcast_proto::ice::{IceCredentials, IceRole, IceTransportState, SelectedPair};

use super::PeerConnection;
use super::view::ConnectionView;

/// The DTLS association of a connection: W3C's `RTCDtlsTransport`. There is one, for everything is bundled.
///
/// Cheap to clone; shows the state as it stands. Its changes come as
/// [`DtlsTransportStateChange`](super::PeerConnectionEvent::DtlsTransportStateChange).
#[derive(Clone)]
pub struct DtlsTransport {
    view: Arc<ConnectionView>,
}

impl DtlsTransport {
    pub(super) fn new(view: &Arc<ConnectionView>) -> Self {
        Self { view: Arc::clone(view) }
    }

    /// Where it stands.
    pub fn state(&self) -> DtlsTransportState {
        self.view.snapshot().dtls
    }

    /// Why it failed, if it did.
    pub fn error(&self) -> Option<String> {
        self.view.snapshot().failure.clone()
    }

    /// The peer's certificate in DER, once it has proven to be the announced one; empty before that.
    pub fn remote_certificates(&self) -> Vec<Vec<u8>> {
        self.view.snapshot().remote_certificate.iter().map(|der| der.to_vec()).collect()
    }

    /// The transport below it.
    pub fn ice_transport(&self) -> IceTransport {
        IceTransport { view: Arc::clone(&self.view) }
    }
}

/// The ICE agent of a connection: W3C's `RTCIceTransport`.
///
/// Cheap to clone; shows the state as it stands. Its changes come as
/// [`IceConnectionStateChange`](super::PeerConnectionEvent::IceConnectionStateChange),
/// [`IceGatheringStateChange`](super::PeerConnectionEvent::IceGatheringStateChange) and
/// [`SelectedCandidatePairChange`](super::PeerConnectionEvent::SelectedCandidatePairChange) of the connection.
#[derive(Clone)]
pub struct IceTransport {
    view: Arc<ConnectionView>,
}

impl IceTransport {
    /// Where it stands.
    pub fn state(&self) -> IceTransportState {
        self.view.snapshot().ice
    }

    /// Whether all our candidates are known.
    pub fn gathering_state(&self) -> IceGatheringState {
        self.view.snapshot().gathering
    }

    /// The addresses that packets take, once there are any.
    pub fn selected_candidate_pair(&self) -> Option<SelectedPair> {
        self.view.snapshot().selected_pair
    }

    /// Our side of ICE, which a conflict may change: W3C's `role`; `None` stands for `unknown`, before the first
    /// description.
    pub fn role(&self) -> Option<IceRole> {
        self.view.snapshot().ice_role
    }

    /// Our candidates that were told to the application; after a restart those of the new generation.
    pub fn local_candidates(&self) -> Vec<IceCandidate> {
        self.view.snapshot().local_candidates.clone()
    }

    /// The candidates that the peer told, in its descriptions and by
    /// [`add_ice_candidate`](PeerConnection::add_ice_candidate); at most 64 are kept. Names are shown as names.
    pub fn remote_candidates(&self) -> Vec<IceCandidate> {
        self.view.snapshot().remote_candidates.clone()
    }

    /// Our username fragment and password, once a description of ours was set.
    pub fn local_parameters(&self) -> Option<IceCredentials> {
        self.view.snapshot().ice_parameters.0.clone()
    }

    /// The peer's username fragment and password, once they are negotiated.
    pub fn remote_parameters(&self) -> Option<IceCredentials> {
        self.view.snapshot().ice_parameters.1.clone()
    }

    /// The component: `rtp`, which carries RTCP as well.
    pub const fn component(&self) -> &'static str {
        "rtp"
    }
}

impl PeerConnection {
    /// The DTLS transport, once a description was set; `None` before that.
    pub fn dtls_transport(&self) -> Option<DtlsTransport> {
        let snapshot = self.inner.view.snapshot();
        let begun = snapshot.local.is_some() || snapshot.remote.is_some();
        drop(snapshot);
        begun.then(|| DtlsTransport::new(&self.inner.view))
    }
}

impl fmt::Debug for DtlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DtlsTransport").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl fmt::Debug for IceTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceTransport").field("state", &self.state()).finish_non_exhaustive()
    }
}
