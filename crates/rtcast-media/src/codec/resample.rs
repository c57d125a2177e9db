//! Sound of any rate and number of channels, made into pieces of 20 ms of 48 kHz stereo.

use std::collections::VecDeque;

use rtcast_track::MediaTime;
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler};

use super::codec_error;
use crate::error::MediaError;
use crate::raw::AudioFrame;

/// The rate of what comes out.
pub const OUTPUT_RATE: u32 = 48_000;
/// The samples of one channel in a piece: 20 ms.
pub const PIECE: usize = 960;

/// How far timestamps may be off what the samples before them say, because containers round them. Beyond that it is a
/// gap or a jump.
const TOLERANCE: MediaTime = MediaTime::from_micros(40_000);
/// Samples of the input that are resampled at once.
const CHUNK: usize = 1_024;

/// Mixes to stereo, resamples and cuts into pieces. Timestamps carry through: the resampler's delay is taken out, and a
/// gap in the input is one in the output.
///
/// ```
/// use rtcast_media::codec::resample::{AudioConverter, PIECE};
/// use rtcast_media::raw::AudioFrame;
/// use rtcast_track::MediaTime;
///
/// let second = AudioFrame::new(vec![0; 44_100], 44_100, 1, MediaTime::ZERO).ok_or("no sound")?;
/// let mut converter = AudioConverter::new();
/// let mut pieces = converter.push(&second)?;
/// pieces.extend(converter.finish()?);
/// assert_eq!(pieces.len(), 50, "a second in pieces of 20 ms");
/// assert!(pieces.iter().all(|piece| (piece.rate(), piece.samples().len()) == (48_000, 2 * PIECE)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct AudioConverter {
    format: Option<(u32, u16)>,
    resampler: Option<Fft<f32>>,
    /// Stereo at the input's rate.
    input: Vec<f32>,
    /// Stereo at 48 kHz.
    output: VecDeque<i16>,
    /// Output samples still to be dropped: the resampler's delay.
    to_skip: usize,
    /// The time of the first sample since the last gap, and how many came in and went out since.
    origin: MediaTime,
    taken: i64,
    given: i64,
}

impl AudioConverter {
    /// An empty converter; it takes the format of what it is given.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next sound and returns the pieces that it completed. Sound that lies before what was returned already
    /// is left out.
    pub fn push(&mut self, frame: &AudioFrame) -> Result<Vec<AudioFrame>, MediaError> {
        let format = (frame.rate(), frame.channels());
        let expected = self.origin.offset(MediaTime::from_ticks(self.taken, frame.rate()));
        let off = frame.timestamp().since(expected);
        let mut samples = frame.samples();
        if self.format != Some(format) || off > TOLERANCE || off < MediaTime::ZERO.since(TOLERANCE) {
            let heard = if self.format.is_some() { self.next_time() } else { frame.timestamp() };
            let overlap = heard.since(frame.timestamp()).to_ticks(frame.rate()).max(0);
            let cut = usize::try_from(overlap).unwrap_or(usize::MAX).saturating_mul(usize::from(frame.channels()));
            samples = samples.get(cut..).unwrap_or_default();
            if samples.is_empty() {
                return Ok(Vec::new());
            }
            let origin = frame.timestamp().offset(MediaTime::from_ticks(overlap, frame.rate()));
            self.restart(format, origin)?;
        }
        self.taken += mix_to_stereo(samples, frame.channels(), &mut self.input);
        self.resample(false)?;
        Ok(self.pieces())
    }

    /// The rest, filled up with silence. The converter is then as new.
    pub fn finish(&mut self) -> Result<Vec<AudioFrame>, MediaError> {
        let Some((rate, _)) = self.format else { return Ok(Vec::new()) };
        self.resample(true)?;
        let expected = MediaTime::from_ticks(self.taken, rate).to_ticks(OUTPUT_RATE) - self.given;
        self.output.truncate(2 * usize::try_from(expected).unwrap_or(0));
        let rest = self.output.len() % (2 * PIECE);
        if rest > 0 {
            self.output.resize(self.output.len() - rest + 2 * PIECE, 0);
        }
        let pieces = self.pieces();
        *self = Self::default();
        Ok(pieces)
    }

    fn restart(&mut self, (rate, channels): (u32, u16), origin: MediaTime) -> Result<(), MediaError> {
        *self = Self { format: Some((rate, channels)), origin, ..Self::default() };
        if rate != OUTPUT_RATE {
            let resampler = Fft::new(rate as usize, OUTPUT_RATE as usize, CHUNK, 2, FixedSync::Input)
                .map_err(|reason| codec_error("resampler", format!("{rate} Hz to 48 kHz: {reason}")))?;
            self.to_skip = resampler.output_delay();
            self.resampler = Some(resampler);
        }
        Ok(())
    }

