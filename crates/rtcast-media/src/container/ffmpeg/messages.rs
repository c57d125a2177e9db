//! What the program says on its standard error: codecs, duration, and errors.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use rtcast_track::MediaTime;

/// The errors that are kept: the last.
const ERRORS: usize = 4;

/// The longest line that is taken in.
const LONGEST_LINE: u64 = 4_096;

/// The most streams whose descriptions are kept.
const STREAMS: usize = 100;

/// What was heard so far, shared with the thread that listens.
#[derive(Default)]
pub(super) struct Messages {
    heard: Mutex<Heard>,
    changed: Condvar,
}

/// What the program said.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Heard {
    /// A person's names of the codecs, one per stream of its output.
    pub(super) codecs: Vec<String>,
    /// The input's duration.
    pub(super) duration: Option<MediaTime>,
    /// Its last errors.
    pub(super) errors: VecDeque<String>,
    /// The streams of the input: index and name of the codec.
    inputs: Vec<(u32, String)>,
    /// It has described its output.
    has_output: bool,
    /// It has closed its standard error.
    ended: bool,
}

impl Messages {
    /// Listens until the program closes its standard error.
    pub(super) fn listen(&self, stderr: impl Read) {
        let mut stderr = BufReader::new(stderr);
        let mut line = Vec::new();
        loop {
            line.clear();
            match stderr.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => self.change(|heard| heard.take_line(&String::from_utf8_lossy(&line))),
            }
        }
        self.change(|heard| heard.ended = true);
    }

    /// What was heard until the output was described, or until patience ended.
    pub(super) fn heard(&self, patience: Duration) -> Heard {
        self.wait(patience, |heard| heard.has_output && !heard.codecs.is_empty() || heard.ended)
    }

    /// What was heard until the program ended, or until patience did.
    pub(super) fn heard_to_the_end(&self, patience: Duration) -> Heard {
        self.wait(patience, |heard| heard.ended)
    }

    /// Adds an error of our own.
    pub(super) fn add_error(&self, error: String) {
        self.change(|heard| heard.errors.push_back(error));
    }

    fn change(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn wait(&self, patience: Duration, enough: impl Fn(&Heard) -> bool) -> Heard {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(heard, patience, |heard| !enough(heard));
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

impl Heard {
    /// Whether the program has found its input and described its output, or has ended.
    pub(super) const fn has_begun(&self) -> bool {
        self.has_output || self.ended
    }

    fn take_line(&mut self, line: &str) {
        let line = line.trim_end();
        for level in ["[error] ", "[fatal] "] {
            if let Some((_, message)) = line.split_once(level) {
                if self.errors.len() == ERRORS {
                    self.errors.pop_front();
                }
                self.errors.push_back(message.trim().to_owned());
                return;
            }
        }
        let Some(text) = line.strip_prefix("[info]").map(str::trim) else { return };
        if text.starts_with("Output #") {
            self.has_output = true;
        } else if let Some(rest) = text.strip_prefix("Duration: ") {
            self.duration = rest.split(',').next().and_then(duration).or(self.duration);
        } else if let Some(rest) = text.strip_prefix("Stream #0:") {
            match rest.split_once(" -> #0:") {
                Some((input, _)) => self.map(input),
                None if !self.has_output && self.inputs.len() < STREAMS => self.inputs.extend(input_stream(rest)),
                None => {}
            }
        }
    }

    /// Takes a line of the mapping, whose order is that of the output.
    fn map(&mut self, input: &str) {
        let index = input.parse::<u32>().ok();
        let codec = self.inputs.iter().find(|(found, _)| Some(*found) == index).map(|(_, codec)| codec.clone());
        if self.codecs.len() < STREAMS {
            self.codecs.push(codec.unwrap_or_else(|| "unknown codec".into()));
        }
    }
}

/// `0[0x1](und): Video: hevc (Main) (hev1 / 0x31766568), yuv420p, …`
fn input_stream(line: &str) -> Option<(u32, String)> {
    let digits = line.find(|c: char| !c.is_ascii_digit())?;
    let index = line.get(..digits)?.parse().ok()?;
    let codec = line.split_once("Video: ").or_else(|| line.split_once("Audio: "))?.1;
    let codec = codec.split(',').next()?;
    let mut words = codec.splitn(2, ' ');
    let name = codec_name(words.next()?);
    // The first thing in parentheses is the profile, unless it is the code of the container.
    let profile = words.next().and_then(|rest| rest.strip_prefix('(')?.split(')').next());
    let profile = profile.filter(|profile| !profile.contains('/'));
    Some((index, profile.map_or_else(|| name.clone(), |profile| format!("{name} {profile}"))))
}

/// A person's name of a codec that the program names in its own way.
fn codec_name(name: &str) -> String {
    match name {
        "hevc" => "HEVC".into(),
        "h264" => "H.264".into(),
        "ac3" => "AC-3".into(),
        "eac3" => "E-AC-3".into(),
        "mpeg4" => "MPEG-4 Part 2".into(),
        "mpeg2video" => "MPEG-2".into(),
        "mpeg1video" => "MPEG-1".into(),
        "vorbis" => "Vorbis".into(),
        "theora" => "Theora".into(),
        "opus" => "Opus".into(),
        "mjpeg" => "Motion JPEG".into(),
        "prores" => "ProRes".into(),
        other if other.starts_with("pcm_") => "PCM".into(),
        other => other.to_uppercase(),
    }
}

/// `00:12:41.25`
fn duration(text: &str) -> Option<MediaTime> {
    let mut parts = text.splitn(3, ':');
    let (hours, minutes): (i64, i64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let seconds: f64 = parts.next()?.parse().ok()?;
    let whole = hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60_000_000)?;
    Some(MediaTime::from_micros(whole.checked_add((seconds * 1e6) as i64)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_program_are_understood() {
        let messages = Messages::default();
        messages.listen(
            &b"[info] Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'file:a.mp4':\n\
            [info]   Duration: 00:01:03.03, start: 0.000000, bitrate: 271 kb/s\n\
            [info]   Stream #0:0[0x1](und): Video: hevc (Main) (hev1 / 0x31766568), yuv420p(tv), 320x180\n\
            [info]   Stream #0:1[0x2](und): Audio: ac3 (ac-3 / 0x332D6361), 44100 Hz, mono, fltp, 96 kb/s (default)\n\
            [info] Stream mapping:\n\
            [info]   Stream #0:1 -> #0:0 (ac3 (native) -> pcm_s16le (native))\n\
            [info] Output #0, matroska, to 'pipe:1':\n\
            [info]   Stream #0:0(und): Audio: pcm_s16le ([1][0][0][0] / 0x0001), 48000 Hz\n\
            [mov,mp4 @ 0x55] [error] something broke\n"[..],
        );
        let heard = messages.heard(Duration::ZERO);
        assert_eq!(heard.codecs, ["AC-3"]);
        assert_eq!(heard.inputs, [(0, "HEVC Main".to_owned()), (1, "AC-3".to_owned())]);
        assert_eq!(heard.duration, Some(MediaTime::from_micros(63_030_000)));
        assert_eq!(heard.errors, ["something broke"]);
        assert!(heard.ended && heard.has_output);
    }

    #[test]
    fn a_program_that_says_nothing_is_not_waited_for_longer_than_patience() {
        assert_eq!(Messages::default().heard(Duration::from_millis(1)), Heard::default());
    }
}
