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
    pub async fn feed(&self, source: &mut dyn FrameSource) {
        let mut upstream = self.upstream();
        let mut requests = upstream.keyframe_requests();
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
