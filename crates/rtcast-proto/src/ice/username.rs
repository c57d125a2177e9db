//! Finding the connection that a STUN request is for.

/// The fragment of ours that a STUN request names, by which whoever owns the socket finds the connection.
pub fn username_of(datagram: &[u8]) -> Option<&str> {
    // RFC 8489 §5 and §14.3: a binding request, the magic cookie, and a USERNAME attribute of type 6 whose value is our
    // fragment, a colon and the peer's. Read by hand, for it is done before anything else about the datagram is known.
    let (head, mut attributes) = datagram.split_at_checked(20)?;
    if head[..2] != [0, 1] || head[4..8] != [0x21, 0x12, 0xa4, 0x42] {
        return None;
    }
    loop {
        let (kind_and_length, rest) = attributes.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([kind_and_length[2], kind_and_length[3]]));
        let value = rest.get(..length)?;
        if kind_and_length[..2] == [0, 6] {
            return std::str::from_utf8(value).ok()?.split_once(':').map(|(ours, _)| ours);
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
}
