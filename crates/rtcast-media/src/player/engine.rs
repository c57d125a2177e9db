//! The player's thread: it takes what is read a little ahead, and does everything at its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::Instant;

use rtcast_proto::ColorSpace;
use rtcast_track::{Broadcast, Codec, Frame, MediaKind, MediaTime, TrackSource};

use super::agenda::{Agenda, Task};
use super::audio::{AudioTranscoder, Encoded};
use super::clock::Clock;
use super::demand::Demand;
use super::reader::{self, Read};
use super::timeline::Timeline;
use super::video::{Surroundings, VideoTranscoder};
use crate::codec::opus_head::LARGEST_PACKET;
use crate::convert::passed_through_color_space;
use crate::error::MediaError;
use crate::packet::{Demuxer, Packet, StreamInfo};
use crate::plan::{Action, LARGE_AUDIO_BITRATE, Plan, StreamPlan};

/// How far every stream is read ahead, so that reordering and decoding are done in time.
const READ_AHEAD: MediaTime = MediaTime::from_micros(600_000);
/// How far one stream may be read ahead because another has nothing: badly interleaved files, sound that ends early.
const READ_AHEAD_AT_MOST: MediaTime = MediaTime::from_micros(10_000_000);
/// As long as no more tasks wait than these, the limit above does not count.
const FEW_TASKS: usize = 64;
/// Sound is decoded and encoded so long before it is due.
const AUDIO_LEAD: MediaTime = MediaTime::from_micros(100_000);
/// A source that is later than this (a slow pipe, a machine that slept) sets the clock back instead of catching up.
const TOO_LATE: MediaTime = MediaTime::from_micros(1_000_000);
/// What comes from a camera or the like and lies further ahead than this has been held up on its way: the clock is put
/// forward, so that this much is left.
const LIVE_AHEAD: MediaTime = MediaTime::from_micros(400_000);
const LIVE_AHEAD_LEFT: MediaTime = MediaTime::from_micros(100_000);
/// So many packets in a row that cannot be decoded end the source.
const FAILURES: u32 = 300;
/// What is sent before a pass and not to be shown lies this far before it.
const SQUEEZED: MediaTime = MediaTime::from_micros(30_000);
/// Two frames of a track are at least one tick of the video clock apart.
const TICK: MediaTime = MediaTime::from_ticks(1, 90_000);

/// What the player's thread shares with its handles.
pub(super) struct Control {
    pub(super) stop: AtomicBool,
    pub(super) clock: Arc<Clock>,
    /// The bitrate of re-encoded pictures, in bits per second.
    pub(super) bitrate: Arc<AtomicU64>,
}

/// How a source is played.
pub(super) struct Settings {
    /// The name of the source in errors.
    pub(super) name: String,
    /// Whether to begin anew at the end.
    pub(super) looping: bool,
    /// It goes on by itself, watched or not: a camera.
    pub(super) live: bool,
}

pub(super) struct Engine {
    /// What is to be read; the reader's thread takes it when it starts.
    demuxer: Option<Box<dyn Demuxer>>,
    reader: Option<Receiver<Read>>,
    /// The reader has something new.
    arrived: Arc<AtomicBool>,
    settings: Settings,
    control: Arc<Control>,
    broadcasts: Vec<Broadcast>,
    /// What changes the tracks that the broadcasts belong to, and ends them.
    tracks: Vec<TrackSource>,
    demand: Demand,
    video: Option<VideoPath>,
    audio: Option<AudioPath>,
    timeline: Timeline,
    agenda: Agenda,
    failures: Receiver<MediaError>,
    /// Nothing is read any more.
    source_ended: bool,
    /// What ended the source, if it did not end well; it is told once everything before it has been played.
    failure: Option<MediaError>,
    failed_in_a_row: u32,
}

