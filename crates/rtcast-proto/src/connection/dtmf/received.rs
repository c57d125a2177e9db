//! Tones that a peer sends.

use std::time::Duration;

use super::tone::{EventPayload, LONGEST_SEGMENT, tone_of};
use crate::rtp::RtpPacket;
use crate::types::Ssrc;

/// Puts the packets of tones together.
#[derive(Debug, Default)]
pub(in crate::connection) struct ReceivedTones {
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    ssrc: Ssrc,
    event: u8,
    /// The timestamp of its segment.
    timestamp: u32,
    /// Ticks of its segments before that, and of this one.
    before: u64,
    ticks: u64,
    clock_rate: u32,
    told: bool,
}

impl Current {
    /// The tone, once.
    fn tell(&mut self) -> Option<(char, Duration)> {
        if std::mem::replace(&mut self.told, true) {
            return None;
        }
        let ticks = self.before + self.ticks;
        Some((tone_of(self.event)?, Duration::from_micros(ticks * 1_000_000 / u64::from(self.clock_rate.max(1)))))
    }
}

impl ReceivedTones {
    /// Takes a packet and gives the tones that have ended, and how long each lasted: this one, if the packet says so, and
    /// one before it whose end was lost.
    pub(in crate::connection) fn handle_packet(
        &mut self,
        packet: &RtpPacket<'_>,
        clock_rate: u32,
    ) -> impl Iterator<Item = (char, Duration)> + use<> {
        let (mut lost, mut ended) = (None, None);
        if let Some(payload) = EventPayload::parse(packet.payload)
            && self.take(packet, payload, clock_rate, &mut lost)
            && payload.end
        {
            ended = self.current.as_mut().and_then(Current::tell);
        }
        lost.into_iter().chain(ended)
    }

    /// Returns whether the packet belongs to the current tone now.
    fn take(
        &mut self,
        packet: &RtpPacket<'_>,
        payload: EventPayload,
        clock_rate: u32,
        lost: &mut Option<(char, Duration)>,
    ) -> bool {
        let ticks = u64::from(payload.duration);
        if let Some(current) = self.current.as_mut().filter(|current| current.ssrc == packet.ssrc) {
            match current.timestamp.wrapping_sub(packet.timestamp).cast_signed() {
                // What is older came late.
                1.. => return false,
                0 => {
                    current.ticks = current.ticks.max(ticks);
                    return true;
                }
                // RFC 4733 §2.5.1.3: a segment that lasts as long as can be told is followed by another.
                _ if !current.told
                    && current.ticks == LONGEST_SEGMENT
                    && current.event == payload.event
                    && !packet.marker =>
                {
                    current.before += current.ticks;
                    current.ticks = ticks;
                    current.timestamp = packet.timestamp;
                    return true;
                }
                _ => *lost = current.tell(),
            }
        }
        let (ssrc, timestamp) = (packet.ssrc, packet.timestamp);
        self.current =
            Some(Current { ssrc, event: payload.event, timestamp, before: 0, ticks, clock_rate, told: false });
        true
    }
}
