//! H.264 by OpenH264.
#![expect(unsafe_code, reason = "some options of a running encoder can be set through the C interface alone")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate, FrameType, Profile, RateControlMode, UsageType, VuiConfig,
};
use openh264::formats::{YUVSlices, YUVSource};
use openh264_sys2::{
    ENCODER_OPTION_BITRATE, ENCODER_OPTION_MAX_BITRATE, ENCODER_OPTION_TRACE_LEVEL, SBitrateInfo, SPATIAL_LAYER_0,
    SPATIAL_LAYER_ALL, WELS_LOG_QUIET,
};
use rtcast_proto::{ColorRange, ColorSpace};
use rtcast_track::{Bitrate, Codec, Frame, MediaTime, RtpCodec};

use super::{
    VideoDecoder, VideoEncoder, VideoEncoderSettings, codec_error, encoded_codec, sane_bitrate, single_nal_unit_codec,
};
use crate::error::MediaError;
use crate::packet::EncodedChunk;
use crate::raw::{Plane, VideoFrame};

/// The most pictures that a decoder may hold back: H.264's own limit of the decoded picture buffer is 16.
const MAXIMUM_HELD: usize = 32;

/// The longest slice where each must fit a packet, in bytes: a packet carries some 1,100.
const SMALL_SLICE: u32 = 1_000;

/// Constrained baseline, no reordering, parameter sets before every keyframe, keyframes on demand and at scene cuts.
pub(super) struct H264Encoder {
    settings: VideoEncoderSettings,
    /// Whether each slice fits a packet.
    small_slices: bool,
    running: Option<Running>,
}

struct Running {
    encoder: Encoder,
    size: (u32, u32),
    color_space: ColorSpace,
}

impl H264Encoder {
    pub(super) const fn new(settings: VideoEncoderSettings) -> Self {
        Self { settings, small_slices: false, running: None }
    }

    /// One whose NAL units each fit a packet, for packetization mode 0.
    pub(super) const fn with_small_slices(settings: VideoEncoderSettings) -> Self {
        Self { settings, small_slices: true, running: None }
    }

    fn start(&self, color_space: ColorSpace) -> Result<Encoder, MediaError> {
        let config = EncoderConfig::new()
            .profile(Profile::Baseline)
            .usage_type(UsageType::CameraVideoRealTime)
            .complexity(Complexity::Medium)
            .rate_control_mode(RateControlMode::Bitrate)
            .bitrate(BitRate::from_bps(bits(self.settings.bitrate)))
            .max_frame_rate(FrameRate::from_hz(self.settings.sane_frame_rate() as f32))
            .skip_frames(false)
            .num_threads(1)
            .vui(colours(color_space));
        let config = if self.small_slices { config.max_slice_len(SMALL_SLICE) } else { config };
        let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config).map_err(error)?;
        let mut quiet = WELS_LOG_QUIET;
        // The first picture makes OpenH264 warn on standard error that no picture may be left out.
        // SAFETY: the encoder lives; this option may be set before the encoder is initialised, reads an int, and keeps
        // no pointer to it.
        unsafe { encoder.raw_api().set_option(ENCODER_OPTION_TRACE_LEVEL, (&raw mut quiet).cast()) };
        Ok(encoder)
    }
}

impl VideoEncoder for H264Encoder {
    fn codec(&self) -> RtpCodec {
        if self.small_slices { single_nal_unit_codec() } else { encoded_codec(Codec::H264) }
    }

    fn encode(&mut self, frame: &VideoFrame, force_keyframe: bool) -> Result<Option<Frame>, MediaError> {
        let frame = frame
            .cropped_to_even()
            .filter(|frame| frame.width() >= 16 && frame.height() >= 16)
            .ok_or_else(|| codec_error("H.264", "a picture of fewer than 16 pixels across cannot be encoded"))?;
        let (size, color_space) = ((frame.width(), frame.height()), frame.color_space());
        let running = match self.running.take() {
            Some(running) if (running.size, running.color_space) == (size, color_space) => running,
            _ => Running { encoder: self.start(color_space)?, size, color_space },
        };
        let running = self.running.insert(running);
        if force_keyframe {
            running.encoder.force_intra_frame();
        }
        let (width, height) = (size.0 as usize, size.1 as usize);
        let planes = YUVSlices::new((frame.y(), frame.u(), frame.v()), (width, height), (width, width / 2, width / 2));
        let milliseconds = frame.timestamp().to_duration().as_millis() as u64;
        let stream =
            running.encoder.encode_at(&planes, openh264::Timestamp::from_millis(milliseconds)).map_err(error)?;
        let keyframe = matches!(stream.frame_type(), FrameType::IDR);
        let data = stream.to_vec();
        if data.is_empty() {
            return Ok(None);
        }
        Ok(Some(
            Frame::new(Codec::H264, data, frame.timestamp())
                .with_keyframe(keyframe)
                .with_color_space(Some(frame.color_space())),
        ))
    }