struct VideoPath {
    progress: Progress,
    /// How long before its time a packet is decoded, and when that was for the last one.
    lead: MediaTime,
    last_decode: MediaTime,
    copy: Option<Copy>,
    transcoder: Option<VideoTranscoder>,
    /// The broadcasts that the transcoder feeds, and which of them somebody wanted when that was last looked at.
    encoded: Vec<usize>,
    wanted: Vec<bool>,
}

struct AudioPath {
    progress: Progress,
    copy: Option<Copy>,
    transcoder: Option<AudioTranscoder>,
}

/// How far a stream has been read.
struct Progress {
    stream: usize,
    /// The time of the last packet that was read.
    read: MediaTime,
    /// When the last task of the stream is to be done. None is done before the one ahead of it.
    last_task: MediaTime,
}

/// A stream that is passed through.
struct Copy {
    broadcast: usize,
    codec: Codec,
    reordered: bool,
    color_space: Option<ColorSpace>,
    last: Option<MediaTime>,
}

impl Engine {
    /// Starts the threads that a plan needs. Also returns the broadcasts of pictures and of sound.
    pub(super) fn new(
        demuxer: Box<dyn Demuxer>,
        plan: &Plan,
        settings: Settings,
        control: Arc<Control>,
    ) -> Result<(Self, [Vec<Broadcast>; 2]), MediaError> {
        let (sender, failures) = mpsc::channel();
        let surroundings =
            Surroundings { clock: Arc::clone(&control.clock), bitrate: Arc::clone(&control.bitrate), failures: sender };
        let streams = demuxer.streams();
        let mut broadcasts = Vec::new();
        let video = plan.video.as_ref().map(|plan| VideoPath::new(plan, streams, &mut broadcasts, &surroundings));
        let video = video.transpose()?;
        let pictures = broadcasts.clone();
        let audio = plan.audio.as_ref().map(|plan| AudioPath::new(plan, streams, &mut broadcasts)).transpose()?;
        let sound = broadcasts[pictures.len()..].to_vec();
        let timeline = Timeline::new(demuxer.duration());
        let engine = Self {
            demand: Demand::new(&broadcasts),
            demuxer: Some(demuxer),
            reader: None,
            arrived: Arc::new(AtomicBool::new(false)),
            settings,
            control,
            broadcasts,
            tracks: Vec::new(),
            video,
            audio,
            timeline,
            agenda: Agenda::default(),
            failures,
            source_ended: false,
            failure: None,
            failed_in_a_row: 0,
        };
        Ok((engine, [pictures, sound]))
    }

    /// Takes what ends a track of its broadcasts.
    pub(super) fn add_track(&mut self, track: TrackSource) {
        self.tracks.push(track);
    }

    /// Plays until the end, an error, or a stop, and ends the tracks.
    pub(super) fn run(mut self) -> Result<(), MediaError> {
        let result = self.play();
        if result.is_err() {
            self.control.clock.stop();
        }
        if let Some(transcoder) = self.video.take().and_then(|video| video.transcoder) {
            transcoder.finish();
        }
        if self.is_stopped() {
            return Ok(());
        }
        // What a thread says for itself tells more than that it has ended. It may have failed while it finished.
        match (self.failures.try_recv(), self.failure.take()) {
            (Ok(error), _) => Err(error),
            (Err(_), failure) => result.and(failure.map_or(Ok(()), Err)),
        }
    }

    fn play(&mut self) -> Result<(), MediaError> {
        let clock = Arc::clone(&self.control.clock);
        while !self.is_stopped() {
            if let Ok(error) = self.failures.try_recv() {
                self.give_up_encoding(error)?;
            }
            if !self.settings.live && !self.demand.is_any_wanted() {
                clock.pause(Instant::now());
                if let Some(lane) = &mut self.video {
                    // Whoever comes next is new.
                    lane.wanted.fill(false);
                }
                self.demand.wait(None, &self.control.stop, &self.arrived);
                continue;
            }
            self.show_to_new_viewers();
            self.take_what_was_read()?;
            if !self.settings.live || self.timeline.has_started() {
                clock.start(Instant::now());
            }
            self.adjust(&clock);
            while let Some((time, task)) = self.agenda.take_due(clock.position(Instant::now())) {
                if matches!(task, Task::Ended) {
                    return Ok(());
                }
                self.perform(time, task, &clock)?;
            }
            let next = self.agenda.next_time().and_then(|time| clock.due(time));
            self.demand.wait(next, &self.control.stop, &self.arrived);
        }
        Ok(())
    }

