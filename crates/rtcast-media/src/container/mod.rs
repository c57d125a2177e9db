//! Containers: everything that turns a path or standard input into packets.

mod aac;
mod adts;
mod annex_b;
mod av1;
mod ffmpeg;
mod fields;
mod h264;
mod input;
mod ivf;
mod lookahead;
mod matroska;
mod merged;
mod mp4;
mod ogg;
mod opus;
mod pcm;
mod replay;
mod sniff;
mod source;
mod vpx;
mod wav;
mod y4m;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rtcast_peer::{Codec, MediaKind};

use self::adts::Adts;
use self::annex_b::AnnexB;
use self::ffmpeg::{Ffmpeg, Request};
use self::input::Input;
use self::ivf::Ivf;
use self::lookahead::Lookahead;
use self::matroska::Matroska;
use self::merged::Merged;
use self::mp4::Mp4;
use self::ogg::Ogg;
use self::replay::Replay;
use self::sniff::Format;
pub use self::source::Source;
use self::wav::Wav;
use self::y4m::Y4m;
use crate::error::MediaError;
use crate::packet::{Demuxer, SourceCodec, StreamInfo};

/// How a source is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The program that reads and decodes what is not built in: a path, or a name that is looked up. `None` does
    /// without. By default `ffmpeg`.
    pub ffmpeg: Option<PathBuf>,
    /// The kinds of streams that are to come out decoded, as [`SourceCodec::I420`] or [`SourceCodec::PcmS16`], even
    /// if their codec is built in. By default none.
    pub decode: Vec<MediaKind>,
}

impl Default for Options {
    fn default() -> Self {
        Self { ffmpeg: Some("ffmpeg".into()), decode: Vec::new() }
    }
}

/// Opens a source, whose container is told by its bytes, and reads as much as describes its streams.
///
/// In what comes out, the earliest packet that is presented stands at time zero. Opening a pipe blocks until its head
/// has arrived. What is not built in, a container or the codec of the first video or audio stream, is decoded by the
/// program `ffmpeg`; such a stream has the codec [`SourceCodec::I420`] or [`SourceCodec::PcmS16`], with the name of
/// what it was before.
///
/// Fails with [`MediaError::Invalid`] if the bytes are damaged or no media, and with [`MediaError::Unsupported`] if
/// `ffmpeg` is needed but missing.
pub fn open(source: &Source) -> Result<Box<dyn Demuxer>, MediaError> {
    open_with(source, &Options::default())
}

/// The same as [`open`] with other than the usual options.
pub fn open_with(source: &Source, options: &Options) -> Result<Box<dyn Demuxer>, MediaError> {
    let name = source.to_string();
    match source {
        Source::Path(path) => match open_path(&name, path)? {
            Opened::File(file) => open_file(source, Input::file(name, file)?, options),
            Opened::Pipe(file) => open_pipe(&name, Box::new(file), options),
        },
        Source::StandardInput => open_pipe(&name, Box::new(io::stdin()), options),
        Source::Url(_) | Source::Device { .. } => {
            let ffmpeg = Ffmpeg::open(request(source, options, &name, BOTH.to_vec())?)?;
            Ok(Box::new(Lookahead::new(Box::new(ffmpeg), true, &name)?))
        }
    }
}

const BOTH: [MediaKind; 2] = [MediaKind::Video, MediaKind::Audio];

const EXPECTED: &str = "expected mp4, mov, mkv, webm, ogg, wav, ivf, y4m, aac or h264";

enum Opened {
    File(File),
    Pipe(File),
}

fn open_path(name: &str, path: &Path) -> Result<Opened, MediaError> {
    let io_error = |error| MediaError::Io { source_name: name.into(), error };
    let metadata = path.metadata().map_err(io_error)?;
    if metadata.is_dir() {
        let reason = "it is a directory, and a media file was expected".into();
        return Err(MediaError::Invalid { source_name: name.into(), reason });
    }
    let file = File::open(path).map_err(io_error)?;
    Ok(if metadata.is_file() { Opened::File(file) } else { Opened::Pipe(file) })
}

