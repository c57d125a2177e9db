//! Ogg with Opus: RFC 3533, RFC 7845. Streams of other codecs are named, but their packets are left out.

use std::collections::VecDeque;

use bytes::Bytes;
use rtcast_track::{Codec, MediaKind, MediaTime};

use super::fields::Fields;
use super::input::Input;
use super::opus;
use crate::error::MediaError;
use crate::packet::{Demuxer, EncodedChunk, Packet, SourceCodec, StreamInfo};
use crate::properties::PictureProperties;

/// A packet is spread over pages; more than this is not believed.
const LONGEST_PACKET: usize = 1 << 20;

/// Opus counts at this rate whatever goes in (RFC 7845 §4).
const RATE: u32 = 48_000;

/// A reader of Ogg.
pub(crate) struct Ogg {
    input: Input,
    streams: Vec<StreamInfo>,
    /// The logical streams of the link that is being read.
    logical: Vec<Logical>,
    queue: VecDeque<Packet>,
    /// The last page began a logical stream.
    in_heads: bool,
    /// Where the links before this one ended.
    link_start: MediaTime,
    end: MediaTime,
    duration: Option<MediaTime>,
    start: u64,
}

/// A logical stream: what belongs to one serial number.
struct Logical {
    serial: u32,
    /// Index into the streams.
    stream: usize,
    is_opus: bool,
    pre_skip: i64,
    /// Packets of headers still to come: OpusTags.
    headers: u32,
    /// The beginning of a packet that goes on in the next page.
    partial: Vec<u8>,
    /// Where the next packet starts, in samples; unknown before the first page.
    position: Option<i64>,
}

/// A page: RFC 3533 §6.
struct Page {
    continued: bool,
    first: bool,
    last: bool,
    granule: i64,
    serial: u32,
    lacing: Vec<u8>,
    body: Vec<u8>,
}

impl Ogg {
    pub(crate) fn open(mut input: Input) -> Result<Self, MediaError> {
        let start = input.position();
        let duration = last_granule(&mut input)?;
        let mut this = Self {
            input,
            streams: Vec::new(),
            logical: Vec::new(),
            queue: VecDeque::new(),
            in_heads: false,
            link_start: MediaTime::ZERO,
            end: MediaTime::ZERO,
            duration: None,
            start,
        };
        // All first pages stand together at the beginning (RFC 3533 §4).
        while let Some(page) = Page::read(&mut this.input)? {
            let is_first = page.first;
            this.take_page(&page, true);
            if !is_first {
                break;
            }
        }
        if this.streams.is_empty() {
            return Err(this.input.invalid("it holds no stream of sound or pictures that could be told"));
        }
        let mut opus = this.logical.iter().filter(|logical| logical.is_opus);
        if let (Some(first), None, Some((serial, granule))) = (opus.next(), opus.next(), duration)
            && first.serial == serial
        {
            let samples = granule.saturating_sub(first.pre_skip);
            this.duration = (samples > 0).then(|| MediaTime::from_ticks(samples, RATE));
        }
        Ok(this)
    }

    /// Takes a page apart. Only while opening may it add streams.
    fn take_page(&mut self, page: &Page, opening: bool) {
        if page.first {
            self.begin(page, opening);
        }
        self.in_heads = page.first;
        let Some(logical) = self.logical.iter_mut().find(|logical| logical.serial == page.serial) else { return };
        if !logical.is_opus {
            return;
        }
        let packets = logical.packets(page);
        let total: i64 = packets.iter().map(|packet| opus::samples(packet).unwrap_or(0)).sum();
        if packets.is_empty() {
            return;
        }
        let mut position = match logical.position {
            Some(position) if page.granule <= 0 || page.last => position,
            // Packets were lost: the page's end is certain.
            Some(position) => position.max(page.granule.saturating_sub(total)),
            // RFC 7845 §4.5: the first page may begin late in a stream that is joined, and at 0 if it is also the last.
            None => page.granule.saturating_sub(total).max(0),
        };
        for packet in packets {
            let samples = opus::samples(&packet).unwrap_or(0);
            let time = |position: i64| {
                MediaTime::from_ticks(position.saturating_sub(logical.pre_skip), RATE).offset(self.link_start)
            };
            let pts = time(position);
            position = position.saturating_add(samples);
            let end = time(position);
            self.end = self.end.max(end);
            let chunk = EncodedChunk::new(packet, pts).with_duration(end.since(pts));
            let chunk = chunk.with_discard(end <= self.link_start);
            self.queue.push_back(Packet::new(logical.stream, chunk));
        }
        logical.position = Some(position);
    }

