//! The program as a decoder of single packets, for what a built-in decoder turns out not to take.
//!
//! Packets go in as IVF, which carries any codec with its times; pictures come out as they do of a whole source.

use std::collections::VecDeque;
use std::io::Write;
use std::process::{ChildStdin, Command};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use rtcast_track::{Codec, MediaKind, MediaTime};

use super::super::input::Input;
use super::super::matroska::Matroska;
use super::{Process, Request, is_there};
use crate::codec::VideoDecoder;
use crate::error::MediaError;
use crate::packet::{Demuxer, EncodedChunk, Packet, SourceCodec, StreamInfo};
use crate::raw::VideoFrame;

/// Packets that wait to be written, and pictures that wait to be taken. The latter are large.
const PACKETS: usize = 64;
const PICTURES: usize = 4;
/// Times of packets whose pictures have not come yet.
const TIMES: usize = 256;
/// Times begin here, so that those before the first packet's are no less than zero.
const FIRST: i64 = 60_000_000;
/// How long the last pictures may take once no packet follows.
const LAST_PICTURES: Duration = Duration::from_secs(5);
/// So many runs of the program that show nothing end the stream.
const RUNS: u32 = 3;

/// Decodes by the program `ffmpeg`, which runs from the first packet, a keyframe, until it is flushed.
pub(crate) struct FfmpegDecoder {
    four: [u8; 4],
    name: String,
    /// Pictures keep the range of their stream, which is dealt with later.
    range: &'static str,
    running: Option<Running>,
    /// Runs in a row without a picture.
    fruitless: u32,
}

struct Running {
    process: Process,
    request: Request,
    packets: Option<SyncSender<Vec<u8>>>,
    pictures: Receiver<Picture>,
    origin: MediaTime,
    /// Times of what was written, and whether it is to be shown.
    times: VecDeque<(MediaTime, bool)>,
    has_shown: bool,
}

/// A packet of raw pixels.
struct Picture {
    packet: Packet,
    width: u32,
    height: u32,
}

impl FfmpegDecoder {
    /// A decoder for a stream, if the program is there and its codec is one that can be handed over.
    pub(crate) fn new(stream: &StreamInfo) -> Option<Self> {
        let four = match stream.codec {
            SourceCodec::Rtp(Codec::H264) => *b"H264",
            SourceCodec::Rtp(Codec::Vp8) => *b"VP80",
            SourceCodec::Rtp(Codec::Vp9) => *b"VP90",
            SourceCodec::Rtp(Codec::Av1) => *b"AV01",
            _ => return None,
        };
        let program = "ffmpeg".as_ref();
        let range = if stream.picture.colour.full_range == Some(true) { "full" } else { "limited" };
        is_there(program).then(|| Self { four, name: stream.codec_name.clone(), range, running: None, fruitless: 0 })
    }

    fn start(&mut self, first: &EncodedChunk) -> Result<(), MediaError> {
        let request = Request {
            program: "ffmpeg".into(),
            name: self.name.clone(),
            what: self.name.clone(),
            input: Vec::new(),
            kinds: vec![MediaKind::Video],
            keep_times: true,
            is_remote: false,
            can_rewind: false,
        };
        let mut command = Command::new(&request.program);
        command.args(["-hide_banner", "-nostats", "-loglevel", "level+info", "-copyts"]);
        // Neither waits for packets that come only in their time.
        command.args(["-probesize", "32", "-analyzeduration", "0", "-threads", "1", "-f", "ivf", "-i", "pipe:0"]);
        let filter = format!("scale=in_range={0}:out_range={0}", self.range);
        command.args(["-map", "0:v:0", "-vf", &filter, "-c:v", "rawvideo", "-pix_fmt", "yuv420p"]);
        command.args(["-flush_packets", "1", "-f", "matroska", "pipe:1"]);
        let (process, stdin, stdout) = Process::spawn_with_input(command, &request)?;
        let (packets, to_write) = sync_channel(PACKETS);
        let (sender, pictures) = sync_channel(PICTURES);
        let mut header = b"DKIF\0\0\x20\0".to_vec();
        header.extend(self.four);
        // A size that the bitstream corrects, and a tick of a microsecond.
        header.extend([16, 0, 16, 0]);
        header.extend(1_000_000u32.to_le_bytes());
        header.extend(1u32.to_le_bytes());
        header.extend([0; 8]);
        std::thread::spawn(move || write(stdin, &header, &to_write));
        let name = self.name.clone();
        std::thread::spawn(move || {
            // It ends with the program's output, or with whoever takes the pictures.
            let Ok(mut output) = Matroska::open(Input::pipe(name, Box::new(stdout))) else { return };
            let (width, height) = output.streams().first().map_or((0, 0), |stream| (stream.width, stream.height));
            while let Ok(Some(packet)) = output.next_packet() {
                if sender.send(Picture { packet, width, height }).is_err() {
                    break;
                }
            }
        });
        self.running = Some(Running {
            process,
            request,
            packets: Some(packets),
            pictures,
            origin: first.timestamp,
            times: VecDeque::new(),
            has_shown: false,
        });
        Ok(())
    }

