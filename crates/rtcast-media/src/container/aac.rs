//! AAC's configuration: ISO/IEC 14496-3 §1.6.2.1 and the descriptors around it, ISO/IEC 14496-1 §7.2.6.

use super::fields::Fields;

const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// What an `esds` box says of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Esds {
    /// objectTypeIndication: which codec it is.
    pub(crate) object_type: u8,
    /// For AAC, the AudioSpecificConfig.
    pub(crate) decoder_specific: Vec<u8>,
}

/// Reads the body of an `esds` box, version and flags included.
pub(crate) fn parse_esds(body: &[u8]) -> Option<Esds> {
    let mut fields = Fields::new(body.get(4..)?);
    let mut es = Fields::new(descriptor(&mut fields, 3)?);
    es.skip(2)?;
    let flags = es.u8()?;
    if flags & 0x80 != 0 {
        es.skip(2)?;
    }
    if flags & 0x40 != 0 {
        let length = es.u8()?;
        es.skip(length.into())?;
    }
    if flags & 0x20 != 0 {
        es.skip(2)?;
    }
    let mut config = Fields::new(descriptor(&mut es, 4)?);
    let object_type = config.u8()?;
    let decoder_specific =
        config.skip(12).and_then(|()| descriptor(&mut config, 5)).map(<[u8]>::to_vec).unwrap_or_default();
    Some(Esds { object_type, decoder_specific })
}

/// The body of the next descriptor, which must have that tag. One that says too much is cut at the end.
fn descriptor<'a>(fields: &mut Fields<'a>, tag: u8) -> Option<&'a [u8]> {
    if fields.u8()? != tag {
        return None;
    }
    let mut length = 0usize;
    for _ in 0..4 {
        let byte = fields.u8()?;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    fields.take(length.min(fields.rest().len()))
}

/// The head of an AudioSpecificConfig.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AudioSpecificConfig {
    /// 2 is low complexity.
    pub(crate) object_type: u8,
    /// Samples per second that come out, spectral band replication included.
    pub(crate) sample_rate: u32,
    /// `None` if the stream describes its channels elsewhere.
    pub(crate) channels: Option<u16>,
    /// Spectral band replication is signalled (HE-AAC).
    pub(crate) spectral_band_replication: bool,
    /// Parametric stereo is signalled (HE-AAC v2).
    pub(crate) parametric_stereo: bool,
}

impl AudioSpecificConfig {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut bits = Bits { bytes, position: 0 };
        let mut object_type = object_type(&mut bits)?;
        let mut sample_rate = sampling_frequency(&mut bits)?;
        let channel_configuration = bits.read(4)?;
        let parametric_stereo = object_type == 29;
        let mut spectral_band_replication = false;
        if matches!(object_type, 5 | 29) {
            spectral_band_replication = true;
            sample_rate = sampling_frequency(&mut bits)?;
            object_type = self::object_type(&mut bits)?;
        }
        let channels = match channel_configuration {
            0 => None,
            7 => Some(8),
            count @ 1..=6 => Some(count as u16),
            11 => Some(7),
            12 | 14 => Some(8),
            _ => return None,
        };
        let mut config = Self { object_type, sample_rate, channels, spectral_band_replication, parametric_stereo };
        config.read_backward_compatible_extension(bits);
        Some(config)
    }

    /// ISO/IEC 14496-3 §1.6.5.2: spectral band replication may be told behind the rest, after the sync word 0x2b7.
    fn read_backward_compatible_extension(&mut self, mut bits: Bits<'_>) {
        if self.object_type != 2 || self.spectral_band_replication || self.channels.is_none() {
            return;
        }
        let mut extension = || -> Option<(u32, bool)> {
            // frameLengthFlag, dependsOnCoreCoder with its delay, extensionFlag.
            bits.read(1)?;
            if bits.read(1)? == 1 {
                bits.read(14)?;
            }
            bits.read(1)?;
            if bits.read(11)? != 0x2b7 || object_type(&mut bits)? != 5 || bits.read(1)? != 1 {
                return None;
            }
            let rate = sampling_frequency(&mut bits)?;
            let stereo = bits.read(11) == Some(0x548) && bits.read(1) == Some(1);
            Some((rate, stereo))
        };
        if let Some((rate, stereo)) = extension() {
            self.spectral_band_replication = true;
            self.parametric_stereo = stereo;
            self.sample_rate = rate;
        }
    }

    /// A person's name, such as `AAC`, `HE-AAC`.
    pub(crate) fn codec_name(&self) -> String {
        match (self.object_type, self.spectral_band_replication, self.parametric_stereo) {
            (_, _, true) => "HE-AAC v2".into(),
            (_, true, _) => "HE-AAC".into(),
            (2, ..) => "AAC".into(),
            (1, ..) => "AAC Main".into(),
            (3, ..) => "AAC SSR".into(),
            (4, ..) => "AAC LTP".into(),
            (23, ..) => "AAC-LD".into(),
            (39, ..) => "AAC-ELD".into(),
            (42, ..) => "xHE-AAC".into(),
            (other, ..) => format!("MPEG-4 audio object type {other}"),
        }
    }

    /// Whether it is what the built-in decoder takes: low complexity, one or two channels.
    pub(crate) fn is_plain(&self) -> bool {
        self.object_type == 2 && !self.spectral_band_replication && matches!(self.channels, Some(1 | 2))
    }
}

/// Makes an AudioSpecificConfig of low complexity.
pub(crate) fn low_complexity_config(sample_rate: u32, channels: u16) -> Option<Vec<u8>> {
    let index = RATES.iter().position(|rate| *rate == sample_rate)? as u16;
    let bits = 2 << 11 | index << 7 | (channels & 15) << 3;
    Some(bits.to_be_bytes().to_vec())
}

/// The sampling frequency of an index in ADTS and AudioSpecificConfig.
pub(crate) fn rate_of_index(index: u8) -> Option<u32> {
    RATES.get(usize::from(index)).copied()
}

fn object_type(bits: &mut Bits<'_>) -> Option<u8> {
    match bits.read(5)? {
        31 => Some(32 + bits.read(6)? as u8),
        kind => Some(kind as u8),
    }
}

fn sampling_frequency(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.read(4)? {
        15 => bits.read(24),
        index => rate_of_index(index as u8),
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    fn read(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.position / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.position % 8) & 1);
            self.position += 1;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_read() {
        let plain = AudioSpecificConfig::parse(&[0x12, 0x10]).unwrap();
        assert_eq!((plain.sample_rate, plain.channels, plain.is_plain()), (44_100, Some(2), true));
        assert_eq!(plain.codec_name(), "AAC");
        let surround = AudioSpecificConfig::parse(&[0x11, 0xb0]).unwrap();
        assert_eq!((surround.channels, surround.is_plain()), (Some(6), false));
        // Low complexity at 24 kHz with spectral band replication to 48 kHz behind it.
        let high_efficiency = AudioSpecificConfig::parse(&[0x13, 0x10, 0x56, 0xe5, 0x98]).unwrap();
        assert_eq!((high_efficiency.sample_rate, high_efficiency.codec_name().as_str()), (48_000, "HE-AAC"));
        assert_eq!(AudioSpecificConfig::parse(&[0x12]), None);
    }

    #[test]
    fn a_made_configuration_reads_back() {
        let bytes = low_complexity_config(48_000, 2).unwrap();
        assert_eq!(bytes, [0x11, 0x90]);
        assert!(AudioSpecificConfig::parse(&bytes).unwrap().is_plain());
    }
}
