//! AAC-LC by symphonia: mono and stereo, without spectral band replication.

use rtcast_track::Codec;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder as _, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};
use symphonia::default::codecs::AacDecoder as Decoder;

use super::{AudioDecoder, codec_error};
use crate::error::MediaError;
use crate::packet::{EncodedChunk, StreamInfo};
use crate::raw::AudioFrame;

pub(super) struct AacDecoder {
    decoder: Decoder,
}

impl AacDecoder {
    /// A decoder for a stream whose `extradata` is its AudioSpecificConfig.
    pub(super) fn new(stream: &StreamInfo) -> Result<Self, MediaError> {
        let mut parameters = AudioCodecParameters::new();
        parameters.for_codec(CODEC_ID_AAC).with_sample_rate(stream.sample_rate);
        if !stream.extradata.is_empty() {
            parameters.with_extra_data(stream.extradata.to_vec().into_boxed_slice());
        }
        let decoder =
            Decoder::try_new(&parameters, &AudioDecoderOptions::default()).map_err(|reason| match reason {
                Error::Unsupported(_) => MediaError::Unsupported {
                    what: format!("decoding {} with {} channels", stream.codec_name, stream.channels),
                    hint: format!(
                        "only AAC-LC with one or two channels is built in; install `ffmpeg`, or convert the sound to {}",
                        Codec::Opus
                    ),
                },
                other => codec_error("AAC", other.to_string()),
            })?;
        Ok(Self { decoder })
    }
}

impl AudioDecoder for AacDecoder {
    fn decode(&mut self, chunk: &EncodedChunk) -> Result<Option<AudioFrame>, MediaError> {
        let reference = PacketRef::new(0, Timestamp::ZERO, Duration::ZERO, &chunk.data);
        let buffer = self.decoder.decode_ref(&reference).map_err(|reason| codec_error("AAC", reason.to_string()))?;
        let (rate, channels) = (buffer.spec().rate(), buffer.spec().channels().count());
        let mut samples: Vec<i16> = Vec::new();
        buffer.copy_to_vec_interleaved(&mut samples);
        Ok(u16::try_from(channels).ok().and_then(|channels| AudioFrame::new(samples, rate, channels, chunk.timestamp)))
    }
}
