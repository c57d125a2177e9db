//! What is done with each stream of a source so that every viewer can play it.

use std::fmt;
use std::str::FromStr;

use rtcast_track::{Bitrate, Codec, MediaKind, RtpCodec};
use serde::{Serialize, Serializer};

use crate::codec::opus_head::OpusHead;
use crate::codec::{
    audio_decoder, can_encode, encoded_codec, has_common_profile, is_single_nal_units, single_nal_unit_codec,
    video_decoder,
};
use crate::error::MediaError;
use crate::packet::{SourceCodec, StreamInfo};

/// Pictures are re-encoded at most this large; larger ones are scaled down.
const LARGEST_ENCODED: (u32, u32) = (1_920, 1_080);
/// The bitrate of re-encoded pictures of 1280x720 at 30 a second.
const REFERENCE_BITRATE: f64 = 2_500_000.0;
/// The bitrate of re-encoded sound.
const AUDIO_BITRATE: Bitrate = Bitrate::from_kbps(96);
/// The same where the source has so much that its packets do not fit into datagrams.
pub(crate) const LARGE_AUDIO_BITRATE: Bitrate = Bitrate::from_kbps(256);
/// RFC 3551 §4.5.14: 8,000 samples of 8 bits a second.
const G711_BITRATE: Bitrate = Bitrate::from_kbps(64);

/// Which codecs the pictures may be sent in.
///
/// ```
/// use rtcast_media::CodecPolicy;
///
/// assert_eq!("h264".parse::<CodecPolicy>().ok(), Some(CodecPolicy::H264));
/// let error = "hevc".parse::<CodecPolicy>().err().map(|error| error.to_string());
/// assert_eq!(error.as_deref(), Some("the codec policy `hevc` is not supported: choose auto, copy, vp8 or h264"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CodecPolicy {
    /// The source's own codec where it can be passed through, VP8 and H.264 for the viewers that cannot take it.
    #[default]
    Auto,
    /// The source's own codec and nothing else, even if its pictures are reordered, which most browsers play badly.
    Copy,
    /// VP8 alone.
    Vp8,
    /// H.264 alone.
    H264,
}

impl CodecPolicy {
    /// The words of the command line and of the plan.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Copy => "copy",
            Self::Vp8 => "vp8",
            Self::H264 => "h264",
        }
    }

    /// Whether pictures may be sent in this codec.
    fn allows(self, codec: Codec) -> bool {
        match self {
            Self::Auto | Self::Copy => true,
            Self::Vp8 => codec == Codec::Vp8,
            Self::H264 => codec == Codec::H264,
        }
    }
}

impl fmt::Display for CodecPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CodecPolicy {
    type Err = MediaError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Auto, Self::Copy, Self::Vp8, Self::H264].into_iter().find(|policy| policy.as_str() == text).ok_or_else(
            || MediaError::Unsupported {
                what: format!("the codec policy `{text}`"),
                hint: "choose auto, copy, vp8 or h264".into(),
            },
        )
    }
}

/// Which streams of a source are sent and how.
///
/// Its display is one line: `video: H.264 has B-frames → re-encode (VP8 and H.264, on demand) · audio: AAC → Opus`.
///
/// ```
/// # #[cfg(all(feature = "vpx", feature = "h264"))] {
/// use rtcast_media::pattern::{PatternOptions, TestPattern};
/// use rtcast_media::plan::Action;
/// use rtcast_media::{CodecPolicy, Demuxer, Plan};
/// use rtcast_track::Codec;
///
/// let pattern = TestPattern::new(PatternOptions::default());
/// let plan = Plan::new(pattern.streams(), CodecPolicy::Vp8, None)?;
/// let video = plan.video.ok_or("it has pictures")?;
/// assert_eq!(video.renditions.len(), 1);
/// assert_eq!((video.renditions[0].action, video.renditions[0].codec.codec), (Action::Encode, Codec::Vp8));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The pictures, if the source has any.
    pub video: Option<StreamPlan>,
    /// The sound, if the source has any.
    pub audio: Option<StreamPlan>,
}

/// What is done with one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamPlan {
    /// The index of the stream in the source.
    pub stream: usize,
    /// A person's name of the source's codec, such as `H.264 High`.
    pub source: String,
    /// Why the source's own packets are not sent, if they could be but for this: `has B-frames`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The forms that a viewer may get, the best first.
    pub renditions: Vec<Rendition>,
}

