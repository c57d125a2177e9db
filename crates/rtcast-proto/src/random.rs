//! Random numbers from a seed that the caller gives, so that a test can repeat them.

use std::fmt;

use aws_lc_rs::hmac;

use crate::types::Ssrc;

/// A generator that is unpredictable to whoever does not know its seed: HMAC-SHA-256 of a counter.
///
/// It keeps the seed and not the prepared key, which is many times as large: draws are rare, and connections many.
#[derive(Clone)]
pub(crate) struct Random {
    seed: [u8; 32],
    counter: u64,
}

impl Random {
    pub(crate) const fn new(seed: [u8; 32]) -> Self {
        Self::stream_of(seed, 0)
    }

    /// One of many generators with the same seed, none of which repeats another: each has 2^32 draws.
    pub(crate) const fn stream_of(seed: [u8; 32], stream: u32) -> Self {
        Self { seed, counter: (stream as u64) << 32 }
    }

    /// Up to 32 random bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= 32, "one draw gives 32 bytes") };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.seed);
        let tag = hmac::sign(&key, &self.counter.to_be_bytes());
        self.counter += 1;
        let mut bytes = [0; N];
        bytes.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        bytes
    }

    pub(crate) fn u32(&mut self) -> u32 {
        self.u64() as u32
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.bytes())
    }

    /// A source that is not among those taken; 0 is left out, for some peers take it for "none".
    pub(crate) fn ssrc(&mut self, taken: impl Fn(Ssrc) -> bool) -> Ssrc {
        loop {
            let ssrc = Ssrc(self.u32());
            if ssrc.0 != 0 && !taken(ssrc) {
                return ssrc;
            }
        }
    }

    pub(crate) fn uuid(&mut self) -> String {
        uuid(self.bytes())
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Random").field("counter", &self.counter).finish_non_exhaustive()
    }
}

/// A UUID of version 4 made of random bytes (RFC 9562 §5.4).
pub fn uuid(random: [u8; 16]) -> String {
    let number = u128::from_be_bytes(random);
    let number = (number & !(0xf << 76) & !(0b11 << 62)) | (4 << 76) | (0b10 << 62);
    let part = |shift: u32, digits: u32| (number >> shift) & ((1 << (4 * digits)) - 1);
    format!("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", part(96, 8), part(80, 4), part(64, 4), part(48, 4), part(0, 12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence_without_repetition() {
        let (mut one, mut same, mut other) = (Random::new([1; 32]), Random::new([1; 32]), Random::new([2; 32]));
        let mut stream = Random::stream_of([1; 32], 1);
        let first = one.u64();
        assert_eq!(first, same.u64());
        assert_ne!(first, other.u64());
        assert_ne!(first, stream.u64());
        assert_ne!(first, one.u64());
    }

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        let mut random = Random::new([7; 32]);
        for _ in 0..64 {
            let uuid = random.uuid();
            assert_eq!(uuid.len(), 36);
            assert_eq!(uuid.as_bytes()[14], b'4', "{uuid}");
            assert!(b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}");
        }
        assert_eq!(uuid([0x12; 16]), "12121212-1212-4212-9212-121212121212");
    }

    #[test]
    fn a_source_avoids_those_that_are_taken() {
        let taken = Random::new([1; 32]).ssrc(|_| false);
        assert_ne!(Random::new([1; 32]).ssrc(|ssrc| ssrc == taken), taken);
    }
}
