//! What payload types mean, as offer and answer have agreed.

use rtcast_proto::jsep::TRANSPORT_WIDE_CC_EXTENSION;
use rtcast_proto::sdp::RtcpFeedback;
use rtcast_proto::{Codec, PayloadType, SessionDescription};

/// The meaning of one payload type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A stream's packets.
    Media {
        /// Their codec.
        codec: Codec,
        /// Whether lost ones may be asked for.
        retransmission: bool,
    },
    /// Packets that come again (RFC 4588).
    Retransmission {
        /// The payload type that they had.
        of: PayloadType,
    },
}

/// The payload types of all m-lines of a bundle, among which each number has one meaning.
#[derive(Debug, Default)]
pub(crate) struct Formats {
    meanings: Vec<(PayloadType, Meaning)>,
    transport_wide: Option<u8>,
}

impl Formats {
    /// What an answer leaves of our offer.
    pub(crate) fn of(answer: &SessionDescription) -> Self {
        let mut meanings = Vec::new();
        let mut transport_wide = None;
        for media in answer.session().media.iter().filter(|media| media.is_rtp() && !media.is_rejected()) {
            let extension = media.extensions.iter().find(|extension| extension.uri == TRANSPORT_WIDE_CC_EXTENSION);
            let asked = media.payload_formats.iter().any(|f| f.feedback.contains(&RtcpFeedback::TransportWide));
            transport_wide = transport_wide.or(extension.filter(|_| asked).map(|extension| extension.id));
            for format in &media.payload_formats {
                if let Some(of) = format.retransmits() {
                    meanings.push((format.payload_type, Meaning::Retransmission { of }));
                } else if let Some(codec) = format.codec() {
                    let retransmission = format.feedback.contains(&RtcpFeedback::Nack);
                    let meaning = Meaning::Media { codec: codec.codec, retransmission };
                    meanings.push((format.payload_type, meaning));
                }
            }
        }
        Self { meanings, transport_wide }
    }

    /// The header extension that numbers all packets, if the server wants to know of their arrival.
    pub(crate) const fn transport_wide(&self) -> Option<u8> {
        self.transport_wide
    }

    pub(crate) fn meaning(&self, payload_type: PayloadType) -> Option<Meaning> {
        self.meanings.iter().find(|(known, _)| *known == payload_type).map(|(_, meaning)| *meaning)
    }
}

#[cfg(test)]
mod tests {
    use rtcast_proto::SdpType;

    use super::*;

    #[test]
    fn an_answer_s_payload_types_are_known() {
        let answer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 102 103\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:102 H264/90000\r\n\
            a=rtcp-fb:102 nack\r\na=rtcp-fb:102 transport-cc\r\n\
            a=extmap:5 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\na=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\na=sendonly\r\n\
            m=audio 0 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:111 opus/48000/2\r\na=inactive\r\n";
        let formats = Formats::of(&SessionDescription::new(SdpType::Answer, answer).unwrap());
        let meaning = |number| formats.meaning(PayloadType::new(number));
        assert_eq!(meaning(102), Some(Meaning::Media { codec: Codec::H264, retransmission: true }));
        assert_eq!(meaning(103), Some(Meaning::Retransmission { of: PayloadType::new(102) }));
        assert_eq!(meaning(111), None);
        assert_eq!(formats.transport_wide(), Some(5));
    }
}