/// One form of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rendition {
    /// How it comes about.
    pub action: Action,
    /// Its codec.
    #[serde(serialize_with = "mime_type")]
    pub codec: RtpCodec,
    /// The bitrate that the encoder aims at, in bits per second; none for a copy.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "bits_per_second")]
    pub bitrate: Option<Bitrate>,
}

/// How a form of a stream comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The source's packets, as they are.
    Copy,
    /// Decoded and encoded anew, only while a viewer wants it.
    Encode,
}

impl Plan {
    /// The plan for a source: its first stream of pictures and its first of sound. `bitrate` is that of re-encoded
    /// pictures; by default it follows from their size and rate, 2.5 Mb/s for 720p30.
    ///
    /// Fails if there is no stream, or one that can neither be passed through nor decoded; the error names the codec.
    pub fn new(streams: &[StreamInfo], policy: CodecPolicy, bitrate: Option<Bitrate>) -> Result<Self, MediaError> {
        let first = |kind: MediaKind| streams.iter().enumerate().find(|(_, stream)| stream.kind == kind);
        let video = first(MediaKind::Video).map(|(index, stream)| plan_video(index, stream, policy, bitrate));
        let audio = first(MediaKind::Audio).map(|(index, stream)| plan_audio(index, stream));
        let plan = Self { video: video.transpose()?, audio: audio.transpose()? };
        if plan.video.is_none() && plan.audio.is_none() {
            return Err(MediaError::NoSuchStream { source_name: "the source".into(), kind: "video or audio" });
        }
        Ok(plan)
    }

    /// Has sound that would be passed through encoded anew, because its packets do not fit into datagrams.
    pub(crate) fn avoid_large_packets(&mut self, streams: &[StreamInfo]) {
        let Some(audio) = &mut self.audio else { return };
        let Some(stream) = streams.get(audio.stream).filter(|stream| audio_decoder(stream).is_ok()) else { return };
        audio.renditions.clear();
        add_encoded_sound(&mut audio.renditions, stream, LARGE_AUDIO_BITRATE);
        audio.reason = Some("has packets larger than paths carry".into());
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (kind, stream) in [(MediaKind::Video, &self.video), (MediaKind::Audio, &self.audio)] {
            if let Some(stream) = stream {
                write!(f, "{separator}{kind}: {stream}")?;
                separator = " · ";
            }
        }
        Ok(())
    }
}

impl fmt::Display for StreamPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // G.711 and single NAL units are there for few, and always; what is copied is encoded for those who join in mid-stream.
        let copied = |codec: Codec| {
            self.renditions.iter().any(|rendition| (rendition.action, rendition.codec.codec) == (Action::Copy, codec))
        };
        let telling = |rendition: &&Rendition| {
            let codec = rendition.codec.codec;
            !matches!(codec, Codec::Pcmu | Codec::Pcma) && !copied(codec) && !is_single_nal_units(&rendition.codec)
        };
        let encoded: Vec<String> =
            self.encoded().filter(telling).map(|rendition| rendition.codec.codec.to_string()).collect();
        let encoded = encoded.join(" and ");
        let copied = self.renditions.iter().any(|rendition| rendition.action == Action::Copy);
        let sound = self.renditions.iter().all(|rendition| rendition.codec.codec.kind() == MediaKind::Audio);
        match (copied, encoded.is_empty(), &self.reason) {
            (true, true, _) => f.write_str("copy"),
            (true, false, _) => write!(f, "copy ({encoded} on demand)"),
            (false, _, Some(reason)) => write!(f, "{} {reason} → re-encode ({encoded}, on demand)", self.source),
            (false, _, None) if sound => write!(f, "{} → {encoded}", self.source),
            (false, _, None) => write!(f, "{} → {encoded}, on demand", self.source),
        }
    }
}

impl StreamPlan {
    /// The forms for which the stream is decoded.
    pub(crate) fn encoded(&self) -> impl Iterator<Item = &Rendition> {
        self.renditions.iter().filter(|rendition| rendition.action == Action::Encode)
    }
}