    /// Takes a page that begins a logical stream.
    fn begin(&mut self, page: &Page, opening: bool) {
        let (info, pre_skip) = describe(&page.body);
        let Some(info) = info else { return };
        if !self.in_heads {
            // The next link of a chain (RFC 3533 §4) goes on where the last one ended.
            self.link_start = self.end;
            self.logical.clear();
        }
        let taken = |stream: usize| self.logical.iter().any(|logical| logical.stream == stream);
        let mut known = (0..self.streams.len()).filter(|stream| !opening && !taken(*stream));
        let stream = match known.find(|stream| self.streams[*stream].codec == info.codec) {
            Some(stream) => stream,
            None if opening => {
                self.streams.push(info.clone());
                self.streams.len() - 1
            }
            None => return,
        };
        self.logical.push(Logical {
            serial: page.serial,
            stream,
            is_opus: info.codec == SourceCodec::Rtp(Codec::Opus),
            pre_skip,
            headers: 2,
            partial: Vec::new(),
            position: None,
        });
    }
}

impl Demuxer for Ogg {
    fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    fn duration(&self) -> Option<MediaTime> {
        self.duration
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        loop {
            if let Some(packet) = self.queue.pop_front() {
                return Ok(Some(packet));
            }
            let Some(page) = Page::read(&mut self.input)? else { return Ok(None) };
            self.take_page(&page, false);
        }
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        if !self.input.is_seekable() {
            return Ok(false);
        }
        self.queue.clear();
        self.logical.clear();
        self.in_heads = false;
        self.link_start = MediaTime::ZERO;
        self.end = MediaTime::ZERO;
        self.input.seek(self.start)
    }
}

impl Logical {
    /// The packets that end in this page, those of headers left out.
    fn packets(&mut self, page: &Page) -> Vec<Vec<u8>> {
        if !page.continued {
            self.partial.clear();
        }
        // The rest of a packet whose beginning was lost.
        let mut drop_first = page.continued && self.partial.is_empty();
        let mut packets = Vec::new();
        let mut body = Fields::new(&page.body);
        for length in &page.lacing {
            let Some(bytes) = body.take((*length).into()) else { break };
            if self.partial.len() + bytes.len() > LONGEST_PACKET {
                self.partial.clear();
                drop_first = true;
            }
            self.partial.extend_from_slice(bytes);
            if *length < 255 {
                let packet = std::mem::take(&mut self.partial);
                if std::mem::take(&mut drop_first) {
                    continue;
                }
                if self.headers > 0 {
                    self.headers -= 1;
                } else {
                    packets.push(packet);
                }
            }
        }
        packets
    }
}

