//! What a connection can do: its codecs and header extensions.

use crate::codec::{Codec, RtpCodec};
use crate::color::COLOR_SPACE_EXTENSION;
use crate::sdp::{Candidate, Fingerprint, RtcpFeedback};
use crate::types::MediaKind;

/// The URI of the header extension that carries an m-line's mid (RFC 9143 §15.2).
pub const MID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
/// The URI of the header extension for the stream identifier (RFC 8852).
pub const RTP_STREAM_ID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
/// The URI of the header extension that names the stream which a retransmission belongs to (RFC 8852).
pub const REPAIRED_RTP_STREAM_ID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
/// The URI of the header extension for the loudness of the sender's audio (RFC 6464).
pub const AUDIO_LEVEL_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
/// The URI of the header extension that bounds the receiver's playout delay.
pub const PLAYOUT_DELAY_EXTENSION: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";
/// The URI of the header extension for the time at which a packet was sent.
pub const ABS_SEND_TIME_EXTENSION: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
/// The URI of the header extension that counts packets over all streams of a transport.
pub const TRANSPORT_WIDE_CC_EXTENSION: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// The URI of the header extension that tells how a frame depends on others (AV1 RTP specification, appendix A.8).
pub const DEPENDENCY_DESCRIPTOR_EXTENSION: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// A codec that is offered or accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecCapability {
    /// The codec with the parameters that we receive with.
    pub codec: RtpCodec,
    /// The feedback that we understand.
    pub feedback: Vec<RtcpFeedback>,
    /// Whether lost packets are sent again as RTX (RFC 4588).
    pub retransmission: bool,
    /// Whether our offers name it; if not, it is only accepted in the peer's.
    pub offered: bool,
}

impl CodecCapability {
    /// An audio codec as it stands, a video codec with RTX and the usual feedback; offered.
    pub fn new(codec: RtpCodec) -> Self {
        let video = codec.codec.kind() == MediaKind::Video;
        let feedback = if video {
            vec![
                RtcpFeedback::ReceiverEstimatedMaximumBitrate,
                RtcpFeedback::FullIntraRequest,
                RtcpFeedback::Nack,
                RtcpFeedback::PictureLoss,
            ]
        } else {
            Vec::new()
        };
        Self { codec, feedback, retransmission: video, offered: true }
    }
}

/// A header extension that is offered or accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderExtensionCapability {
    /// Its name.
    pub uri: String,
    /// Whether it goes with audio.
    pub audio: bool,
    /// Whether it goes with video.
    pub video: bool,
}

impl HeaderExtensionCapability {
    /// An extension for audio, video or both.
    pub fn new(uri: impl Into<String>, audio: bool, video: bool) -> Self {
        Self { uri: uri.into(), audio, video }
    }

    pub(crate) const fn serves(&self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Audio => self.audio,
            MediaKind::Video => self.video,
        }
    }
}

/// What our offers ask of a peer that does not bundle: W3C's `RTCBundlePolicy`. There is one transport in any case, so
/// that such a peer gets one m-line at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BundlePolicy {
    /// Every m-line can be read by itself; a peer that takes several without bundling them is refused. The W3C's
    /// `balanced` would give each kind a transport.
    #[default]
    Balanced,
    /// New m-lines but the first are marked `bundle-only`, so that a peer that does not bundle turns them down
    /// (RFC 8829 §4.1.1).
    MaxBundle,
}

/// What one side can do.
///
/// ```
/// use rtcast_proto::{Codec, JsepConfig};
///
/// let mut config = JsepConfig::default().with_data_channels();
/// config.codecs.retain(|capability| matches!(capability.codec.codec, Codec::Vp8 | Codec::Opus));
/// assert_eq!(config.codecs.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsepConfig {
    /// What is asked of peers that do not bundle. Default: [`BundlePolicy::Balanced`].
    pub bundle_policy: BundlePolicy,
    /// The codecs in order of preference.
    pub codecs: Vec<CodecCapability>,
    /// The header extensions, numbered in this order in our offers.
    pub header_extensions: Vec<HeaderExtensionCapability>,
    /// Whether telephone events (RFC 4733), which carry the tones of a dial pad, go with audio. Default: yes.
    pub telephone_events: bool,
    /// Whether the m-line of data channels is negotiated; if not, it is rejected. Default: no.
    pub data_channels: bool,
    /// The largest message that we receive on a data channel, in bytes. Default: 262,144.
    pub max_message_size: u64,
    /// Whether an m-line of the peer is taken only if a track that was added can be sent on it; every other is rejected
    /// and costs nothing. Added tracks are then `sendonly`, and negotiated are only the codecs that were chosen for them by
    /// [`set_codec_preferences`](crate::Jsep::set_codec_preferences); without any, nothing can be sent. Default: no.
    pub sending_only: bool,
}

