//! Two connections, a network between them, and their clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtcast_proto::connection::{
    Attention, Connection, ConnectionConfig, ConnectionEvent, Datagram, PeerConnectionState, TransmitBatch, WallClock,
};
use rtcast_proto::data_channel::{DataChannelEvent, DataChannelId, DataChannelMessage};
use rtcast_proto::dtls::{Certificate, DtlsVersion};
use rtcast_proto::jsep::TransceiverId;
use rtcast_proto::payload::Packetizer;
use rtcast_proto::rtp::MAX_PAYLOAD;
use rtcast_proto::{Frame, JsepConfig, MediaKind, ReceivedFrame, RtpCodec};

use crate::network::{Link, Network};

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first.
    Left,
    /// The second.
    Right,
}

/// A connection with what the tests keep of it.
#[derive(Debug)]
pub struct Peer {
    /// The connection.
    pub connection: Connection,
    /// Its address.
    pub address: SocketAddr,
    /// What it told, frames apart.
    pub events: Vec<ConnectionEvent>,
    /// The frames that it received.
    pub frames: Vec<Frame>,
    /// The messages that it received on data channels, which count as read.
    pub messages: Vec<(DataChannelId, DataChannelMessage)>,
    /// The transceiver that received each of them.
    pub frame_receivers: Vec<TransceiverId>,
    outgoing: Network,
    mapped: Option<SocketAddr>,
    /// Whether everything was taken from the connection that it had.
    settled: bool,
}

/// Two peers. Left is at 10.0.0.1:1000, right at 10.0.0.2:2000.
#[derive(Debug)]
pub struct Pair {
    /// The time.
    pub now: Instant,
    /// The first peer.
    pub left: Peer,
    /// The second peer.
    pub right: Peer,
    batch: TransmitBatch,
}

impl Pair {
    /// Two peers that speak DTLS 1.2, over links of that kind in both directions; the seed decides what is lost.
    pub fn new(link: &Link, seed: u64) -> Self {
        Self::with_dtls(link, seed, DtlsVersion::V1_2)
    }

    /// The same with another version of DTLS.
    ///
    /// # Panics
    /// If the system has no randomness for certificates.
    pub fn with_dtls(link: &Link, seed: u64, dtls_version: DtlsVersion) -> Self {
        Self::build(link, seed, dtls_version, &JsepConfig::default(), [None, None])
    }

    /// The same without RTX, so that lost packets come again in the stream itself.
    pub fn without_retransmission_stream(link: &Link, seed: u64) -> Self {
        let mut jsep = JsepConfig::default();
        jsep.codecs.iter_mut().for_each(|codec| codec.retransmission = false);
        Self::build(link, seed, DtlsVersion::V1_2, &jsep, [None, None])
    }

    /// The same with data channels.
    pub fn with_data_channels(link: &Link, seed: u64) -> Self {
        Self::with_data_channels_over(link, seed, DtlsVersion::V1_2)
    }

    /// The same with another version of DTLS.
    pub fn with_data_channels_over(link: &Link, seed: u64, dtls_version: DtlsVersion) -> Self {
        Self::build(link, seed, dtls_version, &JsepConfig::default().with_data_channels(), [None, None])
    }

    /// The same with data channels on the left side only.
    pub fn with_plain_right(link: &Link, seed: u64) -> Self {
        let left = Self::with_data_channels(link, seed).left;
        Self { left, ..Self::new(link, seed) }
    }

    /// Does something to a peer, and what follows from it.
    pub fn with<R>(&mut self, side: Side, work: impl FnOnce(&mut Connection, Instant) -> R) -> R {
        let now = self.now;
        let result = work(&mut self.peer(side).connection, now);
        self.step();
        result
    }

    /// Runs until it is so. Returns the time that it took, `None` if it took more than `limit`.
    pub fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Option<Duration> {
        let start = self.now;
        while !done(self) {
            if self.now - start > limit || !self.advance(start + limit + Duration::from_millis(1)) {
                return None;
            }
        }
        Some(self.now - start)
    }

    /// Two peers with data channels, of which the left one has this certificate.
    pub fn with_certificate(link: &Link, seed: u64, certificate: Certificate) -> Self {
        Self::build(
            link,
            seed,
            DtlsVersion::V1_2,
            &JsepConfig::default().with_data_channels(),
            [Some(certificate), None],
        )
    }

    /// Two peers with these certificates, a new one where there is none, that speak that version of DTLS.
    pub fn with_certificates(
        link: &Link,
        seed: u64,
        dtls_version: DtlsVersion,
        certificates: [Option<Certificate>; 2],
    ) -> Self {
        Self::build(link, seed, dtls_version, &JsepConfig::default(), certificates)
    }

    /// Two peers with these codecs and header extensions.
    pub fn with_config(link: &Link, seed: u64, jsep: &JsepConfig) -> Self {
        Self::build(link, seed, DtlsVersion::V1_2, jsep, [None, None])
    }

