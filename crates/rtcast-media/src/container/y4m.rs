//! YUV4MPEG2: uncompressed pictures behind lines of text. Only planar 4:2:0 of 8 bits is taken.

use bytes::Bytes;
use rtcast_track::{MediaKind, MediaTime};

use super::input::{Input, LONGEST_PACKET};
use crate::error::MediaError;
use crate::packet::{Demuxer, EncodedChunk, Packet, SourceCodec, StreamInfo};
use crate::properties::{FieldOrder, PictureProperties, ratio};

/// The longest line that is believed.
const LONGEST_LINE: usize = 1_024;

/// A reader of YUV4MPEG2.
pub(crate) struct Y4m {
    input: Input,
    streams: [StreamInfo; 1],
    /// Frames in `scale` seconds.
    rate: u32,
    scale: u32,
    picture_bytes: u64,
    start: u64,
    frames: i64,
}

impl Y4m {
    pub(crate) fn open(mut input: Input) -> Result<Self, MediaError> {
        let Some(line) = read_line(&mut input)? else {
            return Err(input.invalid("its first line does not end"));
        };
        let (mut width, mut height, mut rate, mut scale, mut colour) = (0u32, 0u32, 25u32, 1u32, "420");
        let mut picture = PictureProperties { bit_depth: 8, ..PictureProperties::default() };
        for word in line.split(' ').skip(1) {
            let (letter, value) = word.split_at_checked(1).unwrap_or_default();
            match letter {
                "W" => width = value.parse().unwrap_or(0),
                "H" => height = value.parse().unwrap_or(0),
                "F" => {
                    let parts =
                        value.split_once(':').and_then(|(rate, scale)| Some((rate.parse().ok()?, scale.parse().ok()?)));
                    (rate, scale) = parts.unwrap_or((0, 0));
                }
                "C" => colour = value,
                "A" => {
                    let parts = value.split_once(':').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
                    picture.sample_aspect_ratio = parts.and_then(|(width, height)| ratio(width, height));
                }
                "I" => {
                    picture.field_order = match value {
                        "p" => FieldOrder::Progressive,
                        "t" => FieldOrder::TopFirst,
                        "b" => FieldOrder::BottomFirst,
                        "m" => FieldOrder::Interlaced,
                        _ => FieldOrder::Unknown,
                    }
                }
                "X" => match value {
                    "COLORRANGE=FULL" => picture.colour.full_range = Some(true),
                    "COLORRANGE=LIMITED" => picture.colour.full_range = Some(false),
                    _ => {}
                },
                _ => {}
            }
        }
        if !matches!(colour, "420" | "420jpeg" | "420mpeg2" | "420paldv") {
            return Err(MediaError::Unsupported {
                what: format!("the colour format {colour} of {}", input.name()),
                hint: "4:2:0 with 8 bits was expected: ffmpeg -pix_fmt yuv420p".into(),
            });
        }
        let half = |size: u32| u64::from(size.div_ceil(2));
        let picture_bytes = u64::from(width) * u64::from(height) + 2 * half(width) * half(height);
        if width == 0 || height == 0 || picture_bytes > LONGEST_PACKET || rate == 0 || scale == 0 {
            return Err(input.invalid(format!("its first line gives no believable size and frame rate: {line}")));
        }
        let stream = StreamInfo {
            kind: MediaKind::Video,
            codec: SourceCodec::I420,
            codec_name: "I420".into(),
            extradata: Bytes::new(),
            width,
            height,
            frame_rate: f64::from(rate) / f64::from(scale),
            sample_rate: 0,
            channels: 0,
            reordered: false,
            sdp_fmtp_line: None,
            picture,
        };
        let start = input.position();
        Ok(Self { input, streams: [stream], rate, scale, picture_bytes, start, frames: 0 })
    }
}

impl Demuxer for Y4m {
    fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    fn duration(&self) -> Option<MediaTime> {
        None
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        let Some(line) = read_line(&mut self.input)? else { return Ok(None) };
        if !line.starts_with("FRAME") {
            let position = self.input.position();
            return Err(self.input.invalid(format!("a line FRAME was expected before byte {position}")));
        }
        let Some(data) = self.input.read_vec(self.picture_bytes)? else { return Ok(None) };
        let time = |frames: i64| MediaTime::from_ticks(frames.saturating_mul(self.scale.into()), self.rate);
        let pts = time(self.frames);
        self.frames += 1;
        let duration = time(self.frames).since(pts);
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

/// The next line without its end; `None` if none ends within reason.
fn read_line(input: &mut Input) -> Result<Option<String>, MediaError> {
    let mut line = Vec::new();
    while line.len() < LONGEST_LINE {
        match input.read_array()? {
            Some([b'\n']) => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
            Some([byte]) => line.push(byte),
            None => break,
        }
    }
    Ok(None)
}
