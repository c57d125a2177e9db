//! The `ffmpeg` program as a plug-in at run time: it decodes what is not built in, and hands over uncompressed
//! pictures and sound through a pipe.
//!
//! One process decodes both streams into Matroska, which the reader here takes apart, timestamps included.

mod decoder;
mod hints;
mod messages;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rtcast_track::{MediaKind, MediaTime};

pub(crate) use self::decoder::FfmpegDecoder;
use self::messages::Messages;
use super::Source;
use super::input::Input;
use super::matroska::Matroska;
use super::merged::Merged;
use crate::error::MediaError;
use crate::packet::{Demuxer, Packet, SourceCodec, StreamInfo};

/// What to install, as part of an error.
pub(super) const INSTALL: &str = "install ffmpeg: apt-get install ffmpeg, dnf install ffmpeg, brew install ffmpeg";

/// How long the program's messages may lag behind its output.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long it may take to end after it has closed its output.
const ENDING: Duration = Duration::from_secs(2);

/// How long a server may take before the first picture.
const REMOTE_PATIENCE: Duration = Duration::from_secs(20);

/// What the program is to read, and what of it.
#[derive(Clone)]
pub(super) struct Request {
    /// The program's path or name.
    pub(super) program: PathBuf,
    /// The source's name in errors.
    pub(super) name: String,
    /// What needs the program, as the beginning of an error.
    pub(super) what: String,
    /// Arguments that stand for the input, `-i` included.
    pub(super) input: Vec<OsString>,
    /// The kinds that are wanted; the first stream of each is taken, if there is one.
    pub(super) kinds: Vec<MediaKind>,
    /// Times stay as the container has them, rather than begin at zero.
    pub(super) keep_times: bool,
    /// It is fetched from somewhere that may not answer.
    pub(super) is_remote: bool,
    /// Whether it can be started again for the beginning.
    pub(super) can_rewind: bool,
}

impl Request {
    /// A request for streams of a source that the program opens itself.
    pub(super) fn for_source(program: PathBuf, source: &Source, what: String, kinds: Vec<MediaKind>) -> Self {
        let mut input = Vec::new();
        let mut option = |name: &str, value: &OsStr| input.extend([name.into(), value.to_owned()]);
        let is_remote = matches!(source, Source::Url(_));
        let can_rewind = match source {
            Source::StandardInput => {
                option("-i", "pipe:0".as_ref());
                false
            }
            // The prefix keeps a name such as `concat:a` from being more than a name.
            Source::Path(path) => {
                let mut url = OsString::from("file:");
                url.push(path);
                option("-i", &url);
                true
            }
            Source::Url(url) => {
                if url.starts_with("rtsp") {
                    option("-rtsp_transport", "tcp".as_ref());
                } else if url.starts_with("http") {
                    // In microseconds: a server that says nothing for so long is gone.
                    option("-rw_timeout", "15000000".as_ref());
                }
                option("-i", url.as_ref());
                false
            }
            Source::Device { format, input } => {
                option("-f", format.as_ref());
                option("-i", input.as_ref());
                false
            }
        };
        Self { program, name: source.to_string(), what, input, kinds, keep_times: false, is_remote, can_rewind }
    }
}

/// Starts the program on a source that it opens itself, in whatever way works: both kinds of streams at once, or each
/// by a program of its own, for a stream without a single keyframe holds up the other.
pub(super) fn open(request: &Request) -> Result<Box<dyn Demuxer>, MediaError> {
    let refusal = match Ffmpeg::open(request.clone()) {
        Ok(ffmpeg) => return Ok(Box::new(ffmpeg)),
        // Nothing that another way would change.
        Err(error @ (MediaError::Unsupported { .. } | MediaError::Io { .. })) => return Err(error),
        Err(error) => error,
    };
    if is_out_of_reach(&refusal) || request.kinds.len() < 2 {
        return Err(refusal);
    }
    let alone = |kind: MediaKind| {
        let keep_times = request.can_rewind;
        Ffmpeg::open(Request { kinds: vec![kind], keep_times, ..request.clone() })
    };
    match (alone(MediaKind::Audio), alone(MediaKind::Video)) {
        (Ok(sound), Ok(pictures)) => Ok(Box::new(Merged::new(Box::new(pictures), Box::new(sound)))),
        (Ok(sound), Err(error)) => {
            tracing::warn!(%error, "its pictures cannot be decoded; its sound is played alone");
            Ok(Box::new(sound))
        }
        (Err(error), Ok(pictures)) => {
            tracing::warn!(%error, "its sound cannot be decoded; its pictures are played alone");
            Ok(Box::new(pictures))
        }
        (Err(_), Err(_)) => Err(refusal),
    }
}

