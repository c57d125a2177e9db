//! The moving test pattern and its tone: a source that needs no file.
//!
//! The picture, from the top: eight colour bars over the upper half; below them on the left a flat block of pure green,
//! a quarter of the width and half of the height, by which a test recognises the pattern; to its right a clock that
//! shows the time of the picture and its number; along the bottom a white square that crosses the picture in 4 s.
//!
//! The block is RGB (0, 255, 0), in the studio range of ITU-R BT.601 [`GREEN`]. A viewer that takes the picture for
//! BT.709 shows about (0, 216, 0): test for much green and hardly any red and blue.

mod font;

use bytes::Bytes;
use rtcast_track::{MediaKind, MediaTime};

use crate::error::MediaError;
use crate::packet::{Demuxer, EncodedChunk, Packet, SourceCodec, StreamInfo};
use crate::properties::PictureProperties;

/// The Y, U and V of the flat block: pure green in the studio range of ITU-R BT.601.
pub const GREEN: [u8; 3] = [145, 54, 34];
/// The pitch of the tone in hertz.
pub const TONE_FREQUENCY: u32 = 440;
/// The rate of the tone in hertz.
pub const TONE_RATE: u32 = 48_000;

const BLACK: [u8; 3] = [16, 128, 128];
const WHITE: [u8; 3] = [235, 128, 128];
/// White, yellow, cyan, green, magenta, red, blue at 75 %, and black. ITU-R BT.601, 8 bits.
const BARS: [[u8; 3]; 8] = [
    [180, 128, 128],
    [162, 44, 142],
    [131, 156, 44],
    [112, 72, 58],
    [84, 184, 198],
    [65, 100, 212],
    [35, 212, 114],
    BLACK,
];
/// The tone lies 20 dB below full scale.
const TONE_AMPLITUDE: f64 = 3_276.7;
/// Samples of a packet of sound: 20 ms.
const TONE_PIECE: usize = 960;
/// How long the square takes to cross the picture.
const CROSSING: i64 = 4_000_000_000;

/// What the pattern looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternOptions {
    /// Columns of pixels, 160 to 3840, even. Default 1280.
    pub width: u32,
    /// Rows of pixels, 90 to 2160, even. Default 720.
    pub height: u32,
    /// Pictures per second, 1 to 120. Default 30.
    pub frame_rate: u32,
}

impl Default for PatternOptions {
    fn default() -> Self {
        Self { width: 1_280, height: 720, frame_rate: 30 }
    }
}

/// A source without end: one stream of raw pictures, one of raw sound.
///
/// ```
/// use rtcast_media::pattern::{GREEN, PatternOptions, TestPattern};
/// use rtcast_media::raw::VideoFrame;
/// use rtcast_track::MediaTime;
///
/// let (width, height) = (320, 180);
/// let pattern = TestPattern::new(PatternOptions { width, height, frame_rate: 25 });
/// let picture = VideoFrame::new(pattern.picture(7), width, height, MediaTime::ZERO).ok_or("another size")?;
/// let in_the_block = (height * 3 / 4 - 8) * width + width / 8;
/// assert_eq!(picture.y()[in_the_block as usize], GREEN[0]);
/// # Ok::<(), &str>(())
/// ```
pub struct TestPattern {
    options: PatternOptions,
    streams: [StreamInfo; 2],
    /// The planes Y, U, V of all that does not move.
    background: Vec<u8>,
    /// The tone's samples until it repeats.
    tone: Vec<i16>,
    next_picture: u64,
    next_piece: u64,
}

impl TestPattern {
    /// A pattern from its first picture on. Values out of range are brought into it.
    pub fn new(options: PatternOptions) -> Self {
        let options = PatternOptions {
            width: options.width.clamp(160, 3_840) & !1,
            height: options.height.clamp(90, 2_160) & !1,
            frame_rate: options.frame_rate.clamp(1, 120),
        };
        let mut background = Canvas::new(options.width as usize, options.height as usize);
        draw_background(&mut background);
        // 11 periods of 440 Hz are 1,200 samples.
        let period = TONE_RATE / greatest_common_divisor(TONE_RATE, TONE_FREQUENCY);
        let tone = (0..period).map(|sample| tone_sample(sample.into())).collect();
        let streams = streams(&options);
        Self { options, streams, background: background.data, tone, next_picture: 0, next_piece: 0 }
    }

