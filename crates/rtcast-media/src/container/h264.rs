//! H.264 as containers hold it, turned into Annex B with parameter sets before every keyframe.

use rtcast_proto::payload::h264::{NalUnitType, START_CODE, SequenceParameterSet, SliceHeader, nal_units};

use super::fields::Fields;
use crate::properties::FieldOrder;

/// Longer than any parameter set is; each goes out with every keyframe.
const LONGEST_SET: usize = 4_096;

/// A sequence parameter set extension.
const SEQUENCE_EXTENSION: NalUnitType = NalUnitType::Other(13);
/// A subset sequence parameter set, of the scalable and multi-view extensions.
const SUBSET_SEQUENCE: NalUnitType = NalUnitType::Other(15);

/// The parameter sets of one stream, the newest of each identifier.
#[derive(Debug, Clone, Default)]
pub(crate) struct ParameterSets {
    units: Vec<(NalUnitType, u32, Vec<u8>)>,
}

impl ParameterSets {
    /// Remembers a parameter set, in place of an older one of its type and identifier.
    pub(crate) fn insert(&mut self, unit: &[u8]) {
        let (Some(kind), Some(id)) = (NalUnitType::of(unit), parameter_set_id(unit)) else { return };
        if unit.len() > LONGEST_SET {
            return;
        }
        match self.units.iter_mut().find(|(k, i, _)| (*k, *i) == (kind, id)) {
            Some((_, _, old)) => {
                old.clear();
                old.extend_from_slice(unit);
            }
            None => {
                self.units.push((kind, id, unit.to_vec()));
                // Sequence before picture parameter sets, else in the order of arrival.
                self.units.sort_by_key(|(kind, _, _)| match *kind {
                    NalUnitType::SequenceParameterSet => 0,
                    SEQUENCE_EXTENSION => 1,
                    SUBSET_SEQUENCE => 2,
                    _ => 3,
                });
            }
        }
    }

    fn write_to(&self, out: &mut Vec<u8>) {
        for (_, _, unit) in &self.units {
            push_unit(out, unit);
        }
    }
}

/// What an avcC box holds: ISO/IEC 14496-15 §5.3.3.1.
#[derive(Debug, Clone)]
pub(crate) struct AvcConfiguration {
    /// Bytes of a NAL unit's length field, 1 to 4.
    pub(crate) length_size: usize,
    pub(crate) parameter_sets: ParameterSets,
    /// profile_idc, constraint flags and level_idc.
    pub(crate) profile: [u8; 3],
}

impl AvcConfiguration {
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(body);
        if fields.u8()? != 1 {
            return None;
        }
        let profile = fields.array()?;
        let length_size = usize::from(fields.u8()? & 3) + 1;
        let mut parameter_sets = ParameterSets::default();
        let sequence_sets = fields.u8()? & 0x1f;
        for _ in 0..sequence_sets {
            let length = fields.u16()?;
            parameter_sets.insert(fields.take(length.into())?);
        }
        // A box that ends here has all its picture parameter sets in band.
        for _ in 0..fields.u8().unwrap_or(0) {
            let length = fields.u16()?;
            parameter_sets.insert(fields.take(length.into())?);
        }
        Some(Self { length_size, parameter_sets, profile })
    }
}

/// Rewrites one access unit for the wire: four-byte start codes, no delimiters, parameter sets first in a keyframe.
///
/// Parameter sets that the access unit brings are remembered in `sets`; a keyframe gets all that are known.
pub(crate) fn to_wire<'a>(units: impl Iterator<Item = &'a [u8]>, sets: &mut ParameterSets, keyframe: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut others: Vec<&[u8]> = Vec::new();
    for unit in units.filter(|unit| !unit.is_empty()) {
        match NalUnitType::of(unit) {
            Some(NalUnitType::AccessUnitDelimiter) => {}
            Some(
                NalUnitType::SequenceParameterSet
                | NalUnitType::PictureParameterSet
                | SEQUENCE_EXTENSION
                | SUBSET_SEQUENCE,
            ) => {
                sets.insert(unit);
                if !keyframe {
                    others.push(unit);
                }
            }
            _ => others.push(unit),
        }
    }
    if keyframe {
        sets.write_to(&mut out);
    }
    for unit in others {
        push_unit(&mut out, unit);
    }
    out
}

/// The NAL units of a sample whose units stand behind length fields; ends at the first that is broken.
pub(crate) fn length_prefixed(sample: &[u8], length_size: usize) -> impl Iterator<Item = &[u8]> {
    let mut fields = Fields::new(sample);
    std::iter::from_fn(move || {
        let length = fields.take(length_size)?.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        // The last unit of a cut sample is kept as far as it goes.
        fields.take(length.min(fields.rest().len()))
    })
}

/// Whether a unit is a slice of a picture that others refer to: nal_ref_idc is not 0.
pub(crate) fn is_reference_slice(unit: &[u8]) -> bool {
    matches!(NalUnitType::of(unit), Some(NalUnitType::Slice | NalUnitType::SliceDataPartitionA | NalUnitType::IdrSlice))
        && unit.first().is_some_and(|byte| byte & 0x60 != 0)
}

