//! Movie fragments: ISO/IEC 14496-12 §8.8.

use mp4_atom::{Tfdt, Tfhd, Trex, Trun, TrunSamples};

use super::boxes::{children, decode, find_decoded};
use super::sample_table::Sample;

/// The most samples that one fragment is believed to have.
const MOST_SAMPLES: usize = 1 << 20;

/// sample_is_non_sync_sample of the sample flags: ISO/IEC 14496-12 §8.8.3.1.
const NON_SYNC: u32 = 0x1_0000;

/// What a fragment takes over from its track, and leaves to the next fragment.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrackDefaults {
    pub(super) track_id: u32,
    pub(super) description: u32,
    pub(super) duration: u32,
    pub(super) size: u32,
    pub(super) flags: u32,
}

impl TrackDefaults {
    pub(super) fn new(track_id: u32, trex: Option<&Trex>) -> Self {
        Self {
            track_id,
            description: trex.map_or(1, |trex| trex.default_sample_description_index),
            duration: trex.map_or(0, |trex| trex.default_sample_duration),
            size: trex.map_or(0, |trex| trex.default_sample_size),
            flags: trex.map_or(0, |trex| trex.default_sample_flags),
        }
    }
}

/// The samples of a `moof` box that starts at `moof_start`, each given to `found` with the index of its track.
///
/// `next_dts` holds where each track's last fragment ended, for fragments that do not say where they start.
pub(super) fn samples(
    moof: &[u8],
    moof_start: u64,
    tracks: &[TrackDefaults],
    next_dts: &mut [i64],
    mut found: impl FnMut(usize, Sample),
) {
    let mut data_end = moof_start;
    let mut count = 0;
    for (_, traf) in children(moof).filter(|(kind, _)| kind == b"traf") {
        let Some(header) = find_decoded::<Tfhd>(traf, b"tfhd") else { continue };
        let base = match header.base_data_offset {
            Some(offset) => offset,
            None if header.default_base_is_moof => moof_start,
            // The first track's data count from the fragment's start, another's from the end of the one before.
            None => data_end,
        };
        let track = tracks.iter().position(|track| track.track_id == header.track_id);
        let fallback = TrackDefaults::new(header.track_id, None);
        let defaults = track.and_then(|index| tracks.get(index)).unwrap_or(&fallback);
        let start = find_decoded::<Tfdt>(traf, b"tfdt").map(|tfdt| tfdt.base_media_decode_time);
        let mut dts = match start {
            Some(start) => i64::try_from(start).unwrap_or(i64::MAX),
            None => track.and_then(|index| next_dts.get(index)).copied().unwrap_or(0),
        };
        let mut offset = base;
        for run in children(traf).filter(|(kind, _)| kind == b"trun").filter_map(|(_, body)| decode::<Trun>(body)) {
            if let Some(relative) = run.data_offset {
                offset = base.saturating_add_signed(relative.into());
            }
            for entry in run.samples.iter() {
                count += 1;
                if count > MOST_SAMPLES {
                    return;
                }
                let duration = entry.duration.or(header.default_sample_duration).unwrap_or(defaults.duration);
                let size = u64::from(entry.size.or(header.default_sample_size).unwrap_or(defaults.size));
                let flags = entry.flags.or(header.default_sample_flags).unwrap_or(defaults.flags);
                let sample = Sample {
                    offset,
                    size,
                    dts,
                    pts: dts.saturating_add(entry.cts.unwrap_or(0)),
                    duration,
                    sync: flags & NON_SYNC == 0,
                    description: header.sample_description_index.unwrap_or(defaults.description),
                };
                // Nothing to present, as often as the count says, which no bytes vouch for.
                if size == 0 && matches!(run.samples, TrunSamples::Inherited { .. }) {
                    break;
                }
                offset = offset.saturating_add(size);
                dts = dts.saturating_add(duration.into());
                if let Some(index) = track {
                    found(index, sample);
                }
            }
        }
        data_end = offset;
        if let Some(next) = track.and_then(|index| next_dts.get_mut(index)) {
            *next = dts;
        }
    }
}
