//! Tracks: what a sender sends.

use std::fmt;
use std::sync::Arc;

use rtcast_proto::{MediaKind, RtpCodec};

use crate::broadcast::Broadcast;
use crate::random;

/// A track of media to send: W3C's `MediaStreamTrack`, encoded.
///
/// It offers the same media in one or more renditions, best first. Each sender takes the first one whose codec its peer
/// negotiated; viewers of one rendition share its packets. Cheap to clone; all clones are one track.
#[derive(Clone)]
pub struct MediaStreamTrack {
    inner: Arc<Inner>,
}

struct Inner {
    id: String,
    kind: MediaKind,
    renditions: Vec<Broadcast>,
}

impl MediaStreamTrack {
    /// A track of that kind with its renditions in the order of preference. Renditions of the other kind are ignored.
    pub fn new(kind: MediaKind, renditions: Vec<Broadcast>) -> Self {
        let renditions = renditions.into_iter().filter(|broadcast| broadcast.codec().codec.kind() == kind).collect();
        Self { inner: Arc::new(Inner { id: random::uuid(), kind, renditions }) }
    }

    /// The identifier, unique to the track, as it stands in `a=msid`.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Sound or pictures.
    pub fn kind(&self) -> MediaKind {
        self.inner.kind
    }

    /// The renditions, best first.
    pub fn renditions(&self) -> &[Broadcast] {
        &self.inner.renditions
    }

    /// The codecs of the renditions, best first.
    pub fn codecs(&self) -> impl Iterator<Item = &RtpCodec> {
        self.inner.renditions.iter().map(Broadcast::codec)
    }
}

impl PartialEq for MediaStreamTrack {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for MediaStreamTrack {}

impl fmt::Debug for MediaStreamTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaStreamTrack")
            .field("id", &self.inner.id)
            .field("kind", &self.inner.kind)
            .field("renditions", &self.inner.renditions)
            .finish()
    }
}
