//! Sample entries: which codec a track has and how its samples are to be rewritten (ISO/IEC 14496-12 §8.5.2).

use bytes::Bytes;
use rtcast_track::Codec;

use super::super::fields::Fields;
use super::super::h264::{self, AvcConfiguration};
use super::super::pcm::{self, PcmFormat};
use super::super::{aac, av1};
use super::boxes::{Kind, children, find, printable};
use super::picture;
use crate::packet::SourceCodec;
use crate::properties::PictureProperties;

/// What a sample entry says.
#[derive(Debug, Clone)]
pub(super) struct SampleEntry {
    pub(super) codec: SourceCodec,
    pub(super) codec_name: String,
    pub(super) sdp_fmtp_line: Option<String>,
    pub(super) extradata: Bytes,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) sample_rate: u32,
    pub(super) channels: u16,
    pub(super) picture: PictureProperties,
    pub(super) form: SampleForm,
}

/// How a sample becomes a packet.
#[derive(Debug, Clone)]
pub(super) enum SampleForm {
    /// As it is.
    Plain,
    /// NAL units behind length fields.
    Avc(AvcConfiguration),
    /// A temporal unit without delimiters, with the sequence header of its configuration.
    Av1(Vec<u8>),
    /// Uncompressed sound; several samples make a packet.
    Pcm(PcmFormat),
}

/// The entries of an `stsd` body.
pub(super) fn parse(stsd: &[u8], handler: Kind) -> Vec<SampleEntry> {
    let entries = stsd.get(8..).unwrap_or_default();
    children(entries)
        .filter_map(|(kind, body)| match &handler {
            b"vide" => video(kind, body),
            b"soun" => audio(kind, body),
            _ => None,
        })
        .collect()
}

/// ISO/IEC 14496-12 §12.1.3: 8 bytes of every entry, 70 of a visual one, then boxes.
fn video(kind: Kind, body: &[u8]) -> Option<SampleEntry> {
    let mut fields = Fields::new(body);
    fields.skip(24)?;
    let (width, height) = (fields.u16()?.into(), fields.u16()?.into());
    fields.skip(50)?;
    let boxes = fields.rest();
    let mut entry = SampleEntry {
        codec: SourceCodec::Other(String::new()),
        codec_name: String::new(),
        sdp_fmtp_line: None,
        extradata: Bytes::new(),
        width,
        height,
        sample_rate: 0,
        channels: 0,
        picture: picture::properties(boxes),
        form: SampleForm::Plain,
    };
    let name = match &kind {
        b"avc1" | b"avc2" | b"avc3" | b"avc4" => {
            let configuration = find(boxes, b"avcC").and_then(AvcConfiguration::parse)?;
            entry.codec = SourceCodec::Rtp(Codec::H264);
            entry.sdp_fmtp_line = Some(h264::sdp_fmtp_line(configuration.profile));
            entry.codec_name = h264::codec_name(configuration.profile);
            entry.form = SampleForm::Avc(configuration);
            return Some(entry);
        }
        b"vp08" => {
            entry.codec = SourceCodec::Rtp(Codec::Vp8);
            entry.codec_name = "VP8".into();
            return Some(entry);
        }
        b"vp09" => {
            entry.codec = SourceCodec::Rtp(Codec::Vp9);
            // VP Codec ISO Media File Format Binding §3: version and flags, then the profile.
            if let Some(profile) = find(boxes, b"vpcC").and_then(|body| body.get(4)) {
                entry.sdp_fmtp_line = Some(format!("profile-id={profile}"));
            }
            entry.codec_name = "VP9".into();
            return Some(entry);
        }
        b"av01" => {
            let configuration = find(boxes, b"av1C").unwrap_or_default();
            entry.codec = SourceCodec::Rtp(Codec::Av1);
            let profile = configuration.get(1).map_or(0, |byte| byte >> 5);
            entry.sdp_fmtp_line = Some(format!("profile={profile}"));
            entry.codec_name = av1::codec_name(profile);
            entry.form = SampleForm::Av1(av1::configuration_header(configuration));
            return Some(entry);
        }
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => "HEVC",
        b"vvc1" | b"vvi1" => "VVC",
        b"mp4v" => match find(boxes, b"esds").and_then(aac::parse_esds).map(|esds| esds.object_type) {
            Some(0x60..=0x65) => "MPEG-2",
            Some(0x6a) => "MPEG-1",
            Some(0x6c) => "JPEG",
            _ => "MPEG-4 Part 2",
        },
        b"jpeg" | b"mjpa" | b"mjpb" => "Motion JPEG",
        b"apch" | b"apcn" | b"apcs" | b"apco" | b"ap4h" | b"ap4x" => "ProRes",
        b"s263" | b"h263" => "H.263",
        b"png " => "PNG",
        b"encv" => "encrypted video",
        _ => "",
    };
    name_other(&mut entry, name, kind);
    Some(entry)
}

