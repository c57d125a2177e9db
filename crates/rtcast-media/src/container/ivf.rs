//! IVF: a header of 32 bytes, then frames behind headers of 12 bytes each.

use bytes::Bytes;
use rtcast_proto::payload;
use rtcast_track::{Codec, MediaKind, MediaTime};

use super::av1;
use super::fields::Fields;
use super::input::{Input, LONGEST_PACKET};
use crate::error::MediaError;
use crate::packet::{Demuxer, EncodedChunk, Packet, SourceCodec, StreamInfo};
use crate::properties::PictureProperties;

const HEADER: u64 = 32;

/// A reader of IVF.
pub(crate) struct Ivf {
    input: Input,
    streams: [StreamInfo; 1],
    codec: Option<Codec>,
    duration: Option<MediaTime>,
    /// A tick lasts `scale / rate` seconds.
    rate: u32,
    scale: u32,
    start: u64,
    sequence_header: Vec<u8>,
}

impl Ivf {
    pub(crate) fn open(mut input: Input) -> Result<Self, MediaError> {
        let Some(header) = input.read_array::<{ HEADER as usize }>()? else {
            return Err(input.invalid("it ends in the middle of its IVF header"));
        };
        let mut fields = Fields::new(&header);
        let parsed = (|| {
            fields.skip(6)?;
            let length = fields.u16_le()?;
            let four: [u8; 4] = fields.array()?;
            let (width, height) = (fields.u16_le()?, fields.u16_le()?);
            Some((length, four, width, height, fields.u32_le()?, fields.u32_le()?, fields.u32_le()?))
        })();
        let Some((length, four, width, height, rate, scale, frames)) = parsed else {
            return Err(input.invalid("its IVF header is too short"));
        };
        if rate == 0 || scale == 0 {
            return Err(input.invalid("its IVF header gives no time base"));
        }
        let codec = match &four {
            b"VP80" => Some(Codec::Vp8),
            b"VP90" => Some(Codec::Vp9),
            b"AV01" => Some(Codec::Av1),
            _ => None,
        };
        let (codec_of_source, name) = match codec {
            Some(codec) => (SourceCodec::Rtp(codec), codec.to_string()),
            None => {
                let name = format!("codec '{}'", four.escape_ascii());
                (SourceCodec::Other(name.clone()), name)
            }
        };
        let start = u64::from(length).max(HEADER);
        input.skip(start - HEADER)?;
        // A writer that could not go back leaves all bits set.
        let frames = if frames == u32::MAX { 0 } else { frames };
        let duration = MediaTime::from_ticks(i64::from(frames) * i64::from(scale), rate);
        let stream = StreamInfo {
            kind: MediaKind::Video,
            codec: codec_of_source,
            codec_name: name,
            extradata: Bytes::new(),
            width: width.into(),
            height: height.into(),
            // Many writers give milliseconds as time base, so the rate is measured.
            frame_rate: 0.0,
            sample_rate: 0,
            channels: 0,
            reordered: false,
            sdp_fmtp_line: None,
            picture: PictureProperties::default(),
        };
        Ok(Self {
            input,
            streams: [stream],
            codec,
            duration: (duration > MediaTime::ZERO).then_some(duration),
            rate,
            scale,
            start,
            sequence_header: Vec::new(),
        })
    }
}

impl Demuxer for Ivf {
    fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    fn duration(&self) -> Option<MediaTime> {
        self.duration
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        let Some(header) = self.input.read_array::<12>()? else { return Ok(None) };
        let mut fields = Fields::new(&header);
        let (Some(size), Some(ticks)) = (fields.u32_le(), fields.u64_le()) else { return Ok(None) };
        if u64::from(size) > LONGEST_PACKET {
            let position = self.input.position() - 12;
            return Err(self.input.invalid(format!("the frame at byte {position} claims {size} bytes")));
        }
        let Some(data) = self.input.read_vec(size.into())? else { return Ok(None) };
        let data = match self.codec {
            // Without a sequence header it is no keyframe, so none has to be put in front.
            Some(Codec::Av1) => av1::to_wire(&data, &mut self.sequence_header, false),
            _ => data,
        };
        let keyframe = match self.codec {
            Some(Codec::Av1) => payload::av1::is_keyframe(&data),
            Some(Codec::Vp8) => payload::vp8::is_keyframe(&data),
            Some(Codec::Vp9) => payload::vp9::is_keyframe(&data),
            _ => false,
        };
        let ticks = i64::try_from(ticks).unwrap_or(i64::MAX).saturating_mul(self.scale.into());
        let pts = MediaTime::from_ticks(ticks, self.rate);
        let duration = MediaTime::ZERO;
        Ok(Some(Packet::new(0, EncodedChunk::new(data, pts).with_duration(duration).with_keyframe(keyframe))))
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        if self.input.is_seekable() { self.input.seek(self.start) } else { Ok(false) }
    }
}
