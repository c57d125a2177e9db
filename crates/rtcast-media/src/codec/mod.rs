//! Encoders and decoders, each behind one trait per direction and kind.
//!
//! None of them delays: an encoder answers a picture with its packet at once. A decoder hands out pictures in the order
//! of presentation, which for H.264 with B-frames is some pictures later.

#[cfg(feature = "h264")]
mod h264;
#[cfg(feature = "opus")]
mod opus;
#[cfg(feature = "vpx")]
mod vpx;

mod aac;
mod fallback;
pub(crate) mod g711;
#[cfg(feature = "vpx")]
mod layout;
pub(crate) mod opus_head;
mod pcm;
pub mod resample;
mod yuv;

use rtcast_track::{Bitrate, Codec, Frame, MediaKind, RtpCodec};

pub(crate) use self::fallback::LastingDecoder;
#[cfg(feature = "opus")]
use self::opus_head::OpusHead;
use crate::container::FfmpegDecoder;
use crate::error::MediaError;
use crate::packet::{EncodedChunk, SourceCodec, StreamInfo};
use crate::raw::{AudioFrame, VideoFrame};

/// A compressor of pictures.
pub trait VideoEncoder: Send {
    /// The codec with its format parameters.
    fn codec(&self) -> RtpCodec;

    /// Compresses the next picture, whose timestamp must lie after that of the one before. `force_keyframe` makes it
    /// one from which decoding can start. `None`: the encoder left this picture out. The size may change from picture
    /// to picture; a keyframe follows.
    fn encode(&mut self, frame: &VideoFrame, force_keyframe: bool) -> Result<Option<Frame>, MediaError>;

    /// Aims at another bitrate from the next picture on, without a keyframe.
    fn set_bitrate(&mut self, bitrate: Bitrate) -> Result<(), MediaError>;
}

/// A decompressor of pictures.
pub trait VideoDecoder: Send {
    /// Takes the next packet, in decoding order, and returns the pictures that it completed, in the order of their
    /// presentation. Those of packets marked `discard` are left out. After an error it may go on with the next packet;
    /// pictures until the next keyframe may be wrong.
    fn decode(&mut self, chunk: &EncodedChunk) -> Result<Vec<VideoFrame>, MediaError>;

    /// Returns the pictures still held back and forgets the stream, so that another may begin with a keyframe.
    fn flush(&mut self) -> Result<Vec<VideoFrame>, MediaError>;
}

/// A compressor of sound.
pub trait AudioEncoder: Send {
    /// The codec with its format parameters.
    fn codec(&self) -> RtpCodec;

    /// Compresses the next piece, which must have exactly the rate, channels and length that this encoder asks for.
    fn encode(&mut self, frame: &AudioFrame) -> Result<Frame, MediaError>;
}

/// A decompressor of sound.
pub trait AudioDecoder: Send {
    /// Decodes the next packet. `None`: it held no sound.
    fn decode(&mut self, chunk: &EncodedChunk) -> Result<Option<AudioFrame>, MediaError>;
}

/// What a video encoder is set to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoEncoderSettings {
    /// The bitrate to aim at.
    pub bitrate: Bitrate,
    /// Pictures per second, for the rate control; what is not between 1 and 240 counts as 30.
    pub frame_rate: f64,
}

#[cfg(any(feature = "h264", feature = "vpx"))]
impl VideoEncoderSettings {
    /// The frame rate, made sane.
    fn sane_frame_rate(&self) -> f64 {
        if (1.0..=240.0).contains(&self.frame_rate) { self.frame_rate } else { 30.0 }
    }

    /// The bitrate, kept between 10 kb/s and 200 Mb/s, which all encoders take.
    fn sane_bitrate(&self) -> Bitrate {
        sane_bitrate(self.bitrate)
    }
}

/// The encoder of a codec. An error says why there is none and what to do.
///
/// ```
/// # #[cfg(feature = "vpx")] {
/// use rtcast_media::codec::{VideoEncoderSettings, video_encoder};
/// use rtcast_media::pattern::{PatternOptions, TestPattern};
/// use rtcast_media::raw::VideoFrame;
/// use rtcast_track::{Bitrate, Codec, MediaTime};
///
/// let pattern = TestPattern::new(PatternOptions { width: 160, height: 90, frame_rate: 30 });
/// let picture = VideoFrame::new(pattern.picture(0), 160, 90, MediaTime::ZERO).ok_or("another size")?;
/// let settings = VideoEncoderSettings { bitrate: Bitrate::from_kbps(300), frame_rate: 30.0 };
/// let mut encoder = video_encoder(Codec::Vp8, settings)?;
/// let frame = encoder.encode(&picture, false)?.ok_or("it was left out")?;
/// assert!(frame.keyframe && frame.data.len() < picture.data().len());
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg_attr(
    not(any(feature = "h264", feature = "vpx")),
    expect(unused_variables, reason = "there is no encoder to set")
)]
pub fn video_encoder(codec: Codec, settings: VideoEncoderSettings) -> Result<Box<dyn VideoEncoder>, MediaError> {
    match codec {
        #[cfg(feature = "h264")]
        Codec::H264 => Ok(Box::new(h264::H264Encoder::new(settings))),
        #[cfg(feature = "vpx")]
        Codec::Vp8 => Ok(Box::new(vpx::Vp8Encoder::new(settings))),
        _ => Err(MediaError::Unsupported {
            what: format!("encoding {codec}"),
            hint: "this build encodes VP8 with the cargo feature `vpx` and H.264 with `h264`".into(),
        }),
    }
}

