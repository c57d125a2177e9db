//! What an Opus packet's first bytes tell: RFC 6716 §3.1 and §3.2.

use rtcast_track::MediaTime;

/// How long a packet sounds; zero if it is not valid.
pub(crate) fn duration(packet: &[u8]) -> MediaTime {
    MediaTime::from_ticks(samples(packet).unwrap_or(0), 48_000)
}

/// The samples of a packet at 48 kHz.
pub(crate) fn samples(packet: &[u8]) -> Option<i64> {
    let toc = *packet.first()?;
    let frame = match toc >> 3 {
        // SILK-only: 10, 20, 40 and 60 ms.
        config @ 0..=11 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        // Hybrid: 10 and 20 ms.
        config @ 12..=15 => [480, 960][usize::from(config & 1)],
        // CELT-only: 2.5, 5, 10 and 20 ms.
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => i64::from(*packet.get(1)? & 0x3f),
    };
    // RFC 6716 §3.2.5, requirement R5: at most 120 ms.
    let samples = frame * frames;
    (samples <= 5_760 && samples > 0).then_some(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_the_table_of_contents() {
        assert_eq!(samples(&[0xfc]), Some(960));
        assert_eq!(samples(&[0xfd]), Some(1_920));
        assert_eq!(samples(&[0x83, 0x03]), Some(360));
        assert_eq!(samples(&[0x1b, 0x3f]), None);
        assert_eq!(samples(&[]), None);
    }
}
