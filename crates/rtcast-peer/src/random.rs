//! Randomness from the operating system.

/// 32 bytes nobody can guess.
///
/// # Panics
/// If the operating system has no randomness, without which nothing here would be safe.
pub(crate) fn seed() -> [u8; 32] {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system yields random bytes");
    bytes
}

/// A random UUID of version 4 (RFC 9562 §5.4).
pub(crate) fn uuid() -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&seed()[..16]);
    rtcast_proto::random::uuid(bytes)
}
