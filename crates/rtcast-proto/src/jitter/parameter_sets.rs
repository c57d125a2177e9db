//! The parameter sets of an H.264 stream, kept for keyframes that come without them.

use crate::payload::Depacketized;
use crate::payload::h264::{NalUnitType, START_CODE, nal_units};

/// More than this is not kept.
const MOST_BYTES: usize = 4_096;

/// The last parameter sets of a stream, in Annex B.
#[derive(Debug, Default)]
pub(super) struct ParameterSets {
    bytes: Vec<u8>,
}

impl ParameterSets {
    /// Learns the parameter sets of an access unit; puts the ones before it that a keyframe lacks. A keyframe for which
    /// there are none is none: decoding cannot start with it. Returns whether the unit's bytes were changed.
    pub(super) fn complete(&mut self, unit: &mut Depacketized) -> bool {
        let is_set = |unit: &&[u8]| {
            matches!(NalUnitType::of(unit), Some(NalUnitType::SequenceParameterSet | NalUnitType::PictureParameterSet))
        };
        let is_sequence = |unit: &[u8]| NalUnitType::of(unit) == Some(NalUnitType::SequenceParameterSet);
        // Parameter sets stand before the slices, so that the search need not go through a whole picture.
        let precedes_slices =
            |unit: &&[u8]| !matches!(NalUnitType::of(unit), Some(NalUnitType::Slice | NalUnitType::IdrSlice));
        let sets: Vec<&[u8]> = nal_units(&unit.data).take_while(precedes_slices).filter(is_set).collect();
        let complete = sets.iter().any(|set| is_sequence(set));
        if complete {
            // RFC 7742 §6.2: parameter sets come in band; new ones replace the old.
            self.bytes.clear();
        }
        for set in &sets {
            if self.bytes.len() + START_CODE.len() + set.len() <= MOST_BYTES {
                self.bytes.extend_from_slice(&START_CODE);
                self.bytes.extend_from_slice(set);
            }
        }
        let lacks = unit.keyframe && !complete;
        if lacks {
            unit.keyframe = nal_units(&self.bytes).any(is_sequence);
            unit.data = [self.bytes.as_slice(), &unit.data].concat().into();
        }
        lacks
    }
}
