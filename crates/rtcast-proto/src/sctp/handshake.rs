//! INIT, INIT ACK and the state cookie (RFC 9260 §3.3.2, §3.3.3, §5).

use aws_lc_rs::{constant_time, hmac};

use super::chunk::{Chunk, Parameters, half, kind, parameter, word};
use super::packet::put_parameter;

/// The error detection method identifier of DTLS (RFC 9653 §8).
const EDMID_DTLS: u32 = 1;

/// How long a cookie is good, in milliseconds (RFC 9260 §16: Valid.Cookie.Life).
const COOKIE_LIFE: u64 = 60_000;

const COOKIE_LENGTH: usize = 56;
const COOKIE_TAG_LENGTH: usize = 32;

/// What both ends can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Extensions {
    pub(super) forward_tsn: bool,
    pub(super) stream_reset: bool,
    pub(super) interleaving: bool,
    pub(super) zero_checksum: bool,
}

impl Extensions {
    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            forward_tsn: self.forward_tsn && other.forward_tsn,
            stream_reset: self.stream_reset && other.stream_reset,
            interleaving: self.interleaving && other.interleaving,
            zero_checksum: self.zero_checksum && other.zero_checksum,
        }
    }

    const fn bits(self) -> u8 {
        self.forward_tsn as u8
            | (self.stream_reset as u8) << 1
            | (self.interleaving as u8) << 2
            | (self.zero_checksum as u8) << 3
    }

    const fn from_bits(bits: u8) -> Self {
        Self {
            forward_tsn: bits & 1 != 0,
            stream_reset: bits & 2 != 0,
            interleaving: bits & 4 != 0,
            zero_checksum: bits & 8 != 0,
        }
    }
}

/// What an INIT or INIT ACK says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Init {
    pub(super) tag: u32,
    pub(super) receive_window: u32,
    pub(super) outbound_streams: u16,
    pub(super) inbound_streams: u16,
    pub(super) tsn: u32,
    pub(super) extensions: Extensions,
}

/// What was found beside it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct InitExtras<'a> {
    pub(super) cookie: Option<&'a [u8]>,
    /// Parameters that are to be reported, as one list.
    pub(super) unrecognized: Vec<u8>,
}

impl Init {
    /// Reads an INIT or INIT ACK; `None` if it is damaged or has values that RFC 9260 §3.3.2 forbids.
    pub(super) fn parse<'a>(chunk: &Chunk<'a>) -> Option<(Self, InitExtras<'a>)> {
        let body = chunk.body;
        let mut init = Self {
            tag: word(body, 0)?,
            receive_window: word(body, 4)?,
            outbound_streams: half(body, 8)?,
            inbound_streams: half(body, 10)?,
            tsn: word(body, 12)?,
            extensions: Extensions::default(),
        };
        if init.tag == 0 || init.outbound_streams == 0 || init.inbound_streams == 0 {
            return None;
        }
        let mut extras = InitExtras::default();
        for (kind, value) in Parameters(body.get(16..)?) {
            match kind {
                parameter::STATE_COOKIE => extras.cookie = Some(value),
                parameter::FORWARD_TSN_SUPPORTED => init.extensions.forward_tsn = true,
                parameter::SUPPORTED_EXTENSIONS => init.read_extensions(value),
                parameter::ZERO_CHECKSUM => init.extensions.zero_checksum = word(value, 0) == Some(EDMID_DTLS),
                parameter::IPV4_ADDRESS
                | parameter::IPV6_ADDRESS
                | parameter::UNRECOGNIZED
                | parameter::COOKIE_PRESERVATIVE
                | parameter::HOST_NAME
                | parameter::SUPPORTED_ADDRESS_TYPES => {}
                _ => {
                    // RFC 9260 §3.2.1: the second bit asks for a report, and without the first one nothing behind it counts.
                    if kind & 0x4000 != 0 && extras.unrecognized.len() < 256 {
                        put_parameter(&mut extras.unrecognized, kind, value);
                    }
                    if kind & 0x8000 == 0 {
                        break;
                    }
                }
            }
        }
        Some((init, extras))
    }

    fn read_extensions(&mut self, types: &[u8]) {
        self.extensions.stream_reset = types.contains(&kind::RE_CONFIG);
        self.extensions.interleaving = types.contains(&kind::I_DATA);
        self.extensions.forward_tsn |= types.contains(&kind::FORWARD_TSN);
    }

    /// Appends what stands in the chunk.
    pub(super) fn write(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(&self.tag.to_be_bytes());
        body.extend_from_slice(&self.receive_window.to_be_bytes());
        body.extend_from_slice(&self.outbound_streams.to_be_bytes());
        body.extend_from_slice(&self.inbound_streams.to_be_bytes());
        body.extend_from_slice(&self.tsn.to_be_bytes());
        put_parameter(body, parameter::FORWARD_TSN_SUPPORTED, &[]);
        let mut types = vec![kind::RE_CONFIG, kind::FORWARD_TSN];
        if self.extensions.interleaving {
            types.extend([kind::I_DATA, kind::I_FORWARD_TSN]);
        }
        put_parameter(body, parameter::SUPPORTED_EXTENSIONS, &types);
        if self.extensions.zero_checksum {
            put_parameter(body, parameter::ZERO_CHECKSUM, &EDMID_DTLS.to_be_bytes());
        }
    }
}

