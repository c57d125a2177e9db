//! What senders and receivers are told and tell: W3C's `RTCRtpSendParameters` and `RTCRtpReceiveParameters`.

use std::sync::Arc;

use super::{Connection, ConnectionEvent, SenderSlot};
use crate::jsep::{NegotiatedCodec, NegotiatedMedia, TelephoneEvents, TransceiverId};
use crate::sdp::DescriptionError;
use crate::types::{Bitrate, PayloadType};

/// W3C's `RTCRtpEncodingParameters`, as far as they mean something for what is encoded already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpEncodingParameters {
    /// Whether it is sent; without a new negotiation, nothing is sent as long as this is not set. Default: yes.
    pub active: bool,
    /// The bitrate that the application wants it to stay below. It is kept for whoever makes the media; what is encoded
    /// already goes out as it is. Default: none.
    pub max_bitrate: Option<Bitrate>,
}

impl RtpEncodingParameters {
    pub(super) const DEFAULT: Self = Self { active: true, max_bitrate: None };
}

impl Default for RtpEncodingParameters {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// W3C's `RTCRtpHeaderExtensionParameters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpHeaderExtensionParameters {
    /// Its name.
    pub uri: String,
    /// Its number in the packets.
    pub id: u8,
    /// Whether it is encrypted (RFC 6904); never so here.
    pub encrypted: bool,
}

/// W3C's `RTCRtcpParameters`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RtcpParameters {
    /// The canonical name of the sending side; `None` if it is not known.
    pub cname: Option<String>,
    /// Whether reduced-size RTCP (RFC 5506) was negotiated.
    pub reduced_size: bool,
}

/// W3C's `RTCRtpCodecParameters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpCodecParameters {
    /// The number in the packets.
    pub payload_type: PayloadType,
    /// Such as `video/VP8`, or `video/rtx` for retransmissions.
    pub mime_type: String,
    /// The RTP clock in hertz.
    pub clock_rate: u32,
    /// The channels of sound, `None` for pictures.
    pub channels: Option<u16>,
    /// The format parameters, as in `a=fmtp`.
    pub sdp_fmtp_line: Option<String>,
}

/// W3C's `RTCRtpSendParameters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpSendParameters {
    /// Names this reading of the parameters; it can be given back once.
    pub transaction_id: String,
    /// The encodings; always one here.
    pub encodings: Vec<RtpEncodingParameters>,
    /// The header extensions that were negotiated.
    pub header_extensions: Vec<RtpHeaderExtensionParameters>,
    /// What concerns RTCP.
    pub rtcp: RtcpParameters,
    /// The codecs that were negotiated, in the order of preference.
    pub codecs: Vec<RtpCodecParameters>,
}

/// W3C's `RTCRtpReceiveParameters`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RtpReceiveParameters {
    /// The header extensions that were negotiated.
    pub header_extensions: Vec<RtpHeaderExtensionParameters>,
    /// What concerns RTCP.
    pub rtcp: RtcpParameters,
    /// The codecs that the peer may send.
    pub codecs: Vec<RtpCodecParameters>,
}

impl Connection {
    /// W3C's `getParameters` of a sender; `None` if there is no such sender.
    pub fn sender_parameters(&mut self, transceiver: TransceiverId) -> Option<RtpSendParameters> {
        let transaction = self.random.u64();
        let cname = Arc::from(self.jsep.cname());
        let slot = self.slot(transceiver)?;
        slot.transaction = Some(transaction);
        Some(slot.parameters(transaction, &cname))
    }