/// The encoder of a codec with these format parameters: H.264 of packetization mode 0 has slices that each fit a packet.
pub fn video_encoder_of(codec: &RtpCodec, settings: VideoEncoderSettings) -> Result<Box<dyn VideoEncoder>, MediaError> {
    match codec.codec {
        #[cfg(feature = "h264")]
        Codec::H264 if is_single_nal_units(codec) => Ok(Box::new(h264::H264Encoder::with_small_slices(settings))),
        codec => video_encoder(codec, settings),
    }
}

/// H.264 as single NAL units (RFC 6184 §6.2), for viewers that take nothing else: those that name no packetization mode.
pub fn single_nal_unit_codec() -> RtpCodec {
    RtpCodec::with_fmtp(Codec::H264, "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f")
}

/// Whether this is H.264 as single NAL units.
pub(crate) fn is_single_nal_units(codec: &RtpCodec) -> bool {
    codec.codec == Codec::H264 && codec.parameter("packetization-mode") == Some("0")
}

/// Whether [`video_encoder`] makes an encoder of this codec.
pub const fn can_encode(codec: Codec) -> bool {
    match codec {
        Codec::H264 => cfg!(feature = "h264"),
        Codec::Vp8 => cfg!(feature = "vpx"),
        Codec::Opus => cfg!(feature = "opus"),
        Codec::Pcmu | Codec::Pcma => true,
        Codec::Vp9 | Codec::Av1 => false,
    }
}

/// The codec with the format parameters of what our encoder makes of it.
pub fn encoded_codec(codec: Codec) -> RtpCodec {
    match codec {
        // RFC 6184 §8.1: constrained baseline, level 3.1, which both browsers offer.
        Codec::H264 => {
            RtpCodec::with_fmtp(codec, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f")
        }
        // RFC 7587 §6.1: `stereo` is what this side likes to receive, `sprop-stereo` what it is likely to send.
        Codec::Opus => RtpCodec::with_fmtp(codec, "minptime=10;sprop-stereo=1;stereo=1;useinbandfec=1"),
        Codec::Vp8 | Codec::Vp9 | Codec::Av1 | Codec::Pcmu | Codec::Pcma => RtpCodec::new(codec),
    }
}

/// The decoder of a stream of pictures. An error names the codec and says what to install or to switch on.
///
/// ```
/// # #[cfg(feature = "vpx")] {
/// use rtcast_media::codec::{VideoEncoderSettings, video_decoder, video_encoder};
/// use rtcast_media::pattern::{PatternOptions, TestPattern};
/// use rtcast_media::{Demuxer, SourceCodec, StreamInfo};
/// # use rtcast_media::raw::VideoFrame;
/// # use rtcast_track::{Bitrate, Codec, MediaTime};
///
/// let pattern = TestPattern::new(PatternOptions { width: 160, height: 90, frame_rate: 30 });
/// # let picture = VideoFrame::new(pattern.picture(0), 160, 90, MediaTime::ZERO).ok_or("another size")?;
/// # let settings = VideoEncoderSettings { bitrate: Bitrate::from_kbps(300), frame_rate: 30.0 };
/// # let encoded = video_encoder(Codec::Vp8, settings)?.encode(&picture, true)?.ok_or("it was left out")?;
/// let stream = StreamInfo { codec: SourceCodec::Rtp(encoded.codec), ..pattern.streams()[0].clone() };
/// let mut decoder = video_decoder(&stream)?;
/// let pictures = decoder.decode(&(&encoded).into())?;
/// assert_eq!((pictures[0].width(), pictures[0].height()), (160, 90));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn video_decoder(stream: &StreamInfo) -> Result<Box<dyn VideoDecoder>, MediaError> {
    match &stream.codec {
        #[cfg(feature = "h264")]
        SourceCodec::Rtp(Codec::H264) if has_common_profile(stream) => Ok(Box::new(h264::H264Decoder::new()?)),
        #[cfg(feature = "vpx")]
        SourceCodec::Rtp(Codec::Vp8) => Ok(Box::new(vpx::VpxDecoder::new(Codec::Vp8)?)),
        #[cfg(feature = "vpx")]
        SourceCodec::Rtp(Codec::Vp9) => Ok(Box::new(vpx::VpxDecoder::new(Codec::Vp9)?)),
        SourceCodec::I420 => Ok(Box::new(yuv::I420Decoder::new(stream.width, stream.height))),
        // AV1, and H.264 of other than 8 bits and 4:2:0.
        _ => FfmpegDecoder::new(stream).map_or_else(|| Err(no_decoder(stream)), |decoder| Ok(Box::new(decoder) as _)),
    }
}