    /// The picture of this number.
    pub fn picture(&self, number: u64) -> Bytes {
        let (width, height) = (self.options.width as usize, self.options.height as usize);
        let mut canvas = Canvas { width, height, data: self.background.clone() };
        let time = picture_time(number, self.options.frame_rate).as_nanos().max(0);

        let scale = (width * 3 / 4 / ((CLOCK_CHARACTERS + 1) * font::ADVANCE)).max(1);
        let milliseconds = time / 1_000_000;
        let (seconds, rest) = (milliseconds / 1_000, milliseconds % 1_000);
        let clock = format!("{:02}:{:02}:{:02}.{rest:03}", seconds / 3_600 % 100, seconds / 60 % 60, seconds % 60,);
        let line = height / 2 + height / 24;
        canvas.text(&clock, width / 4 + 2 * scale, line, scale);
        let small = (scale / 2).max(1);
        canvas.text(&number.to_string(), width / 4 + 2 * scale, line + font::HEIGHT * scale + 2 * small, small);

        let (side, x) = square(width, height, time);
        canvas.rectangle(x, height - side, side, side, WHITE);
        canvas.data.into()
    }

    fn sound(&self, piece: u64) -> Bytes {
        let start = (piece % self.tone.len() as u64) as usize * TONE_PIECE;
        let samples = (start..start + TONE_PIECE).map(|sample| self.tone[sample % self.tone.len()].to_le_bytes());
        samples.flat_map(|sample| [sample, sample]).flatten().collect()
    }
}

impl Demuxer for TestPattern {
    fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    fn duration(&self) -> Option<MediaTime> {
        None
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        let picture_at = picture_time(self.next_picture, self.options.frame_rate);
        let sound_at = piece_time(self.next_piece);
        let (stream, data, pts, end) = if picture_at <= sound_at {
            let data = self.picture(self.next_picture);
            self.next_picture += 1;
            (0, data, picture_at, picture_time(self.next_picture, self.options.frame_rate))
        } else {
            let data = self.sound(self.next_piece);
            self.next_piece += 1;
            (1, data, sound_at, piece_time(self.next_piece))
        };
        Ok(Some(Packet::new(stream, EncodedChunk::new(data, pts).with_duration(end.since(pts)))))
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        (self.next_picture, self.next_piece) = (0, 0);
        Ok(true)
    }
}

const CLOCK_CHARACTERS: usize = "00:00:00.000".len();

/// Planes Y, U, V of even size.
struct Canvas {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl Canvas {
    fn new(width: usize, height: usize) -> Self {
        let mut data = vec![BLACK[0]; width * height];
        data.resize(width * height * 3 / 2, BLACK[1]);
        Self { width, height, data }
    }

    /// Fills a rectangle, cut off at the canvas's edge, its corner and size rounded down to even pixels.
    fn rectangle(&mut self, x: usize, y: usize, width: usize, height: usize, colour: [u8; 3]) {
        let (left, right) = (x.min(self.width) & !1, (x + width).min(self.width) & !1);
        let (top, bottom) = (y.min(self.height) & !1, (y + height).min(self.height) & !1);
        let (stride, mut start) = (self.width, 0);
        for (plane, value) in colour.into_iter().enumerate() {
            let halve = usize::from(plane > 0);
            for row in top >> halve..bottom >> halve {
                let row = start + row * (stride >> halve);
                self.data[row + (left >> halve)..row + (right >> halve)].fill(value);
            }
            start += (stride >> halve) * (self.height >> halve);
        }
    }

