//! Sound that is re-encoded: decoded once, brought to 48 kHz stereo, and encoded in pieces of 20 ms, once per codec.

use rtcast_track::{Bitrate, Codec, Frame, MediaTime};

use crate::codec::resample::AudioConverter;
use crate::codec::{AudioDecoder, AudioEncoder, audio_decoder, audio_encoder};
use crate::error::MediaError;
use crate::packet::{Packet, StreamInfo};
use crate::raw::AudioFrame;

/// A container that counts milliseconds is off by less than this.
const ROUNDED: MediaTime = MediaTime::from_micros(2_000);

/// Frames, each for a broadcast.
pub(super) type Encoded = Result<Vec<(usize, Frame)>, MediaError>;

pub(super) struct AudioTranscoder {
    stream: StreamInfo,
    decoder: Box<dyn AudioDecoder>,
    converter: AudioConverter,
    targets: Vec<Target>,
}

/// One encoder, for one broadcast.
struct Target {
    broadcast: usize,
    encoder: Box<dyn AudioEncoder>,
}

impl AudioTranscoder {
    pub(super) fn new(stream: &StreamInfo) -> Result<Self, MediaError> {
        let (decoder, converter) = (audio_decoder(stream)?, AudioConverter::new());
        Ok(Self { stream: stream.clone(), decoder, converter, targets: Vec::new() })
    }

    /// From now on, encodes for this broadcast as well.
    pub(super) fn add(&mut self, broadcast: usize, codec: Codec, bitrate: Bitrate) -> Result<(), MediaError> {
        self.targets.push(Target { broadcast, encoder: audio_encoder(codec, bitrate)? });
        Ok(())
    }

    /// The broadcasts that are encoded for.
    pub(super) fn broadcasts(&self) -> impl Iterator<Item = usize> {
        self.targets.iter().map(|target| target.broadcast)
    }

    /// Takes the next packet and returns the frames that it completed, for the broadcasts that are wanted.
    pub(super) fn push(&mut self, packet: &Packet, wanted: &dyn Fn(usize) -> bool) -> Encoded {
        let sound = self.decoder.decode(&packet.chunk)?;
        match sound.filter(|_| !packet.chunk.discard) {
            Some(mut sound) => {
                // The last packet is longer than what is to be heard of it; other durations are rounded.
                if packet.chunk.duration > MediaTime::ZERO && sound.duration().since(packet.chunk.duration) > ROUNDED {
                    sound = sound.cut_to(packet.chunk.duration);
                }
                let pieces = self.converter.push(&sound)?;
                self.encode(&pieces, wanted)
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
    pub(super) fn finish(&mut self, wanted: &dyn Fn(usize) -> bool) -> Encoded {
        let pieces = self.converter.finish()?;
        self.encode(&pieces, wanted)
    }

    fn encode(&mut self, pieces: &[AudioFrame], wanted: &dyn Fn(usize) -> bool) -> Encoded {
        let mut frames = Vec::new();
        for target in self.targets.iter_mut().filter(|target| wanted(target.broadcast)) {
            for piece in pieces {
                frames.push((target.broadcast, target.encoder.encode(piece)?));
            }
        }
        Ok(frames)
    }
}