impl Rendition {
    const fn copy(codec: RtpCodec) -> Self {
        Self { action: Action::Copy, codec, bitrate: None }
    }

    fn encode(codec: Codec, bitrate: Bitrate) -> Self {
        Self { action: Action::Encode, codec: encoded_codec(codec), bitrate: Some(bitrate) }
    }
}

/// The size in which pictures of this size are encoded: even, at most 1920x1080 (or upright 1080x1920), the proportions
/// kept.
pub(crate) fn encoded_size(width: u32, height: u32) -> (u32, u32) {
    let (long, short) = LARGEST_ENCODED;
    let (widest, highest) = if width >= height { (long, short) } else { (short, long) };
    fitted(width, height, (widest, highest))
}

/// The size that pictures of this size are given to fit into another: even where it is another, the proportions kept.
pub(crate) fn fitted(width: u32, height: u32, (widest, highest): (u32, u32)) -> (u32, u32) {
    let (width, height) = (u64::from(width.max(1)), u64::from(height.max(1)));
    // Whichever side is further over its limit decides.
    let (numerator, denominator) = if width * u64::from(highest) > height * u64::from(widest) {
        (u64::from(widest), width)
    } else {
        (u64::from(highest), height)
    };
    if numerator >= denominator {
        return (width as u32, height as u32);
    }
    let even = |side: u64| ((side * numerator / denominator) as u32).max(2) & !1;
    (even(width), even(height))
}

fn plan_video(
    index: usize,
    stream: &StreamInfo,
    policy: CodecPolicy,
    bitrate: Option<Bitrate>,
) -> Result<StreamPlan, MediaError> {
    let mut renditions = Vec::new();
    let mut reason = None;
    if let SourceCodec::Rtp(codec) = stream.codec {
        // What nothing can decode here is better shown wrong than not at all.
        let can_be_mended = video_decoder(stream).is_ok();
        reason = obstacle(codec, stream, can_be_mended).filter(|_| policy != CodecPolicy::Copy);
        if reason.is_none() && policy.allows(codec) {
            renditions.push(Rendition::copy(RtpCodec { codec, sdp_fmtp_line: stream.sdp_fmtp_line.clone() }));
        }
    } else if policy == CodecPolicy::Copy {
        return Err(MediaError::Unsupported {
            what: format!("copying {}", stream.codec_name),
            hint: "browsers take H.264, VP8, VP9 and AV1; leave the choice to `auto`".into(),
        });
    }
    if policy != CodecPolicy::Copy {
        // The codec that is passed through is encoded as well: for those who join far from a keyframe.
        let wanted = |codec: &Codec| policy.allows(*codec) && can_encode(*codec);
        let decodable = video_decoder(stream).map(drop);
        if decodable.is_ok() {
            let bitrate = bitrate.unwrap_or_else(|| default_bitrate(stream));
            let codecs = [Codec::Vp8, Codec::H264].into_iter().filter(wanted);
            renditions.extend(codecs.map(|codec| Rendition::encode(codec, bitrate)));
            if wanted(&Codec::H264) {
                // Last, for those alone who can take no other H.264.
                let codec = single_nal_unit_codec();
                renditions.push(Rendition { action: Action::Encode, codec, bitrate: Some(bitrate) });
            }
        }
        if renditions.is_empty() {
            decodable?;
            return Err(MediaError::Unsupported {
                what: format!("sending {} under the codec policy `{policy}`", stream.codec_name),
                hint: "build with the cargo features `vpx` and `h264`, which encode VP8 and H.264".into(),
            });
        }
    }
    Ok(StreamPlan { stream: index, source: stream.codec_name.clone(), reason, renditions })
}

/// Why pictures that have a form for RTP are not sent as they are: browsers cannot decode them, or would show them wrong,
/// because RTP does not carry how they are to be shown.
fn obstacle(codec: Codec, stream: &StreamInfo, can_be_mended: bool) -> Option<String> {
    let picture = &stream.picture;
    let reason = match codec {
        _ if stream.reordered => "has B-frames",
        Codec::H264 if !has_common_profile(stream) => "is a profile that browsers lack",
        Codec::H264 | Codec::Av1 if picture.bit_depth > 8 => {
            return Some(format!("has {} bits, which browsers do not play", picture.bit_depth));
        }
        _ if !can_be_mended => return None,
        _ if picture.sample_aspect_ratio.is_some_and(|(across, down)| across != down) => {
            "has pixels that are not square"
        }
        _ if !picture.orientation.is_upright() => "is to be turned",
        _ if picture.is_interlaced() => "is interlaced",
        _ => return None,
    };
    Some(reason.to_owned())
}