    /// Draws digits, colons and points in white, each dot of the font a square of `scale` pixels. Only the brightness
    /// changes, so that it stands on grey and black alone.
    fn text(&mut self, text: &str, x: usize, y: usize, scale: usize) {
        for (index, character) in text.bytes().enumerate() {
            let left = x + index * font::ADVANCE * scale;
            for (row, dots) in font::glyph(character).into_iter().enumerate() {
                for column in (0..font::WIDTH).filter(|column| dots >> (font::WIDTH - 1 - column) & 1 != 0) {
                    let from = left + column * scale;
                    for line in y + row * scale..y + (row + 1) * scale {
                        if line < self.height && from + scale <= self.width {
                            self.data[line * self.width + from..][..scale].fill(WHITE[0]);
                        }
                    }
                }
            }
        }
    }
}

fn draw_background(canvas: &mut Canvas) {
    let (width, height) = (canvas.width, canvas.height);
    for (index, colour) in BARS.into_iter().enumerate() {
        let left = index * width / BARS.len();
        canvas.rectangle(left, 0, (index + 1) * width / BARS.len() - left, height / 2, colour);
    }
    canvas.rectangle(0, height / 2, width / 4, height / 2, GREEN);
}

/// The side of the moving square and its distance from the left: it stays right of the green block.
fn square(width: usize, height: usize, time: i64) -> (usize, usize) {
    let side = (height / 8) & !1;
    let room = (width - width / 4 - side) as i64;
    // There and back, so that it never jumps.
    let phase = time % (2 * CROSSING);
    let phase = phase.min(2 * CROSSING - phase);
    (side, width / 4 + (room as i128 * i128::from(phase) / i128::from(CROSSING)) as usize)
}

fn streams(options: &PatternOptions) -> [StreamInfo; 2] {
    let video = StreamInfo {
        kind: MediaKind::Video,
        codec: SourceCodec::I420,
        codec_name: "test pattern".into(),
        extradata: Bytes::new(),
        width: options.width,
        height: options.height,
        frame_rate: options.frame_rate.into(),
        sample_rate: 0,
        channels: 0,
        reordered: false,
        sdp_fmtp_line: None,
        picture: PictureProperties::default(),
    };
    let audio = StreamInfo {
        kind: MediaKind::Audio,
        codec: SourceCodec::PcmS16,
        codec_name: "tone".into(),
        width: 0,
        height: 0,
        frame_rate: 0.0,
        sample_rate: TONE_RATE,
        channels: 2,
        ..video.clone()
    };
    [video, audio]
}

fn picture_time(number: u64, frame_rate: u32) -> MediaTime {
    MediaTime::from_ticks(i64::try_from(number).unwrap_or(i64::MAX), frame_rate)
}

fn piece_time(piece: u64) -> MediaTime {
    MediaTime::from_micros(i64::try_from(piece).unwrap_or(i64::MAX).saturating_mul(20_000))
}

fn tone_sample(index: f64) -> i16 {
    let turns = index * f64::from(TONE_FREQUENCY) / f64::from(TONE_RATE);
    (TONE_AMPLITUDE * (turns * std::f64::consts::TAU).sin()).round() as i16
}

const fn greatest_common_divisor(left: u32, right: u32) -> u32 {
    if right == 0 { left } else { greatest_common_divisor(right, left % right) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixel(data: &[u8], options: &PatternOptions, x: usize, y: usize) -> [u8; 3] {
        let (width, height) = (options.width as usize, options.height as usize);
        let chroma = width * height + (y / 2) * (width / 2) + x / 2;
        [data[y * width + x], data[chroma], data[chroma + width * height / 4]]
    }

    #[test]
    fn the_green_block_is_flat_in_every_picture() {
        for options in [PatternOptions::default(), PatternOptions { width: 162, height: 90, frame_rate: 25 }] {
            let pattern = TestPattern::new(options);
            let (width, height) = (options.width as usize, options.height as usize);
            for number in [0, 1, 59, 100_000] {
                let picture = pattern.picture(number);
                assert_eq!(picture.len(), width * height * 3 / 2);
                for y in [height / 2 + 1, height * 3 / 4, height - 1] {
                    for x in [0, width / 8, width / 4 - 2] {
                        assert_eq!(pixel(&picture, &options, x, y), GREEN, "picture {number} at {x},{y}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_picture_differs_and_the_square_moves() {
        let options = PatternOptions::default();
        let pattern = TestPattern::new(options);
        assert_ne!(pattern.picture(7), pattern.picture(8));
        // 4 s in, the square stands at the right edge.
        assert_eq!(pixel(&pattern.picture(120), &options, 1_276, 716), WHITE);
        assert_eq!(pixel(&pattern.picture(0), &options, 1_276, 716), BLACK);
    }

    #[test]
    fn packets_come_in_the_order_of_their_times_and_repeat_after_rewinding() {
        let mut pattern = TestPattern::new(PatternOptions { width: 160, height: 90, frame_rate: 30 });
        let mut read = |count: usize| -> Vec<Packet> {
            (0..count).map(|_| pattern.next_packet().expect("no error").expect("no end")).collect()
        };
        let packets = read(82);
        assert!(packets.is_sorted_by_key(|packet| packet.chunk.timestamp));
        assert_eq!(packets.iter().filter(|packet| packet.stream == 0).count(), 31);
        assert_eq!(packets.iter().filter(|packet| packet.stream == 1).count(), 51);
        assert!(pattern.rewind().expect("no error"));
        assert_eq!(pattern.next_packet().expect("no error").as_ref(), packets.first());
    }

    #[test]
    fn the_tone_has_no_seam() {
        let pattern = TestPattern::new(PatternOptions { width: 160, height: 90, frame_rate: 30 });
        let bytes: Vec<u8> = (0..10).flat_map(|piece| pattern.sound(piece)).collect();
        let samples: Vec<i16> = bytes.as_chunks().0.iter().map(|&pair| i16::from_le_bytes(pair)).collect();
        for (index, frame) in samples.as_chunks::<2>().0.iter().enumerate() {
            assert_eq!(frame[0], frame[1]);
            assert!((f64::from(frame[0]) - f64::from(tone_sample(index as f64))).abs() <= 1.0, "sample {index}");
        }
    }
}
