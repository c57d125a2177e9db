//! A shard: one thread with its sockets, its timers and its connections.

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use rtcast_proto::PacketizedFrame;
use rtcast_proto::connection::{
    Attention, ConnectionEvent, Datagram, IceGatheringState, PeerConnectionState, TransmitBatch,
};
use rtcast_proto::ice::{binding_owner, username_of};
use rtcast_track::BroadcastId;
use tracing::{debug, warn};

use super::Counters;
use super::addresses::{Addresses, Remotes};
use super::command::{Command, ConnectionId, ShardHandle, shard_of};
use super::entry::{Entry, Viewers, choose_renditions, handle_event, leave};
use super::guard::{Defect, guarded};
use super::outlet::Outlet;
use super::overload::{self, Share};
use super::rest::rest;
use super::routes::Routes;
use super::sockets::{Sockets, count};
use super::survey::Survey;
use super::timers::TimerWheel;
use crate::socket::{RECEIVES, ReceivedDatagrams, UdpSocket};

const WAKER: Token = Token(usize::MAX);

/// The batch is sent when it holds so many datagrams: large enough that the work between two system calls stays in the
/// cache, small enough that the first viewers do not wait for the last.
const FLUSH_AT: usize = 128;

/// Receives in a row before the thread looks at its other duties.
const RECEIVES_IN_A_ROW: usize = 16;

/// Connections that a survey looks at in a second, if there are so many.
const SURVEYED_A_SECOND: usize = 2_000;

/// A thread that has nothing to do wakes up this often all the same.
const IDLE: Duration = Duration::from_secs(60);

pub(super) struct Shard {
    index: usize,
    /// Reports sockets and what is handed in.
    poll: Poll,
    /// Reports only what is handed in.
    mailbox: Poll,
    woken: Events,
    looked_at: Instant,
    outlet: Outlet,
    handle: ShardHandle,
    routes: Arc<Routes>,
    connections: HashMap<ConnectionId, Box<Entry>, RandomState>,
    usernames: HashMap<String, ConnectionId>,
    remotes: Remotes,
    viewers: Viewers,
    timers: TimerWheel,
    fired: Vec<ConnectionId>,
    dirty: Vec<ConnectionId>,
    /// Frames that were taken and not sent yet.
    frames: VecDeque<Command>,
    share: Share,
    /// Who is served first changes with every frame, so that no viewer is always the last.
    turn: usize,
    /// Connections that may be asking STUN servers.
    gathering: Vec<ConnectionId>,
    /// What connections that are gone were sent.
    gone: Survey,
    /// The last survey of many connections, and when it was made.
    surveyed: Option<(Instant, Survey)>,
    /// The other shards, and this one.
    peers: Vec<ShardHandle>,
    /// Whether datagrams wait that were not taken yet.
    more: bool,
    stopping: bool,
}

impl Shard {
    pub(super) fn new(
        index: usize,
        sockets: Vec<UdpSocket>,
        reads: bool,
        counters: Arc<Counters>,
        routes: Arc<Routes>,
    ) -> io::Result<(Self, ShardHandle)> {
        let poll = Poll::new()?;
        let sockets = Sockets::new(&poll, sockets, reads)?;
        let mailbox = Poll::new()?;
        let waker = Waker::new(mailbox.registry(), WAKER)?;
        poll.registry().register(&mut SourceFd(&mailbox.as_raw_fd()), WAKER, Interest::READABLE)?;
        let handle = ShardHandle::new(index, waker, Arc::clone(&counters));
        let shard = Self {
            index,
            poll,
            mailbox,
            woken: Events::with_capacity(1),
            looked_at: Instant::now(),
            outlet: Outlet { sockets, batch: TransmitBatch::default(), counters },
            handle: handle.clone(),
            routes,
            connections: HashMap::default(),
            usernames: HashMap::new(),
            remotes: HashMap::default(),
            viewers: HashMap::new(),
            timers: TimerWheel::new(Instant::now()),
            fired: Vec::new(),
            dirty: Vec::new(),
            frames: VecDeque::new(),
            share: Share::new(Instant::now()),
            turn: 0,
            gathering: Vec::new(),
            gone: Survey::default(),
            surveyed: None,
            peers: Vec::new(),
            more: false,
            stopping: false,
        };
        Ok((shard, handle))
    }

