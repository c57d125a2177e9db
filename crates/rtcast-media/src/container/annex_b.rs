//! H.264 in the byte stream format (ITU-T H.264 annex B), without a container and so without times.
//!
//! Pictures are timed by the frame rate in the parameter sets, 25 a second without one, and put in the order of their
//! picture order counts (ITU-T H.264 §8.2.1, types 0 and 2; type 1 counts as never reordered).

use std::collections::VecDeque;

use bytes::Bytes;
use rtcast_proto::payload::h264::{NalUnitType, SequenceParameterSet, SliceHeader};
use rtcast_track::{Codec, MediaKind, MediaTime};

use super::h264::{self, ParameterSets};
use super::input::{Input, LONGEST_PACKET};
use crate::error::MediaError;
use crate::packet::{Demuxer, EncodedChunk, Packet, SourceCodec, StreamInfo};
use crate::properties::PictureProperties;

/// Bytes that are asked for at once.
const PIECE: usize = 64 << 10;

/// Access units that are looked at for how far apart their picture order counts lie.
const COUNTED: usize = 8;

/// A reader of H.264's byte stream format.
pub(crate) struct AnnexB {
    units: Units,
    streams: [StreamInfo; 1],
    /// A unit that belongs to the next access unit.
    held: Option<Vec<u8>>,
    ahead: VecDeque<AccessUnit>,
    sets: ParameterSets,
    sequence: Option<SequenceParameterSet>,
    order: PictureOrder,
    /// A frame lasts `scale / rate` seconds.
    rate: u32,
    scale: u32,
}

/// The units of one picture.
#[derive(Default)]
struct AccessUnit {
    units: Vec<Vec<u8>>,
    bytes: usize,
    first_slice: Option<SliceHeader>,
    is_idr: bool,
    /// The second field of the picture has begun.
    has_both_fields: bool,
    /// The picture order count, from that of the last IDR picture.
    count: i64,
    /// The number of frames before the last IDR picture, itself and this one.
    group_start: i64,
    number: i64,
}

impl AnnexB {
    pub(crate) fn open(input: Input) -> Result<Self, MediaError> {
        let stream = StreamInfo {
            kind: MediaKind::Video,
            codec: SourceCodec::Rtp(Codec::H264),
            codec_name: "H.264".into(),
            extradata: Bytes::new(),
            width: 0,
            height: 0,
            frame_rate: 0.0,
            sample_rate: 0,
            channels: 0,
            reordered: false,
            sdp_fmtp_line: None,
            picture: PictureProperties::default(),
        };
        let mut this = Self {
            units: Units { input, buffer: Vec::new(), scanned: 0, begun: false, ended: false },
            streams: [stream],
            held: None,
            ahead: VecDeque::new(),
            sets: ParameterSets::default(),
            sequence: None,
            order: PictureOrder::default(),
            rate: 25,
            scale: 1,
        };
        if let Some(first) = this.read_access_unit()? {
            this.ahead.push_back(first);
        }
        let Some(sequence) = this.sequence.clone() else {
            return Err(this.units.input.invalid("it has no sequence parameter set before its first picture"));
        };
        match sequence.timing {
            Some((units_in_tick, time_scale)) if (1..=1_000).contains(&(time_scale / units_in_tick / 2)) => {
                (this.rate, this.scale) = (time_scale, units_in_tick.saturating_mul(2));
            }
            _ => tracing::warn!(source = this.units.input.name(), "H.264 without a frame rate: taken as 25 a second"),
        }
        let info = &mut this.streams[0];
        (info.width, info.height) = (sequence.width, sequence.height);
        info.frame_rate = f64::from(this.rate) / f64::from(this.scale);
        if sequence.reorders_pictures() != Some(false) {
            while this.ahead.len() < COUNTED {
                let Some(next) = this.read_access_unit()? else { break };
                this.ahead.push_back(next);
            }
            // Most encoders count fields, two a frame; some count frames.
            if this.ahead.iter().any(|unit| unit.count % 2 != 0) {
                this.order.step = 1;
            }
        }
        Ok(this)
    }