    fn build(
        link: &Link,
        seed: u64,
        dtls_version: DtlsVersion,
        jsep: &JsepConfig,
        certificates: [Option<Certificate>; 2],
    ) -> Self {
        let [left, right] = certificates;
        let now = Instant::now();
        let peer = |address: &str, number: u64, certificate: Option<Certificate>| {
            let address: SocketAddr = address.parse().expect("an address");
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&seed.to_be_bytes());
            bytes[8..16].copy_from_slice(&number.to_be_bytes());
            let mut connection = Connection::new(ConnectionConfig {
                certificate: certificate.unwrap_or_else(|| Certificate::generate().expect("the system has randomness")),
                dtls_version,
                jsep: Arc::new(jsep.clone()),
                username_prefix: String::new(),
                seed: bytes,
                clock: WallClock { instant: now, ntp_time: 0xe000_0000_0000_0000 },
            });
            connection.add_local_address(address);
            let outgoing = Network::new(link.clone(), seed ^ number);
            Peer {
                connection,
                address,
                events: Vec::new(),
                frames: Vec::new(),
                frame_receivers: Vec::new(),
                messages: Vec::new(),
                outgoing,
                mapped: None,
                settled: false,
            }
        };
        Self {
            now,
            left: peer("10.0.0.1:1000", 1, left),
            right: peer("10.0.0.2:2000", 2, right),
            batch: TransmitBatch::default(),
        }
    }

    /// One of the two.
    pub const fn peer(&mut self, side: Side) -> &mut Peer {
        match side {
            Side::Left => &mut self.left,
            Side::Right => &mut self.right,
        }
    }

    /// Changes the link in both directions.
    pub fn set_link(&mut self, link: &Link) {
        self.left.outgoing.set_link(link.clone());
        self.right.outgoing.set_link(link.clone());
    }

    /// Puts a peer behind another address from now on, as a NAT that forgot it does: what is sent to the address before
    /// is lost.
    pub const fn rebind(&mut self, side: Side, address: SocketAddr) {
        self.peer(side).mapped = Some(address);
    }

    /// Lets nothing pass from or to an address any more.
    pub fn block(&mut self, address: SocketAddr) {
        self.left.outgoing.blocked.push(address);
        self.right.outgoing.blocked.push(address);
    }

    /// Changes the link of what one peer sends.
    pub fn set_link_from(&mut self, side: Side, link: &Link) {
        self.peer(side).outgoing.set_link(link.clone());
    }

    /// What one peer has sent: datagrams, those of them that were lost, and the bytes of all.
    pub const fn sent_by(&mut self, side: Side) -> (u64, u64, u64) {
        let outgoing = &self.peer(side).outgoing;
        (outgoing.sent, outgoing.lost, outgoing.bytes)
    }

    /// Datagrams sent and lost, of both directions.
    pub const fn datagrams(&self) -> (u64, u64) {
        (self.left.outgoing.sent + self.right.outgoing.sent, self.left.outgoing.lost + self.right.outgoing.lost)
    }

    /// The offerer's connection and the other's.
    pub const fn both(&mut self, offerer: Side) -> (&mut Connection, &mut Connection) {
        match offerer {
            Side::Left => (&mut self.left.connection, &mut self.right.connection),
            Side::Right => (&mut self.right.connection, &mut self.left.connection),
        }
    }

    /// Exchanges an offer of `side` and its answer.
    ///
    /// # Panics
    /// If one is refused.
    pub fn negotiate(&mut self, side: Side) {
        let now = self.now;
        let (offerer, answerer) = match side {
            Side::Left => (&mut self.left.connection, &mut self.right.connection),
            Side::Right => (&mut self.right.connection, &mut self.left.connection),
        };
        offerer.set_local_description(now, None).expect("an offer");
        let offer = offerer.local_description().expect("the offer");
        answerer.set_remote_description(now, &offer).expect("the offer is taken");
        answerer.set_local_description(now, None).expect("an answer");
        let answer = answerer.local_description().expect("the answer");
        offerer.set_remote_description(now, &answer).expect("the answer is taken");
        self.step();
    }

    /// Runs until both are connected. Returns the time that it took, `None` if it took more than `limit`.
    pub fn connect(&mut self, limit: Duration) -> Option<Duration> {
        let start = self.now;
        let connected = |peer: &Peer| peer.connection.connection_state() == PeerConnectionState::Connected;
        while !(connected(&self.left) && connected(&self.right)) {
            if self.now - start > limit || !self.advance(start + limit + Duration::from_millis(1)) {
                return None;
            }
        }
        Some(self.now - start)
    }

    /// Runs for that time.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.advance(end) {}
        self.now = end;
        self.step();
    }

    /// Does what is due now, after something was done to a connection directly.
    pub fn settle(&mut self) {
        self.step();
    }

    /// Adds a track of that codec on `side` and returns what sends it.
    ///
    /// # Panics
    /// If the connection is closed.
    pub fn add_track(&mut self, side: Side, codec: &RtpCodec, id: &str) -> TransceiverId {
        let kind: MediaKind = codec.codec.kind();
        let streams = ["test".to_owned()];
        self.peer(side).connection.add_track(kind, id, &streams).expect("a track")
    }

    /// Sends a frame by that packetizer.
    ///
    /// # Panics
    /// If the frame is none of the packetizer's codec.
    pub fn send(&mut self, side: Side, transceiver: TransceiverId, packetizer: &mut Packetizer, frame: &Frame) {
        let packets = Arc::new(packetizer.packetize(frame, self.now).expect("a frame"));
        self.peer(side).connection.send_frame(transceiver, &packets, packets.timestamp);
        self.step();
    }

    /// A packetizer as the tests use it.
    pub fn packetizer(codec: &RtpCodec) -> Packetizer {
        Packetizer::of(codec, MAX_PAYLOAD)
    }

    /// Goes on to the next thing that happens, but not beyond `end`. Returns `false` if nothing happens before it.
    fn advance(&mut self, end: Instant) -> bool {
        let next = [
            self.left.connection.poll_timeout(),
            self.right.connection.poll_timeout(),
            self.left.outgoing.next_arrival(),
            self.right.outgoing.next_arrival(),
        ];
        let Some(next) = next.into_iter().flatten().min().filter(|next| *next < end) else { return false };
        // A timer that is due at once and stays due would stop the clock.
        self.now = next.max(self.now + Duration::from_micros(10));
        self.step();
        true
    }

    /// Does what is due now.
    fn step(&mut self) {
        let now = self.now;
        // What the test did meanwhile.
        self.left.settle(now, &mut self.batch);
        self.right.settle(now, &mut self.batch);
        while let Some((source, destination, mut contents)) = self.left.outgoing.receive(now) {
            let Some(destination) = self.right.behind(destination) else { continue };
            let datagram = Datagram { source, destination, contents: &mut contents };
            self.right.attend(now, &mut self.batch, |connection| connection.handle_input(now, datagram));
        }
        while let Some((source, destination, mut contents)) = self.right.outgoing.receive(now) {
            let Some(destination) = self.left.behind(destination) else { continue };
            let datagram = Datagram { source, destination, contents: &mut contents };
            self.left.attend(now, &mut self.batch, |connection| connection.handle_input(now, datagram));
        }
        for peer in [&mut self.left, &mut self.right] {
            if peer.connection.poll_timeout().is_some_and(|at| at <= now) {
                peer.attend(now, &mut self.batch, |connection| connection.handle_timeout(now));
            }
            peer.settle(now, &mut self.batch);
        }
    }
}