/// Whether a unit holds the message that decoding can start here, without frames that come out broken first: ITU-T
/// H.264 §D.1.8, with a recovery_frame_cnt of 0.
pub(crate) fn is_recovery_point(unit: &[u8]) -> bool {
    if NalUnitType::of(unit) != Some(NalUnitType::Sei) {
        return false;
    }
    let mut fields = Fields::new(unit.get(1..).unwrap_or_default());
    let mut message = || -> Option<(usize, u8)> {
        let mut number = || {
            let mut sum = 0;
            loop {
                let byte = fields.u8()?;
                sum += usize::from(byte);
                if byte != 255 {
                    return Some(sum);
                }
            }
        };
        let (kind, length) = (number()?, number()?);
        Some((kind, fields.take(length)?.first().copied().unwrap_or(0)))
    };
    std::iter::from_fn(&mut message).any(|(kind, first)| kind == 6 && first & 0x80 != 0)
}

/// Which field of access units is shown first, as far as their slices tell: a parameter set that allows fields says
/// nothing of that.
pub(crate) fn field_order<'a>(access_units: impl Iterator<Item = &'a [u8]>, set: &SequenceParameterSet) -> FieldOrder {
    let slices = access_units.flat_map(nal_units).filter_map(|unit| SliceHeader::parse(unit, set));
    match slices.filter_map(|slice| slice.bottom_field).next() {
        Some(true) => FieldOrder::BottomFirst,
        Some(false) => FieldOrder::TopFirst,
        None => FieldOrder::Interlaced,
    }
}

/// A person's name of a profile: ITU-T H.264 annex A.
pub(crate) fn codec_name([profile_idc, constraints, _]: [u8; 3]) -> String {
    let profile = match (profile_idc, constraints & 0x40 != 0) {
        (66, true) => "Constrained Baseline",
        (66, false) => "Baseline",
        (77, _) => "Main",
        (88, _) => "Extended",
        (100, _) => "High",
        (110, _) => "High 10",
        (122, _) => "High 4:2:2",
        (244 | 44, _) => "High 4:4:4",
        (other, _) => return format!("H.264 profile {other}"),
    };
    format!("H.264 {profile}")
}

/// The format parameters of a stream of that profile and level: RFC 6184 §8.1.
pub(crate) fn sdp_fmtp_line([profile_idc, constraints, level_idc]: [u8; 3]) -> String {
    format!(
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile_idc:02x}{constraints:02x}{level_idc:02x}"
    )
}

fn push_unit(out: &mut Vec<u8>, unit: &[u8]) {
    out.extend_from_slice(&START_CODE);
    out.extend_from_slice(unit);
}

/// The identifier of a sequence or picture parameter set, the first Exp-Golomb code after its fixed fields.
fn parameter_set_id(unit: &[u8]) -> Option<u32> {
    let start = match NalUnitType::of(unit)? {
        NalUnitType::SequenceParameterSet | SUBSET_SEQUENCE => 4,
        _ => 1,
    };
    let bits = u32::from_be_bytes({
        let mut head = [0; 4];
        for (to, from) in head.iter_mut().zip(unit.get(start..)?) {
            *to = *from;
        }
        head
    });
    let zeros = bits.leading_zeros();
    // At most 255, so at most 8 leading zeros.
    (zeros <= 8).then(|| (bits << zeros >> (31 - zeros)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyframes_carry_every_parameter_set_once() {
        let mut sets = ParameterSets::default();
        sets.insert(&[0x67, 66, 0, 30, 0x80]);
        sets.insert(&[0x68, 0xc0]);
        let units: [&[u8]; 4] = [&[0x09, 0xf0], &[0x68, 0xc1], &[0x06, 5], &[0x65, 1]];
        let wire = to_wire(units.into_iter(), &mut sets, true);
        let found: Vec<_> = nal_units(&wire).collect();
        assert_eq!(found, [&[0x67, 66, 0, 30, 0x80][..], &[0x68, 0xc1], &[0x06, 5], &[0x65, 1]]);
        let next = to_wire([&[0x41, 1][..]].into_iter(), &mut sets, false);
        assert_eq!(next, [0, 0, 0, 1, 0x41, 1]);
    }

    #[test]
    fn identifiers_are_exp_golomb_codes() {
        assert_eq!(parameter_set_id(&[0x68, 0x80]), Some(0));
        assert_eq!(parameter_set_id(&[0x68, 0b0100_0000]), Some(1));
        assert_eq!(parameter_set_id(&[0x68, 0b0010_1000]), Some(4));
        assert_eq!(parameter_set_id(&[0x68, 0, 0x80, 0, 0]), Some(255));
        assert_eq!(parameter_set_id(&[0x68]), None);
    }

    #[test]
    fn recovery_points_are_found_behind_other_messages() {
        assert!(is_recovery_point(&[6, 5, 2, 0xaa, 0xbb, 6, 1, 0x84, 0x80]));
        assert!(!is_recovery_point(&[6, 6, 1, 0x40, 0x80]));
        assert!(!is_recovery_point(&[6, 5, 200, 6, 1, 0x84]));
        assert!(!is_recovery_point(&[0x65, 6, 1, 0x84]));
    }

    #[test]
    fn a_broken_length_ends_the_sample() {
        let units: Vec<_> = length_prefixed(&[0, 0, 0, 2, 0x65, 1, 0xff, 0xff, 0xff, 0xff, 7], 4).collect();
        assert_eq!(units, [&[0x65, 1][..], &[7]]);
    }
}
