//! A shard: one thread with its sockets, its timers and its connections.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};
use rtcast_proto::PacketizedFrame;
use rtcast_proto::connection::{
    Connection, ConnectionEvent, Datagram, IceGatheringState, PeerConnectionState, Transmit, TransmitBatch,
};
use rtcast_proto::ice::{binding_owner, username_of};
use rtcast_proto::jsep::TransceiverId;
use tracing::{debug, error, warn};

use super::Counters;
use super::command::{Command, ConnectionId, ShardHandle, shard_of};
use super::detour::Detours;
use super::overload::{self, Share};
use super::routes::Routes;
use super::sockets::Sockets;
use super::subscription::Subscription;
use super::survey::Survey;
use super::timers::{TimerKey, TimerWheel};
use crate::broadcast::BroadcastId;
use crate::net::{Position, ReceivedDatagrams, UdpSocket};
use crate::network::NetworkHandle;
use crate::peer_connection::Shared;
use crate::track::MediaStreamTrack;

const WAKER: Token = Token(usize::MAX);

/// The batch is sent when it holds so many datagrams: large enough that the work between two system calls stays in the
/// cache, small enough that the first viewers do not wait for the last.
const FLUSH_AT: usize = 128;

/// How long a full socket may hold up the shard at a time. What has not left by then is dropped; the frames that wait
/// meanwhile are dropped whole, once they are late.
const SEND_PATIENCE: Duration = Duration::from_millis(100);

/// Receives in a row before the thread looks at its other duties.
const RECEIVES_IN_A_ROW: usize = 64;

/// A thread that has nothing to do wakes up this often all the same.
const IDLE: Duration = Duration::from_secs(60);

/// A connection and what the shard knows of it.
pub(crate) struct Entry {
    pub(crate) connection: Connection,
    shared: Arc<Shared>,
    senders: Vec<SenderEntry>,
    retired: Vec<SenderEntry>,
    remotes: Vec<SocketAddr>,
    timer: TimerKey,
    dirty: bool,
    sockets: Vec<Token>,
    /// The names under which the shard finds it.
    usernames: Vec<String>,
    /// Ways around the sockets, if it has any.
    pub(crate) detours: Option<Box<Detours>>,
    /// Who looks for candidates and names, if anybody does.
    pub(crate) network: Option<NetworkHandle>,
}

struct SenderEntry {
    transceiver: TransceiverId,
    track: MediaStreamTrack,
    subscription: Option<Subscription>,
}

impl Entry {
    /// What the connection's handles share.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Sets or takes away the track that a transceiver sends. Frames flow once the connection can carry them.
    pub(crate) fn set_track(&mut self, transceiver: TransceiverId, track: Option<MediaStreamTrack>) {
        self.retired.extend(self.senders.extract_if(.., |sender| sender.transceiver == transceiver));
        self.shared.set_sender_track(transceiver, track.clone());
        if let Some(track) = track {
            self.senders.push(SenderEntry { transceiver, track, subscription: None });
        }
    }
}