impl Page {
    /// Reads the next page whose checksum is right; `None` at the end.
    fn read(input: &mut Input) -> Result<Option<Self>, MediaError> {
        loop {
            let head = input.peek(27)?;
            let [b'O', b'g', b'g', b'S', 0, flags, rest @ ..] = head else {
                if head.len() < 27 {
                    return Ok(None);
                }
                // Damaged, or joined in the middle: go to what may be the next page.
                let next = head[1..].iter().position(|byte| *byte == b'O').map_or(head.len(), |at| at + 1);
                input.skip(next as u64)?;
                continue;
            };
            let flags = *flags;
            let mut fields = Fields::new(rest);
            let parsed = (|| {
                let granule = fields.u64_le()?.cast_signed();
                let serial = fields.u32_le()?;
                fields.skip(4)?;
                Some((granule, serial, fields.u32_le()?, fields.u8()?))
            })();
            let Some((granule, serial, checksum, segments)) = parsed else { return Ok(None) };
            let Some(lacing) = input.peek(27 + usize::from(segments))?.get(27..).map(<[u8]>::to_vec) else {
                return Ok(None);
            };
            let body: usize = lacing.iter().map(|length| usize::from(*length)).sum();
            let whole = 27 + lacing.len() + body;
            let page = input.peek(whole)?;
            if lacing.len() < usize::from(segments) || page.len() < whole {
                return Ok(None);
            }
            if crc(page) != checksum {
                input.skip(1)?;
                continue;
            }
            let body = page[27 + lacing.len()..].to_vec();
            input.skip(whole as u64)?;
            return Ok(Some(Self {
                continued: flags & 1 != 0,
                first: flags & 2 != 0,
                last: flags & 4 != 0,
                granule,
                serial,
                lacing,
                body,
            }));
        }
    }
}

/// The stream that a first page begins, and its pre-skip; `None` if it is neither sound nor pictures.
fn describe(head: &[u8]) -> (Option<StreamInfo>, i64) {
    let mut info = StreamInfo {
        kind: MediaKind::Audio,
        codec: SourceCodec::Rtp(Codec::Opus),
        codec_name: "Opus".into(),
        extradata: Bytes::new(),
        width: 0,
        height: 0,
        frame_rate: 0.0,
        sample_rate: RATE,
        channels: 0,
        reordered: false,
        sdp_fmtp_line: None,
        picture: PictureProperties::default(),
    };
    if head.starts_with(b"OpusHead") {
        let mut fields = Fields::new(head);
        let parsed = (|| {
            fields.skip(9)?;
            Some((fields.u8()?, fields.u16_le()?))
        })();
        let (channels, pre_skip) = parsed.unwrap_or((2, 0));
        info.channels = channels.into();
        info.extradata = Bytes::copy_from_slice(head);
        return (Some(info), pre_skip.into());
    }
    let (kind, name) = match () {
        () if head.starts_with(b"\x01vorbis") => (MediaKind::Audio, "Vorbis"),
        () if head.starts_with(b"\x7fFLAC") => (MediaKind::Audio, "FLAC"),
        () if head.starts_with(b"Speex   ") => (MediaKind::Audio, "Speex"),
        () if head.starts_with(b"\x80theora") => (MediaKind::Video, "Theora"),
        () if head.starts_with(b"OVP80") => (MediaKind::Video, "VP8 in Ogg"),
        () => return (None, 0),
    };
    info.kind = kind;
    info.codec = SourceCodec::Other(name.into());
    info.codec_name = name.into();
    info.sample_rate = 0;
    (Some(info), 0)
}

/// The serial number and granule position of a file's last page, for its duration.
fn last_granule(input: &mut Input) -> Result<Option<(u32, i64)>, MediaError> {
    let Some(length) = input.length() else { return Ok(None) };
    let start = input.position();
    // A page has at most 65,307 bytes.
    input.seek(length.saturating_sub(66_000).max(start))?;
    let mut last = None;
    while let Some(page) = Page::read(input)? {
        if page.granule > 0 {
            last = Some((page.serial, page.granule));
        }
    }
    input.seek(start)?;
    Ok(last)
}

/// The checksum of a page, its own field counted as zero: RFC 3533 §6.
fn crc(page: &[u8]) -> u32 {
    page.iter().enumerate().fold(0, |crc, (index, byte)| {
        let byte = if (22..26).contains(&index) { 0 } else { *byte };
        crc << 8 ^ CRC[usize::from((crc >> 24) as u8 ^ byte)]
    })
}

const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000_0000 != 0 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};
