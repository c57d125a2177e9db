//! Containers: everything that turns a path or standard input into packets.

mod aac;
mod adts;
mod annex_b;
mod av1;
mod fields;
mod h264;
mod input;
mod ivf;
mod lookahead;
mod matroska;
mod mp4;
mod ogg;
mod opus;
mod pcm;
mod sniff;
mod vpx;
mod wav;
mod y4m;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use rtcast_peer::MediaKind;

use self::adts::Adts;
use self::annex_b::AnnexB;
use self::input::Input;
use self::ivf::Ivf;
use self::lookahead::Lookahead;
use self::matroska::Matroska;
use self::mp4::Mp4;
use self::ogg::Ogg;
use self::sniff::Format;
use self::wav::Wav;
use self::y4m::Y4m;
use crate::error::MediaError;
use crate::packet::{Demuxer, SourceCodec, StreamInfo};

/// Where packets come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A file, or a named pipe.
    Path(PathBuf),
    /// Standard input, which is read once from front to back.
    StandardInput,
}

impl Source {
    /// What a person wrote: `-` is standard input, anything else a path.
    pub fn parse(text: &str) -> Self {
        if text == "-" { Self::StandardInput } else { Self::Path(text.into()) }
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
        }
    }
}

/// Opens a source, whose container is told by its bytes, and reads as much as describes its streams.
///
/// In what comes out, the earliest packet that is presented stands at time zero. Opening a pipe blocks until its head
/// has arrived. Fails with [`MediaError::Invalid`] if the bytes are damaged or no media, and with
/// [`MediaError::Unsupported`] if the container, or the codec of its first video or audio stream, is not built in.
pub fn open(source: &Source) -> Result<Box<dyn Demuxer>, MediaError> {
    let name = source.to_string();
    let mut input = match source {
        Source::Path(path) => open_path(name.clone(), path)?,
        Source::StandardInput => Input::pipe(name.clone(), Box::new(io::stdin())),
    };
    let live = !input.is_seekable();
    let demuxer: Box<dyn Demuxer> = match recognise(&mut input)? {
        Format::Mp4 => Box::new(Mp4::open(input)?),
        Format::Matroska => Box::new(Matroska::open(input)?),
        Format::Ivf => Box::new(Ivf::open(input)?),
        Format::Wav => Box::new(Wav::open(input)?),
        Format::Ogg => Box::new(Ogg::open(input)?),
        Format::AnnexB => Box::new(AnnexB::open(input)?),
        Format::Adts => Box::new(Adts::open(input)?),
        Format::Y4m => Box::new(Y4m::open(input)?),
        format => return Err(refuse(&mut input, format)),
    };
    for kind in [MediaKind::Video, MediaKind::Audio] {
        let first = demuxer.streams().iter().find(|stream| stream.kind == kind);
        if let Some(stream) = first.filter(|stream| !is_built_in(stream)) {
            return Err(MediaError::Unsupported {
                what: format!("{} {kind} in {name}", stream.codec_name),
                hint: "the built-in set has no decoder for it".into(),
            });
        }
    }
    Ok(Box::new(Lookahead::new(demuxer, live, &name)?))
}

fn open_path(name: String, path: &PathBuf) -> Result<Input, MediaError> {
    let io_error = |error| MediaError::Io { source_name: name.clone(), error };
    let metadata = path.metadata().map_err(io_error)?;
    if metadata.is_dir() {
        let reason = "it is a directory, and a media file was expected".into();
        return Err(MediaError::Invalid { source_name: name, reason });
    }
    let file = File::open(path).map_err(io_error)?;
    if metadata.is_file() { Input::file(name, file) } else { Ok(Input::pipe(name, Box::new(file))) }
}

/// Tells the format, waiting in a pipe for no more bytes than that needs.
fn recognise(input: &mut Input) -> Result<Format, MediaError> {
    match sniff::format(input.peek(12)?) {
        found @ (Format::Mp4 | Format::Matroska | Format::Ivf | Format::Wav | Format::Ogg) => Ok(found),
        _ => Ok(sniff::format(input.peek(sniff::BYTES)?)),
    }
}

/// The error for what no reader here takes.
fn refuse(input: &mut Input, format: Format) -> MediaError {
    const EXPECTED: &str = "expected mp4, mov, mkv, webm, ogg, wav, ivf, y4m, aac or h264";
    match format {
        Format::Empty => input.invalid(format!("it is empty; {EXPECTED}")),
        Format::NotMedia(what) => input.invalid(format!("it is {what}; {EXPECTED}")),
        Format::Foreign(what) => MediaError::Unsupported {
            what: format!("{what}, the container of {}", input.name()),
            hint: format!("it is not built in; {EXPECTED}"),
        },
        _ => {
            let head: Vec<String> = match input.peek(8) {
                Ok(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
                Err(error) => return error,
            };
            input.invalid(format!(
                "it begins with the bytes {}, which no known container does; {EXPECTED}",
                head.join(" ")
            ))
        }
    }
}

/// Whether the built-in set carries or decodes a stream.
fn is_built_in(stream: &StreamInfo) -> bool {
    match &stream.codec {
        SourceCodec::Rtp(_) | SourceCodec::PcmS16 | SourceCodec::I420 => true,
        // An AAC stream whose configuration cannot be read is left to the decoder's judgement.
        SourceCodec::Aac => aac::AudioSpecificConfig::parse(&stream.extradata).is_none_or(|config| config.is_plain()),
        SourceCodec::Other(_) => false,
    }
}
