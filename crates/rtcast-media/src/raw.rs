//! Pictures and sound between a decoder and an encoder.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use rtcast_proto::ColorSpace;
use rtcast_track::MediaTime;

/// The most pixels of a picture that is decoded: 8192 x 4352. What claims to be larger is taken for damaged.
pub const MAXIMUM_PIXELS: u64 = 8_192 * 4_352;

/// One picture: planar 4:2:0 of 8 bits, of BT.601 in limited range unless it says otherwise. Clones share the pixels.
///
/// ```
/// use rtcast_media::raw::VideoFrame;
/// use rtcast_track::MediaTime;
///
/// let grey = VideoFrame::new(vec![128; 64 * 36 * 3 / 2].into(), 64, 36, MediaTime::ZERO).ok_or("another size")?;
/// let small = grey.scaled(32, 18).ok_or("no such size")?;
/// assert_eq!((small.y().len(), small.u().len()), (32 * 18, 16 * 9));
/// assert!(VideoFrame::new(vec![0; 5].into(), 64, 36, MediaTime::ZERO).is_none());
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct VideoFrame {
    data: Bytes,
    width: u32,
    height: u32,
    timestamp: MediaTime,
    color_space: ColorSpace,
}

/// One plane of a picture as a decoder holds it, its rows `stride` bytes apart.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// The bytes; the last row may end at its last pixel.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl VideoFrame {
    /// A picture from its pixels: the planes Y, U, V in that order without padding, the chroma planes with half the
    /// width and height, rounded up. `None` if the size is zero, beyond [`MAXIMUM_PIXELS`], or not that of the bytes.
    pub fn new(data: Bytes, width: u32, height: u32, timestamp: MediaTime) -> Option<Self> {
        (data.len() == byte_length(width, height)?).then_some(Self {
            data,
            width,
            height,
            timestamp,
            color_space: ColorSpace::BT601,
        })
    }

    /// A picture copied from planes that have padding. `None` as for [`new`](Self::new), or if a plane is too short.
    pub fn from_planes(planes: [Plane<'_>; 3], width: u32, height: u32, timestamp: MediaTime) -> Option<Self> {
        let mut data = Vec::with_capacity(byte_length(width, height)?);
        for (index, plane) in planes.into_iter().enumerate() {
            let (columns, rows) = plane_size(width, height, index);
            for row in 0..rows {
                let start = row.checked_mul(plane.stride)?;
                data.extend_from_slice(plane.data.get(start..start.checked_add(columns)?)?);
            }
        }
        Self::new(data.into(), width, height, timestamp)
    }

    /// The bytes of a picture of this size; `None` if no picture has it.
    #[cfg(feature = "vpx")]
    pub(crate) fn byte_length(width: u32, height: u32) -> Option<usize> {
        byte_length(width, height)
    }

    /// Columns of pixels.
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Rows of pixels.
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// When to present it.
    pub const fn timestamp(&self) -> MediaTime {
        self.timestamp
    }

    /// The same picture at another time.
    #[must_use]
    pub const fn with_timestamp(mut self, timestamp: MediaTime) -> Self {
        self.timestamp = timestamp;
        self
    }

    /// What its numbers mean as colours.
    pub const fn color_space(&self) -> ColorSpace {
        self.color_space
    }

    /// The same numbers, meaning other colours.
    #[must_use]
    pub const fn with_color_space(mut self, color_space: ColorSpace) -> Self {
        self.color_space = color_space;
        self
    }

    /// The brightness plane.
    pub fn y(&self) -> &[u8] {
        &self.data[..self.plane_end(0)]
    }

    /// The blue difference plane.
    pub fn u(&self) -> &[u8] {
        &self.data[self.plane_end(0)..self.plane_end(1)]
    }

    /// The red difference plane.
    pub fn v(&self) -> &[u8] {
        &self.data[self.plane_end(1)..]
    }

    /// The columns of the two colour planes.
    pub const fn chroma_width(&self) -> u32 {
        self.width.div_ceil(2)
    }

    /// All three planes, one after another.
    pub const fn data(&self) -> &Bytes {
        &self.data
    }

    /// The picture in another size, by bilinear interpolation; `None` for a size that no picture can have. It is meant
    /// for halving at most: beyond that, fine detail aliases.
    pub fn scaled(&self, width: u32, height: u32) -> Option<Self> {
        if (width, height) == (self.width, self.height) {
            return Some(self.clone());
        }
        let mut data = Vec::with_capacity(byte_length(width, height)?);
        for (index, plane) in [self.y(), self.u(), self.v()].into_iter().enumerate() {
            let from = plane_size(self.width, self.height, index);
            scale_plane(plane, from, plane_size(width, height, index), &mut data);
        }
        Some(Self::new(data.into(), width, height, self.timestamp)?.with_color_space(self.color_space))
    }

    /// The picture without its last column or row where their number is odd, for encoders that take even sizes alone.
    /// `None` if nothing would be left.
    pub fn cropped_to_even(&self) -> Option<Self> {
        let (width, height) = (self.width & !1, self.height & !1);
        if (width, height) == (self.width, self.height) {
            return Some(self.clone());
        }
        let chroma = self.chroma_width() as usize;
        let planes = [
            Plane { data: self.y(), stride: self.width as usize },
            Plane { data: self.u(), stride: chroma },
            Plane { data: self.v(), stride: chroma },
        ];
        Some(Self::from_planes(planes, width, height, self.timestamp)?.with_color_space(self.color_space))
    }

    fn plane_end(&self, index: usize) -> usize {
        let size = |index| {
            let (columns, rows) = plane_size(self.width, self.height, index);
            columns * rows
        };
        (0..=index).map(size).sum()
    }
}

