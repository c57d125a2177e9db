//! Pipes: standard input, named pipes, and whatever else is read once from front to back.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rtcast_track::MediaTime;
use tempfile::TempPath;

use super::ffmpeg::{self, Ffmpeg, Request};
use super::input::Input;
use super::lookahead::Lookahead;
use super::replay::Replay;
use super::still::Still;
use super::{BOTH, BuiltIn, Options, Source, missing, open_built_in, open_file, recognise, refuse, to_decode};
use crate::error::MediaError;
use crate::packet::{Demuxer, Packet, StreamInfo};

/// Opens a pipe. If anything in it must be decoded by `ffmpeg`, the whole pipe goes there.
pub(super) fn open(name: &str, pipe: Box<dyn Read + Send>, options: &Options) -> Result<Box<dyn Demuxer>, MediaError> {
    let (replay, pipe) = Replay::new(pipe);
    let mut input = Input::pipe_with_replay(name.to_owned(), pipe, replay.clone());
    let format = recognise(&mut input)?;
    let built_in = open_built_in(format, &mut input);
    if let Some(path) = replay.spooled() {
        drop(built_in);
        return open_spooled(name, path, options);
    }
    let (what, error) = match built_in {
        Ok(Some(BuiltIn { demuxer, is_turned })) => {
            let (kinds, what) = to_decode(&*demuxer, options, name);
            if kinds.is_empty() {
                if is_turned {
                    tracing::warn!(
                        source = name,
                        "its pictures are to be turned; from a pipe they are shown as they lie"
                    );
                }
                let demuxer = Lookahead::new(demuxer, true, name)?;
                replay.forget();
                return Ok(Box::new(demuxer));
            }
            (what, None)
        }
        Ok(None) => (refuse(&mut input, format)?, None),
        Err(error @ MediaError::Io { .. }) => return Err(error),
        Err(error) => (name.to_owned(), Some(error)),
    };
    let program = options.ffmpeg.clone().filter(|program| error.is_none() || ffmpeg::is_there(program));
    let Some(program) = program else { return Err(error.unwrap_or_else(|| missing(what))) };
    match decode(name, &what, &program, &replay) {
        Ok(demuxer) => {
            if let Some(error) = error {
                tracing::warn!(%error, "ffmpeg reads it instead");
            }
            Ok(demuxer)
        }
        Err(refusal) => Err(error.unwrap_or(refusal)),
    }
}

/// Opens the temporary file to which a pipe was copied. It goes with the demuxer.
fn open_spooled(name: &str, path: Arc<TempPath>, options: &Options) -> Result<Box<dyn Demuxer>, MediaError> {
    let error = |error| MediaError::Io { source_name: name.to_owned(), error };
    let file = std::fs::File::open(&**path).map_err(error)?;
    let source = Source::Path(path.to_path_buf());
    let inner = open_file(&source, Input::file(name.to_owned(), file)?, options)?;
    Ok(Box::new(Spooled { inner, _path: path }))
}

/// Has `ffmpeg` decode the whole pipe: both kinds of streams, or if that fails (a stream without a single keyframe holds
/// up the other) one of them.
fn decode(name: &str, what: &str, program: &Path, replay: &Replay) -> Result<Box<dyn Demuxer>, MediaError> {
    let too_far = || MediaError::Unsupported {
        what: what.to_owned(),
        hint: "it is too far into the pipe for ffmpeg; give its path".into(),
    };
    let mut refusal = None;
    for kinds in [&BOTH[..], &BOTH[1..], &BOTH[..1]] {
        let Some(pipe) = replay.read_again() else { break };
        let request = Request {
            program: program.to_owned(),
            name: name.to_owned(),
            what: what.to_owned(),
            input: Vec::new(),
            kinds: kinds.to_vec(),
            keep_times: false,
            is_remote: false,
            can_rewind: false,
        };
        match Ffmpeg::open_piped(request, Input::pipe(name.to_owned(), pipe)) {
            Ok(ffmpeg) => {
                if let (Some(error), [kind]) = (refusal, kinds) {
                    tracing::warn!(%error, "only its {kind} is played");
                }
                let decoded = Still::wrap(Box::new(ffmpeg), false)?;
                let demuxer = Lookahead::new(decoded, true, name)?;
                replay.forget();
                return Ok(Box::new(demuxer));
            }
            Err(error) => {
                refusal.get_or_insert(error);
            }
        }
    }
    Err(refusal.unwrap_or_else(too_far))
}

/// A demuxer of a temporary file.
struct Spooled {
    inner: Box<dyn Demuxer>,
    _path: Arc<TempPath>,
}

impl Demuxer for Spooled {
    fn streams(&self) -> &[StreamInfo] {
        self.inner.streams()
    }

    fn duration(&self) -> Option<MediaTime> {
        self.inner.duration()
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        self.inner.next_packet()
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        self.inner.rewind()
    }
}
