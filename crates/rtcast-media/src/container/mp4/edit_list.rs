//! Edit lists: which part of a track's media is presented, and when (ISO/IEC 14496-12 §8.6.6).

use mp4_atom::Elst;

/// Edits that are read; every sample is held against all of them.
const MOST_EDITS: usize = 1_000;

/// The edits of one track, all times in the track's own ticks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct EditList {
    edits: Vec<Edit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edit {
    /// Where in the media the edit starts.
    media_start: i64,
    /// Where in the media it ends; `i64::MAX` if it goes to the end.
    media_end: i64,
    /// Where it stands in the presentation.
    presented_at: i64,
}

/// A sample's place in the presentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    /// To be added to the media's times.
    pub(super) shift: i64,
    /// The sample is decoded but not presented.
    pub(super) discard: bool,
}

impl EditList {
    /// Takes over the box; `movie_timescale` is the unit of its segment durations.
    ///
    /// Dwells and speeds other than 1 are played as ordinary edits, and media that an edit list repeats is presented once.
    pub(super) fn new(elst: &Elst, timescale: u32, movie_timescale: u32) -> Self {
        let mut edits = Vec::new();
        let mut presented_at = 0i64;
        for entry in elst.entries.iter().take(MOST_EDITS) {
            let duration = rescale(entry.segment_duration, movie_timescale, timescale);
            if let Some(media_time) = entry.media_time {
                let media_start = i64::try_from(media_time).unwrap_or(i64::MAX);
                // A fragmented file does not know its duration: 0 goes on to the end.
                let media_end = if duration == 0 { i64::MAX } else { media_start.saturating_add(duration) };
                edits.push(Edit { media_start, media_end, presented_at });
            }
            presented_at = presented_at.saturating_add(duration);
        }
        Self { edits }
    }

    /// Where a sample with that composition time and duration is presented.
    pub(super) fn place(&self, pts: i64, duration: i64) -> Placement {
        let shift = |edit: &Edit| edit.presented_at.saturating_sub(edit.media_start);
        let end = pts.saturating_add(duration.max(1));
        if let Some(edit) = self.edits.iter().find(|edit| pts < edit.media_end && end > edit.media_start) {
            return Placement { shift: shift(edit), discard: false };
        }
        // Outside of every edit: counted from the next edit if there is one, else from the last.
        let next = self.edits.iter().filter(|edit| edit.media_start >= end).min_by_key(|edit| edit.media_start);
        match next.or(self.edits.last()) {
            Some(edit) => Placement { shift: shift(edit), discard: true },
            None => Placement { shift: 0, discard: false },
        }
    }
}

fn rescale(value: u64, from: u32, to: u32) -> i64 {
    if from == 0 {
        return 0;
    }
    let scaled = (u128::from(value) * u128::from(to) + u128::from(from / 2)) / u128::from(from);
    i64::try_from(scaled).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use mp4_atom::ElstEntry;

    use super::*;

    fn list(entries: &[(u64, Option<u64>)]) -> EditList {
        let entry = |&(segment_duration, media_time): &(u64, Option<u64>)| ElstEntry {
            segment_duration,
            media_time,
            media_rate: mp4_atom::FixedPoint::from(1),
        };
        EditList::new(&Elst { entries: entries.iter().map(entry).collect() }, 1_000, 100)
    }

    #[test]
    fn an_empty_edit_delays_and_a_start_in_the_media_discards() {
        let edits = list(&[(10, None), (50, Some(200))]);
        assert_eq!(edits.place(0, 40), Placement { shift: -100, discard: true });
        assert_eq!(edits.place(160, 40), Placement { shift: -100, discard: true });
        assert_eq!(edits.place(180, 40), Placement { shift: -100, discard: false });
        assert_eq!(edits.place(699, 40), Placement { shift: -100, discard: false });
        assert_eq!(edits.place(700, 40), Placement { shift: -100, discard: true });
    }

    #[test]
    fn a_cut_in_the_middle_closes_up() {
        let edits = list(&[(10, Some(0)), (10, Some(500))]);
        assert_eq!(edits.place(50, 10), Placement { shift: 0, discard: false });
        assert_eq!(edits.place(300, 10), Placement { shift: -400, discard: true });
        assert_eq!(edits.place(500, 10), Placement { shift: -400, discard: false });
    }

    #[test]
    fn without_edits_nothing_moves() {
        assert_eq!(EditList::default().place(7, 1), Placement { shift: 0, discard: false });
    }
}
