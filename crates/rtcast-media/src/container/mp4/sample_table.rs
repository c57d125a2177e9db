//! The sample table of a track (ISO/IEC 14496-12 §8.5 to §8.7), walked sample by sample without being expanded.

use mp4_atom::{Co64, Ctts, CttsEntry, Stco, Stsc, StscEntry, Stss, Stsz, StszSamples, Stts, SttsEntry};

use super::super::fields::Fields;
use super::boxes::{decode, find, find_decoded};

/// Where a sample lies and when it is due, in the track's own ticks, edit lists not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) dts: i64,
    pub(super) pts: i64,
    pub(super) duration: u32,
    pub(super) sync: bool,
    /// Index into the sample descriptions, from 1.
    pub(super) description: u32,
}

/// The tables as the file holds them.
#[derive(Debug, Default)]
pub(super) struct SampleTable {
    times: Vec<SttsEntry>,
    offsets: Vec<CttsEntry>,
    chunk_runs: Vec<StscEntry>,
    chunks: Chunks,
    sizes: StszSamples,
    /// Numbers of sync samples from 1, rising; `None` if every sample is one.
    sync: Option<Vec<u32>>,
}

#[derive(Debug)]
enum Chunks {
    Short(Vec<u32>),
    Long(Vec<u64>),
}

impl Default for Chunks {
    fn default() -> Self {
        Self::Short(Vec::new())
    }
}

impl SampleTable {
    /// Reads what `stbl` holds; a missing table leaves the track without samples, as in a fragmented file.
    pub(super) fn parse(stbl: &[u8]) -> Self {
        let long: Option<Co64> = find_decoded(stbl, b"co64");
        let chunks = match long {
            Some(table) => Chunks::Long(table.entries),
            None => Chunks::Short(find_decoded::<Stco>(stbl, b"stco").map(|table| table.entries).unwrap_or_default()),
        };
        let sizes = match find_decoded::<Stsz>(stbl, b"stsz") {
            // Billions of samples without a byte, for which no bytes vouch.
            Some(Stsz { samples: StszSamples::Identical { size: 0, .. } }) => StszSamples::default(),
            Some(table) => table.samples,
            None => find(stbl, b"stz2").and_then(compact_sizes).unwrap_or_default(),
        };
        let mut sync = find(stbl, b"stss").and_then(decode::<Stss>).map(|table| table.entries);
        if let Some(sync) = &mut sync {
            sync.sort_unstable();
        }
        Self {
            times: find_decoded::<Stts>(stbl, b"stts").map(|table| table.entries).unwrap_or_default(),
            offsets: find_decoded::<Ctts>(stbl, b"ctts").map(|table| table.entries).unwrap_or_default(),
            chunk_runs: find_decoded::<Stsc>(stbl, b"stsc").map(|table| table.entries).unwrap_or_default(),
            chunks,
            sizes,
            sync,
        }
    }

    /// The number of samples.
    pub(super) fn len(&self) -> u32 {
        match &self.sizes {
            StszSamples::Identical { count, .. } => *count,
            StszSamples::Different { sizes } => u32::try_from(sizes.len()).unwrap_or(u32::MAX),
        }
    }

    /// Whether some sample is presented at another time than it is decoded, relative to the others.
    pub(super) fn is_reordered(&self) -> bool {
        self.offsets.windows(2).any(|pair| pair[0].sample_offset != pair[1].sample_offset)
    }

    /// Whether the file says which samples are sync samples.
    pub(super) const fn has_sync_samples(&self) -> bool {
        self.sync.is_some()
    }

    /// Samples and ticks in all.
    pub(super) fn extent(&self) -> (u64, u64) {
        self.times.iter().fold((0, 0), |(samples, ticks): (u64, u64), entry| {
            let count = u64::from(entry.sample_count);
            (samples + count, ticks.saturating_add(count.saturating_mul(entry.sample_delta.into())))
        })
    }

    fn size(&self, index: u32) -> Option<u32> {
        match &self.sizes {
            StszSamples::Identical { count, size } => (index < *count).then_some(*size),
            StszSamples::Different { sizes } => sizes.get(index as usize).copied(),
        }
    }

    fn chunk(&self, index: u32) -> Option<u64> {
        match &self.chunks {
            Chunks::Short(offsets) => offsets.get(index as usize).map(|offset| u64::from(*offset)),
            Chunks::Long(offsets) => offsets.get(index as usize).copied(),
        }
    }

    fn is_sync(&self, index: u32) -> bool {
        self.sync.as_ref().is_none_or(|sync| sync.binary_search(&(index + 1)).is_ok())
    }
}

/// A place in a [`SampleTable`].
#[derive(Debug, Default, Clone)]
pub(super) struct Cursor {
    sample: u32,
    dts: i64,
    time_entry: usize,
    time_used: u32,
    offset_entry: usize,
    offset_used: u32,
    chunk: u32,
    chunk_run: usize,
    in_chunk: u32,
    /// Bytes of the chunk before the next sample.
    chunk_bytes: u64,
}

impl Cursor {
    /// The next sample, `None` when any of the tables ends.
    pub(super) fn next(&mut self, table: &SampleTable) -> Option<Sample> {
        self.next_of_size(table, None)
    }