impl Default for JsepConfig {
    /// VP8, H.264, VP9, AV1; Opus, PCMU, PCMA with telephone events; no transport-wide feedback; no data channels.
    fn default() -> Self {
        let h264 = |profile: &str, mode: u8| CodecCapability {
            offered: mode == 1,
            ..CodecCapability::new(RtpCodec::with_fmtp(
                Codec::H264,
                format!("level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile}"),
            ))
        };
        let vp9 = |profile: u8| CodecCapability::new(RtpCodec::with_fmtp(Codec::Vp9, format!("profile-id={profile}")));
        let mut codecs = vec![CodecCapability::new(RtpCodec::new(Codec::Vp8))];
        for mode in [1, 0] {
            codecs.extend(["42e01f", "42001f", "4d001f", "640c1f"].map(|profile| h264(profile, mode)));
            // Browsers do not know plain High, but encoders offer it.
            codecs.push(CodecCapability { offered: false, ..h264("64001f", mode) });
        }
        codecs.extend([
            vp9(0),
            vp9(2),
            CodecCapability::new(RtpCodec::with_fmtp(Codec::Av1, "level-idx=5;profile=0;tier=0")),
            CodecCapability::new(RtpCodec::with_fmtp(
                Codec::Opus,
                "minptime=10;sprop-stereo=1;stereo=1;useinbandfec=1",
            )),
            CodecCapability::new(RtpCodec::new(Codec::Pcmu)),
            CodecCapability::new(RtpCodec::new(Codec::Pcma)),
        ]);
        let header_extensions = vec![
            HeaderExtensionCapability::new(AUDIO_LEVEL_EXTENSION, true, false),
            HeaderExtensionCapability::new(PLAYOUT_DELAY_EXTENSION, false, true),
            HeaderExtensionCapability::new(MID_EXTENSION, true, true),
            HeaderExtensionCapability::new(RTP_STREAM_ID_EXTENSION, false, true),
            HeaderExtensionCapability::new(REPAIRED_RTP_STREAM_ID_EXTENSION, false, true),
            HeaderExtensionCapability::new(COLOR_SPACE_EXTENSION, false, true),
        ];
        Self {
            bundle_policy: BundlePolicy::default(),
            codecs,
            header_extensions,
            telephone_events: true,
            data_channels: false,
            max_message_size: 262_144,
            sending_only: false,
        }
    }
}

impl JsepConfig {
    /// Adds transport-wide congestion control: the feedback for every codec, and the header extension.
    #[must_use]
    pub fn with_transport_wide_feedback(mut self) -> Self {
        for codec in &mut self.codecs {
            codec.feedback.push(RtcpFeedback::TransportWide);
        }
        self.header_extensions.push(HeaderExtensionCapability::new(TRANSPORT_WIDE_CC_EXTENSION, true, true));
        self
    }

    /// For a server whose peers come to receive: takes m-lines only to send on them what was added, without telephone
    /// events and data channels (see [`sending_only`](Self::sending_only)).
    #[must_use]
    pub const fn for_sending(mut self) -> Self {
        self.sending_only = true;
        self.telephone_events = false;
        self.data_channels = false;
        self
    }

    /// Negotiates data channels.
    #[must_use]
    pub const fn with_data_channels(mut self) -> Self {
        self.data_channels = true;
        self
    }
}

/// What the transport tells a description that is written here.
///
/// An ICE restart is asked for by other credentials than those of the description before (RFC 8839 §4.4.1.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalTransport {
    /// The ICE user name fragment, 4 to 256 characters.
    pub ice_ufrag: String,
    /// The ICE password, 22 to 256 characters.
    pub ice_pwd: String,
    /// Whether we are an ICE-lite agent.
    pub ice_lite: bool,
    /// The digests of our certificate.
    pub fingerprints: Vec<Fingerprint>,
    /// The candidates known so far.
    pub candidates: Vec<Candidate>,
    /// Whether there will be no more.
    pub end_of_candidates: bool,
}
