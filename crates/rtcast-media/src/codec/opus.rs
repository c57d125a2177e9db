//! Opus by libopus.
#![expect(unsafe_code, reason = "libopus is a C library; this module is the safe wall round it")]

use std::ffi::CStr;
use std::os::raw::c_int;
use std::ptr::NonNull;

use opusic_sys as ffi;
use rtcast_track::{Bitrate, Codec, Frame, MediaTime, RtpCodec};

use super::opus_head::{LARGEST_PACKET, OpusHead};
use super::{AudioDecoder, AudioEncoder, codec_error, encoded_codec};
use crate::error::MediaError;
use crate::packet::EncodedChunk;
use crate::raw::AudioFrame;

/// Opus always runs at 48 kHz here, whatever the band of the sound.
const RATE: u32 = 48_000;
const CHANNELS: usize = 2;
/// 20 ms.
const FRAME_SAMPLES: usize = 960;
/// RFC 6716 §2.1.4: a packet holds at most 120 ms.
const MAXIMUM_SAMPLES: usize = 5_760;
/// What an encoder may make of 20 ms. RFC 6716 §3.2.1 allows a frame of 1,275 bytes, but not every path carries that in
/// one datagram, and RFC 7587 §4.2 has no way to cut one.
const MAXIMUM_PACKET: usize = LARGEST_PACKET;

/// Stereo, 20 ms a packet.
pub(super) struct OpusEncoder {
    raw: NonNull<ffi::OpusEncoder>,
    look_ahead: MediaTime,
}

// SAFETY: libopus's encoder has no tie to the thread that made it; all calls go through `&mut self`.
unsafe impl Send for OpusEncoder {}

impl OpusEncoder {
    pub(super) fn new(bitrate: Bitrate) -> Result<Self, MediaError> {
        let mut code = 0;
        // SAFETY: the arguments are among those that libopus takes, and `code` lives through the call.
        let raw = unsafe {
            ffi::opus_encoder_create(RATE as i32, CHANNELS as c_int, ffi::OPUS_APPLICATION_AUDIO, &raw mut code)
        };
        let raw = NonNull::new(raw).ok_or_else(|| describe(code))?;
        let mut encoder = Self { raw, look_ahead: MediaTime::ZERO };
        let bitrate = bitrate.clamp(Bitrate::from_kbps(6), Bitrate::from_kbps(510)).as_bps();
        for (request, value) in [
            (ffi::OPUS_SET_BITRATE_REQUEST, bitrate as c_int),
            (ffi::OPUS_SET_COMPLEXITY_REQUEST, 8),
            (ffi::OPUS_SET_INBAND_FEC_REQUEST, 1),
        ] {
            // SAFETY: the encoder lives, and each of these requests takes one int.
            check(unsafe { ffi::opus_encoder_ctl(encoder.raw.as_ptr(), request, value) })?;
        }
        let mut samples: c_int = 0;
        // SAFETY: the encoder lives, and this request takes a pointer to an int, which lives through the call.
        check(unsafe {
            ffi::opus_encoder_ctl(encoder.raw.as_ptr(), ffi::OPUS_GET_LOOKAHEAD_REQUEST, &raw mut samples)
        })?;
        encoder.look_ahead = MediaTime::from_ticks(samples.into(), RATE);
        Ok(encoder)
    }
}

impl AudioEncoder for OpusEncoder {
    fn codec(&self) -> RtpCodec {
        encoded_codec(Codec::Opus)
    }

    fn encode(&mut self, frame: &AudioFrame) -> Result<Frame, MediaError> {
        if frame.rate() != RATE || frame.samples().len() != FRAME_SAMPLES * CHANNELS {
            return Err(codec_error("Opus", format!("the encoder takes 20 ms of 48 kHz stereo, not {frame:?}")));
        }
        let mut data = vec![0; MAXIMUM_PACKET];
        // SAFETY: the encoder lives; the input has 960 samples of both channels, as just checked, and the output has
        // as many bytes as it says.
        let length = check(unsafe {
            let (input, output) = (frame.samples().as_ptr(), data.as_mut_ptr());
            ffi::opus_encode(self.raw.as_ptr(), input, FRAME_SAMPLES as c_int, output, MAXIMUM_PACKET as i32)
        })?;
        data.truncate(length);
        // What a decoder hears first in this packet is what went in this much earlier.
        let timestamp = frame.timestamp().since(self.look_ahead);
        Ok(Frame::new(Codec::Opus, data, timestamp))
    }
}

impl Drop for OpusEncoder {
    fn drop(&mut self) {
        // SAFETY: the encoder was created and is destroyed once, here.
        unsafe { ffi::opus_encoder_destroy(self.raw.as_ptr()) };
    }
}

