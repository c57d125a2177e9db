//! RTP header extensions in their one-byte and two-byte forms (RFC 8285).

const ONE_BYTE_PROFILE: u16 = 0xbede;

/// The elements of an extension block: identifier and value. Stops at the first element that is not whole.
pub fn extensions(profile: u16, block: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let one_byte = profile == ONE_BYTE_PROFILE;
    // RFC 8285 §4.3: the two-byte form is 0x100 and four application bits.
    let two_byte = profile & 0xfff0 == 0x1000;
    let mut rest = if one_byte || two_byte { block } else { &[] };
    std::iter::from_fn(move || {
        loop {
            let (&first, tail) = rest.split_first()?;
            if first == 0 {
                rest = tail;
                continue;
            }
            let (id, length, tail) = if one_byte {
                // RFC 8285 §4.2: identifier 15 ends the processing.
                if first >> 4 == 15 {
                    return None;
                }
                (first >> 4, usize::from(first & 0x0f) + 1, tail)
            } else {
                let (&length, tail) = tail.split_first()?;
                (first, usize::from(length), tail)
            };
            let (value, tail) = tail.split_at_checked(length)?;
            rest = tail;
            return Some((id, value));
        }
    })
}

/// Builds an extension block in the one-byte form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtensionWriter {
    elements: Vec<u8>,
}

impl ExtensionWriter {
    /// Adds an element. Returns `false`, and adds nothing, if the one-byte form cannot carry it: its identifier is 1 to
    /// 14 and its value 1 to 16 bytes long (RFC 8285 §4.2).
    pub fn push(&mut self, id: u8, value: &[u8]) -> bool {
        if !(1..=14).contains(&id) || !(1..=16).contains(&value.len()) {
            return false;
        }
        self.elements.push(id << 4 | (value.len() - 1) as u8);
        self.elements.extend_from_slice(value);
        true
    }

    /// The whole block with its profile and length, padded to words; empty if nothing was added.
    pub fn finish(mut self) -> Vec<u8> {
        if self.elements.is_empty() {
            return Vec::new();
        }
        self.elements.resize(self.elements.len().next_multiple_of(4), 0);
        let words = (self.elements.len() / 4) as u16;
        let mut block = Vec::with_capacity(4 + self.elements.len());
        block.extend(ONE_BYTE_PROFILE.to_be_bytes());
        block.extend(words.to_be_bytes());
        block.extend(self.elements);
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_back_as_written() {
        let mut writer = ExtensionWriter::default();
        assert!(writer.push(4, b"0"));
        assert!(writer.push(3, &[1, 2, 3]));
        assert!(!writer.push(15, b"x"));
        assert!(!writer.push(1, b""));
        let block = writer.finish();
        assert_eq!(block.len() % 4, 0);
        let read: Vec<_> = extensions(0xbede, &block[4..]).collect();
        assert_eq!(read, [(4, &b"0"[..]), (3, &[1, 2, 3][..])]);
    }

    #[test]
    fn the_two_byte_form_is_read() {
        let block = [20, 2, b'h', b'i', 0, 21, 0, 22, 9];
        assert_eq!(extensions(0x1000, &block).collect::<Vec<_>>(), [(20, &b"hi"[..]), (21, &b""[..])]);
        assert_eq!(extensions(0x4711, &block).count(), 0);
    }
}
