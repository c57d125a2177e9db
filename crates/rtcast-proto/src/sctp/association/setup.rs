//! The handshake, restarts, and the end (RFC 9260 §5, §9).

use std::time::Instant;

use tracing::debug;

use super::super::chunk::{Chunk, Parameters, cause, kind, parameter};
use super::super::handshake::{Cookie, CookieError, Init};
use super::super::inbound::Inbound;
use super::super::outbound::Outbound;
use super::super::packet::{Header, put_parameter};
use super::super::reassembly::Reassembly;
use super::super::retransmission::RetransmissionQueue;
use super::super::sequence::{ORIGIN, extend};
use super::super::stream_reset::StreamReset;
use super::super::{SctpEvent, congestion};
use super::timers::Timers;
use super::{Association, MOST_STREAMS, Phase, written};

impl Association {
    pub(super) fn own_init(&self, tag: u32, tsn: u32) -> Init {
        Init {
            tag,
            receive_window: self.config.receive_buffer as u32,
            outbound_streams: MOST_STREAMS,
            inbound_streams: MOST_STREAMS,
            tsn,
            extensions: self.own_extensions(),
        }
    }

    /// RFC 9260 §5.1, §5.2.1 and §5.2.2: answers with a cookie and keeps nothing.
    pub(super) fn handle_init(&mut self, now: Instant, header: &Header, chunk: &Chunk<'_>) {
        if header.tag != 0 || matches!(self.phase, Phase::Ended | Phase::ShutdownAckSent) {
            return;
        }
        let Some((init, extras)) = Init::parse(chunk) else {
            debug!("an INIT is damaged");
            return;
        };
        let begun = !matches!(self.phase, Phase::New | Phase::CookieWait | Phase::CookieEchoed);
        let (tag, tsn, ties) = if begun {
            (self.random.u32().max(1), self.random.u32(), (self.local_tag, self.remote_tag))
        } else {
            (self.local_tag, self.local_tsn, (0, 0))
        };
        let cookie = Cookie {
            local_tag: tag,
            local_tsn: tsn,
            remote_tag: init.tag,
            remote_tsn: init.tsn,
            receive_window: init.receive_window,
            outbound_streams: init.outbound_streams,
            inbound_streams: init.inbound_streams,
            extensions: init.extensions,
            tie_local: ties.0,
            tie_remote: ties.1,
        };
        let cookie = cookie.seal(&self.cookie_key, self.elapsed(now));
        let own = self.own_init(tag, tsn);
        self.push_packet(init.tag, kind::INIT_ACK, 0, |body| {
            own.write(body);
            put_parameter(body, parameter::STATE_COOKIE, &cookie);
            if !extras.unrecognized.is_empty() {
                put_parameter(body, parameter::UNRECOGNIZED, &extras.unrecognized);
            }
        });
    }

    pub(super) fn handle_init_ack(&mut self, now: Instant, chunk: &Chunk<'_>) {
        if self.phase != Phase::CookieWait {
            return;
        }
        let Some((init, extras)) = Init::parse(chunk) else { return };
        let Some(cookie) = extras.cookie.filter(|cookie| cookie.len() + 64 <= self.config.max_packet_size) else {
            return self.violated("an INIT ACK without a cookie, or with one that fits into no packet");
        };
        self.adopt(&init);
        self.cookie = Some(cookie.to_vec());
        self.phase = Phase::CookieEchoed;
        (self.init_due, self.cookie_due) = (false, true);
        if !extras.unrecognized.is_empty() {
            self.push_control(written(kind::ERROR, 0, |body| {
                put_parameter(body, parameter::UNRECOGNIZED, &extras.unrecognized);
            }));
        }
        self.timers.start_handshake(now, self.congestion.timeout());
    }

    /// Takes over the peer's numbers.
    fn adopt(&mut self, init: &Init) {
        self.remote_tag = init.tag;
        self.extensions = self.own_extensions().and(init.extensions);
        self.outbound_streams = init.inbound_streams;
        self.inbound_streams = init.outbound_streams;
        self.peer_window = init.receive_window as usize;
        self.inbound = Inbound::new(extend(ORIGIN, init.tsn));
        self.reassembly = Reassembly::new(self.extensions.interleaving, self.config.max_receive_message_size);
        self.outbound.set_interleaving(self.extensions.interleaving);
        self.reset = StreamReset::new(self.local_tsn, init.tsn);
    }

