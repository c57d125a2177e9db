//! An allocation at a TURN server (RFC 8656), on the `turn-client-proto` crate.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rtcast_proto::ice::RelayProtocol;
use tokio::sync::mpsc;
use tracing::debug;
use turn_client_proto::api::{Transmit, TransmitBuild, TurnClientApi, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::client::TurnClient;
use turn_client_proto::prelude::DelayedTransmitBuild;
use turn_client_proto::tcp::TurnClientTcp;
use turn_client_proto::types::{Instant as TurnInstant, TransportType, TurnCredentials};
use turn_client_proto::udp::TurnClientUdp;

use super::wire::Wire;
use crate::endpoint::DetouredRun;

/// Datagrams to one peer that wait for its permission; older ones give way.
const MAX_WAITING: usize = 16;

/// Peers for whom permissions are asked. A peer that names more addresses than this is not reached at the others.
const MAX_PEERS: usize = 128;

/// How long a peer that the server forbids is not asked for again.
const DENIED: Duration = Duration::from_secs(10);

/// The longest message from the server.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// Why there is no relay: a code of STUN or 701, and words.
#[derive(Debug, Clone)]
pub(super) struct RelayError {
    pub(super) code: u16,
    pub(super) text: String,
    pub(super) local: Option<SocketAddr>,
}

/// What is relayed for whom.
pub(super) struct RelayConfig<'a> {
    pub(super) protocol: RelayProtocol,
    pub(super) server: SocketAddr,
    pub(super) host: &'a str,
    pub(super) username: &'a str,
    pub(super) credential: &'a str,
}

/// A relay that works.
pub(super) struct Relay {
    client: TurnClient,
    wire: Wire,
    base: Instant,
    /// The address at the server.
    pub(super) relayed: SocketAddr,
    peers: HashMap<IpAddr, Permission>,
    buffer: Vec<u8>,
}

#[derive(Default)]
struct Permission {
    granted: bool,
    /// The server forbids this peer; it is not asked again before that.
    denied_until: Option<Instant>,
    waiting: Vec<(SocketAddr, Vec<u8>)>,
    channels: Vec<SocketAddr>,
}