    /// Who begins to want re-encoded pictures sees the one that stands, before the next one comes.
    fn show_to_new_viewers(&mut self) {
        let Some(lane) = &mut self.video else { return };
        let Some(transcoder) = &mut lane.transcoder else { return };
        let wanted: Vec<bool> = lane.encoded.iter().map(|index| self.demand.is_wanted(*index)).collect();
        let is_new = wanted.iter().zip(&lane.wanted).any(|(now, before)| *now && !before);
        lane.wanted = wanted;
        if is_new {
            transcoder.wake(true, self.control.clock.position(Instant::now()));
            transcoder.refresh();
        }
    }

    fn is_stopped(&self) -> bool {
        self.control.stop.load(Ordering::Acquire)
    }

    fn needs_more(&self, position: MediaTime) -> bool {
        if self.source_ended || self.agenda.is_full() {
            return false;
        }
        // A picture that is due in a minute keeps nobody from reading the sound until then.
        self.read_times().any(|read| read.since(position) < READ_AHEAD)
            && (self.agenda.len() < FEW_TASKS
                || self.read_times().all(|read| read.since(position) < READ_AHEAD_AT_MOST))
    }

    /// How far each stream has been read.
    fn read_times(&self) -> impl Iterator<Item = MediaTime> {
        let video = self.video.as_ref().map(|lane| lane.progress.read);
        let audio = self.audio.as_ref().map(|lane| lane.progress.read);
        video.into_iter().chain(audio)
    }

    /// Puts on the agenda what the packets ask for that have been read, as far as is needed now.
    fn take_what_was_read(&mut self) -> Result<(), MediaError> {
        if let Some(demuxer) = self.demuxer.take() {
            let video = self.video.as_ref().map(|lane| lane.progress.stream);
            let audio = self.audio.as_ref().map(|lane| lane.progress.stream);
            let settings = reader::Settings {
                streams: video.into_iter().chain(audio).collect(),
                looping: self.settings.looping,
                name: self.settings.name.clone(),
            };
            self.reader = Some(reader::start(demuxer, settings, Arc::clone(&self.arrived), thread::current())?);
        }
        while self.needs_more(self.control.clock.position(Instant::now())) {
            match self.reader.as_ref().map_or(Err(TryRecvError::Disconnected), Receiver::try_recv) {
                Ok(Read::Packet(packet)) => self.place(packet)?,
                Ok(Read::Rewound) => {
                    self.add_rewind_tasks();
                    self.timeline.next_pass();
                }
                Ok(Read::Ended(failure)) => {
                    self.failure = failure;
                    self.end();
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    let (source_name, reason) = (self.settings.name.clone(), "reading it broke off".into());
                    self.failure = Some(MediaError::Invalid { source_name, reason });
                    self.end();
                }
            }
        }
        Ok(())
    }

