//! Sound that is not compressed.

use super::AudioDecoder;
use crate::error::MediaError;
use crate::packet::EncodedChunk;
use crate::raw::AudioFrame;

/// Interleaved samples of 16 bits, little-endian.
pub(super) struct PcmDecoder {
    rate: u32,
    channels: u16,
}

impl PcmDecoder {
    pub(super) const fn new(rate: u32, channels: u16) -> Self {
        Self { rate, channels }
    }
}

impl AudioDecoder for PcmDecoder {
    fn decode(&mut self, chunk: &EncodedChunk) -> Result<Option<AudioFrame>, MediaError> {
        let samples = chunk.data.as_chunks().0.iter().map(|&pair| i16::from_le_bytes(pair)).collect();
        Ok(AudioFrame::new(samples, self.rate, self.channels, chunk.timestamp))
    }
}
