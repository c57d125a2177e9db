//! What can be sent and received: W3C's `RTCRtpCapabilities`.

use rtcast_proto::{JsepConfig, MediaKind, RtpCodec};

/// What can be sent or received of one kind: W3C's `RTCRtpCapabilities`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpCapabilities {
    /// The codecs in order of preference.
    pub codecs: Vec<RtpCodec>,
    /// Whether lost packets of them can be sent again as `rtx`, which has no entry of its own among the codecs.
    pub retransmission: bool,
    /// Whether tones of a dial pad go with sound, as `telephone-event`, which has no entry either.
    pub telephone_events: bool,
    /// The URIs of the header extensions.
    pub header_extensions: Vec<String>,
}

impl RtpCapabilities {
    pub(super) fn of(config: &JsepConfig, kind: MediaKind) -> Self {
        let codecs = || config.codecs.iter().filter(|capability| capability.codec.codec.kind() == kind);
        let serves = |audio, video| if kind == MediaKind::Audio { audio } else { video };
        let extensions = config.header_extensions.iter().filter(|e| serves(e.audio, e.video));
        Self {
            codecs: codecs().map(|capability| capability.codec.clone()).collect(),
            retransmission: codecs().any(|capability| capability.retransmission),
            telephone_events: kind == MediaKind::Audio && config.telephone_events,
            header_extensions: extensions.map(|extension| extension.uri.clone()).collect(),
        }
    }
}