    fn read_access_unit(&mut self) -> Result<Option<AccessUnit>, MediaError> {
        let mut access_unit = AccessUnit::default();
        loop {
            let unit = match self.held.take() {
                Some(unit) => unit,
                None => match self.units.next()? {
                    Some(unit) => unit,
                    None => break,
                },
            };
            let Some(kind) = NalUnitType::of(&unit) else { continue };
            if access_unit.first_slice.is_some() && self.begins_next(&mut access_unit, kind, &unit) {
                self.held = Some(unit);
                break;
            }
            match kind {
                NalUnitType::SequenceParameterSet => {
                    self.sequence = SequenceParameterSet::parse(&unit).or(self.sequence.take());
                }
                NalUnitType::Slice | NalUnitType::SliceDataPartitionA | NalUnitType::IdrSlice => {
                    let header = self.sequence.as_ref().and_then(|set| SliceHeader::parse(&unit, set));
                    // Slices without their parameter set cannot be decoded.
                    let Some(header) = header else { continue };
                    access_unit.first_slice.get_or_insert(header);
                    access_unit.is_idr |= kind == NalUnitType::IdrSlice;
                }
                _ => {}
            }
            access_unit.bytes += unit.len();
            if access_unit.bytes as u64 > LONGEST_PACKET {
                return Err(self.units.input.invalid("a picture of it is longer than 64 MB; it is damaged"));
            }
            access_unit.units.push(unit);
        }
        let (Some(slice), Some(sequence)) = (access_unit.first_slice, &self.sequence) else { return Ok(None) };
        self.order.place(&mut access_unit, &slice, sequence);
        Ok(Some(access_unit))
    }

    /// Whether a unit belongs to the next access unit: ITU-T H.264 §7.4.1.2.3, the rule for slices simplified to those
    /// with the picture's first macroblock. Both fields of a frame are kept together.
    fn begins_next(&self, access_unit: &mut AccessUnit, kind: NalUnitType, unit: &[u8]) -> bool {
        match kind {
            NalUnitType::Slice | NalUnitType::SliceDataPartitionA | NalUnitType::IdrSlice => {
                let header = self.sequence.as_ref().and_then(|set| SliceHeader::parse(unit, set));
                let (Some(header), Some(first)) = (header, access_unit.first_slice) else { return false };
                if header.first_macroblock != 0 {
                    return false;
                }
                let is_second_field = matches!((first.bottom_field, header.bottom_field), (Some(a), Some(b)) if a != b)
                    && first.frame_num == header.frame_num
                    && !access_unit.has_both_fields;
                access_unit.has_both_fields |= is_second_field;
                !is_second_field
            }
            NalUnitType::AccessUnitDelimiter
            | NalUnitType::SequenceParameterSet
            | NalUnitType::PictureParameterSet
            | NalUnitType::Sei
            | NalUnitType::Other(14..=18) => access_unit.first_slice.is_none_or(|first| {
                // Between the fields of a frame they are the second field's.
                first.bottom_field.is_none() || access_unit.has_both_fields
            }),
            _ => false,
        }
    }
}

impl Demuxer for AnnexB {
    fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    fn duration(&self) -> Option<MediaTime> {
        None
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        let access_unit = match self.ahead.pop_front() {
            Some(access_unit) => Some(access_unit),
            None => self.read_access_unit()?,
        };
        let Some(access_unit) = access_unit else { return Ok(None) };
        let units = || access_unit.units.iter().map(Vec::as_slice);
        let keyframe = access_unit.is_idr || units().any(h264::is_recovery_point);
        let data = h264::to_wire(units(), &mut self.sets, keyframe);
        let frame = self.order.frame(&access_unit);
        let time = |frame: i64| MediaTime::from_ticks(frame.saturating_mul(self.scale.into()), self.rate);
        let pts = time(frame);
        let duration = time(frame.saturating_add(1)).since(pts);
        Ok(Some(Packet::new(0, EncodedChunk::new(data, pts).with_duration(duration).with_keyframe(keyframe))))
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        if !self.units.rewind()? {
            return Ok(false);
        }
        self.held = None;
        self.ahead.clear();
        self.sets = ParameterSets::default();
        self.order = PictureOrder { step: self.order.step, ..PictureOrder::default() };
        Ok(true)
    }
}

