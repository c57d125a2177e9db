//! AAC behind ADTS headers: ISO/IEC 13818-7 §6.2.

use bytes::Bytes;
use rtcast_track::{MediaKind, MediaTime};

use super::aac;
use super::input::Input;
use crate::error::MediaError;
use crate::packet::{Demuxer, EncodedChunk, Packet, SourceCodec, StreamInfo};
use crate::properties::PictureProperties;

/// Sample frames in one AAC frame.
const FRAME: i64 = 1_024;

/// A reader of ADTS.
pub(crate) struct Adts {
    input: Input,
    streams: [StreamInfo; 1],
    start: u64,
    frames: i64,
}

/// One frame's header.
pub(crate) struct Header {
    object_type: u8,
    sample_rate: u32,
    channels: u16,
    header_bytes: usize,
    pub(crate) frame_bytes: usize,
}

impl Header {
    /// Reads a header; `None` if it is none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let [0xff, b1, b2, b3, b4, b5, _] = *bytes.first_chunk::<7>()? else { return None };
        // Twelve bits of sync word, and a layer of 0, which tells it from MPEG-1 audio.
        if b1 & 0xf6 != 0xf0 {
            return None;
        }
        let header_bytes = if b1 & 1 == 0 { 9 } else { 7 };
        let frame_bytes = usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5 >> 5);
        let channels = match (b2 & 1) << 2 | b3 >> 6 {
            7 => 8,
            channels => channels.into(),
        };
        let sample_rate = aac::rate_of_index(b2 >> 2 & 15)?;
        (frame_bytes > header_bytes).then_some(Self {
            object_type: (b2 >> 6) + 1,
            sample_rate,
            channels,
            header_bytes,
            frame_bytes,
        })
    }
}

impl Adts {
    pub(crate) fn open(mut input: Input) -> Result<Self, MediaError> {
        let start = input.position();
        let Some(header) = Header::parse(input.peek(7)?) else {
            return Err(input.invalid("it does not begin with an ADTS header"));
        };
        let config = match header.object_type {
            2 => aac::low_complexity_config(header.sample_rate, header.channels),
            _ => None,
        };
        let codec_name = match header.object_type {
            1 => "AAC Main",
            2 => "AAC",
            3 => "AAC SSR",
            _ => "AAC LTP",
        };
        let codec = if config.is_some() { SourceCodec::Aac } else { SourceCodec::Other(codec_name.into()) };
        let stream = StreamInfo {
            kind: MediaKind::Audio,
            codec,
            codec_name: codec_name.into(),
            extradata: Bytes::from(config.unwrap_or_default()),
            width: 0,
            height: 0,
            frame_rate: 0.0,
            sample_rate: header.sample_rate,
            channels: header.channels,
            reordered: false,
            sdp_fmtp_line: None,
            picture: PictureProperties::default(),
        };
        Ok(Self { input, streams: [stream], start, frames: 0 })
    }
}

impl Demuxer for Adts {
    fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    fn duration(&self) -> Option<MediaTime> {
        None
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        let header = loop {
            let head = self.input.peek(7)?;
            if head.len() < 7 {
                return Ok(None);
            }
            match Header::parse(head) {
                Some(header) => break header,
                // Damaged: go to what may be the next header.
                None => self.input.skip(1)?,
            }
        };
        self.input.skip(header.header_bytes as u64)?;
        let length = header.frame_bytes - header.header_bytes;
        let Some(data) = self.input.read_vec(length as u64)? else { return Ok(None) };
        let rate = self.streams[0].sample_rate;
        let pts = MediaTime::from_ticks(self.frames * FRAME, rate);
        self.frames += 1;
        let duration = MediaTime::from_ticks(FRAME, rate);
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
