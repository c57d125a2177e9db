//! A single picture, shown for as long as it is looked at.

use std::collections::VecDeque;

use rtcast_track::{MediaKind, MediaTime};

use crate::error::MediaError;
use crate::packet::{Demuxer, EncodedChunk, Packet, SourceCodec, StreamInfo};

/// How often the picture is repeated: often enough for one that has just come, and for a decoder that shows a picture
/// only when the next one follows.
const RATE: u32 = 5;
/// How long it is shown in one pass.
const PICTURES: i64 = 50;

/// As much of a source is kept in memory, so that a short one begins anew without a pause.
const KEPT_BYTES: usize = 16 << 20;

/// What `ffmpeg` decodes of a source without sound: pictures as they come, or one that is repeated.
pub(super) struct Still {
    inner: Box<dyn Demuxer>,
    streams: Vec<StreamInfo>,
    /// The first packets, which had to be read to see whether there are several, or all of a short source.
    first: VecDeque<Packet>,
    still: Option<Packet>,
    shown: i64,
    kept: Kept,
}

/// What has been read so far, as long as it is little.
enum Kept {
    /// So many bytes, and where they came from may go on.
    Some(Vec<Packet>, usize),
    /// All that there is.
    All(Vec<Packet>),
    /// It is too much.
    None,
}

impl Still {
    /// Looks whether a source holds a single decoded picture and nothing else, which is then repeated. Other sources
    /// come back as they were, but that short ones are kept in memory, if `keeps` says that they can begin anew.
    pub(super) fn wrap(mut inner: Box<dyn Demuxer>, keeps: bool) -> Result<Box<dyn Demuxer>, MediaError> {
        let is_candidate = |stream: &StreamInfo| stream.kind == MediaKind::Video && stream.codec == SourceCodec::I420;
        if !matches!(inner.streams(), [stream] if is_candidate(stream)) {
            return Ok(inner);
        }
        let mut first = VecDeque::new();
        while first.len() < 2 {
            let Some(packet) = inner.next_packet()? else { break };
            first.push_back(packet);
        }
        let still = if first.len() == 1 { first.pop_front() } else { None };
        let mut streams = inner.streams().to_vec();
        if still.is_some() {
            streams.iter_mut().for_each(|stream| stream.frame_rate = RATE.into());
        }
        let kept = if keeps { Kept::Some(Vec::new(), 0) } else { Kept::None };
        Ok(Box::new(Self { inner, streams, first, still, shown: 0, kept }))
    }
}

impl Demuxer for Still {
    fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    fn duration(&self) -> Option<MediaTime> {
        if self.still.is_some() { None } else { self.inner.duration() }
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        let Some(still) = &self.still else {
            let packet = match (self.first.pop_front(), &self.kept) {
                (Some(packet), _) => Some(packet),
                (None, Kept::All(_)) => None,
                (None, _) => self.inner.next_packet()?,
            };
            self.kept.take(packet.as_ref());
            return Ok(packet);
        };
        if self.shown == PICTURES {
            return Ok(None);
        }
        let pts = MediaTime::from_ticks(self.shown, RATE);
        self.shown += 1;
        let chunk = still.chunk.clone().with_duration(MediaTime::from_ticks(1, RATE)).with_discard(false);
        Ok(Some(Packet::new(still.stream, EncodedChunk { timestamp: pts, ..chunk })))
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        if self.still.is_some() {
            self.shown = 0;
            return Ok(true);
        }
        self.first.clear();
        if let Kept::All(packets) = &self.kept {
            self.first.extend(packets.iter().cloned());
            return Ok(true);
        }
        if !matches!(self.kept, Kept::None) {
            self.kept = Kept::Some(Vec::new(), 0);
        }
        self.inner.rewind()
    }
}

impl Kept {
    /// Takes what was read; nothing at the end.
    fn take(&mut self, packet: Option<&Packet>) {
        let Self::Some(packets, bytes) = self else { return };
        match packet {
            Some(packet) if *bytes + packet.chunk.data.len() <= KEPT_BYTES => {
                *bytes += packet.chunk.data.len();
                packets.push(packet.clone());
            }
            Some(_) => *self = Self::None,
            None => *self = Self::All(std::mem::take(packets)),
        }
    }
}
