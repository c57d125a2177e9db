//! The timers of a shard: one wheel for all its connections.

use std::time::{Duration, Instant};

use super::command::ConnectionId;

/// The wheel's resolution. A timer never fires early, and at most so much late. Ticks are counted in milliseconds.
const TICK: Duration = Duration::from_millis(1);

/// Slots of the wheel; what is due later than a turn waits beside it.
const SLOTS: usize = 1_024;
const SLOTS_U64: u64 = SLOTS as u64;

/// How often what waits beside the wheel is looked through: twice a turn, so that nothing is found too late.
const CASCADE: u64 = SLOTS_U64 / 2;

/// The timer of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimerKey(usize);

/// Sets, moves and stops a timer in constant time, however many there are.
#[derive(Debug)]
pub(super) struct TimerWheel {
    origin: Instant,
    /// All ticks up to this one have been fired.
    current: u64,
    /// The slots, and behind them the list of what is due later than a turn.
    lists: Vec<Vec<Waiting>>,
    /// One bit a slot: whether anything is in it.
    occupied: [u64; SLOTS / 64],
    timers: Vec<Timer>,
    free: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    tick: u64,
    timer: usize,
}

#[derive(Debug)]
struct Timer {
    owner: ConnectionId,
    /// The list that it is in, the place there, and when it is due.
    place: Option<(usize, usize, u64)>,
}

