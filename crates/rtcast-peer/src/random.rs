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
    let mut bytes = seed();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
