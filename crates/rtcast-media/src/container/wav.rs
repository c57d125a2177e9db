//! WAVE, also in its 64-bit forms RF64 and BW64 (EBU Tech 3306) and without an end, as programs write it to a pipe.

use bytes::Bytes;
use rtcast_track::{Codec, MediaKind, MediaTime};

use super::fields::Fields;
use super::input::Input;
use super::pcm::{self, PcmFormat};
use crate::error::MediaError;
use crate::packet::{Demuxer, EncodedChunk, Packet, SourceCodec, StreamInfo};
use crate::properties::PictureProperties;

/// Packets in a second: each has 20 ms.
const PACKETS_PER_SECOND: u32 = 50;

/// The longest `fmt ` chunk that is believed.
const LONGEST_FORMAT: u64 = 64 << 10;

/// A reader of WAVE.
pub(crate) struct Wav {
    input: Input,
    streams: [StreamInfo; 1],
    duration: Option<MediaTime>,
    format: PcmFormat,
    frame_bytes: u32,
    start: u64,
    /// Where the sound ends, `u64::MAX` if only the input's end tells.
    end: u64,
    /// Sample frames read.
    frames: i64,
}

impl Wav {
    pub(crate) fn open(mut input: Input) -> Result<Self, MediaError> {
        let cut = "it ends before its sound; the file was cut";
        let Some(head) = input.read_array::<12>()? else { return Err(input.invalid(cut)) };
        let is_long = !head.starts_with(b"RIFF");
        let mut format = None;
        let mut long_length = None;
        loop {
            let Some(head) = input.read_array::<8>()? else { return Err(input.invalid(cut)) };
            let [kind @ .., a, b, c, d] = head;
            let length = u64::from(u32::from_le_bytes([a, b, c, d]));
            match &kind {
                b"fmt " if length <= LONGEST_FORMAT => {
                    let Some(body) = input.read_vec(length + length % 2)? else { return Err(input.invalid(cut)) };
                    let Some(parsed) = Format::parse(&body) else {
                        return Err(input.invalid(
                            "its format (fmt chunk) is too short, or its channels or rate are not believable",
                        ));
                    };
                    format = Some(parsed);
                }
                b"ds64" if (24..=LONGEST_FORMAT).contains(&length) => {
                    let Some(body) = input.read_vec(length + length % 2)? else { return Err(input.invalid(cut)) };
                    let mut fields = Fields::new(&body);
                    long_length = fields.skip(8).and_then(|()| fields.u64_le());
                }
                b"data" => {
                    let Some(format) = format else {
                        return Err(input.invalid("its sound (data chunk) comes before its format (fmt chunk)"));
                    };
                    let length = match u32::try_from(length).unwrap_or(u32::MAX) {
                        u32::MAX if is_long => long_length,
                        // What is written to a pipe does not know its length.
                        0 | u32::MAX => None,
                        length => Some(length.into()),
                    };
                    return Ok(Self::new(input, &format, length));
                }
                _ => input.skip(length + length % 2)?,
            }
        }
    }

    fn new(input: Input, format: &Format, length: Option<u64>) -> Self {
        let start = input.position();
        let mut end = length.map_or(u64::MAX, |length| start.saturating_add(length));
        if let Some(file_end) = input.length() {
            end = end.min(file_end);
        }
        let (codec, codec_name, pcm) = match (format.pcm, format.tag) {
            (Some(pcm), _) => (SourceCodec::PcmS16, "PCM".into(), pcm),
            (None, 6) => pcm::law(Codec::Pcma, format.sample_rate, format.channels),
            (None, 7) => pcm::law(Codec::Pcmu, format.sample_rate, format.channels),
            (None, tag) => {
                let name = match tag {
                    2 => "ADPCM".into(),
                    0x11 => "IMA ADPCM".into(),
                    0x31 => "GSM 6.10".into(),
                    0x50 => "MP2".into(),
                    0x55 => "MP3".into(),
                    0x2000 => "AC-3".into(),
                    1 | 3 => format!("PCM of {} bits", format.bits),
                    other => format!("WAVE format {other:#x}"),
                };
                (SourceCodec::Other(name.clone()), name, PcmFormat::Bytes)
            }
        };
        let frame_bytes = pcm.bytes() * u32::from(format.channels);
        let frames = end.saturating_sub(start) / u64::from(frame_bytes);
        let duration = (end != u64::MAX)
            .then(|| MediaTime::from_ticks(i64::try_from(frames).unwrap_or(i64::MAX), format.sample_rate));
        let stream = StreamInfo {
            kind: MediaKind::Audio,
            codec,
            codec_name,
            extradata: Bytes::new(),
            width: 0,
            height: 0,
            frame_rate: 0.0,
            sample_rate: format.sample_rate,
            channels: format.channels,
            reordered: false,
            sdp_fmtp_line: None,
            picture: PictureProperties::default(),
        };
        Self { input, streams: [stream], duration, format: pcm, frame_bytes, start, end, frames: 0 }
    }
}

impl Demuxer for Wav {
    fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    fn duration(&self) -> Option<MediaTime> {
        self.duration
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        let rate = self.streams[0].sample_rate;
        let frame_bytes = u64::from(self.frame_bytes);
        let whole = u64::from((rate / PACKETS_PER_SECOND).max(1)) * frame_bytes;
        let left = self.end.saturating_sub(self.input.position());
        let mut data = self.input.read_up_to(whole.min(left))?;
        // A frame that is cut at the end is dropped.
        data.truncate(data.len() - data.len() % self.frame_bytes as usize);
        let frames = (data.len() as u64 / frame_bytes) as i64;
        if frames == 0 {
            return Ok(None);
        }
        let pts = MediaTime::from_ticks(self.frames, rate);
        self.frames += frames;
        let data = self.format.convert(data);
        let duration = MediaTime::from_ticks(frames, rate);
        Ok(Some(Packet::new(0, EncodedChunk::new(data, pts).with_duration(duration))))
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        if !self.input.is_seekable() {
            return Ok(false);
        }
        self.frames = 0;
        self.input.seek(self.start)
    }
}

/// The `fmt ` chunk.
struct Format {
    tag: u16,
    channels: u16,
    sample_rate: u32,
    bits: u16,
    pcm: Option<PcmFormat>,
}

impl Format {
    fn parse(body: &[u8]) -> Option<Self> {
        const EXTENSIBLE: u16 = 0xfffe;
        let mut fields = Fields::new(body);
        let mut tag = fields.u16_le()?;
        let channels = fields.u16_le()?;
        let sample_rate = fields.u32_le()?;
        fields.skip(6)?;
        let bits = fields.u16_le()?;
        if tag == EXTENSIBLE {
            // Behind the extension's length, the valid bits and the channel mask, the format's GUID begins with its tag.
            fields.skip(8)?;
            tag = fields.u16_le()?;
        }
        if !(1..=64).contains(&channels) || !(1_000..=1_000_000).contains(&sample_rate) {
            return None;
        }
        let pcm = match tag {
            1 | 3 => PcmFormat::new(bits.into(), tag == 3, false, bits == 8),
            _ => None,
        };
        Some(Self { tag, channels, sample_rate, bits, pcm })
    }
}
