//! The codecs that rtcast carries, and their description in the terms of the W3C and of SDP.

use std::fmt;

use crate::types::MediaKind;

/// A codec whose RTP payload format is implemented here.
///
/// ```
/// use rtcast_proto::{Codec, MediaKind};
///
/// assert_eq!(Codec::from_encoding_name("OPUS"), Some(Codec::Opus));
/// assert_eq!((Codec::H264.kind(), Codec::H264.clock_rate()), (MediaKind::Video, 90_000));
/// assert_eq!((Codec::H264.encoding_name(), Codec::H264.to_string().as_str()), ("H264", "H.264"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// H.264, RFC 6184.
    H264,
    /// VP8, RFC 7741.
    Vp8,
    /// VP9, RFC 9628.
    Vp9,
    /// AV1, the Alliance's RTP specification.
    Av1,
    /// Opus, RFC 7587.
    Opus,
    /// G.711 µ-law, RFC 3551 §4.5.14.
    Pcmu,
    /// G.711 A-law, RFC 3551 §4.5.14.
    Pcma,
}

impl Codec {
    /// Every codec, video first.
    pub const ALL: [Self; 7] = [Self::H264, Self::Vp8, Self::Vp9, Self::Av1, Self::Opus, Self::Pcmu, Self::Pcma];

    /// Whether it carries sound or pictures.
    pub const fn kind(self) -> MediaKind {
        match self {
            Self::H264 | Self::Vp8 | Self::Vp9 | Self::Av1 => MediaKind::Video,
            Self::Opus | Self::Pcmu | Self::Pcma => MediaKind::Audio,
        }
    }

    /// The RTP clock in hertz.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::H264 | Self::Vp8 | Self::Vp9 | Self::Av1 => 90_000,
            Self::Opus => 48_000,
            Self::Pcmu | Self::Pcma => 8_000,
        }
    }

    /// The encoding name as it stands in `a=rtpmap`; comparisons ignore case (RFC 8866 §6.6).
    pub const fn encoding_name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
            Self::Opus => "opus",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }

    /// The codec of an encoding name, in any case of letters.
    pub fn from_encoding_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.encoding_name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H264 => "H.264",
            Self::Opus => "Opus",
            other => other.encoding_name(),
        })
    }
}

/// A codec with its parameters: W3C's `RTCRtpCodec`.
///
/// ```
/// use rtcast_proto::{Codec, RtpCodec};
///
/// let codec = RtpCodec::with_fmtp(Codec::H264, "profile-level-id=42e01f;packetization-mode=1");
/// assert_eq!(codec.parameter("Profile-Level-ID"), Some("42e01f"));
/// assert_eq!(codec.mime_type(), "video/H264");
/// assert_eq!(RtpCodec::new(Codec::Opus).channels(), Some(2));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RtpCodec {
    /// The codec.
    pub codec: Codec,
    /// The format parameters, as in `a=fmtp` after the payload type, `None` if there are none.
    pub sdp_fmtp_line: Option<String>,
}

impl RtpCodec {
    /// A codec without format parameters.
    pub const fn new(codec: Codec) -> Self {
        Self { codec, sdp_fmtp_line: None }
    }

    /// A codec with format parameters, such as `profile-level-id=42e01f;packetization-mode=1`.
    pub fn with_fmtp(codec: Codec, fmtp: impl Into<String>) -> Self {
        Self { codec, sdp_fmtp_line: Some(fmtp.into()) }
    }

    /// The value of one format parameter, its name in any case of letters.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.sdp_fmtp_line.as_deref()?.split(';').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The number of channels in `a=rtpmap`: Opus is always signalled with 2 (RFC 7587 §7), video with none.
    pub const fn channels(&self) -> Option<u16> {
        match self.codec {
            Codec::Opus => Some(2),
            Codec::Pcmu | Codec::Pcma => Some(1),
            _ => None,
        }
    }

    /// The MIME type, such as `video/VP8`.
    pub fn mime_type(&self) -> String {
        format!("{}/{}", self.codec.kind(), self.codec.encoding_name())
    }
}
