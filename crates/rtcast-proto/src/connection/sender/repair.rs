//! What a sender does about lost packets: which of them go again, and how.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::departure::Departure;
use super::super::extensions::PacketExtensions;
use super::super::history::{History, Sent};
use super::super::retransmission::Retransmissions;
use super::{QueuedFrame, RtpSender, SendEncoding, Stopped, color_space, held_back};
use crate::rtp::{FIXED_HEADER_LENGTH, write_header};
use crate::types::{MediaKind, SequenceNumber};

/// What may be sent again in a second at least: a few packets, however little a stream takes.
const LEAST_ALLOWANCE: u64 = 8 * 1_024;

/// Beyond this share of lost packets the path is taken to be too narrow for the stream.
const CONGESTED: f64 = 0.25;

/// The longest payload that a retransmission can carry.
const MAX_RETRANSMITTED_PAYLOAD: usize = 1_498;

/// The round-trip time by all that measures it, if anything does.
pub(super) struct RoundTrips {
    pub(super) shortest: Option<Duration>,
    pub(super) latest: Option<Duration>,
}

impl RtpSender {
    /// Notes a request for lost packets; `measured` is the round-trip time by ICE. Returns whether some of them are sent
    /// again.
    pub(in crate::connection) fn handle_nack(
        &mut self,
        now: Instant,
        measured: Option<Duration>,
        lost: &[u16],
    ) -> bool {
        self.stats.nack_count += 1;
        if self.encoding.as_ref().is_none_or(|encoding| !encoding.nack) {
            return false;
        }
        let round_trips = self.round_trips(measured);
        let next = self.next_sequence;
        let indices = || {
            let extended = lost.iter().map(move |number| SequenceNumber(*number).extend(next));
            extended.filter(move |index| *index < next)
        };
        if let Some(catch_up) = &mut self.catch_up {
            let new = indices().filter(|index| *index >= self.losses_counted).count();
            catch_up.handle_loss(now, new, round_trips.latest);
        }
        self.losses_counted = indices().max().map_or(0, |index| index + 1).max(self.losses_counted);
        let allowance = self.allowance(now);
        let mut retransmissions = self.retransmissions.take().unwrap_or_else(|| Box::new(Retransmissions::new(now)));
        // What has not been sent for half a round trip cannot have been missed yet; less of it may be jitter.
        let shortest = round_trips.shortest.unwrap_or_default();
        let packets = indices().filter_map(|index| {
            let (sent, packet) = find_sent(&self.queue, &self.history, index)?;
            let missed = now.saturating_duration_since(sent.sent_at) >= shortest / 2;
            let length = sent.frame.payload(packet)?.len();
            (missed && self.history.is_of_use(now, sent)).then_some((index, length))
        });
        let granted = retransmissions.handle_request(now, round_trips.shortest, allowance, packets);
        self.retransmissions = Some(retransmissions);
        granted > 0
    }

    /// Both measurements of the round-trip time: a queue on the way makes the one longer that was made when it was full.
    pub(super) fn round_trips(&self, measured: Option<Duration>) -> RoundTrips {
        let both = [measured, self.stats.round_trip_time];
        let known = || both.into_iter().flatten();
        RoundTrips { shortest: known().min(), latest: known().max() }
    }

    /// The bytes that may be sent again in a second: a quarter of what the stream takes; of what gets through of it, where
    /// the path is too narrow for it.
    fn allowance(&self, now: Instant) -> usize {
        let rate = self.history.rate(now) as f64;
        let lost = self.stats.fraction_lost;
        let through = if lost > CONGESTED { 1.0 - lost } else { 1.0 };
        ((rate * through / 4.0) as u64).max(LEAST_ALLOWANCE) as usize
    }

    pub(super) fn retransmit(&mut self, encoding: &SendEncoding, departure: &mut Departure<'_>) -> Stopped {
        let now = departure.now;
        let overhead = departure.srtp.profile().rtp_overhead();
        while let Some(index) = self.retransmissions.as_ref().and_then(|waiting| waiting.front()) {
            if let Some((sent, packet)) = find_sent(&self.queue, &self.history, index)
                && self.history.is_of_use(now, sent)
                && let Some(payload) = sent.frame.payload(packet)
                && payload.len() <= MAX_RETRANSMITTED_PAYLOAD
            {
                let marker = packet + 1 == sent.frame.len() && encoding.codec.kind() == MediaKind::Video;
                let told = PacketExtensions {
                    mid: sent.with_mid,
                    stamp: self.extensions.stamped().then(|| departure.stamp()),
                    color_space: color_space(sent.frame, packet),
                    dependency_descriptor: None,
                };
                let block = self.extensions.block(&told, payload.len());
                let extension = block.bytes();
                let header_length = FIXED_HEADER_LENGTH + extension.len();
                // RFC 4588 §4: a stream of its own whose payload begins with the original sequence number. Without it
                // the very same packet goes again, header and all, so that no key stream is used for two texts.
                let (payload_type, ssrc, sequence, prefix) = match encoding.rtx_payload_type {
                    Some(payload_type) => (payload_type, self.rtx_ssrc, self.rtx_sequence, 2),
                    None => (encoding.payload_type, self.ssrc, index, 0),
                };
                let mut body = [0; MAX_RETRANSMITTED_PAYLOAD + 2];
                body[..2].copy_from_slice(&(index as u16).to_be_bytes());
                body[prefix..prefix + payload.len()].copy_from_slice(payload);
                let body = &body[..prefix + payload.len()];
                let length = header_length + body.len() + overhead;
                if let Some(stopped) = held_back(departure, &mut self.catch_up, length) {
                    return stopped;
                }
                let Some(space) = departure.batch.reserve(length) else { return Stopped::BatchFull };
                let number = SequenceNumber(sequence as u16);
                write_header(space, marker, payload_type, number, sent.timestamp, ssrc, extension);
                if departure.srtp.protect_rtp(ssrc, sequence, header_length, body, space).is_ok() {
                    departure.commit(ssrc, length, self.extensions.numbered());
                    if let Some(catch_up) = &mut self.catch_up {
                        catch_up.consume(length);
                    }
                    self.stats.packets_sent += 1;
                    self.stats.bytes_sent += body.len() as u64;
                    self.stats.header_bytes_sent += header_length as u64;
                    self.stats.retransmitted_packets_sent += 1;
                    self.stats.retransmitted_bytes_sent += body.len() as u64;
                }
                if prefix != 0 {
                    self.rtx_sequence += 1;
                }
            }
            if let Some(retransmissions) = &mut self.retransmissions {
                retransmissions.pop(now);
            }
        }
        Stopped::Done
    }
}

/// The frame of a packet that was sent, be it that more of its packets wait, and which of its packets that is.
fn find_sent<'a>(queue: &'a VecDeque<QueuedFrame>, history: &'a History, index: u64) -> Option<(Sent<'a>, usize)> {
    if let Some(queued) = queue.front()
        && let Some(packet) = index.checked_sub(queued.first_sequence)
        && packet < queued.next as u64
        && queued.event.is_none()
    {
        return queued.view().map(|sent| (sent, packet as usize));
    }
    history.find(index)
}
