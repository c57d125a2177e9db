//! Boxes of the ISO base media file format (ISO/IEC 14496-12 §4.2) and atoms of QuickTime.

use super::super::fields::Fields;
use super::super::input::Input;
use crate::error::MediaError;

/// A box's four-character code.
pub(super) type Kind = [u8; 4];

/// The start of a box in the file.
pub(super) struct BoxHeader {
    pub(super) kind: Kind,
    /// Where the box starts.
    pub(super) start: u64,
    /// Where its body starts.
    pub(super) body: u64,
    /// Where it ends, `None` if it reaches to the end of the file.
    pub(super) end: Option<u64>,
}

impl BoxHeader {
    /// Reads the header at the input's position; `None` at the end, also at one in the middle of a header.
    pub(super) fn read(input: &mut Input) -> Result<Option<Self>, MediaError> {
        let start = input.position();
        let Some(head) = input.read_array::<8>()? else { return Ok(None) };
        let [a, b, c, d, kind @ ..] = head;
        let size = match u32::from_be_bytes([a, b, c, d]) {
            0 => None,
            1 => match input.read_array()? {
                Some(size) => Some(u64::from_be_bytes(size)),
                None => return Ok(None),
            },
            size => Some(u64::from(size)),
        };
        let body = input.position();
        let end = match size {
            None => None,
            Some(size) if size < body - start => {
                return Err(input.invalid(format!(
                    "the box {} at byte {start} says that it is {size} bytes long, which is less than its header",
                    printable(kind)
                )));
            }
            Some(size) => Some(start.saturating_add(size)),
        };
        Ok(Some(Self { kind, start, body, end }))
    }

    /// The body's length, as far as the box tells.
    pub(super) fn body_length(&self) -> Option<u64> {
        self.end.map(|end| end - self.body)
    }
}

/// The boxes in a body, in order; ends at the first that is broken.
pub(super) fn children(body: &[u8]) -> impl Iterator<Item = (Kind, &[u8])> {
    let mut fields = Fields::new(body);
    std::iter::from_fn(move || {
        let size = fields.u32()?;
        let kind = fields.array()?;
        let length = match size {
            0 => fields.rest().len(),
            1 => usize::try_from(fields.u64()?.checked_sub(16)?).ok()?,
            size => usize::try_from(size.checked_sub(8)?).ok()?,
        };
        Some((kind, fields.take(length)?))
    })
}

/// The first box of that kind.
pub(super) fn find<'a>(body: &'a [u8], kind: &Kind) -> Option<&'a [u8]> {
    children(body).find(|(found, _)| found == kind).map(|(_, body)| body)
}

/// The first box at the end of a path of kinds.
pub(super) fn find_path<'a>(body: &'a [u8], path: &[&Kind]) -> Option<&'a [u8]> {
    path.iter().try_fold(body, |body, kind| find(body, kind))
}

/// Decodes a leaf box's body; a damaged one counts as missing.
pub(super) fn decode<T: mp4_atom::Atom>(body: &[u8]) -> Option<T> {
    let mut bytes = body;
    T::decode_body(&mut bytes).ok()
}

/// Decodes the first box of a type; a damaged one counts as missing.
pub(super) fn find_decoded<T: mp4_atom::Atom>(body: &[u8], kind: &Kind) -> Option<T> {
    find(body, kind).and_then(decode)
}

/// The kind as text, unprintable bytes replaced.
pub(super) fn printable(kind: Kind) -> String {
    kind.iter().map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_end_where_the_body_is_broken() {
        let body = b"\0\0\0\x0aabcdxy\0\0\0\x08free\0\0\0\x40cut!z";
        let found: Vec<_> = children(body).collect();
        assert_eq!(found, [(*b"abcd", &b"xy"[..]), (*b"free", &b""[..])]);
        assert_eq!(children(b"\0\0\0\x04badd").count(), 0);
    }
}
