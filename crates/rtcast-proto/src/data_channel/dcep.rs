//! The data channel establishment protocol (RFC 8832).

use super::DataChannelInit;
use crate::sctp::PayloadProtocolId;

/// What messages mean (RFC 8831 §8, RFC 8832 §8.1).
pub(super) const PPID_DCEP: PayloadProtocolId = PayloadProtocolId(50);
pub(super) const PPID_STRING: PayloadProtocolId = PayloadProtocolId(51);
pub(super) const PPID_BINARY: PayloadProtocolId = PayloadProtocolId(53);
pub(super) const PPID_STRING_EMPTY: PayloadProtocolId = PayloadProtocolId(56);
pub(super) const PPID_BINARY_EMPTY: PayloadProtocolId = PayloadProtocolId(57);

const ACK: u8 = 2;
const OPEN: u8 = 3;

/// The bit of the channel type that says unordered, and the kinds of reliability (RFC 8832 §5.1).
const UNORDERED: u8 = 0x80;
const RELIABLE: u8 = 0;
const LIMITED_RETRANSMITS: u8 = 1;
const LIMITED_TIME: u8 = 2;

/// RFC 8831 §6.4: the priority of a channel that has no special one.
const PRIORITY_NORMAL: u16 = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dcep {
    Open { label: String, init: DataChannelInit },
    Ack,
}

impl Dcep {
    /// Reads a message; `None` if it is damaged or of a kind that is not known.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&ACK, _) => Some(Self::Ack),
            (&OPEN, rest) => {
                let (&[kind, _, _, a, b, c, d, l1, l2, p1, p2], rest) = rest.split_first_chunk::<11>()?;
                let reliability = u32::from_be_bytes([a, b, c, d]);
                let (label, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([l1, l2])))?;
                let protocol = rest.get(..usize::from(u16::from_be_bytes([p1, p2])))?;
                // W3C has 16 bits for what the wire has 32.
                let limit = Some(u16::try_from(reliability).unwrap_or(u16::MAX));
                let (max_retransmits, max_packet_life_time) = match kind & !UNORDERED {
                    RELIABLE => (None, None),
                    LIMITED_RETRANSMITS => (limit, None),
                    LIMITED_TIME => (None, limit),
                    _ => return None,
                };
                let init = DataChannelInit {
                    ordered: kind & UNORDERED == 0,
                    max_packet_life_time,
                    max_retransmits,
                    // RFC 8832 §5.1 says UTF-8; what is not is shown as such.
                    protocol: String::from_utf8_lossy(protocol).into_owned(),
                    negotiated: false,
                    id: None,
                };
                Some(Self::Open { label: String::from_utf8_lossy(label).into_owned(), init })
            }
            _ => None,
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let Self::Open { label, init } = self else { return vec![ACK] };
        let (kind, limit) = match (init.max_retransmits, init.max_packet_life_time) {
            (Some(limit), _) => (LIMITED_RETRANSMITS, limit),
            (None, Some(limit)) => (LIMITED_TIME, limit),
            (None, None) => (RELIABLE, 0),
        };
        let mut bytes = Vec::with_capacity(12 + label.len() + init.protocol.len());
        bytes.extend_from_slice(&[OPEN, kind | if init.ordered { 0 } else { UNORDERED }]);
        bytes.extend_from_slice(&PRIORITY_NORMAL.to_be_bytes());
        bytes.extend_from_slice(&u32::from(limit).to_be_bytes());
        // Both were checked when the channel was made.
        bytes.extend_from_slice(&(label.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&(init.protocol.len() as u16).to_be_bytes());
        bytes.extend_from_slice(label.as_bytes());
        bytes.extend_from_slice(init.protocol.as_bytes());
        bytes
    }
}

pub(super) fn round_trip(bytes: &[u8]) -> bool {
    let Some(message) = Dcep::parse(bytes) else { return false };
    // A name that was no UTF-8 may be longer than the field for it once it is.
    if let Dcep::Open { label, init } = &message
        && (label.len() > 65_535 || init.protocol.len() > 65_535)
    {
        return true;
    }
    assert_eq!(Dcep::parse(&message.to_bytes()).as_ref(), Some(&message));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_is_read_as_written() {
        for (retransmits, time) in [(None, None), (Some(0), None), (Some(7), None), (None, Some(300))] {
            for ordered in [true, false] {
                let init = DataChannelInit {
                    ordered,
                    max_retransmits: retransmits,
                    max_packet_life_time: time,
                    protocol: "protocole".to_owned(),
                    ..DataChannelInit::default()
                };
                let open = Dcep::Open { label: "Ελλάδα 日本 🚀".to_owned(), init };
                assert_eq!(Dcep::parse(&open.to_bytes()), Some(open));
            }
        }
        assert_eq!(Dcep::parse(&Dcep::Ack.to_bytes()), Some(Dcep::Ack));
    }

    #[test]
    fn damage_is_refused() {
        let whole = Dcep::Open { label: "label".to_owned(), init: DataChannelInit::default() }.to_bytes();
        assert!((0..whole.len()).all(|length| Dcep::parse(&whole[..length]).is_none()));
        let mut unknown = whole.clone();
        unknown[1] = 3;
        assert_eq!(Dcep::parse(&unknown), None);
        assert_eq!(Dcep::parse(&[9]), None);
    }
}
