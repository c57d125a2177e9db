//! The receiving half of a transceiver: from packets to frames, with requests for what is lost.

use std::time::{Duration, Instant};

use super::dtmf::ReceivedTones;
use super::sources::Sources;
use super::stats::ReceiverReport;
use super::stats_report::RemoteSenderReport;
use crate::codec::{Codec, RtpCodec};
use crate::color::COLOR_SPACE_EXTENSION;
use crate::frame::ReceivedFrame;
use crate::jsep::{AUDIO_LEVEL_EXTENSION, MID_EXTENSION, NegotiatedMedia, TransceiverId};
use crate::rtcp::{ReportBlock, RtcpWriter, SenderInfo};
use crate::rtp::{RtpPacket, extensions};
use crate::types::{MediaTime, PayloadType, SequenceNumber, Ssrc};

use super::inbound::InboundStream;

/// Streams that one m-line may have at a time: the peer's current one and one that it replaced.
const MAX_STREAMS: usize = 2;

/// Counters of a receiver, as W3C's `RTCInboundRtpStreamStats` names them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ReceiverStats {
    /// The stream.
    pub ssrc: Option<Ssrc>,
    /// The codec of the latest packet.
    pub codec: Option<Codec>,
    /// The payload type of the latest packet.
    pub payload_type: Option<PayloadType>,
    /// The stream of the retransmissions, once it is known.
    pub rtx_ssrc: Option<Ssrc>,
    /// When the latest packet came.
    pub last_packet_received: Option<Instant>,
    /// The peer's last report on the stream.
    pub sender_report: Option<RemoteSenderReport>,
    /// Packets received, retransmissions included.
    pub packets_received: u64,
    /// Payload bytes received.
    pub bytes_received: u64,
    /// Header bytes received, extensions included.
    pub header_bytes_received: u64,
    /// Packets received as retransmissions.
    pub retransmitted_packets_received: u64,
    /// Payload bytes received as retransmissions.
    pub retransmitted_bytes_received: u64,
    /// Packets expected and not received.
    pub packets_lost: i64,
    /// The interarrival jitter.
    pub jitter: Duration,
    /// Whole frames handed on.
    pub frames_received: u64,
    /// Keyframes among them.
    pub key_frames_received: u64,
    /// Requests for lost packets sent.
    pub nack_count: u64,
    /// Picture loss indications sent.
    pub pli_count: u64,
}

/// What a payload type means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Media(Codec),
    Retransmission(Codec),
    /// Telephone events with that clock.
    Events(u32),
}

pub(super) struct RtpReceiver {
    media: NegotiatedMedia,
    payload_types: Vec<(PayloadType, Meaning)>,
    streams: Vec<InboundStream>,
    sources: Sources,
    level_extension: Option<u8>,
    color_extension: Option<u8>,
    tones: ReceivedTones,
}

impl RtpReceiver {
    pub(super) fn new(media: &NegotiatedMedia) -> Self {
        let mut receiver = Self {
            media: media.clone(),
            payload_types: Vec::new(),
            streams: Vec::new(),
            sources: Sources::default(),
            level_extension: None,
            color_extension: None,
            tones: ReceivedTones::default(),
        };
        receiver.update(media);
        receiver
    }

    /// Takes the result of a new negotiation; streams that go on keep their state.
    pub(super) fn update(&mut self, media: &NegotiatedMedia) {
        self.media = media.clone();
        self.level_extension = media.receive_extension(AUDIO_LEVEL_EXTENSION);
        self.color_extension = media.receive_extension(COLOR_SPACE_EXTENSION);
        self.payload_types.clear();
        for entry in &media.receive_codecs {
            self.payload_types.push((entry.payload_type, Meaning::Media(entry.codec.codec)));
            if let Some(rtx) = entry.rtx {
                self.payload_types.push((rtx, Meaning::Retransmission(entry.codec.codec)));
            }
        }
        let events = media.receive_telephone_events.iter();
        self.payload_types.extend(events.map(|events| (events.payload_type, Meaning::Events(events.clock_rate))));
    }

    pub(super) const fn transceiver(&self) -> TransceiverId {
        self.media.transceiver
    }

    /// What was negotiated.
    pub(super) const fn media(&self) -> &NegotiatedMedia {
        &self.media
    }

    /// Who was heard lately.
    pub(super) const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Whether this source was seen on this m-line.
    pub(super) fn has_stream(&self, ssrc: Ssrc) -> bool {
        self.streams.iter().any(|stream| stream.ssrc() == ssrc || stream.rtx_ssrc() == Some(ssrc))
    }

    /// Whether this source is announced for, or was seen on, this m-line.
    pub(super) fn has_source(&self, ssrc: Ssrc) -> bool {
        self.has_stream(ssrc)
            || self.media.remote_sources.iter().any(|source| source.ssrc == ssrc || source.rtx == Some(ssrc))
    }

    /// Another m-line has taken this source over.
    pub(super) fn forget_stream(&mut self, ssrc: Ssrc) {
        self.streams.retain(|stream| stream.ssrc() != ssrc);
    }

