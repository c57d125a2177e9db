//! What only the first packets tell: it reads some ahead, completes the streams' descriptions, and moves the clock so
//! that the earliest packet that is presented stands at zero.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use rtcast_proto::payload::av1::SequenceHeader;
use rtcast_proto::payload::h264::{SequenceParameterSet, nal_units};
use rtcast_proto::payload::{vp8, vp9};
use rtcast_track::{Codec, MediaKind, MediaTime};

use super::{av1, h264, vpx};
use crate::error::MediaError;
use crate::packet::{Demuxer, Packet, SourceCodec, StreamInfo};
use crate::properties::{FieldOrder, PictureProperties, ratio};

/// Pictures that are looked at in a file.
const PICTURES: usize = 60;
/// Pictures that are looked at in a pipe, if their order cannot be known otherwise: H.264 reorders at most 16.
const PICTURES_OF_PIPE: usize = 20;
/// Packets of all streams that are looked at in a file, and in a pipe, where each is a delay.
const PACKETS: usize = 400;
const PACKETS_OF_PIPE: usize = 64;
/// Bytes that are looked at.
const BYTES: usize = 16 << 20;

/// A demuxer whose first packets have been seen.
pub(super) struct Lookahead {
    inner: Box<dyn Demuxer>,
    streams: Vec<StreamInfo>,
    seen: VecDeque<Packet>,
    /// What stood behind the packets that were seen, if not another packet.
    after: Option<MediaError>,
    /// To be added to every time.
    shift: MediaTime,
    /// Per stream, what makes decoding times where the container has none.
    decode_times: Vec<Option<DecodeTimes>>,
}

impl Lookahead {
    /// Looks ahead in a demuxer; in a live one, no farther than must be. An error before the first packet is returned.
    pub(super) fn new(inner: Box<dyn Demuxer>, live: bool, name: &str) -> Result<Self, MediaError> {
        let mut streams = inner.streams().to_vec();
        let mut this = Self {
            inner,
            streams: Vec::new(),
            seen: VecDeque::new(),
            after: None,
            shift: MediaTime::ZERO,
            decode_times: Vec::new(),
        };
        let mut bytes = 0;
        while bytes < BYTES && !this.has_seen_enough(&streams, live) {
            match next_with_bytes(&mut *this.inner) {
                Ok(Some(packet)) => {
                    bytes += packet.chunk.data.len();
                    this.seen.push_back(packet);
                }
                Ok(None) => break,
                Err(error) if this.seen.is_empty() => return Err(error),
                Err(error) => {
                    this.after = Some(error);
                    break;
                }
            }
        }
        if this.seen.is_empty() {
            let reason = "it describes streams but holds not one whole packet of them; the file was cut, or is empty";
            return Err(MediaError::Invalid { source_name: name.into(), reason: reason.into() });
        }
        for (index, info) in streams.iter_mut().enumerate() {
            let packets: Vec<&Packet> = this.seen.iter().filter(|packet| packet.stream == index).collect();
            this.decode_times.push(complete(info, &packets, live));
        }
        this.streams = streams;
        let presented = this.seen.iter().filter(|packet| !packet.chunk.discard).map(|packet| packet.chunk.timestamp);
        this.shift = MediaTime::ZERO.since(presented.min().unwrap_or_default());
        Ok(this)
    }

    fn has_seen_enough(&self, streams: &[StreamInfo], live: bool) -> bool {
        if self.seen.len() >= if live { PACKETS_OF_PIPE } else { PACKETS } {
            return true;
        }
        streams.iter().enumerate().all(|(index, info)| {
            let packets = self.seen.iter().filter(|packet| packet.stream == index);
            let order_is_open = info.codec == SourceCodec::Rtp(Codec::H264)
                && !info.codec_name.contains("Baseline")
                && packets.clone().all(|packet| packet.chunk.timestamp == packet.dts);
            let wanted = match (info.kind, live) {
                (MediaKind::Audio, _) => 1,
                (MediaKind::Video, false) => PICTURES,
                (MediaKind::Video, true) if order_is_open => PICTURES_OF_PIPE,
                (MediaKind::Video, true) if info.frame_rate == 0.0 => 2,
                (MediaKind::Video, true) if info.codec == SourceCodec::Rtp(Codec::H264) => 2,
                (MediaKind::Video, true) => 1,
            };
            packets.take(wanted).count() == wanted
        })
    }

    fn finish(&mut self, mut packet: Packet) -> Packet {
        if let Some(Some(times)) = self.decode_times.get_mut(packet.stream) {
            packet.dts = times.next(packet.chunk.timestamp);
        }
        packet.chunk.timestamp = packet.chunk.timestamp.offset(self.shift);
        packet.dts = packet.dts.offset(self.shift);
        packet
    }
}