pub(super) struct Shard {
    index: usize,
    poll: Poll,
    sockets: Sockets,
    handle: ShardHandle,
    counters: Arc<Counters>,
    routes: Arc<Routes>,
    connections: HashMap<ConnectionId, Box<Entry>>,
    usernames: HashMap<String, ConnectionId>,
    remotes: HashMap<SocketAddr, ConnectionId>,
    viewers: HashMap<BroadcastId, Vec<(ConnectionId, TransceiverId)>>,
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
    batch: TransmitBatch,
    /// What connections that are gone were sent.
    gone: Survey,
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
        let waker = Waker::new(poll.registry(), WAKER)?;
        let handle = ShardHandle::new(index, waker, Arc::clone(&counters));
        let shard = Self {
            index,
            poll,
            sockets,
            handle: handle.clone(),
            counters,
            routes,
            connections: HashMap::new(),
            usernames: HashMap::new(),
            remotes: HashMap::new(),
            viewers: HashMap::new(),
            timers: TimerWheel::new(Instant::now()),
            fired: Vec::new(),
            dirty: Vec::new(),
            frames: VecDeque::new(),
            share: Share::new(Instant::now()),
            turn: 0,
            gathering: Vec::new(),
            batch: TransmitBatch::default(),
            gone: Survey::default(),
            stopping: false,
        };
        Ok((shard, handle))
    }

    /// Runs until it is stopped.
    pub(super) fn run(mut self, peers: &[ShardHandle]) {
        let mut events = Events::with_capacity(64);
        let mut received = ReceivedDatagrams::default();
        let mut commands = VecDeque::new();
        while !self.stopping {
            let wait = self.timers.next().map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != io::ErrorKind::Interrupted
            {
                warn!(%error, "the shard cannot wait for its sockets and ends");
                break;
            }
            self.handle.take(&mut commands);
            self.serve_frames();
            while let Some(command) = commands.pop_front() {
                self.handle_command(command);
                self.let_frames_overtake();
            }
            for event in &events {
                self.receive(event.token(), &mut received, peers);
            }
            self.fire_timers();
            self.settle();
            self.flush();
        }
        self.shut_down();
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
            self.counters.frames_dropped(dropped, now);
        }
        self.frames.pop_front()
    }

    fn handle_command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Insert { id, connection, shared, sockets } => {
                let tokens =
                    sockets.into_iter().filter_map(|socket| self.sockets.add(&self.poll, socket, id)).collect();
                self.counters.connections.fetch_add(1, Ordering::Relaxed);
                let entry = Entry {
                    connection: *connection,
                    shared,
                    senders: Vec::new(),
                    retired: Vec::new(),
                    remotes: Vec::new(),
                    timer: self.timers.register(id),
                    dirty: false,
                    sockets: tokens,
                    usernames: Vec::new(),
                    detours: None,
                    network: None,
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
                    if let Some(entry) = self.connections.get_mut(&id) {
                        entry.senders.iter_mut().filter(|sender| sender.transceiver == transceiver).for_each(
                            |sender| {
                                sender.subscription = None;
                            },
                        );
                    }
                }
            }
            Command::Survey { reply } => {
                let mut survey = self.gone.clone();
                for entry in self.connections.values() {
                    survey.add(&entry.connection);
                }
                // Whoever asked may have stopped waiting.
                let _ = reply.send(survey);
            }
            Command::Datagram { remote, local, mut contents } => {
                self.handle_datagram(now, remote, local, &mut contents);
            }
            Command::Attach { username, work, reply } => {
                if let Some(id) = self.usernames.get(&username).copied() {
                    self.with(id, |entry| work(entry, now));
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(id);
                }
            }
            Command::Detoured { id, remote, local, mut contents } => {
                self.deliver(now, id, remote, local, &mut contents);
            }
            Command::Stop => self.stopping = true,
        }
    }

    /// One frame to all its viewers here.
    fn fan_out(&mut self, now: Instant, broadcast: BroadcastId, frame: &Arc<PacketizedFrame>) {
        let Some(viewers) = self.viewers.get(&broadcast) else { return };
        self.turn = self.turn.wrapping_add(1);
        let (later, first) = viewers.split_at(self.turn % viewers.len().max(1));
        for &(id, transceiver) in first.iter().chain(later) {
            let Some(entry) = self.connections.get_mut(&id) else { continue };
            let Some(sender) = entry.senders.iter_mut().find(|sender| sender.transceiver == transceiver) else {
                continue;
            };
            let Some(subscription) = &mut sender.subscription else { continue };
            subscription.deliver(&mut entry.connection, transceiver, frame);
            if let Some(detours) = &mut entry.detours {
                send(&self.sockets, &mut self.batch, &self.counters);
                let mut done = false;
                while !done {
                    done = entry.connection.poll_transmit(now, &mut self.batch);
                    detours.divert(&mut self.batch, &self.counters, entry.network.as_mut());
                    send(&self.sockets, &mut self.batch, &self.counters);
                }
            }
            while !entry.connection.poll_transmit(now, &mut self.batch) {
                send(&self.sockets, &mut self.batch, &self.counters);
            }
            if self.batch.len() >= FLUSH_AT {
                send(&self.sockets, &mut self.batch, &self.counters);
            }
            if !entry.dirty && entry.connection.needs_attention(now) {
                entry.dirty = true;
                self.dirty.push(id);
            }
        }
    }

    fn receive(&mut self, token: Token, received: &mut ReceivedDatagrams, peers: &[ShardHandle]) {
        for _ in 0..RECEIVES_IN_A_ROW {
            let Some((socket, owner)) = self.sockets.get(token) else { return };
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
            received.for_each(|remote, ip, datagram| {
                let local = SocketAddr::new(ip.unwrap_or(bound.ip()), bound.port());
                count(&self.counters.datagrams_received, 1);
                count(&self.counters.bytes_received, datagram.len());
                if let Some(id) = owner {
                    self.deliver(now, id, remote, local, datagram);
                    return;
                }
                match self.owner(remote, datagram) {
                    Some(owner) if owner != self.index => {
                        if let Some(peer) = peers.get(owner) {
                            peer.forward(remote, local, datagram);
                        }
                    }
                    _ => self.handle_datagram(now, remote, local, datagram),
                }
                self.let_frames_overtake();
            });
        }
        // More is waiting; the poll reports only changes, so it is asked to report once more.
        self.sockets.poll_again(&self.poll, token);
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
        self.with_settling(id, |entry| {
            entry.connection.handle_input(now, Datagram { source: remote, destination: local, contents })
        });
    }

    /// Runs work on a connection and marks it to be settled.
    fn with(&mut self, id: ConnectionId, work: impl FnOnce(&mut Entry)) {
        self.with_settling(id, |entry| {
            work(entry);
            true
        });
    }

    /// Runs work on a connection and marks it to be settled, if the work says so. Should it panic, its connection is
    /// dropped without another word, and those of all other viewers go on.
    fn with_settling(&mut self, id: ConnectionId, work: impl FnOnce(&mut Entry) -> bool) {
        let Some(entry) = self.connections.get_mut(&id) else { return };
        if let Ok(settle) = catch_unwind(AssertUnwindSafe(|| work(entry))) {
            if settle {
                self.mark(id);
            }
            return;
        }
        error!(connection = id.0, "a connection broke off by a defect in the program and is dropped");
        if let Some(entry) = self.connections.remove(&id) {
            self.forget(id, &entry);
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

    fn mark(&mut self, id: ConnectionId) {
        if let Some(entry) = self.connections.get_mut(&id)
            && !entry.dirty
        {
            entry.dirty = true;
            self.dirty.push(id);
        }
    }

    /// Lets every connection that was touched send, tell and set its timer.
    fn settle(&mut self) {
        while let Some(id) = self.dirty.pop() {
            self.let_frames_overtake();
            let now = Instant::now();
            let Some(entry) = self.connections.get_mut(&id) else { continue };
            entry.dirty = false;
            for sender in entry.retired.drain(..) {
                leave(&mut self.viewers, id, &sender);
            }
            // Whoever is woken by an event must find the state that it tells of.
            entry.shared.update(&entry.connection);
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
                handle_event(entry, id, event, &self.handle, &mut self.viewers);
            }
            if renamed {
                self.rename(id);
            }
            let Some(entry) = self.connections.get_mut(&id) else { continue };
            let mut before = self.batch.runs();
            if let Some(detours) = &mut entry.detours {
                send(&self.sockets, &mut self.batch, &self.counters);
                let mut done = false;
                while !done {
                    done = entry.connection.poll_transmit(now, &mut self.batch);
                    detours.divert(&mut self.batch, &self.counters, entry.network.as_mut());
                    if entry.sockets.is_empty() {
                        let sent = self.batch.iter();
                        learn(&mut self.remotes, &self.routes, self.index, id, &mut entry.remotes, sent);
                    }
                    send(&self.sockets, &mut self.batch, &self.counters);
                }
                before = 0;
            }
            while !entry.connection.poll_transmit(now, &mut self.batch) {
                send(&self.sockets, &mut self.batch, &self.counters);
                before = 0;
            }
            if entry.sockets.is_empty() {
                let sent = self.batch.iter().skip(before);
                learn(&mut self.remotes, &self.routes, self.index, id, &mut entry.remotes, sent);
            }
            if self.batch.len() >= FLUSH_AT {
                send(&self.sockets, &mut self.batch, &self.counters);
            }
            if entry.connection.is_closed() || entry.connection.connection_state() == PeerConnectionState::Closed {
                self.remove(id);
                continue;
            }
            self.timers.set(entry.timer, entry.connection.poll_timeout());
        }
    }

    fn fire_timers(&mut self) {
        let now = Instant::now();
        let mut fired = std::mem::take(&mut self.fired);
        self.timers.fire(now, &mut fired);
        for id in fired.drain(..) {
            self.with(id, |entry| entry.connection.handle_timeout(now));
            self.let_frames_overtake();
        }
        self.fired = fired;
    }

    fn remove(&mut self, id: ConnectionId) {
        let Some(mut entry) = self.connections.remove(&id) else { return };
        let now = Instant::now();
        entry.connection.close(now);
        if let Some(detours) = &mut entry.detours {
            send(&self.sockets, &mut self.batch, &self.counters);
            entry.connection.poll_transmit(now, &mut self.batch);
            detours.divert(&mut self.batch, &self.counters, entry.network.as_mut());
            send(&self.sockets, &mut self.batch, &self.counters);
        }
        while !entry.connection.poll_transmit(now, &mut self.batch) {
            send(&self.sockets, &mut self.batch, &self.counters);
        }
        entry.shared.update(&entry.connection);
        while let Some(event) = entry.connection.poll_event() {
            entry.shared.event(event);
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
        for remote in &entry.remotes {
            if self.remotes.get(remote) == Some(&id) {
                self.remotes.remove(remote);
                self.routes.forget(*remote);
            }
        }
        for sender in entry.senders.iter().chain(&entry.retired) {
            leave(&mut self.viewers, id, sender);
        }
        if !entry.sockets.is_empty() {
            send(&self.sockets, &mut self.batch, &self.counters);
            for token in &entry.sockets {
                self.sockets.remove(&self.poll, *token);
            }
        }
        entry.shared.ended();
        self.handle.removed();
        self.counters.connections.fetch_sub(1, Ordering::Relaxed);
    }

    fn flush(&mut self) {
        send(&self.sockets, &mut self.batch, &self.counters);
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

fn handle_event(
    entry: &mut Entry,
    id: ConnectionId,
    event: ConnectionEvent,
    handle: &ShardHandle,
    viewers: &mut HashMap<BroadcastId, Vec<(ConnectionId, TransceiverId)>>,
) {
    match event {
        ConnectionEvent::SendersChanged | ConnectionEvent::MediaReady => {
            choose_renditions(entry, id, handle, viewers);
        }
        ConnectionEvent::KeyframeRequested { transceiver } => {
            let sender = entry.senders.iter().find(|sender| sender.transceiver == transceiver);
            if let Some(subscription) = sender.and_then(|sender| sender.subscription.as_ref()) {
                subscription.broadcast().request_keyframe();
            }
        }
        ConnectionEvent::GatheringNeeded { .. }
        | ConnectionEvent::IceGenerationInUse(_)
        | ConnectionEvent::NameToResolve(_) => {
            if let Some(network) = &mut entry.network {
                network.tell(&event);
            }
        }
        ConnectionEvent::IceCandidate(_) => {
            // The description that the application reads has the candidate that it is told of, even if that comes late.
            if entry.network.as_ref().is_some_and(NetworkHandle::is_at_work) {
                entry.shared.update_descriptions(&entry.connection);
            }
            entry.shared.event(event);
        }
        event => entry.shared.event(event),
    }
}

/// Gives every sender the first rendition of its track that its peer can take, and joins it once media can flow.
pub(super) fn choose_renditions(
    entry: &mut Entry,
    id: ConnectionId,
    handle: &ShardHandle,
    viewers: &mut HashMap<BroadcastId, Vec<(ConnectionId, TransceiverId)>>,
) {
    let ready = entry.connection.selected_pair().is_some()
        && entry.connection.connection_state() == PeerConnectionState::Connected;
    let connection = &mut entry.connection;
    for sender in &mut entry.senders {
        let transceiver = sender.transceiver;
        let chosen = connection.negotiated_sender(transceiver).and_then(|media| {
            sender.track.renditions().iter().find(|rendition| media.send_codec_for(rendition.codec()).is_some())
        });
        let Some(rendition) = chosen.cloned() else {
            connection.select_codec(transceiver, None);
            leave(viewers, id, sender);
            sender.subscription = None;
            continue;
        };
        connection.select_codec(transceiver, Some(rendition.codec()));
        let joined = sender.subscription.as_ref().is_some_and(|joined| joined.broadcast().id() == rendition.id());
        if joined || !ready {
            continue;
        }
        leave(viewers, id, sender);
        sender.subscription = None;
        sender.subscription = Some(Subscription::join(&rendition, handle.sink(), connection, transceiver));
        viewers.entry(rendition.id()).or_default().push((id, transceiver));
    }
}

/// Whoever we send to may answer; STUN responses carry no name to find the connection by. Of two connections to one
/// address the newer has it: the older belongs to a peer that has begun anew.
fn learn<'a>(
    remotes: &mut HashMap<SocketAddr, ConnectionId>,
    routes: &Routes,
    index: usize,
    id: ConnectionId,
    own: &mut Vec<SocketAddr>,
    sent: impl Iterator<Item = Transmit<'a>>,
) {
    for transmit in sent {
        let remote = transmit.destination;
        if remotes.get(&remote).is_none_or(|owner| *owner < id) {
            remotes.insert(remote, id);
            routes.learn(remote, index);
            own.push(remote);
        }
    }
}

fn leave(
    viewers: &mut HashMap<BroadcastId, Vec<(ConnectionId, TransceiverId)>>,
    id: ConnectionId,
    sender: &SenderEntry,
) {
    let Some(subscription) = &sender.subscription else { return };
    let broadcast = subscription.broadcast().id();
    if let Some(list) = viewers.get_mut(&broadcast) {
        list.retain(|viewer| *viewer != (id, sender.transceiver));
        if list.is_empty() {
            viewers.remove(&broadcast);
        }
    }
}

fn send(sockets: &Sockets, batch: &mut TransmitBatch, counters: &Counters) {
    let (mut datagrams, mut bytes, mut calls, mut errors) = (0, 0, 0, 0);
    let mut position = Position::default();
    let mut give_up_at = None;
    while let Some(run) = batch.run(position.run) {
        let Some(socket) = sockets.for_source(run.source) else {
            errors += run.datagrams().len();
            position.skip();
            continue;
        };
        calls += 1;
        match socket.send(batch, &mut position) {
            Ok(sent) => {
                datagrams += sent.datagrams;
                bytes += sent.bytes;
            }
            // The socket's buffer is full: the network is slower than what is to be sent. Waiting lets it empty, and
            // meanwhile frames are dropped whole before they come here.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let now = Instant::now();
                let give_up_at = *give_up_at.get_or_insert(now + SEND_PATIENCE);
                if !socket.wait_writable(give_up_at.saturating_duration_since(now)) {
                    errors += batch.iter().skip(position.run).map(|run| run.datagrams().len()).sum::<usize>();
                    break;
                }
            }
            // The path is gone. What is lost here is repaired like any other loss.
            Err(error) => {
                debug!(%error, destination = %run.destination, "a run of datagrams was not sent");
                errors += run.datagrams().len();
                position.skip();
            }
        }
    }
    batch.clear();
    count(&counters.datagrams_sent, datagrams);
    count(&counters.bytes_sent, bytes);
    count(&counters.send_calls, calls);
    count(&counters.send_errors, errors);
}

pub(super) fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}
