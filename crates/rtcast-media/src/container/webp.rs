//! WebP pictures that move, which FFmpeg reads only since version 8: decoded by `image-webp`.

use std::io::Cursor;

use bytes::Bytes;
use image_webp::WebPDecoder;
use rtcast_track::{MediaKind, MediaTime};

use super::input::{Input, LONGEST_PACKET};
use crate::error::MediaError;
use crate::packet::{Demuxer, EncodedChunk, Packet, SourceCodec, StreamInfo};
use crate::properties::{ColourDescription, PictureProperties};

/// The longest file that is believed; it is held in memory.
const LONGEST: u64 = 256 << 20;
/// What browsers make of a picture that is to be shown for no time at all.
const SHORTEST_PICTURE: u32 = 10;
const USUAL_PICTURE: u32 = 100;

/// A reader of WebP whose pictures come decoded.
pub(crate) struct WebP {
    name: String,
    decoder: WebPDecoder<Cursor<Bytes>>,
    streams: [StreamInfo; 1],
    pictures: u32,
    shown: u32,
    milliseconds: i64,
    pixels: Vec<u8>,
}

impl WebP {
    /// Reads the whole input.
    pub(crate) fn open(mut input: Input) -> Result<Self, MediaError> {
        let bytes = Bytes::from(input.read_up_to(LONGEST)?);
        let name = input.name().to_owned();
        let wrong = |error: image_webp::DecodingError| input.invalid(format!("its WebP cannot be read: {error}"));
        let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(wrong)?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) * 4 > LONGEST_PACKET {
            return Err(input.invalid(format!("it claims {width}x{height} pixels, too many to be shown")));
        }
        decoder.set_memory_limit(LONGEST_PACKET as usize * 4);
        let (Some(size), pictures) = (decoder.output_buffer_size(), decoder.num_frames()) else {
            return Err(input.invalid("its WebP gives no believable size"));
        };
        // JFIF, which WebP follows: BT.601; what is encoded here has the limited range.
        let colour = ColourDescription { primaries: 1, transfer: 13, matrix: 6, full_range: Some(false) };
        let stream = StreamInfo {
            kind: MediaKind::Video,
            codec: SourceCodec::I420,
            codec_name: "WebP".into(),
            extradata: Bytes::new(),
            width,
            height,
            frame_rate: 0.0,
            sample_rate: 0,
            channels: 0,
            reordered: false,
            sdp_fmtp_line: None,
            picture: PictureProperties { colour, bit_depth: 8, ..PictureProperties::default() },
        };
        let streams = [stream];
        Ok(Self { name, decoder, streams, pictures, shown: 0, milliseconds: 0, pixels: vec![0; size] })
    }
}

impl Demuxer for WebP {
    fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    fn duration(&self) -> Option<MediaTime> {
        None
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        if self.shown >= self.pictures.max(1) {
            return Ok(None);
        }
        self.shown += 1;
        let decoded = if self.decoder.is_animated() {
            self.decoder.read_frame(&mut self.pixels)
        } else {
            self.decoder.read_image(&mut self.pixels).map(|()| USUAL_PICTURE)
        };
        let milliseconds = decoded.map_err(|error| MediaError::Invalid {
            source_name: self.name.clone(),
            reason: format!("picture {} of its WebP cannot be decoded: {error}", self.shown),
        })?;
        // So do browsers, for files that were never meant to be shown as fast as that.
        let milliseconds = if milliseconds <= SHORTEST_PICTURE { USUAL_PICTURE } else { milliseconds };
        let pts = MediaTime::from_micros(self.milliseconds * 1_000);
        self.milliseconds += i64::from(milliseconds);
        let [StreamInfo { width, height, .. }] = &self.streams;
        let bytes_per_pixel = if self.decoder.has_alpha() { 4 } else { 3 };
        let data = to_i420(&self.pixels, *width as usize, *height as usize, bytes_per_pixel);
        let duration = MediaTime::from_micros(i64::from(milliseconds) * 1_000);
        Ok(Some(Packet::new(0, EncodedChunk::new(data, pts).with_duration(duration))))
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        if self.decoder.is_animated() {
            self.decoder.reset_animation();
        }
        (self.shown, self.milliseconds) = (0, 0);
        Ok(true)
    }
}

/// Pixels as planes of BT.601 in its limited range, what shines through shown before white.
fn to_i420(pixels: &[u8], width: usize, height: usize, bytes_per_pixel: usize) -> Vec<u8> {
    let colour = |x: usize, y: usize| -> [i32; 3] {
        let at = (y.min(height - 1) * width + x.min(width - 1)) * bytes_per_pixel;
        let Some(&[r, g, b]) = pixels.get(at..at + 3).and_then(<[u8]>::first_chunk) else { return [255; 3] };
        let alpha = if bytes_per_pixel == 4 { pixels.get(at + 3).map_or(255, |alpha| i32::from(*alpha)) } else { 255 };
        [r, g, b].map(|value| (i32::from(value) * alpha + 255 * (255 - alpha)) / 255)
    };
    let (chroma_width, chroma_height) = (width.div_ceil(2), height.div_ceil(2));
    let mut out = Vec::with_capacity(width * height + 2 * chroma_width * chroma_height);
    // In 65,536ths: ITU-R BT.601 §2.5, scaled to 219 and 224 steps.
    for y in 0..height {
        for x in 0..width {
            let [r, g, b] = colour(x, y);
            out.push(((16_829 * r + 33_039 * g + 6_416 * b + 32_768) >> 16).clamp(0, 239) as u8 + 16);
        }
    }
    for [red, green, blue] in [[-9_714, -19_070, 28_784], [28_784, -24_103, -4_681]] {
        for y in 0..chroma_height {
            for x in 0..chroma_width {
                let corners = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(right, down)| colour(2 * x + right, 2 * y + down));
                let [r, g, b] = [0, 1, 2].map(|part| corners.iter().map(|corner| corner[part]).sum::<i32>());
                let value = (red * r + green * g + blue * b + (1 << 17)) >> 18;
                out.push((value + 128).clamp(0, 255) as u8);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_the_standard() {
        for (rgb, yuv) in [
            ([0, 0, 0], [16, 128, 128]),
            ([255, 255, 255], [235, 128, 128]),
            ([255, 0, 0], [81, 90, 240]),
            ([0, 0, 255], [41, 240, 110]),
        ] {
            let pixels: Vec<u8> = rgb.iter().copied().cycle().take(3 * 9).collect();
            let data = to_i420(&pixels, 3, 3, 3);
            assert_eq!((data.len(), [data[0], data[9], data[13]]), (17, yuv), "{rgb:?}");
        }
        assert_eq!(to_i420(&[0, 0, 0, 0], 1, 1, 4), [235, 128, 128], "what is not there is white");
    }
}
