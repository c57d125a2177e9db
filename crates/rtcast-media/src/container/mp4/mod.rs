//! mp4, fragmented mp4 and QuickTime: ISO/IEC 14496-12.
//!
//! The boxes are walked here, leniently, and the tables in them are decoded by `mp4-atom`. The sample tables stay in
//! memory as the file has them; samples are read when they are asked for.

mod boxes;
mod edit_list;
mod fragment;
mod picture;
mod sample_entry;
mod sample_table;
mod track;

use bytes::Bytes;
use mp4_atom::{Mehd, Tfra, Trex};
use rtcast_track::{MediaKind, MediaTime};

use self::boxes::{BoxHeader, children, decode, find, find_decoded};
use self::fragment::TrackDefaults;
use self::sample_table::Sample;
use self::track::{Track, media_header};
use super::input::{Input, LONGEST_PACKET};
use crate::error::MediaError;
use crate::packet::{Demuxer, Packet, StreamInfo};

/// The largest index that is believed: ten hours of film have about 30 MB.
const LONGEST_INDEX: u64 = 256 << 20;

/// The most boxes before the index.
const MOST_BOXES: usize = 100_000;

/// The largest fragment that is held in memory, which only a pipe demands.
const LONGEST_FRAGMENT: u64 = 64 << 20;

/// Samples of fragments that may wait while another track's next fragment is looked for.
const MOST_WAITING: usize = 4_096;

/// A reader of mp4 and QuickTime files.
pub(crate) struct Mp4 {
    input: Input,
    streams: Vec<StreamInfo>,
    tracks: Vec<Track>,
    duration: Option<MediaTime>,
    fragments: Option<Fragments>,
    /// Fragments' data read from a pipe, with their positions.
    held: Vec<(u64, Bytes)>,
}

/// Where the next fragment is looked for.
struct Fragments {
    defaults: Vec<TrackDefaults>,
    next_dts: Vec<i64>,
    first_dts: Vec<i64>,
    /// Behind the index.
    start: u64,
    /// `None` at the end.
    next: Option<u64>,
}

impl Mp4 {
    pub(crate) fn open(mut input: Input) -> Result<Self, MediaError> {
        let moov = read_index(&mut input)?;
        let (movie_timescale, movie_duration) = find(&moov, b"mvhd").and_then(media_header).unwrap_or((1_000, 0));
        let mut tracks: Vec<Track> = children(&moov)
            .filter(|(kind, _)| kind == b"trak")
            .filter_map(|(_, trak)| Track::parse(trak, movie_timescale))
            .collect();
        if tracks.is_empty() {
            let reason = "its index (moov) describes no audio or video track; the file holds nothing to play";
            return Err(input.invalid(reason));
        }
        // Tracks that a player does not choose by itself come last.
        tracks.sort_by_key(|track| !track.enabled);

        let mut duration = MediaTime::from_ticks(i64::try_from(movie_duration).unwrap_or(0), movie_timescale);
        let fragments = find(&moov, b"mvex").map(|mvex| {
            // The movie's own duration is that of what precedes the fragments.
            let ticks = find_decoded::<Mehd>(mvex, b"mehd").map_or(0, |mehd| mehd.fragment_duration);
            duration = MediaTime::from_ticks(i64::try_from(ticks).unwrap_or(0), movie_timescale);
            let extends: Vec<Trex> =
                children(mvex).filter(|(kind, _)| kind == b"trex").filter_map(|(_, body)| decode(body)).collect();
            let default =
                |track: &Track| TrackDefaults::new(track.id, extends.iter().find(|trex| trex.track_id == track.id));
            let first_dts: Vec<i64> = tracks.iter().map(Track::table_end).collect();
            let start = input.position();
            Fragments {
                defaults: tracks.iter().map(default).collect(),
                next_dts: first_dts.clone(),
                first_dts,
                start,
                next: Some(start),
            }
        });
        if duration == MediaTime::ZERO && fragments.is_none() {
            let of_track =
                |track: &Track| MediaTime::from_ticks(i64::try_from(track.duration).unwrap_or(0), track.timescale);
            duration = tracks.iter().map(of_track).max().unwrap_or_default();
        }
        let streams = tracks.iter().map(|track| track.info.clone()).collect();
        let duration = (duration > MediaTime::ZERO).then_some(duration);
        let mut this = Self { input, streams, tracks, duration, fragments, held: Vec::new() };
        if this.duration.is_none() {
            let position = this.input.position();
            this.duration = this.end_of_last_fragment()?;
            if this.input.is_seekable() {
                this.input.seek(position)?;
            }
        }
        Ok(this)
    }

