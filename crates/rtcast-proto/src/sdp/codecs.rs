//! The payload formats of an m-line: `a=rtpmap`, `a=fmtp` and `a=rtcp-fb` together.

use std::fmt;
use std::sync::Arc;

use crate::codec::{Codec, RtpCodec};
use crate::types::PayloadType;

/// The encoding name of telephone events (RFC 4733 §7.1.1).
pub(crate) const TELEPHONE_EVENT: &str = "telephone-event";

/// One payload type of an m-line with all that the description says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadFormat {
    /// The number in the m-line.
    pub payload_type: PayloadType,
    /// The encoding name of `a=rtpmap`, such as `VP8` or `rtx`.
    pub name: String,
    /// The RTP clock in hertz.
    pub clock_rate: u32,
    /// The number of channels; 1 if the description does not say.
    pub channels: u16,
    /// The text of `a=fmtp` after the payload type.
    pub parameters: Option<String>,
    /// What RTCP feedback this side understands for it.
    pub feedback: Vec<RtcpFeedback>,
}

impl PayloadFormat {
    /// The value of one format parameter, its name in any case of letters.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        parameter(self.parameters.as_deref()?, name)
    }

    /// The payload type that this one retransmits, if it is RTX (RFC 4588 §8.1).
    pub fn retransmits(&self) -> Option<PayloadType> {
        if !self.name.eq_ignore_ascii_case("rtx") {
            return None;
        }
        let number: u8 = self.parameter("apt")?.parse().ok()?;
        (number < 128).then(|| PayloadType::new(number))
    }

    /// The clock of telephone events (RFC 4733), if it is those, in hertz.
    pub fn telephone_event_rate(&self) -> Option<u32> {
        self.name.eq_ignore_ascii_case(TELEPHONE_EVENT).then_some(self.clock_rate)
    }

    /// The codec, if it is one that is implemented here and has the clock and channels that it must have.
    pub fn codec(&self) -> Option<RtpCodec> {
        let codec = Codec::from_encoding_name(&self.name)?;
        // RFC 7587 §7: Opus is always signalled with two channels, whatever it carries; some say nothing and mean the same.
        let channels = if codec == Codec::Opus { 1..=2 } else { 1..=1 };
        (self.clock_rate == codec.clock_rate() && channels.contains(&self.channels))
            .then(|| RtpCodec { codec, sdp_fmtp_line: self.parameters.clone() })
    }

    pub(crate) fn rtpmap(&self) -> String {
        let Self { payload_type, name, clock_rate, channels, .. } = self;
        if *channels > 1 {
            format!("{payload_type} {name}/{clock_rate}/{channels}")
        } else {
            format!("{payload_type} {name}/{clock_rate}")
        }
    }
}

/// The value of one parameter in the text of an `a=fmtp`.
pub(crate) fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A kind of RTCP feedback, the text of `a=rtcp-fb` after the payload type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RtcpFeedback {
    /// `nack`: lost packets are named one by one (RFC 4585 §6.2.1).
    Nack,
    /// `nack pli`: a picture is lost (RFC 4585 §6.3.1).
    PictureLoss,
    /// `ccm fir`: a keyframe is asked for (RFC 5104 §4.3.1).
    FullIntraRequest,
    /// `goog-remb`: the receiver's estimate of the bandwidth.
    ReceiverEstimatedMaximumBitrate,
    /// `transport-cc`: the arrival time of every packet.
    TransportWide,
    /// Any other, as it stands.
    Other(Arc<str>),
}

impl RtcpFeedback {
    /// The text in the description.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Nack => "nack",
            Self::PictureLoss => "nack pli",
            Self::FullIntraRequest => "ccm fir",
            Self::ReceiverEstimatedMaximumBitrate => "goog-remb",
            Self::TransportWide => "transport-cc",
            Self::Other(text) => text,
        }
    }

    pub(crate) fn from_text(text: &str) -> Self {
        let text = text.trim();
        let known = [
            Self::Nack,
            Self::PictureLoss,
            Self::FullIntraRequest,
            Self::ReceiverEstimatedMaximumBitrate,
            Self::TransportWide,
        ];
        known.into_iter().find(|kind| kind.as_str() == text).unwrap_or_else(|| Self::Other(text.into()))
    }
}

impl fmt::Display for RtcpFeedback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What RFC 3551 §6 says of a payload type that needs no `a=rtpmap`, for the codecs that are implemented here.
pub(crate) fn static_format(payload_type: PayloadType) -> Option<PayloadFormat> {
    let codec = match payload_type.value() {
        0 => Codec::Pcmu,
        8 => Codec::Pcma,
        _ => return None,
    };
    Some(PayloadFormat {
        payload_type,
        name: codec.encoding_name().to_owned(),
        clock_rate: codec.clock_rate(),
        channels: 1,
        parameters: None,
        feedback: Vec::new(),
    })
}

/// Reads `96 VP8/90000` or `111 opus/48000/2`.
pub(crate) fn parse_rtpmap(value: &str) -> Option<PayloadFormat> {
    let (number, encoding) = value.trim().split_once(' ')?;
    let mut parts = encoding.trim().split('/');
    let name = parts.next().filter(|name| !name.is_empty())?;
    let clock_rate = parts.next()?.parse().ok()?;
    let channels = match parts.next() {
        Some(channels) => channels.parse().ok()?,
        None => 1,
    };
    Some(PayloadFormat {
        payload_type: parse_payload_type(number)?,
        name: name.to_owned(),
        clock_rate,
        channels,
        parameters: None,
        feedback: Vec::new(),
    })
}

/// Reads a number from 0 to 127.
pub(crate) fn parse_payload_type(text: &str) -> Option<PayloadType> {
    text.parse::<u8>().ok().filter(|number| *number < 128).map(PayloadType::new)
}
