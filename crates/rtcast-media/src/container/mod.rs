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
mod pipe;
mod replay;
mod sniff;
mod source;
mod still;
mod vpx;
mod wav;
mod webp;
mod y4m;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rtcast_track::{Codec, MediaKind};

use self::adts::Adts;
use self::annex_b::AnnexB;
pub(crate) use self::ffmpeg::FfmpegDecoder;
use self::ffmpeg::{Ffmpeg, Request};
use self::input::Input;
use self::ivf::Ivf;
use self::lookahead::Lookahead;
use self::matroska::Matroska;
use self::merged::Merged;
use self::mp4::Mp4;
use self::ogg::Ogg;
use self::sniff::Format;
pub use self::source::Source;
use self::still::Still;
use self::wav::Wav;
use self::webp::WebP;
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
/// has arrived. What is not built in (a container, the codec of the first video or audio stream, a form of either that
/// a built-in reader refuses) is decoded by the program `ffmpeg`; such a stream has the codec [`SourceCodec::I420`] or
/// [`SourceCodec::PcmS16`], with the name of what it was before. A single picture is repeated.
///
/// A pipe that must be read from its end, such as an mp4 whose index stands there, is kept in a temporary file first;
/// so is what a server gives away only from front to back.
///
/// Fails with [`MediaError::Invalid`] if the bytes are damaged, with [`MediaError::Unplayable`] if they are no media or
/// cannot be reached, and with [`MediaError::Unsupported`] if `ffmpeg` is needed but missing.
///
/// ```no_run
/// use rtcast_media::{Source, container};
///
/// let mut film = container::open(&Source::parse("film.mp4"))?;
/// for stream in film.streams() {
///     println!("{}: {}", stream.kind, stream.codec_name);
/// }
/// let mut keyframes = 0;
/// while let Some(packet) = film.next_packet()? {
///     keyframes += usize::from(packet.chunk.keyframe);
/// }
/// # Ok::<(), rtcast_media::MediaError>(())
/// ```
pub fn open(source: &Source) -> Result<Box<dyn Demuxer>, MediaError> {
    open_with(source, &Options::default())
}

/// The same as [`open`] with other than the usual options.
pub fn open_with(source: &Source, options: &Options) -> Result<Box<dyn Demuxer>, MediaError> {
    let name = source.to_string();
    match source {
        Source::Path(path) => match open_path(&name, path)? {
            Opened::File(file) => open_file(source, Input::file(name, file)?, options),
            Opened::Pipe(file) => pipe::open(&name, Box::new(file), options),
        },
        Source::StandardInput => pipe::open(&name, Box::new(io::stdin()), options),
        Source::Url(url) if url.starts_with("http") => open_http(&request(source, options, &name)?, options),
        Source::Url(_) | Source::Device { .. } => decode(&request(source, options, &name)?, &name),
    }
}

/// Opens what lies in memory, by the name that errors shall give it. Only what is built in can be read of it.
///
/// ```
/// use rtcast_media::{Demuxer, MediaError, SourceCodec, container};
///
/// let mut y4m = b"YUV4MPEG2 W4 H2 F25:1 Ip\nFRAME\n".to_vec();
/// y4m.extend([128; 12]);
/// let mut source = container::open_bytes("grey.y4m", y4m.into())?;
/// let stream = &source.streams()[0];
/// assert_eq!((&stream.codec, stream.width, stream.frame_rate), (&SourceCodec::I420, 4, 25.0));
/// assert_eq!(source.next_packet()?.map(|packet| packet.chunk.data.len()), Some(12));
///
/// let error = container::open_bytes("notes.txt", b"no media at all"[..].into()).err();
/// assert!(matches!(error, Some(MediaError::Unplayable { .. })), "it is text");
/// # Ok::<(), MediaError>(())
/// ```
pub fn open_bytes(name: &str, bytes: bytes::Bytes) -> Result<Box<dyn Demuxer>, MediaError> {
    let mut input = Input::memory(name.to_owned(), bytes);
    let format = recognise(&mut input)?;
    match open_built_in(format, &mut input)? {
        Some(BuiltIn { demuxer, .. }) => Ok(Box::new(Lookahead::new(demuxer, false, name)?)),
        None => Err(missing(refuse(&mut input, format)?)),
    }
}

/// Opens what is read once from front to back, by the name that errors shall give it.
pub fn open_reader(
    name: &str,
    reader: Box<dyn io::Read + Send>,
    options: &Options,
) -> Result<Box<dyn Demuxer>, MediaError> {
    pipe::open(name, reader, options)
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
        return Err(MediaError::Unplayable {
            source_name: name.into(),
            reason: "it is a directory, and a media file was expected".into(),
            hint: "name one of the files in it".into(),
        });
    }
    let file = File::open(path).map_err(io_error)?;
    Ok(if metadata.is_file() { Opened::File(file) } else { Opened::Pipe(file) })
}

/// Opens a file, which `ffmpeg` can open a second time for the streams that it must decode.
fn open_file(source: &Source, mut input: Input, options: &Options) -> Result<Box<dyn Demuxer>, MediaError> {
    let name = input.name().to_owned();
    let format = recognise(&mut input)?;
    let error = match read_file(source, format, &mut input, options) {
        Ok(Some(demuxer)) => return Ok(demuxer),
        Ok(None) => {
            let refusal = refuse(&mut input, format)?;
            return decode(&Request { name: name.clone(), ..request(source, options, &refusal)? }, &name);
        }
        Err(error @ MediaError::Io { .. }) => return Err(error),
        Err(error) => error,
    };
    // What the reader here refuses, another may take; if not, the word of the one that knows the format counts.
    let Some(program) = options.ffmpeg.clone().filter(|program| ffmpeg::is_there(program)) else { return Err(error) };
    let request = Request { name: name.clone(), ..Request::for_source(program, source, name.clone(), BOTH.to_vec()) };
    let Ok(demuxer) = decode(&request, &name) else { return Err(error) };
    tracing::warn!(%error, "ffmpeg reads it instead");
    Ok(demuxer)
}