impl Peer {
    /// Whether it told of this.
    pub fn told(&self, event: &ConnectionEvent) -> bool {
        self.events.contains(event)
    }

    /// The address of ours that a datagram to `destination` reaches, if any.
    fn behind(&self, destination: SocketAddr) -> Option<SocketAddr> {
        match self.mapped {
            Some(mapped) => (mapped == destination).then_some(self.address),
            None => Some(destination),
        }
    }

    /// Calls the connection, and sees that it asks for no less attention than it needs.
    fn attend(&mut self, now: Instant, batch: &mut TransmitBatch, call: impl FnOnce(&mut Connection) -> Attention) {
        let timeout = self.connection.poll_timeout();
        let attention = call(&mut self.connection);
        if attention == Attention::Everything || !self.settled {
            self.settled = false;
            return;
        }
        assert_eq!(self.connection.poll_event(), None, "an event that asked for no attention");
        if attention == Attention::Nothing {
            assert!(self.connection.poll_transmit(now, batch) && batch.is_empty(), "there is something to send");
            assert_eq!(self.connection.poll_timeout(), timeout, "the timer is another");
        }
        self.settled = attention == Attention::Nothing;
    }

    fn settle(&mut self, now: Instant, batch: &mut TransmitBatch) {
        while let Some(event) = self.connection.poll_event() {
            match event {
                ConnectionEvent::Frame { frame: ReceivedFrame { frame, .. }, transceiver } => {
                    self.frames.push(frame);
                    self.frame_receivers.push(transceiver);
                }
                ConnectionEvent::DataChannel(DataChannelEvent::Message { channel, message }) => {
                    self.connection.data_consumed(message.len());
                    self.messages.push((channel, message));
                }
                event => self.events.push(event),
            }
        }
        loop {
            let done = self.connection.poll_transmit(now, batch);
            for transmit in batch.iter() {
                for datagram in transmit.datagrams() {
                    let source = self.mapped.unwrap_or(transmit.source);
                    self.outgoing.send(now, source, transmit.destination, datagram);
                }
            }
            batch.clear();
            if done {
                break;
            }
        }
        self.settled = true;
    }
}