    /// The next samples of one chunk as one, up to `most`, each `frame_bytes` long whatever the size table says.
    ///
    /// For PCM, where a QuickTime file counts every frame as a sample.
    pub(super) fn next_run(&mut self, table: &SampleTable, frame_bytes: u32, most: u32) -> Option<Sample> {
        let mut run = self.next_of_size(table, Some(frame_bytes))?;
        for _ in 1..most {
            if self.in_chunk == 0 {
                break;
            }
            let Some(sample) = self.next_of_size(table, Some(frame_bytes)) else { break };
            run.size += sample.size;
            run.duration = run.duration.saturating_add(sample.duration);
        }
        Some(run)
    }

    fn next_of_size(&mut self, table: &SampleTable, size: Option<u32>) -> Option<Sample> {
        let index = self.sample;
        let table_size = table.size(index)?;
        let size = u64::from(size.unwrap_or(table_size));

        // Each entry of stsc holds from its first chunk (from 1) to that of the next entry.
        while table.chunk_runs.get(self.chunk_run + 1).is_some_and(|next| self.chunk + 1 >= next.first_chunk) {
            self.chunk_run += 1;
        }
        let run = table.chunk_runs.get(self.chunk_run)?;
        let offset = table.chunk(self.chunk)?.saturating_add(self.chunk_bytes);

        while table.times.get(self.time_entry).is_some_and(|entry| self.time_used >= entry.sample_count) {
            self.time_entry += 1;
            self.time_used = 0;
        }
        // A table that is too short repeats its last entry, as players do.
        let duration = table.times.get(self.time_entry).or(table.times.last())?.sample_delta;

        while table.offsets.get(self.offset_entry).is_some_and(|entry| self.offset_used >= entry.sample_count) {
            self.offset_entry += 1;
            self.offset_used = 0;
        }
        let composition = table.offsets.get(self.offset_entry).map_or(0, |entry| entry.sample_offset);

        let sample = Sample {
            offset,
            size,
            dts: self.dts,
            pts: self.dts.saturating_add(composition),
            duration,
            sync: table.is_sync(index),
            description: run.sample_description_index,
        };

        self.sample += 1;
        self.dts = self.dts.saturating_add(duration.into());
        self.time_used = self.time_used.saturating_add(1);
        self.offset_used = self.offset_used.saturating_add(1);
        self.in_chunk += 1;
        self.chunk_bytes = self.chunk_bytes.saturating_add(size);
        if self.in_chunk >= run.samples_per_chunk {
            self.chunk = self.chunk.checked_add(1)?;
            self.in_chunk = 0;
            self.chunk_bytes = 0;
        }
        Some(sample)
    }
}

/// The compact sample size box: ISO/IEC 14496-12 §8.7.3.3.
fn compact_sizes(body: &[u8]) -> Option<StszSamples> {
    let mut fields = Fields::new(body);
    fields.skip(7)?;
    let field_size = fields.u8()?;
    let count = fields.u32()? as usize;
    let bytes = fields.rest();
    let sizes = match field_size {
        4 => bytes.iter().flat_map(|byte| [u32::from(byte >> 4), u32::from(byte & 15)]).take(count).collect(),
        8 => bytes.iter().map(|byte| u32::from(*byte)).take(count).collect(),
        16 => bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).take(count).collect(),
        _ => return None,
    };
    Some(StszSamples::Different { sizes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> SampleTable {
        SampleTable {
            times: vec![
                SttsEntry { sample_count: 3, sample_delta: 10 },
                SttsEntry { sample_count: 1, sample_delta: 5 },
            ],
            offsets: vec![
                CttsEntry { sample_count: 1, sample_offset: 20 },
                CttsEntry { sample_count: 3, sample_offset: -10 },
            ],
            chunk_runs: vec![
                StscEntry { first_chunk: 1, samples_per_chunk: 3, sample_description_index: 1 },
                StscEntry { first_chunk: 2, samples_per_chunk: 1, sample_description_index: 2 },
            ],
            chunks: Chunks::Short(vec![100, 50]),
            sizes: StszSamples::Different { sizes: vec![7, 8, 9, 10] },
            sync: Some(vec![1, 4]),
        }
    }

    #[test]
    fn the_tables_are_walked_together() {
        let table = table();
        let mut cursor = Cursor::default();
        let samples: Vec<_> = std::iter::from_fn(|| cursor.next(&table)).collect();
        let seen: Vec<_> = samples.iter().map(|s| (s.offset, s.size, s.dts, s.pts, s.sync, s.description)).collect();
        assert_eq!(
            seen,
            [
                (100, 7, 0, 20, true, 1),
                (107, 8, 10, 0, false, 1),
                (115, 9, 20, 10, false, 1),
                (50, 10, 30, 20, true, 2)
            ]
        );
        assert_eq!(samples[3].duration, 5);
        assert!(table.is_reordered());
    }

    #[test]
    fn runs_end_with_their_chunk() {
        let table = table();
        let mut cursor = Cursor::default();
        let runs: Vec<_> = std::iter::from_fn(|| cursor.next_run(&table, 4, 2)).collect();
        let seen: Vec<_> = runs.iter().map(|s| (s.offset, s.size, s.dts, s.duration)).collect();
        assert_eq!(seen, [(100, 8, 0, 20), (108, 4, 20, 10), (50, 4, 30, 5)]);
    }
}
