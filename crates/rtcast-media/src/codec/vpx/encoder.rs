//! VP8 in real time: no look-ahead, constant bitrate, keyframes on demand and at scene cuts.

use std::mem::MaybeUninit;
use std::os::raw::{c_int, c_long, c_uint, c_ulong};
use std::ptr;
use std::slice;

use rtcast_track::{Bitrate, Codec, Frame, RtpCodec};
use vpx_sys as ffi;

use super::{Context, describe};
use crate::codec::{VideoEncoder, VideoEncoderSettings, codec_error, encoded_codec, sane_bitrate};
use crate::error::MediaError;
use crate::raw::VideoFrame;

/// libvpx is told times in ticks of this many a second.
const TICKS: u32 = 90_000;

pub(in crate::codec) struct Vp8Encoder {
    settings: VideoEncoderSettings,
    running: Option<Running>,
}

struct Running {
    context: Context,
    size: (u32, u32),
    last_ticks: i64,
}

impl Vp8Encoder {
    pub(in crate::codec) const fn new(settings: VideoEncoderSettings) -> Self {
        Self { settings, running: None }
    }

    fn start(&self, width: u32, height: u32) -> Result<Running, MediaError> {
        let configuration = configure(&self.settings, width, height)?;
        let mut context = Context::new(Codec::Vp8, |raw| {
            // SAFETY: `raw` is a zeroed context and `configuration` complete; libvpx copies the latter.
            unsafe {
                let version = ffi::VPX_ENCODER_ABI_VERSION as c_int;
                ffi::vpx_codec_enc_init_ver(raw, ffi::vpx_codec_vp8_cx(), &raw const configuration, 0, version)
            }
        })?;
        // The more negative, the faster: -8 gives about 110 to 170 pictures of 720p per second and core.
        let speed: c_int = if width * height > 1_280 * 720 { -12 } else { -8 };
        let controls = [
            (ffi::vp8e_enc_control_id::VP8E_SET_CPUUSED, speed),
            (ffi::vp8e_enc_control_id::VP8E_SET_STATIC_THRESHOLD, 1),
            // A keyframe may be as large as four ordinary frames and a half, so that it passes a narrow path soon.
            (ffi::vp8e_enc_control_id::VP8E_SET_MAX_INTRA_BITRATE_PCT, 450),
        ];
        for (control, value) in controls {
            // SAFETY: the context is initialised, and each of these controls takes one int.
            let result = unsafe { ffi::vpx_codec_control_(context.as_mut_ptr(), control as c_int, value) };
            context.check(result)?;
        }
        Ok(Running { context, size: (width, height), last_ticks: i64::MIN })
    }
}

impl VideoEncoder for Vp8Encoder {
    fn codec(&self) -> RtpCodec {
        encoded_codec(Codec::Vp8)
    }

    fn encode(&mut self, frame: &VideoFrame, force_keyframe: bool) -> Result<Option<Frame>, MediaError> {
        let size = (frame.width(), frame.height());
        // RFC 6386 §9.1: width and height have 14 bits.
        if size.0.max(size.1) > 16_383 {
            return Err(codec_error("VP8", "a picture is at most 16383 pixels wide and high"));
        }
        let running = match self.running.take() {
            Some(running) if running.size == size => running,
            _ => self.start(size.0, size.1)?,
        };
        let duration = (f64::from(TICKS) / self.settings.sane_frame_rate()) as c_ulong;
        self.running.insert(running).encode(frame, force_keyframe, duration)
    }

    fn set_bitrate(&mut self, bitrate: Bitrate) -> Result<(), MediaError> {
        self.settings.bitrate = sane_bitrate(bitrate);
        let Some(running) = &mut self.running else { return Ok(()) };
        let configuration = configure(&self.settings, running.size.0, running.size.1)?;
        // SAFETY: the context is initialised; the configuration, which libvpx copies, is the one it runs with but for
        // the bitrate.
        let result = unsafe { ffi::vpx_codec_enc_config_set(running.context.as_mut_ptr(), &raw const configuration) };
        running.context.check(result)
    }
}

impl Running {
    fn encode(
        &mut self,
        frame: &VideoFrame,
        force_keyframe: bool,
        duration: c_ulong,
    ) -> Result<Option<Frame>, MediaError> {
        // libvpx refuses a time that does not rise.
        let ticks = frame.timestamp().to_ticks(TICKS).max(self.last_ticks.saturating_add(1));
        self.last_ticks = ticks;
        let flags = if force_keyframe { c_long::from(ffi::VPX_EFLAG_FORCE_KF as i32) } else { 0 };
        let image = wrap(frame)?;
        let deadline = c_ulong::from(ffi::VPX_DL_REALTIME);
        // SAFETY: the context is initialised. The planes of `image` are those of `frame`, as long as `wrap` says, and
        // live through the call; libvpx reads them only and, without look-ahead, keeps no pointer to them.
        let result = unsafe {
            ffi::vpx_codec_encode(self.context.as_mut_ptr(), &raw const image, ticks, duration, flags, deadline)
        };
        self.context.check(result)?;
        Ok(self.packet().map(|(data, keyframe)| {
            Frame::new(Codec::Vp8, data, frame.timestamp())
                .with_keyframe(keyframe)
                .with_color_space(Some(frame.color_space()))
        }))
    }

