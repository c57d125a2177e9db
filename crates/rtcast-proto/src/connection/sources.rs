//! Who was heard lately: W3C's `RTCRtpSynchronizationSource` and `RTCRtpContributingSource`.

use std::time::{Duration, Instant};

use super::Connection;
use crate::jsep::TransceiverId;
use crate::rtp::{RtpPacket, extensions};
use crate::types::Ssrc;

/// How long a source is remembered (W3C webrtc-pc §5.3).
const MEMORY: Duration = Duration::from_secs(10);

/// Contributing sources that one receiver remembers; those heard longest ago give way.
const MAX_CONTRIBUTORS: usize = 32;

/// A stream that was received lately: W3C's `RTCRtpSynchronizationSource`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SynchronizationSource {
    /// The stream.
    pub source: Ssrc,
    /// When its last packet came.
    pub timestamp: Instant,
    /// The RTP timestamp of that packet.
    pub rtp_timestamp: u32,
    /// How loud it was, 0 to 1, if the sender says so (RFC 6464).
    pub audio_level: Option<f64>,
}

/// Somebody whose media a mixer put into a stream: W3C's `RTCRtpContributingSource`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContributingSource {
    /// Who.
    pub source: Ssrc,
    /// When the last packet with a contribution came.
    pub timestamp: Instant,
    /// The RTP timestamp of that packet.
    pub rtp_timestamp: u32,
}

/// What a receiver remembers of its sources.
#[derive(Debug, Default)]
pub(super) struct Sources {
    streams: Vec<SynchronizationSource>,
    contributors: Vec<ContributingSource>,
}

impl Sources {
    /// Notes an authentic packet of a stream; `level_extension` is the number of the extension for its loudness.
    pub(super) fn note(&mut self, now: Instant, packet: &RtpPacket<'_>, level_extension: Option<u8>) {
        let audio_level = level_extension.and_then(|id| audio_level(packet, id));
        let heard =
            SynchronizationSource { source: packet.ssrc, timestamp: now, rtp_timestamp: packet.timestamp, audio_level };
        match self.streams.iter_mut().find(|known| known.source == packet.ssrc) {
            Some(known) => *known = heard,
            None => {
                self.streams.retain(|known| now.saturating_duration_since(known.timestamp) < MEMORY);
                self.streams.truncate(MAX_CONTRIBUTORS - 1);
                self.streams.push(heard);
            }
        }
        for source in packet.contributors() {
            let heard = ContributingSource { source, timestamp: now, rtp_timestamp: packet.timestamp };
            match self.contributors.iter_mut().find(|known| known.source == source) {
                Some(known) => *known = heard,
                None => {
                    if self.contributors.len() >= MAX_CONTRIBUTORS {
                        let oldest = self.contributors.iter().enumerate().min_by_key(|(_, known)| known.timestamp);
                        if let Some((at, _)) = oldest {
                            self.contributors.swap_remove(at);
                        }
                    }
                    self.contributors.push(heard);
                }
            }
        }
    }
}

impl Connection {
    /// W3C's `getSynchronizationSources` of a receiver, the latest first.
    pub fn synchronization_sources(&self, now: Instant, transceiver: TransceiverId) -> Vec<SynchronizationSource> {
        let receiver = self.receivers.iter().find(|receiver| receiver.transceiver() == transceiver);
        let streams = receiver.iter().flat_map(|receiver| &receiver.sources().streams);
        let recent = streams.filter(|known| now.saturating_duration_since(known.timestamp) < MEMORY);
        let mut recent: Vec<_> = recent.copied().collect();
        recent.sort_by_key(|known| std::cmp::Reverse(known.timestamp));
        recent
    }

    /// W3C's `getContributingSources` of a receiver, the latest first.
    pub fn contributing_sources(&self, now: Instant, transceiver: TransceiverId) -> Vec<ContributingSource> {
        let receiver = self.receivers.iter().find(|receiver| receiver.transceiver() == transceiver);
        let contributors = receiver.iter().flat_map(|receiver| &receiver.sources().contributors);
        let recent = contributors.filter(|known| now.saturating_duration_since(known.timestamp) < MEMORY);
        let mut recent: Vec<_> = recent.copied().collect();
        recent.sort_by_key(|known| std::cmp::Reverse(known.timestamp));
        recent
    }
}

/// RFC 6464 §3: seven bits of -dBov; W3C webrtc-pc §5.3 makes 0 to 1 of it, 127 being silence.
fn audio_level(packet: &RtpPacket<'_>, id: u8) -> Option<f64> {
    let (profile, block) = packet.extension?;
    let (_, value) = extensions(profile, block).find(|(found, _)| *found == id)?;
    match value.first()? & 0x7f {
        127 => Some(0.0),
        level => Some(10f64.powf(-f64::from(level) / 20.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn loudness_and_contributors_are_read_from_the_packet_and_forgotten_in_number() {
        let now = Instant::now();
        // Two contributors, an extension block of one-byte form with number 1: level -20 dBov.
        let mut bytes = vec![0x92, 111, 0, 1, 0, 0, 0, 9, 0, 0, 0, 7, 0, 0, 0, 21, 0, 0, 0, 22];
        bytes.extend([0xbe, 0xde, 0, 1, 0x10, 20, 0, 0, 1, 2, 3]);
        let mut sources = Sources::default();
        sources.note(now, &RtpPacket::parse(&bytes).unwrap(), Some(1));
        let [stream] = sources.streams[..] else { panic!("one stream") };
        assert_eq!((stream.source, stream.rtp_timestamp), (Ssrc(7), 9));
        assert!((stream.audio_level.unwrap() - 0.1).abs() < 1e-9);
        assert_eq!(sources.contributors.iter().map(|known| known.source.0).collect::<Vec<_>>(), [21, 22]);
        for number in 0..1_000u32 {
            bytes[12..16].copy_from_slice(&number.to_be_bytes());
            bytes[8..12].copy_from_slice(&number.to_be_bytes());
            sources.note(now + Duration::from_millis(1), &RtpPacket::parse(&bytes).unwrap(), None);
        }
        assert!(sources.contributors.len() <= MAX_CONTRIBUTORS && sources.streams.len() <= MAX_CONTRIBUTORS);
    }
}
