//! What a shard is told from outside, and the handle that tells it.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use mio::Waker;
use rtcast_proto::PacketizedFrame;
use rtcast_proto::connection::Connection;
use rtcast_track::{Broadcast, BroadcastId, Frame, FrameSink};
use tokio::sync::{Semaphore, oneshot};

use super::Counters;
use super::inbound::{Inbound, Place, places};
use super::observer::Observer;
use super::survey::Survey;
use crate::socket::UdpSocket;

/// Frames that may wait for a shard. A shard that is slow drops frames long before, by the policy of
/// [`overload`](super::overload); this bounds the memory of one that hangs.
const MAX_WAITING_FRAMES: usize = 512;

/// Datagrams that may wait for a shard, forwarded by others: of all senders, and of one. The newest are dropped. What
/// comes by detours is bounded by [`Inbound`].
const MAX_WAITING_DATAGRAMS: usize = 4_096;
const MAX_WAITING_OF_ONE: usize = 64;

/// Datagrams that a shard takes before it looks at its sockets and timers again.
pub(super) const DATAGRAMS_AT_A_TIME: usize = 128;

/// The letters that name a shard in an ICE username fragment.
const SHARD_LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A connection, unique in its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// Work on a connection, done on its shard's thread.
pub(crate) type Work = Box<dyn FnOnce(&mut super::entry::Entry, Instant) + Send>;

pub(super) enum Command {
    Insert { id: ConnectionId, connection: Box<Connection>, observer: Arc<dyn Observer>, sockets: Vec<UdpSocket> },
    Call { id: ConnectionId, work: Work },
    Frame { broadcast: BroadcastId, frame: Arc<PacketizedFrame>, queued_at: Instant },
    BroadcastEnded { broadcast: BroadcastId },
    Survey { reply: oneshot::Sender<Survey> },
    Datagram { to: Option<ConnectionId>, remote: SocketAddr, local: SocketAddr, contents: Vec<u8> },
    AddressLost { id: ConnectionId, remote: SocketAddr },
    Attach { username: String, work: Work, reply: oneshot::Sender<ConnectionId> },
    Detoured { id: ConnectionId, remote: SocketAddr, local: SocketAddr, contents: Vec<u8>, place: Place },
    Stop,
}

/// A shard, from outside its thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ShardHandle {
    inner: Arc<Mailbox>,
}

pub(super) struct Mailbox {
    index: usize,
    waker: Waker,
    queue: Mutex<Queue>,
    /// Whether frames wait, so that the shard need not take the lock to know.
    frames_wait: AtomicBool,
    load: AtomicUsize,
    /// How long the frame that was sent last had waited, in microseconds.
    lag: AtomicU64,
    counters: Arc<Counters>,
    /// Places for what comes by detours.
    places: Arc<Semaphore>,
}

#[derive(Default)]
struct Queue {
    commands: VecDeque<Command>,
    /// Frames and the ends of broadcasts, which overtake all other work.
    frames: VecDeque<Command>,
    /// What has come from peers by way of other threads, which waits for all other work but is never passed over.
    datagrams: VecDeque<Command>,
    /// How many of the datagrams other shards have forwarded, and from whom.
    forwarded: usize,
    senders: HashMap<SocketAddr, usize, RandomState>,
    stopped: bool,
}

impl Queue {
    /// Whether a datagram of that sender may wait.
    fn make_room(&mut self, remote: SocketAddr) -> bool {
        if self.forwarded >= MAX_WAITING_DATAGRAMS {
            return false;
        }
        let of_one = self.senders.entry(remote).or_default();
        let room = *of_one < MAX_WAITING_OF_ONE;
        *of_one += usize::from(room);
        self.forwarded += usize::from(room);
        room
    }

    fn take_datagram(&mut self) -> Option<Command> {
        let command = self.datagrams.pop_front()?;
        if let Command::Datagram { remote, .. } = &command {
            self.forwarded -= 1;
            match self.senders.get_mut(remote) {
                Some(of_one) if *of_one > 1 => *of_one -= 1,
                _ => drop(self.senders.remove(remote)),
            }
        }
        Some(command)
    }
}

impl ShardHandle {
    pub(super) fn new(index: usize, waker: Waker, counters: Arc<Counters>) -> Self {
        let queue = Mutex::new(Queue::default());
        Self {
            inner: Arc::new(Mailbox {
                index,
                waker,
                queue,
                frames_wait: AtomicBool::new(false),
                load: AtomicUsize::new(0),
                lag: AtomicU64::new(0),
                counters,
                places: places(),
            }),
        }
    }

    /// How username fragments of this shard's connections begin.
    pub(crate) fn username_prefix(&self) -> String {
        char::from(SHARD_LETTERS[self.inner.index % SHARD_LETTERS.len()]).to_string()
    }

