//! Sound that is re-encoded: decoded, brought to 48 kHz stereo, and encoded in pieces of 20 ms.

use rtcast_peer::{Bitrate, EncodedFrame, MediaTime};

use crate::codec::resample::AudioConverter;
use crate::codec::{AudioDecoder, AudioEncoder, audio_decoder, opus_encoder};
use crate::error::MediaError;
use crate::packet::{Packet, StreamInfo};
use crate::raw::AudioFrame;

/// A container that counts milliseconds is off by less than this.
const ROUNDED: MediaTime = MediaTime::from_micros(2_000);

pub(super) struct AudioTranscoder {
    stream: StreamInfo,
    decoder: Box<dyn AudioDecoder>,
    converter: AudioConverter,
    encoder: Box<dyn AudioEncoder>,
}

impl AudioTranscoder {
    pub(super) fn new(stream: &StreamInfo, bitrate: Bitrate) -> Result<Self, MediaError> {
        Ok(Self {
            stream: stream.clone(),
            decoder: audio_decoder(stream)?,
            converter: AudioConverter::new(),
            encoder: opus_encoder(bitrate)?,
        })
    }

    /// Takes the next packet and returns the frames that it completed.
    pub(super) fn push(&mut self, packet: &Packet) -> Result<Vec<EncodedFrame>, MediaError> {
        let sound = self.decoder.decode(packet)?;
        match sound.filter(|_| !packet.discard) {
            Some(mut sound) => {
                // The last packet is longer than what is to be heard of it; other durations are rounded.
                if packet.duration > MediaTime::ZERO && sound.duration().since(packet.duration) > ROUNDED {
                    sound = sound.cut_to(packet.duration);
                }
                let pieces = self.converter.push(&sound)?;
                self.encode(&pieces)
            }
            None => Ok(Vec::new()),
        }
    }

    /// Prepares for the stream to begin anew, right behind what was heard last.
    pub(super) fn rewind(&mut self) -> Result<(), MediaError> {
        self.decoder = audio_decoder(&self.stream)?;
        Ok(())
    }

    /// The rest.
    pub(super) fn finish(&mut self) -> Result<Vec<EncodedFrame>, MediaError> {
        let pieces = self.converter.finish()?;
        self.encode(&pieces)
    }

    fn encode(&mut self, pieces: &[AudioFrame]) -> Result<Vec<EncodedFrame>, MediaError> {
        pieces.iter().map(|piece| self.encoder.encode(piece)).collect()
    }
}
