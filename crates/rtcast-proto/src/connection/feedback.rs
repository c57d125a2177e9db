//! RTCP: what the peer says of our streams, and what we say of ours and of its.

use std::time::Instant;

use tracing::debug;

use super::{Connection, ConnectionEvent, REPORT_INTERVAL, RESTING_REPORT_INTERVAL, SenderSlot};
use crate::congestion::Feedback;
use crate::jsep::TransceiverId;
use crate::rtcp::{ReportBlock, RtcpPacket, packets};
use crate::types::Ssrc;

impl Connection {
    pub(super) fn handle_rtcp(&mut self, now: Instant, compound: &[u8]) {
        for packet in packets(compound) {
            match packet {
                Ok(packet) => self.handle_rtcp_packet(now, packet),
                Err(error) => debug!(%error, "the rest of an RTCP compound was dropped"),
            }
        }
    }

    fn handle_rtcp_packet(&mut self, now: Instant, packet: RtcpPacket) {
        match packet {
            RtcpPacket::SenderReport { ssrc, info, reports } => {
                self.handle_reports(now, &reports);
                if let Some(receiver) = self.receivers.iter_mut().find(|receiver| receiver.has_source(ssrc)) {
                    receiver.handle_sender_report(now, ssrc, &info);
                }
            }
            RtcpPacket::ReceiverReport { reports, .. } => self.handle_reports(now, &reports),
            RtcpPacket::Nack { media, lost } => {
                let measured = self.transport.ice.round_trip_time();
                if let Some(slot) = self.senders.iter_mut().find(|slot| slot.sender.ssrc == media)
                    && slot.sender.handle_nack(now, measured, &lost)
                {
                    slot.keyframes.packets_repaired(now);
                }
            }
            RtcpPacket::PictureLossIndication { media } => self.keyframe_requested(now, media, None),
            RtcpPacket::FullIntraRequest { requests } => {
                for (media, number) in requests {
                    self.keyframe_requested(now, media, Some(number));
                }
            }
            RtcpPacket::ReceiverEstimatedMaximumBitrate { bitrate, .. } => {
                self.estimate = Some(bitrate);
                self.handle_feedback(now, Feedback::MaximumBitrate(bitrate));
            }
            RtcpPacket::Goodbye { ssrcs } => {
                for receiver in &self.receivers {
                    if ssrcs.iter().any(|ssrc| receiver.has_source(*ssrc)) {
                        self.events.push_back(ConnectionEvent::TrackMuted(receiver.transceiver()));
                    }
                }
            }
            RtcpPacket::TransportFeedback(feedback) => self.handle_feedback(now, Feedback::Transport(&feedback)),
            RtcpPacket::SourceDescription { .. } | RtcpPacket::Other { .. } => {}
        }
    }

    fn handle_reports(&mut self, now: Instant, reports: &[ReportBlock]) {
        for report in reports {
            if let Some(slot) = self.senders.iter_mut().find(|slot| slot.sender.ssrc == report.ssrc) {
                slot.sender.handle_report(now, report);
                let round_trip_time = slot.sender.stats().round_trip_time;
                self.handle_feedback(now, Feedback::Report { report, round_trip_time });
            }
        }
    }

    /// A picture loss indication, or a full intra request with its number.
    fn keyframe_requested(&mut self, now: Instant, media: Ssrc, full_intra: Option<u8>) {
        let Some(slot) = self.senders.iter_mut().find(|slot| slot.sender.ssrc == media) else { return };
        slot.sender.count_keyframe_request(full_intra.is_some());
        let told = match full_intra {
            Some(number) => slot.keyframes.handle_full_intra(now, number),
            None => slot.keyframes.handle_request(now),
        };
        if told {
            self.events.push_back(ConnectionEvent::KeyframeRequested { transceiver: slot.transceiver });
        }
    }

    /// Tells the requests for keyframes that were held until now.
    pub(super) fn drive_keyframe_requests(&mut self, now: Instant) {
        for slot in &mut self.senders {
            if slot.keyframes.handle_timeout(now) {
                self.events.push_back(ConnectionEvent::KeyframeRequested { transceiver: slot.transceiver });
            }
        }
    }