/// Opens a file, which `ffmpeg` can open a second time for the streams that it must decode.
fn open_file(source: &Source, mut input: Input, options: &Options) -> Result<Box<dyn Demuxer>, MediaError> {
    let name = input.name().to_owned();
    let format = recognise(&mut input)?;
    let Some(BuiltIn { demuxer, is_turned }) = open_built_in(format, &mut input)? else {
        let refusal = refuse(&mut input, format)?;
        let ffmpeg = Ffmpeg::open(request(source, options, &refusal, BOTH.to_vec())?)?;
        return Ok(Box::new(Lookahead::new(Box::new(ffmpeg), true, &name)?));
    };
    let (mut kinds, what) = to_decode(&*demuxer, options, &name);
    // The turn is part of the container, which viewers never see, so it is done while decoding.
    let turns = is_turned && !kinds.contains(&MediaKind::Video);
    if turns && !options.ffmpeg.as_ref().is_some_and(|program| ffmpeg::is_there(program)) {
        tracing::warn!(source = name, "its pictures are to be turned, which needs ffmpeg; they are shown as they lie");
    } else if turns {
        kinds.push(MediaKind::Video);
    }
    if kinds.is_empty() {
        return Ok(Box::new(Lookahead::new(demuxer, false, &name)?));
    }
    // Uncompressed pictures tell nothing that is worth the wait for many of them.
    let live = kinds.contains(&MediaKind::Video);
    let is_left = |stream: &StreamInfo| !kinds.contains(&stream.kind);
    let left = demuxer.streams().iter().any(is_left);
    let mut request = request(source, options, &what, kinds)?;
    request.keep_times = left;
    let ffmpeg = Box::new(Ffmpeg::open(request)?);
    let demuxer = if left { Box::new(Merged::new(demuxer, ffmpeg)) } else { ffmpeg as Box<dyn Demuxer> };
    Ok(Box::new(Lookahead::new(demuxer, live, &name)?))
}

/// Opens a pipe. If anything in it must be decoded by `ffmpeg`, the whole pipe goes there.
fn open_pipe(name: &str, pipe: Box<dyn io::Read + Send>, options: &Options) -> Result<Box<dyn Demuxer>, MediaError> {
    let (replay, pipe) = Replay::new(pipe);
    let mut input = Input::pipe(name.to_owned(), pipe);
    let format = recognise(&mut input)?;
    let what = match open_built_in(format, &mut input)? {
        Some(BuiltIn { mut demuxer, is_turned }) => {
            let (kinds, what) = to_decode(&*demuxer, options, name);
            if kinds.is_empty() {
                if is_turned {
                    tracing::warn!(
                        source = name,
                        "its pictures are to be turned; from a pipe they are shown as they lie"
                    );
                }
                drop(replay);
                return Ok(Box::new(Lookahead::new(demuxer, true, name)?));
            }
            // A pipe that can go back was kept in a temporary file, for an mp4's index that stands at its end.
            if demuxer.rewind()? {
                let hint = "its index stands at its end, which ffmpeg cannot reach in a pipe; give its path, or write \
                            it with the index first (ffmpeg -movflags +faststart)";
                return Err(MediaError::Unsupported { what, hint: hint.into() });
            }
            what
        }
        None => refuse(&mut input, format)?,
    };
    let Some(program) = &options.ffmpeg else { return Err(missing(what)) };
    let Some(pipe) = replay.restart() else {
        return Err(MediaError::Unsupported {
            what,
            hint: "it is too far into the pipe for ffmpeg; give its path".into(),
        });
    };
    let request = Request {
        program: program.clone(),
        name: name.to_owned(),
        what,
        input: Vec::new(),
        kinds: BOTH.to_vec(),
        keep_times: false,
        is_remote: false,
        can_rewind: false,
    };
    let ffmpeg = Ffmpeg::open_piped(request, Input::pipe(name.to_owned(), pipe))?;
    Ok(Box::new(Lookahead::new(Box::new(ffmpeg), true, name)?))
}

/// A reader that is built in.
struct BuiltIn {
    demuxer: Box<dyn Demuxer>,
    /// Its pictures are to be turned before they are shown.
    is_turned: bool,
}