    fn place(&mut self, mut packet: Packet) -> Result<(), MediaError> {
        let is_video = self.video.as_ref().is_some_and(|lane| lane.progress.stream == packet.stream);
        let is_audio = self.audio.as_ref().is_some_and(|lane| lane.progress.stream == packet.stream);
        if !is_video && !is_audio {
            return Ok(());
        }
        self.timeline.place(&mut packet);
        let pass_start = self.timeline.pass_start();
        match (&mut self.video, &mut self.audio) {
            (Some(lane), _) if is_video => lane.place(packet, pass_start, &mut self.agenda),
            (_, Some(lane)) if is_audio => return lane.place(packet, pass_start, &mut self.agenda),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) {
        self.source_ended = true;
        let last = self.add_rewind_tasks();
        self.agenda.add(last.max(self.timeline.end()), Task::Ended);
    }

    /// Each stream is rewound behind its own last packet. Returns the later of the two.
    fn add_rewind_tasks(&mut self) -> MediaTime {
        let mut last = self.timeline.pass_start();
        if let Some(lane) = &self.video {
            last = last.max(lane.progress.last_task).max(lane.last_decode);
            // Without a transcoder there is nothing to rewind, and no decode whose time would have moved.
            if lane.transcoder.is_some() {
                self.agenda.add(lane.last_decode, Task::RewindVideo);
            }
        }
        if let Some(lane) = &self.audio {
            last = last.max(lane.progress.last_task);
            self.agenda.add(lane.progress.last_task, Task::RewindAudio);
        }
        last
    }

    /// If the source could not keep up, what follows is due later: a pause, not a burst. If a live one is ahead, it is
    /// due sooner, so that latency does not creep.
    fn adjust(&self, clock: &Clock) {
        let position = clock.position(Instant::now());
        let Some(next) = self.agenda.next_time() else { return };
        let late = position.since(next);
        if late > TOO_LATE {
            tracing::debug!(seconds = late.as_secs_f64(), "the source is late");
            clock.delay(late);
        } else if self.settings.live {
            let ahead = self.read_times().min().unwrap_or_default().since(position);
            if ahead > LIVE_AHEAD {
                tracing::debug!(seconds = ahead.as_secs_f64(), "the source is ahead");
                clock.delay(LIVE_AHEAD_LEFT.since(ahead));
            }
        }
    }

    fn perform(&mut self, time: MediaTime, task: Task, clock: &Clock) -> Result<(), MediaError> {
        match task {
            Task::Send(index, frame) => {
                let at = clock.due(frame.timestamp).unwrap_or_else(Instant::now);
                self.broadcasts[index].send(&frame, at);
            }
            Task::DecodeVideo(packet) => {
                if let Some(lane) = &mut self.video
                    && let Some(transcoder) = &mut lane.transcoder
                {
                    let wanted = lane.encoded.iter().any(|index| self.demand.is_wanted(*index));
                    if let Err(error) = transcoder.push(packet, wanted, time.offset(lane.lead)) {
                        // What a thread says for itself tells more than that it has ended.
                        let error = self.failures.try_recv().unwrap_or(error);
                        self.give_up_encoding(error)?;
                    }
                }
            }
            Task::DecodeAudio(packet) => {
                return self.encode_audio(|transcoder, wanted| transcoder.push(&packet, wanted));
            }
            Task::RewindVideo => {
                if let Some(transcoder) = self.video.as_mut().and_then(|lane| lane.transcoder.as_mut()) {
                    transcoder.flush();
                }
            }
            Task::RewindAudio if self.source_ended => return self.encode_audio(AudioTranscoder::finish),
            Task::RewindAudio => {
                if let Some(transcoder) = self.audio.as_mut().and_then(|lane| lane.transcoder.as_mut()) {
                    transcoder.rewind()?;
                }
            }
            // It is taken by `play`.
            Task::Ended => {}
        }
        Ok(())
    }

    /// Goes on without re-encoded pictures, which have come to an end; an error if nothing else is left to send.
    fn give_up_encoding(&mut self, error: MediaError) -> Result<(), MediaError> {
        let Some(lane) = &mut self.video else { return Err(error) };
        let Some(transcoder) = lane.transcoder.take().filter(|_| lane.copy.is_some() || self.audio.is_some()) else {
            return Err(error);
        };
        // Its threads may still be at work on what they have; they end with it.
        drop(transcoder);
        tracing::error!(%error, "its pictures can no longer be re-encoded: those who need that go without");
        for index in lane.encoded.drain(..) {
            for track in &self.tracks {
                track.remove_rendition(&self.broadcasts[index]);
            }
        }
        Ok(())
    }

    fn encode_audio(
        &mut self,
        work: impl FnOnce(&mut AudioTranscoder, &dyn Fn(usize) -> bool) -> Encoded,
    ) -> Result<(), MediaError> {
        let Some(transcoder) = self.audio.as_mut().and_then(|lane| lane.transcoder.as_mut()) else { return Ok(()) };
        let demand = &self.demand;
        if !transcoder.broadcasts().any(|broadcast| demand.is_wanted(broadcast)) {
            return Ok(());
        }
        match work(transcoder, &|broadcast| demand.is_wanted(broadcast)) {
            Ok(frames) => {
                self.failed_in_a_row = 0;
                for (broadcast, frame) in frames {
                    self.agenda.add(frame.timestamp, Task::Send(broadcast, frame));
                }
                Ok(())
            }
            Err(error) => {
                self.failed_in_a_row += 1;
                tracing::debug!(%error, "a piece of sound cannot be re-encoded");
                if self.failed_in_a_row < FAILURES { Ok(()) } else { Err(error) }
            }
        }
    }
}

impl Drop for Engine {
    /// Ends the tracks, also if the thread panics.
    fn drop(&mut self) {
        self.control.clock.stop();
        for track in &self.tracks {
            track.end(true);
        }
    }
}

impl VideoPath {
    fn new(
        plan: &StreamPlan,
        streams: &[StreamInfo],
        broadcasts: &mut Vec<Broadcast>,
        surroundings: &Surroundings,
    ) -> Result<Self, MediaError> {
        let (copy, encoded) = open_broadcasts(plan, streams, broadcasts);
        let stream = &streams[plan.stream];
        let transcoder = if encoded.is_empty() {
            None
        } else {
            let targets = encoded.iter().map(|index| broadcasts[*index].clone()).collect();
            Some(VideoTranscoder::new(stream, targets, surroundings)?)
        };
        let lead = VideoTranscoder::lead(stream);
        let last_decode = MediaTime::ZERO.since(lead);
        Ok(Self {
            progress: Progress::new(plan.stream),
            lead,
            last_decode,
            copy,
            transcoder,
            wanted: vec![false; encoded.len()],
            encoded,
        })
    }

