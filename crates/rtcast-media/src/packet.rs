//! What a container yields: streams and their packets.

use bytes::Bytes;
use rtcast_track::{Codec, MediaKind, MediaTime};

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

/// One packet of a stream, in decoding order, its bytes in the form that [`rtcast_track::Frame`] states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Index into [`Demuxer::streams`].
    pub stream: usize,
    /// The bytes.
    pub data: Bytes,
    /// When to present it, edit lists applied; streams of one source share the clock.
    pub pts: MediaTime,
    /// When to decode it; equals `pts` where nothing is reordered.
    pub dts: MediaTime,
    /// How long it is presented; zero if unknown.
    pub duration: MediaTime,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// Decode it, but show nothing of it: it lies before the edit list's start or is codec pre-roll.
    pub discard: bool,
}

/// A reader of one container.
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