/// What a cookie keeps for us while it travels: both ends' numbers, and those of the association that it may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cookie {
    pub(super) local_tag: u32,
    pub(super) local_tsn: u32,
    pub(super) remote_tag: u32,
    pub(super) remote_tsn: u32,
    pub(super) receive_window: u32,
    pub(super) outbound_streams: u16,
    pub(super) inbound_streams: u16,
    pub(super) extensions: Extensions,
    pub(super) tie_local: u32,
    pub(super) tie_remote: u32,
}

/// Why a cookie is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CookieError {
    /// Not made here.
    Forged,
    /// Too old.
    Stale,
}

impl Cookie {
    /// Writes it, with the time of its making in milliseconds, under our key.
    pub(super) fn seal(&self, key: &hmac::Key, made_at: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(COOKIE_LENGTH + COOKIE_TAG_LENGTH);
        bytes.extend_from_slice(&made_at.to_be_bytes());
        for number in [
            self.local_tag,
            self.local_tsn,
            self.remote_tag,
            self.remote_tsn,
            self.receive_window,
            u32::from(self.outbound_streams) << 16 | u32::from(self.inbound_streams),
            u32::from(self.extensions.bits()),
            self.tie_local,
            self.tie_remote,
        ] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.resize(COOKIE_LENGTH, 0);
        let tag = hmac::sign(key, &bytes);
        bytes.extend_from_slice(tag.as_ref());
        bytes
    }

    pub(super) fn open(bytes: &[u8], key: &hmac::Key, now: u64) -> Result<Self, CookieError> {
        let (body, tag) = bytes.split_at_checked(COOKIE_LENGTH).ok_or(CookieError::Forged)?;
        let expected = hmac::sign(key, body);
        // RFC 9260 §5.1.5: first the authenticity, then the age.
        constant_time::verify_slices_are_equal(expected.as_ref(), tag).map_err(|_| CookieError::Forged)?;
        let number = |at: usize| word(body, 8 + 4 * at).unwrap_or_default();
        let made_at = u64::from(word(body, 0).unwrap_or_default()) << 32 | u64::from(word(body, 4).unwrap_or_default());
        if now.saturating_sub(made_at) > COOKIE_LIFE {
            return Err(CookieError::Stale);
        }
        Ok(Self {
            local_tag: number(0),
            local_tsn: number(1),
            remote_tag: number(2),
            remote_tsn: number(3),
            receive_window: number(4),
            outbound_streams: (number(5) >> 16) as u16,
            inbound_streams: number(5) as u16,
            extensions: Extensions::from_bits(number(6) as u8),
            tie_local: number(7),
            tie_remote: number(8),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::chunk::Chunks;
    use super::super::packet::put_chunk;
    use super::*;

    fn init() -> Init {
        Init {
            tag: 7,
            receive_window: 100_000,
            outbound_streams: 65_535,
            inbound_streams: 3,
            tsn: 0xffff_fff0,
            extensions: Extensions { forward_tsn: true, stream_reset: true, interleaving: true, zero_checksum: true },
        }
    }

    #[test]
    fn an_init_is_read_as_written_and_the_unknown_is_reported() {
        let mut bytes = Vec::new();
        put_chunk(&mut bytes, kind::INIT, 0, |body| {
            init().write(body);
            put_parameter(body, 0xc123, b"report");
            put_parameter(body, 0x8123, b"skip");
            put_parameter(body, 0x0123, b"stop");
            put_parameter(body, 0xc124, b"behind");
        });
        let chunk = Chunks(&bytes).next().unwrap();
        let (read, extras) = Init::parse(&chunk).unwrap();
        assert_eq!(read, init());
        assert_eq!(extras.unrecognized, b"\xc1\x23\0\x0areport\0\0");
        bytes[4..8].fill(0);
        assert_eq!(Init::parse(&Chunks(&bytes).next().unwrap()), None, "no tag");
    }

    #[test]
    fn a_cookie_is_ours_and_fresh_or_refused() {
        let (key, other) = (hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]), hmac::Key::new(hmac::HMAC_SHA256, &[2; 32]));
        let cookie = Cookie {
            local_tag: 1,
            local_tsn: 2,
            remote_tag: 3,
            remote_tsn: 4,
            receive_window: 5,
            outbound_streams: 6,
            inbound_streams: 7,
            extensions: init().extensions,
            tie_local: 8,
            tie_remote: 9,
        };
        let mut bytes = cookie.seal(&key, 1_000);
        assert_eq!(Cookie::open(&bytes, &key, 61_000), Ok(cookie));
        assert_eq!(Cookie::open(&bytes, &key, 61_001), Err(CookieError::Stale));
        assert_eq!(Cookie::open(&bytes, &other, 1_000), Err(CookieError::Forged));
        bytes[9] ^= 1;
        assert_eq!(Cookie::open(&bytes, &key, 1_000), Err(CookieError::Forged));
        assert_eq!(Cookie::open(&bytes[..20], &key, 1_000), Err(CookieError::Forged));
    }
}