/// Whether the source itself could not be reached, so that another way of reading it changes nothing.
pub(super) fn is_out_of_reach(error: &MediaError) -> bool {
    matches!(error, MediaError::Unplayable { reason, .. } if hints::is_out_of_reach(reason))
}

/// The bytes of what stands at an address, from front to back, as the program fetches them.
pub(super) fn fetch(request: &Request) -> Result<Box<dyn io::Read + Send>, MediaError> {
    let mut command = Command::new(&request.program);
    command.args(["-hide_banner", "-nostats", "-loglevel", "level+info", "-nostdin", "-f", "data"]);
    command.args(&request.input).args(["-map", "0", "-c", "copy", "-f", "data", "pipe:1"]);
    let (process, stdout) = Process::spawn(command, request, None)?;
    Ok(Box::new(Fetched { stdout: Box::new(stdout), _process: process }))
}

/// What the program fetches; it is ended when this is dropped.
struct Fetched {
    stdout: Box<dyn io::Read + Send>,
    _process: Process,
}

impl io::Read for Fetched {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.stdout.read(out)
    }
}

/// A running program whose output is read as packets of [`SourceCodec::I420`] and [`SourceCodec::PcmS16`].
pub(super) struct Ffmpeg {
    request: Request,
    process: Process,
    output: Matroska,
    streams: Vec<StreamInfo>,
    duration: Option<MediaTime>,
    /// The output has ended and the program's word on it was heard.
    finished: bool,
}

impl Ffmpeg {
    /// Starts the program on a source that it opens itself.
    pub(super) fn open(request: Request) -> Result<Self, MediaError> {
        Self::start(request, None)
    }

    /// Starts the program and feeds it, from a thread of its own, with what is left of an input.
    pub(super) fn open_piped(mut request: Request, input: Input) -> Result<Self, MediaError> {
        request.input = vec!["-i".into(), "pipe:0".into()];
        request.can_rewind = false;
        Self::start(request, Some(input))
    }

    fn start(request: Request, feed: Option<Input>) -> Result<Self, MediaError> {
        let (process, stdout) = Process::start(&request, feed)?;
        let output = Matroska::open(Input::pipe(request.name.clone(), Box::new(stdout)));
        // It ended before its first picture: its own word says why.
        let Ok(output) = output else { return Err(process.failure(&request)) };
        let messages = process.messages.heard(PATIENCE);
        let mut streams = output.streams().to_vec();
        for (stream, codec) in streams.iter_mut().zip(&messages.codecs) {
            stream.codec_name.clone_from(codec);
        }
        let expected = |stream: &StreamInfo| matches!(stream.codec, SourceCodec::I420 | SourceCodec::PcmS16);
        if !streams.iter().all(expected) {
            return Err(MediaError::Codec {
                codec: "ffmpeg".into(),
                reason: format!("it made other streams of {} than it was asked for: {streams:?}", request.name),
            });
        }
        let duration = messages.duration;
        Ok(Self { request, process, output, streams, duration, finished: false })
    }
}

impl Demuxer for Ffmpeg {
    fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    fn duration(&self) -> Option<MediaTime> {
        self.duration
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        if self.finished {
            return Ok(None);
        }
        if let Some(packet) = self.output.next_packet()? {
            return Ok(Some(packet));
        }
        self.finished = true;
        if self.process.ended_well() { Ok(None) } else { Err(self.process.failure(&self.request)) }
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        if !self.request.can_rewind {
            return Ok(false);
        }
        let (process, stdout) = Process::start(&self.request, None)?;
        self.process = process;
        let output = Matroska::open(Input::pipe(self.request.name.clone(), Box::new(stdout)));
        self.output = output.map_err(|_| self.process.failure(&self.request))?;
        self.finished = false;
        Ok(true)
    }
}

/// The program, shared with its watchdog; it is ended and reaped when this is dropped.
struct Process {
    child: Arc<Mutex<Child>>,
    messages: Arc<Messages>,
}

impl Process {
    fn start(request: &Request, feed: Option<Input>) -> Result<(Self, impl io::Read + Send + use<>), MediaError> {
        let mut command = Command::new(&request.program);
        command.args(["-hide_banner", "-nostats", "-loglevel", "level+info"]);
        if feed.is_none() {
            command.arg("-nostdin");
        }
        if request.keep_times {
            command.arg("-copyts");
        }
        command.args(&request.input);
        for kind in &request.kinds {
            match kind {
                // `V` leaves out pictures that are attached, such as covers. The filter passes on what is not interlaced.
                MediaKind::Video => command.args([
                    "-map",
                    "0:V:0?",
                    "-vf",
                    "yadif=deint=interlaced",
                    "-c:v",
                    "rawvideo",
                    "-pix_fmt",
                    "yuv420p",
                ]),
                MediaKind::Audio => command.args(["-map", "0:a:0?", "-c:a", "pcm_s16le", "-ar", "48000", "-ac", "2"]),
            };
        }
        command.args(["-flush_packets", "1", "-f", "matroska", "pipe:1"]);
        Self::spawn(command, request, feed)
    }

