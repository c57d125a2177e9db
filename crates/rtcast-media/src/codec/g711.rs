//! G.711: eight-bit samples on a logarithmic scale.

use rtcast_track::{Codec, Frame, MediaTime, RtpCodec};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

use super::resample::{OUTPUT_RATE, PIECE};
use super::{AudioDecoder, AudioEncoder, codec_error};
use crate::error::MediaError;
use crate::packet::EncodedChunk;
use crate::raw::AudioFrame;

/// RFC 3551 §4.5.14: 8,000 samples a second.
const RATE: u32 = 8_000;

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

    /// The code of a linear sample: the inverse of [`decode`](Self::decode), to the nearest code of its segment.
    pub(crate) fn encode(self, sample: i16) -> u8 {
        let negative = sample < 0;
        match self {
            Self::Mu => {
                // ITU-T G.711 table 2, scaled to 16 bits: segments begin at 0x84 << n, less the bias of 0x84.
                let magnitude = (u32::from(sample.unsigned_abs()) + 0x84).min(0x7fff);
                let segment = 24 - magnitude.leading_zeros();
                let code = (segment << 4 | (magnitude >> (segment + 3) & 0x0f)) as u8;
                !(code | u8::from(negative) << 7)
            }
            Self::A => {
                // ITU-T G.711 table 1, scaled to 16 bits: the first two segments have steps of 16.
                let magnitude = u32::from((if negative { !sample } else { sample }).cast_unsigned() >> 4);
                let code = match magnitude {
                    0..32 => magnitude,
                    _ => {
                        let segment = 28 - magnitude.leading_zeros();
                        segment << 4 | (magnitude >> (segment - 1) & 0x0f)
                    }
                };
                (code as u8 | u8::from(!negative) << 7) ^ 0x55
            }
        }
    }
}

/// One channel of 8 kHz from pieces of 48 kHz stereo, for viewers that have nothing else.
pub(super) struct G711Encoder {
    law: Law,
    resampler: Fft<f32>,
    delay: MediaTime,
}

impl G711Encoder {
    pub(super) fn new(law: Law) -> Result<Self, MediaError> {
        let resampler = Fft::new(OUTPUT_RATE as usize, RATE as usize, PIECE, 1, FixedSync::Both)
            .map_err(|reason| codec_error("resampler", format!("48 kHz to 8 kHz: {reason}")))?;
        let delay = MediaTime::from_ticks(i64::try_from(resampler.output_delay()).unwrap_or(0), RATE);
        Ok(Self { law, resampler, delay })
    }
}

impl AudioEncoder for G711Encoder {
    fn codec(&self) -> RtpCodec {
        RtpCodec::new(self.law.codec())
    }

    fn encode(&mut self, frame: &AudioFrame) -> Result<Frame, MediaError> {
        let stereo = frame.samples().as_chunks::<2>().0;
        if frame.rate() != OUTPUT_RATE || frame.channels() != 2 || stereo.len() != PIECE {
            return Err(codec_error("G.711", format!("the encoder takes 20 ms of 48 kHz stereo, not {frame:?}")));
        }
        let mono: Vec<f32> = stereo.iter().map(|[left, right]| (f32::from(*left) + f32::from(*right)) / 2.0).collect();
        let failed = |reason: &dyn std::fmt::Display| codec_error("resampler", reason.to_string());
        let input = InterleavedSlice::new(&mono, 1, mono.len()).map_err(|reason| failed(&reason))?;
        let samples = self.resampler.process(&input, None).map_err(|reason| failed(&reason))?.take_data();
        let data: Vec<u8> = samples.iter().map(|sample| self.law.encode(sample.round() as i16)).collect();
        let timestamp = frame.timestamp().since(self.delay);
        Ok(Frame::new(self.law.codec(), data, timestamp).with_keyframe(true))
    }
}

impl Law {
    const fn codec(self) -> Codec {
        match self {
            Self::Mu => Codec::Pcmu,
            Self::A => Codec::Pcma,
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
    fn decode(&mut self, chunk: &EncodedChunk) -> Result<Option<AudioFrame>, MediaError> {
        let samples = chunk.data.iter().map(|&code| self.law.decode(code)).collect();
        Ok(AudioFrame::new(samples, RATE, self.channels, chunk.timestamp))
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

    #[test]
    fn every_code_and_every_sample_finds_its_nearest() {
        for law in [Law::Mu, Law::A] {
            for code in 0..=255_u8 {
                let sample = law.decode(code);
                // µ-law has two codes of zero.
                let same = law.encode(sample) == code || (sample == 0 && law.decode(law.encode(0)) == 0);
                assert!(same, "{law:?} {code:#x} is {sample} is {:#x}", law.encode(sample));
            }
            for sample in (i16::MIN..=i16::MAX).step_by(7) {
                let error = (i32::from(law.decode(law.encode(sample))) - i32::from(sample)).abs();
                // Steps double with each segment; half of the largest is 512, and the extremes are clipped.
                let allowed =
                    (i32::from(sample).abs() / 32 + 16).max(16) + if sample.unsigned_abs() > 32_000 { 640 } else { 0 };
                assert!(error <= allowed, "{law:?} {sample}: off by {error}");
            }
        }
    }
}