    pub(crate) fn load(&self) -> usize {
        self.inner.load.load(Ordering::Relaxed)
    }

    /// How long the frame that was sent last had waited for the shard.
    pub(super) fn lag(&self) -> Duration {
        Duration::from_micros(self.inner.lag.load(Ordering::Relaxed))
    }

    pub(super) fn lagged(&self, lag: Duration) {
        self.inner.lag.store(lag.as_micros() as u64, Ordering::Relaxed);
    }

    /// Hands a connection to the shard, with sockets of its own or none. Returns `false` if the shard has stopped.
    pub(crate) fn insert(
        &self,
        id: ConnectionId,
        connection: Connection,
        observer: Arc<dyn Observer>,
        sockets: Vec<UdpSocket>,
    ) -> bool {
        self.inner.load.fetch_add(1, Ordering::Relaxed);
        self.inner.push(Command::Insert { id, connection: Box::new(connection), observer, sockets })
    }

    /// Runs work on the connection. Returns `false` if the shard has stopped; work for a connection that is gone is
    /// dropped.
    pub(crate) fn call(&self, id: ConnectionId, work: Work) -> bool {
        self.inner.push(Command::Call { id, work })
    }

    /// Asks what the shard's connections have been sent. The answer never comes if the shard has stopped.
    pub(super) fn survey(&self) -> oneshot::Receiver<Survey> {
        let (reply, survey) = oneshot::channel();
        self.inner.push(Command::Survey { reply });
        survey
    }

    pub(crate) fn stop(&self) {
        self.inner.push(Command::Stop);
    }

    pub(super) fn forward(&self, remote: SocketAddr, local: SocketAddr, contents: &[u8]) {
        self.inner.push(Command::Datagram { to: None, remote, local, contents: contents.to_vec() });
    }

    /// Hands on what one connection of this shard may wait for.
    pub(super) fn forward_to(&self, id: ConnectionId, remote: SocketAddr, local: SocketAddr, contents: &[u8]) {
        self.inner.push(Command::Datagram { to: Some(id), remote, local, contents: contents.to_vec() });
    }

    /// Says that an address belongs to a connection of another shard from now on.
    pub(super) fn address_lost(&self, id: ConnectionId, remote: SocketAddr) {
        self.inner.push(Command::AddressLost { id, remote });
    }

    /// Datagrams that wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.inner.lock().datagrams.len()
    }

    /// Places in the queue for what comes by the detours of one connection.
    pub(crate) fn inbound(&self) -> Inbound {
        Inbound::new(&self.inner.places)
    }

    /// Hands in a datagram that came by a detour, for which there is a place.
    pub(crate) fn detoured(
        &self,
        id: ConnectionId,
        remote: SocketAddr,
        local: SocketAddr,
        contents: &[u8],
        place: Place,
    ) {
        self.inner.push(Command::Detoured { id, remote, local, contents: contents.to_vec(), place });
    }

    /// Runs work on the connection that a STUN user name names. Returns which that is, `None` if there is none.
    pub(crate) async fn attach(&self, username: String, work: Work) -> Option<ConnectionId> {
        let (reply, found) = oneshot::channel();
        self.inner.push(Command::Attach { username, work, reply });
        found.await.ok()
    }

    /// The number of the thread.
    pub(crate) fn index(&self) -> usize {
        self.inner.index
    }

    pub(super) fn sink(&self) -> Arc<dyn FrameSink> {
        Arc::clone(&self.inner) as Arc<dyn FrameSink>
    }

    pub(super) fn removed(&self) {
        self.inner.load.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes everything that waits into `commands`, but for frames, and of the datagrams no more than a part. Returns
    /// whether there are more.
    pub(super) fn take(&self, commands: &mut VecDeque<Command>) -> bool {
        let mut queue = self.inner.lock();
        std::mem::swap(&mut queue.commands, commands);
        for _ in 0..DATAGRAMS_AT_A_TIME {
            let Some(datagram) = queue.take_datagram() else { return false };
            commands.push_back(datagram);
        }
        !queue.datagrams.is_empty()
    }

    /// Whether frames wait, or the end of a broadcast. Costs next to nothing.
    pub(super) fn frames_wait(&self) -> bool {
        self.inner.frames_wait.load(Ordering::Relaxed)
    }

    /// Appends the frames that wait to `frames`, and the ends of broadcasts. Costs next to nothing if there are none.
    pub(super) fn take_frames(&self, frames: &mut VecDeque<Command>) {
        if self.frames_wait() && self.inner.frames_wait.swap(false, Ordering::Acquire) {
            frames.append(&mut self.inner.lock().frames);
        }
    }

    /// Refuses everything from now on.
    pub(super) fn shut(&self) {
        let mut queue = self.inner.lock();
        queue.stopped = true;
        queue.commands.clear();
        queue.frames.clear();
        while queue.take_datagram().is_some() {}
    }
}

