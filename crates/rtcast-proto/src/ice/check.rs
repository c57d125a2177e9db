//! STUN messages of a pair that is in use, read and written without the agent (RFC 8489, RFC 8445 §7, RFC 7675).

use std::net::SocketAddr;

use hmac::Mac;

use super::IceRole;
use crate::stun::{
    self, ERROR, HEAD_LENGTH, ICE_CONTROLLED, ICE_CONTROLLING, MESSAGE_INTEGRITY, PRIORITY, REQUEST, SUCCESS,
    USE_CANDIDATE, USERNAME, XOR_MAPPED_ADDRESS, keyed,
};

pub(super) use crate::stun::Transaction;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Request,
    Success,
    Error,
}

/// A binding request or a response to one, with what is needed of it. Not authentic until [`verify`](Self::verify) says so.
#[derive(Debug)]
pub(super) struct CheckMessage<'a> {
    pub(super) class: Class,
    pub(super) transaction: Transaction,
    pub(super) username: Option<&'a [u8]>,
    pub(super) has_priority: bool,
    pub(super) nominates: bool,
    /// The role that the sender says it has.
    pub(super) role: Option<IceRole>,
    /// What stands before the MESSAGE-INTEGRITY, and its value.
    covered: &'a [u8],
    integrity: &'a [u8; 20],
}

impl<'a> CheckMessage<'a> {
    /// Reads a message. `None` for anything out of the ordinary: another method, an attribute that must be understood and
    /// is not known here, no MESSAGE-INTEGRITY.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let message = stun::Message::parse(bytes).filter(|message| message.length == message.body.len())?;
        let class = match message.kind {
            REQUEST => Class::Request,
            SUCCESS => Class::Success,
            ERROR => Class::Error,
            _ => return None,
        };
        let (mut username, mut has_priority, mut nominates, mut role) = (None, false, false, None);
        for attribute in message.attributes() {
            let stun::Attribute { kind, value, offset } = attribute?;
            match kind {
                USERNAME => username = Some(value),
                PRIORITY => has_priority = true,
                USE_CANDIDATE => nominates = true,
                ICE_CONTROLLED => role = Some(IceRole::Controlled),
                ICE_CONTROLLING => role = Some(IceRole::Controlling),
                XOR_MAPPED_ADDRESS => {}
                // RFC 8489 §14.5: what follows it is not protected and is passed over.
                MESSAGE_INTEGRITY => {
                    return Some(Self {
                        class,
                        transaction: message.transaction,
                        username,
                        has_priority,
                        nominates,
                        role,
                        covered: bytes.get(..offset)?,
                        integrity: value.try_into().ok()?,
                    });
                }
                // RFC 8489 §14: attributes below must be understood.
                ..0x8000 => return None,
                _ => {}
            }
        }
        None
    }

    /// Whether whoever wrote it knows the password.
    pub(super) fn verify(&self, password: &str) -> bool {
        // RFC 8489 §14.5: the length that is covered reaches to the end of MESSAGE-INTEGRITY.
        let length = (self.covered.len() + 24 - HEAD_LENGTH) as u16;
        let mut mac = keyed(password.as_bytes());
        mac.update(&self.covered[..2]);
        mac.update(&length.to_be_bytes());
        mac.update(&self.covered[4..]);
        mac.verify_slice(self.integrity).is_ok()
    }
}

/// Whether this is a binding request or a response to one that whoever knows the password has written (RFC 8489 §9.1), as
/// connections read it whose pair is settled.
pub fn is_authentic_check(datagram: &[u8], password: &str) -> bool {
    CheckMessage::parse(datagram).is_some_and(|message| message.verify(password))
}

/// A consent check (RFC 7675 §5.1), which is an ordinary check of a pair.
pub(super) struct CheckRequest<'a> {
    pub(super) transaction: Transaction,
    /// The peer's fragment and ours.
    pub(super) usernames: (&'a str, &'a str),
    pub(super) priority: u32,
    pub(super) role: IceRole,
    pub(super) tie_breaker: u64,
    /// The peer's.
    pub(super) password: &'a str,
}