impl fmt::Debug for VideoFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VideoFrame({}x{} at {:.3} s)", self.width, self.height, self.timestamp.as_secs_f64())
    }
}

/// A piece of sound: interleaved samples of 16 bits. Clones share the samples.
///
/// ```
/// use rtcast_media::raw::AudioFrame;
/// use rtcast_track::MediaTime;
///
/// let stereo = AudioFrame::new(vec![0; 2 * 480], 48_000, 2, MediaTime::ZERO).ok_or("no sound")?;
/// assert_eq!(stereo.duration(), MediaTime::from_micros(10_000));
/// assert_eq!(stereo.cut_to(MediaTime::from_micros(5_000)).samples().len(), 480);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct AudioFrame {
    samples: Arc<[i16]>,
    rate: u32,
    channels: u16,
    timestamp: MediaTime,
}

impl AudioFrame {
    /// A piece of sound; samples beyond the last complete one of all channels are cut off. `None` without channels or
    /// rate.
    pub fn new(mut samples: Vec<i16>, rate: u32, channels: u16, timestamp: MediaTime) -> Option<Self> {
        if rate == 0 || channels == 0 {
            return None;
        }
        samples.truncate(samples.len() - samples.len() % usize::from(channels));
        Some(Self { samples: samples.into(), rate, channels, timestamp })
    }

    /// The same sound, cut off after this duration if it is longer.
    #[must_use]
    pub fn cut_to(mut self, duration: MediaTime) -> Self {
        let per_channel = usize::try_from(duration.to_ticks(self.rate)).unwrap_or(0);
        if let Some(samples) = self.samples.get(..per_channel.saturating_mul(self.channels.into())) {
            self.samples = samples.into();
        }
        self
    }

    /// The samples, the channels interleaved.
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// Samples per second and channel.
    pub const fn rate(&self) -> u32 {
        self.rate
    }

    /// The channels; with more than two in the order of WAVE: left, right, centre, bass, then the surrounding ones.
    pub const fn channels(&self) -> u16 {
        self.channels
    }

    /// When its first sample is heard.
    pub const fn timestamp(&self) -> MediaTime {
        self.timestamp
    }

    /// How long it sounds.
    pub fn duration(&self) -> MediaTime {
        let per_channel = self.samples.len() / usize::from(self.channels);
        MediaTime::from_ticks(i64::try_from(per_channel).unwrap_or(i64::MAX), self.rate)
    }
}

impl fmt::Debug for AudioFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rate, channels, length) = (self.rate, self.channels, self.samples.len());
        write!(f, "AudioFrame({length} samples of {channels} channels, {rate} Hz, at ")?;
        write!(f, "{:.3} s)", self.timestamp.as_secs_f64())
    }
}

fn byte_length(width: u32, height: u32) -> Option<usize> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MAXIMUM_PIXELS {
        return None;
    }
    let chroma = u64::from(width.div_ceil(2)) * u64::from(height.div_ceil(2));
    usize::try_from(pixels + 2 * chroma).ok()
}

const fn plane_size(width: u32, height: u32, index: usize) -> (usize, usize) {
    if index == 0 {
        (width as usize, height as usize)
    } else {
        (width.div_ceil(2) as usize, height.div_ceil(2) as usize)
    }
}