    /// The m-line that the packet's header extension names, if that was negotiated here.
    pub(super) fn mid_in<'a>(&self, packet: &RtpPacket<'a>) -> Option<&'a [u8]> {
        let (profile, block) = packet.extension?;
        let id = self.media.receive_extension(MID_EXTENSION)?;
        extensions(profile, block).find_map(|(found, value)| (found == id).then_some(value))
    }

    /// Whether this is the name of this m-line.
    pub(super) fn is_named(&self, mid: &[u8]) -> bool {
        self.media.mid.as_str().as_bytes() == mid
    }

    /// Whether a packet of a source that nobody knows may be for this m-line, by its payload type. It is not where the peer
    /// has told its sources and names m-lines as well: then it is the rest of a stream that has ended.
    pub(super) fn takes_unknown(&self, packet: &RtpPacket<'_>) -> bool {
        let told = !self.media.remote_sources.is_empty() && self.media.receive_extension(MID_EXTENSION).is_some();
        !told && self.meaning(packet.payload_type).is_some()
    }

    /// Takes a packet; if it ends a tone, that is returned, with one before it whose end was lost.
    pub(super) fn handle_packet(
        &mut self,
        now: Instant,
        index: u64,
        packet: &RtpPacket<'_>,
    ) -> Option<impl Iterator<Item = (char, Duration)> + use<>> {
        match self.meaning(packet.payload_type) {
            None => {}
            Some(Meaning::Events(clock_rate)) => {
                if let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc() == packet.ssrc) {
                    stream.handle_event(now, index, packet);
                }
                return Some(self.tones.handle_packet(packet, clock_rate));
            }
            Some(Meaning::Media(codec)) => {
                self.sources.note(now, packet, self.level_extension);
                let rtx = self.media.remote_sources.iter().find(|source| source.ssrc == packet.ssrc);
                let rtx = rtx.and_then(|source| source.rtx);
                let nack =
                    self.media.receive_codecs.iter().any(|entry| entry.codec.codec == codec && entry.rtx.is_some())
                        || self.nacks(codec);
                let at = match self.streams.iter().position(|stream| stream.ssrc() == packet.ssrc) {
                    Some(at) => at,
                    None => {
                        // Its frames follow those of the stream that it replaces.
                        let begins_at = self.streams.iter().filter_map(|stream| stream.time(now)).max();
                        if self.streams.len() >= MAX_STREAMS {
                            self.streams.remove(0);
                        }
                        let begins_at = begins_at.unwrap_or(MediaTime::ZERO);
                        self.streams.push(InboundStream::new(packet.ssrc, rtx, codec, nack, begins_at));
                        self.streams.len() - 1
                    }
                };
                self.streams[at].note_color_space(packet, self.color_extension);
                self.streams[at].handle_packet(now, index, codec, packet);
            }
            Some(Meaning::Retransmission(codec)) => {
                // RFC 4588 §4: the original sequence number stands before the original payload.
                let (head, payload) = packet.payload.split_first_chunk()?;
                let original = SequenceNumber(u16::from_be_bytes(*head));
                let announced =
                    self.media.remote_sources.iter().find(|source| source.rtx == Some(packet.ssrc)).map(|s| s.ssrc);
                let stream = self.streams.iter_mut().rev().find(|stream| match announced {
                    Some(ssrc) => stream.ssrc() == ssrc,
                    None => stream.rtx_ssrc().is_none_or(|rtx| rtx == packet.ssrc),
                });
                if let Some(stream) = stream {
                    stream.note_color_space(packet, self.color_extension);
                    stream.handle_retransmission(now, original, codec, packet, payload);
                }
            }
        }
        None
    }

    pub(super) fn handle_sender_report(&mut self, now: Instant, ssrc: Ssrc, info: &SenderInfo) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc() == ssrc) {
            stream.handle_sender_report(now, info);
        }
    }

    pub(super) fn handle_round_trip_time(&mut self, round_trip_time: Duration) {
        for stream in &mut self.streams {
            stream.handle_round_trip_time(round_trip_time);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.streams.iter().filter_map(InboundStream::poll_timeout).min()
    }

    /// Writes requests for lost packets and for keyframes.
    pub(super) fn write_feedback(&mut self, now: Instant, sender: Ssrc, rtcp: &mut RtcpWriter) {
        for stream in &mut self.streams {
            stream.write_feedback(now, sender, rtcp);
        }
    }

    pub(super) fn report_blocks(&mut self, now: Instant) -> Vec<ReportBlock> {
        self.streams.iter_mut().filter_map(|stream| stream.report_block(now)).collect()
    }

    /// The next whole frame.
    pub(super) fn pop_frame(&mut self, now: Instant) -> Option<ReceivedFrame> {
        self.streams.iter_mut().find_map(|stream| stream.pop_frame(now))
    }

    /// The codec of the latest packet, as it was negotiated.
    pub(super) fn codec(&self) -> Option<&RtpCodec> {
        let latest = self.streams.iter().max_by_key(|stream| stream.last_packet_received());
        let payload_type = latest?.stats().payload_type?;
        let known = self.media.receive_codecs.iter().find(|entry| entry.payload_type == payload_type);
        known.map(|entry| &entry.codec)
    }

    /// Asks the peer for a keyframe of what it sends, at the next feedback.
    pub(super) fn request_keyframe(&mut self, now: Instant) {
        // That of the latest packet: another may be one that the peer no longer sends, or a stray.
        if let Some(stream) = self.streams.iter_mut().max_by_key(|stream| stream.last_packet_received()) {
            stream.request_keyframe(now);
        }
    }

    pub(super) fn report(&self) -> ReceiverReport {
        let stats = self.streams.last().map(InboundStream::stats).unwrap_or_default();
        ReceiverReport { transceiver: self.media.transceiver, stats }
    }

    /// The counters of each stream.
    pub(super) fn stream_stats(&self) -> impl Iterator<Item = ReceiverStats> {
        self.streams.iter().map(InboundStream::stats)
    }

    fn nacks(&self, codec: Codec) -> bool {
        let nack = crate::sdp::RtcpFeedback::Nack;
        self.media.receive_codecs.iter().any(|entry| entry.codec.codec == codec && entry.feedback.contains(&nack))
    }

    fn meaning(&self, payload_type: PayloadType) -> Option<Meaning> {
        self.payload_types.iter().find(|(known, _)| *known == payload_type).map(|(_, meaning)| *meaning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::RtpCodec;
    use crate::jsep::NegotiatedCodec;
    use crate::rtcp::RtcpPacket;
    use crate::rtp::{FIXED_HEADER_LENGTH, write_header};
    use crate::sdp::Direction;
    use crate::types::{MediaKind, Mid};

    const VP8: PayloadType = PayloadType::new(96);

    fn receiver() -> RtpReceiver {
        let vp8 = NegotiatedCodec {
            payload_type: VP8,
            codec: RtpCodec::new(Codec::Vp8),
            clock_rate: 90_000,
            rtx: None,
            feedback: Vec::new(),
        };
        RtpReceiver::new(&NegotiatedMedia {
            transceiver: TransceiverId(0),
            media_line: 0,
            mid: Mid::new("0"),
            kind: MediaKind::Video,
            direction: Direction::Recvonly,
            send_codecs: Vec::new(),
            receive_codecs: vec![vp8],
            send_telephone_events: Vec::new(),
            receive_telephone_events: Vec::new(),
            extensions: Vec::new(),
            extmap_allow_mixed: false,
            rtcp_rsize: true,
            ssrc: Ssrc(9),
            rtx_ssrc: None,
            remote_sources: Vec::new(),
            remote_track_id: String::new(),
            remote_stream_ids: Vec::new(),
        })
    }

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn some_instant() -> Instant {
        Instant::now()
    }

    /// A picture in one packet.
    fn picture(receiver: &mut RtpReceiver, now: Instant, ssrc: u32, number: u16, keyframe: bool) {
        let mut bytes = vec![0; FIXED_HEADER_LENGTH];
        let timestamp = ssrc.wrapping_mul(0x1234_5678).wrapping_add(u32::from(number) * 3_000);
        write_header(&mut bytes, true, VP8, SequenceNumber(number), timestamp, Ssrc(ssrc), &[]);
        // RFC 7741 §4.2: the first partition begins here; RFC 6386 §9.1: the lowest bit is clear in a keyframe.
        bytes.extend([0x10, u8::from(!keyframe), 2, 0, 0x9d, 1, 0x2a, 0, 5, 0xd0, 2]);
        let none = receiver.handle_packet(now, number.into(), &RtpPacket::parse(&bytes).unwrap());
        assert!(none.is_none());
    }

    #[test]
    fn a_stream_under_another_name_goes_on_in_time() {
        let mut receiver = receiver();
        let start = some_instant();
        let mut times = Vec::new();
        for number in 0..60 {
            let now = start + Duration::from_micros(33_333) * number;
            picture(&mut receiver, now, 1 + number / 30, number as u16, number % 30 == 0);
            times.extend(receiver.pop_frame(now).map(|received| received.frame.timestamp.as_secs_f64()));
        }
        assert_eq!(times.len(), 60);
        assert!(times.windows(2).all(|pair| (0.03..0.037).contains(&(pair[1] - pair[0]))), "{times:?}");
    }

    #[test]
    fn a_keyframe_is_asked_of_the_stream_that_sends() {
        let mut receiver = receiver();
        let start = some_instant();
        picture(&mut receiver, start, 1, 0, true);
        assert!(receiver.pop_frame(start).is_some());
        // A stray that nothing follows.
        picture(&mut receiver, start, 2, 500, false);
        let later = start + Duration::from_secs(1);
        picture(&mut receiver, later, 1, 1, false);
        receiver.request_keyframe(later);
        let mut rtcp = RtcpWriter::default();
        for stream in receiver.streams.iter_mut().filter(|stream| stream.ssrc() == Ssrc(1)) {
            stream.write_feedback(later, Ssrc(9), &mut rtcp);
        }
        let asked: Vec<_> = crate::rtcp::packets(rtcp.bytes()).collect();
        assert_eq!(asked, [Ok(RtcpPacket::PictureLossIndication { media: Ssrc(1) })]);
    }
}