    /// Where the last fragment ends, if the file tells where that is: ISO/IEC 14496-12 §8.8.9 to §8.8.11.
    fn end_of_last_fragment(&mut self) -> Result<Option<MediaTime>, MediaError> {
        let (Some(fragments), Some(length)) = (&self.fragments, self.input.length()) else { return Ok(None) };
        let input = &mut self.input;
        // The last four bytes of the file are the length of the box that they end.
        input.seek(length.saturating_sub(16))?;
        let Some([.., b'm', b'f', b'r', b'o', _, _, _, _, a, b, c, d]) = input.read_array::<16>()? else {
            return Ok(None);
        };
        input.seek(length.saturating_sub(u32::from_be_bytes([a, b, c, d]).into()))?;
        let Some(mfra) = read_box(input, *b"mfra")? else { return Ok(None) };
        let entries = children(&mfra).filter(|(kind, _)| kind == b"tfra").filter_map(|(_, body)| decode::<Tfra>(body));
        let Some(last) = entries.flat_map(|tfra| tfra.entries).map(|entry| entry.moof_offset).max() else {
            return Ok(None);
        };
        input.seek(last)?;
        let Some(moof) = read_box(input, *b"moof")? else { return Ok(None) };
        let mut end = None;
        fragment::samples(&moof, last, &fragments.defaults, &mut fragments.first_dts.clone(), |track, sample| {
            end = end.max(self.tracks.get(track).map(|track| track.end_time(&sample)));
        });
        Ok(end.filter(|end| *end > MediaTime::ZERO))
    }

    /// Whether the first track of pictures is to be turned or mirrored, as telephones record.
    pub(crate) fn is_turned(&self) -> bool {
        let mut pictures = self.tracks.iter().filter(|track| track.info.kind == MediaKind::Video);
        pictures.next().is_some_and(|track| !track.info.picture.orientation.is_upright())
    }

    /// Finds every track's next sample, reading fragments as far as that needs.
    fn fill(&mut self) -> Result<(), MediaError> {
        self.tracks.iter_mut().for_each(Track::fill);
        while self.tracks.iter().any(|track| track.pending.is_none()) {
            let waiting: usize = self.tracks.iter().map(|track| track.queue.len()).sum();
            let enough = if self.input.is_seekable() { waiting > MOST_WAITING } else { self.held.len() > 1 };
            if enough && self.tracks.iter().any(|track| track.pending.is_some()) {
                break;
            }
            if !self.read_fragment()? {
                break;
            }
            self.tracks.iter_mut().for_each(Track::fill);
        }
        Ok(())
    }

    /// Reads the next fragment's samples into the tracks' queues; `false` at the end.
    fn read_fragment(&mut self) -> Result<bool, MediaError> {
        let Some(fragments) = &mut self.fragments else { return Ok(false) };
        let input = &mut self.input;
        let Some(mut position) = fragments.next.take() else { return Ok(false) };
        loop {
            if !input.seek(position)? {
                return Err(input.invalid("its fragments are not in order, which a pipe cannot follow; give its path"));
            }
            let Some(header) = BoxHeader::read(input)? else { return Ok(false) };
            if header.kind == *b"moof" {
                let Some(length) = header.body_length().filter(|length| *length <= LONGEST_INDEX) else {
                    return Err(input.invalid(format!("the fragment at byte {position} has no believable length")));
                };
                let Some(moof) = input.read_vec(length)? else { return Ok(false) };
                let tracks = &mut self.tracks;
                fragment::samples(
                    &moof,
                    header.start,
                    &fragments.defaults,
                    &mut fragments.next_dts,
                    |track, sample| {
                        tracks[track].push(sample);
                    },
                );
                if !input.is_seekable() {
                    let Some(data) = hold_data(input)? else { return Ok(false) };
                    self.held.push(data);
                }
                fragments.next = Some(input.position());
                return Ok(true);
            }
            let Some(end) = header.end else { return Ok(false) };
            position = end;
        }
    }

    /// The bytes of a sample, `None` if the input ends before them; none at all of one that can only be damage.
    fn read_sample(&mut self, sample: &Sample) -> Result<Option<Vec<u8>>, MediaError> {
        let Sample { size, offset, .. } = *sample;
        if size > LONGEST_PACKET && self.input.length().is_some_and(|length| offset.saturating_add(size) <= length) {
            tracing::warn!(source = self.input.name(), offset, size, "a sample is too long to be one; it is left out");
            return Ok(Some(Vec::new()));
        }
        if size > LONGEST_PACKET {
            return Ok(None);
        }
        for (start, bytes) in &self.held {
            let range = sample.offset.checked_sub(*start).and_then(|from| usize::try_from(from).ok());
            if let Some(found) = range.and_then(|from| bytes.get(from..from.checked_add(sample.size as usize)?)) {
                return Ok(Some(found.to_vec()));
            }
        }
        if !self.input.seek(sample.offset)? {
            let reason = "its samples are not in the order of their bytes, which a pipe cannot follow; give its path";
            return Err(self.input.invalid(reason));
        }
        self.input.read_vec(sample.size)
    }