impl Demuxer for Lookahead {
    fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    fn duration(&self) -> Option<MediaTime> {
        self.inner.duration()
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        if let Some(packet) = self.seen.pop_front() {
            return Ok(Some(self.finish(packet)));
        }
        if let Some(error) = self.after.take() {
            return Err(error);
        }
        let packet = next_with_bytes(&mut *self.inner)?;
        Ok(packet.map(|packet| self.finish(packet)))
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        if !self.inner.rewind()? {
            return Ok(false);
        }
        self.seen.clear();
        self.after = None;
        self.decode_times.iter_mut().flatten().for_each(DecodeTimes::reset);
        Ok(true)
    }
}

/// The next packet that is not empty: nothing can be sent or decoded of one that is.
fn next_with_bytes(demuxer: &mut dyn Demuxer) -> Result<Option<Packet>, MediaError> {
    loop {
        match demuxer.next_packet()? {
            Some(packet) if packet.chunk.data.is_empty() => {}
            other => return Ok(other),
        }
    }
}

/// Completes a stream's description by its first packets.
fn complete(info: &mut StreamInfo, packets: &[&Packet], live: bool) -> Option<DecodeTimes> {
    if info.kind == MediaKind::Audio {
        return None;
    }
    complete_codec(info, packets);
    complete_picture(info, packets);
    let mut times: Vec<i64> = packets.iter().map(|packet| packet.chunk.timestamp.as_nanos()).collect();
    info.reordered |= !times.is_sorted();
    // Pictures that wait unequally long to be presented are overtaken, or overtake, even if that comes later.
    let mut waits = packets.iter().map(|packet| packet.chunk.timestamp.since(packet.dts));
    let first_wait = waits.next();
    info.reordered |= waits.any(|wait| Some(wait) != first_wait);
    // What was seen may be too little, where the container keeps no table of it.
    if info.codec == SourceCodec::Rtp(Codec::H264) && (live || first_wait == Some(MediaTime::ZERO)) {
        info.reordered |= parameter_set(packets).and_then(|set| set.reorders_pictures()) == Some(true);
    }
    let depth = reorder_depth(&times);
    let has_decode_times = packets.is_sorted_by_key(|packet| packet.dts);
    // Few pictures in another order show only some of the times between the first and the last.
    if has_decode_times {
        times = packets.iter().map(|packet| packet.dts.as_nanos()).collect();
    }
    times.sort_unstable();
    times.dedup();
    let interval = match (times.first(), times.last()) {
        (Some(first), Some(last)) if times.len() > 1 => last.saturating_sub(*first) / (times.len() as i64 - 1),
        _ => 0,
    };
    if info.frame_rate == 0.0 && interval > 0 {
        info.frame_rate = nearest_common_rate(1e9 / interval as f64, times.len());
    }
    let interval = if info.frame_rate > 0.0 { (1e9 / info.frame_rate) as i64 } else { interval };
    (!has_decode_times).then(|| DecodeTimes::new(depth, interval))
}

/// Reads profile and size from the first keyframe, where the container did not tell.
fn complete_codec(info: &mut StreamInfo, packets: &[&Packet]) {
    let Some(data) = packets.iter().find(|packet| packet.chunk.keyframe).map(|packet| &packet.chunk.data[..]) else {
        return;
    };
    match &info.codec {
        SourceCodec::Rtp(Codec::H264) => {
            let Some(set) = parameter_set(packets) else { return };
            let profile = [set.profile_idc, set.constraint_flags, set.level_idc];
            info.codec_name = h264::codec_name(profile);
            info.sdp_fmtp_line = Some(h264::sdp_fmtp_line(profile));
            if info.width == 0 || info.height == 0 {
                (info.width, info.height) = (set.width, set.height);
            }
        }
        SourceCodec::Rtp(Codec::Vp8) if info.width == 0 || info.height == 0 => {
            (info.width, info.height) = vp8::keyframe_size(data).unwrap_or((0, 0));
        }
        SourceCodec::Rtp(Codec::Vp9) => {
            if let Some(profile) = vpx::vp9_profile(data) {
                if profile > 0 {
                    info.codec_name = format!("VP9 profile {profile}");
                }
                info.sdp_fmtp_line = Some(format!("profile-id={profile}"));
            }
            if info.width == 0 || info.height == 0 {
                (info.width, info.height) = vp9::keyframe_size(data).unwrap_or((0, 0));
            }
        }
        SourceCodec::Rtp(Codec::Av1) => {
            if let Some(profile) = av1::profile(data) {
                info.codec_name = av1::codec_name(profile);
                info.sdp_fmtp_line = Some(format!("profile={profile}"));
            }
        }
        _ => {}
    }
}

