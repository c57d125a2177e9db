//! What goes out (RFC 9260 §6.1, §6.10; RFC 3758 §3.5).

use std::time::Instant;

use super::super::chunk::{DATA_HEADER, FLAG_BEGIN, FLAG_IMMEDIATE, kind};
use super::super::outbound::Produced;
use super::super::packet::{COMMON_HEADER, PacketWriter};
use super::super::retransmission::Fragment;
use super::{Association, Phase};

impl Association {
    pub(super) fn write_packet(&mut self, now: Instant, buffer: &mut Vec<u8>) -> bool {
        if let Some(packet) = self.packets.pop_front() {
            buffer.clear();
            buffer.extend_from_slice(&packet);
            return true;
        }
        let ports = (self.config.local_port, self.config.remote_port);
        let limit = self.config.max_packet_size;
        if std::mem::take(&mut self.init_due) {
            let init = self.own_init(self.local_tag, self.local_tsn);
            let mut writer = PacketWriter::new(buffer, limit, ports, 0);
            writer.chunk(kind::INIT, 0, |body| init.write(body));
            writer.finish(true);
            return true;
        }
        let echoes = std::mem::take(&mut self.cookie_due);
        if !echoes && !self.carries_data() && self.phase != Phase::ShutdownAckSent {
            return false;
        }
        let mut writer = PacketWriter::new(buffer, limit, ports, self.remote_tag);
        if echoes {
            let cookie = self.cookie.take().unwrap_or_default();
            writer.chunk(kind::COOKIE_ECHO, 0, |body| body.extend_from_slice(&cookie));
            self.cookie = Some(cookie);
        }
        self.write_control(now, &mut writer);
        if self.carries_data() || echoes {
            self.write_data(now, &mut writer);
        }
        if writer.is_empty() {
            return false;
        }
        // RFC 9653 §5.2: with a COOKIE ECHO the peer does not know yet what was agreed on.
        writer.finish(echoes || !self.extensions.zero_checksum);
        true
    }

    fn write_control(&mut self, now: Instant, writer: &mut PacketWriter<'_>) {
        while let Some(chunk) = self.control.pop_front_if(|chunk| chunk.len() <= writer.remaining()) {
            writer.raw(&chunk);
        }
        if self.carries_data() {
            let goes_with = self.inbound.is_pending() && self.can_send(now);
            if (self.inbound.is_due() || goes_with) && writer.remaining() >= 64 {
                self.told_window = self.window();
                let (window, room) = (self.told_window as u32, writer.remaining() - 4);
                let inbound = &mut self.inbound;
                writer.chunk(kind::SACK, 0, |body| inbound.write(body, window, room));
            }
        }
        if std::mem::take(&mut self.forward_due) && self.carries_data() {
            self.write_forward(now, writer);
        }
        if std::mem::take(&mut self.reset_due) && self.phase == Phase::Established {
            let reset = &self.reset;
            let mut request = Vec::new();
            reset.write_request(&mut request);
            if request.len() + 4 > writer.remaining() && !writer.is_empty() {
                self.reset_due = true;
            } else {
                writer.chunk(kind::RE_CONFIG, 0, |body| body.extend_from_slice(&request));
                self.timers.reset = Some(now + self.congestion.timeout());
            }
        }
        if std::mem::take(&mut self.shutdown_due) {
            let cumulative = self.inbound.cumulative() as u32;
            match self.phase {
                Phase::ShutdownSent => {
                    writer.chunk(kind::SHUTDOWN, 0, |body| body.extend_from_slice(&cumulative.to_be_bytes()));
                }
                Phase::ShutdownAckSent => writer.chunk(kind::SHUTDOWN_ACK, 0, |_| {}),
                _ => {}
            }
        }
    }

    fn write_forward(&mut self, now: Instant, writer: &mut PacketWriter<'_>) {
        let interleaving = self.extensions.interleaving;
        let entry = if interleaving { 8 } else { 4 };
        let most = writer.remaining().saturating_sub(8) / entry;
        let Some(forward) = self.retransmission.forward(most) else { return };
        let kind = if interleaving { kind::I_FORWARD_TSN } else { kind::FORWARD_TSN };
        writer.chunk(kind, 0, |body| {
            body.extend_from_slice(&(forward.point as u32).to_be_bytes());
            for (stream, unordered, number) in forward.skipped.iter().take(most) {
                if interleaving {
                    body.extend_from_slice(&stream.to_be_bytes());
                    body.extend_from_slice(&u16::from(*unordered).to_be_bytes());
                    body.extend_from_slice(&number.to_be_bytes());
                } else if !unordered {
                    // RFC 3758 §3.2: the unordered have no number to tell.
                    body.extend_from_slice(&stream.to_be_bytes());
                    body.extend_from_slice(&(*number as u16).to_be_bytes());
                }
            }
        });
        // Should it be lost, the next acknowledgement or the timeout tells it again.
        self.forward_told = Some(now);
        self.arm(now);
    }