fn plan_audio(index: usize, stream: &StreamInfo) -> Result<StreamPlan, MediaError> {
    let mut reason = None;
    let copied = match stream.codec {
        SourceCodec::Rtp(Codec::Opus) => {
            reason = OpusHead::of(stream).obstacle();
            let codec = RtpCodec { sdp_fmtp_line: stream.sdp_fmtp_line.clone(), ..encoded_codec(Codec::Opus) };
            reason.is_none().then_some(codec)
        }
        // RFC 3551 §4.5.14: payload types 0 and 8 are 8 kHz, one channel.
        SourceCodec::Rtp(codec @ (Codec::Pcmu | Codec::Pcma))
            if (stream.sample_rate, stream.channels) == (8_000, 1) =>
        {
            Some(RtpCodec::new(codec))
        }
        _ => None,
    };
    let mut renditions: Vec<Rendition> = copied.into_iter().map(Rendition::copy).collect();
    if renditions.is_empty() {
        audio_decoder(stream)?;
        if !can_encode(Codec::Opus) {
            return Err(MediaError::Unsupported {
                what: format!("sending {}", stream.codec_name),
                hint: "build with the cargo feature `opus`, which needs libopus".into(),
            });
        }
    }
    add_encoded_sound(&mut renditions, stream, AUDIO_BITRATE);
    Ok(StreamPlan { stream: index, source: stream.codec_name.clone(), reason, renditions })
}

/// Adds what a viewer may need that cannot take what is there: Opus, then G.711, which every telephone has.
fn add_encoded_sound(renditions: &mut Vec<Rendition>, stream: &StreamInfo, opus: Bitrate) {
    if audio_decoder(stream).is_err() {
        return;
    }
    for (codec, bitrate) in [(Codec::Opus, opus), (Codec::Pcmu, G711_BITRATE), (Codec::Pcma, G711_BITRATE)] {
        if can_encode(codec) && renditions.iter().all(|rendition| rendition.codec.codec != codec) {
            renditions.push(Rendition::encode(codec, bitrate));
        }
    }
}

/// 2.5 Mb/s for 720p30; larger and faster pictures need more, but less than in proportion.
fn default_bitrate(stream: &StreamInfo) -> Bitrate {
    let (width, height) = stream.picture.display_size(stream.width, stream.height);
    let (width, height) = encoded_size(width, height);
    let frame_rate = if (1.0..=240.0).contains(&stream.frame_rate) { stream.frame_rate } else { 30.0 };
    let ratio = f64::from(width) * f64::from(height) * frame_rate / (1_280.0 * 720.0 * 30.0);
    let bitrate = (REFERENCE_BITRATE * ratio.powf(0.75)).clamp(200_000.0, 12_000_000.0);
    Bitrate::from_bps((bitrate / 50_000.0).round() as u64 * 50_000)
}