    /// What the last call made: all its pieces, and whether it is a keyframe. `None` if the picture was left out.
    fn packet(&mut self) -> Option<(Vec<u8>, bool)> {
        let mut iterator = ptr::null();
        let mut data = Vec::new();
        let mut keyframe = false;
        loop {
            // SAFETY: the context is initialised and the iterator starts as null, as libvpx asks. What it returns is
            // null or a packet that lives until the next call to encode.
            let packet = unsafe { ffi::vpx_codec_get_cx_data(self.context.as_mut_ptr(), &raw mut iterator).as_ref() };
            let Some(packet) = packet else { break };
            if packet.kind == ffi::vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT {
                // SAFETY: the kind says that the union holds a frame, whose buffer has `sz` bytes.
                let (frame, bytes) = unsafe {
                    let frame = packet.data.frame;
                    (frame, slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz as usize))
                };
                data.extend_from_slice(bytes);
                keyframe |= frame.flags & ffi::VPX_FRAME_IS_KEY != 0;
            }
        }
        (!data.is_empty()).then_some((data, keyframe))
    }
}

fn configure(settings: &VideoEncoderSettings, width: u32, height: u32) -> Result<ffi::vpx_codec_enc_cfg_t, MediaError> {
    let mut configuration = MaybeUninit::<ffi::vpx_codec_enc_cfg_t>::zeroed();
    // SAFETY: the interface is a static of libvpx, and the pointer is to memory of the right size.
    let result = unsafe { ffi::vpx_codec_enc_config_default(ffi::vpx_codec_vp8_cx(), configuration.as_mut_ptr(), 0) };
    if result != ffi::VPX_CODEC_OK {
        return Err(describe(Codec::Vp8, result));
    }
    // SAFETY: libvpx has just filled it in, also the bit depth, for which zero would be no value of the Rust enum.
    let mut configuration = unsafe { configuration.assume_init() };
    configuration.g_w = width;
    configuration.g_h = height;
    configuration.g_timebase = ffi::vpx_rational { num: 1, den: TICKS as c_int };
    // More threads wait for each other by spinning: beside other work, two take many times as long as one.
    configuration.g_threads = 1;
    configuration.g_error_resilient = ffi::VPX_ERROR_RESILIENT_DEFAULT;
    configuration.g_pass = ffi::vpx_enc_pass::VPX_RC_ONE_PASS;
    configuration.g_lag_in_frames = 0;
    configuration.rc_end_usage = ffi::vpx_rc_mode::VPX_CBR;
    configuration.rc_target_bitrate = kilobits(settings.sane_bitrate());
    configuration.rc_dropframe_thresh = 0;
    configuration.rc_resize_allowed = 0;
    configuration.rc_min_quantizer = 2;
    configuration.rc_max_quantizer = 56;
    configuration.rc_undershoot_pct = 100;
    configuration.rc_overshoot_pct = 15;
    // In milliseconds at the target bitrate.
    configuration.rc_buf_initial_sz = 500;
    configuration.rc_buf_optimal_sz = 600;
    configuration.rc_buf_sz = 1_000;
    configuration.kf_mode = ffi::vpx_kf_mode::VPX_KF_AUTO;
    configuration.kf_min_dist = 0;
    configuration.kf_max_dist = 3_000;
    Ok(configuration)
}

/// The picture as libvpx wants it: pointers into the planes, which must outlive it.
fn wrap(frame: &VideoFrame) -> Result<ffi::vpx_image_t, MediaError> {
    let mut image = MaybeUninit::<ffi::vpx_image_t>::zeroed();
    let (format, data) = (ffi::vpx_img_fmt::VPX_IMG_FMT_I420, frame.y().as_ptr().cast_mut());
    // SAFETY: the pointer is to memory of the right size; with a given buffer and an alignment of 1 libvpx only
    // computes the fields, it neither reads nor writes the buffer.
    let wrapped = unsafe { ffi::vpx_img_wrap(image.as_mut_ptr(), format, frame.width(), frame.height(), 1, data) };
    if wrapped.is_null() {
        return Err(codec_error("VP8", "libvpx cannot take a picture of this size"));
    }
    // SAFETY: vpx_img_wrap has filled it in; zeros, which it may have left, are values of all its enums.
    let mut image = unsafe { image.assume_init() };
    let chroma = frame.chroma_width() as c_int;
    image.stride = [frame.width() as c_int, chroma, chroma, 0];
    image.planes = [data, frame.u().as_ptr().cast_mut(), frame.v().as_ptr().cast_mut(), ptr::null_mut()];
    Ok(image)
}

fn kilobits(bitrate: Bitrate) -> c_uint {
    c_uint::try_from(bitrate.as_bps() / 1_000).unwrap_or(c_uint::MAX)
}
