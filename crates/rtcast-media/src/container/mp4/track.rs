//! One track of an mp4: its tables, its place in the presentation, and how its samples become packets.

use std::collections::VecDeque;

use mp4_atom::Elst;
use rtcast_proto::payload::h264::NalUnitType;
use rtcast_track::{MediaKind, MediaTime};

use super::super::av1;
use super::super::fields::Fields;
use super::super::h264::{self, ParameterSets};
use super::super::lookahead::nearest_common_rate;
use super::boxes::{Kind, find, find_decoded, find_path};
use super::edit_list::EditList;
use super::picture::Presentation;
use super::sample_entry::{self, SampleEntry, SampleForm};
use super::sample_table::{Cursor, Sample, SampleTable};
use crate::packet::{EncodedChunk, Packet, StreamInfo};

/// The most sample frames of uncompressed sound in one packet.
const PCM_FRAMES: u32 = 1_024;

pub(super) struct Track {
    pub(super) id: u32,
    pub(super) enabled: bool,
    pub(super) info: StreamInfo,
    pub(super) timescale: u32,
    /// As the track's header tells it, in its own ticks; 0 if it does not.
    pub(super) duration: u64,
    /// Samples of fragments that were read but not yet asked for.
    pub(super) queue: VecDeque<Sample>,
    ended: bool,
    /// Some sample was marked as not being a sync sample, so the marks mean something.
    marks_sync: bool,
    /// The next sample.
    pub(super) pending: Option<Sample>,
    edits: EditList,
    entries: Vec<SampleEntry>,
    table: SampleTable,
    cursor: Cursor,
    /// The sample description that the two below belong to.
    description: u32,
    parameter_sets: ParameterSets,
    sequence_header: Vec<u8>,
}

impl Track {
    /// Reads a `trak` body; `None` if it is neither sound nor pictures, or too damaged to tell.
    pub(super) fn parse(trak: &[u8], movie_timescale: u32) -> Option<Self> {
        let (id, enabled, presentation) = track_header(find(trak, b"tkhd")?)?;
        let mdia = find(trak, b"mdia")?;
        let (timescale, duration) = media_header(find(mdia, b"mdhd")?)?;
        let handler: Kind = find(mdia, b"hdlr")?.get(8..12)?.try_into().ok()?;
        // ISO/IEC 23008-12 §7.2: a sequence of images is a track of pictures in all but its name.
        let handler = if &handler == b"pict" { *b"vide" } else { handler };
        let stbl = find_path(mdia, &[b"minf", b"stbl"])?;
        let entries = sample_entry::parse(find(stbl, b"stsd")?, handler);
        let entry = entries.first()?;
        let table = SampleTable::parse(stbl);
        let edits = find_path(trak, &[b"edts"])
            .and_then(|edts| find_decoded::<Elst>(edts, b"elst"))
            .map(|elst| EditList::new(&elst, timescale, movie_timescale))
            .unwrap_or_default();
        let kind = if &handler == b"vide" { MediaKind::Video } else { MediaKind::Audio };
        let frame_rate = match (kind, table.extent()) {
            // The last picture is often longer or shorter than the others.
            (MediaKind::Video, (samples, ticks)) if ticks > 0 => {
                nearest_common_rate(samples as f64 * f64::from(timescale) / ticks as f64, usize::MAX)
            }
            _ => 0.0,
        };
        let mut picture = entry.picture;
        if kind == MediaKind::Video {
            picture.orientation = presentation.orientation;
            let of_header = || presentation.sample_aspect_ratio(entry.width, entry.height);
            picture.sample_aspect_ratio = picture.sample_aspect_ratio.or_else(of_header);
        }
        let info = StreamInfo {
            kind,
            codec: entry.codec.clone(),
            codec_name: entry.codec_name.clone(),
            extradata: entry.extradata.clone(),
            width: entry.width,
            height: entry.height,
            frame_rate,
            sample_rate: entry.sample_rate,
            channels: entry.channels,
            reordered: table.is_reordered(),
            sdp_fmtp_line: entry.sdp_fmtp_line.clone(),
            picture,
        };
        let mut track = Self {
            id,
            enabled,
            info,
            timescale,
            duration,
            queue: VecDeque::new(),
            ended: false,
            marks_sync: table.has_sync_samples(),
            pending: None,
            edits,
            entries,
            table,
            cursor: Cursor::default(),
            description: 0,
            parameter_sets: ParameterSets::default(),
            sequence_header: Vec::new(),
        };
        track.describe(1);
        Some(track)
    }

    /// Where the tables end, in the track's ticks: where fragments without a time of their own begin.
    pub(super) fn table_end(&self) -> i64 {
        if self.table.len() == 0 { 0 } else { i64::try_from(self.table.extent().1).unwrap_or(i64::MAX) }
    }