/// Counts pictures and their order.
struct PictureOrder {
    /// By how much the picture order counts of neighbouring frames differ.
    step: i64,
    frames: i64,
    group_start: i64,
    group_count: i64,
    previous_high: i64,
    previous_low: i64,
}

impl Default for PictureOrder {
    fn default() -> Self {
        Self { step: 2, frames: 0, group_start: 0, group_count: 0, previous_high: 0, previous_low: 0 }
    }
}

impl PictureOrder {
    /// ITU-T H.264 §8.2.1.1, the count extended by its wraps.
    fn place(&mut self, access_unit: &mut AccessUnit, slice: &SliceHeader, set: &SequenceParameterSet) {
        access_unit.number = self.frames;
        self.frames += 1;
        let low = i64::from(slice.pic_order_cnt_lsb);
        if access_unit.is_idr {
            (self.previous_high, self.previous_low) = (0, 0);
            self.group_start = access_unit.number;
        }
        if set.pic_order_cnt_type == 0 {
            let wrap = 1i64 << set.pic_order_cnt_bits;
            let high = if low < self.previous_low && self.previous_low - low >= wrap / 2 {
                self.previous_high.saturating_add(wrap)
            } else if low > self.previous_low && low - self.previous_low > wrap / 2 {
                self.previous_high.saturating_sub(wrap)
            } else {
                self.previous_high
            };
            let is_reference = access_unit.units.iter().any(|unit| h264::is_reference_slice(unit));
            if is_reference {
                (self.previous_high, self.previous_low) = (high, low);
            }
            access_unit.count = high.saturating_add(low);
            if access_unit.is_idr || access_unit.number == 0 {
                self.group_count = access_unit.count;
            }
            access_unit.count = access_unit.count.saturating_sub(self.group_count);
        } else {
            access_unit.count = (access_unit.number - self.group_start).saturating_mul(2);
        }
        access_unit.group_start = self.group_start;
    }

    /// The number of the frame in the order of presentation.
    const fn frame(&self, access_unit: &AccessUnit) -> i64 {
        access_unit.group_start.saturating_add(access_unit.count.div_euclid(self.step))
    }
}

/// Cuts bytes at start codes.
struct Units {
    input: Input,
    buffer: Vec<u8>,
    /// Up to here the buffer holds no start code.
    scanned: usize,
    /// The first start code has been passed.
    begun: bool,
    ended: bool,
}

impl Units {
    /// The next unit, from its header octet; `None` at the end.
    fn next(&mut self) -> Result<Option<Vec<u8>>, MediaError> {
        loop {
            let found = self.buffer.get(self.scanned..).and_then(|bytes| bytes.windows(3).position(|w| w == [0, 0, 1]));
            let (unit, next) = match found {
                Some(at) => (self.scanned + at, self.scanned + at + 3),
                None if self.ended && self.buffer.is_empty() => return Ok(None),
                None if self.ended => (self.buffer.len(), self.buffer.len()),
                None => {
                    self.scanned = self.buffer.len().saturating_sub(2);
                    if self.buffer.len() as u64 > LONGEST_PACKET {
                        return Err(self.input.invalid("a unit of it is longer than 64 MB; it is damaged"));
                    }
                    self.ended = self.input.read_some(&mut self.buffer, PIECE)? == 0;
                    continue;
                }
            };
            let mut bytes = self.buffer.get(..unit).unwrap_or_default().to_vec();
            self.buffer.drain(..next);
            self.scanned = 0;
            // What stands before the first start code is no unit.
            let is_unit = std::mem::replace(&mut self.begun, true);
            // ITU-T H.264 §B.1: zeros before a start code belong to the stream.
            bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
            if is_unit && !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        if !self.input.is_seekable() {
            return Ok(false);
        }
        self.buffer.clear();
        (self.scanned, self.begun, self.ended) = (0, false, false);
        self.input.seek(0)
    }
}