    fn place(&mut self, packet: Packet, pass_start: MediaTime, agenda: &mut Agenda) {
        // What is decoded but not shown may lie long before the start; it must not be taken for late.
        let decode = packet.dts.max(pass_start);
        if let Some(copy) = &mut self.copy {
            let frame = copy.frame(&packet, pass_start);
            agenda.add(self.progress.task(decode), Task::Send(copy.broadcast, frame));
        }
        self.progress.read = decode;
        if self.transcoder.is_some() {
            self.last_decode = self.last_decode.max(decode.since(self.lead));
            agenda.add(self.last_decode, Task::DecodeVideo(packet));
        }
    }
}

impl AudioPath {
    fn new(plan: &StreamPlan, streams: &[StreamInfo], broadcasts: &mut Vec<Broadcast>) -> Result<Self, MediaError> {
        let (copy, _) = open_broadcasts(plan, streams, broadcasts);
        let first = broadcasts.len() - plan.renditions.len();
        let mut transcoder = None;
        for (index, rendition) in plan.renditions.iter().enumerate() {
            let Some(bitrate) = rendition.bitrate.filter(|_| rendition.action == Action::Encode) else { continue };
            if transcoder.is_none() {
                transcoder = Some(AudioTranscoder::new(&streams[plan.stream])?);
            }
            if let Some(transcoder) = &mut transcoder {
                transcoder.add(first + index, rendition.codec.codec, bitrate)?;
            }
        }
        Ok(Self { progress: Progress::new(plan.stream), copy, transcoder })
    }