    /// RFC 9260 §5.1.5 and §5.2.4.
    pub(super) fn handle_cookie_echo(&mut self, now: Instant, header: &Header, chunk: &Chunk<'_>) -> bool {
        let cookie = match Cookie::open(chunk.body, &self.cookie_key, self.elapsed(now)) {
            Ok(cookie) => cookie,
            Err(CookieError::Stale) => {
                self.push_packet(self.remote_tag, kind::ERROR, 0, |body| {
                    put_parameter(body, cause::STALE_COOKIE, &1_000_u32.to_be_bytes());
                });
                return false;
            }
            Err(CookieError::Forged) => return false,
        };
        if header.tag != cookie.local_tag {
            return false;
        }
        let init = Init {
            tag: cookie.remote_tag,
            receive_window: cookie.receive_window,
            outbound_streams: cookie.outbound_streams,
            inbound_streams: cookie.inbound_streams,
            tsn: cookie.remote_tsn,
            extensions: cookie.extensions,
        };
        match self.phase {
            Phase::New | Phase::CookieWait | Phase::CookieEchoed => {
                // RFC 9260 §5.2.4 C: of an earlier INIT of ours.
                if cookie.local_tag != self.local_tag {
                    return false;
                }
                if self.phase != Phase::CookieEchoed || self.remote_tag != init.tag {
                    self.adopt(&init);
                }
                self.established(now);
            }
            Phase::Ended => return false,
            // RFC 9260 §5.2.4 D: our COOKIE ACK was lost.
            _ if cookie.local_tag == self.local_tag && cookie.remote_tag == self.remote_tag => {}
            // RFC 9260 §5.2.4 A: the peer has begun anew.
            Phase::Established | Phase::ShutdownPending | Phase::ShutdownSent | Phase::ShutdownReceived
                if (cookie.tie_local, cookie.tie_remote) == (self.local_tag, self.remote_tag)
                    && cookie.local_tag != self.local_tag =>
            {
                self.restart(&cookie, &init);
            }
            _ => return false,
        }
        self.control.push_front(written(kind::COOKIE_ACK, 0, |_| {}));
        true
    }

    fn restart(&mut self, cookie: &Cookie, init: &Init) {
        (self.local_tag, self.local_tsn) = (cookie.local_tag, cookie.local_tsn);
        self.outbound = Outbound::default();
        self.retransmission = RetransmissionQueue::new(extend(ORIGIN, self.local_tsn));
        self.congestion = congestion::Congestion::new(self.config.max_packet_size);
        self.timers = Timers::default();
        self.control.clear();
        (self.forward_due, self.reset_due, self.probe_due, self.shutdown_due) = (false, false, false, false);
        self.adopt(init);
        self.phase = Phase::Established;
        self.events.push_back(SctpEvent::Restarted);
    }

    pub(super) fn handle_cookie_ack(&mut self, now: Instant) {
        if self.phase == Phase::CookieEchoed {
            self.established(now);
        }
    }

    fn established(&mut self, now: Instant) {
        self.phase = Phase::Established;
        self.cookie = None;
        (self.init_due, self.cookie_due) = (false, false);
        self.timers.stop_handshake();
        self.timers.alive(now);
        self.events.push_back(SctpEvent::Connected);
        self.advance_resets();
    }

    /// RFC 9260 §5.2.6: with an outdated cookie the handshake begins anew.
    pub(super) fn handle_error(&mut self, now: Instant, chunk: &Chunk<'_>) {
        let stale = Parameters(chunk.body).any(|(kind, _)| kind == cause::STALE_COOKIE);
        if stale && self.phase == Phase::CookieEchoed {
            self.phase = Phase::CookieWait;
            self.cookie = None;
            (self.init_due, self.cookie_due) = (true, false);
            self.timers.start_handshake(now, self.congestion.timeout());
        } else {
            debug!(cause = ?Parameters(chunk.body).next().map(|(kind, _)| kind), "the peer tells of an error");
        }
    }

    pub(super) fn handle_abort(&mut self, chunk: &Chunk<'_>) {
        let mut causes = Parameters(chunk.body);
        let reason = match causes.next() {
            Some((cause::USER_INITIATED, _)) => None,
            Some((kind, value)) => {
                let text = String::from_utf8_lossy(value.get(..value.len().min(200)).unwrap_or_default());
                Some(format!("the peer aborted the SCTP association with cause {kind}: {:?}", text.trim()))
            }
            None => Some("the peer aborted the SCTP association without a cause".to_owned()),
        };
        self.end(reason);
    }

    /// RFC 9260 §9.2.
    pub(super) fn handle_shutdown(&mut self, now: Instant) {
        match self.phase {
            Phase::Established | Phase::ShutdownPending => {
                self.phase = Phase::ShutdownReceived;
                self.advance_shutdown(now);
            }
            // Both ends at once.
            Phase::ShutdownSent => {
                self.phase = Phase::ShutdownAckSent;
                self.shutdown_due = true;
                self.timers.start_handshake(now, self.congestion.timeout());
            }
            Phase::ShutdownAckSent => self.shutdown_due = true,
            _ => {}
        }
    }

    pub(super) fn handle_shutdown_ack(&mut self) {
        if matches!(self.phase, Phase::ShutdownSent | Phase::ShutdownAckSent) {
            self.push_packet(self.remote_tag, kind::SHUTDOWN_COMPLETE, 0, |_| {});
            self.end(None);
        }
    }

    pub(super) fn handle_shutdown_complete(&mut self) {
        if self.phase == Phase::ShutdownAckSent {
            self.end(None);
        }
    }
}