    /// Whether there is data that may go now.
    fn can_send(&mut self, now: Instant) -> bool {
        let window = self.retransmission.flight() < self.congestion.window();
        self.probe_due
            || (window && self.retransmission.next_lost(now).is_some())
            || (window && !self.outbound.is_empty() && self.peer_has_room())
    }

    /// RFC 9260 §6.1 A: one packet may always be on its way, to ask a peer without room.
    fn peer_has_room(&self) -> bool {
        let outstanding = self.retransmission.outstanding();
        let next = self.outbound.unsent().min(self.config.max_packet_size - COMMON_HEADER);
        self.retransmission.has_room() && (outstanding == 0 || outstanding + next <= self.peer_window)
    }

    fn write_data(&mut self, now: Instant, writer: &mut PacketWriter<'_>) {
        let probing = std::mem::take(&mut self.probe_due);
        let empty = writer.is_empty();
        let mut wrote = false;
        while self.retransmission.flight() < self.congestion.window() {
            let Some(tsn) = self.retransmission.next_lost(now) else { break };
            if !self.write_again(now, tsn, writer, false, empty && !wrote) {
                break;
            }
            wrote = true;
        }
        let mut probe = probing && !wrote;
        while (probe || self.retransmission.flight() < self.congestion.window()) && self.peer_has_room() {
            match self.outbound.produce(now, writer.remaining()) {
                Some(Produced::Fragment(fragment)) => {
                    self.write_new(now, fragment, writer, probe);
                    (wrote, probe) = (true, false);
                }
                Some(Produced::Expired { message, rest }) => {
                    self.retransmission.abandon_message(message);
                    self.retransmission.push_abandoned(now, rest);
                }
                None => break,
            }
        }
        if probe && let Some(tsn) = self.retransmission.last_in_flight() {
            // RFC 8985 §7.3: with nothing new to send, the last piece goes again, so that the peer tells what it has.
            if self.write_again(now, tsn, writer, true, empty) {
                self.retransmission.begin_probe(tsn);
                wrote = true;
            }
        }
        if wrote {
            self.arm(now);
        }
        self.settle(now);
    }

    fn write_new(&mut self, now: Instant, fragment: Fragment, writer: &mut PacketWriter<'_>, probe: bool) {
        self.stats.bytes_sent += fragment.data.len() as u64;
        let tsn = self.retransmission.next_tsn();
        let after = self.retransmission.flight() + fragment.data.len() + DATA_HEADER;
        // RFC 7053 §4: who cannot go on asks for the acknowledgement at once.
        let stuck = !self.outbound.is_empty()
            && (after >= self.congestion.window() || after + self.config.max_packet_size > self.peer_window);
        self.write_fragment(tsn, &fragment, writer, probe || stuck);
        self.retransmission.push(now, fragment);
    }

    /// Writes a piece again. Returns `false` if it does not fit.
    fn write_again(
        &mut self,
        now: Instant,
        tsn: u64,
        writer: &mut PacketWriter<'_>,
        immediate: bool,
        first: bool,
    ) -> bool {
        let Some(fragment) = self.retransmission.fragment(tsn) else { return false };
        let header = if self.extensions.interleaving { DATA_HEADER + 4 } else { DATA_HEADER };
        if !first && fragment.data.len() + header > writer.remaining() {
            return false;
        }
        self.write_fragment(tsn, fragment, writer, immediate);
        self.retransmission.sent_again(now, tsn);
        true
    }

    #[inline]
    fn write_fragment(&self, tsn: u64, fragment: &Fragment, writer: &mut PacketWriter<'_>, immediate: bool) {
        let flags = fragment.flags | if immediate { FLAG_IMMEDIATE } else { 0 };
        let tsn = (tsn as u32).to_be_bytes();
        if self.extensions.interleaving {
            writer.chunk(kind::I_DATA, flags, |body| {
                let mut head = [0; 16];
                head[..4].copy_from_slice(&tsn);
                head[4..6].copy_from_slice(&fragment.stream.to_be_bytes());
                head[8..12].copy_from_slice(&fragment.number.to_be_bytes());
                let last = if flags & FLAG_BEGIN != 0 { fragment.ppid } else { fragment.fragment };
                head[12..].copy_from_slice(&last.to_be_bytes());
                body.extend_from_slice(&head);
                body.extend_from_slice(&fragment.data);
            });
        } else {
            writer.chunk(kind::DATA, flags, |body| {
                let mut head = [0; 12];
                head[..4].copy_from_slice(&tsn);
                head[4..6].copy_from_slice(&fragment.stream.to_be_bytes());
                head[6..8].copy_from_slice(&(fragment.number as u16).to_be_bytes());
                head[8..].copy_from_slice(&fragment.ppid.to_be_bytes());
                body.extend_from_slice(&head);
                body.extend_from_slice(&fragment.data);
            });
        }
    }
}