impl CheckRequest<'_> {
    pub(super) fn write(&self) -> Vec<u8> {
        let (theirs, ours) = self.usernames;
        let mut message = stun::begin(REQUEST, &self.transaction, 96 + theirs.len() + ours.len());
        stun::push_attribute(&mut message, USERNAME, &[theirs.as_bytes(), b":", ours.as_bytes()]);
        stun::push_attribute(&mut message, PRIORITY, &[&self.priority.to_be_bytes()]);
        match self.role {
            IceRole::Controlling => {
                stun::push_attribute(&mut message, ICE_CONTROLLING, &[&self.tie_breaker.to_be_bytes()]);
                stun::push_attribute(&mut message, USE_CANDIDATE, &[]);
            }
            IceRole::Controlled => {
                stun::push_attribute(&mut message, ICE_CONTROLLED, &[&self.tie_breaker.to_be_bytes()]);
            }
        }
        stun::finish(message, self.password)
    }
}

/// The answer to a check that came from this address.
pub(super) fn success_response(transaction: &Transaction, source: SocketAddr, password: &str) -> Vec<u8> {
    let mut message = stun::begin(SUCCESS, transaction, 80);
    stun::push_xor_address(&mut message, source);
    stun::finish(message, password)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769 §2.1 and §2.2: a request and a response with the password that both use.
    const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
    const SAMPLE_REQUEST: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x10STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
        \x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\
        \x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\x80\x28\x00\x04\xe5\x7a\x3b\xcf";
    const SAMPLE_RESPONSE: &[u8] = b"\x01\x01\x00\x3c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x0btest vector \x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43\
        \x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\x2a\xf9\xba\x53\xf0\x6b\xe7\xd7\
        \x80\x28\x00\x04\xc0\x7d\x4c\x96";

    #[test]
    fn the_samples_of_rfc_5769_are_read_and_verified() {
        let request = CheckMessage::parse(SAMPLE_REQUEST).unwrap();
        assert_eq!((request.class, request.username), (Class::Request, Some(&b"evtj:h6vY"[..])));
        assert_eq!((request.role, request.has_priority, request.nominates), (Some(IceRole::Controlled), true, false));
        assert!(request.verify(PASSWORD));
        assert!(!request.verify("another"));
        let response = CheckMessage::parse(SAMPLE_RESPONSE).unwrap();
        assert_eq!(response.class, Class::Success);
        assert_eq!(response.transaction, request.transaction);
        assert!(response.verify(PASSWORD));
    }

    #[test]
    fn no_changed_byte_before_the_fingerprint_is_taken() {
        let end = SAMPLE_REQUEST.len() - 8;
        for at in 0..end {
            let mut changed = SAMPLE_REQUEST.to_vec();
            changed[at] ^= 0x10;
            let taken = CheckMessage::parse(&changed).is_some_and(|message| message.verify(PASSWORD));
            assert!(!taken, "byte {at}");
        }
        for length in 0..SAMPLE_REQUEST.len() {
            assert!(CheckMessage::parse(&SAMPLE_REQUEST[..length]).is_none());
        }
    }

    #[test]
    fn the_agents_parser_takes_what_is_written() {
        use is::stun::StunMessage;
        let key = |key: &[u8], parts: &[&[u8]]| {
            let mut mac = keyed(key);
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().into()
        };
        for (role, source) in [(IceRole::Controlling, "203.0.113.9:4660"), (IceRole::Controlled, "[2001:db8::9]:65535")]
        {
            let request = CheckRequest {
                transaction: *b"abcdefghijkl",
                usernames: ("theirs", "ours"),
                priority: 0x6e00_01ff,
                role,
                tie_breaker: 77,
                password: "secret",
            };
            let bytes = request.write();
            let message = StunMessage::parse(&bytes).unwrap();
            assert!(message.is_binding_request() && message.verify(b"secret", key));
            assert_eq!(message.username(), Some("theirs:ours"));
            assert_eq!((message.prio(), message.use_candidate()), (Some(0x6e00_01ff), role == IceRole::Controlling));
            let own = CheckMessage::parse(&bytes).unwrap();
            assert!(own.verify("secret") && own.role == Some(role));

            let source: SocketAddr = source.parse().unwrap();
            let bytes = success_response(&own.transaction, source, "secret");
            let message = StunMessage::parse(&bytes).unwrap();
            assert!(message.is_successful_binding_response() && message.verify(b"secret", key));
            assert_eq!(message.mapped_address(), Some(source));
            let own = CheckMessage::parse(&bytes).unwrap();
            assert!(own.verify("secret") && own.class == Class::Success);
            let (covered, checksum) = bytes.split_at(bytes.len() - 8);
            let expected = stun::fingerprint(covered);
            assert_eq!(checksum[4..], expected.to_be_bytes(), "RFC 8489 §14.7");
        }
    }
}