/// Opens a file by the reader that is built in, and has `ffmpeg` decode the streams that need it. `None`: no reader for
/// this format is built in.
fn read_file(
    source: &Source,
    format: Format,
    input: &mut Input,
    options: &Options,
) -> Result<Option<Box<dyn Demuxer>>, MediaError> {
    let name = input.name().to_owned();
    let Some(BuiltIn { demuxer, is_turned }) = open_built_in(format, input)? else { return Ok(None) };
    let (mut kinds, what) = to_decode(&*demuxer, options, &name);
    // The turn is part of the container, which viewers never see, so it is done while decoding.
    let turns = is_turned && !kinds.contains(&MediaKind::Video);
    if turns && !options.ffmpeg.as_ref().is_some_and(|program| ffmpeg::is_there(program)) {
        tracing::warn!(source = name, "its pictures are to be turned, which needs ffmpeg; they are shown as they lie");
    } else if turns {
        kinds.push(MediaKind::Video);
    }
    if kinds.is_empty() {
        return Ok(Some(Box::new(Lookahead::new(demuxer, false, &name)?)));
    }
    // Uncompressed pictures tell nothing that is worth the wait for many of them.
    let live = kinds.contains(&MediaKind::Video);
    let is_left = |stream: &StreamInfo| !kinds.contains(&stream.kind);
    let left = demuxer.streams().iter().any(is_left);
    let mut request = Request { kinds, name: name.clone(), ..request(source, options, &what)? };
    request.keep_times = left;
    let ffmpeg = Box::new(Ffmpeg::open(request)?);
    let demuxer = if left { Box::new(Merged::new(demuxer, ffmpeg)) } else { ffmpeg as Box<dyn Demuxer> };
    Ok(Some(Box::new(Lookahead::new(demuxer, live, &name)?)))
}

/// Opens what a server has. What it gives away only from front to back, though it must be read in another order, is
/// read as a pipe is.
fn open_http(request: &Request, options: &Options) -> Result<Box<dyn Demuxer>, MediaError> {
    let name = request.name.clone();
    let error = match Ffmpeg::open(request.clone()) {
        Ok(ffmpeg) => return Ok(Box::new(Lookahead::new(Still::wrap(Box::new(ffmpeg), false)?, true, &name)?)),
        Err(error @ MediaError::Unplayable { .. }) if !ffmpeg::is_out_of_reach(&error) => error,
        Err(error) => return Err(error),
    };
    let fetched = ffmpeg::fetch(request).and_then(|pipe| pipe::open(&name, pipe, options));
    match fetched {
        Ok(demuxer) => {
            tracing::warn!(%error, "it is read from front to back instead, as the server gives it");
            Ok(demuxer)
        }
        Err(_) => Err(error),
    }
}

/// Has `ffmpeg` read and decode a source, whatever it is.
fn decode(request: &Request, name: &str) -> Result<Box<dyn Demuxer>, MediaError> {
    let decoded = Still::wrap(ffmpeg::open(request)?, request.can_rewind)?;
    Ok(Box::new(Lookahead::new(decoded, true, name)?))
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
        Format::WebP => Still::wrap(Box::new(WebP::open(take())?), false)?,
        Format::Foreign(_) | Format::NotMedia(_) | Format::Empty | Format::Unknown => return Ok(None),
    };
    Ok(Some(BuiltIn { demuxer, is_turned: false }))
}

/// Tells the format, waiting in a pipe for no more bytes than that needs.
fn recognise(input: &mut Input) -> Result<Format, MediaError> {
    match sniff::format(input.peek(12)?) {
        found @ (Format::Mp4 | Format::Matroska | Format::Ivf | Format::Wav | Format::Ogg | Format::WebP) => Ok(found),
        _ => Ok(sniff::format(input.peek(sniff::BYTES)?)),
    }
}

/// What to say of a format that no reader here takes but `ffmpeg` may; an error if it surely does not.
fn refuse(input: &mut Input, format: Format) -> Result<String, MediaError> {
    match format {
        Format::Empty => Err(MediaError::Unplayable {
            source_name: input.name().to_owned(),
            reason: format!("it is empty; {EXPECTED}"),
            hint: "whatever was to write it has written nothing: see why, or get the file again".into(),
        }),
        Format::NotMedia(what) => Err(MediaError::Unplayable {
            source_name: input.name().to_owned(),
            reason: format!("it is {what}; {EXPECTED}"),
            hint: if what.ends_with("archive") { "unpack it, and name the film in it" } else { "name a media file" }
                .into(),
        }),
        Format::Foreign(what) => Ok(format!("{what}, the container of {},", input.name())),
        _ => {
            let head: Vec<String> = input.peek(8)?.iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(format!("what {} holds, which begins with the bytes {},", input.name(), head.join(" ")))
        }
    }
}

/// The request to `ffmpeg` for both kinds of streams, an error if it is switched off. `what` is what needs it.
fn request(source: &Source, options: &Options, what: &str) -> Result<Request, MediaError> {
    let program = options.ffmpeg.clone().ok_or_else(|| missing(what.to_owned()))?;
    Ok(Request::for_source(program, source, what.to_owned(), BOTH.to_vec()))
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