/// The built-in reader of a format; `None` if there is none, and then the input is left as it was.
fn open_built_in(format: Format, input: &mut Input) -> Result<Option<BuiltIn>, MediaError> {
    let mut take = || std::mem::replace(input, Input::empty(input.name().to_owned()));
    let demuxer: Box<dyn Demuxer> = match format {
        Format::Mp4 => {
            let mp4 = Mp4::open(take())?;
            let is_turned = mp4.is_turned();
            return Ok(Some(BuiltIn { demuxer: Box::new(mp4), is_turned }));
        }
        Format::Matroska => Box::new(Matroska::open(take())?),
        Format::Ivf => Box::new(Ivf::open(take())?),
        Format::Wav => Box::new(Wav::open(take())?),
        Format::Ogg => Box::new(Ogg::open(take())?),
        Format::AnnexB => Box::new(AnnexB::open(take())?),
        Format::Adts => Box::new(Adts::open(take())?),
        Format::Y4m => Box::new(Y4m::open(take())?),
        Format::Foreign(_) | Format::NotMedia(_) | Format::Empty | Format::Unknown => return Ok(None),
    };
    Ok(Some(BuiltIn { demuxer, is_turned: false }))
}

/// Tells the format, waiting in a pipe for no more bytes than that needs.
fn recognise(input: &mut Input) -> Result<Format, MediaError> {
    match sniff::format(input.peek(12)?) {
        found @ (Format::Mp4 | Format::Matroska | Format::Ivf | Format::Wav | Format::Ogg) => Ok(found),
        _ => Ok(sniff::format(input.peek(sniff::BYTES)?)),
    }
}

/// What to say of a format that no reader here takes but `ffmpeg` may; an error if it surely does not.
fn refuse(input: &mut Input, format: Format) -> Result<String, MediaError> {
    match format {
        Format::Empty => Err(input.invalid(format!("it is empty; {EXPECTED}"))),
        Format::NotMedia(what) => Err(input.invalid(format!("it is {what}; {EXPECTED}"))),
        Format::Foreign(what) => Ok(format!("{what}, the container of {},", input.name())),
        _ => {
            let head: Vec<String> = input.peek(8)?.iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(format!("what {} holds, which begins with the bytes {},", input.name(), head.join(" ")))
        }
    }
}

/// The request to `ffmpeg`, an error if it is switched off. `what` is what needs it.
fn request(source: &Source, options: &Options, what: &str, kinds: Vec<MediaKind>) -> Result<Request, MediaError> {
    let program = options.ffmpeg.clone().ok_or_else(|| missing(what.to_owned()))?;
    Ok(Request::for_source(program, source, what.to_owned(), kinds))
}

fn missing(what: String) -> MediaError {
    MediaError::Unsupported { what, hint: format!("the built-in set cannot read it; {}", ffmpeg::INSTALL) }
}

/// The kinds whose first stream is not built in or is to be decoded, and a person's name of those streams.
fn to_decode(demuxer: &dyn Demuxer, options: &Options, name: &str) -> (Vec<MediaKind>, String) {
    let mut kinds = Vec::new();
    let mut names = Vec::new();
    for kind in BOTH {
        let first = demuxer.streams().iter().find(|stream| stream.kind == kind);
        if let Some(stream) = first.filter(|stream| !is_built_in(stream) || options.decode.contains(&kind)) {
            kinds.push(kind);
            names.push(format!("{} {kind}", stream.codec_name));
        }
    }
    (kinds, format!("{} in {name}", names.join(" and ")))
}

/// Whether the built-in set carries or decodes a stream.
fn is_built_in(stream: &StreamInfo) -> bool {
    match &stream.codec {
        // Browsers and the built-in decoder take 4:2:0 of eight bits only.
        SourceCodec::Rtp(Codec::H264) => !["10", "4:2:2", "4:4:4"].iter().any(|end| stream.codec_name.ends_with(end)),
        SourceCodec::Rtp(_) | SourceCodec::PcmS16 | SourceCodec::I420 => true,
        // An AAC stream whose configuration cannot be read is left to the decoder's judgement.
        SourceCodec::Aac => aac::AudioSpecificConfig::parse(&stream.extradata).is_none_or(|config| config.is_plain()),
        SourceCodec::Other(_) => false,
    }
}