/// Adds what the bitstream says of how its pictures are to be shown, where the container has said nothing.
fn complete_picture(info: &mut StreamInfo, packets: &[&Packet]) {
    let SourceCodec::Rtp(codec) = info.codec else { return };
    let Some(data) = packets.iter().find(|packet| packet.chunk.keyframe).map(|packet| &packet.chunk.data[..]) else {
        return;
    };
    let mut told = PictureProperties::default();
    match codec {
        Codec::H264 => {
            let Some(set) = parameter_set(packets) else { return };
            told.sample_aspect_ratio =
                set.sample_aspect_ratio.and_then(|(width, height)| ratio(width.into(), height.into()));
            told.colour = set.colour;
            told.bit_depth = set.bit_depth;
            told.field_order = if set.frame_macroblocks_only {
                FieldOrder::Progressive
            } else {
                h264::field_order(packets.iter().map(|packet| &packet.chunk.data[..]), &set)
            };
        }
        Codec::Vp8 => told.bit_depth = 8,
        Codec::Vp9 => {
            let Some((bit_depth, colour)) = vp9::keyframe_colour(data) else { return };
            (told.bit_depth, told.colour) = (bit_depth, colour);
        }
        Codec::Av1 => {
            let Some(header) = SequenceHeader::find(data) else { return };
            (told.bit_depth, told.colour) = (header.bit_depth, header.colour);
            if info.width == 0 || info.height == 0 {
                (info.width, info.height) = (header.width, header.height);
            }
        }
        _ => return,
    }
    info.picture = info.picture.or(told);
}

/// The sequence parameter set of the first keyframe of a stream of H.264.
fn parameter_set(packets: &[&Packet]) -> Option<SequenceParameterSet> {
    let keyframe = packets.iter().find(|packet| packet.chunk.keyframe)?;
    nal_units(&keyframe.chunk.data).find_map(SequenceParameterSet::parse)
}

/// The most packets that stand before one that is presented before them.
fn reorder_depth(times: &[i64]) -> usize {
    let before = |index: usize| times[..index].iter().filter(|time| **time > times[index]).count();
    (0..times.len()).map(before).max().unwrap_or(0)
}

/// The common frame rate that a measured one means, as timestamps are often rounded to milliseconds.
pub(super) fn nearest_common_rate(measured: f64, pictures: usize) -> f64 {
    const COMMON: [f64; 14] = [
        5.0,
        10.0,
        12.0,
        15.0,
        20.0,
        24_000.0 / 1_001.0,
        24.0,
        25.0,
        30_000.0 / 1_001.0,
        30.0,
        50.0,
        60_000.0 / 1_001.0,
        60.0,
        120.0,
    ];
    let tolerance = if pictures < 10 { 0.04 } else { 0.002 };
    let distance = |rate: &f64| (rate / measured - 1.0).abs();
    let nearest = COMMON.into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
    nearest.filter(|rate| distance(rate) <= tolerance).unwrap_or(measured)
}

/// Decoding times for pictures that come in decoding order with their presentation times alone.
struct DecodeTimes {
    depth: usize,
    interval: i64,
    started: usize,
    waiting: BinaryHeap<Reverse<MediaTime>>,
    last: Option<MediaTime>,
}

impl DecodeTimes {
    const fn new(depth: usize, interval: i64) -> Self {
        Self { depth, interval, started: 0, waiting: BinaryHeap::new(), last: None }
    }

    /// The presentation times in rising order, moved back by the depth of reordering, so that none is presented
    /// before it is decoded.
    fn next(&mut self, pts: MediaTime) -> MediaTime {
        self.waiting.push(Reverse(pts));
        let dts = if self.started < self.depth {
            self.started += 1;
            let lead = (self.depth - self.started + 1) as i64;
            let first = self.waiting.peek().map_or(pts, |Reverse(first)| *first);
            first.offset(MediaTime::from_nanos(lead.saturating_mul(self.interval).saturating_neg()))
        } else {
            self.waiting.pop().map_or(pts, |Reverse(first)| first)
        };
        let dts = self.last.map_or(dts, |last| dts.max(last));
        self.last = Some(dts);
        dts
    }

    fn reset(&mut self) {
        self.started = 0;
        self.waiting.clear();
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decode_times_rise_and_lie_before_presentation() {
        let presented = [0, 30, 10, 20, 70, 50, 40, 60];
        let depth = reorder_depth(&presented);
        assert_eq!(depth, 2);
        let mut times = DecodeTimes::new(depth, 10);
        let made: Vec<i64> = presented.iter().map(|pts| times.next(MediaTime::from_nanos(*pts)).as_nanos()).collect();
        assert_eq!(made, [-20, -10, 0, 10, 20, 30, 40, 50]);
        assert!(made.iter().zip(presented).all(|(dts, pts)| *dts <= pts));
    }

    #[test]
    fn rates_measured_in_milliseconds_are_recognised() {
        assert_eq!(nearest_common_rate(30.02, 60), 30.0);
        assert_eq!(nearest_common_rate(29.98, 60), 30_000.0 / 1_001.0);
        assert_eq!(nearest_common_rate(30.3, 2), 30.0);
        assert_eq!(nearest_common_rate(17.3, 60), 17.3);
    }
}
