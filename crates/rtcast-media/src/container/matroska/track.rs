//! Track entries: which codec a track has, and how its frames become packets (RFC 9559 §5.1.4, codec mappings RFC 9559 §11 and draft-ietf-cellar-codec).

use bytes::Bytes;
use rtcast_proto::payload;
use rtcast_proto::payload::h264::nal_units;
use rtcast_track::{Codec, MediaKind, MediaTime};

use super::super::fields::Fields;
use super::super::h264::{self, AvcConfiguration, ParameterSets};
use super::super::lookahead::nearest_common_rate;
use super::super::opus;
use super::super::pcm::{self, PcmFormat};
use super::super::{aac, av1};
use super::ebml::{children, float, string, unsigned};
use super::picture;
use crate::packet::{SourceCodec, StreamInfo};
use crate::properties::PictureProperties;

pub(super) struct Track {
    pub(super) number: u64,
    pub(super) info: StreamInfo,
    /// One frame's duration in nanoseconds, 0 if unknown.
    pub(super) default_duration: u64,
    /// To be taken off every timestamp, in nanoseconds.
    pub(super) codec_delay: u64,
    /// Whether the track is what a player chooses by itself.
    pub(super) default: bool,
    form: Form,
    /// Bytes that were stripped from the head of every frame.
    stripped: Vec<u8>,
}

/// How a frame becomes a packet.
enum Form {
    Plain,
    Vp8,
    Vp9,
    Avc {
        length_size: usize,
        parameter_sets: ParameterSets,
    },
    /// NAL units behind start codes, as in AVI.
    AnnexB {
        parameter_sets: ParameterSets,
    },
    Av1 {
        sequence_header: Vec<u8>,
    },
    Opus,
    Pcm(PcmFormat),
}

