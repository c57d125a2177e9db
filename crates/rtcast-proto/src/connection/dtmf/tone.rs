//! The packets of one tone (RFC 4733 §2.5).

use std::time::{Duration, Instant};

use crate::connection::sender::RtpSender;
use crate::jsep::TelephoneEvents;

/// The tones in the order of their event codes (RFC 4733 §3.2).
const TONES: &[u8; 16] = b"0123456789*#ABCD";

/// Time between the packets of a tone (RFC 4733 §2.5.1.2).
const INTERVAL: Duration = Duration::from_millis(50);

/// What the first packet says of the duration, which must not be zero: the tone lasts at least twice as long.
const FIRST_DURATION: Duration = Duration::from_millis(20);

/// How often the end is told, and the time between (RFC 4733 §2.5.1.4).
const END_PACKETS: u8 = 3;
const END_INTERVAL: Duration = Duration::from_millis(10);

/// The level in dB below the loudest, as browsers have it (RFC 4733 §2.3.4).
const VOLUME: u8 = 10;

/// The longest duration that a packet can tell; a longer tone goes in segments (RFC 4733 §2.5.1.3).
pub(super) const LONGEST_SEGMENT: u64 = 0xffff;

/// The event code of a tone, `None` for what is none.
pub(super) fn event_of(tone: char) -> Option<u8> {
    TONES.iter().position(|known| char::from(*known) == tone).map(|at| at as u8)
}

/// The tone of an event code, `None` for events that are no tones of a dial pad.
pub(super) fn tone_of(event: u8) -> Option<char> {
    TONES.get(usize::from(event)).map(|tone| char::from(*tone))
}

/// What a telephone event's payload says (RFC 4733 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventPayload {
    pub(super) event: u8,
    pub(super) end: bool,
    /// In ticks of the events' clock.
    pub(super) duration: u16,
}

impl EventPayload {
    pub(super) fn to_bytes(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, u8::from(self.end) << 7 | VOLUME, high, low]
    }

    /// RFC 4733 §2.3: further events in the packet are not looked at.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let [event, flags, high, low] = *payload.first_chunk()?;
        Some(Self { event, end: flags & 0x80 != 0, duration: u16::from_be_bytes([high, low]) })
    }
}

/// A tone that is being sent.
#[derive(Debug)]
pub(super) struct Playing {
    event: u8,
    format: TelephoneEvents,
    began: Instant,
    duration: Duration,
    /// The timestamp of the segment, and the ticks of the segments before it.
    timestamp: u32,
    before: u64,
    /// Ticks of the timestamp to the second.
    timestamp_rate: u32,
    next_packet: Instant,
    packets: u32,
    ends: u8,
}

impl Playing {
    /// A tone that begins at `began`, at `timeline`: the RTP timestamp of that moment, and its ticks to the second.
    pub(super) const fn new(
        event: u8,
        began: Instant,
        duration: Duration,
        format: TelephoneEvents,
        timeline: (u32, u32),
    ) -> Self {
        let (timestamp, timestamp_rate) = timeline;
        let next_packet = began;
        Self { event, format, began, duration, timestamp, before: 0, timestamp_rate, next_packet, packets: 0, ends: 0 }
    }

    pub(super) const fn next_packet(&self) -> Instant {
        self.next_packet
    }

    /// Queues the packet that is due. Returns whether others follow.
    pub(super) fn send_next(&mut self, sender: &mut RtpSender) -> bool {
        let since = self.next_packet.saturating_duration_since(self.began);
        let end = since >= self.duration;
        let lasted = if end { self.duration } else { since.max(FIRST_DURATION) };
        let mut ticks = self.ticks(lasted) - self.before;
        while ticks > LONGEST_SEGMENT {
            self.queue(sender, false, LONGEST_SEGMENT);
            self.before += LONGEST_SEGMENT;
            ticks -= LONGEST_SEGMENT;
            let step = LONGEST_SEGMENT * u64::from(self.timestamp_rate) / u64::from(self.format.clock_rate);
            self.timestamp = self.timestamp.wrapping_add(step as u32);
        }
        self.queue(sender, end, ticks);
        if !end {
            self.next_packet = self.began + (since + INTERVAL).min(self.duration);
            return true;
        }
        self.ends += 1;
        self.next_packet += END_INTERVAL;
        self.ends < END_PACKETS
    }

    fn queue(&mut self, sender: &mut RtpSender, end: bool, ticks: u64) {
        // RFC 4733 §2.5.1.1: the marker stands at the beginning of the event.
        let marker = self.packets == 0;
        self.packets += 1;
        let payload = EventPayload { event: self.event, end, duration: ticks.min(LONGEST_SEGMENT) as u16 };
        sender.enqueue_event(self.began, self.format.payload_type, marker, self.timestamp, payload.to_bytes());
    }

    fn ticks(&self, duration: Duration) -> u64 {
        (duration.as_micros() * u128::from(self.format.clock_rate) / 1_000_000) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tone_has_its_code() {
        for (tone, event) in [('0', 0), ('9', 9), ('*', 10), ('#', 11), ('A', 12), ('D', 15)] {
            assert_eq!((event_of(tone), tone_of(event)), (Some(event), Some(tone)));
        }
        assert_eq!((event_of('E'), event_of(','), tone_of(16)), (None, None, None));
    }

    #[test]
    fn a_payload_is_as_the_rfc_draws_it() {
        let payload = EventPayload { event: 11, end: true, duration: 0x1234 };
        assert_eq!(payload.to_bytes(), [11, 0x8a, 0x12, 0x34]);
        assert_eq!(EventPayload::parse(&[11, 0x8a, 0x12, 0x34, 0]), Some(payload));
        assert_eq!(EventPayload::parse(&[11, 0x8a, 0x12]), None);
    }
}