/// The shard that a username fragment names.
pub(crate) fn shard_of(username_fragment: &str) -> Option<usize> {
    let first = username_fragment.bytes().next()?;
    SHARD_LETTERS.iter().position(|letter| *letter == first)
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, command: Command) -> bool {
        let wake = {
            let mut queue = self.lock();
            if queue.stopped {
                return false;
            }
            // Each of the two queues is taken by itself, so each wakes the thread when it is no longer empty.
            let no_command = queue.commands.is_empty() && queue.datagrams.is_empty();
            let no_frame = queue.frames.is_empty();
            match &command {
                Command::Frame { .. } if queue.frames.len() >= MAX_WAITING_FRAMES => {
                    self.counters.frames_dropped(1, Instant::now());
                    return true;
                }
                Command::Frame { .. } | Command::BroadcastEnded { .. } => {
                    queue.frames.push_back(command);
                    self.frames_wait.store(true, Ordering::Release);
                    no_frame
                }
                Command::Datagram { remote, .. } if !queue.make_room(*remote) => return true,
                Command::Datagram { .. } | Command::Detoured { .. } => {
                    queue.datagrams.push_back(command);
                    no_command
                }
                _ => {
                    queue.commands.push_back(command);
                    no_command
                }
            }
        };
        if wake {
            // The thread that waits is the only one that could have closed the poll, and it has not.
            let _ = self.waker.wake();
        }
        true
    }
}

impl FrameSink for Mailbox {
    fn deliver(&self, broadcast: &Broadcast, _: &Frame, packets: &Arc<PacketizedFrame>) {
        let frame = Arc::clone(packets);
        self.push(Command::Frame { broadcast: broadcast.id(), frame, queued_at: Instant::now() });
    }

    fn ended(&self, broadcast: &Broadcast) {
        self.push(Command::BroadcastEnded { broadcast: broadcast.id() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Poll, Token};

    fn handle() -> (ShardHandle, Poll) {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), Token(0)).unwrap();
        (ShardHandle::new(0, waker, Arc::new(Counters::new())), poll)
    }

    fn address(number: u32) -> SocketAddr {
        SocketAddr::from((number.to_be_bytes(), 7))
    }

    fn taken(handle: &ShardHandle) -> (Vec<SocketAddr>, bool) {
        let mut commands = VecDeque::new();
        let more = handle.take(&mut commands);
        let senders = commands.into_iter().filter_map(|command| match command {
            Command::Datagram { remote, .. } | Command::Detoured { remote, .. } => Some(remote),
            _ => None,
        });
        (senders.collect(), more)
    }

    #[test]
    fn a_flood_from_one_address_leaves_room_for_others() {
        let (handle, _poll) = handle();
        for _ in 0..10_000 {
            handle.forward(address(1), address(0), b"flood");
        }
        handle.forward(address(2), address(0), b"consent");
        let (senders, more) = taken(&handle);
        assert!(!more);
        assert_eq!(senders.len(), MAX_WAITING_OF_ONE + 1);
        assert_eq!(senders.last(), Some(&address(2)));
        handle.forward(address(1), address(0), b"again");
        assert_eq!(taken(&handle).0.len(), 1);
    }

    #[test]
    fn what_waits_is_bounded_and_taken_in_parts() {
        let (handle, _poll) = handle();
        for number in 0..20_000 {
            handle.forward(address(number), address(0), b"from everywhere");
        }
        let mut parts = 0;
        loop {
            let (senders, more) = taken(&handle);
            parts += 1;
            if !more {
                break;
            }
            assert_eq!(senders.len(), DATAGRAMS_AT_A_TIME);
        }
        assert_eq!(parts, MAX_WAITING_DATAGRAMS / DATAGRAMS_AT_A_TIME);
        let queue = handle.inner.lock();
        assert!(queue.senders.is_empty() && queue.forwarded == 0);
    }

    #[test]
    fn what_detours_bring_holds_its_place_until_it_was_taken() {
        let (handle, _poll) = handle();
        let inbound = handle.inbound();
        let mut brought = 0;
        while let Some(place) = inbound.try_take(100) {
            handle.detoured(ConnectionId(1), address(1), address(0), b"a check", place);
            brought += 1;
        }
        assert_eq!(brought, 64);
        assert_eq!(taken(&handle).0.len(), brought);
        assert!(inbound.try_take(100).is_some());
        let place = inbound.try_take(100).unwrap();
        handle.detoured(ConnectionId(1), address(1), address(0), b"a check", place);
        handle.shut();
        assert_eq!(std::iter::from_fn(|| inbound.try_take(100)).map(std::mem::forget).count(), 64);
    }
}
