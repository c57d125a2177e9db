//! What a packet of media may have at most, and what of that is left to header extensions.

use super::FIXED_HEADER_LENGTH;

/// The longest packet, in bytes of UDP payload: every path carries so much.
pub const MAX_PACKET: usize = 1_200;

/// The longest authentication tag of SRTP, AES-GCM's (RFC 7714 §13.1).
const AUTHENTICATION_TAG: usize = 16;

/// What a retransmission has besides: the number of the packet that it repeats (RFC 4588 §4).
const ORIGINAL_SEQUENCE_NUMBER: usize = 2;

/// The head of a block of header extensions: its profile and its length (RFC 8285 §4.2).
const BLOCK_HEAD: usize = 4;

/// An element of the one-byte form has so much in front of its value.
const ELEMENT_HEAD: usize = 1;

/// The name of an m-line that room is kept for, in characters. A longer one, up to 16, is written all the same.
pub const BUDGETED_MID: usize = 7;

/// The number by which a transport counts its packets (draft-holmer-rmcat-transport-wide-cc-extensions-01 §2).
pub const TRANSPORT_SEQUENCE_NUMBER_LENGTH: usize = 2;

/// The time of sending: six bits of seconds and eighteen of their fraction.
pub const ABS_SEND_TIME_LENGTH: usize = 3;

/// A dependency descriptor that room is kept for, in bytes (AV1 RTP specification, appendix A.8.2): without a template
/// structure, but with the decode targets, frame differences and chains of three spatial and three temporal layers told anew
/// (24 bits of mandatory fields, 5 of flags, 18 of targets, 12 of differences, 24 of chains).
pub const BUDGETED_DEPENDENCY_DESCRIPTOR: usize = 11;

/// What is kept free for header extensions: the head of their block, a mid, a transport-wide sequence number, the time of
/// sending, a dependency descriptor and a colour space, in whole words: 4 + 8 + 3 + 4 + 12 + 5 = 36 bytes.
///
/// What a peer has not negotiated is not written; the packets are cut before anybody knows who will receive them.
pub const HEADER_EXTENSIONS: usize = (BLOCK_HEAD
    + (ELEMENT_HEAD + BUDGETED_MID)
    + (ELEMENT_HEAD + TRANSPORT_SEQUENCE_NUMBER_LENGTH)
    + (ELEMENT_HEAD + ABS_SEND_TIME_LENGTH)
    + (ELEMENT_HEAD + BUDGETED_DEPENDENCY_DESCRIPTOR)
    + (ELEMENT_HEAD + crate::color::COLOR_SPACE_LENGTH))
    .next_multiple_of(4);

/// What header, header extensions and payload may have together, so that the packet and its retransmission fit.
pub const MAX_PLAIN_PACKET: usize = MAX_PACKET - AUTHENTICATION_TAG - ORIGINAL_SEQUENCE_NUMBER;

/// The longest payload that packetizers make: 1,200 bytes less 12 of RTP header, 36 of header extensions, 16 of
/// authentication tag and the 2 by which a retransmission grows, that is 1,134.
pub const MAX_PAYLOAD: usize = MAX_PLAIN_PACKET - FIXED_HEADER_LENGTH - HEADER_EXTENSIONS;