    /// Moves what can be resampled from `input` to `output`; at the end all of it, and what the resampler holds back.
    fn resample(&mut self, end: bool) -> Result<(), MediaError> {
        let Some(resampler) = &mut self.resampler else {
            self.output.extend(self.input.drain(..).map(to_i16));
            return Ok(());
        };
        let failed = |reason: &dyn std::fmt::Display| codec_error("resampler", reason.to_string());
        let mut silent_chunks =
            if end { 1 + resampler.output_delay() / CHUNK.min(resampler.output_frames_next()) } else { 0 };
        loop {
            let needed = resampler.input_frames_next();
            let present = self.input.len() / 2;
            let mut indexing = Indexing::new();
            if present < needed {
                if present == 0 {
                    if silent_chunks == 0 {
                        return Ok(());
                    }
                    silent_chunks -= 1;
                } else if !end {
                    return Ok(());
                }
                indexing = indexing.partial_len(present);
            }
            let used = needed.min(present);
            let input = InterleavedSlice::new(&self.input, 2, present).map_err(|reason| failed(&reason))?;
            let made = resampler.process(&input, Some(&indexing)).map_err(|reason| failed(&reason))?.take_data();
            self.input.drain(..2 * used);
            let skipped = self.to_skip.min(made.len() / 2);
            self.to_skip -= skipped;
            self.output.extend(made[2 * skipped..].iter().copied().map(to_i16));
        }
    }

    /// The time of the next piece.
    fn next_time(&self) -> MediaTime {
        self.origin.offset(MediaTime::from_ticks(self.given, OUTPUT_RATE))
    }

    fn pieces(&mut self) -> Vec<AudioFrame> {
        let mut pieces = Vec::new();
        while self.output.len() >= 2 * PIECE {
            let samples: Vec<i16> = self.output.drain(..2 * PIECE).collect();
            let timestamp = self.next_time();
            self.given += PIECE as i64;
            pieces.extend(AudioFrame::new(samples, OUTPUT_RATE, 2, timestamp));
        }
        pieces
    }
}

/// What a channel gives to the left and to the right.
const LEFT: (f32, f32) = (1.0, 0.0);
const RIGHT: (f32, f32) = (0.0, 1.0);
const SIDE_LEFT: (f32, f32) = (std::f32::consts::FRAC_1_SQRT_2, 0.0);
const SIDE_RIGHT: (f32, f32) = (0.0, std::f32::consts::FRAC_1_SQRT_2);
const CENTRE: (f32, f32) = (std::f32::consts::FRAC_1_SQRT_2, std::f32::consts::FRAC_1_SQRT_2);
/// The back centre is halfway between two side channels.
const BACK: (f32, f32) = (0.5, 0.5);
const NOTHING: (f32, f32) = (0.0, 0.0);

/// The share of each channel in the order of WAVE, by their number. ITU-R BS.775-3 table 2; the bass channel is left
/// out, as there.
const fn layout(channels: u16) -> &'static [(f32, f32)] {
    match channels {
        1 => &[(1.0, 1.0)],
        2 => &[LEFT, RIGHT],
        3 => &[LEFT, RIGHT, CENTRE],
        4 => &[LEFT, RIGHT, SIDE_LEFT, SIDE_RIGHT],
        5 => &[LEFT, RIGHT, CENTRE, SIDE_LEFT, SIDE_RIGHT],
        6 => &[LEFT, RIGHT, CENTRE, NOTHING, SIDE_LEFT, SIDE_RIGHT],
        7 => &[LEFT, RIGHT, CENTRE, NOTHING, BACK, SIDE_LEFT, SIDE_RIGHT],
        8 => &[LEFT, RIGHT, CENTRE, NOTHING, SIDE_LEFT, SIDE_RIGHT, SIDE_LEFT, SIDE_RIGHT],
        _ => &[LEFT, RIGHT],
    }
}

/// Appends the sound in stereo, between -1 and 1, and returns the samples per channel. The shares are scaled so that
/// the mix cannot clip.
fn mix_to_stereo(samples: &[i16], channels: u16, target: &mut Vec<f32>) -> i64 {
    let layout = layout(channels);
    let largest = |pick: fn(&(f32, f32)) -> f32| layout.iter().map(pick).sum::<f32>();
    let scale = 1.0 / (32_768.0 * largest(|share| share.0).max(largest(|share| share.1)).max(1.0));
    let frames = samples.chunks_exact(usize::from(channels.max(1)));
    let count = frames.len();
    for frame in frames {
        let mut mixed = (0.0, 0.0);
        for (&sample, share) in frame.iter().zip(layout) {
            mixed.0 += f32::from(sample) * share.0;
            mixed.1 += f32::from(sample) * share.1;
        }
        target.extend([mixed.0 * scale, mixed.1 * scale]);
    }
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Rounds to the nearest sample; `as` saturates.
fn to_i16(value: f32) -> i16 {
    (value * 32_768.0).round() as i16
}