    /// W3C's `setParameters` of a sender: `parameters` is what [`sender_parameters`](Self::sender_parameters) gave last,
    /// with its encodings changed.
    ///
    /// # Errors
    /// [`DescriptionError::State`] if the transceiver is stopped, [`DescriptionError::Modified`] if the parameters are
    /// not the last that were given, or something else than the encodings was changed. Nothing has changed then.
    pub fn set_sender_parameters(
        &mut self,
        transceiver: TransceiverId,
        parameters: &RtpSendParameters,
    ) -> Result<(), DescriptionError> {
        let state = self.signaling_state();
        let cname = Arc::from(self.jsep.cname());
        let modified = |problem: &str, hint: &'static str| DescriptionError::Modified {
            problem: problem.to_owned(),
            hint: hint.into(),
        };
        let Some(slot) = self.slot(transceiver).filter(|slot| !slot.stopped) else {
            return Err(DescriptionError::State {
                operation: "set the parameters of a stopped sender",
                state,
                hint: "add a new transceiver; a stopped one stays stopped".into(),
            });
        };
        let known = slot.transaction.map(|transaction| slot.parameters(transaction, &cname));
        let Some(known) = known.filter(|known| known.transaction_id == parameters.transaction_id) else {
            return Err(modified(
                "these parameters were not read last from this sender, or were set already",
                "read the parameters, change their encodings, and set them",
            ));
        };
        let [encoding] = parameters.encodings[..] else {
            return Err(modified("the number of encodings was changed", "change the encoding that is there"));
        };
        if known != (RtpSendParameters { encodings: known.encodings.clone(), ..parameters.clone() }) {
            return Err(modified(
                "something else than the encodings was changed",
                "codecs and header extensions come from negotiation and cannot be set here",
            ));
        }
        slot.transaction = None;
        slot.encoding = encoding;
        self.events.push_back(ConnectionEvent::SendersChanged);
        Ok(())
    }

    /// Sets how a sender begins: W3C's `sendEncodings` of `addTransceiver`.
    pub fn set_send_encoding(&mut self, transceiver: TransceiverId, encoding: RtpEncodingParameters) {
        if let Some(slot) = self.slot(transceiver) {
            slot.encoding = encoding;
        }
    }

    /// W3C's `getParameters` of a receiver; empty before anything was negotiated.
    pub fn receiver_parameters(&self, transceiver: TransceiverId) -> RtpReceiveParameters {
        let receiver = self.receivers.iter().find(|receiver| receiver.transceiver() == transceiver);
        let Some(media) = receiver.map(|receiver| receiver.media()) else { return RtpReceiveParameters::default() };
        let cname = media.remote_sources.iter().find_map(|source| source.cname.clone());
        RtpReceiveParameters {
            header_extensions: extensions(media),
            rtcp: RtcpParameters { cname, reduced_size: media.rtcp_rsize },
            codecs: all_parameters(&media.receive_codecs, &media.receive_telephone_events),
        }
    }

    pub(super) fn slot(&mut self, transceiver: TransceiverId) -> Option<&mut SenderSlot> {
        self.senders.iter_mut().find(|slot| slot.transceiver == transceiver)
    }
}

impl SenderSlot {
    fn parameters(&self, transaction: u64, cname: &Arc<str>) -> RtpSendParameters {
        let media = self.media.as_ref();
        RtpSendParameters {
            transaction_id: format!("{transaction:016x}"),
            encodings: vec![self.encoding],
            header_extensions: media.map(extensions).unwrap_or_default(),
            rtcp: RtcpParameters {
                cname: Some(cname.to_string()),
                reduced_size: media.is_some_and(|media| media.rtcp_rsize),
            },
            codecs: media
                .map(|media| all_parameters(&media.send_codecs, &media.send_telephone_events))
                .unwrap_or_default(),
        }
    }
}

fn extensions(media: &NegotiatedMedia) -> Vec<RtpHeaderExtensionParameters> {
    let parameters = media.extensions.iter();
    parameters.map(|e| RtpHeaderExtensionParameters { uri: e.uri.clone(), id: e.id, encrypted: false }).collect()
}

fn all_parameters(codecs: &[NegotiatedCodec], events: &[TelephoneEvents]) -> Vec<RtpCodecParameters> {
    let events = events.iter().map(|events| RtpCodecParameters {
        payload_type: events.payload_type,
        mime_type: "audio/telephone-event".to_owned(),
        clock_rate: events.clock_rate,
        channels: Some(1),
        sdp_fmtp_line: None,
    });
    codecs.iter().flat_map(codec_parameters).chain(events).collect()
}

/// A codec and its retransmissions.
fn codec_parameters(entry: &NegotiatedCodec) -> impl Iterator<Item = RtpCodecParameters> {
    let codec = RtpCodecParameters {
        payload_type: entry.payload_type,
        mime_type: entry.codec.mime_type(),
        clock_rate: entry.clock_rate,
        channels: entry.codec.channels(),
        sdp_fmtp_line: entry.codec.sdp_fmtp_line.clone(),
    };
    let rtx = entry.rtx.map(|payload_type| RtpCodecParameters {
        payload_type,
        mime_type: format!("{}/rtx", entry.codec.codec.kind()),
        clock_rate: entry.clock_rate,
        channels: None,
        sdp_fmtp_line: Some(format!("apt={}", entry.payload_type)),
    });
    std::iter::once(codec).chain(rtx)
}
