//! G.711: eight-bit samples on a logarithmic scale.

use super::AudioDecoder;
use crate::error::MediaError;
use crate::packet::Packet;
use crate::raw::AudioFrame;

/// The two scales of G.711.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Law {
    /// µ-law, of North America and Japan.
    Mu,
    /// A-law, of the rest of the world.
    A,
}

impl Law {
    /// The linear sample of a code. ITU-T G.711, tables 1 and 2, scaled to 16 bits.
    pub(crate) const fn decode(self, code: u8) -> i16 {
        match self {
            Self::Mu => {
                let code = !code;
                let magnitude = ((((code & 0x0f) as i16) << 3) + 0x84) << ((code >> 4) & 7);
                if code & 0x80 == 0 { magnitude - 0x84 } else { 0x84 - magnitude }
            }
            Self::A => {
                let code = code ^ 0x55;
                let (segment, step) = ((code >> 4) & 7, ((code & 0x0f) as i16) << 4);
                let magnitude = if segment == 0 { step + 8 } else { (step + 0x108) << (segment - 1) };
                if code & 0x80 == 0 { -magnitude } else { magnitude }
            }
        }
    }
}

/// 8 kHz.
pub(super) struct G711Decoder {
    law: Law,
    channels: u16,
}

impl G711Decoder {
    pub(super) const fn new(law: Law, channels: u16) -> Self {
        Self { law, channels: if channels == 0 { 1 } else { channels } }
    }
}

impl AudioDecoder for G711Decoder {
    fn decode(&mut self, packet: &Packet) -> Result<Option<AudioFrame>, MediaError> {
        let samples = packet.data.iter().map(|&code| self.law.decode(code)).collect();
        Ok(AudioFrame::new(samples, 8_000, self.channels, packet.pts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lie_where_the_recommendation_puts_them() {
        // ITU-T G.711: the extremes and the zeros of both laws.
        assert_eq!(Law::Mu.decode(0xff), 0);
        assert_eq!(Law::Mu.decode(0x7f), 0);
        assert_eq!(Law::Mu.decode(0x80), 32_124);
        assert_eq!(Law::Mu.decode(0x00), -32_124);
        assert_eq!(Law::A.decode(0xd5), 8);
        assert_eq!(Law::A.decode(0x55), -8);
        assert_eq!(Law::A.decode(0xaa), 32_256);
        assert_eq!(Law::A.decode(0x2a), -32_256);
    }
}
