//! Messages that wait to be sent, and whose turn it is (RFC 9260 §6.9, RFC 8260 §3).

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::OutgoingMessage;
use super::chunk::{DATA_HEADER, FLAG_BEGIN, FLAG_END, FLAG_UNORDERED, I_DATA_HEADER};
use super::retransmission::Fragment;

/// A message is not begun, nor gone on with, in less room than this.
const LEAST_FRAGMENT: usize = 128;

#[derive(Debug)]
struct Message {
    id: u64,
    data: Bytes,
    offset: usize,
    ppid: u32,
    unordered: bool,
    number: u32,
    fragment: u32,
    max_retransmits: Option<u16>,
    expires: Option<Instant>,
}

#[derive(Debug, Default)]
struct Stream {
    queue: VecDeque<Message>,
    next_ordered: u32,
    next_unordered: u32,
    /// Bytes that are neither acknowledged nor given up.
    unsettled: usize,
    active: bool,
    ending: bool,
}

/// What comes of asking for the next piece.
#[derive(Debug)]
pub(super) enum Produced {
    /// A piece to send.
    Fragment(Fragment),
    /// A message of which a part was sent is worth no more sending.
    Expired { message: u64, rest: Fragment },
}

#[derive(Debug, Default)]
pub(super) struct Outbound {
    streams: HashMap<u16, Stream>,
    /// Streams with messages, in the order of their turns.
    ready: VecDeque<u16>,
    /// Whether the message of the first stream in `ready` is begun and has to be finished, as nothing may come between.
    begun: bool,
    interleaving: bool,
    next_message: u64,
    buffered: usize,
    unsent: usize,
    /// Streams that are to end and have nothing left.
    ended: Vec<u16>,
    settled: Vec<(u16, usize)>,
}

impl Outbound {
    pub(super) const fn set_interleaving(&mut self, interleaving: bool) {
        self.interleaving = interleaving;
    }

    /// Bytes that are neither acknowledged nor given up.
    pub(super) const fn buffered(&self) -> usize {
        self.buffered
    }