    fn place(&mut self, packet: Packet, pass_start: MediaTime, agenda: &mut Agenda) -> Result<(), MediaError> {
        self.encode_if_too_large(&packet)?;
        let time = packet.chunk.timestamp.max(pass_start);
        self.progress.read = time;
        if let Some(copy) = self.copy.as_mut().filter(|_| !packet.chunk.discard) {
            agenda.add(self.progress.task(time), Task::Send(copy.broadcast, copy.frame(&packet, pass_start)));
        }
        if self.transcoder.is_some() {
            agenda.add(self.progress.task(time.since(AUDIO_LEAD)), Task::DecodeAudio(packet));
        }
        Ok(())
    }

    /// A packet that does not fit into a datagram would be lost, and more of its kind are to follow: from it on, the
    /// stream is encoded anew.
    fn encode_if_too_large(&mut self, packet: &Packet) -> Result<(), MediaError> {
        let too_large = packet.chunk.data.len() > LARGEST_PACKET;
        if let Some(copy) = self.copy.take_if(|copy| too_large && copy.codec == Codec::Opus) {
            match &mut self.transcoder {
                Some(transcoder) => {
                    tracing::warn!(
                        bytes = packet.chunk.data.len(),
                        "packets of sound are too large to send: encoding them anew"
                    );
                    transcoder.add(copy.broadcast, copy.codec, LARGE_AUDIO_BITRATE)?;
                }
                None => self.copy = Some(copy),
            }
        }
        Ok(())
    }
}

impl Progress {
    fn new(stream: usize) -> Self {
        let start = MediaTime::ZERO.since(READ_AHEAD);
        Self { stream, read: MediaTime::ZERO, last_task: start }
    }

    /// When a task is done that would be at this time: not before the one ahead of it.
    fn task(&mut self, time: MediaTime) -> MediaTime {
        self.last_task = self.last_task.max(time);
        self.last_task
    }
}

impl Copy {
    /// The packet as a frame of its track, whose timestamps do not run backwards even where the source's do.
    ///
    /// What a pass begins with though it is not to be shown (the pictures from the keyframe to an edit list's start)
    /// is decoded by the receiver all the same: it is squeezed to just before the pass, so that nobody waits for it.
    fn frame(&mut self, packet: &Packet, pass_start: MediaTime) -> Frame {
        let timestamp = match self.last {
            _ if packet.chunk.discard => {
                let earliest = pass_start.since(SQUEEZED);
                self.last.map_or(earliest, |last| last.offset(TICK).max(earliest))
            }
            Some(last) if !self.reordered => packet.chunk.timestamp.max(last.offset(TICK)),
            _ => packet.chunk.timestamp,
        };
        self.last = Some(timestamp);
        Frame::new(self.codec, packet.chunk.data.clone(), timestamp)
            .with_keyframe(packet.chunk.keyframe)
            .with_color_space(self.color_space)
    }
}

/// Makes a broadcast for each form of a stream. Returns the one that is a copy, and the indices of those encoded.
fn open_broadcasts(
    plan: &StreamPlan,
    streams: &[StreamInfo],
    broadcasts: &mut Vec<Broadcast>,
) -> (Option<Copy>, Vec<usize>) {
    let (mut copy, mut encoded) = (None, Vec::new());
    for rendition in &plan.renditions {
        let broadcast = broadcasts.len();
        match rendition.action {
            Action::Copy => {
                broadcasts.push(Broadcast::new(rendition.codec.clone()));
                let (codec, stream) = (rendition.codec.codec, &streams[plan.stream]);
                let color_space = (codec.kind() == MediaKind::Video)
                    .then(|| passed_through_color_space(stream.picture.colour, stream.height));
                copy = Some(Copy { broadcast, codec, reordered: stream.reordered, color_space, last: None });
            }
            Action::Encode => {
                // Whoever joins gets a fresh keyframe instead of what was sent since the last one, which may be long.
                broadcasts.push(Broadcast::with_keyframes_on_request(rendition.codec.clone()));
                encoded.push(broadcast);
            }
        }
    }
    (copy, encoded)
}
