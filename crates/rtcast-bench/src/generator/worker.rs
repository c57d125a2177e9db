//! A thread of the generator, with its sockets and viewers.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};
use rtcast_proto::SessionDescription;
use rtcast_proto::connection::{TransmitBatch, WallClock};
use rtcast_proto::rtcp::RtcpWriter;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use super::socket::{Buffers, Socket};
use super::viewer::{Joined, Seen, Viewer};
use crate::process::thread_cpu;

const WAKER: Token = Token(usize::MAX);

/// Receives in a row from one socket before the others have their turn.
const RECEIVES_IN_A_ROW: usize = 4;

/// Where nobody is just joining, the thread lets packets gather for so long: to wake up for each would cost it, and the
/// sender that wakes it, more than the packets do.
const PAUSE: Duration = Duration::from_millis(1);

/// How often a thread looks at what it costs itself.
const SELF_CHECK: Duration = Duration::from_millis(500);

/// A viewer, unique in its generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ViewerId(pub(crate) u64);

/// A socket, unique in its generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SocketId(pub(crate) usize);

pub(super) enum Command {
    Socket { id: SocketId, socket: Socket },
    Join { id: ViewerId, socket: SocketId, address: SocketAddr, viewer: Box<Viewer> },
    Answer { id: ViewerId, answer: Box<SessionDescription>, joined: oneshot::Sender<Joined> },
    Begin { done: oneshot::Sender<()> },
    Look { seen: oneshot::Sender<Vec<(ViewerId, Seen)>> },
    Leave { id: ViewerId, seen: oneshot::Sender<Option<Seen>> },
    Stop,
}

/// What all threads count, for a look at any time.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Datagrams that were received.
    pub(crate) datagrams: AtomicU64,
    /// Receives that it took: what the kernel joins comes in one.
    pub(crate) receives: AtomicU64,
    /// The most that a thread used of its core in half a second, in thousandths.
    pub(crate) busiest: AtomicU64,
}

/// A worker, from outside its thread.
pub(super) struct WorkerHandle {
    /// Everybody who sends waits for the reply before the next, so that the queue holds a few commands a viewer.
    commands: Sender<Command>,
    waker: Arc<Waker>,
}

impl WorkerHandle {
    /// Returns `false` if the worker has ended.
    pub(super) fn send(&self, command: Command) -> bool {
        // The thread that waits is the only one that could have closed the poll, and it has not.
        self.commands.send(command).is_ok() && self.waker.wake().is_ok()
    }
}

struct Member {
    viewer: Viewer,
    socket: SocketId,
    address: SocketAddr,
}

struct Shared {
    socket: Socket,
    /// The viewers by the address of this machine that is theirs.
    members: HashMap<IpAddr, ViewerId>,
    waiting: bool,
}

pub(super) struct Worker {
    poll: Poll,
    commands: Receiver<Command>,
    clock: WallClock,
    totals: Arc<Totals>,
    sockets: HashMap<SocketId, Shared>,
    viewers: HashMap<ViewerId, Member>,
    ready: VecDeque<SocketId>,
    dirty: Vec<ViewerId>,
    timers: BinaryHeap<Reverse<(Instant, ViewerId)>>,
    /// Viewers whose setting up is measured.
    connecting: HashSet<ViewerId>,
    batch: TransmitBatch,
    rtcp: RtcpWriter,
    /// Whether a socket is left alone with its viewer, and closed with it.
    private_sockets: bool,
    checked: (Instant, Duration),
    stopping: bool,
}

