//! What a broadcast sends.

use rtcast_proto::{Bitrate, RtpCodec};

/// One form of a track's media: what a viewer gets who is given this one. What is not known is `None`.
///
/// ```
/// use rtcast_track::{Bitrate, Broadcast, Codec, Rendition, RtpCodec};
///
/// let rendition = Rendition::new(RtpCodec::new(Codec::Vp8))
///     .with_size(1280, 720)
///     .with_frame_rate(30.0)
///     .with_bitrate(Bitrate::from_kbps(2_000));
/// let broadcast = Broadcast::new(rendition);
/// assert_eq!(broadcast.rendition().size, Some((1280, 720)));
/// assert_eq!(broadcast.rendition().rung, 0, "the best there is");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Rendition {
    /// The codec with its format parameters.
    pub codec: RtpCodec,
    /// The mean bitrate.
    pub bitrate: Option<Bitrate>,
    /// Width and height in pixels; of sound, `None`.
    pub size: Option<(u32, u32)>,
    /// Pictures per second.
    pub frame_rate: Option<f64>,
    /// Its place on the ladder of the renditions that show the same, 0 for the best.
    pub rung: u8,
}

impl Rendition {
    /// A rendition in this codec of which nothing else is known, on the top rung.
    pub const fn new(codec: RtpCodec) -> Self {
        Self { codec, bitrate: None, size: None, frame_rate: None, rung: 0 }
    }

    /// The same with that mean bitrate.
    #[must_use]
    pub const fn with_bitrate(mut self, bitrate: Bitrate) -> Self {
        self.bitrate = Some(bitrate);
        self
    }

    /// The same with pictures of that width and height in pixels.
    #[must_use]
    pub const fn with_size(mut self, width: u32, height: u32) -> Self {
        self.size = Some((width, height));
        self
    }

    /// The same with so many pictures per second.
    #[must_use]
    pub const fn with_frame_rate(mut self, frame_rate: f64) -> Self {
        self.frame_rate = Some(frame_rate);
        self
    }

    /// The same on that rung.
    #[must_use]
    pub const fn with_rung(mut self, rung: u8) -> Self {
        self.rung = rung;
        self
    }
}

impl From<RtpCodec> for Rendition {
    fn from(codec: RtpCodec) -> Self {
        Self::new(codec)
    }
}