    /// Forgets data of fragments that every track has passed.
    fn release(&mut self) {
        let waiting = self.tracks.iter().flat_map(|track| track.pending.iter().chain(track.queue.front()));
        let first = waiting.map(|sample| sample.offset).min().unwrap_or(u64::MAX);
        self.held.retain(|(start, bytes)| start + bytes.len() as u64 > first);
    }

    /// The track whose sample is next: the first to decode, or in a pipe without fragments the first in the stream.
    fn next_track(&self) -> Option<usize> {
        let by_offset = !self.input.is_seekable() && self.held.is_empty();
        let pending = self.tracks.iter().enumerate().filter_map(|(index, track)| {
            let sample = track.pending.as_ref()?;
            let time = track.decode_time(sample);
            Some((index, if by_offset { (sample.offset, time) } else { (0, time) }))
        });
        pending.min_by_key(|(_, key)| *key).map(|(index, _)| index)
    }
}

impl Demuxer for Mp4 {
    fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    fn duration(&self) -> Option<MediaTime> {
        self.duration
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        self.fill()?;
        while let Some(index) = self.next_track() {
            let Some(sample) = self.tracks[index].pending.take() else { break };
            if let Some(data) = self.read_sample(&sample)? {
                if !self.held.is_empty() {
                    self.release();
                }
                return Ok(Some(self.tracks[index].packet(index, &sample, data)));
            }
            // The file was cut here; other tracks may still have something before the cut.
            tracing::warn!(
                source = self.input.name(),
                offset = sample.offset,
                "a sample lies behind the end of the file"
            );
            self.tracks[index].end();
        }
        Ok(None)
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        if !self.input.is_seekable() {
            return Ok(false);
        }
        self.tracks.iter_mut().for_each(Track::rewind);
        if let Some(fragments) = &mut self.fragments {
            fragments.next = Some(fragments.start);
            fragments.next_dts.clone_from(&fragments.first_dts);
        }
        Ok(true)
    }
}

/// Finds and reads the `moov` box's body; the input then stands behind it.
fn read_index(input: &mut Input) -> Result<Vec<u8>, MediaError> {
    for _ in 0..MOST_BOXES {
        let Some(header) = BoxHeader::read(input)? else { break };
        match &header.kind {
            b"moov" => {
                let length = match (header.body_length(), input.length()) {
                    (Some(length), _) => length,
                    (None, Some(end)) => end.saturating_sub(header.body),
                    (None, None) => break,
                };
                if length > LONGEST_INDEX {
                    return Err(input.invalid(format!("its index (moov) claims {length} bytes")));
                }
                let cut = "it ends in the middle of its index (moov); the file was cut, get it again";
                return input.read_vec(length)?.ok_or_else(|| input.invalid(cut));
            }
            b"moof" => {
                let reason = "it begins with a fragment (moof) and has no index (moov) before it; put the \
                              initialisation segment in front";
                return Err(input.invalid(reason));
            }
            b"mdat" if !input.is_seekable() => input.spool()?,
            _ => {}
        }
        let Some(end) = header.end else { break };
        if input.length().is_some_and(|length| end > length) {
            break;
        }
        input.seek(end)?;
    }
    Err(input.invalid("it has no index (moov): the file was cut, or its recording was never finished; get it again"))
}

/// The body of the box that follows, if it is of that kind and whole.
fn read_box(input: &mut Input, kind: [u8; 4]) -> Result<Option<Vec<u8>>, MediaError> {
    let Some(header) = BoxHeader::read(input)? else { return Ok(None) };
    match header.body_length() {
        Some(length) if header.kind == kind && length <= LONGEST_INDEX => input.read_vec(length),
        _ => Ok(None),
    }
}

/// The body of the `mdat` box that follows, and where it starts; `None` at the end.
fn hold_data(input: &mut Input) -> Result<Option<(u64, Bytes)>, MediaError> {
    loop {
        let Some(header) = BoxHeader::read(input)? else { return Ok(None) };
        let Some(length) = header.body_length() else {
            return Err(input.invalid("a fragment's data have no length, which a pipe cannot follow; give its path"));
        };
        if header.kind != *b"mdat" {
            input.skip(length)?;
            continue;
        }
        if length > LONGEST_FRAGMENT {
            let reason = format!("a fragment of {length} bytes is too large for a pipe; give its path");
            return Err(input.invalid(reason));
        }
        return Ok(input.read_vec(length)?.map(|data| (header.body, data.into())));
    }
}
