//! Which container it is, told by its bytes.

use rtcast_proto::payload::h264::{NalUnitType, nal_units};

use super::adts;

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// mp4, fragmented mp4, QuickTime.
    Mp4,
    /// Matroska, WebM.
    Matroska,
    /// IVF.
    Ivf,
    /// WAVE.
    Wav,
    /// Ogg.
    Ogg,
    /// AAC behind ADTS headers.
    Adts,
    /// YUV4MPEG2.
    Y4m,
    /// H.264 in the byte stream format.
    AnnexB,
    /// WebP, still or moving.
    WebP,
    /// A container that is known but not read here.
    Foreign(&'static str),
    /// Something without sound or pictures that move.
    NotMedia(&'static str),
    /// No byte at all.
    Empty,
    /// None of the above.
    Unknown,
}

/// How many bytes [`format()`] wants to see.
pub(crate) const BYTES: usize = 1_024;

/// Tells the container by its first bytes, of which fewer may be given.
pub(crate) fn format(head: &[u8]) -> Format {
    if head.is_empty() {
        return Format::Empty;
    }
    if head.get(4..8) == Some(b"ftyp") && is_still_brand(head.get(8..12).unwrap_or_default()) {
        return Format::Foreign("HEIF (heic, avif)");
    }
    if let Some(kind) = head.get(4..8)
        && is_box(head, kind)
    {
        return Format::Mp4;
    }
    let at = |position: usize, magic: &[u8]| head.get(position..).is_some_and(|rest| rest.starts_with(magic));
    match () {
        () if at(0, &[0x1a, 0x45, 0xdf, 0xa3]) => Format::Matroska,
        () if at(0, b"DKIF") => Format::Ivf,
        () if (at(0, b"RIFF") || at(0, b"RF64") || at(0, b"BW64")) && at(8, b"WAVE") => Format::Wav,
        () if at(0, b"OggS") => Format::Ogg,
        () if at(0, b"RIFF") && at(8, b"WEBP") => Format::WebP,
        () if at(0, b"YUV4MPEG2 ") => Format::Y4m,
        () if is_transport_stream(head) => Format::Foreign("MPEG-TS"),
        () if at(0, &[0, 0, 1, 0xba]) => Format::Foreign("MPEG-PS"),
        () if at(0, b"RIFF") && at(8, b"AVI ") => Format::Foreign("AVI"),
        () if at(0, b"FLV\x01") => Format::Foreign("FLV"),
        () if at(0, b"ID3") => Format::Foreign("MP3"),
        () if is_adts(head) => Format::Adts,
        () if is_mpeg_audio(head) => Format::Foreign("MP3"),
        () if let Some(format) = byte_stream(head) => format,
        () if at(0, b"fLaC") => Format::Foreign("FLAC"),
        () if at(0, &[0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11]) => Format::Foreign("ASF (wmv, wma)"),
        () if at(0, b"GIF8") => Format::Foreign("GIF"),
        () if at(0, &[0x89, b'P', b'N', b'G']) => Format::Foreign("PNG"),
        // A picture, or many of them behind one another.
        () if at(0, &[0xff, 0xd8, 0xff]) => Format::Foreign("JPEG"),
        () if at(0, b"BM") && at(6, &[0; 4]) => Format::Foreign("BMP"),
        () if at(0, b"II*\0") || at(0, b"MM\0*") => Format::Foreign("TIFF"),
        () if at(0, b"FORM") && (at(8, b"AIFF") || at(8, b"AIFC")) => Format::Foreign("AIFF"),
        () if at(0, b".RMF") => Format::Foreign("RealMedia"),
        () if at(0, b"caff") => Format::Foreign("CAF"),
        () if at(0, b"#!AMR") => Format::Foreign("AMR"),
        () if at(0, &[0x0b, 0x77]) => Format::Foreign("AC-3"),
        () if at(0, b"#EXTM3U") => Format::Foreign("HLS playlist"),
        () if at(0, &[6, 0xe, 0x2b, 0x34]) => Format::Foreign("MXF"),
        () if at(0, b"nut/multimedia container\0") => Format::Foreign("NUT"),
        () if at(0, b"PK\x03\x04") || at(0, b"PK\x05\x06") => Format::NotMedia("a zip archive"),
        () if at(0, &[0x1f, 0x8b]) => Format::NotMedia("a gzip archive"),
        () if at(0, &[0xfd, b'7', b'z', b'X', b'Z']) => Format::NotMedia("an xz archive"),
        () if at(0, &[b'7', b'z', 0xbc, 0xaf]) => Format::NotMedia("a 7z archive"),
        () if at(0, &[0x28, 0xb5, 0x2f, 0xfd]) => Format::NotMedia("a zstd archive"),
        () if at(0, b"Rar!") => Format::NotMedia("a rar archive"),
        () if at(257, b"ustar") => Format::NotMedia("a tar archive"),
        () if at(0, b"%PDF") => Format::NotMedia("a PDF document"),
        () if at(0, b"\x7fELF") => Format::NotMedia("a program"),
        () if is_text(head) => Format::NotMedia("text"),
        () => Format::Unknown,
    }
}

/// ISO/IEC 23008-12 §10.2, and the AV1 Image File Format §6: pictures that do not move. `avis` and `msf1` do.
fn is_still_brand(brand: &[u8]) -> bool {
    matches!(brand, b"mif1" | b"heic" | b"heix" | b"heim" | b"heis" | b"avif")
}

/// The boxes with which an mp4 or a QuickTime file may begin.
fn is_box(head: &[u8], kind: &[u8]) -> bool {
    let size = head.first_chunk().map_or(0, |size| u32::from_be_bytes(*size));
    match kind {
        b"ftyp" | b"styp" | b"moov" | b"moof" | b"mdat" | b"wide" | b"sidx" => true,
        b"free" | b"skip" | b"pnot" => size >= 8,
        _ => false,
    }
}

/// ISO/IEC 13818-1 §2.4.3: a sync byte every 188 bytes, or every 192 behind a time stamp (m2ts).
fn is_transport_stream(head: &[u8]) -> bool {
    [(0, 188), (4, 192)].into_iter().any(|(start, step)| {
        let packets = head.iter().skip(start).step_by(step);
        packets.clone().count() >= 3 && packets.take(4).all(|byte| *byte == 0x47)
    })
}

/// Two frames of AAC behind one another, or as much of them as was read.
fn is_adts(head: &[u8]) -> bool {
    let Some(first) = adts::Header::parse(head) else { return false };
    head.get(first.frame_bytes..).is_none_or(|next| next.len() < 7 || adts::Header::parse(next).is_some())
}

/// ISO/IEC 11172-3 §2.4.1.3: the sync word, layer 3, and neither the forbidden bitrate nor the forbidden rate.
fn is_mpeg_audio(head: &[u8]) -> bool {
    matches!(head, [0xff, b1, b2, ..] if b1 & 0xe6 == 0xe2 && b2 & 0xf0 != 0xf0 && b2 & 0x0c != 0x0c)
}

/// What begins with a start code: H.264, H.265, MPEG-2 or MPEG-4 video.
fn byte_stream(head: &[u8]) -> Option<Format> {
    if !head.starts_with(&[0, 0, 1]) && !head.starts_with(&[0, 0, 0, 1]) {
        return None;
    }
    let first = nal_units(head).next()?;
    let is_h264 = |unit: &[u8]| unit.len() > 4 && NalUnitType::of(unit) == Some(NalUnitType::SequenceParameterSet);
    match first {
        [0xb3, ..] => Some(Format::Foreign("MPEG-2 video")),
        [0xb0 | 0xb5 | 0xb6, ..] => Some(Format::Foreign("MPEG-4 video")),
        // H.265 §7.3.1.2: parameter sets and delimiters have types from 32 to 35, in the layer 0.
        [header, 1, ..] if matches!(header >> 1, 32..=35) => Some(Format::Foreign("H.265 elementary stream")),
        _ if nal_units(head).any(is_h264) => Some(Format::AnnexB),
        _ => None,
    }
}

fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut at the end of what was read.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\u{c}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_bytes() {
        assert_eq!(format(b""), Format::Empty);
        assert_eq!(format(b"\0\0\0\x20ftypisom"), Format::Mp4);
        assert_eq!(format(b"DKIF\0\0 \0VP80"), Format::Ivf);
        assert_eq!(format(b"PK\x03\x04...."), Format::NotMedia("a zip archive"));
        assert_eq!(format("grüße".as_bytes()), Format::NotMedia("text"));
        assert_eq!(format(b"\0\0\0\x20ftypavif"), Format::Foreign("HEIF (heic, avif)"));
        assert_eq!(format(b"\0\0\0\x20ftypavis"), Format::Mp4);
        assert_eq!(format(&[1, 2, 3]), Format::Unknown);
        let mut stream = vec![0; 600];
        for start in [0, 188, 376, 564] {
            stream[start] = 0x47;
        }
        assert_eq!(format(&stream), Format::Foreign("MPEG-TS"));
    }
}
