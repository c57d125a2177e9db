//! Base 64 (RFC 4648 §4), both ways.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text, padded.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = ALPHABET[(group >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// The bytes of a text, white space left out; `None` if it is not base 64.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let letters = text.bytes().filter(|letter| !letter.is_ascii_whitespace());
    let (mut bytes, mut group, mut bits, mut padding) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0, 0);
    for letter in letters {
        if letter == b'=' {
            padding += 1;
            continue;
        }
        let value = ALPHABET.iter().position(|known| *known == letter).filter(|_| padding == 0)?;
        group = group << 6 | value as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((group >> bits) as u8);
        }
    }
    (padding <= 2 && bits < 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_rfc_hold_both_ways() {
        // RFC 4648 §10.
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), plain.as_bytes());
        }
        assert_eq!(decode(" Zm9v\r\nYmFy "), Some(b"foobar".to_vec()));
        for wrong in ["Z", "Zg=a", "Zm9v!", "===="] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