/// Decodes to 48 kHz. Streams of one or two channels come out in stereo, as every Opus decoder can; those of more in the
/// order of WAVE.
pub(super) struct OpusDecoder {
    raw: NonNull<ffi::OpusMSDecoder>,
    channels: usize,
    /// Which of the decoded channels stands where.
    order: &'static [usize],
}

// SAFETY: libopus's decoder has no tie to the thread that made it; all calls go through `&mut self`.
unsafe impl Send for OpusDecoder {}

impl OpusDecoder {
    /// A decoder for streams with this head.
    pub(super) fn new(head: &OpusHead) -> Result<Self, MediaError> {
        let mut code = 0;
        let (channels, order) = match head.family {
            // RFC 7845 §5.1.1.1: one stream, whose decoder makes stereo of mono.
            0 => (CHANNELS, &[0, 1][..]),
            _ => (head.mapping.len(), wave_order(head.family, head.mapping.len())),
        };
        let (streams, coupled, mapping) = match head.family {
            0 => (1, 1, &[0, 1][..]),
            _ => (c_int::from(head.streams), c_int::from(head.coupled), &head.mapping[..]),
        };
        // SAFETY: libopus reads `channels` bytes of the mapping, which are as many as it has, checks all numbers, and
        // `code` lives through the call.
        let raw = unsafe {
            let (rate, count) = (RATE as i32, channels as c_int);
            ffi::opus_multistream_decoder_create(rate, count, streams, coupled, mapping.as_ptr(), &raw mut code)
        };
        let decoder = Self { raw: NonNull::new(raw).ok_or_else(|| describe(code))?, channels, order };
        // SAFETY: the decoder lives, and this request takes one int.
        check(unsafe {
            ffi::opus_multistream_decoder_ctl(decoder.raw.as_ptr(), ffi::OPUS_SET_GAIN_REQUEST, c_int::from(head.gain))
        })?;
        Ok(decoder)
    }
}

impl AudioDecoder for OpusDecoder {
    fn decode(&mut self, chunk: &EncodedChunk) -> Result<Option<AudioFrame>, MediaError> {
        if chunk.data.is_empty() {
            return Ok(None); // libopus would take it for a loss
        }
        let length = i32::try_from(chunk.data.len()).map_err(|_| codec_error("Opus", "a packet is too long"))?;
        let mut samples = vec![0_i16; MAXIMUM_SAMPLES * self.channels];
        // SAFETY: the decoder lives, the input has `length` bytes, the output room for as many samples of all
        // channels as is said.
        let count = check(unsafe {
            let (input, output) = (chunk.data.as_ptr(), samples.as_mut_ptr());
            ffi::opus_multistream_decode(self.raw.as_ptr(), input, length, output, MAXIMUM_SAMPLES as c_int, 0)
        })?;
        samples.truncate(count * self.channels);
        if self.order.len() > CHANNELS {
            let mut decoded = Vec::with_capacity(self.channels);
            for piece in samples.chunks_exact_mut(self.channels) {
                decoded.clear();
                decoded.extend_from_slice(piece);
                for (to, from) in piece.iter_mut().zip(self.order) {
                    *to = decoded[*from];
                }
            }
        }
        Ok(AudioFrame::new(samples, RATE, self.channels as u16, chunk.timestamp))
    }
}

impl Drop for OpusDecoder {
    fn drop(&mut self) {
        // SAFETY: the decoder was created and is destroyed once, here.
        unsafe { ffi::opus_multistream_decoder_destroy(self.raw.as_ptr()) };
    }
}

/// Which channel of RFC 7845 §5.1.1.2, the order of Vorbis, stands at each place of WAVE's; nothing where the order is
/// another or does not matter.
const fn wave_order(family: u8, channels: usize) -> &'static [usize] {
    match (family, channels) {
        (1, 3) => &[0, 2, 1],
        (1, 5) => &[0, 2, 1, 3, 4],
        (1, 6) => &[0, 2, 1, 5, 3, 4],
        (1, 7) => &[0, 2, 1, 6, 5, 3, 4],
        (1, 8) => &[0, 2, 1, 7, 5, 6, 3, 4],
        _ => &[],
    }
}

/// The count that a call returned, or the error that a negative number means.
fn check(result: c_int) -> Result<usize, MediaError> {
    usize::try_from(result).map_err(|_| describe(result))
}

fn describe(code: c_int) -> MediaError {
    // SAFETY: opus_strerror returns a static, terminated string for every value.
    let text = unsafe { CStr::from_ptr(ffi::opus_strerror(code)) };
    codec_error("Opus", text.to_string_lossy())
}
