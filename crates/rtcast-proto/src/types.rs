//! Newtypes for the identifiers and units of the standards.

use std::fmt;
use std::time::Duration;

/// Audio or video, as in the first word of an m-line and in W3C's `MediaStreamTrack.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

impl MediaKind {
    /// The word that SDP and the W3C use: `audio` or `video`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

impl fmt::Display for MediaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Wraps the identifier as it stands in the description.
            pub fn new(value: impl Into<Box<str>>) -> Self {
                Self(value.into())
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                Self(value.into())
            }
        }
    };
}

text_id!(
    /// The media identification of an m-line, `a=mid` (RFC 5888 §4).
    Mid
);
text_id!(
    /// The restriction identifier of an RTP stream, `a=rid` (RFC 8851).
    Rid
);

/// The synchronisation source of an RTP stream (RFC 3550 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// An RTP payload type, 0 to 127 (RFC 3550 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PayloadType(u8);

impl PayloadType {
    /// The payload type with this number; the eighth bit, which belongs to the marker, is cleared.
    pub const fn new(value: u8) -> Self {
        Self(value & 0x7f)
    }

    /// The number, 0 to 127.
    pub const fn value(self) -> u8 {
        self.0
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A 16-bit RTP sequence number, which wraps (RFC 3550 §5.1).
///
/// ```
/// use rtcast_proto::SequenceNumber;
///
/// let last = SequenceNumber(65_535);
/// assert_eq!(last.next(), SequenceNumber(0));
/// assert_eq!(last.next().distance_from(last), 1);
/// assert_eq!(SequenceNumber(3).extend(65_534), 65_539);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SequenceNumber(pub u16);

impl SequenceNumber {
    /// The number that follows, after 65,535 comes 0.
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// How far `self` lies ahead of `other`, negative if behind, by the shorter way round.
    pub const fn distance_from(self, other: Self) -> i16 {
        self.0.wrapping_sub(other.0).cast_signed()
    }

    /// The 64-bit index nearest to `reference` whose low 16 bits are this number.
    pub const fn extend(self, reference: u64) -> u64 {
        let low = Self(reference as u16);
        reference.wrapping_add_signed(self.distance_from(low) as i64)
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Bits per second.
///
/// ```
/// use rtcast_proto::Bitrate;
///
/// let bitrate = Bitrate::from_kbps(2_500);
/// assert_eq!(bitrate.as_bps(), 2_500_000);
/// assert_eq!(bitrate.to_string(), "2.5 Mb/s");
/// assert!(Bitrate::from_kbps(800) < bitrate);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Bitrate(u64);

impl Bitrate {
    /// So many bits per second.
    pub const fn from_bps(bps: u64) -> Self {
        Self(bps)
    }

    /// So many thousand bits per second.
    pub const fn from_kbps(kbps: u64) -> Self {
        Self(kbps * 1_000)
    }

    /// Bits per second.
    pub const fn as_bps(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 1_000_000 {
            write!(f, "{:.1} Mb/s", self.0 as f64 / 1e6)
        } else {
            write!(f, "{} kb/s", self.0 / 1_000)
        }
    }
}

/// A time of the wall clock as NTP counts it: seconds since 1900 as 32.32 fixed-point (RFC 3550 §4).
///
/// ```
/// use std::time::Duration;
/// use rtcast_proto::{MediaTime, NtpTime};
///
/// let captured = NtpTime(3_900_000_000 << 32);
/// let later = captured.offset(MediaTime::from_micros(500_000));
/// assert_eq!(later.since(captured), MediaTime::from_micros(500_000));
/// assert_eq!(later.to_unix(), Duration::from_millis(1_691_011_200_500));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// From the beginning of 1900 to that of 1970.
    const TO_UNIX: u64 = 2_208_988_800;

    /// This time moved by `offset`, either way; it wraps as NTP's clock does.
    pub const fn offset(self, offset: MediaTime) -> Self {
        Self(self.0.wrapping_add((((offset.0 as i128) << 32) / 1_000_000_000) as u64))
    }

    /// The time from `earlier` to `self`, negative if `earlier` is later.
    pub const fn since(self, earlier: Self) -> MediaTime {
        let difference = self.0.wrapping_sub(earlier.0).cast_signed();
        MediaTime(((difference as i128 * 1_000_000_000) >> 32) as i64)
    }

    /// The same since the beginning of 1970; zero before that.
    pub const fn to_unix(self) -> Duration {
        let Some(seconds) = (self.0 >> 32).checked_sub(Self::TO_UNIX) else { return Duration::ZERO };
        Duration::new(seconds, (((self.0 & 0xffff_ffff) * 1_000_000_000) >> 32) as u32)
    }
}

/// A time on a track's own clock, in nanoseconds from its start; it may be negative before the start.
///
/// ```
/// use std::time::Duration;
/// use rtcast_proto::{Codec, MediaTime};
///
/// let second_picture = MediaTime::from_ticks(3_000, Codec::Vp8.clock_rate());
/// assert_eq!(second_picture.as_nanos(), 33_333_333);
/// assert_eq!(second_picture.to_ticks(90_000), 3_000);
/// assert_eq!(MediaTime::from(Duration::from_millis(20)).since(MediaTime::ZERO), MediaTime::from_micros(20_000));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MediaTime(i64);

impl MediaTime {
    /// The start of the track.
    pub const ZERO: Self = Self(0);

    /// So many nanoseconds from the start.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// So many microseconds from the start.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// `ticks` of a clock that ticks `rate` times a second, rounded to the nearest nanosecond. A rate of 0 gives zero.
    pub const fn from_ticks(ticks: i64, rate: u32) -> Self {
        if rate == 0 {
            return Self::ZERO;
        }
        let numerator = ticks as i128 * 1_000_000_000;
        let rate = rate as i128;
        Self((numerator + rate / 2).div_euclid(rate) as i64)
    }

    /// This time in ticks of a clock of `rate` hertz, rounded to the nearest tick.
    pub const fn to_ticks(self, rate: u32) -> i64 {
        ((self.0 as i128 * rate as i128 + 500_000_000).div_euclid(1_000_000_000)) as i64
    }

    /// Nanoseconds from the start.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Seconds from the start.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The time since the start, zero if this lies before it.
    pub const fn to_duration(self) -> Duration {
        if self.0 < 0 { Duration::ZERO } else { Duration::from_nanos(self.0 as u64) }
    }

    /// This time moved by `offset`, saturating.
    pub const fn offset(self, offset: Self) -> Self {
        Self(self.0.saturating_add(offset.0))
    }

    /// The time from `earlier` to `self`, negative if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

impl From<Duration> for MediaTime {
    fn from(value: Duration) -> Self {
        Self(i64::try_from(value.as_nanos()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_extend_to_the_nearest_index() {
        assert_eq!(SequenceNumber(1).extend(65_535), 65_537);
        assert_eq!(SequenceNumber(65_535).extend(65_537), 65_535);
        assert_eq!(SequenceNumber(7).extend(0x1_0000), 0x1_0007);
    }

    #[test]
    fn wall_clock_times_move_both_ways() {
        // 1970-01-01 00:00:01.5
        let time = NtpTime((NtpTime::TO_UNIX + 1) << 32 | 1 << 31);
        assert_eq!(time.to_unix(), Duration::from_millis(1_500));
        let earlier = time.offset(MediaTime::from_micros(-750_000));
        assert_eq!(earlier.to_unix(), Duration::from_millis(750));
        assert_eq!(time.since(earlier), MediaTime::from_micros(750_000));
        assert_eq!(earlier.since(time), MediaTime::from_micros(-750_000));
        assert_eq!(NtpTime(5).to_unix(), Duration::ZERO);
    }

    #[test]
    fn ticks_survive_the_way_through_nanoseconds() {
        for rate in [90_000, 48_000, 44_100, 15_360, 1_000] {
            for ticks in [0, 1, 2, 7, 89_999, 90_001, 123_456_789, -1, -90_001] {
                assert_eq!(MediaTime::from_ticks(ticks, rate).to_ticks(rate), ticks, "{ticks} at {rate}");
            }
        }
    }
}
