//! Pictures that are not compressed.

use super::{VideoDecoder, codec_error};
use crate::error::MediaError;
use crate::packet::EncodedChunk;
use crate::raw::VideoFrame;

/// Takes packets that are planar 4:2:0 pictures already.
pub(super) struct I420Decoder {
    width: u32,
    height: u32,
}

impl I420Decoder {
    pub(super) const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }
}

impl VideoDecoder for I420Decoder {
    fn decode(&mut self, chunk: &EncodedChunk) -> Result<Vec<VideoFrame>, MediaError> {
        let frame = VideoFrame::new(chunk.data.clone(), self.width, self.height, chunk.timestamp).ok_or_else(|| {
            let (length, width, height) = (chunk.data.len(), self.width, self.height);
            codec_error("raw video", format!("{length} bytes are not a 4:2:0 picture of {width}x{height}"))
        })?;
        Ok(if chunk.discard { Vec::new() } else { vec![frame] })
    }

    fn flush(&mut self) -> Result<Vec<VideoFrame>, MediaError> {
        Ok(Vec::new())
    }
}
