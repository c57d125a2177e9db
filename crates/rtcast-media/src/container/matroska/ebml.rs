//! Elements of EBML: RFC 8794 §4 to §7.

use super::super::fields::Fields;
use super::super::input::Input;
use crate::error::MediaError;

/// The head of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element {
    /// The identifier with its length marker.
    pub(super) id: u32,
    /// The length of the data, `None` if it is unknown.
    pub(super) length: Option<u64>,
}

impl Element {
    /// Reads the head at the input's position; `None` at the end.
    pub(super) fn read(input: &mut Input) -> Result<Option<Self>, MediaError> {
        let start = input.position();
        let Some([first]) = input.read_array()? else { return Ok(None) };
        let extra = first.leading_zeros() as usize;
        // RFC 8794 §11.2.4: identifiers are at most four bytes long here.
        if extra > 3 {
            return Err(input.invalid(format!("byte {start} holds no element of EBML; the file is damaged there")));
        }
        let mut id = u32::from(first);
        for _ in 0..extra {
            let Some([byte]) = input.read_array()? else { return Ok(None) };
            id = id << 8 | u32::from(byte);
        }
        let Some([first]) = input.read_array()? else { return Ok(None) };
        let extra = first.leading_zeros() as usize;
        if extra > 7 {
            return Err(input.invalid(format!("the element at byte {start} has no length; the file is damaged there")));
        }
        let mut tail = [0; 8];
        if !input.read_exact(&mut tail[..extra])? {
            return Ok(None);
        }
        let length = join(first, &tail[..extra]);
        Ok(Some(Self { id, length: (length != unknown(extra)).then_some(length) }))
    }
}

/// The elements in a body of known length; ends at the first that is broken.
pub(super) fn children(body: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut fields = Fields::new(body);
    std::iter::from_fn(move || {
        let first = fields.u8()?;
        let extra = first.leading_zeros() as usize;
        if extra > 3 {
            return None;
        }
        let id = fields.take(extra)?.iter().fold(u32::from(first), |id, byte| id << 8 | u32::from(*byte));
        let length = usize::try_from(vint(&mut fields)?).ok()?;
        Some((id, fields.take(length)?))
    })
}

/// A variable-size integer, its marker removed: RFC 8794 §4.
pub(super) fn vint(fields: &mut Fields<'_>) -> Option<u64> {
    let first = fields.u8()?;
    let extra = first.leading_zeros() as usize;
    if extra > 7 {
        return None;
    }
    Some(join(first, fields.take(extra)?))
}

/// A signed variable-size integer, as EBML lacing has them: RFC 9559 §10.3.3.
pub(super) fn signed_vint(fields: &mut Fields<'_>) -> Option<i64> {
    let before = fields.rest().len();
    let value = vint(fields)?;
    let bytes = before - fields.rest().len();
    let bias = (1i64 << (7 * bytes - 1)) - 1;
    Some(value.cast_signed() - bias)
}

/// An unsigned integer element: RFC 8794 §7.2.
pub(super) fn unsigned(body: &[u8]) -> u64 {
    body.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A float element: RFC 8794 §7.3.
pub(super) fn float(body: &[u8]) -> Option<f64> {
    match body.len() {
        4 => Some(f32::from_be_bytes(body.try_into().ok()?).into()),
        8 => Some(f64::from_be_bytes(body.try_into().ok()?)),
        _ => None,
    }
}

/// A string element, what stands behind a zero byte cut off: RFC 8794 §7.4.
pub(super) fn string(body: &[u8]) -> String {
    let text = body.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

fn join(first: u8, tail: &[u8]) -> u64 {
    // The marker is the highest bit that is set, at bit 7 - the number of bytes in the tail.
    let head = u64::from(first) & ((0x80u64 >> tail.len()) - 1);
    tail.iter().fold(head, |value, byte| value << 8 | u64::from(*byte))
}

/// The value with all bits set, which says that the length is unknown: RFC 8794 §6.2.
const fn unknown(extra: usize) -> u64 {
    (1 << (7 * (extra + 1))) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &'static [u8]) -> Result<Option<Element>, MediaError> {
        Element::read(&mut Input::pipe("test".into(), Box::new(bytes)))
    }

    #[test]
    fn element_heads_are_read() {
        let segment = Element { id: 0x1853_8067, length: None };
        assert_eq!(read(&[0x18, 0x53, 0x80, 0x67, 0x01, 255, 255, 255, 255, 255, 255, 255]).unwrap(), Some(segment));
        assert_eq!(read(&[0xa3, 0x40, 0x02]).unwrap(), Some(Element { id: 0xa3, length: Some(2) }));
        assert_eq!(read(&[0xe7, 0xff]).unwrap(), Some(Element { id: 0xe7, length: None }));
        assert_eq!(read(&[0xa3, 0x40]).unwrap(), None);
        assert!(read(&[0x00, 0x81]).is_err());
    }

    #[test]
    fn signed_integers_are_biased() {
        assert_eq!(signed_vint(&mut Fields::new(&[0xbf])), Some(0));
        assert_eq!(signed_vint(&mut Fields::new(&[0x80])), Some(-63));
        assert_eq!(signed_vint(&mut Fields::new(&[0x5f, 0xff])), Some(0));
    }
}