    /// Runs a command whose output is wanted.
    fn spawn(
        mut command: Command,
        request: &Request,
        feed: Option<Input>,
    ) -> Result<(Self, impl io::Read + Send + use<>), MediaError> {
        command.stdin(if feed.is_some() { Stdio::piped() } else { Stdio::null() });
        let (process, stdin, stdout) = Self::run(command, request)?;
        if let (Some(mut stdin), Some(mut input)) = (stdin, feed) {
            // Ends when the input does, or with the first write after the program has ended.
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                while matches!(input.read_some(&mut bytes, 64 << 10), Ok(count) if count > 0) {
                    if stdin.write_all(&bytes).is_err() {
                        break;
                    }
                    bytes.clear();
                }
            });
        }
        Ok((process, stdout))
    }

    /// Runs a command that is told something on its standard input.
    fn spawn_with_input(
        mut command: Command,
        request: &Request,
    ) -> Result<(Self, ChildStdin, ChildStdout), MediaError> {
        command.stdin(Stdio::piped());
        let (process, stdin, stdout) = Self::run(command, request)?;
        let stdin = stdin.ok_or_else(|| process.failure(request))?;
        Ok((process, stdin, stdout))
    }

    fn run(mut command: Command, request: &Request) -> Result<(Self, Option<ChildStdin>, ChildStdout), MediaError> {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => super::missing(request.what.clone()),
            _ => MediaError::Io { source_name: request.program.display().to_string(), error },
        })?;
        let messages = Arc::new(Messages::default());
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let child = Arc::new(Mutex::new(child));
        let process = Self { child: Arc::clone(&child), messages: Arc::clone(&messages) };
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            return Err(process.failure(request));
        };
        let listening = Arc::clone(&messages);
        std::thread::spawn(move || listening.listen(stderr));
        if request.is_remote {
            std::thread::spawn(move || {
                if !messages.heard(REMOTE_PATIENCE).has_begun() {
                    messages.add_error(format!("nothing came within {} s", REMOTE_PATIENCE.as_secs()));
                    end(&child);
                }
            });
        }
        Ok((process, stdin, stdout))
    }

    /// Whether the program ended by itself and without an error. It has closed its output, so it is about to end.
    fn ended_well(&mut self) -> bool {
        for _ in 0..ENDING.as_millis() / 10 {
            match lock(&self.child).try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Ok(Some(status)) => return status.success(),
                Err(_) => return false,
            }
        }
        false
    }

    /// The error that the program's last messages make.
    fn failure(&self, request: &Request) -> MediaError {
        let messages = self.messages.heard_to_the_end(PATIENCE);
        let said = if messages.errors.is_empty() {
            "ended without a word".into()
        } else {
            format!("says: {}", messages.errors.iter().map(String::as_str).collect::<Vec<_>>().join("; "))
        };
        let hint = hints::hint(&said, request.is_remote);
        let reason = if request.is_remote || request.what == request.name {
            format!("ffmpeg {said}")
        } else {
            format!("the built-in set cannot read {}, and ffmpeg {said}", request.what.trim_end_matches(','))
        };
        MediaError::Unplayable { source_name: request.name.clone(), reason, hint }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&self.child);
    }
}

/// Whether a program of that path or name can be run.
pub(super) fn is_there(program: &Path) -> bool {
    let is_file = |path: PathBuf| path.is_file() || path.with_extension(std::env::consts::EXE_EXTENSION).is_file();
    if program.components().count() > 1 {
        return is_file(program.to_owned());
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| is_file(folder.join(program)))
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends and reaps the program.
fn end(child: &Mutex<Child>) {
    let mut child = lock(child);
    // Both fail only if it has ended and been reaped already.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_ended_and_reaped_with_its_reader() {
        let source = Source::parse("lavfi:testsrc2=size=64x64");
        let request = Request::for_source("ffmpeg".into(), &source, "a test".into(), vec![MediaKind::Video]);
        let mut ffmpeg = Ffmpeg::open(request).unwrap();
        assert_eq!(ffmpeg.streams()[0].codec, SourceCodec::I420);
        assert_eq!(ffmpeg.next_packet().unwrap().unwrap().chunk.data.len(), 64 * 64 * 3 / 2);
        assert!(!ffmpeg.rewind().unwrap());
        let process = format!("/proc/{}", lock(&ffmpeg.process.child).id());
        assert!(Path::new(&process).exists());
        drop(ffmpeg);
        assert!(!Path::new(&process).exists());
    }
}
