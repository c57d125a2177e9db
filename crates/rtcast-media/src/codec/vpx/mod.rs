//! VP8 and VP9 by libvpx.
#![expect(unsafe_code, reason = "libvpx is a C library; this module is the safe wall round it")]

mod decoder;
mod encoder;

pub(super) use decoder::VpxDecoder;
pub(super) use encoder::Vp8Encoder;

use std::ffi::CStr;
use std::mem::MaybeUninit;

use rtcast_track::Codec;
use vpx_sys as ffi;

use super::codec_error;
use crate::error::MediaError;

/// A libvpx context that was initialised; it is destroyed when dropped. It stands on the heap, at one address for life.
struct Context {
    raw: Box<ffi::vpx_codec_ctx_t>,
    codec: Codec,
}

// SAFETY: a libvpx context has no tie to the thread that made it; all calls go through `&mut self`.
unsafe impl Send for Context {}

impl Context {
    /// Initialises a context by `initialise`, which is given a zeroed one.
    fn new(
        codec: Codec,
        initialise: impl FnOnce(*mut ffi::vpx_codec_ctx_t) -> ffi::vpx_codec_err_t,
    ) -> Result<Self, MediaError> {
        // SAFETY: a context of zeros is valid: null pointers, no flags, and VPX_CODEC_OK, which is 0.
        let mut raw: Box<ffi::vpx_codec_ctx_t> = Box::new(unsafe { MaybeUninit::zeroed().assume_init() });
        let result = initialise(&raw mut *raw);
        // libvpx undoes an initialisation that fails, so that only one that succeeds may be destroyed.
        if result == ffi::VPX_CODEC_OK { Ok(Self { raw, codec }) } else { Err(describe(codec, result)) }
    }

    fn as_mut_ptr(&mut self) -> *mut ffi::vpx_codec_ctx_t {
        &raw mut *self.raw
    }

    fn check(&self, result: ffi::vpx_codec_err_t) -> Result<(), MediaError> {
        if result == ffi::VPX_CODEC_OK { Ok(()) } else { Err(describe(self.codec, result)) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context was initialised and is destroyed once, here.
        unsafe { ffi::vpx_codec_destroy(self.as_mut_ptr()) };
    }
}

fn describe(codec: Codec, result: ffi::vpx_codec_err_t) -> MediaError {
    // SAFETY: vpx_codec_err_to_string returns a static, terminated string for every value.
    let text = unsafe { CStr::from_ptr(ffi::vpx_codec_err_to_string(result)) };
    codec_error(codec.to_string(), text.to_string_lossy())
}