/// ISO/IEC 14496-12 §12.2.3, and the QuickTime File Format's sound sample descriptions of version 0, 1 and 2.
fn audio(kind: Kind, body: &[u8]) -> Option<SampleEntry> {
    let mut fields = Fields::new(body);
    fields.skip(8)?;
    let version = fields.u16()?;
    fields.skip(6)?;
    let mut channels = fields.u16()?;
    let mut bits = u32::from(fields.u16()?);
    fields.skip(4)?;
    let mut sample_rate = fields.u32()? >> 16;
    let mut flags = None;
    match version {
        1 => fields.skip(16)?,
        2 => {
            fields.skip(4)?;
            let rate = f64::from_bits(fields.u64()?);
            sample_rate = if (1.0..=768_000.0).contains(&rate) { rate as u32 } else { return None };
            channels = u16::try_from(fields.u32()?).ok()?;
            fields.skip(4)?;
            bits = fields.u32()?;
            flags = Some(fields.u32()?);
            fields.skip(8)?;
        }
        _ => {}
    }
    let boxes = fields.rest();
    let mut entry = SampleEntry {
        codec: SourceCodec::Other(String::new()),
        codec_name: String::new(),
        sdp_fmtp_line: None,
        extradata: Bytes::new(),
        width: 0,
        height: 0,
        sample_rate,
        channels,
        picture: PictureProperties::default(),
        form: SampleForm::Plain,
    };
    let little_endian = find(boxes, b"enda")
        .or_else(|| find(find(boxes, b"wave")?, b"enda"))
        .is_some_and(|body| body.last() == Some(&1));
    let linear = |big_endian: bool, bits: u32, float: bool| PcmFormat::new(bits, float, big_endian, false);
    let format = match &kind {
        b"sowt" => linear(false, bits, false),
        b"twos" => linear(true, bits, false),
        b"raw " | b"NONE" if bits == 8 => PcmFormat::new(8, false, false, true),
        b"raw " | b"NONE" => linear(true, bits, false),
        b"in24" => linear(!little_endian, 24, false),
        b"in32" => linear(!little_endian, 32, false),
        b"fl32" => linear(!little_endian, 32, true),
        b"fl64" => linear(!little_endian, 64, true),
        // QuickTime File Format, "Sound sample description (version 2)": 1 float, 2 big endian, 4 signed.
        b"lpcm" => {
            let flags = flags.unwrap_or(4 | 8);
            PcmFormat::new(bits, flags & 1 != 0, flags & 2 != 0, bits == 8 && flags & 4 == 0)
        }
        // ISO/IEC 23003-5: bit 0 of the format flags is little endian.
        b"ipcm" | b"fpcm" => {
            let configuration = find(boxes, b"pcmC").unwrap_or_default();
            let little = configuration.get(4).is_some_and(|flags| flags & 1 != 0);
            let bits = configuration.get(5).map_or(bits, |bits| u32::from(*bits));
            linear(!little, bits, &kind == b"fpcm")
        }
        _ => None,
    };
    if let Some(format) = format.filter(|_| channels > 0) {
        entry.codec = SourceCodec::PcmS16;
        entry.codec_name = "PCM".into();
        entry.form = SampleForm::Pcm(format);
        return Some(entry);
    }
    let name = match &kind {
        b"mp4a" => {
            let esds = find(boxes, b"esds").or_else(|| find(find(boxes, b"wave")?, b"esds")).and_then(aac::parse_esds);
            match esds.as_ref().map(|esds| esds.object_type) {
                Some(0x40 | 0x66..=0x68) | None => {
                    let config = esds.map(|esds| esds.decoder_specific).unwrap_or_default();
                    let info = aac::AudioSpecificConfig::parse(&config);
                    entry.codec = SourceCodec::Aac;
                    entry.codec_name = info.as_ref().map_or_else(|| "AAC".into(), aac::AudioSpecificConfig::codec_name);
                    if let Some(info) = info {
                        entry.sample_rate = info.sample_rate;
                        entry.channels = info.channels.unwrap_or(channels);
                    }
                    entry.extradata = config.into();
                    return Some(entry);
                }
                Some(0x69 | 0x6b) => "MP3",
                Some(0xa5) => "AC-3",
                Some(0xa6) => "E-AC-3",
                Some(0xa9..=0xac) => "DTS",
                Some(0xdd) => "Vorbis",
                Some(_) => "",
            }
        }
        b"Opus" => {
            entry.codec = SourceCodec::Rtp(Codec::Opus);
            entry.codec_name = "Opus".into();
            entry.sample_rate = 48_000;
            entry.extradata = find(boxes, b"dOps").and_then(opus_head).unwrap_or_default().into();
            if let Some(channels) = entry.extradata.get(9) {
                entry.channels = u16::from(*channels);
            }
            return Some(entry);
        }
        b"ulaw" | b"alaw" => {
            let law = if &kind == b"ulaw" { Codec::Pcmu } else { Codec::Pcma };
            let (codec, name, format) = pcm::law(law, sample_rate, channels);
            entry.codec = codec;
            entry.codec_name = name;
            entry.form = SampleForm::Pcm(format);
            return Some(entry);
        }
        b"enca" => "encrypted audio",
        b"ac-3" => "AC-3",
        b"ec-3" => "E-AC-3",
        b"ac-4" => "AC-4",
        b".mp3" => "MP3",
        b"fLaC" => "FLAC",
        b"alac" => "ALAC",
        b"samr" | b"sawb" => "AMR",
        b"ima4" => "IMA ADPCM",
        b"dtsc" | b"dtse" | b"dtsh" | b"dtsl" => "DTS",
        _ => "",
    };
    name_other(&mut entry, name, kind);
    Some(entry)
}

fn name_other(entry: &mut SampleEntry, name: &str, kind: Kind) {
    let name = if name.is_empty() { format!("codec '{}'", printable(kind)) } else { name.into() };
    entry.codec = SourceCodec::Other(name.clone());
    entry.codec_name = name;
}

/// The head of an Ogg stream made of a `dOps` body, whose numbers are big endian (Opus in ISOBMFF §4.3.2).
fn opus_head(body: &[u8]) -> Option<Vec<u8>> {
    let mut fields = Fields::new(body);
    fields.u8()?;
    let mut out = b"OpusHead\x01".to_vec();
    out.push(fields.u8()?);
    out.extend(fields.u16()?.to_le_bytes());
    out.extend(fields.u32()?.to_le_bytes());
    out.extend(fields.u16()?.to_le_bytes());
    out.extend(fields.rest());
    Some(out)
}