impl TimerWheel {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            current: 0,
            lists: vec![Vec::new(); SLOTS + 1],
            occupied: [0; SLOTS / 64],
            timers: Vec::new(),
            free: Vec::new(),
        }
    }

    /// A timer for a connection, not set.
    pub(super) fn register(&mut self, owner: ConnectionId) -> TimerKey {
        let timer = Timer { owner, place: None };
        match self.free.pop() {
            Some(key) => {
                self.timers[key] = timer;
                TimerKey(key)
            }
            None => {
                self.timers.push(timer);
                TimerKey(self.timers.len() - 1)
            }
        }
    }

    /// Gives a timer back, which stops it. The key must not be used again.
    pub(super) fn release(&mut self, key: TimerKey) {
        self.take_out(key.0);
        self.free.push(key.0);
    }

    /// Sets the timer to a moment, or stops it.
    pub(super) fn set(&mut self, key: TimerKey, at: Option<Instant>) {
        let due = at.map(|at| self.tick_at_or_after(at).max(self.current + 1));
        if self.timers[key.0].place.map(|(_, _, tick)| tick) == due {
            return;
        }
        self.take_out(key.0);
        if let Some(tick) = due {
            self.put_in(tick, key.0);
        }
    }

    /// When to call [`fire`](Self::fire) next.
    pub(super) fn next(&self) -> Option<Instant> {
        let later = !self.lists[SLOTS].is_empty();
        // What waits beside the wheel is due after the next look at it, if nothing is due before.
        let cascade = later.then(|| (self.current / CASCADE + 1) * CASCADE);
        let tick = self.first_occupied().into_iter().chain(cascade).min()?;
        Some(self.origin + Duration::from_millis(tick))
    }

    /// Appends the owners of all timers that are due to `fired`; their timers are then not set.
    pub(super) fn fire(&mut self, now: Instant, fired: &mut Vec<ConnectionId>) {
        let target = now.saturating_duration_since(self.origin).as_millis() as u64;
        while self.current < target {
            self.current += 1;
            if self.current.is_multiple_of(CASCADE) {
                self.cascade();
            }
            let slot = (self.current % SLOTS_U64) as usize;
            if self.occupied[slot / 64] & (1 << (slot % 64)) == 0 {
                continue;
            }
            self.occupied[slot / 64] &= !(1 << (slot % 64));
            for waiting in self.lists[slot].drain(..) {
                let timer = &mut self.timers[waiting.timer];
                timer.place = None;
                fired.push(timer.owner);
            }
        }
    }

    fn tick_at_or_after(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.origin).as_nanos().div_ceil(TICK.as_nanos()) as u64
    }

    fn put_in(&mut self, tick: u64, timer: usize) {
        let list = if tick - self.current < SLOTS_U64 { (tick % SLOTS_U64) as usize } else { SLOTS };
        if list < SLOTS {
            self.occupied[list / 64] |= 1 << (list % 64);
        }
        self.timers[timer].place = Some((list, self.lists[list].len(), tick));
        self.lists[list].push(Waiting { tick, timer });
    }

    fn take_out(&mut self, timer: usize) {
        let Some((list, at, _)) = self.timers[timer].place.take() else { return };
        self.lists[list].swap_remove(at);
        if let Some(moved) = self.lists[list].get(at)
            && let Some(place) = &mut self.timers[moved.timer].place
        {
            place.1 = at;
        }
        if list < SLOTS && self.lists[list].is_empty() {
            self.occupied[list / 64] &= !(1 << (list % 64));
        }
    }

    /// Moves what has become due within a turn into the wheel.
    fn cascade(&mut self) {
        let mut at = 0;
        while let Some(&Waiting { tick, timer }) = self.lists[SLOTS].get(at) {
            if tick - self.current < SLOTS_U64 {
                self.take_out(timer);
                self.put_in(tick, timer);
            } else {
                at += 1;
            }
        }
    }

    /// The first tick after the current one whose slot holds anything.
    fn first_occupied(&self) -> Option<u64> {
        let words = self.occupied.len();
        let first = ((self.current + 1) % SLOTS_U64) as usize;
        // The word of the first slot is looked at twice: its upper bits first, its lower ones after a whole turn.
        for step in 0..=words {
            let word = (first / 64 + step) % words;
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= u64::MAX << (first % 64);
            } else if step == words {
                bits &= !(u64::MAX << (first % 64));
            }
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (slot + SLOTS - first) % SLOTS;
                return Some(self.current + 1 + ahead as u64);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(wheel: &mut TimerWheel, now: Instant) -> Vec<u64> {
        let mut fired = Vec::new();
        wheel.fire(now, &mut fired);
        fired.iter().map(|id| id.0).collect()
    }

    #[test]
    fn timers_fire_in_their_order_never_early_and_at_most_a_tick_late() {
        let start = Instant::now();
        let mut wheel = TimerWheel::new(start);
        // From fractions of a tick to many turns of the wheel.
        let delays = [0, 1, 999, 1_000, 1_001, 63_000, 64_500, 1_023_000, 1_024_000, 1_025_300, 3_000_001, 61_000_000];
        for (number, delay) in delays.iter().enumerate() {
            let key = wheel.register(ConnectionId(number as u64));
            wheel.set(key, Some(start + Duration::from_micros(*delay)));
        }
        let mut seen = Vec::new();
        while let Some(at) = wheel.next() {
            let before = at - Duration::from_micros(1);
            assert!(fired(&mut wheel, before).is_empty());
            for number in fired(&mut wheel, at) {
                let due = start + Duration::from_micros(delays[number as usize]);
                assert!(at >= due && at - due <= TICK, "{:?} late", at - due);
                seen.push(number);
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..delays.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn a_timer_that_is_moved_fires_once_and_one_that_is_stopped_never() {
        let start = Instant::now();
        let at = |milliseconds| Some(start + Duration::from_millis(milliseconds));
        let mut wheel = TimerWheel::new(start);
        let keys: Vec<_> = (0..4).map(|number| wheel.register(ConnectionId(number))).collect();
        for key in &keys {
            wheel.set(*key, at(5));
        }
        wheel.set(keys[0], at(2_000));
        wheel.set(keys[0], at(3));
        wheel.set(keys[1], None);
        wheel.release(keys[2]);
        assert_eq!(wheel.register(ConnectionId(9)), keys[2], "places are used again");
        assert_eq!(wheel.next(), at(3));
        assert_eq!(fired(&mut wheel, start + Duration::from_millis(4)), [0]);
        assert_eq!(fired(&mut wheel, start + Duration::from_secs(5)), [3]);
        assert_eq!(wheel.next(), None);
        wheel.set(keys[3], at(1));
        assert_eq!(wheel.next(), at(5_001), "what is overdue fires with the next tick");
    }

    #[test]
    fn random_timers_agree_with_a_sorted_list() {
        let start = Instant::now();
        let mut wheel = TimerWheel::new(start);
        let keys: Vec<_> = (0..200).map(|number| wheel.register(ConnectionId(number))).collect();
        let mut due: Vec<Option<u64>> = vec![None; keys.len()];
        let mut random = 1_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let mut now = 0;
        for _ in 0..20_000 {
            let (which, delay) = (next(200) as usize, next(5_000));
            due[which] = (delay > 100).then_some(now + delay);
            wheel.set(keys[which], due[which].map(|tick| start + TICK * tick as u32));
            now += next(3) * next(20);
            let mut expected: Vec<u64> =
                (0..200_u64).filter(|number| due[*number as usize].is_some_and(|tick| tick <= now)).collect();
            for number in &expected {
                due[*number as usize] = None;
            }
            let mut seen = fired(&mut wheel, start + TICK * now as u32);
            seen.sort_unstable();
            expected.sort_unstable();
            assert_eq!(seen, expected);
            if let Some(first) = due.iter().flatten().min() {
                assert!(wheel.next().unwrap() <= start + TICK * *first as u32);
            }
        }
    }
}