/// The decoder of a stream of sound. An error names the codec and says what to install or to switch on.
pub fn audio_decoder(stream: &StreamInfo) -> Result<Box<dyn AudioDecoder>, MediaError> {
    match &stream.codec {
        #[cfg(feature = "opus")]
        SourceCodec::Rtp(Codec::Opus) => Ok(Box::new(opus::OpusDecoder::new(&OpusHead::of(stream))?)),
        SourceCodec::Rtp(Codec::Pcmu) => Ok(Box::new(g711::G711Decoder::new(g711::Law::Mu, stream.channels))),
        SourceCodec::Rtp(Codec::Pcma) => Ok(Box::new(g711::G711Decoder::new(g711::Law::A, stream.channels))),
        SourceCodec::Aac => Ok(Box::new(aac::AacDecoder::new(stream)?)),
        SourceCodec::PcmS16 => Ok(Box::new(pcm::PcmDecoder::new(stream.sample_rate, stream.channels))),
        _ => Err(no_decoder(stream)),
    }
}

/// The encoder of a codec of sound, which takes pieces of 20 ms of 48 kHz stereo. The bitrate is Opus's; G.711 has one
/// of its own.
///
/// ```
/// use rtcast_media::codec::audio_encoder;
/// use rtcast_media::raw::AudioFrame;
/// use rtcast_track::{Bitrate, Codec, MediaTime};
///
/// let silence = AudioFrame::new(vec![0; 2 * 960], 48_000, 2, MediaTime::ZERO).ok_or("no sound")?;
/// let mut encoder = audio_encoder(Codec::Pcmu, Bitrate::from_kbps(64))?;
/// assert_eq!(encoder.encode(&silence)?.data.len(), 160, "20 ms of 8,000 bytes a second");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn audio_encoder(codec: Codec, bitrate: Bitrate) -> Result<Box<dyn AudioEncoder>, MediaError> {
    match codec {
        Codec::Pcmu => Ok(Box::new(g711::G711Encoder::new(g711::Law::Mu)?)),
        Codec::Pcma => Ok(Box::new(g711::G711Encoder::new(g711::Law::A)?)),
        Codec::Opus => opus_encoder(bitrate),
        other => Err(MediaError::Unsupported {
            what: format!("encoding {other} as sound"),
            hint: "sound is encoded to Opus, PCMU and PCMA".into(),
        }),
    }
}

/// The Opus encoder: 48 kHz, two channels, pieces of 20 ms.
pub fn opus_encoder(bitrate: Bitrate) -> Result<Box<dyn AudioEncoder>, MediaError> {
    #[cfg(feature = "opus")]
    {
        Ok(Box::new(opus::OpusEncoder::new(bitrate)?))
    }
    #[cfg(not(feature = "opus"))]
    {
        let _ = bitrate;
        Err(MediaError::Unsupported {
            what: "encoding Opus".into(),
            hint: "build with the cargo feature `opus`, which needs libopus".into(),
        })
    }
}

/// Whether an H.264 stream is of a profile that browsers, and the decoder here, take: 8 bits and 4:2:0. True where the
/// profile is not known.
pub(crate) fn has_common_profile(stream: &StreamInfo) -> bool {
    let codec = RtpCodec { codec: Codec::H264, sdp_fmtp_line: stream.sdp_fmtp_line.clone() };
    let profile = codec.parameter("profile-level-id").and_then(|id| u8::from_str_radix(id.get(..2)?, 16).ok());
    // ISO/IEC 14496-10 annex A: baseline, main, extended and high.
    profile.is_none_or(|profile| matches!(profile, 66 | 77 | 88 | 100))
}

fn no_decoder(stream: &StreamInfo) -> MediaError {
    let hint = match (&stream.codec, stream.kind) {
        (SourceCodec::Rtp(Codec::H264), _) if !has_common_profile(stream) => {
            "install `ffmpeg`, or convert the pictures to 8 bits and 4:2:0"
        }
        (SourceCodec::Rtp(Codec::H264), _) => "build with the cargo feature `h264`",
        (SourceCodec::Rtp(Codec::Vp8 | Codec::Vp9), _) => "build with the cargo feature `vpx`, which needs libvpx",
        (SourceCodec::Rtp(Codec::Opus), _) => "build with the cargo feature `opus`, which needs libopus",
        (_, MediaKind::Video) => "install `ffmpeg`, or convert the file to H.264, VP8 or VP9",
        (_, MediaKind::Audio) => "install `ffmpeg`, or convert the sound to AAC, Opus or PCM",
    };
    MediaError::Unsupported { what: format!("decoding {}", stream.codec_name), hint: hint.into() }
}

#[cfg(any(feature = "h264", feature = "vpx"))]
fn sane_bitrate(bitrate: Bitrate) -> Bitrate {
    bitrate.clamp(Bitrate::from_kbps(10), Bitrate::from_kbps(200_000))
}

fn codec_error(codec: impl Into<String>, reason: impl Into<String>) -> MediaError {
    MediaError::Codec { codec: codec.into(), reason: reason.into() }
}