    /// Whether anything waits for its first sending.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    pub(super) const fn unsent(&self) -> usize {
        self.unsent
    }

    pub(super) fn push(&mut self, now: Instant, message: OutgoingMessage) {
        let id = self.next_message;
        self.next_message += 1;
        let OutgoingMessage { stream, ppid, data, unordered, reliability } = message;
        self.buffered += data.len();
        self.unsent += data.len();
        let entry = self.streams.entry(stream.0).or_default();
        entry.unsettled += data.len();
        entry.queue.push_back(Message {
            id,
            data,
            offset: 0,
            ppid: ppid.0,
            unordered,
            number: 0,
            fragment: 0,
            max_retransmits: reliability.max_retransmits,
            expires: reliability.max_packet_life_time.map(|life| now + life),
        });
        if !entry.active {
            entry.active = true;
            self.ready.push_back(stream.0);
        }
    }

    /// The next piece that fits into `room` bytes with its chunk's header.
    pub(super) fn produce(&mut self, now: Instant, room: usize) -> Option<Produced> {
        let header = if self.interleaving { I_DATA_HEADER } else { DATA_HEADER };
        let room = room.checked_sub(header)?;
        loop {
            let id = *self.ready.front()?;
            let Some(stream) = self.streams.get_mut(&id) else {
                self.ready.pop_front();
                continue;
            };
            let Some(message) = stream.queue.front_mut() else {
                stream.active = false;
                self.ready.pop_front();
                continue;
            };
            if message.expires.is_some_and(|at| at <= now) {
                let rest = message.data.len() - message.offset;
                self.unsent -= rest;
                self.settled.push((id, rest));
                let begun = message.offset > 0;
                let (message, rest) = (message.id, placeholder(id, message));
                stream.queue.pop_front();
                if begun {
                    self.begun = false;
                    return Some(Produced::Expired { message, rest });
                }
                continue;
            }
            let left = message.data.len() - message.offset;
            if left > room && room < LEAST_FRAGMENT {
                return None;
            }
            let take = left.min(room);
            let begin = message.offset == 0;
            if begin {
                let counter = if message.unordered { &mut stream.next_unordered } else { &mut stream.next_ordered };
                // RFC 9260 §3.3.1: the stream sequence number of an unordered message counts for nothing.
                message.number = if message.unordered && !self.interleaving { 0 } else { *counter };
                *counter = counter.wrapping_add(1);
            }
            let end = take == left;
            let flags = (if begin { FLAG_BEGIN } else { 0 })
                | (if end { FLAG_END } else { 0 })
                | (if message.unordered { FLAG_UNORDERED } else { 0 });
            let fragment = Fragment {
                stream: id,
                number: message.number,
                fragment: message.fragment,
                ppid: message.ppid,
                flags,
                data: message.data.slice(message.offset..message.offset + take),
                message: message.id,
                max_retransmits: message.max_retransmits,
                expires: message.expires,
            };
            message.offset += take;
            message.fragment += 1;
            self.unsent -= take;
            if end {
                stream.queue.pop_front();
            }
            self.begun = !end && !self.interleaving;
            if !self.begun {
                // RFC 8260 §3.2: the streams take turns.
                self.ready.pop_front();
                if stream.queue.is_empty() {
                    stream.active = false;
                } else {
                    self.ready.push_back(id);
                }
            }
            return Some(Produced::Fragment(fragment));
        }
    }

    /// Drops what is left of a message that was begun and given up. Returns a piece that stands for it, if there is any.
    pub(super) fn abandon(&mut self, id: u16, message: u64) -> Option<Fragment> {
        let stream = self.streams.get_mut(&id)?;
        let front = stream.queue.front().filter(|front| front.id == message && front.offset > 0)?;
        let rest = front.data.len() - front.offset;
        self.unsent -= rest;
        self.settled.push((id, rest));
        let fragment = placeholder(id, front);
        stream.queue.pop_front();
        if self.ready.front() == Some(&id) {
            self.begun = false;
        }
        Some(fragment)
    }

    /// Counts bytes as acknowledged or given up.
    pub(super) fn settle(&mut self, id: u16, bytes: usize) {
        self.buffered -= bytes;
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.unsettled -= bytes;
        if stream.ending && stream.unsettled == 0 {
            self.ended.push(id);
        }
    }

    /// Bytes that were given up before their first sending, since the last call.
    pub(super) fn take_settled(&mut self) -> Vec<(u16, usize)> {
        std::mem::take(&mut self.settled)
    }

    /// Ends a stream once it has nothing left.
    pub(super) fn end(&mut self, id: u16) {
        let stream = self.streams.entry(id).or_default();
        if !stream.ending {
            stream.ending = true;
            if stream.unsettled == 0 {
                self.ended.push(id);
            }
        }
    }

    /// Up to `most` streams that are to end and have nothing left.
    pub(super) fn take_ended(&mut self, most: usize) -> Vec<u16> {
        let from = self.ended.len().saturating_sub(most);
        self.ended.split_off(from)
    }

    pub(super) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// A stream that was to end begins anew. Returns whether it was to end, and has not begun anew already.
    pub(super) fn reset(&mut self, id: u16) -> bool {
        let ends = self.streams.get(&id).is_some_and(|stream| stream.ending && stream.unsettled == 0);
        if ends {
            self.streams.remove(&id);
        }
        ends
    }
}

fn placeholder(stream: u16, message: &Message) -> Fragment {
    Fragment {
        stream,
        number: message.number,
        fragment: message.fragment,
        ppid: message.ppid,
        flags: FLAG_END | if message.unordered { FLAG_UNORDERED } else { 0 },
        data: Bytes::new(),
        message: message.id,
        max_retransmits: None,
        expires: None,
    }
}
