//! Writing a message: its head, its attributes, and what protects it.

use std::net::{IpAddr, SocketAddr};

use crc::{CRC_32_ISO_HDLC, Crc};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::{COOKIE, FINGERPRINT, HEAD_LENGTH, MESSAGE_INTEGRITY, Transaction, XOR_MAPPED_ADDRESS};

/// RFC 8489 §14.7: what the checksum is combined with.
const FINGERPRINT_MASK: u32 = 0x5354_554e;

static CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// RFC 8489 §14.5: the code that protects a message, keyed with the password.
pub(crate) fn keyed(password: &[u8]) -> Hmac<Sha1> {
    Hmac::new_from_slice(password).expect("HMAC takes keys of any length")
}

/// A message without attributes, with room for `capacity` bytes.
pub(crate) fn begin(kind: [u8; 2], transaction: &Transaction, capacity: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(capacity);
    message.extend_from_slice(&kind);
    message.extend_from_slice(&[0; 2]);
    message.extend_from_slice(&COOKIE);
    message.extend_from_slice(transaction);
    message
}

/// Appends an attribute whose value is these parts, padded to whole words.
pub(crate) fn push_attribute(message: &mut Vec<u8>, kind: u16, value: &[&[u8]]) {
    let length: usize = value.iter().map(|part| part.len()).sum();
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&(length as u16).to_be_bytes());
    value.iter().for_each(|part| message.extend_from_slice(part));
    message.resize(message.len().next_multiple_of(4), 0);
}

/// Appends XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
pub(crate) fn push_xor_address(message: &mut Vec<u8>, address: SocketAddr) {
    let mut value = [0; 20];
    let port = address.port() ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]]);
    value[2..4].copy_from_slice(&port.to_be_bytes());
    let mask: [u8; 16] = std::array::from_fn(|at| message[4 + at]);
    let mut hide = |ip: &[u8]| {
        for (place, (byte, mask)) in value[4..].iter_mut().zip(ip.iter().zip(mask)) {
            *place = byte ^ mask;
        }
    };
    let length = match address.ip() {
        IpAddr::V4(ip) => {
            hide(&ip.octets());
            value[1] = 1;
            8
        }
        IpAddr::V6(ip) => {
            hide(&ip.octets());
            value[1] = 2;
            20
        }
    };
    push_attribute(message, XOR_MAPPED_ADDRESS, &[&value[..length]]);
}

/// Appends MESSAGE-INTEGRITY and FINGERPRINT.
pub(crate) fn finish(mut message: Vec<u8>, password: &str) -> Vec<u8> {
    let set_length = |message: &mut [u8], appended: usize| {
        let length = (message.len() + appended - HEAD_LENGTH) as u16;
        message[2..4].copy_from_slice(&length.to_be_bytes());
    };
    set_length(&mut message, 24);
    let mut mac = keyed(password.as_bytes());
    mac.update(&message);
    push_attribute(&mut message, MESSAGE_INTEGRITY, &[&mac.finalize().into_bytes()]);
    set_length(&mut message, 8);
    let checksum = fingerprint(&message);
    push_attribute(&mut message, FINGERPRINT, &[&checksum.to_be_bytes()]);
    message
}

/// The FINGERPRINT of a message of which this stands before it (RFC 8489 §14.7).
pub(crate) fn fingerprint(covered: &[u8]) -> u32 {
    CHECKSUM.checksum(covered) ^ FINGERPRINT_MASK
}
