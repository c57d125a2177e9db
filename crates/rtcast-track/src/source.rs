//! What yields frames.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

use rtcast_proto::{Frame, MediaKind};

use crate::broadcast::Broadcast;

/// What yields encoded frames, one after the other, and can be asked for a keyframe.
///
/// [`FrameReader`](crate::FrameReader) makes one of every track, whoever made that. What a program, a decoder or another
/// language makes is given to everybody by [`Broadcast::feed`].
///
/// A source of silence, whose frames a broadcast gives to everybody:
///
/// ```
/// use std::task::{Context, Poll};
/// use rtcast_track::{Broadcast, Codec, Frame, FrameSource, MediaKind, MediaTime, RtpCodec};
///
/// struct Silence(u8);
///
/// impl FrameSource for Silence {
///     fn kind(&self) -> MediaKind {
///         MediaKind::Audio
///     }
///     fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Frame>> {
///         let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
///         self.0 = left;
///         Poll::Ready(Some(Frame::new(Codec::Opus, vec![0xfc, 0xff, 0xfe], MediaTime::ZERO)))
///     }
///     fn request_keyframe(&self) {}
/// }
///
/// let broadcast = Broadcast::new(RtpCodec::new(Codec::Opus));
/// let mut reader = broadcast.subscribe_frames();
/// futures_lite::future::block_on(broadcast.feed(&mut Silence(2)));
/// assert_eq!(std::iter::from_fn(|| reader.try_recv()).count(), 2);
/// ```
pub trait FrameSource: Send {
    /// Sound or pictures.
    fn kind(&self) -> MediaKind;

    /// The next frame; `None` when it has ended.
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Frame>>;

    /// Asks for a frame at which decoding can start, as soon as can be.
    fn request_keyframe(&self);
}

impl Broadcast {
    /// Sends what a source yields until it ends, and asks it for a keyframe when a sink does. The broadcast goes on.
    ///
    /// What one broadcast sends, sent on by another:
    ///
    /// ```
    /// use std::time::Instant;
    /// use rtcast_track::{Broadcast, Codec, Frame, MediaTime, RtpCodec};
    ///
    /// let [origin, relay] = [(); 2].map(|()| Broadcast::new(RtpCodec::new(Codec::Pcma)));
    /// let (mut source, mut reader) = (origin.subscribe_frames(), relay.subscribe_frames());
    /// origin.send(&Frame::new(Codec::Pcma, vec![0xd5; 160], MediaTime::ZERO), Instant::now());
    /// origin.close();
    /// futures_lite::future::block_on(relay.feed(&mut source));
    /// assert_eq!(reader.try_recv().map(|frame| frame.data.len()), Some(160));
    /// ```
    pub async fn feed(&self, source: &mut dyn FrameSource) {
        let mut upstream = self.upstream();
        let mut requests = upstream.keyframe_requests();
        if upstream.demand() > 0 {
            // Whoever has joined already has asked for one, of nobody.
            source.request_keyframe();
        }
        loop {
            let next = poll_fn(|context| {
                while upstream.poll_changed(context).is_ready() {
                    if upstream.keyframe_requests() != requests {
                        requests = upstream.keyframe_requests();
                        source.request_keyframe();
                    }
                }
                source.poll_frame(context)
            });
            match next.await {
                Some(frame) => self.send(&frame, Instant::now()),
                None => return,
            }
        }
    }
}