    /// Makes [`Self::pending`] the next sample, if there is one without reading another fragment.
    pub(super) fn fill(&mut self) {
        if self.pending.is_some() || self.ended {
            return;
        }
        let pcm = self.entries.first().and_then(|entry| match &entry.form {
            SampleForm::Pcm(format) => Some(format.bytes() * u32::from(entry.channels)),
            _ => None,
        });
        self.pending = match pcm {
            Some(frame_bytes) => self.cursor.next_run(&self.table, frame_bytes, PCM_FRAMES),
            None => self.cursor.next(&self.table),
        };
        if self.pending.is_none() {
            self.pending = self.queue.pop_front();
        }
    }

    /// Takes a sample of a fragment.
    pub(super) fn push(&mut self, sample: Sample) {
        if !self.ended {
            self.queue.push_back(sample);
        }
    }

    /// Yields nothing more until it is rewound.
    pub(super) fn end(&mut self) {
        self.queue.clear();
        self.pending = None;
        self.ended = true;
    }

    pub(super) fn rewind(&mut self) {
        self.ended = false;
        self.cursor = Cursor::default();
        self.queue.clear();
        self.pending = None;
        self.description = 0;
        self.describe(1);
    }

    /// When a sample is to be decoded, edit lists applied.
    pub(super) fn decode_time(&self, sample: &Sample) -> MediaTime {
        let placement = self.edits.place(sample.pts, sample.duration.into());
        MediaTime::from_ticks(sample.dts.saturating_add(placement.shift), self.timescale)
    }

    /// When a sample's presentation ends, edit lists applied.
    pub(super) fn end_time(&self, sample: &Sample) -> MediaTime {
        let placement = self.edits.place(sample.pts, sample.duration.into());
        let end = sample.pts.saturating_add(placement.shift).saturating_add(sample.duration.into());
        MediaTime::from_ticks(end, self.timescale)
    }

    /// Turns a sample into a packet.
    pub(super) fn packet(&mut self, stream: usize, sample: &Sample, data: Vec<u8>) -> Packet {
        if sample.description != self.description {
            self.describe(sample.description);
        }
        self.marks_sync |= !sample.sync;
        let placement = self.edits.place(sample.pts, sample.duration.into());
        let time = |ticks: i64| MediaTime::from_ticks(ticks.saturating_add(placement.shift), self.timescale);
        let (pts, dts) = (time(sample.pts), time(sample.dts));
        let mut keyframe = sample.sync || self.info.kind == MediaKind::Audio;
        let index = (self.description as usize).saturating_sub(1);
        let data = match self.entries.get(index).or(self.entries.first()).map(|entry| &entry.form) {
            Some(SampleForm::Avc(configuration)) => {
                let units = || h264::length_prefixed(&data, configuration.length_size);
                // A table of sync samples may be missing though not every sample is one.
                keyframe &= self.marks_sync || units().any(|unit| NalUnitType::of(unit) == Some(NalUnitType::IdrSlice));
                h264::to_wire(units(), &mut self.parameter_sets, keyframe)
            }
            Some(SampleForm::Av1(_)) => av1::to_wire(&data, &mut self.sequence_header, keyframe),
            Some(SampleForm::Pcm(format)) => format.convert(data),
            Some(SampleForm::Plain) | None => data,
        };
        let chunk = EncodedChunk::new(data, pts)
            .with_duration(MediaTime::from_ticks(sample.duration.into(), self.timescale))
            .with_keyframe(keyframe)
            .with_discard(placement.discard);
        Packet::new(stream, chunk).with_dts(dts)
    }

    /// Takes over the configuration of a sample description.
    fn describe(&mut self, description: u32) {
        self.description = description;
        match self.entries.get((description as usize).saturating_sub(1)).map(|entry| &entry.form) {
            Some(SampleForm::Avc(configuration)) => self.parameter_sets = configuration.parameter_sets.clone(),
            Some(SampleForm::Av1(header)) => self.sequence_header.clone_from(header),
            _ => {}
        }
    }
}

/// The track's identifier, whether it is enabled, and how it is to be shown: ISO/IEC 14496-12 §8.3.2.
fn track_header(body: &[u8]) -> Option<(u32, bool, Presentation)> {
    let mut fields = Fields::new(body);
    let [version, _, _, flags] = fields.array()?;
    fields.skip(if version == 1 { 16 } else { 8 })?;
    let id = fields.u32()?;
    // Reserved, duration, reserved, layer, alternate group, volume, reserved.
    let skipped = fields.skip(if version == 1 { 28 } else { 24 });
    let presentation = skipped.and_then(|()| Presentation::parse(&mut fields)).unwrap_or_default();
    Some((id, flags & 1 != 0, presentation))
}

/// Timescale and duration: ISO/IEC 14496-12 §8.4.2, and §8.2.2 for the movie. An unknown duration is 0.
pub(super) fn media_header(body: &[u8]) -> Option<(u32, u64)> {
    let mut fields = Fields::new(body);
    let [version, ..] = fields.array::<4>()?;
    let (timescale, duration) = if version == 1 {
        fields.skip(16)?;
        (fields.u32()?, fields.u64()?)
    } else {
        fields.skip(8)?;
        (fields.u32()?, fields.u32().map(|duration| if duration == u32::MAX { 0 } else { duration.into() })?)
    };
    (timescale > 0).then_some((timescale, if duration == u64::MAX { 0 } else { duration }))
}