    fn set_bitrate(&mut self, bitrate: Bitrate) -> Result<(), MediaError> {
        let bitrate = sane_bitrate(bitrate);
        let raised = bitrate > self.settings.sane_bitrate();
        self.settings.bitrate = bitrate;
        let Some(running) = &mut self.running else { return Ok(()) };
        let value = bits(bitrate) as i32;
        // OpenH264 refuses a bitrate above the limit and a limit below the bitrate. With one layer, the bitrate of all
        // is that of the first.
        let target = (ENCODER_OPTION_BITRATE, SPATIAL_LAYER_ALL);
        let limit = (ENCODER_OPTION_MAX_BITRATE, SPATIAL_LAYER_0);
        for (option, layer) in if raised { [limit, target] } else { [target, limit] } {
            let mut info = SBitrateInfo { iLayer: layer, iBitrate: value };
            // SAFETY: the encoder lives and was initialised by its first picture; both options read an SBitrateInfo,
            // which outlives the call, and keep no pointer to it. They change nothing that the safe wrapper relies on.
            let result = unsafe { running.encoder.raw_api().set_option(option, (&raw mut info).cast()) };
            if result != 0 {
                return Err(codec_error("H.264", format!("the encoder refused {bitrate} (code {result})")));
            }
        }
        Ok(())
    }
}

/// Baseline, main and high profile, 8 bits, 4:2:0. OpenH264 hands out pictures in the order of presentation, but
/// without their times: those of the packets are handed out in rising order.
pub(super) struct H264Decoder {
    decoder: openh264::decoder::Decoder,
    waiting: BinaryHeap<Reverse<(MediaTime, bool)>>,
}

impl H264Decoder {
    pub(super) fn new() -> Result<Self, MediaError> {
        Ok(Self { decoder: start_decoder()?, waiting: BinaryHeap::new() })
    }
}

impl VideoDecoder for H264Decoder {
    fn decode(&mut self, chunk: &EncodedChunk) -> Result<Vec<VideoFrame>, MediaError> {
        self.waiting.push(Reverse((chunk.timestamp, chunk.discard)));
        let picture = match self.decoder.decode(&chunk.data) {
            Ok(picture) => picture,
            Err(reason) => {
                // No picture will come of this packet, so its time must not go to another.
                self.waiting.retain(|Reverse((pts, _))| *pts != chunk.timestamp);
                return Err(error(reason));
            }
        };
        let picture = picture.and_then(|picture| present(&mut self.waiting, &picture));
        // Packets that made no picture (lost references) leave their times behind.
        while self.waiting.len() > MAXIMUM_HELD {
            self.waiting.pop();
        }
        Ok(picture.into_iter().collect())
    }

    fn flush(&mut self) -> Result<Vec<VideoFrame>, MediaError> {
        let pictures = self.decoder.flush_remaining().map_err(error)?;
        let pictures = pictures.iter().filter_map(|picture| present(&mut self.waiting, picture)).collect();
        self.waiting.clear();
        self.decoder = start_decoder()?;
        Ok(pictures)
    }
}

/// The colours as the parameter set tells them. Receivers guess by other rules than players of files do, so that they are
/// always told.
fn colours(color_space: ColorSpace) -> VuiConfig {
    let primaries = match color_space.primaries.0 {
        5 => openh264::encoder::ColorPrimaries::Bt470BG,
        6 => openh264::encoder::ColorPrimaries::Smpte170M,
        9 => openh264::encoder::ColorPrimaries::Bt2020,
        _ => openh264::encoder::ColorPrimaries::Bt709,
    };
    let transfer = match color_space.transfer.0 {
        6 => openh264::encoder::TransferCharacteristics::Smpte170M,
        13 => openh264::encoder::TransferCharacteristics::Srgb,
        _ => openh264::encoder::TransferCharacteristics::Bt709,
    };
    let matrix = match color_space.matrix.0 {
        1 => openh264::encoder::MatrixCoefficients::Bt709,
        9 => openh264::encoder::MatrixCoefficients::Bt2020Ncl,
        _ => openh264::encoder::MatrixCoefficients::Smpte170M,
    };
    VuiConfig::new()
        .color_primaries(primaries)
        .transfer_characteristics(transfer)
        .matrix_coefficients(matrix)
        .full_range(color_space.range == ColorRange::Full)
}

fn start_decoder() -> Result<openh264::decoder::Decoder, MediaError> {
    use openh264::decoder::{Decoder, DecoderConfig, Flush};
    // Flushing after each packet, the default, breaks streams with B-frames.
    let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
    Decoder::with_api_config(OpenH264API::from_source(), config).map_err(error)
}

fn present(
    waiting: &mut BinaryHeap<Reverse<(MediaTime, bool)>>,
    picture: &openh264::decoder::DecodedYUV<'_>,
) -> Option<VideoFrame> {
    let Reverse((pts, discard)) = waiting.pop()?;
    if discard {
        return None;
    }
    let (width, height) = picture.dimensions();
    let (luma, chroma, _) = picture.strides();
    let planes = [
        Plane { data: picture.y(), stride: luma },
        Plane { data: picture.u(), stride: chroma },
        Plane { data: picture.v(), stride: chroma },
    ];
    VideoFrame::from_planes(planes, u32::try_from(width).ok()?, u32::try_from(height).ok()?, pts)
}

fn bits(bitrate: Bitrate) -> u32 {
    u32::try_from(sane_bitrate(bitrate).as_bps()).unwrap_or(u32::MAX)
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn error(reason: openh264::Error) -> MediaError {
    codec_error("H.264", reason.to_string())
}