    /// Ends the run without waiting for its last pictures.
    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    /// The error of a run that has ended by itself.
    fn failed(&mut self) -> MediaError {
        let Some(running) = self.running.take() else { return gone(&self.name, "it is not running") };
        self.fruitless = if running.has_shown { 0 } else { self.fruitless + 1 };
        gone(&self.name, &running.process.failure(&running.request).to_string())
    }
}

impl VideoDecoder for FfmpegDecoder {
    fn decode(&mut self, chunk: &EncodedChunk) -> Result<Vec<VideoFrame>, MediaError> {
        if self.running.is_none() {
            if !chunk.keyframe {
                return Ok(Vec::new());
            }
            if self.fruitless >= RUNS {
                return Err(gone(&self.name, "it has shown nothing again and again"));
            }
            self.start(chunk)?;
        }
        let Some(running) = &mut self.running else { return Ok(Vec::new()) };
        let mut shown = Vec::new();
        let sent = running.push(chunk, &mut shown).and_then(|()| running.take(&mut shown));
        match sent {
            Ok(()) => Ok(shown),
            Err(Ended) if shown.is_empty() => Err(self.failed()),
            // The next packet tells that it has ended.
            Err(Ended) => Ok(shown),
        }
    }

    fn flush(&mut self) -> Result<Vec<VideoFrame>, MediaError> {
        let mut shown = Vec::new();
        let Some(mut running) = self.running.take() else { return Ok(shown) };
        running.packets = None;
        let end = Instant::now() + LAST_PICTURES;
        while let Ok(picture) = running.pictures.recv_timeout(end.saturating_duration_since(Instant::now())) {
            running.show(picture, &mut shown);
        }
        self.fruitless = if running.has_shown { 0 } else { self.fruitless + 1 };
        Ok(shown)
    }
}

/// The program has closed its end.
struct Ended;

impl Running {
    /// Hands a packet over. Meanwhile pictures are taken, for the program may write one before it reads on.
    fn push(&mut self, chunk: &EncodedChunk, shown: &mut Vec<VideoFrame>) -> Result<(), Ended> {
        let ticks = (chunk.timestamp.since(self.origin).as_nanos() / 1_000).saturating_add(FIRST).max(0);
        let mut frame = Vec::with_capacity(chunk.data.len() + 12);
        frame.extend((chunk.data.len() as u32).to_le_bytes());
        frame.extend(ticks.to_le_bytes());
        frame.extend_from_slice(&chunk.data);
        self.times.push_back((chunk.timestamp, !chunk.discard));
        if self.times.len() > TIMES {
            self.times.pop_front();
        }
        loop {
            match self.packets.as_ref().map(|packets| packets.try_send(frame)) {
                Some(Ok(())) => return Ok(()),
                Some(Err(TrySendError::Full(unsent))) => frame = unsent,
                Some(Err(TrySendError::Disconnected(_))) | None => return Err(Ended),
            }
            match self.pictures.recv_timeout(Duration::from_millis(20)) {
                Ok(picture) => self.show(picture, shown),
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return Err(Ended),
            }
        }
    }

    /// Takes the pictures that have come.
    fn take(&mut self, shown: &mut Vec<VideoFrame>) -> Result<(), Ended> {
        loop {
            match self.pictures.try_recv() {
                Ok(picture) => self.show(picture, shown),
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Ended),
            }
        }
    }

    /// Gives a picture the time of its packet, which the program has rounded to milliseconds.
    fn show(&mut self, picture: Picture, shown: &mut Vec<VideoFrame>) {
        self.has_shown = true;
        let pts = picture.packet.chunk.timestamp.offset(self.origin).since(MediaTime::from_micros(FIRST));
        let distance = |time: MediaTime| time.since(pts).as_nanos().unsigned_abs();
        let nearest = (0..self.times.len()).min_by_key(|index| distance(self.times[*index].0));
        let (timestamp, is_shown) = match nearest.and_then(|index| self.times.remove(index)) {
            Some((time, is_shown)) if distance(time) <= 2_000_000 => (time, is_shown),
            _ => (pts, true),
        };
        if is_shown {
            shown.extend(VideoFrame::new(picture.packet.chunk.data, picture.width, picture.height, timestamp));
        }
    }
}

/// Writes packets until none follows or nobody reads; then the program's input is closed.
fn write(mut stdin: ChildStdin, header: &[u8], packets: &Receiver<Vec<u8>>) {
    if stdin.write_all(header).is_err() {
        return;
    }
    for packet in packets {
        if stdin.write_all(&packet).is_err() {
            return;
        }
    }
}

fn gone(name: &str, reason: &str) -> MediaError {
    MediaError::Codec { codec: format!("{name} by ffmpeg"), reason: reason.to_owned() }
}
