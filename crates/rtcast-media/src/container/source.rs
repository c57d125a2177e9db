//! Where packets come from.

use std::fmt;
use std::path::PathBuf;

/// Devices and generators of `ffmpeg` that a person may name before a colon.
const DEVICES: [&str; 11] =
    ["lavfi", "v4l2", "x11grab", "alsa", "pulse", "jack", "kmsgrab", "fbdev", "avfoundation", "dshow", "gdigrab"];

/// Where packets come from.
///
/// ```
/// use rtcast_media::Source;
///
/// assert_eq!(Source::parse("film.mp4"), Source::Path("film.mp4".into()));
/// assert_eq!(Source::parse("-"), Source::StandardInput);
/// assert_eq!(Source::parse("rtsp://camera/1"), Source::Url("rtsp://camera/1".to_owned()));
/// assert_eq!(Source::parse("/dev/video0").to_string(), "v4l2:/dev/video0");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A file, or a named pipe.
    Path(PathBuf),
    /// Standard input, which is read once from front to back.
    StandardInput,
    /// Something that `ffmpeg` fetches, such as `rtsp://camera/1`.
    Url(String),
    /// A device or generator of `ffmpeg`.
    Device {
        /// Its kind, such as `v4l2` or `lavfi`.
        format: String,
        /// What it is called there, such as `/dev/video0` or `testsrc2`.
        input: String,
    },
}

impl Source {
    /// What a person wrote: `-` is standard input, what has `://` in it a URL, `v4l2:/dev/video0` and the like a
    /// device, as is `/dev/video0` itself; anything else is a path.
    pub fn parse(text: &str) -> Self {
        if text == "-" {
            return Self::StandardInput;
        }
        if let Some((scheme, rest)) = text.split_once(':') {
            let is_scheme = scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
            if is_scheme && rest.starts_with("//") {
                return Self::Url(text.into());
            }
            if DEVICES.contains(&scheme) {
                return Self::Device { format: scheme.into(), input: rest.into() };
            }
        }
        if text.starts_with("/dev/video") {
            return Self::Device { format: "v4l2".into(), input: text.into() };
        }
        Self::Path(text.into())
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::StandardInput => f.write_str("standard input"),
            Self::Url(url) => f.write_str(url),
            Self::Device { format, input } => write!(f, "{format}:{input}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_writes_is_understood() {
        let device = |format: &str, input: &str| Source::Device { format: format.into(), input: input.into() };
        assert_eq!(Source::parse("-"), Source::StandardInput);
        assert_eq!(Source::parse("film.mp4"), Source::Path("film.mp4".into()));
        assert_eq!(Source::parse("12:30 film.mp4"), Source::Path("12:30 film.mp4".into()));
        assert_eq!(Source::parse("C:\\film.mp4"), Source::Path("C:\\film.mp4".into()));
        assert_eq!(Source::parse("rtsp://camera/1"), Source::Url("rtsp://camera/1".into()));
        assert_eq!(Source::parse("lavfi:testsrc2=rate=30"), device("lavfi", "testsrc2=rate=30"));
        assert_eq!(Source::parse("/dev/video0"), device("v4l2", "/dev/video0"));
    }
}
