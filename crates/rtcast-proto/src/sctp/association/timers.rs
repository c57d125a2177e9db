//! Timers (RFC 9260 §6.3, RFC 8985 §7).

use std::time::{Duration, Instant};

use super::super::chunk::{kind, parameter};
use super::super::packet::put_parameter;
use super::{Association, LEAST_PROBE, Phase, written};

/// How long nothing has to happen before the path is asked whether it is there (RFC 9260 §8.3: HB.interval).
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Repetitions of SHUTDOWN before the end is taken for granted (RFC 9260 §16: Association.Max.Retrans).
const MOST_SHUTDOWNS: u32 = 10;

#[derive(Debug, Default)]
pub(super) struct Timers {
    /// T1 and T2: INIT, COOKIE ECHO, SHUTDOWN.
    handshake: Option<Instant>,
    attempts: u32,
    /// T3: data without an answer.
    retransmission: Option<Instant>,
    probe: Option<Instant>,
    /// One probe for each time that the peer is silent.
    probed: bool,
    pub(super) reordering: Option<Instant>,
    pub(super) reset: Option<Instant>,
    heartbeat: Option<Instant>,
}

impl Timers {
    pub(super) fn next(&self) -> Option<Instant> {
        let data = [self.retransmission, self.probe, self.reordering];
        let rest = [self.handshake, self.reset, self.heartbeat];
        data.into_iter().chain(rest).flatten().min()
    }

    pub(super) fn start_handshake(&mut self, now: Instant, after: Duration) {
        self.attempts = 0;
        self.handshake = Some(now + after);
    }

    pub(super) const fn stop_handshake(&mut self) {
        self.handshake = None;
    }

    pub(super) fn alive(&mut self, now: Instant) {
        self.heartbeat = Some(now + HEARTBEAT);
    }
}

fn due(timer: &mut Option<Instant>, now: Instant) -> bool {
    timer.take_if(|at| *at <= now).is_some()
}

impl Association {
    /// Data was sent: RFC 9260 §6.3.2 R1.
    pub(super) fn arm(&mut self, now: Instant) {
        if self.timers.retransmission.is_none() {
            self.timers.retransmission = Some(now + self.congestion.timeout());
        }
        // RFC 8985 §7.2: the probe follows the last sending.
        let recovering = self.retransmission.is_recovering();
        self.timers.probe = match self.congestion.smoothed_round_trip() {
            Some(smoothed) if !self.timers.probed && !recovering => {
                let after = (smoothed * 2).max(LEAST_PROBE);
                (after < self.congestion.timeout()).then(|| now + after)
            }
            _ => None,
        };
    }

    /// The peer acknowledged something: RFC 9260 §6.3.2 R2 and R3.
    pub(super) fn rearm(&mut self, now: Instant) {
        (self.timers.retransmission, self.timers.probe, self.timers.probed) = (None, None, false);
        if !self.retransmission.is_empty() {
            self.arm(now);
        }
    }

    pub(super) fn fire(&mut self, now: Instant) {
        self.inbound.handle_timeout(now);
        if due(&mut self.timers.handshake, now) {
            self.handshake_timeout(now);
        }
        if due(&mut self.timers.reordering, now) {
            self.detect_losses(now);
        }
        if due(&mut self.timers.retransmission, now) {
            self.retransmission_timeout(now);
        } else if due(&mut self.timers.probe, now) && self.carries_data() {
            self.timers.probed = true;
            self.probe_due = true;
        }
        if due(&mut self.timers.reset, now) && self.reset.is_outstanding() {
            self.reset_due = true;
        }
        if due(&mut self.timers.heartbeat, now) {
            if self.phase == Phase::Established && self.retransmission.is_empty() {
                let time = self.elapsed(now).to_be_bytes();
                self.push_control(written(kind::HEARTBEAT, 0, |body| {
                    put_parameter(body, parameter::HEARTBEAT_INFO, &time);
                }));
            }
            self.timers.alive(now);
        }
    }

    fn handshake_timeout(&mut self, now: Instant) {
        self.timers.attempts += 1;
        match self.phase {
            // Whether the peer is there at all is a matter of ICE, so this goes on as long as the connection.
            Phase::CookieWait => self.init_due = true,
            Phase::CookieEchoed => self.cookie_due = true,
            Phase::ShutdownSent | Phase::ShutdownAckSent if self.timers.attempts >= MOST_SHUTDOWNS => {
                return self.end(None);
            }
            Phase::ShutdownSent | Phase::ShutdownAckSent => self.shutdown_due = true,
            _ => return,
        }
        let doubled = self.congestion.timeout().saturating_mul(1 << self.timers.attempts.min(5));
        self.timers.handshake = Some(now + doubled.min(Duration::from_secs(10)));
    }

    /// RFC 9260 §6.3.3.
    fn retransmission_timeout(&mut self, now: Instant) {
        if self.retransmission.is_empty() {
            return;
        }
        if !self.carries_data() {
            // Data went with a COOKIE ECHO, which is repeated first.
            self.timers.retransmission = Some(now + self.congestion.timeout());
            return;
        }
        self.stats.timeouts += 1;
        self.congestion.timed_out();
        self.retransmission.handle_timeout(now, self.congestion.backoff() > 1);
        self.timers.retransmission = Some(now + self.congestion.timeout());
        self.timers.probe = None;
        self.timers.reordering = None;
        self.forward_due |= self.extensions.forward_tsn && self.retransmission.has_forward();
        self.settle(now);
    }

    pub(super) fn detect_losses(&mut self, now: Instant) {
        let (least, smoothed) = (self.congestion.least_round_trip(), self.congestion.smoothed_round_trip());
        let (begins, again) = self.retransmission.detect_losses(now, least, smoothed);
        if begins {
            self.congestion.lost();
        }
        self.timers.reordering = again;
        self.settle(now);
    }
}