    /// Runs until it is stopped.
    pub(super) fn run(mut self, peers: &[ShardHandle]) {
        self.peers = peers.to_vec();
        let mut events = Events::with_capacity(64);
        let mut received = ReceivedDatagrams::default();
        let mut commands = VecDeque::new();
        while !self.stopping {
            let look = match self.wait(&mut events) {
                Ok(look) => look,
                Err(error) => {
                    warn!(%error, "the shard cannot wait for its sockets and ends");
                    break;
                }
            };
            self.more = self.handle.take(&mut commands);
            self.serve_frames();
            while let Some(command) = commands.pop_front() {
                // What is for one connection is guarded by itself; whatever else goes wrong does not end all of them.
                if let Err(defect) = guarded(|| self.handle_command(command)) {
                    defect.tell(None);
                }
                self.let_frames_overtake();
            }
            if look {
                for event in &events {
                    self.receive(event.token(), &mut received);
                }
                self.fire_timers();
                self.looked_at = Instant::now();
            }
            self.settle();
            self.flush();
        }
        self.shut_down();
    }

    /// Waits for something to do. Returns whether it is time to look at the sockets and timers too, and not only at what
    /// was handed in.
    fn wait(&mut self, events: &mut Events) -> io::Result<bool> {
        let rested_at = self.looked_at + rest(self.connections.len());
        let rest = rested_at.saturating_duration_since(Instant::now());
        let mut handed_in = self.more;
        if !rest.is_zero() && !handed_in {
            poll(&mut self.mailbox, events, rest)?;
            handed_in = !events.is_empty();
            if Instant::now() < rested_at {
                return Ok(false);
            }
        }
        // What the mailbox's poll has reported, the other does not report again.
        let wait = match self.timers.next() {
            _ if handed_in => Duration::ZERO,
            Some(at) => at.saturating_duration_since(Instant::now()),
            None => IDLE,
        };
        poll(&mut self.poll, events, wait)?;
        if events.iter().any(|event| event.token() == WAKER) {
            // What is handed in from now on is to be reported anew.
            poll(&mut self.mailbox, &mut self.woken, Duration::ZERO)?;
        }
        Ok(true)
    }

    /// Sends the frames that wait.
    fn serve_frames(&mut self) {
        self.handle.take_frames(&mut self.frames);
        if self.frames.is_empty() {
            return;
        }
        let from = Instant::now();
        while let Some(command) = self.next_frame() {
            self.handle_command(command);
        }
        self.flush();
        self.share.served(from, Instant::now());
    }

    /// Sends the frames that wait, unless other work has still to get its share. Called between any two pieces of it,
    /// however many there are: the handshakes of a crowd that joins must not delay those who watch.
    fn let_frames_overtake(&mut self) {
        if self.handle.frames_wait() && self.share.is_due(Instant::now()) {
            self.serve_frames();
        }
    }

    fn next_frame(&mut self) -> Option<Command> {
        let now = Instant::now();
        if overload::is_late(&self.frames, now) {
            let dropped = overload::shed(&mut self.frames, now);
            self.outlet.counters.frames_dropped(dropped, now);
        }
        self.frames.pop_front()
    }

