//! VP8 and VP9. Neither reorders: a packet completes one picture or none.

use std::os::raw::{c_int, c_uint};
use std::ptr;
use std::slice;

use rtcast_track::{Codec, MediaTime};
use vpx_sys as ffi;

use super::Context;
use crate::codec::layout::Layout;
use crate::codec::{VideoDecoder, codec_error};
use crate::error::MediaError;
use crate::packet::EncodedChunk;
use crate::raw::{MAXIMUM_PIXELS, Plane, VideoFrame};

pub(in crate::codec) struct VpxDecoder {
    codec: Codec,
    context: Context,
}

impl VpxDecoder {
    /// A decoder of VP8 or VP9.
    pub(in crate::codec) fn new(codec: Codec) -> Result<Self, MediaError> {
        Ok(Self { codec, context: start(codec)? })
    }

    /// Refuses a keyframe whose size would make libvpx allocate without measure.
    fn check_size(&self, data: &[u8]) -> Result<(), MediaError> {
        let (width, height) = match self.codec {
            Codec::Vp8 => vp8_size(data),
            _ => vp9_size(data, length(data)?),
        };
        if u64::from(width) * u64::from(height) > MAXIMUM_PIXELS {
            return Err(codec_error(self.codec.to_string(), format!("a picture of {width}x{height} is too large")));
        }
        Ok(())
    }
}

impl VideoDecoder for VpxDecoder {
    fn decode(&mut self, chunk: &EncodedChunk) -> Result<Vec<VideoFrame>, MediaError> {
        if chunk.data.is_empty() {
            return Ok(Vec::new()); // libvpx would take it for the end of the stream
        }
        self.check_size(&chunk.data)?;
        let (data, size) = (chunk.data.as_ptr(), length(&chunk.data)?);
        // SAFETY: the context is initialised, and `data` has `size` bytes that live through the call, which is
        // synchronous: one thread, no frame threading.
        let result = unsafe { ffi::vpx_codec_decode(self.context.as_mut_ptr(), data, size, ptr::null_mut(), 0) };
        self.context.check(result)?;
        let mut iterator = ptr::null();
        let mut pictures = Vec::new();
        loop {
            // SAFETY: the context is initialised and the iterator starts as null. What it returns is null or a picture
            // that lives until the next call to decode, which needs `&mut self` again.
            let image = unsafe { ffi::vpx_codec_get_frame(self.context.as_mut_ptr(), &raw mut iterator).as_ref() };
            let Some(image) = image else { break };
            if !chunk.discard {
                pictures.push(picture(image, self.codec, chunk.timestamp)?);
            }
        }
        // Of a VP9 superframe at most one frame is shown; more would share their time.
        pictures.truncate(1);
        Ok(pictures)
    }

    fn flush(&mut self) -> Result<Vec<VideoFrame>, MediaError> {
        self.context = start(self.codec)?;
        Ok(Vec::new())
    }
}

fn start(codec: Codec) -> Result<Context, MediaError> {
    let settings = ffi::vpx_codec_dec_cfg_t { threads: 1, w: 0, h: 0 };
    Context::new(codec, |raw| {
        // SAFETY: `raw` is a zeroed context; libvpx copies the settings.
        unsafe {
            let interface = if codec == Codec::Vp8 { ffi::vpx_codec_vp8_dx() } else { ffi::vpx_codec_vp9_dx() };
            let version = ffi::VPX_DECODER_ABI_VERSION as c_int;
            ffi::vpx_codec_dec_init_ver(raw, interface, &raw const settings, 0, version)
        }
    })
}

/// The size that a VP8 keyframe announces, zero for other frames. RFC 6386 §9.1.
fn vp8_size(data: &[u8]) -> (u32, u32) {
    match data {
        [first, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] if first & 1 == 0 => {
            let side = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
            (side(*w0, *w1), side(*h0, *h1))
        }
        _ => (0, 0),
    }
}

/// The size that a VP9 keyframe announces, zero for other frames.
fn vp9_size(data: &[u8], size: c_uint) -> (u32, u32) {
    let mut info =
        ffi::vpx_codec_stream_info_t { sz: size_of::<ffi::vpx_codec_stream_info_t>() as c_uint, w: 0, h: 0, is_kf: 0 };
    // SAFETY: `data` has `size` bytes, and `info` says its own size; libvpx only reads the one and fills the other.
    unsafe { ffi::vpx_codec_peek_stream_info(ffi::vpx_codec_vp9_dx(), data.as_ptr(), size, &raw mut info) };
    (info.w, info.h)
}

fn length(data: &[u8]) -> Result<c_uint, MediaError> {
    c_uint::try_from(data.len()).map_err(|_| codec_error("libvpx", "a packet is longer than 4 GB"))
}

/// Copies a picture that libvpx owns, brought to 4:2:0 of 8 bits.
fn picture(image: &ffi::vpx_image_t, codec: Codec, pts: MediaTime) -> Result<VideoFrame, MediaError> {
    let malformed = || codec_error(codec.to_string(), "libvpx returned a picture of impossible size");
    let wide = image.fmt as u32 & ffi::VPX_IMG_FMT_HIGHBITDEPTH != 0;
    let mut planes = [Plane { data: &[], stride: 0 }; 3];
    for (index, plane) in planes.iter_mut().enumerate() {
        let stride = usize::try_from(image.stride[index]).map_err(|_| malformed())?;
        let (columns, rows) = plane_size(image, index);
        if columns == 0 || rows == 0 || image.planes[index].is_null() {
            return Err(malformed());
        }
        let bytes = (rows - 1) * stride + columns * if wide { 2 } else { 1 };
        // SAFETY: libvpx's plane has `rows` rows that start `stride` bytes apart and hold `columns` samples, of two
        // bytes each in a format of high depth. It lives as long as `image`, which is borrowed here.
        let data = unsafe { slice::from_raw_parts(image.planes[index], bytes) };
        *plane = Plane { data, stride };
    }
    let layout = Layout {
        bit_depth: if wide { image.bit_depth.clamp(8, 16) } else { 8 },
        wide,
        halved_across: image.x_chroma_shift > 0,
        halved_down: image.y_chroma_shift > 0,
    };
    layout.picture(planes, image.d_w, image.d_h, pts).ok_or_else(malformed)
}

fn plane_size(image: &ffi::vpx_image_t, index: usize) -> (usize, usize) {
    if index == 0 {
        return (image.d_w as usize, image.d_h as usize);
    }
    let shifted = |size: c_uint, shift: c_uint| ((size as usize) + (1 << shift.min(1)) - 1) >> shift.min(1);
    (shifted(image.d_w, image.x_chroma_shift), shifted(image.d_h, image.y_chroma_shift))
}
