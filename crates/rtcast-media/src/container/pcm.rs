//! Uncompressed and G.711 sound, converted to interleaved signed 16-bit little endian.

use rtcast_track::Codec;

use crate::codec::g711::Law;
use crate::packet::SourceCodec;

/// How a container stores one sample of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PcmFormat {
    /// Kept as it is, one byte a sample.
    Bytes,
    U8,
    S8,
    S16 {
        big_endian: bool,
    },
    S24 {
        big_endian: bool,
    },
    S32 {
        big_endian: bool,
    },
    F32 {
        big_endian: bool,
    },
    F64 {
        big_endian: bool,
    },
    /// ITU-T G.711 µ-law.
    MuLaw,
    /// ITU-T G.711 A-law.
    ALaw,
}

impl PcmFormat {
    /// The format of that many bits a sample, `None` if there is none such. `unsigned` counts for 8 bits only.
    pub(crate) const fn new(bits: u32, float: bool, big_endian: bool, unsigned: bool) -> Option<Self> {
        Some(match (bits, float) {
            (8, false) if unsigned => Self::U8,
            (8, false) => Self::S8,
            (16, false) => Self::S16 { big_endian },
            (24, false) => Self::S24 { big_endian },
            (32, false) => Self::S32 { big_endian },
            (32, true) => Self::F32 { big_endian },
            (64, true) => Self::F64 { big_endian },
            _ => return None,
        })
    }

    /// The bytes of one sample of one channel.
    pub(crate) const fn bytes(self) -> u32 {
        match self {
            Self::Bytes | Self::U8 | Self::S8 | Self::MuLaw | Self::ALaw => 1,
            Self::S16 { .. } => 2,
            Self::S24 { .. } => 3,
            Self::S32 { .. } | Self::F32 { .. } => 4,
            Self::F64 { .. } => 8,
        }
    }

    /// Converts whole samples; a cut one at the end is dropped.
    pub(crate) fn convert(self, bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Bytes => bytes,
            Self::S16 { big_endian: false } => {
                let mut bytes = bytes;
                bytes.truncate(bytes.len() & !1);
                bytes
            }
            Self::U8 => convert(&bytes, |[byte]| (i16::from(byte) - 128) << 8),
            Self::S8 => convert(&bytes, |[byte]| i16::from(byte.cast_signed()) << 8),
            Self::S16 { big_endian: true } => convert(&bytes, i16::from_be_bytes),
            Self::S24 { big_endian: true } => convert(&bytes, |[high, low, _]| i16::from_be_bytes([high, low])),
            Self::S24 { big_endian: false } => convert(&bytes, |[_, low, high]| i16::from_le_bytes([low, high])),
            Self::S32 { big_endian: true } => convert(&bytes, |[high, low, _, _]| i16::from_be_bytes([high, low])),
            Self::S32 { big_endian: false } => convert(&bytes, |[_, _, low, high]| i16::from_le_bytes([low, high])),
            Self::F32 { big_endian: true } => convert(&bytes, |sample| from_float(f32::from_be_bytes(sample).into())),
            Self::F32 { big_endian: false } => convert(&bytes, |sample| from_float(f32::from_le_bytes(sample).into())),
            Self::F64 { big_endian: true } => convert(&bytes, |sample| from_float(f64::from_be_bytes(sample))),
            Self::F64 { big_endian: false } => convert(&bytes, |sample| from_float(f64::from_le_bytes(sample))),
            Self::MuLaw => convert(&bytes, |[byte]| Law::Mu.decode(byte)),
            Self::ALaw => convert(&bytes, |[byte]| Law::A.decode(byte)),
        }
    }
}

/// How G.711 sound is handed on: as the RTP codec if it has that codec's rate and channel, else converted.
pub(crate) fn law(codec: Codec, sample_rate: u32, channels: u16) -> (SourceCodec, String, PcmFormat) {
    let (name, format) = match codec {
        Codec::Pcma => ("PCM A-law", PcmFormat::ALaw),
        _ => ("PCM µ-law", PcmFormat::MuLaw),
    };
    if (sample_rate, channels) == (8_000, 1) {
        (SourceCodec::Rtp(codec), name.into(), PcmFormat::Bytes)
    } else {
        (SourceCodec::PcmS16, name.into(), format)
    }
}

fn convert<const N: usize>(bytes: &[u8], sample: impl Fn([u8; N]) -> i16) -> Vec<u8> {
    let (samples, _) = bytes.as_chunks::<N>();
    samples.iter().flat_map(|bytes| sample(*bytes).to_le_bytes()).collect()
}

/// Full scale is 1.0; what lies beyond is cut, and no number is silence.
fn from_float(value: f64) -> i16 {
    (value * 32_768.0).round_ties_even().clamp(-32_768.0, 32_767.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(format: PcmFormat, bytes: &[u8]) -> Vec<i16> {
        format.convert(bytes.to_vec()).chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn every_form_gives_the_same_sample() {
        assert_eq!(samples(PcmFormat::U8, &[0xc0, 0]), [0x4000, -32_768]);
        assert_eq!(samples(PcmFormat::S8, &[0x40]), [0x4000]);
        assert_eq!(samples(PcmFormat::S16 { big_endian: true }, &[0x40, 1]), [0x4001]);
        assert_eq!(samples(PcmFormat::S16 { big_endian: false }, &[1, 0x40, 9]), [0x4001]);
        assert_eq!(samples(PcmFormat::S24 { big_endian: false }, &[9, 1, 0x40]), [0x4001]);
        assert_eq!(samples(PcmFormat::S24 { big_endian: true }, &[0x40, 1, 9]), [0x4001]);
        assert_eq!(samples(PcmFormat::S32 { big_endian: false }, &[9, 9, 1, 0x40]), [0x4001]);
        assert_eq!(samples(PcmFormat::F32 { big_endian: false }, &0.5f32.to_le_bytes()), [0x4000]);
        assert_eq!(samples(PcmFormat::F64 { big_endian: true }, &2.0f64.to_be_bytes()), [32_767]);
        assert_eq!(samples(PcmFormat::F32 { big_endian: true }, &f32::NAN.to_be_bytes()), [0]);
    }
}