impl Track {
    /// Reads a TrackEntry; `None` if it is neither sound nor pictures.
    pub(super) fn parse(entry: &[u8]) -> Option<Self> {
        let mut number = 0;
        let mut kind = 0;
        let mut codec_id = String::new();
        let mut private: &[u8] = &[];
        let mut default_duration = 0;
        let mut codec_delay = 0;
        let mut default = true;
        let (mut width, mut height, mut colour_space) = (0, 0, Vec::new());
        let mut picture = PictureProperties::default();
        let (mut rate, mut output_rate, mut channels, mut bits) = (8_000.0, 0.0, 1, 0);
        let mut encoding = Encoding::None;
        for (id, body) in children(entry) {
            match id {
                0xd7 => number = unsigned(body),
                0x83 => kind = unsigned(body),
                0x86 => codec_id = string(body),
                0x63a2 => private = body,
                0x23_e383 => default_duration = unsigned(body),
                0x56aa => codec_delay = unsigned(body),
                0x88 => default = unsigned(body) == 1,
                0x6d80 => encoding = Encoding::parse(body),
                0xe0 => {
                    picture = picture::properties(body);
                    for (id, body) in children(body) {
                        match id {
                            0xb0 => width = u32::try_from(unsigned(body)).unwrap_or(0),
                            0xba => height = u32::try_from(unsigned(body)).unwrap_or(0),
                            0x2e_b524 => colour_space = body.to_vec(),
                            _ => {}
                        }
                    }
                }
                0xe1 => {
                    for (id, body) in children(body) {
                        match id {
                            0xb5 => rate = float(body).unwrap_or(rate),
                            0x78b5 => output_rate = float(body).unwrap_or(0.0),
                            0x9f => channels = u16::try_from(unsigned(body)).unwrap_or(0),
                            0x6264 => bits = u32::try_from(unsigned(body)).unwrap_or(0),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        let kind = match kind {
            1 => MediaKind::Video,
            2 => MediaKind::Audio,
            _ => return None,
        };
        let rate = if output_rate > rate { output_rate } else { rate };
        let mut info = StreamInfo {
            kind,
            codec: SourceCodec::Other(String::new()),
            codec_name: String::new(),
            extradata: Bytes::new(),
            width,
            height,
            frame_rate: 0.0,
            sample_rate: if kind == MediaKind::Audio { rate.clamp(0.0, 1e6) as u32 } else { 0 },
            channels: if kind == MediaKind::Audio { channels } else { 0 },
            reordered: false,
            sdp_fmtp_line: None,
            picture,
        };
        if kind == MediaKind::Video && default_duration > 0 {
            // Whole nanoseconds miss 30 by a little.
            info.frame_rate = nearest_common_rate(1e9 / default_duration as f64, usize::MAX);
        }
        let mut form = describe(&mut info, &codec_id, private, bits, &colour_space);
        let stripped = match encoding {
            Encoding::None => Vec::new(),
            Encoding::HeaderStripping(bytes) => bytes,
            Encoding::Other(name) => {
                info.codec = SourceCodec::Other(format!("{} with {name}", info.codec_name));
                form = Form::Plain;
                Vec::new()
            }
        };
        Some(Self { number, info, default_duration, codec_delay, default, form, stripped })
    }

    /// The duration of a frame, as far as it can be known.
    pub(super) fn frame_duration(&self, frame: &[u8]) -> MediaTime {
        match &self.form {
            Form::Opus => opus::duration(frame),
            Form::Pcm(format) => {
                let bytes = i64::from(format.bytes()) * i64::from(self.info.channels.max(1));
                MediaTime::from_ticks((frame.len() as i64) / bytes, self.info.sample_rate)
            }
            _ => MediaTime::from_nanos(i64::try_from(self.default_duration).unwrap_or(0)),
        }
    }

    /// Turns a frame into a packet's bytes; `marked` is what the container says of it being a keyframe.
    pub(super) fn packet(&mut self, frame: &[u8], marked: bool) -> (Bytes, bool) {
        let whole;
        let frame = if self.stripped.is_empty() {
            frame
        } else {
            whole = [&self.stripped, frame].concat();
            &whole
        };
        let keyframe = match &self.form {
            _ if self.info.kind == MediaKind::Audio => true,
            // The codec's own word, where it stands in the first byte, is more reliable than the container's.
            Form::Vp8 => payload::vp8::is_keyframe(frame),
            Form::Vp9 => payload::vp9::is_keyframe(frame),
            _ => marked,
        };
        let data = match &mut self.form {
            Form::Plain | Form::Vp8 | Form::Vp9 | Form::Opus => frame.to_vec(),
            Form::Avc { length_size, parameter_sets } => {
                h264::to_wire(h264::length_prefixed(frame, *length_size), parameter_sets, keyframe)
            }
            Form::AnnexB { parameter_sets } => h264::to_wire(nal_units(frame), parameter_sets, keyframe),
            Form::Av1 { sequence_header } => av1::to_wire(frame, sequence_header, keyframe),
            Form::Pcm(format) => format.convert(frame.to_vec()),
        };
        (data.into(), keyframe)
    }
}

/// Fills in what the codec tells, and says how frames are rewritten.
fn describe(info: &mut StreamInfo, codec_id: &str, private: &[u8], bits: u32, colour_space: &[u8]) -> Form {
    let (codec, name, form) = match codec_id {
        "V_MPEG4/ISO/AVC" => match AvcConfiguration::parse(private) {
            Some(configuration) => return describe_avc(info, configuration),
            None => (SourceCodec::Rtp(Codec::H264), "H.264", Form::AnnexB { parameter_sets: ParameterSets::default() }),
        },
        // The four characters stand behind 16 bytes of a BITMAPINFOHEADER.
        "V_MS/VFW/FOURCC" => match private.get(16..20) {
            Some(b"H264" | b"h264" | b"X264" | b"x264" | b"AVC1" | b"avc1") => {
                (SourceCodec::Rtp(Codec::H264), "H.264", Form::AnnexB { parameter_sets: ParameterSets::default() })
            }
            Some(b"I420" | b"IYUV") => (SourceCodec::I420, "I420", Form::Plain),
            four => return other(info, format!("codec '{}'", String::from_utf8_lossy(four.unwrap_or_default()))),
        },
        "V_VP8" => (SourceCodec::Rtp(Codec::Vp8), "VP8", Form::Vp8),
        "V_VP9" => (SourceCodec::Rtp(Codec::Vp9), "VP9", Form::Vp9),
        "V_AV1" => {
            let profile = private.get(1).map_or(0, |byte| byte >> 5);
            info.sdp_fmtp_line = Some(format!("profile={profile}"));
            info.codec = SourceCodec::Rtp(Codec::Av1);
            info.codec_name = av1::codec_name(profile);
            return Form::Av1 { sequence_header: av1::configuration_header(private) };
        }
        "V_UNCOMPRESSED" if matches!(colour_space, b"I420" | b"IYUV") => (SourceCodec::I420, "I420", Form::Plain),
        "A_OPUS" => {
            info.extradata = Bytes::copy_from_slice(private);
            info.sample_rate = 48_000;
            (SourceCodec::Rtp(Codec::Opus), "Opus", Form::Opus)
        }
        "A_PCM/INT/LIT" | "A_PCM/INT/BIG" | "A_PCM/FLOAT/IEEE" if info.channels > 0 => {
            let format = PcmFormat::new(bits, codec_id.contains("FLOAT"), codec_id.ends_with("BIG"), bits == 8);
            match format {
                Some(format) => (SourceCodec::PcmS16, "PCM", Form::Pcm(format)),
                None => return other(info, format!("PCM of {bits} bits")),
            }
        }
        // A WAVEFORMATEX begins with the format's tag.
        "A_MS/ACM" => match Fields::new(private).u16_le() {
            Some(tag @ (6 | 7)) => {
                let law = if tag == 6 { Codec::Pcma } else { Codec::Pcmu };
                let (codec, name, format) = pcm::law(law, info.sample_rate, info.channels);
                info.codec = codec;
                info.codec_name = name;
                return Form::Pcm(format);
            }
            tag => return other(info, format!("sound format {}", tag.unwrap_or(0))),
        },
        id if id == "A_AAC" || id.starts_with("A_AAC/") => {
            let config = if private.is_empty() {
                aac::low_complexity_config(info.sample_rate, info.channels).unwrap_or_default()
            } else {
                private.to_vec()
            };
            let parsed = aac::AudioSpecificConfig::parse(&config);
            info.codec_name = parsed.as_ref().map_or_else(|| "AAC".into(), aac::AudioSpecificConfig::codec_name);
            if let Some(parsed) = parsed {
                info.sample_rate = parsed.sample_rate;
                info.channels = parsed.channels.unwrap_or(info.channels);
            }
            info.codec = SourceCodec::Aac;
            info.extradata = config.into();
            return Form::Plain;
        }
        "V_MPEGH/ISO/HEVC" => return other(info, "HEVC".into()),
        "V_MPEG4/ISO/SP" | "V_MPEG4/ISO/ASP" | "V_MPEG4/ISO/AP" => return other(info, "MPEG-4 Part 2".into()),
        "V_MPEG2" => return other(info, "MPEG-2".into()),
        "V_MPEG1" => return other(info, "MPEG-1".into()),
        "V_THEORA" => return other(info, "Theora".into()),
        "V_PRORES" => return other(info, "ProRes".into()),
        "V_MJPEG" => return other(info, "Motion JPEG".into()),
        "V_FFV1" => return other(info, "FFV1".into()),
        "A_VORBIS" => return other(info, "Vorbis".into()),
        "A_FLAC" => return other(info, "FLAC".into()),
        "A_MPEG/L3" => return other(info, "MP3".into()),
        "A_MPEG/L2" | "A_MPEG/L1" => return other(info, "MP2".into()),
        "A_EAC3" => return other(info, "E-AC-3".into()),
        "A_TRUEHD" => return other(info, "TrueHD".into()),
        "A_ALAC" => return other(info, "ALAC".into()),
        id if id.starts_with("A_AC3") => return other(info, "AC-3".into()),
        id if id.starts_with("A_DTS") => return other(info, "DTS".into()),
        id => return other(info, format!("codec '{id}'")),
    };
    info.codec = codec;
    info.codec_name = name.into();
    form
}

fn describe_avc(info: &mut StreamInfo, configuration: AvcConfiguration) -> Form {
    info.codec = SourceCodec::Rtp(Codec::H264);
    info.codec_name = h264::codec_name(configuration.profile);
    info.sdp_fmtp_line = Some(h264::sdp_fmtp_line(configuration.profile));
    Form::Avc { length_size: configuration.length_size, parameter_sets: configuration.parameter_sets }
}

fn other(info: &mut StreamInfo, name: String) -> Form {
    info.codec = SourceCodec::Other(name.clone());
    info.codec_name = name;
    Form::Plain
}

/// ContentEncodings: RFC 9559 §5.1.4.1.31.
enum Encoding {
    None,
    HeaderStripping(Vec<u8>),
    Other(&'static str),
}

impl Encoding {
    fn parse(encodings: &[u8]) -> Self {
        let mut found = Self::None;
        for (_, encoding) in children(encodings).filter(|(id, _)| *id == 0x6240) {
            if !matches!(found, Self::None) {
                return Self::Other("several content encodings");
            }
            // ContentEncodingScope: only 1, all frames, concerns us.
            let scope = children(encoding).find(|(id, _)| *id == 0x5032).map_or(1, |(_, body)| unsigned(body));
            if scope & 1 == 0 {
                continue;
            }
            if children(encoding).any(|(id, _)| id == 0x5035) {
                return Self::Other("encryption");
            }
            let compression = children(encoding).find(|(id, _)| *id == 0x5034).map_or(&[][..], |(_, body)| body);
            let algorithm = children(compression).find(|(id, _)| *id == 0x4254).map_or(0, |(_, body)| unsigned(body));
            let settings = children(compression).find(|(id, _)| *id == 0x4255).map_or(&[][..], |(_, body)| body);
            found = match algorithm {
                3 => Self::HeaderStripping(settings.to_vec()),
                0 => Self::Other("zlib compression"),
                _ => Self::Other("compression"),
            };
        }
        found
    }
}