    fn handle_command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Insert { id, connection, observer, sockets } => {
                let tokens =
                    sockets.into_iter().filter_map(|socket| self.outlet.sockets.add(&self.poll, socket, id)).collect();
                self.outlet.counters.connections.fetch_add(1, Ordering::Relaxed);
                let entry = Entry {
                    connection: *connection,
                    observer,
                    senders: Vec::new(),
                    retired: Vec::new(),
                    remotes: Vec::new(),
                    claims: Vec::new(),
                    timer: self.timers.register(id),
                    place: (self.handle.clone(), id),
                    tracks_changed: false,
                    dirty: false,
                    sockets: tokens,
                    usernames: Vec::new(),
                    detours: None,
                    companion: None,
                };
                self.connections.insert(id, Box::new(entry));
                self.rename(id);
            }
            Command::Call { id, work } => {
                self.with(id, |entry| work(entry, now));
                // The caller expects what it asked for to be on its way, and frames behind it to see the effect.
                self.settle();
            }
            Command::Frame { broadcast, frame, queued_at } => {
                self.handle.lagged(overload::lag(queued_at, now));
                self.fan_out(now, broadcast, &frame);
            }
            Command::BroadcastEnded { broadcast } => {
                for (id, transceiver) in self.viewers.remove(&broadcast).unwrap_or_default() {
                    self.with(id, |entry| {
                        let mut senders = entry.senders.iter_mut();
                        if let Some(sender) = senders.find(|sender| sender.transceiver == transceiver) {
                            sender.broadcast_ended(broadcast);
                        }
                        // Another rendition may take its place.
                        entry.tracks_changed = true;
                    });
                }
            }
            Command::Survey { reply } => {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(self.survey(now));
            }
            Command::Datagram { to: None, remote, local, mut contents } => {
                self.handle_datagram(now, remote, local, &mut contents);
            }
            Command::Datagram { to: Some(id), remote, local, mut contents } => {
                self.deliver(now, id, remote, local, &mut contents);
            }
            Command::AddressLost { id, remote } => self.lose_address(id, remote),
            Command::Attach { username, work, reply } => {
                if let Some(id) = self.usernames.get(&username).copied() {
                    self.with(id, |entry| work(entry, now));
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(id);
                }
            }
            Command::Detoured { id, remote, local, mut contents, place } => {
                self.deliver(now, id, remote, local, &mut contents);
                drop(place);
            }
            Command::Stop => self.stopping = true,
        }
    }

    /// What the connections were sent. It takes a look at each of them, so that of thousands it may be some seconds old.
    fn survey(&mut self, now: Instant) -> Survey {
        let lasts = Duration::from_secs((self.connections.len() / SURVEYED_A_SECOND) as u64);
        if let Some((at, survey)) = &self.surveyed
            && now.saturating_duration_since(*at) < lasts
        {
            return survey.clone();
        }
        let mut survey = self.gone.clone();
        for entry in self.connections.values() {
            survey.add(&entry.connection);
        }
        self.surveyed = (!lasts.is_zero()).then(|| (now, survey.clone()));
        survey
    }

    /// One frame to all its viewers here.
    fn fan_out(&mut self, now: Instant, broadcast: BroadcastId, frame: &Arc<PacketizedFrame>) {
        let Some(viewers) = self.viewers.get(&broadcast) else { return };
        let mut switching = Vec::new();
        self.turn = self.turn.wrapping_add(1);
        let (later, first) = viewers.split_at(self.turn % viewers.len().max(1));
        let mut broken = Vec::new();
        for &(id, transceiver) in first.iter().chain(later) {
            let Some(entry) = self.connections.get_mut(&id) else { continue };
            let Some(at) = entry.senders.iter().position(|sender| sender.transceiver == transceiver) else { continue };
            if entry.senders[at].awaits(broadcast) {
                if frame.keyframe {
                    switching.push(id);
                }
                continue;
            }
            let sent = guarded(|| {
                let Entry { senders, connection, .. } = &mut **entry;
                let Some(feed) = senders.get_mut(at).and_then(|sender| sender.feed.as_mut()) else { return };
                feed.deliver(connection, transceiver, frame);
                self.outlet.drain(now, entry, |_, _, _, _| ());
            });
            if let Err(defect) = sent {
                broken.push((id, defect));
                continue;
            }
            if self.outlet.batch.len() >= FLUSH_AT {
                self.outlet.flush();
            }
            if !entry.dirty && entry.connection.needs_attention(now) {
                entry.dirty = true;
                self.dirty.push(id);
            }
        }
        for id in switching {
            let Some(entry) = self.connections.get_mut(&id) else { continue };
            // The keyframe is kept by now, so that the better rendition shows at once.
            let switched = guarded(|| choose_renditions(now, entry, id, &self.handle, &mut self.viewers));
            if let Err(defect) = switched {
                broken.push((id, defect));
                continue;
            }
            if !entry.dirty {
                entry.dirty = true;
                self.dirty.push(id);
            }
        }
        for (id, defect) in broken {
            self.drop_broken(id, &defect);
        }
    }

    fn receive(&mut self, token: Token, received: &mut ReceivedDatagrams) {
        for _ in 0..RECEIVES_IN_A_ROW {
            let Some((socket, owner)) = self.outlet.sockets.get(token) else { return };
            match socket.receive(received) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An ICMP message about some peer shows up as an error of the socket; the next call goes on.
                Err(error) => {
                    debug!(%error, "a receive failed");
                    continue;
                }
            }
            let now = Instant::now();
            let bound = socket.local_address();
            if owner.is_none() {
                self.warm_senders(received);
            }
            received.for_each(|remote, ip, datagram| {
                let local = SocketAddr::new(ip.unwrap_or(bound.ip()), bound.port());
                count(&self.outlet.counters.datagrams_received, 1);
                count(&self.outlet.counters.bytes_received, datagram.len());
                if let Some(id) = owner {
                    self.deliver(now, id, remote, local, datagram);
                    return;
                }
                if is_answer(datagram) && self.routes.are_contested() {
                    self.tell_claimants(now, remote, local, datagram);
                }
                if let Some(id) = self.known(remote, datagram) {
                    self.deliver(now, id, remote, local, datagram);
                    self.let_frames_overtake();
                    return;
                }
                match self.owner(remote, datagram) {
                    Some(owner) if owner != self.index => {
                        if let Some(peer) = self.peers.get(owner) {
                            peer.forward(remote, local, datagram);
                        }
                    }
                    _ => self.handle_datagram(now, remote, local, datagram),
                }
                self.let_frames_overtake();
            });
        }
        // More is waiting; the poll reports only changes, so it is asked to report once more.
        self.outlet.sockets.poll_again(&self.poll, token);
    }

    /// Has the memory of all connections that datagrams came for fetched at once. With thousands of them it is in no cache,
    /// and each access on its own would take longer than the work on a report.
    fn warm_senders(&self, received: &ReceivedDatagrams) {
        let mut ids = [None; RECEIVES];
        for (id, sender) in ids.iter_mut().zip(received.senders()) {
            *id = self.remotes.get(&sender).copied();
        }
        self.warm(&ids);
    }

    fn warm(&self, ids: &[Option<ConnectionId>; RECEIVES]) {
        let mut entries = [None; RECEIVES];
        for (entry, id) in entries.iter_mut().zip(ids) {
            *entry = id.and_then(|id| self.connections.get(&id));
        }
        let read = entries
            .iter()
            .flatten()
            .map(|entry| usize::from(entry.dirty) + usize::from(entry.detours.is_some()) + entry.connection.warm());
        black_box(read.fold(0, usize::wrapping_add));
    }

    /// The connection that a datagram is for, if its sender is known and what it names is no other.
    fn known(&self, remote: SocketAddr, datagram: &[u8]) -> Option<ConnectionId> {
        let id = *self.remotes.get(&remote)?;
        // RFC 7983 §7: STUN begins with a byte below 4, and it alone names connections.
        if datagram.first().is_none_or(|first| *first > 3) {
            return Some(id);
        }
        let entry = self.connections.get(&id)?;
        let named = |name: &str| entry.usernames.iter().any(|own| own == name);
        (binding_owner(datagram).is_none() && username_of(datagram).is_none_or(named)).then_some(id)
    }

    /// The shard that a datagram is for: the one that knows its sender, or the one that its STUN username names.
    fn owner(&self, remote: SocketAddr, datagram: &[u8]) -> Option<usize> {
        // A STUN server is asked for many connections, on all threads.
        if let Some(owner) = binding_owner(datagram) {
            return Some(usize::from(owner));
        }
        if self.remotes.contains_key(&remote) {
            return Some(self.index);
        }
        match username_of(datagram) {
            Some(username) => shard_of(username),
            None => self.routes.owner(remote),
        }
    }

    /// Gives an answer to a check to the connections that may wait for one from there, beside the one that it comes to.
    fn tell_claimants(&mut self, now: Instant, remote: SocketAddr, local: SocketAddr, answer: &[u8]) {
        for (shard, id) in self.routes.claimants(remote) {
            if shard == self.index {
                self.deliver(now, id, remote, local, &mut answer.to_vec());
            } else if let Some(peer) = self.peers.get(shard) {
                peer.forward_to(id, remote, local, answer);
            }
        }
    }

    /// The peer of a connection on another shard has proven that an address is its own.
    fn lose_address(&mut self, id: ConnectionId, remote: SocketAddr) {
        if self.remotes.get(&remote) == Some(&id) {
            self.remotes.remove(&remote);
        }
        if let Some(entry) = self.connections.get_mut(&id) {
            entry.remotes.retain(|(known, _)| *known != remote);
            if !entry.claims.contains(&remote) {
                entry.claims.push(remote);
            }
        }
    }

    fn handle_datagram(&mut self, now: Instant, remote: SocketAddr, local: SocketAddr, contents: &mut [u8]) {
        if binding_owner(contents).is_some() {
            let asked = |entry: &&ConnectionId| {
                self.connections.get(entry).is_some_and(|entry| entry.connection.expects_binding(contents))
            };
            let Some(id) = self.gathering.iter().find(asked).copied() else { return };
            self.deliver(now, id, remote, local, contents);
            return;
        }
        let named = username_of(contents).and_then(|username| self.usernames.get(username)).copied();
        let Some(id) = named.or_else(|| self.remotes.get(&remote).copied()) else { return };
        self.deliver(now, id, remote, local, contents);
    }

    fn deliver(&mut self, now: Instant, id: ConnectionId, remote: SocketAddr, local: SocketAddr, contents: &mut [u8]) {
        self.attend(id, |entry| {
            entry.connection.handle_input(now, Datagram { source: remote, destination: local, contents })
        });
    }

    /// Runs work on a connection and marks it to be settled.
    fn with(&mut self, id: ConnectionId, work: impl FnOnce(&mut Entry)) {
        self.attend(id, |entry| {
            work(entry);
            Attention::Everything
        });
    }

    /// Runs work on a connection and gives it the attention that the work asks for, at once or when it is settled. Should
    /// it panic, its connection is dropped without another word, and those of all other viewers go on.
    fn attend(&mut self, id: ConnectionId, work: impl FnOnce(&mut Entry) -> Attention) {
        let Some(entry) = self.connections.get_mut(&id) else { return };
        let attention = match guarded(|| work(entry)) {
            Ok(attention) => attention,
            Err(defect) => return self.drop_broken(id, &defect),
        };
        match attention {
            Attention::Nothing => {}
            // The pair that it goes by was used before, so there is nothing to learn from it.
            Attention::Transmit if entry.detours.is_none() => {
                let now = Instant::now();
                if let Err(defect) = guarded(|| self.outlet.drain(now, entry, |_, _, _, _| ())) {
                    return self.drop_broken(id, &defect);
                }
                if self.outlet.batch.len() >= FLUSH_AT {
                    self.outlet.flush();
                }
                self.timers.set(entry.timer, entry.connection.poll_timeout());
            }
            Attention::Transmit | Attention::Everything => {
                if !entry.dirty {
                    entry.dirty = true;
                    self.dirty.push(id);
                }
            }
        }
    }

    /// Learns the names by which the peer's STUN messages find a connection; an ICE restart changes them.
    fn rename(&mut self, id: ConnectionId) {
        let Some(entry) = self.connections.get_mut(&id) else { return };
        for name in entry.usernames.drain(..) {
            self.usernames.remove(&name);
        }
        entry.usernames.extend(entry.connection.username_fragments().map(str::to_owned));
        for name in &entry.usernames {
            self.usernames.insert(name.clone(), id);
        }
    }

    /// Drops a connection whose work went wrong, without another word to its peer.
    fn drop_broken(&mut self, id: ConnectionId, defect: &Defect) {
        defect.tell(Some(id.0));
        let Some(entry) = self.connections.remove(&id) else { return };
        // Its parts may be broken as well.
        if let Err(defect) = guarded(|| self.forget(id, &entry)) {
            defect.tell(Some(id.0));
        }
        if let Err(defect) = guarded(|| drop(entry)) {
            defect.tell(Some(id.0));
        }
    }

    /// Lets every connection that was touched send, tell and set its timer.
    fn settle(&mut self) {
        while let Some(id) = self.dirty.pop() {
            self.let_frames_overtake();
            if let Err(defect) = guarded(|| self.settle_one(id)) {
                self.drop_broken(id, &defect);
            }
        }
    }

    fn settle_one(&mut self, id: ConnectionId) {
        let now = Instant::now();
        let Some(entry) = self.connections.get_mut(&id) else { return };
        entry.dirty = false;
        for sender in entry.retired.drain(..) {
            leave(&mut self.viewers, id, &sender);
        }
        if std::mem::take(&mut entry.tracks_changed) {
            choose_renditions(now, entry, id, &self.handle, &mut self.viewers);
        }
        // Whoever is woken by an event must find the state that it tells of.
        entry.observer.updated(&entry.connection);
        let mut renamed = false;
        while let Some(event) = entry.connection.poll_event() {
            match &event {
                ConnectionEvent::UsernameFragmentsChanged => renamed = true,
                ConnectionEvent::GatheringNeeded { .. } => self.gathering.push(id),
                ConnectionEvent::IceGatheringStateChange(IceGatheringState::Complete) => {
                    self.gathering.retain(|gathering| *gathering != id);
                }
                _ => {}
            }
            handle_event(now, entry, id, event, &self.handle, &mut self.viewers);
        }
        if renamed {
            self.rename(id);
        }
        let Some(entry) = self.connections.get_mut(&id) else { return };
        // A connection with sockets of its own shares no address with others.
        let shares = entry.sockets.is_empty();
        let mut addresses =
            Addresses { remotes: &mut self.remotes, routes: &self.routes, place: (self.index, id), lost: Vec::new() };
        self.outlet.drain(now, entry, |connection, own, batch, first| {
            if shares {
                addresses.learn(connection, own, batch.iter().skip(first));
            }
        });
        if shares {
            addresses.renew(&entry.connection, &mut entry.remotes, &mut entry.claims);
        }
        let lost = addresses.lost;
        if self.outlet.batch.len() >= FLUSH_AT {
            self.outlet.flush();
        }
        if entry.connection.is_closed() || entry.connection.connection_state() == PeerConnectionState::Closed {
            self.remove(id);
        } else {
            self.timers.set(entry.timer, entry.connection.poll_timeout());
        }
        for (remote, (shard, id)) in lost {
            if shard == self.index {
                self.lose_address(id, remote);
            } else if let Some(peer) = self.peers.get(shard) {
                peer.address_lost(id, remote);
            }
        }
    }

    fn fire_timers(&mut self) {
        let now = Instant::now();
        let mut fired = std::mem::take(&mut self.fired);
        self.timers.fire(now, &mut fired);
        for some in fired.chunks(RECEIVES) {
            let mut ids = [None; RECEIVES];
            ids.iter_mut().zip(some).for_each(|(place, id)| *place = Some(*id));
            self.warm(&ids);
            for id in some {
                self.attend(*id, |entry| entry.connection.handle_timeout(now));
                self.let_frames_overtake();
            }
        }
        fired.clear();
        self.fired = fired;
    }

    fn remove(&mut self, id: ConnectionId) {
        let Some(mut entry) = self.connections.remove(&id) else { return };
        let now = Instant::now();
        let goodbye = guarded(|| {
            entry.connection.close(now);
            self.outlet.drain(now, &mut entry, |_, _, _, _| ());
            entry.observer.updated(&entry.connection);
            while let Some(event) = entry.connection.poll_event() {
                Arc::clone(&entry.observer).event(event);
            }
        });
        if let Err(defect) = goodbye {
            defect.tell(Some(id.0));
        }
        self.forget(id, &entry);
    }

    /// Takes a connection that is no longer in the list out of everything else.
    fn forget(&mut self, id: ConnectionId, entry: &Entry) {
        self.timers.release(entry.timer);
        self.gone.add_totals(&entry.connection);
        for name in &entry.usernames {
            self.usernames.remove(name);
        }
        self.gathering.retain(|gathering| *gathering != id);
        for remote in entry.remotes.iter().map(|(remote, _)| remote).chain(&entry.claims) {
            if self.remotes.get(remote) == Some(&id) {
                self.remotes.remove(remote);
            }
            for (shard, claimant) in self.routes.release(*remote, (self.index, id)) {
                if let Some(peer) = self.peers.get(shard) {
                    // It looks at its claims whenever anything was done to it.
                    peer.call(claimant, Box::new(|_, _| ()));
                }
            }
        }
        for sender in entry.senders.iter().chain(&entry.retired) {
            leave(&mut self.viewers, id, sender);
        }
        if !entry.sockets.is_empty() {
            self.outlet.flush();
            for token in &entry.sockets {
                self.outlet.sockets.remove(&self.poll, *token);
            }
        }
        entry.observer.ended();
        self.handle.removed();
        self.outlet.counters.connections.fetch_sub(1, Ordering::Relaxed);
    }

    fn flush(&mut self) {
        self.outlet.flush();
    }

    fn shut_down(&mut self) {
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for id in ids {
            self.remove(id);
        }
        self.flush();
        self.handle.shut();
    }
}

fn poll(poll: &mut Poll, events: &mut Events, wait: Duration) -> io::Result<()> {
    match poll.poll(events, Some(wait)) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

/// Whether a datagram looks like an answer to a check (RFC 8489 §5).
fn is_answer(datagram: &[u8]) -> bool {
    matches!(datagram, [1, 0x01 | 0x11, _, _, 0x21, 0x12, 0xa4, 0x42, ..])
}
