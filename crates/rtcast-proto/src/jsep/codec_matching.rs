//! Which codecs of both sides are the same (RFC 3264 §6.1, and each payload format's own rules).

use crate::codec::{Codec, RtpCodec};
use crate::jsep::config::CodecCapability;
use crate::jsep::h264;
use crate::sdp::{Media, PayloadFormat};
use crate::types::{MediaKind, PayloadType};

/// Whether two codecs with their parameters are the same as offer and answer see it.
pub(crate) fn compatible(left: &RtpCodec, right: &RtpCodec) -> bool {
    let same =
        |name: &str, default: &str| left.parameter(name).unwrap_or(default) == right.parameter(name).unwrap_or(default);
    left.codec == right.codec
        && match left.codec {
            Codec::H264 => h264::compatible(left, right),
            // RFC 9628 §6.1: without a word it is profile 0.
            Codec::Vp9 => same("profile-id", "0"),
            // AV1 RTP specification §7.2.1: without a word it is profile 0.
            Codec::Av1 => same("profile", "0"),
            Codec::Vp8 | Codec::Opus | Codec::Pcmu | Codec::Pcma => true,
        }
}

/// Whether a stream of this codec can be sent, as it is, to a peer that negotiated `codec`.
pub(crate) fn carries(codec: &RtpCodec, stream: &RtpCodec) -> bool {
    match stream.codec {
        Codec::H264 => h264::can_send(codec, stream).is_some(),
        _ => compatible(codec, stream),
    }
}

/// The capabilities of one kind, in the order and choice of the preferences, if there are any.
pub(crate) fn preferred<'a>(
    codecs: &'a [CodecCapability],
    kind: MediaKind,
    preferences: &[RtpCodec],
) -> Vec<&'a CodecCapability> {
    let ours = || codecs.iter().filter(move |capability| capability.codec.codec.kind() == kind);
    if preferences.is_empty() {
        return ours().collect();
    }
    let mut chosen: Vec<&CodecCapability> = Vec::new();
    for wanted in preferences {
        for capability in ours().filter(|capability| compatible(&capability.codec, wanted)) {
            if !chosen.contains(&capability) {
                chosen.push(capability);
            }
        }
    }
    chosen
}

/// What an answer says of an offered m-line: payload formats with RTX, in the offer's order or in that of the
/// preferences, with the offer's payload types.
pub(crate) fn answer_formats(
    offered: &Media,
    codecs: &[CodecCapability],
    kind: MediaKind,
    preferences: &[RtpCodec],
) -> Vec<PayloadFormat> {
    let ours = preferred(codecs, kind, preferences);
    let retransmissions = offered.retransmissions();
    let by_number = |number: PayloadType| offered.payload_formats.iter().find(move |f| f.payload_type == number);
    let mut accepted: Vec<(usize, usize, PayloadFormat)> = Vec::new();
    for (place, format) in offered.payload_formats.iter().enumerate() {
        let Some(theirs) = format.codec() else { continue };
        let Some((rank, capability)) = ours.iter().enumerate().find(|(_, c)| compatible(&c.codec, &theirs)) else {
            continue;
        };
        let parameters = match theirs.codec {
            Codec::H264 => h264::answer_parameters(&theirs, &capability.codec),
            _ => capability.codec.sdp_fmtp_line.clone(),
        };
        let feedback = format.feedback.iter().filter(|kind| capability.feedback.contains(kind)).cloned().collect();
        let answer = PayloadFormat { parameters, feedback, ..format.clone() };
        // RFC 8829 §5.3.1: the offer's order, unless setCodecPreferences asked for another.
        accepted.push((if preferences.is_empty() { 0 } else { rank }, place, answer));
        if capability.retransmission
            && let Some(number) = retransmissions.get(usize::from(format.payload_type.value())).copied().flatten()
            && let Some(rtx) = by_number(number)
        {
            let parameters = Some(format!("apt={}", format.payload_type));
            let rtx = PayloadFormat { parameters, feedback: Vec::new(), ..rtx.clone() };
            accepted.push((if preferences.is_empty() { 0 } else { rank }, place, rtx));
        }
    }
    accepted.sort_by_key(|(rank, place, _)| (*rank, *place));
    accepted.into_iter().map(|(_, _, format)| format).collect()
}

/// The offered telephone events (RFC 4733 §2.5.1.1) that go with what was accepted: those with the clock of one of the
/// codecs, and those of 8 kHz, which some peers offer alone.
pub(crate) fn answer_telephone_events(offered: &Media, accepted: &[PayloadFormat]) -> Vec<PayloadFormat> {
    let fits = |rate: u32| rate == 8_000 || accepted.iter().any(|format| format.clock_rate == rate);
    let mut events: Vec<PayloadFormat> = Vec::new();
    for format in &offered.payload_formats {
        let rate = format.telephone_event_rate().filter(|rate| fits(*rate));
        if rate.is_some() && !events.iter().any(|known| known.clock_rate == format.clock_rate) {
            events.push(PayloadFormat { parameters: None, feedback: Vec::new(), ..format.clone() });
        }
    }
    events
}

/// Whether an answer's codec replies to an offer's. More lenient than [`compatible`]: some peers leave parameters out
/// of their answer, which then means what was offered.
pub(crate) fn answers(answered: &RtpCodec, offered: &RtpCodec) -> bool {
    compatible(answered, offered) || (answered.codec == offered.codec && answered.sdp_fmtp_line.is_none())
}
