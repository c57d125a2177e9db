//! Which packets of a stream have come: the sequence numbers, and the pictures that they make.

/// How many packets past the first missing one are remembered; seven seconds of the usual film.
const WIDTH: u64 = 2_048;
const WORDS: usize = (WIDTH / 64) as usize;

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is the next one, and nothing is missing.
    InOrder,
    /// It came after one that is missing, or fills a gap.
    Around,
    /// It was there already.
    Duplicate,
    /// It came when its place was given up.
    TooLate,
}

/// What has been settled: every packet up to some point has come or was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Settled {
    /// Packets that never came.
    pub(crate) lost: u64,
    /// Pictures all of whose packets came.
    pub(crate) whole: u64,
    /// Pictures some of whose packets did not.
    pub(crate) broken: u64,
}

/// The place in a stream up to which all is settled, and what came beyond it.
#[derive(Debug)]
pub(crate) struct Window {
    /// The first index that is not settled.
    front: u64,
    /// One more than the highest that came.
    end: u64,
    came: [u64; WORDS],
    ends_picture: [u64; WORDS],
    /// Something of the picture at the front is lost.
    broken: bool,
    settled: Settled,
}

impl Window {
    /// A window that begins with this packet.
    pub(crate) const fn new(first: u64) -> Self {
        Self {
            front: first,
            end: first,
            came: [0; WORDS],
            ends_picture: [0; WORDS],
            broken: false,
            settled: Settled { lost: 0, whole: 0, broken: 0 },
        }
    }

    /// Takes a packet; `ends_picture` is its marker bit.
    pub(crate) fn insert(&mut self, index: u64, ends_picture: bool) -> Arrival {
        if index == self.front && self.front == self.end {
            self.front += 1;
            self.end += 1;
            self.settle_picture(ends_picture);
            return Arrival::InOrder;
        }
        if index < self.front {
            return Arrival::TooLate;
        }
        // A leap past the window gives up what it leaves behind.
        while index - self.front >= WIDTH {
            if self.front >= self.end {
                // Nothing but losses lies between.
                let leap = index - self.front - (WIDTH - 1);
                self.settled.lost += leap;
                self.broken = true;
                self.front += leap;
                self.end = self.front;
                break;
            }
            self.step();
        }
        let (word, bit) = place(index);
        if self.came[word] & bit != 0 {
            return Arrival::Duplicate;
        }
        self.came[word] |= bit;
        if ends_picture {
            self.ends_picture[word] |= bit;
        }
        self.end = self.end.max(index + 1);
        self.advance();
        Arrival::Around
    }

    /// Whether a packet is missing before one that came.
    pub(crate) const fn has_gap(&self) -> bool {
        self.front < self.end
    }

    /// How many packets are missing before one that came.
    pub(crate) fn missing(&self) -> u64 {
        let came: u32 = self.came.iter().map(|word| word.count_ones()).sum();
        self.end - self.front - u64::from(came)
    }

    /// The first packet that is not settled.
    pub(crate) const fn front(&self) -> u64 {
        self.front
    }

    /// One more than the highest packet that came.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// Gives up the gap at the front.
    pub(crate) fn give_up(&mut self) {
        while self.has_gap() && !self.front_came() {
            self.step();
        }
        self.advance();
    }

    pub(crate) const fn settled(&self) -> Settled {
        self.settled
    }

    fn front_came(&self) -> bool {
        let (word, bit) = place(self.front);
        self.came[word] & bit != 0
    }

    fn advance(&mut self) {
        while self.has_gap() && self.front_came() {
            self.step();
        }
    }

    /// Settles the packet at the front as it is.
    fn step(&mut self) {
        let (word, bit) = place(self.front);
        let (came, ends_picture) = (self.came[word] & bit != 0, self.ends_picture[word] & bit != 0);
        self.came[word] &= !bit;
        self.ends_picture[word] &= !bit;
        self.front += 1;
        if !came {
            self.settled.lost += 1;
            self.broken = true;
        }
        self.settle_picture(ends_picture);
    }

    const fn settle_picture(&mut self, ends_picture: bool) {
        if ends_picture {
            if self.broken {
                self.settled.broken += 1;
            } else {
                self.settled.whole += 1;
            }
            self.broken = false;
        }
    }
}

const fn place(index: u64) -> (usize, u64) {
    let place = index % WIDTH;
    ((place / 64) as usize, 1 << (place % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every third packet ends a picture.
    fn insert(window: &mut Window, index: u64) -> Arrival {
        window.insert(index, index % 3 == 2)
    }

    #[test]
    fn packets_in_order_make_pictures() {
        let mut window = Window::new(30_000);
        for index in 30_000..33_000 {
            assert_eq!(insert(&mut window, index), Arrival::InOrder);
        }
        assert_eq!(window.settled(), Settled { lost: 0, whole: 1_000, broken: 0 });
        assert!(!window.has_gap());
    }

    #[test]
    fn a_gap_that_is_filled_costs_nothing() {
        let mut window = Window::new(0);
        for index in [0, 2, 3, 5, 4] {
            insert(&mut window, index);
        }
        assert!(window.has_gap());
        assert_eq!((window.settled().whole, window.missing()), (0, 1));
        assert_eq!(insert(&mut window, 3), Arrival::Duplicate);
        assert_eq!(insert(&mut window, 1), Arrival::Around);
        assert_eq!(window.settled(), Settled { lost: 0, whole: 2, broken: 0 });
        assert_eq!(insert(&mut window, 1), Arrival::TooLate);
    }

    #[test]
    fn what_is_given_up_breaks_its_picture_only() {
        let mut window = Window::new(0);
        for index in [0, 1, 2, 4, 5, 6, 8] {
            insert(&mut window, index);
        }
        window.give_up();
        assert_eq!(window.settled(), Settled { lost: 1, whole: 1, broken: 1 });
        assert!(window.has_gap());
        window.give_up();
        assert_eq!(window.settled(), Settled { lost: 2, whole: 1, broken: 2 });
        assert!(!window.has_gap());
        for index in 9..12 {
            insert(&mut window, index);
        }
        assert_eq!(window.settled().whole, 2);
    }

    #[test]
    fn a_leap_is_counted_and_costs_no_time() {
        let mut window = Window::new(0);
        insert(&mut window, 0);
        insert(&mut window, 1 << 40);
        assert_eq!(window.settled().lost, (1 << 40) - 1 - (WIDTH - 1));
        window.give_up();
        assert_eq!(window.settled().lost, (1 << 40) - 1);
        assert!(!window.has_gap());
        assert_eq!(window.end(), (1 << 40) + 1);
    }
}