/// Where a row or column of the target lies in the source: the nearer index, the next one, and the weight of the
/// latter in 256ths. Pixels are taken at their centres.
fn sample_points(from: usize, to: usize) -> Vec<(usize, usize, u32)> {
    (0..to)
        .map(|index| {
            let doubled = ((2 * index + 1) * from * 256 / to).saturating_sub(256);
            let (position, weight) = (doubled / 512, (doubled % 512) / 2);
            (position.min(from - 1), (position + 1).min(from - 1), weight as u32)
        })
        .collect()
}

fn scale_plane(source: &[u8], from: (usize, usize), to: (usize, usize), target: &mut Vec<u8>) {
    let columns = sample_points(from.0, to.0);
    for (upper, lower, down) in sample_points(from.1, to.1) {
        let upper = &source[upper * from.0..][..from.0];
        let lower = &source[lower * from.0..][..from.0];
        target.extend(columns.iter().map(|&(left, right, across)| {
            let mix = |row: &[u8]| u32::from(row[left]) * (256 - across) + u32::from(row[right]) * across;
            ((mix(upper) * (256 - down) + mix(lower) * down + 32_768) >> 16) as u8
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(width: u32, height: u32) -> VideoFrame {
        let mut data: Vec<u8> = (0..height).flat_map(|y| (0..width).map(move |x| (x + y) as u8)).collect();
        data.resize(byte_length(width, height).expect("a legal size"), 128);
        VideoFrame::new(data.into(), width, height, MediaTime::ZERO).expect("the right length")
    }

    #[test]
    fn planes_of_odd_sizes_round_up() {
        let frame = gradient(5, 3);
        assert_eq!((frame.y().len(), frame.u().len(), frame.v().len()), (15, 6, 6));
        let even = frame.cropped_to_even().expect("something is left");
        assert_eq!((even.width(), even.height()), (4, 2));
        assert_eq!(even.y(), [0, 1, 2, 3, 1, 2, 3, 4]);
        assert_eq!(even.u(), [128, 128]);
        assert_eq!(gradient(1, 9).cropped_to_even(), None);
    }

    #[test]
    fn wrong_lengths_and_sizes_make_no_picture() {
        assert_eq!(VideoFrame::new(Bytes::from_static(&[0; 5]), 2, 2, MediaTime::ZERO), None);
        assert_eq!(VideoFrame::new(Bytes::new(), 0, 2, MediaTime::ZERO), None);
        assert_eq!(VideoFrame::new(Bytes::new(), u32::MAX, u32::MAX, MediaTime::ZERO), None);
        let short = Plane { data: &[0; 3], stride: 2 };
        assert_eq!(VideoFrame::from_planes([short; 3], 2, 2, MediaTime::ZERO), None);
        let far = Plane { data: &[0; 3], stride: usize::MAX };
        assert_eq!(VideoFrame::from_planes([far; 3], 2, 4, MediaTime::ZERO), None);
    }

    #[test]
    fn scaling_keeps_a_gradient_and_a_flat_plane() {
        let frame = gradient(64, 64);
        for (width, height) in [(32, 32), (33, 47), (64, 32), (100, 90)] {
            let scaled = frame.scaled(width, height).expect("a legal size");
            for y in 0..height {
                for x in 0..width {
                    let at = |index: u32, to: u32| (f64::from(index) + 0.5) * 64.0 / f64::from(to) - 0.5;
                    let expected = at(x, width).clamp(0.0, 63.0) + at(y, height).clamp(0.0, 63.0);
                    let found = f64::from(scaled.y()[(y * width + x) as usize]);
                    assert!((found - expected).abs() <= 1.1, "{found} for {expected} at {x},{y}");
                }
            }
            assert!(scaled.u().iter().all(|&value| value == 128));
        }
        assert_eq!(frame.scaled(0, 5), None);
    }

    #[test]
    fn sound_knows_how_long_it_is() {
        let frame = AudioFrame::new(vec![0; 1_921], 48_000, 2, MediaTime::ZERO).expect("legal");
        assert_eq!(frame.samples().len(), 1_920);
        assert_eq!(frame.duration(), MediaTime::from_micros(20_000));
        assert_eq!(frame.clone().cut_to(MediaTime::from_micros(5_000)).samples().len(), 480);
        assert_eq!(frame.clone().cut_to(MediaTime::from_micros(50_000)), frame);
        assert_eq!(AudioFrame::new(vec![0; 4], 48_000, 0, MediaTime::ZERO), None);
    }
}
