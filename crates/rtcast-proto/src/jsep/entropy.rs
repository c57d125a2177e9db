//! Identifiers drawn from a seed that the caller gives.

use aws_lc_rs::digest;

use crate::types::Ssrc;

/// A stream of random bytes: SHA-256 over the seed and a counter.
///
/// Nothing secret is drawn here; ICE passwords and keys come from the caller.
#[derive(Clone)]
pub(crate) struct Entropy {
    seed: [u8; 32],
    counter: u64,
}

impl Entropy {
    pub(crate) const fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    pub(crate) fn bytes(&mut self) -> [u8; 16] {
        self.counter += 1;
        let mut input = [0; 40];
        let (seed, counter) = input.split_at_mut(32);
        seed.copy_from_slice(&self.seed);
        counter.copy_from_slice(&self.counter.to_be_bytes());
        let digest = digest::digest(&digest::SHA256, &input);
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// RFC 8829 §5.2.1: the session identifier has 63 random bits.
    pub(crate) fn session_id(&mut self) -> u64 {
        (u128::from_be_bytes(self.bytes()) as u64) >> 1
    }

    /// A source that is not among those taken; 0 is left out, for some peers take it for "none".
    pub(crate) fn ssrc(&mut self, taken: impl Fn(Ssrc) -> bool) -> Ssrc {
        loop {
            let ssrc = Ssrc(u128::from_be_bytes(self.bytes()) as u32);
            if ssrc.0 != 0 && !taken(ssrc) {
                return ssrc;
            }
        }
    }

    /// RFC 7022 §4.2: a canonical name of 96 random bits, here as hexadecimal digits.
    pub(crate) fn cname(&mut self) -> String {
        self.bytes().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
    }

    /// An identifier in the form of a UUID, version 4 (RFC 9562 §5.4).
    pub(crate) fn uuid(&mut self) -> String {
        let number = u128::from_be_bytes(self.bytes());
        let number = (number & !(0xf << 76) & !(0b11 << 62)) | (4 << 76) | (0b10 << 62);
        let digits = format!("{number:032x}");
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
        format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entropy").field("counter", &self.counter).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        let mut entropy = Entropy::new([7; 32]);
        for _ in 0..64 {
            let uuid = entropy.uuid();
            assert_eq!(uuid.len(), 36);
            assert_eq!(uuid.as_bytes()[14], b'4', "{uuid}");
            assert!(b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}");
        }
    }

    #[test]
    fn a_source_avoids_those_that_are_taken() {
        let mut first = Entropy::new([1; 32]);
        let taken = first.ssrc(|_| false);
        let mut again = Entropy::new([1; 32]);
        assert_ne!(again.ssrc(|ssrc| ssrc == taken), taken);
    }
}
