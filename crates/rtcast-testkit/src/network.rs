//! A network with delay, loss, reordering and a rate, driven by the pair's clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Repeatable randomness: xorshift with a multiplier (Marsaglia; Vigna).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number from 0 to 1, 1 excluded.
    pub fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// One direction of the network.
#[derive(Debug, Clone)]
pub struct Link {
    /// The time that every datagram takes.
    pub delay: Duration,
    /// The most that a datagram takes on top of it, drawn for each, so that datagrams overtake each other.
    pub jitter: Duration,
    /// The share of datagrams that are lost, 0 to 1.
    pub loss: f64,
    /// The share of datagrams that come twice, 0 to 1.
    pub duplication: f64,
    /// What its narrow place lets through; `None` if it has none.
    pub bottleneck: Option<Bottleneck>,
}

/// The narrow place of a link: datagrams pass it one after the other, and those that come when its queue is full are lost.
#[derive(Debug, Clone, Copy)]
pub struct Bottleneck {
    /// Bits of IPv4 packets a second.
    pub rate: u64,
    /// How much the queue holds, as the time that it takes to pass.
    pub queue: Duration,
}

/// What the headers of IPv4 and UDP add to a datagram, in bytes.
const HEADERS: u64 = 28;

impl Default for Link {
    /// Nothing is lost and nothing takes time.
    fn default() -> Self {
        Self { delay: Duration::ZERO, jitter: Duration::ZERO, loss: 0.0, duplication: 0.0, bottleneck: None }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    arrival: Instant,
    order: u64,
    source: SocketAddr,
    destination: SocketAddr,
    contents: Vec<u8>,
}

/// Datagrams on their way in one direction.
#[derive(Debug)]
pub struct Network {
    link: Link,
    random: Random,
    flights: BinaryHeap<Reverse<Flight>>,
    order: u64,
    /// Datagrams handed in.
    pub sent: u64,
    /// Datagrams lost on the way.
    pub lost: u64,
    /// The bytes of the datagrams handed in.
    pub bytes: u64,
    /// When the narrow place has let through all that came to it.
    busy_until: Option<Instant>,
    /// Nothing passes from or to these addresses.
    pub(crate) blocked: Vec<SocketAddr>,
}

impl Network {
    /// An empty direction with that link.
    pub const fn new(link: Link, seed: u64) -> Self {
        Self {
            link,
            random: Random::new(seed),
            flights: BinaryHeap::new(),
            order: 0,
            sent: 0,
            lost: 0,
            bytes: 0,
            busy_until: None,
            blocked: Vec::new(),
        }
    }

    /// Changes the link for datagrams sent from now on.
    pub fn set_link(&mut self, link: Link) {
        self.link = link;
    }

    /// Hands in a datagram.
    pub fn send(&mut self, now: Instant, source: SocketAddr, destination: SocketAddr, contents: &[u8]) {
        self.sent += 1;
        self.bytes += contents.len() as u64;
        let blocked = self.blocked.iter().any(|address| [source, destination].contains(address));
        if self.random.fraction() < self.link.loss || blocked {
            self.lost += 1;
            return;
        }
        let Some(through) = self.pass(now, contents.len() as u64) else {
            self.lost += 1;
            return;
        };
        let copies = 1 + usize::from(self.random.fraction() < self.link.duplication);
        for _ in 0..copies {
            let arrival = through + self.link.delay + self.link.jitter.mul_f64(self.random.fraction());
            self.order += 1;
            let flight = Flight { arrival, order: self.order, source, destination, contents: contents.to_vec() };
            self.flights.push(Reverse(flight));
        }
    }

    /// When a datagram is through the narrow place; `None` if there is no room for it in the queue.
    fn pass(&mut self, now: Instant, length: u64) -> Option<Instant> {
        let Some(Bottleneck { rate, queue }) = self.link.bottleneck else { return Some(now) };
        let begins = self.busy_until.map_or(now, |until| until.max(now));
        if begins - now > queue {
            return None;
        }
        let through = begins + Duration::from_nanos((length + HEADERS) * 8 * 1_000_000_000 / rate.max(1));
        self.busy_until = Some(through);
        Some(through)
    }

    /// When the next datagram arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.flights.peek().map(|Reverse(flight)| flight.arrival)
    }

    /// A datagram that has arrived by now: from, to, contents.
    pub fn receive(&mut self, now: Instant) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        if self.next_arrival()? > now {
            return None;
        }
        self.flights.pop().map(|Reverse(flight)| (flight.source, flight.destination, flight.contents))
    }
}
