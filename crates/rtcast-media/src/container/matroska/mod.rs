//! Matroska and WebM, read from front to back: RFC 9559.
//!
//! The reader is our own: the maintained crates seek wrongly in files that FFmpeg writes, want a source that can seek,
//! and hold no bound on hostile lengths. It treats segments and clusters as marks in a flat row of elements, so that
//! unknown sizes, live streams and streams put behind one another need no special care.

mod block;
mod ebml;
mod picture;
mod track;

use std::collections::VecDeque;

use rtcast_track::{MediaKind, MediaTime};

use self::block::Block;
use self::ebml::{Element, children, float, string, unsigned};
use self::track::Track;
use super::input::{Input, LONGEST_PACKET};
use crate::error::MediaError;
use crate::packet::{Demuxer, EncodedChunk, Packet, StreamInfo};

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const TRACKS: u32 = 0x1654_ae6b;
const CLUSTER: u32 = 0x1f43_b675;
const TIMESTAMP: u32 = 0xe7;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK_GROUP: u32 = 0xa0;

/// The longest header element that is believed; fonts and covers are attachments, which are skipped.
const LONGEST_HEADER: u64 = 16 << 20;

/// Bytes that are looked through at once for the next cluster, behind damage.
const SCANNED: usize = 64 << 10;

/// A reader of Matroska and WebM.
pub(crate) struct Matroska {
    input: Input,
    streams: Vec<StreamInfo>,
    tracks: Vec<Track>,
    duration: Option<MediaTime>,
    /// Nanoseconds in a tick of the segment.
    timestamp_scale: u64,
    /// The current cluster's, in ticks.
    cluster: i64,
    first_cluster: u64,
    /// Where the current cluster ends, if it tells.
    cluster_end: Option<u64>,
    laced: VecDeque<Packet>,
}

impl Matroska {
    pub(crate) fn open(mut input: Input) -> Result<Self, MediaError> {
        let mut timestamp_scale = 1_000_000;
        let mut ticks = None;
        let mut tracks: Vec<Track> = Vec::new();
        let mut first_cluster = None;
        loop {
            let position = input.position();
            let Some(element) = Element::read(&mut input)? else {
                let reason = "it ends before its first cluster, or describes no audio or video track";
                return Err(input.invalid(reason));
            };
            match element.id {
                SEGMENT => {}
                EBML => {
                    let body = read_header(&mut input, element)?;
                    let kind = children(&body).find(|(id, _)| *id == 0x4282).map(|(_, body)| string(body));
                    if let Some(kind) = kind.filter(|kind| kind != "matroska" && kind != "webm") {
                        return Err(
                            input.invalid(format!("its EBML holds '{kind}', and matroska or webm was expected"))
                        );
                    }
                }
                INFO => {
                    for (id, body) in children(&read_header(&mut input, element)?) {
                        match id {
                            0x2a_d7b1 => timestamp_scale = unsigned(body).max(1),
                            0x4489 => ticks = float(body),
                            _ => {}
                        }
                    }
                }
                TRACKS => {
                    let body = read_header(&mut input, element)?;
                    tracks = children(&body)
                        .filter(|(id, _)| *id == 0xae)
                        .filter_map(|(_, entry)| Track::parse(entry))
                        .collect();
                }
                // The tracks may be described behind the clusters, to which one must go back.
                CLUSTER if tracks.is_empty() => {
                    input.spool()?;
                    first_cluster.get_or_insert(position);
                    input.skip(element.length.unwrap_or(0))?;
                }
                CLUSTER => first_cluster = Some(position),
                _ => skip(&mut input, element)?,
            }
            if let Some(first_cluster) = first_cluster.filter(|_| !tracks.is_empty()) {
                tracks.sort_by_key(|track| !track.default);
                let streams = tracks.iter().map(|track| track.info.clone()).collect();
                let duration = ticks
                    .map(|ticks| ticks * timestamp_scale as f64)
                    .filter(|nanos| *nanos >= 1.0 && *nanos < 9e18)
                    .map(|nanos| MediaTime::from_nanos(nanos as i64));
                if input.is_seekable() {
                    input.seek(first_cluster)?;
                }
                let laced = VecDeque::new();
                return Ok(Self {
                    input,
                    streams,
                    tracks,
                    duration,
                    timestamp_scale,
                    cluster: 0,
                    first_cluster,
                    cluster_end: None,
                    laced,
                });
            }
        }
    }

    /// Takes the next element; `false` at the end.
    fn read_element(&mut self) -> Result<bool, MediaError> {
        let start = self.input.position();
        let Some(element) = Element::read(&mut self.input)? else { return Ok(false) };
        let position = self.input.position();
        let end = element.length.map(|length| position.saturating_add(length));
        match element.id {
            SEGMENT => return Ok(true),
            CLUSTER => {
                self.cluster_end = end;
                return Ok(true);
            }
            _ => {}
        }
        // A length that is wrong would swallow what follows.
        if let (Some(end), Some(cluster_end)) = (end, self.cluster_end)
            && start < cluster_end
            && end > cluster_end
        {
            return Err(self
                .input
                .invalid(format!("the element at byte {start} is longer than the cluster that holds it")));
        }
        match element.id {
            TIMESTAMP | SIMPLE_BLOCK | BLOCK_GROUP => {
                let Some(body) = read_body(&mut self.input, element, LONGEST_PACKET)? else { return Ok(false) };
                match element.id {
                    TIMESTAMP => self.cluster = i64::try_from(unsigned(&body)).unwrap_or(i64::MAX),
                    SIMPLE_BLOCK => self.push_block(&body, None),
                    _ => {
                        let group = Group::parse(&body);
                        if let Some(block) = group.block {
                            self.push_block(block, Some(&group));
                        }
                    }
                }
            }
            _ => skip(&mut self.input, element)?,
        }
        Ok(true)
    }