    /// RFC 3550 §6.4: reports of everything that we send and receive, and our name.
    pub(super) fn send_reports(&mut self, now: Instant) {
        self.next_report = None;
        if self.transport.media_pair().is_none() || self.closing {
            return;
        }
        let rests = self.receivers.is_empty() && self.senders.iter().all(|slot| slot.sender.rests());
        self.next_report = Some(now + if rests { RESTING_REPORT_INTERVAL } else { REPORT_INTERVAL });
        let ntp_time = self.clock.ntp_time(now);
        let blocks: Vec<ReportBlock> =
            self.receivers.iter_mut().flat_map(|receiver| receiver.report_blocks(now)).collect();
        let mut blocks = &blocks[..];
        self.rtcp.clear();
        let mut first = None;
        for slot in &mut self.senders {
            if slot.sender.encoding().is_none() {
                continue;
            }
            if let Some(info) = slot.sender.report(now, ntp_time) {
                self.rtcp.sender_report(slot.sender.ssrc, &info, std::mem::take(&mut blocks));
                first.get_or_insert(slot.sender.ssrc);
            }
        }
        if self.rtcp.is_empty() {
            if blocks.is_empty() {
                return;
            }
            let ssrc = self.feedback_ssrc();
            self.rtcp.receiver_report(ssrc, blocks);
            first = Some(ssrc);
        }
        if let Some(ssrc) = first {
            self.rtcp.source_description(ssrc, self.jsep.cname());
        }
        self.transport.send_rtcp(self.rtcp.bytes());
    }

    /// RFC 3550 §6.6: the end of our streams.
    pub(super) fn send_goodbye(&mut self) {
        self.send_goodbye_where(|_| true);
    }

    /// The same for one transceiver's stream.
    pub(super) fn send_goodbye_of(&mut self, transceiver: TransceiverId) {
        self.send_goodbye_where(|slot| slot.transceiver == transceiver);
    }

    fn send_goodbye_where(&mut self, ends: impl Fn(&SenderSlot) -> bool) {
        let ssrcs: Vec<Ssrc> = self
            .senders
            .iter()
            .filter(|slot| slot.sender.stats().packets_sent > 0 && !slot.stopped && ends(slot))
            .map(|slot| slot.sender.ssrc)
            .collect();
        let Some(&first) = ssrcs.first() else { return };
        self.rtcp.clear();
        self.rtcp.receiver_report(first, &[]);
        self.rtcp.goodbye(&ssrcs);
        self.transport.send_rtcp(self.rtcp.bytes());
    }

    /// The source in whose name feedback goes: a stream of ours, or 1, as browsers do when they only receive.
    pub(super) fn feedback_ssrc(&self) -> Ssrc {
        self.senders.first().map_or(Ssrc(1), |slot| slot.sender.ssrc)
    }

    /// Sends what the receivers ask for: lost packets and keyframes.
    pub(super) fn drive_receivers(&mut self, now: Instant) {
        if self.receivers.is_empty() {
            return;
        }
        let sender = self.feedback_ssrc();
        let round_trip_time = self.transport.ice.round_trip_time();
        self.rtcp.clear();
        // RFC 3550 §6.1: a compound begins with a report; peers that take reduced-size packets take this as well.
        self.rtcp.receiver_report(sender, &[]);
        let report_only = self.rtcp.bytes().len();
        for receiver in &mut self.receivers {
            if let Some(round_trip_time) = round_trip_time {
                receiver.handle_round_trip_time(round_trip_time);
            }
            while let Some(frame) = receiver.pop_frame(now) {
                let transceiver = receiver.transceiver();
                self.events.push_back(ConnectionEvent::Frame { transceiver, frame });
            }
            receiver.write_feedback(now, sender, &mut self.rtcp);
        }
        if self.rtcp.bytes().len() > report_only {
            self.transport.send_rtcp(self.rtcp.bytes());
        }
    }
}