impl Worker {
    pub(super) fn new(
        clock: WallClock,
        totals: Arc<Totals>,
        private_sockets: bool,
    ) -> io::Result<(Self, WorkerHandle)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (sender, commands) = mpsc::channel();
        let worker = Self {
            poll,
            commands,
            clock,
            totals,
            sockets: HashMap::new(),
            viewers: HashMap::new(),
            ready: VecDeque::new(),
            dirty: Vec::new(),
            timers: BinaryHeap::new(),
            connecting: HashSet::new(),
            batch: TransmitBatch::default(),
            rtcp: RtcpWriter::default(),
            private_sockets,
            checked: (Instant::now(), Duration::ZERO),
            stopping: false,
        };
        Ok((worker, WorkerHandle { commands: sender, waker }))
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(256);
        let mut buffers = Buffers::default();
        self.checked.1 = thread_cpu().unwrap_or_default();
        while !self.stopping {
            let wait = if self.ready.is_empty() { self.wait() } else { Duration::ZERO };
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != io::ErrorKind::Interrupted
            {
                warn!(%error, "a thread of the generator cannot wait for its sockets and ends");
                break;
            }
            for event in &events {
                let id = SocketId(event.token().0);
                if let Some(shared) = self.sockets.get_mut(&id)
                    && !shared.waiting
                {
                    shared.waiting = true;
                    self.ready.push_back(id);
                }
            }
            while let Ok(command) = self.commands.try_recv() {
                self.handle_command(command);
            }
            for _ in 0..self.ready.len() {
                if let Some(id) = self.ready.pop_front() {
                    self.receive(id, &mut buffers);
                }
            }
            self.fire_timers();
            self.settle();
            self.check_self();
            if self.connecting.is_empty() && self.ready.is_empty() {
                thread::sleep(PAUSE);
            }
        }
    }

    fn wait(&self) -> Duration {
        let now = Instant::now();
        let next = self.timers.peek().map_or(SELF_CHECK, |Reverse((at, _))| at.saturating_duration_since(now));
        next.min(SELF_CHECK)
    }

    fn handle_command(&mut self, command: Command) {
        let now = Instant::now();
        // Whoever waits for a reply may have given up, here and below.
        match command {
            Command::Socket { id, socket } => self.add_socket(id, socket),
            Command::Join { id, socket, address, viewer } => {
                if let Some(shared) = self.sockets.get_mut(&socket) {
                    shared.members.insert(address.ip(), id);
                    self.viewers.insert(id, Member { viewer: *viewer, socket, address });
                    self.connecting.insert(id);
                    self.mark(id);
                }
            }
            Command::Answer { id, answer, joined } => {
                if let Some(member) = self.viewers.get_mut(&id) {
                    member.viewer.handle_answer(now, &answer, joined);
                    self.mark(id);
                    self.settle();
                }
            }
            Command::Begin { done } => {
                self.viewers.values_mut().for_each(|member| member.viewer.begin());
                let _ = done.send(());
            }
            Command::Look { seen } => {
                let all = self.viewers.iter().map(|(id, member)| (*id, member.viewer.seen())).collect();
                let _ = seen.send(all);
            }
            Command::Leave { id, seen } => {
                let _ = seen.send(self.remove(now, id));
            }
            Command::Stop => {
                let ids: Vec<ViewerId> = self.viewers.keys().copied().collect();
                ids.into_iter().for_each(|id| drop(self.remove(now, id)));
                self.stopping = true;
            }
        }
    }

    fn add_socket(&mut self, id: SocketId, mut socket: Socket) {
        if let Err(error) = self.poll.registry().register(socket.source(), Token(id.0), Interest::READABLE) {
            warn!(%error, "a socket cannot be watched");
            return;
        }
        self.sockets.insert(id, Shared { socket, members: HashMap::new(), waiting: false });
    }

    fn receive(&mut self, id: SocketId, buffers: &mut Buffers) {
        let Some(shared) = self.sockets.get_mut(&id) else { return };
        let port = shared.socket.local_address().port();
        for _ in 0..RECEIVES_IN_A_ROW {
            match shared.socket.receive(buffers) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    shared.waiting = false;
                    return;
                }
                // An ICMP message about some peer shows up as an error of the socket; the next call goes on.
                Err(error) => {
                    debug!(%error, "a receive failed");
                    continue;
                }
            }
            let now = Instant::now();
            let (mut datagrams, mut receives) = (0, 0);
            for mut received in buffers.received() {
                receives += 1;
                let ip = received.destination.unwrap_or(shared.socket.local_address().ip());
                let member = shared.members.get(&ip).and_then(|id| Some((*id, self.viewers.get_mut(id)?)));
                let Some((id, Member { viewer, .. })) = member else { continue };
                let (source, destination) = (received.source, SocketAddr::new(ip, port));
                let mut touched = false;
                for datagram in received.datagrams() {
                    datagrams += 1;
                    touched |= viewer.handle_datagram(now, &self.clock, source, destination, datagram);
                }
                if touched && !viewer.dirty {
                    viewer.dirty = true;
                    self.dirty.push(id);
                }
            }
            self.totals.datagrams.fetch_add(datagrams, Ordering::Relaxed);
            self.totals.receives.fetch_add(receives, Ordering::Relaxed);
        }
        // More may wait; the poll reports only changes, so it keeps its place in the queue.
        self.ready.push_back(id);
    }

    fn mark(&mut self, id: ViewerId) {
        if let Some(Member { viewer, .. }) = self.viewers.get_mut(&id)
            && !viewer.dirty
        {
            viewer.dirty = true;
            self.dirty.push(id);
        }
    }

    /// Lets every viewer that was touched send and set its timer.
    fn settle(&mut self) {
        while let Some(id) = self.dirty.pop() {
            let now = Instant::now();
            let Some(Member { viewer, socket, .. }) = self.viewers.get_mut(&id) else { continue };
            viewer.dirty = false;
            let mut done = viewer.drive(now, &mut self.rtcp, &mut self.batch);
            loop {
                flush(&self.sockets, *socket, &mut self.batch);
                if done {
                    break;
                }
                done = viewer.poll_transmit(now, &mut self.batch);
            }
            if !viewer.is_connecting() {
                self.connecting.remove(&id);
            }
            if let Some(at) = viewer.poll_timeout()
                && viewer.scheduled.is_none_or(|scheduled| at < scheduled)
            {
                viewer.scheduled = Some(at);
                self.timers.push(Reverse((at, id)));
            }
        }
    }

    fn fire_timers(&mut self) {
        let now = Instant::now();
        while let Some(&Reverse((at, id))) = self.timers.peek() {
            if at > now {
                break;
            }
            self.timers.pop();
            let Some(Member { viewer, .. }) = self.viewers.get_mut(&id) else { continue };
            // A viewer that was scheduled anew leaves its old timers behind; only the latest counts.
            if viewer.scheduled != Some(at) {
                continue;
            }
            viewer.scheduled = None;
            viewer.handle_timeout(now);
            self.mark(id);
        }
    }

    fn remove(&mut self, now: Instant, id: ViewerId) -> Option<Seen> {
        let Member { mut viewer, socket, address } = self.viewers.remove(&id)?;
        self.connecting.remove(&id);
        let seen = viewer.seen();
        viewer.close(now);
        while !viewer.poll_transmit(now, &mut self.batch) {
            flush(&self.sockets, socket, &mut self.batch);
        }
        flush(&self.sockets, socket, &mut self.batch);
        if let Some(shared) = self.sockets.get_mut(&socket) {
            shared.members.remove(&address.ip());
            if self.private_sockets
                && let Some(mut shared) = self.sockets.remove(&socket)
            {
                // A socket that was registered can be taken out.
                let _ = self.poll.registry().deregister(shared.socket.source());
            }
        }
        Some(seen)
    }

    fn check_self(&mut self) {
        let (at, cpu) = self.checked;
        let elapsed = at.elapsed();
        if elapsed < SELF_CHECK {
            return;
        }
        let Some(used) = thread_cpu() else { return };
        let share = used.saturating_sub(cpu).as_secs_f64() / elapsed.as_secs_f64();
        self.totals.busiest.fetch_max((share * 1e3) as u64, Ordering::Relaxed);
        self.checked = (at + elapsed, used);
    }
}

fn flush(sockets: &HashMap<SocketId, Shared>, socket: SocketId, batch: &mut TransmitBatch) {
    if let Some(shared) = sockets.get(&socket) {
        for transmit in batch.iter() {
            // What is lost here is sent again like any other loss.
            if let Err(error) = shared.socket.send(&transmit) {
                debug!(%error, destination = %transmit.destination, "a datagram was not sent");
            }
        }
    }
    batch.clear();
}
