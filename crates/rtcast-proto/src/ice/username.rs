//! Finding the connection that a STUN request is for.

use crate::stun::{Message, REQUEST, USERNAME};

/// The fragment of ours that a STUN request names, by which whoever owns the socket finds the connection.
pub fn username_of(datagram: &[u8]) -> Option<&str> {
    // RFC 8489 §14.3: the USERNAME is our fragment, a colon and the peer's. Nothing else of the message is looked at, for
    // this is done before anything is known about the datagram.
    let message = Message::parse(datagram).filter(|message| message.kind == REQUEST)?;
    let username =
        message.attributes().map_while(|attribute| attribute).find(|attribute| attribute.kind == USERNAME)?;
    std::str::from_utf8(username.value).ok()?.split_once(':').map(|(ours, _)| ours)
}
