//! Opus (RFC 7587) and G.711 (RFC 3551 §4.5.14) in RTP: a packet of the codec is the payload as it is.

use bytes::Bytes;

use super::{Depacketized, PayloadError};
use crate::codec::Codec;
use crate::frame::PacketizedFrame;

pub(super) fn packetize(
    codec: Codec,
    data: &[u8],
    max_payload: usize,
    packets: &mut PacketizedFrame,
) -> Result<(), PayloadError> {
    // RFC 7587 §4.2: exactly one Opus packet per payload; there is no way to cut one.
    if data.len() > max_payload {
        return Err(PayloadError::FrameTooLarge { codec, length: data.len(), limit: max_payload });
    }
    packets.push(&[data]);
    Ok(())
}

pub(super) fn depacketize(codec: Codec, payloads: &[&[u8]]) -> Result<Depacketized, PayloadError> {
    let mut filled = payloads.iter().filter(|payload| !payload.is_empty());
    match (filled.next(), filled.next()) {
        (Some(payload), None) => Ok(Depacketized { data: Bytes::copy_from_slice(payload), keyframe: true }),
        (None, _) => Err(PayloadError::MalformedPayload { codec, reason: "the packet is empty" }),
        (Some(_), Some(_)) => {
            Err(PayloadError::MalformedPayload { codec, reason: "a frame of sound is one packet, not several" })
        }
    }
}
