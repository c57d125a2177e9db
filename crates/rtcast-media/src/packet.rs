//! What a container yields: streams and their packets.

use bytes::Bytes;
use rtcast_track::{Codec, Frame, MediaKind, MediaTime};

use crate::error::MediaError;
use crate::properties::PictureProperties;

/// A codec as a container names it: one that rtcast carries, one that it only decodes, or one that it only knows by name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceCodec {
    /// A codec with an RTP payload format here; it may be passed through.
    Rtp(Codec),
    /// AAC; the stream's `extradata` is its AudioSpecificConfig.
    Aac,
    /// Interleaved signed 16-bit little-endian samples. Containers' other PCM forms are converted to this when read.
    PcmS16,
    /// Planar 4:2:0 pictures of 8 bits, the planes in the order Y, U, V, without padding.
    I420,
    /// Anything else, by the name that a person would search for, such as `HEVC` or `AC-3`.
    Other(String),
}

/// One stream of a container.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamInfo {
    /// Sound or pictures. Streams of other kinds (subtitles, timecode) are not listed.
    pub kind: MediaKind,
    /// The codec.
    pub codec: SourceCodec,
    /// A person's name of the codec with its profile, such as `H.264 High`.
    pub codec_name: String,
    /// Codec configuration for a decoder: AudioSpecificConfig, OpusHead; empty for video, whose packets carry it.
    pub extradata: Bytes,
    /// Size in pixels, 0 for sound.
    pub width: u32,
    /// Size in pixels, 0 for sound.
    pub height: u32,
    /// Pictures per second, if the container or the codec tells; 0.0 otherwise.
    pub frame_rate: f64,
    /// Sound samples per second, 0 for pictures.
    pub sample_rate: u32,
    /// Sound channels, 0 for pictures.
    pub channels: u16,
    /// Whether pictures are presented in another order than they are decoded (B-frames), as far as could be seen.
    pub reordered: bool,
    /// Format parameters for `a=fmtp`, such as H.264's `profile-level-id`, when they can be known.
    pub sdp_fmtp_line: Option<String>,
    /// How the pictures are meant to be shown; the default for sound.
    pub picture: PictureProperties,
}

/// What a decoder takes: encoded pictures or sound, in the form that [`Frame`] states for its codec. W3C's
/// `EncodedVideoChunk` and `EncodedAudioChunk`.
///
/// What a track brings is handed to a decoder so:
///
/// ```
/// use rtcast_media::EncodedChunk;
/// use rtcast_track::{Codec, Frame, MediaTime};
///
/// let frame = Frame::new(Codec::Vp8, vec![0x11, 2, 0], MediaTime::from_ticks(3_000, 90_000));
/// let chunk = EncodedChunk::from(&frame);
/// assert!(!chunk.keyframe && chunk.duration == MediaTime::ZERO);
/// assert_eq!(chunk, EncodedChunk::new(frame.data, frame.timestamp).with_keyframe(false));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncodedChunk {
    /// The bytes.
    pub data: Bytes,
    /// When to present it, on the clock of its source.
    pub timestamp: MediaTime,
    /// How long it is presented; zero if unknown.
    pub duration: MediaTime,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// Decode it, but show nothing of it: it lies before an edit list's start or is codec pre-roll.
    pub discard: bool,
}

impl EncodedChunk {
    /// A chunk at which decoding can start, of unknown duration.
    pub fn new(data: impl Into<Bytes>, timestamp: MediaTime) -> Self {
        Self { data: data.into(), timestamp, duration: MediaTime::ZERO, keyframe: true, discard: false }
    }

    /// Sets how long it is presented.
    #[must_use]
    pub fn with_duration(self, duration: MediaTime) -> Self {
        Self { duration, ..self }
    }

    /// Says whether decoding can start here.
    #[must_use]
    pub fn with_keyframe(self, keyframe: bool) -> Self {
        Self { keyframe, ..self }
    }

    /// Says whether nothing of it is shown.
    #[must_use]
    pub fn with_discard(self, discard: bool) -> Self {
        Self { discard, ..self }
    }
}

/// What is received or was encoded, for a decoder.
impl From<&Frame> for EncodedChunk {
    fn from(frame: &Frame) -> Self {
        Self::new(frame.data.clone(), frame.timestamp)
            .with_duration(frame.duration.unwrap_or(MediaTime::ZERO))
            .with_keyframe(frame.keyframe)
    }
}

/// One packet of a container's stream, in decoding order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Packet {
    /// Index into [`Demuxer::streams`].
    pub stream: usize,
    /// When to decode it; equals the chunk's timestamp where nothing is reordered.
    pub dts: MediaTime,
    /// What it holds. Its timestamp has edit lists applied; streams of one source share the clock.
    pub chunk: EncodedChunk,
}

impl Packet {
    /// A packet that is decoded in the order of its presentation.
    pub const fn new(stream: usize, chunk: EncodedChunk) -> Self {
        Self { stream, dts: chunk.timestamp, chunk }
    }

    /// Sets when to decode it.
    #[must_use]
    pub fn with_dts(self, dts: MediaTime) -> Self {
        Self { dts, ..self }
    }
}

/// A reader of one container.
///
/// What there is of each stream in the first tenth of a second:
///
/// ```
/// use rtcast_media::pattern::{PatternOptions, TestPattern};
/// use rtcast_media::Demuxer;
/// use rtcast_track::MediaTime;
///
/// let mut source: Box<dyn Demuxer> = Box::new(TestPattern::new(PatternOptions::default()));
/// let mut packets = vec![0; source.streams().len()];
/// while let Some(packet) = source.next_packet()?.filter(|packet| packet.dts < MediaTime::from_micros(100_000)) {
///     packets[packet.stream] += 1;
/// }
/// assert_eq!(packets, [3, 5]);
/// assert!(source.rewind()?);
/// # Ok::<(), rtcast_media::MediaError>(())
/// ```
pub trait Demuxer: Send {
    /// The streams, fixed after opening.
    fn streams(&self) -> &[StreamInfo];

    /// The container's duration, if it tells.
    fn duration(&self) -> Option<MediaTime>;

    /// The next packet, `None` at the end. Blocks while it reads. After an error it may be called again only if
    /// [`MediaError::is_recoverable`] says so.
    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError>;

    /// Goes back to the start. `Ok(false)`: the source cannot (a pipe).
    fn rewind(&mut self) -> Result<bool, MediaError>;
}
