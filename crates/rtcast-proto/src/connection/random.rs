//! Random numbers from a seed that the caller gives, so that a test can repeat them.

use aws_lc_rs::hmac;

/// A generator that is unpredictable to whoever does not know its seed: HMAC-SHA-256 of a counter.
pub(crate) struct Random {
    key: hmac::Key,
    counter: u64,
}

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &seed), counter: 0 }
    }

    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let tag = hmac::sign(&self.key, &self.counter.to_be_bytes());
        self.counter += 1;
        let mut bytes = [0; 32];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    pub(crate) fn u32(&mut self) -> u32 {
        self.u64() as u32
    }

    pub(crate) fn u64(&mut self) -> u64 {
        let bytes = self.bytes();
        let mut first = [0; 8];
        first.copy_from_slice(&bytes[..8]);
        u64::from_be_bytes(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence_without_repetition() {
        let (mut one, mut same, mut other) = (Random::new([1; 32]), Random::new([1; 32]), Random::new([2; 32]));
        let first = one.u64();
        assert_eq!(first, same.u64());
        assert_ne!(first, other.u64());
        assert_ne!(first, one.u64());
    }
}