fn mime_type<S: Serializer>(codec: &RtpCodec, serializer: S) -> Result<S::Ok, S::Error> {
    // Two forms of one type are told apart by the parameter that makes the difference.
    let parameter = if is_single_nal_units(codec) { ";packetization-mode=0" } else { "" };
    serializer.serialize_str(&format!("{}{parameter}", codec.mime_type()))
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn bits_per_second<S: Serializer>(bitrate: &Option<Bitrate>, serializer: S) -> Result<S::Ok, S::Error> {
    bitrate.map(Bitrate::as_bps).serialize(serializer)
}

#[cfg(all(test, feature = "h264", feature = "vpx", feature = "opus"))]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::properties::{FieldOrder, Orientation, PictureProperties};

    fn video(codec: SourceCodec, name: &str, reordered: bool) -> StreamInfo {
        StreamInfo {
            kind: MediaKind::Video,
            codec,
            codec_name: name.into(),
            extradata: Bytes::new(),
            width: 1_280,
            height: 720,
            frame_rate: 30.0,
            sample_rate: 0,
            channels: 0,
            reordered,
            sdp_fmtp_line: None,
            picture: PictureProperties::default(),
        }
    }

    fn audio(codec: SourceCodec, name: &str) -> StreamInfo {
        let extradata = Bytes::from_static(&[0x11, 0x90]);
        StreamInfo { kind: MediaKind::Audio, sample_rate: 48_000, channels: 2, extradata, ..video(codec, name, false) }
    }

    fn line(streams: &[StreamInfo], policy: CodecPolicy) -> String {
        Plan::new(streams, policy, None).map_or_else(|error| format!("error: {error}"), |plan| plan.to_string())
    }

    #[test]
    fn each_source_has_its_line() {
        use CodecPolicy::{Auto, Copy, H264, Vp8};
        let h264 = |reordered| video(SourceCodec::Rtp(Codec::H264), "H.264 High", reordered);
        let aac = || audio(SourceCodec::Aac, "AAC");
        let opus = || audio(SourceCodec::Rtp(Codec::Opus), "Opus");
        let vp9 = || video(SourceCodec::Rtp(Codec::Vp9), "VP9", false);
        let av1 = || video(SourceCodec::Rtp(Codec::Av1), "AV1", false);
        let pattern = || video(SourceCodec::I420, "test pattern", false);
        let hevc = || video(SourceCodec::Other("HEVC".into()), "HEVC", true);
        let cases = [
            (
                vec![h264(true), aac()],
                Auto,
                "video: H.264 High has B-frames → re-encode (VP8 and H.264, on demand) · audio: AAC → Opus",
            ),
            (vec![h264(false), aac()], Auto, "video: copy (VP8 on demand) · audio: AAC → Opus"),
            (vec![h264(true), opus()], Copy, "video: copy · audio: copy"),
            (vec![h264(false)], Vp8, "video: H.264 High → VP8, on demand"),
            (vec![h264(false)], H264, "video: copy"),
            (vec![h264(true)], H264, "video: H.264 High has B-frames → re-encode (H.264, on demand)"),
            (vec![vp9(), opus()], Auto, "video: copy (VP8 and H.264 on demand) · audio: copy"),
            (vec![av1(), opus()], Auto, "video: copy (VP8 and H.264 on demand) · audio: copy"),
            (vec![opus()], Auto, "audio: copy"),
            (vec![pattern()], Auto, "video: test pattern → VP8 and H.264, on demand"),
        ];
        for (streams, policy, expected) in cases {
            assert_eq!(line(&streams, policy), expected);
        }
        for (streams, policy, expected) in [
            (vec![], Auto, "no video or audio stream"),
            (vec![hevc()], Auto, "decoding HEVC is not supported: install `ffmpeg`"),
            (vec![hevc()], Copy, "copying HEVC is not supported"),
            (vec![audio(SourceCodec::Other("AC-3".into()), "AC-3")], Auto, "decoding AC-3 is not supported"),
        ] {
            let found = line(&streams, policy);
            assert!(found.starts_with("error: ") && found.contains(expected), "{found}");
        }
    }

    #[test]
    fn what_rtp_does_not_carry_is_done_to_the_pictures() {
        let h264 = || video(SourceCodec::Rtp(Codec::H264), "H.264 Main", false);
        let with = |picture: PictureProperties| StreamInfo { picture, ..h264() };
        let picture = PictureProperties::default;
        let mended = |reason: &str| format!("video: H.264 Main {reason} → re-encode (VP8 and H.264, on demand)");
        let wide = PictureProperties { sample_aspect_ratio: Some((64, 45)), ..picture() };
        assert_eq!(line(&[with(wide)], CodecPolicy::Auto), mended("has pixels that are not square"));
        assert_eq!(line(&[with(wide)], CodecPolicy::Copy), "video: copy");
        let turned = Orientation { mirrored: true, quarter_turns: 0 };
        let turned = PictureProperties { orientation: turned, ..picture() };
        assert_eq!(line(&[with(turned)], CodecPolicy::Auto), mended("is to be turned"));
        let fields = PictureProperties { field_order: FieldOrder::TopFirst, ..picture() };
        assert_eq!(line(&[with(fields)], CodecPolicy::Auto), mended("is interlaced"));
        let square = PictureProperties { sample_aspect_ratio: Some((1, 1)), bit_depth: 8, ..picture() };
        assert_eq!(line(&[with(square)], CodecPolicy::Auto), "video: copy (VP8 on demand)");
    }

    #[test]
    fn sound_that_cannot_be_sent_as_it_is_is_encoded_and_telephones_are_served() {
        let opus = |head: &'static [u8]| StreamInfo {
            extradata: Bytes::from_static(head),
            ..audio(SourceCodec::Rtp(Codec::Opus), "Opus")
        };
        let surround = opus(b"OpusHead\x01\x06\0\0\0\0\0\0\0\0\x01\x04\x02\0\x04\x01\x02\x03\x05");
        assert_eq!(
            line(&[surround], CodecPolicy::Auto),
            "audio: Opus has 6 channels in 4 streams → re-encode (Opus, on demand)"
        );
        let plain = [opus(b"OpusHead\x01\x02\0\0\0\0\0\0\0\0\0")];
        let mut plan = Plan::new(&plain, CodecPolicy::Auto, None).expect("a plan");
        let codecs = |plan: &Plan| {
            let renditions =
                plan.audio.as_ref().map(|audio| audio.renditions.iter().map(|r| (r.action, r.codec.codec)));
            renditions.into_iter().flatten().collect::<Vec<_>>()
        };
        let telephones = [(Action::Encode, Codec::Pcmu), (Action::Encode, Codec::Pcma)];
        assert_eq!(codecs(&plan), [&[(Action::Copy, Codec::Opus)][..], &telephones].concat());
        plan.avoid_large_packets(&plain);
        assert_eq!(codecs(&plan), [&[(Action::Encode, Codec::Opus)][..], &telephones].concat());
        let expected = "audio: Opus has packets larger than paths carry → re-encode (Opus, on demand)";
        assert_eq!(plan.to_string(), expected);
    }

    #[test]
    fn the_form_for_programs_names_codecs_and_bitrates() {
        let streams = [video(SourceCodec::Rtp(Codec::H264), "H.264 High", true), audio(SourceCodec::Aac, "AAC")];
        let plan = Plan::new(&streams, CodecPolicy::H264, Some(Bitrate::from_kbps(900))).expect("a plan");
        let expected = serde_json::json!({
            "video": {
                "stream": 0, "source": "H.264 High", "reason": "has B-frames",
                "renditions": [
                    {"action": "encode", "codec": "video/H264", "bitrate": 900_000},
                    {"action": "encode", "codec": "video/H264;packetization-mode=0", "bitrate": 900_000},
                ],
            },
            "audio": {
                "stream": 1, "source": "AAC",
                "renditions": [
                    {"action": "encode", "codec": "audio/opus", "bitrate": 96_000},
                    {"action": "encode", "codec": "audio/PCMU", "bitrate": 64_000},
                    {"action": "encode", "codec": "audio/PCMA", "bitrate": 64_000},
                ],
            },
        });
        assert_eq!(serde_json::to_value(&plan).expect("serialises"), expected);
    }

    #[test]
    fn sizes_and_bitrates_follow_the_source() {
        assert_eq!(encoded_size(1_920, 1_080), (1_920, 1_080));
        assert_eq!(encoded_size(3_840, 2_160), (1_920, 1_080));
        assert_eq!(encoded_size(4_096, 1_716), (1_920, 804));
        assert_eq!(encoded_size(2_160, 3_840), (1_080, 1_920));
        assert_eq!(encoded_size(1_440, 1_440), (1_080, 1_080));
        assert_eq!(encoded_size(640, 359), (640, 359));
        assert_eq!(encoded_size(0, 0), (1, 1));
        let at = |width, height, frame_rate| {
            default_bitrate(&StreamInfo { width, height, frame_rate, ..video(SourceCodec::I420, "", false) }).as_bps()
        };
        assert_eq!(at(1_280, 720, 30.0), 2_500_000);
        assert_eq!(at(1_280, 720, 0.0), 2_500_000);
        assert_eq!(at(1_920, 1_080, 30.0), 4_600_000);
        assert_eq!(at(3_840, 2_160, 30.0), 4_600_000);
        assert_eq!(at(0, 0, f64::NAN), 200_000);
    }
}