impl Relay {
    /// Connects to the server and asks for an allocation.
    pub(super) async fn allocate(config: &RelayConfig<'_>) -> Result<Self, RelayError> {
        let unreachable =
            |local| move |error: io::Error| RelayError { code: 701, text: format!("the TURN server: {error}"), local };
        let wire = Wire::connect(config.protocol, config.server, config.host).await.map_err(unreachable(None))?;
        let local = Some(wire.local);
        let mut turn = TurnConfig::new(TurnCredentials::new(config.username, config.credential));
        // As for STUN servers: given up after about 8 s.
        turn.set_request_retransmits(Duration::from_millis(250), Duration::from_secs(2), 6, Duration::from_secs(1));
        let client = match config.protocol {
            RelayProtocol::Udp => TurnClientUdp::allocate(wire.local, wire.remote, turn).into(),
            RelayProtocol::Tcp | RelayProtocol::Tls => TurnClientTcp::allocate(wire.local, wire.remote, turn).into(),
        };
        let mut relay = Self {
            client,
            wire,
            base: Instant::now(),
            relayed: SocketAddr::from(([0, 0, 0, 0], 0)),
            peers: HashMap::new(),
            buffer: vec![0; RECEIVE_BUFFER],
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        let silent = || RelayError { code: 701, text: "the TURN server did not answer".to_owned(), local };
        // RFC 8489 §9.2.4: the first 401 asks for the credentials, a second one refuses them; 438 asks once more. The client
        // keeps these codes to itself, and waits where the second 401 is the server's last word.
        let (mut challenged, mut refusal) = (false, None);
        loop {
            if let Some((code, text)) = refusal.take() {
                match code {
                    401 if !challenged => challenged = true,
                    438 => {}
                    _ => return Err(RelayError { code, text, local }),
                }
            }
            let wait = relay.flush().await.map_err(unreachable(local))?;
            while let Some(event) = relay.client.poll_event() {
                match event {
                    TurnEvent::AllocationCreated(_, address) => {
                        relay.relayed = address;
                        return Ok(relay);
                    }
                    TurnEvent::AllocationCreateFailed(_) => {
                        return Err(silent());
                    }
                    _ => {}
                }
            }
            let Some(wait) = wait else { return Err(silent()) };
            let now = relay.now();
            let (client, wire, buffer) = (&mut relay.client, &mut relay.wire, &mut relay.buffer);
            let (from, to) = (wire.remote, wire.local);
            tokio::select! {
                received = wire.receive(buffer, |message| {
                    refusal = error_of(message).or(refusal.take());
                    let transport = client.transport();
                    let _ = client.recv(Transmit::new(message, transport, from, to), now);
                }) => received.map_err(unreachable(local))?,
                () = tokio::time::sleep_until(wait.min(deadline).into()) => {}
            }
            if Instant::now() >= deadline {
                return Err(silent());
            }
        }
    }

    /// Our address towards the server.
    pub(super) const fn local(&self) -> SocketAddr {
        self.wire.local
    }

    /// Relays until nobody sends any more, or the allocation ends. What arrives goes to `each`: the peer, and its datagram.
    pub(super) async fn run(
        mut self,
        mut outgoing: mpsc::Receiver<DetouredRun>,
        mut each: impl FnMut(SocketAddr, &[u8]),
    ) -> io::Result<()> {
        loop {
            let Some(wait) = self.flush().await? else {
                return Err(io::Error::other("the TURN server ended the allocation"));
            };
            while let Some(event) = self.client.poll_event() {
                self.handle_event(event).await?;
            }
            let now = self.now();
            let (from, to, transport) = (self.wire.remote, self.wire.local, self.client.transport());
            let (client, wire, buffer) = (&mut self.client, &mut self.wire, &mut self.buffer);
            let run = tokio::select! {
                received = wire.receive(buffer, |message| {
                    if let TurnRecvRet::PeerData(data) = client.recv(Transmit::new(message, transport, from, to), now) {
                        each(data.peer, data.data());
                    }
                }) => { received?; None }
                run = outgoing.recv() => match run {
                    Some(run) => Some(run),
                    None => break,
                },
                () = tokio::time::sleep_until(wait.into()) => None,
            };
            if let Some(run) = run {
                for datagram in run.contents.chunks(run.segment_size.max(1)) {
                    self.send(run.destination, datagram).await?;
                }
            }
        }
        // Nobody needs the allocation any more: the server is told, and has no answer waited for.
        let _ = self.client.delete(self.now());
        self.flush().await.map(drop)
    }

    async fn send(&mut self, peer: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        let now = self.now();
        match self.peers.get(&peer.ip()).and_then(|permission| permission.denied_until) {
            Some(until) if until > Instant::now() => return Ok(()),
            Some(_) => drop(self.peers.remove(&peer.ip())),
            None => {}
        }
        if !self.peers.contains_key(&peer.ip()) {
            if self.peers.len() >= MAX_PEERS || peer.is_ipv4() != self.relayed.is_ipv4() {
                return Ok(());
            }
            // RFC 8656 §9: nothing reaches a peer without a permission for its address.
            if let Err(error) = self.client.create_permission(TransportType::Udp, peer.ip(), now) {
                debug!(%error, %peer, "no permission can be asked for");
            }
            self.peers.insert(peer.ip(), Permission::default());
        }
        let Some(permission) = self.peers.get_mut(&peer.ip()) else { return Ok(()) };
        if !permission.granted {
            if permission.waiting.len() >= MAX_WAITING {
                permission.waiting.remove(0);
            }
            permission.waiting.push((peer, datagram.to_vec()));
            return Ok(());
        }
        // RFC 7983 §7: what is not STUN is the call itself, for which a channel saves 32 bytes of every packet.
        if datagram.first().is_some_and(|first| *first > 3) && !permission.channels.contains(&peer) {
            permission.channels.push(peer);
            if let Err(error) = self.client.bind_channel(TransportType::Udp, peer, now) {
                debug!(%error, %peer, "no channel can be bound");
            }
        }
        let built = match self.client.send_to(TransportType::Udp, peer, datagram, now) {
            Ok(Some(TransmitBuild { data, .. })) => data.build(),
            Ok(None) => return Ok(()),
            Err(error) => {
                debug!(%error, %peer, "a datagram was not relayed");
                return Ok(());
            }
        };
        self.wire.send(&built).await
    }

    async fn handle_event(&mut self, event: TurnEvent) -> io::Result<()> {
        match event {
            TurnEvent::PermissionCreated(_, ip) => {
                let Some(permission) = self.peers.get_mut(&ip) else { return Ok(()) };
                permission.granted = true;
                for (peer, datagram) in std::mem::take(&mut permission.waiting) {
                    self.send(peer, &datagram).await?;
                }
            }
            // The server forbids this peer, or has lost us.
            TurnEvent::PermissionCreateFailed(_, ip) => {
                let denied_until = Some(Instant::now() + DENIED);
                self.peers.insert(ip, Permission { denied_until, ..Permission::default() });
            }
            TurnEvent::ChannelCreateFailed(_, peer) => {
                if let Some(permission) = self.peers.get_mut(&peer.ip()) {
                    permission.channels.retain(|channel| *channel != peer);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Sends what the client wants sent. Returns when it wants to be called again, `None` when it has ended.
    async fn flush(&mut self) -> io::Result<Option<Instant>> {
        loop {
            let polled = self.client.poll(self.now());
            let mut sent = false;
            while let Some(transmit) = self.client.poll_transmit(self.now()) {
                self.wire.send(&transmit.data).await?;
                sent = true;
            }
            match polled {
                TurnPollRet::Closed => return Ok(None),
                _ if sent => {}
                TurnPollRet::WaitUntil(at) => {
                    let nanos = u64::try_from(at.as_nanos()).unwrap_or(0);
                    // The client may say "now" while all that it has to tell are events.
                    let soonest = Instant::now() + Duration::from_millis(1);
                    return Ok(Some((self.base + Duration::from_nanos(nanos)).max(soonest)));
                }
                _ => return Ok(Some(Instant::now() + Duration::from_secs(1))),
            }
        }
    }

    fn now(&self) -> TurnInstant {
        TurnInstant::from_nanos(i64::try_from(self.base.elapsed().as_nanos()).unwrap_or(i64::MAX))
    }
}

/// The code and words of a STUN error response, apart from the challenge that every allocation begins with.
fn error_of(message: &[u8]) -> Option<(u16, String)> {
    // RFC 8489 §5: Allocate is method 3; 0x0113 is its error response. The attributes are those of any response.
    if message.get(..2)? != [0x01, 0x13] {
        return None;
    }
    let mut binding = message.to_vec();
    binding[1] = 0x11;
    match rtcast_proto::ice::binding_response(&binding)? {
        Err((code, text)) => Some((code, text)),
        Ok(_) => None,
    }
}
