//! Reading: nothing is copied, and nothing of what is read is authentic yet.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

use std::net::{IpAddr, SocketAddr};

use super::{COOKIE, HEAD_LENGTH, Transaction};

/// A STUN message, viewed in its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    /// Class and method.
    pub(crate) kind: [u8; 2],
    pub(crate) transaction: Transaction,
    /// How long the attributes are by the message's own word.
    pub(crate) length: usize,
    /// Everything behind the head.
    pub(crate) body: &'a [u8],
}

/// An attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attribute<'a> {
    pub(crate) kind: u16,
    pub(crate) value: &'a [u8],
    /// Where it begins, in bytes from the beginning of the message.
    pub(crate) offset: usize,
}

impl<'a> Message<'a> {
    /// Reads the head. `None` if it is not whole or without the magic cookie.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, body) = bytes.split_first_chunk::<HEAD_LENGTH>()?;
        let [first, second, high, low, cookie @ .., _, _, _, _, _, _, _, _, _, _, _, _] = head;
        if *cookie != COOKIE {
            return None;
        }
        Some(Self {
            kind: [*first, *second],
            transaction: *head.last_chunk()?,
            length: usize::from(u16::from_be_bytes([*high, *low])),
            body,
        })
    }

    /// All attributes of the body, in their order. What is not whole is `None`, and ends them.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = Option<Attribute<'a>>> + use<'a> {
        let end = HEAD_LENGTH + self.body.len();
        let mut rest = self.body;
        std::iter::from_fn(move || {
            let offset = end - rest.len();
            let ([kind_high, kind_low, high, low], tail) = rest.split_first_chunk::<4>()?;
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            // RFC 8489 §14: each is padded to whole words; the padding of the last may be missing.
            rest = tail.get(length.next_multiple_of(4)..).unwrap_or_default();
            let kind = u16::from_be_bytes([*kind_high, *kind_low]);
            Some(tail.get(..length).map(|value| Attribute { kind, value, offset }))
        })
    }
}

/// The address in an attribute that was combined with `mask` bit by bit: its port with the first two bytes, its IP with as
/// many as it has (RFC 8489 §14.2; with a mask of nothing, §14.1).
pub(crate) fn xor_address(value: &[u8], mask: &[u8; 16]) -> Option<SocketAddr> {
    let ([_, family, port_high, port_low], ip) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([port_high ^ mask[0], port_low ^ mask[1]]);
    let unmasked = |place: usize| ip.get(place).zip(mask.get(place)).map_or(0, |(byte, mask)| byte ^ mask);
    let ip: IpAddr = match family {
        1 if ip.len() >= 4 => std::array::from_fn::<u8, 4, _>(unmasked).into(),
        2 if ip.len() >= 16 => std::array::from_fn::<u8, 16, _>(unmasked).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_in_their_order_and_end_with_what_is_not_whole() {
        let mut bytes = vec![0, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend([7; 12]);
        bytes.extend([0, 6, 0, 1, b'a', 0, 0, 0, 0x80, 0x29, 0, 0, 0, 0x24, 0, 4, 1]);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.kind, message.length, message.transaction), ([0, 1], 12, [7; 12]));
        let read: Vec<_> = message.attributes().collect();
        assert_eq!(
            read,
            [
                Some(Attribute { kind: 6, value: b"a", offset: 20 }),
                Some(Attribute { kind: 0x8029, value: b"", offset: 28 }),
                None
            ]
        );
        assert!(Message::parse(&bytes[..19]).is_none());
        bytes[4] = 0;
        assert!(Message::parse(&bytes).is_none());
    }
}
