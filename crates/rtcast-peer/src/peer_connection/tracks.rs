//! Adding and removing tracks and transceivers.

use std::sync::Arc;

use rtcast_proto::connection::RtpEncodingParameters;
use rtcast_proto::jsep::{TransceiverId, TransceiverInit};
use rtcast_proto::{DescriptionError, Direction, MediaKind, RtpCodec};
use rtcast_track::MediaStreamTrack;

use super::PeerConnection;
use super::handle::Handle;
use super::receiver::RtpReceiver;
use super::sender::RtpSender;
use super::transceiver::RtpTransceiver;
use crate::endpoint::Entry;
use crate::error::Error;

/// How a transceiver begins: W3C's `RTCRtpTransceiverInit`. A bare [`Direction`] does where nothing else is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RtpTransceiverInit {
    /// The direction that is wanted. Default: `sendrecv`.
    pub direction: Direction,
    /// The streams that the track belongs to; receivers play the tracks of one stream in sync. Default: none.
    pub streams: Vec<String>,
    /// How it is sent. Simulcast is not offered, so all but the first are left out, as the W3C provides. Default: one,
    /// active.
    pub send_encodings: Vec<RtpEncodingParameters>,
}

impl From<Direction> for RtpTransceiverInit {
    fn from(direction: Direction) -> Self {
        Self { direction, ..Self::default() }
    }
}

/// What a transceiver is added for: a track, or a kind alone.
#[derive(Debug, Clone)]
pub enum TrackOrKind {
    /// A track to send.
    Track(MediaStreamTrack),
    /// Sound or pictures, without a track so far.
    Kind(MediaKind),
}

impl From<MediaStreamTrack> for TrackOrKind {
    fn from(track: MediaStreamTrack) -> Self {
        Self::Track(track)
    }
}

impl From<MediaKind> for TrackOrKind {
    fn from(kind: MediaKind) -> Self {
        Self::Kind(kind)
    }
}

impl PeerConnection {
    /// Sends a track. It takes the place of a transceiver of its kind that sends nothing yet, such as one made by the
    /// peer's offer, else a new one; in an answer to an offer without such an m-line it stays unassociated and is sent
    /// after the next negotiation.
    ///
    /// ```
    /// use rtcast_peer::{Broadcast, Codec, Configuration, MediaKind, MediaStreamTrack, PeerConnection, RtpCodec};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), rtcast_peer::Error> {
    /// let pc = PeerConnection::new(Configuration::default()).await?;
    /// let track = MediaStreamTrack::new(MediaKind::Video, vec![Broadcast::new(RtpCodec::new(Codec::Vp8))]);
    /// let sender = pc.add_track(track.clone()).await?;
    /// assert_eq!(sender.track(), Some(track));
    /// let offer = pc.create_offer().await?;
    /// assert_eq!(offer.session().media[0].media_kind(), Some(MediaKind::Video));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Description`] if the track is sent already, [`Error::Closed`] after the end.
    pub async fn add_track(&self, track: MediaStreamTrack) -> Result<RtpSender, Error> {
        self.add_track_in_streams(track, &["rtcast"]).await
    }

    /// Sends a track as part of the named streams; receivers play the tracks of one stream in sync.
    ///
    /// # Errors
    /// As [`add_track`](Self::add_track).
    pub async fn add_track_in_streams(&self, track: MediaStreamTrack, streams: &[&str]) -> Result<RtpSender, Error> {
        let streams: Vec<String> = streams.iter().map(ToString::to_string).collect();
        let kind = track.kind();
        let added = self.call(move |entry, _| {
            let id = entry.connection.add_track(kind, track.id(), &streams)?;
            attach(entry, id, track)?;
            Ok::<_, DescriptionError>(id)
        });
        Ok(RtpSender::new(self.handle(added.await??, kind)))
    }