    /// Goes to what looks like the head of the next cluster; `false` if there is none.
    fn find_cluster(&mut self) -> Result<bool, MediaError> {
        self.cluster_end = None;
        let id = CLUSTER.to_be_bytes();
        loop {
            let ahead = self.input.peek(SCANNED)?;
            let (found, left_out) = match ahead.windows(id.len()).position(|bytes| bytes == id) {
                Some(at) => (true, at),
                None if ahead.len() < SCANNED => return Ok(false),
                None => (false, ahead.len() - (id.len() - 1)),
            };
            self.input.skip(left_out as u64)?;
            if found {
                return Ok(true);
            }
        }
    }

    /// Puts a block's frames into [`Self::laced`].
    fn push_block(&mut self, body: &[u8], group: Option<&Group<'_>>) {
        // One damaged block is one lost frame.
        let Some(block) = Block::parse(body) else { return };
        let Some(stream) = self.tracks.iter().position(|track| track.number == block.track) else { return };
        let Some(track) = self.tracks.get_mut(stream) else { return };
        let ticks = self.cluster.saturating_add(block.timestamp.into());
        let nanos = i128::from(ticks) * i128::from(self.timestamp_scale) - i128::from(track.codec_delay);
        let mut pts = MediaTime::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX));
        let marked = group.map_or(block.keyframe, |group| !group.has_reference);
        let group_duration = group.and_then(|group| group.duration).map(|ticks| {
            let nanos = u128::from(ticks) * u128::from(self.timestamp_scale) / block.frames.len().max(1) as u128;
            MediaTime::from_nanos(i64::try_from(nanos).unwrap_or(0))
        });
        for frame in block.frames {
            let duration = match track.frame_duration(frame) {
                MediaTime::ZERO => group_duration.unwrap_or_default(),
                known => known,
            };
            let (data, keyframe) = track.packet(frame, marked);
            let end = pts.offset(duration);
            let discard = track.info.kind == MediaKind::Audio && duration > MediaTime::ZERO && end <= MediaTime::ZERO;
            self.laced.push_back(Packet::new(
                stream,
                EncodedChunk::new(data, pts).with_duration(duration).with_keyframe(keyframe).with_discard(discard),
            ));
            pts = end;
        }
    }
}

impl Demuxer for Matroska {
    fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    fn duration(&self) -> Option<MediaTime> {
        self.duration
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        loop {
            if let Some(packet) = self.laced.pop_front() {
                return Ok(Some(packet));
            }
            match self.read_element() {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error @ MediaError::Io { .. }) => return Err(error),
                Err(error) => {
                    if !self.find_cluster()? {
                        return Err(error);
                    }
                    tracing::warn!(%error, "it goes on with the next cluster");
                }
            }
        }
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        if !self.input.is_seekable() {
            return Ok(false);
        }
        self.laced.clear();
        self.cluster = 0;
        self.cluster_end = None;
        self.input.seek(self.first_cluster)
    }
}

/// What a BlockGroup says of its block: RFC 9559 §5.1.3.5.
struct Group<'a> {
    block: Option<&'a [u8]>,
    duration: Option<u64>,
    has_reference: bool,
}

impl<'a> Group<'a> {
    fn parse(body: &'a [u8]) -> Self {
        let mut group = Self { block: None, duration: None, has_reference: false };
        for (id, body) in children(body) {
            match id {
                0xa1 => group.block = Some(body),
                0x9b => group.duration = Some(unsigned(body)),
                0xfb => group.has_reference = true,
                _ => {}
            }
        }
        group
    }
}

fn read_header(input: &mut Input, element: Element) -> Result<Vec<u8>, MediaError> {
    let position = input.position();
    read_body(input, element, LONGEST_HEADER)?
        .ok_or_else(|| input.invalid(format!("it ends in the middle of its headers, at byte {position}; it was cut")))
}

/// The data of an element, `None` if the input ends before.
fn read_body(input: &mut Input, element: Element, longest: u64) -> Result<Option<Vec<u8>>, MediaError> {
    match element.length {
        Some(length) if length <= longest => input.read_vec(length),
        _ => {
            let position = input.position();
            Err(input.invalid(format!("the element {:x} before byte {position} has no believable length", element.id)))
        }
    }
}

fn skip(input: &mut Input, element: Element) -> Result<(), MediaError> {
    match element.length {
        Some(length) => input.skip(length),
        // Only segments and clusters may be of unknown size (RFC 9559 §5).
        None => {
            let position = input.position();
            Err(input.invalid(format!("the element {:x} before byte {position} has no length", element.id)))
        }
    }
}