    /// Stops sending a sender's track; a new negotiation tells the peer.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the sender is another connection's, [`Error::Closed`] after the end.
    pub async fn remove_track(&self, sender: &RtpSender) -> Result<(), Error> {
        let id = self.own(sender.handle(), "the sender")?;
        let removed = self.call(move |entry, _| {
            entry.connection.remove_track(id)?;
            entry.set_track(id, None);
            Ok::<_, DescriptionError>(())
        });
        Ok(removed.await??)
    }

    /// Adds a transceiver for a track, or for a kind without a track so far.
    ///
    /// Pictures to receive and none to send:
    ///
    /// ```
    /// use rtcast_peer::{Configuration, Direction, MediaKind, PeerConnection};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), rtcast_peer::Error> {
    /// let pc = PeerConnection::new(Configuration::default()).await?;
    /// let transceiver = pc.add_transceiver(MediaKind::Video, Direction::Recvonly).await?;
    /// assert!(transceiver.mid().is_none() && transceiver.sender().track().is_none());
    /// pc.set_local_description(None).await?;
    /// assert!(pc.local_description().is_some_and(|offer| offer.sdp().contains("a=recvonly")));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Description`] if the track is sent already, [`Error::Closed`] after the end.
    pub async fn add_transceiver(
        &self,
        track_or_kind: impl Into<TrackOrKind>,
        init: impl Into<RtpTransceiverInit>,
    ) -> Result<RtpTransceiver, Error> {
        let init = init.into();
        let (kind, track) = match track_or_kind.into() {
            TrackOrKind::Track(track) => (track.kind(), Some(track)),
            TrackOrKind::Kind(kind) => (kind, None),
        };
        let encoding = init.send_encodings.first().copied();
        let init = TransceiverInit {
            direction: init.direction,
            track_id: track.as_ref().map(|track| track.id().to_owned()),
            stream_ids: init.streams,
        };
        let added = self.call(move |entry, _| {
            let id = entry.connection.add_transceiver(kind, init);
            if let Some(encoding) = encoding {
                entry.connection.set_send_encoding(id, encoding);
            }
            if let Some(track) = track {
                attach(entry, id, track)?;
            }
            Ok::<_, DescriptionError>(id)
        });
        Ok(RtpTransceiver::new(self.handle(added.await??, kind)))
    }

    /// The transceivers in the order of their making; those that are stopped leave with the negotiation that stops them.
    pub fn transceivers(&self) -> Vec<RtpTransceiver> {
        let snapshot = self.inner.view.snapshot();
        let known = snapshot.transceivers.iter();
        known.map(|transceiver| RtpTransceiver::new(self.handle(transceiver.id(), transceiver.kind()))).collect()
    }

    /// The senders of the transceivers that are not stopped.
    pub fn senders(&self) -> Vec<RtpSender> {
        let live = self.transceivers().into_iter().filter(|transceiver| !transceiver.stopped());
        live.map(|transceiver| transceiver.sender()).collect()
    }

    /// The receivers of the transceivers that are not stopped.
    pub fn receivers(&self) -> Vec<RtpReceiver> {
        let live = self.transceivers().into_iter().filter(|transceiver| !transceiver.stopped());
        live.map(|transceiver| transceiver.receiver()).collect()
    }

    pub(super) fn handle(&self, id: TransceiverId, kind: MediaKind) -> Handle {
        Handle::new(Arc::downgrade(&self.inner), Arc::clone(&self.inner.view), id, kind)
    }

    /// The transceiver of a handle, if it is of this connection.
    fn own(&self, handle: &Handle, what: &'static str) -> Result<TransceiverId, Error> {
        handle.belongs_to(&self.inner.view).then_some(handle.id()).ok_or(Error::NotFound { what })
    }
}

/// Gives a new transceiver its track, whose codecs, best first, lead our offers.
fn attach(entry: &mut Entry, id: TransceiverId, track: MediaStreamTrack) -> Result<(), DescriptionError> {
    let codecs: Vec<RtpCodec> = entry.connection.sendable_codecs(&track.codecs());
    if !codecs.is_empty() {
        entry.connection.set_codec_preferences(id, &codecs)?;
    }
    entry.set_track(id, Some(track));
    Ok(())
}
