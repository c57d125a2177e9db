//! Tracks and transceivers.

use rtcast_proto::jsep::{TransceiverId, TransceiverInit};
use rtcast_proto::{Direction, MediaKind, Mid, RtpCodec};

use super::PeerConnection;
use crate::error::Error;
use crate::track::MediaStreamTrack;

impl PeerConnection {
    /// Sends a track. It takes the place of a transceiver of its kind that sends nothing yet, such as one made by the
    /// peer's offer, else a new one; in an answer to an offer without such an m-line it stays unassociated and is sent
    /// after the next negotiation.
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
        let kept = track.clone();
        let added = self.call(move |entry, _| {
            let id = entry.connection.add_track(kept.kind(), kept.id(), &streams)?;
            // The codecs of the track, best first, lead our offers.
            let codecs: Vec<RtpCodec> = entry.connection.sendable_codecs(&kept.codecs().cloned().collect::<Vec<_>>());
            if !codecs.is_empty() {
                entry.connection.set_codec_preferences(id, &codecs)?;
            }
            entry.set_track(id, Some(kept));
            Ok::<_, rtcast_proto::DescriptionError>(id)
        });
        let transceiver = added.await??;
        Ok(RtpSender { connection: self.clone(), transceiver, track })
    }

    /// Stops sending a sender's track; a new negotiation tells the peer.
    ///
    /// # Errors
    /// [`Error::Description`] if the sender is not of this connection, [`Error::Closed`] after the end.
    pub async fn remove_track(&self, sender: &RtpSender) -> Result<(), Error> {
        let transceiver = sender.transceiver;
        let removed = self.call(move |entry, _| {
            entry.connection.remove_track(transceiver)?;
            entry.set_track(transceiver, None);
            Ok::<_, rtcast_proto::DescriptionError>(())
        });
        Ok(removed.await??)
    }

    /// Adds a transceiver of that kind and direction without a track.
    ///
    /// # Errors
    /// [`Error::Closed`] after the end.
    pub async fn add_transceiver(&self, kind: MediaKind, direction: Direction) -> Result<RtpTransceiver, Error> {
        let init = TransceiverInit { direction, ..TransceiverInit::default() };
        let id = self.call(move |entry, _| entry.connection.add_transceiver(kind, init)).await?;
        Ok(RtpTransceiver { id, kind, mid: None, direction, current_direction: None })
    }

    /// The transceivers as they stand, in the order of their making.
    ///
    /// # Errors
    /// [`Error::Closed`] after the end.
    pub async fn transceivers(&self) -> Result<Vec<RtpTransceiver>, Error> {
        self.call(|entry, _| {
            let describe = |transceiver: &rtcast_proto::jsep::Transceiver| RtpTransceiver {
                id: transceiver.id(),
                kind: transceiver.kind(),
                mid: transceiver.mid().cloned(),
                direction: transceiver.direction(),
                current_direction: transceiver.current_direction(),
            };
            entry.connection.transceivers().iter().map(describe).collect()
        })
        .await
    }

    /// Chooses the codecs of a transceiver and their order for the next negotiation.
    ///
    /// # Errors
    /// [`Error::Description`] if a codec is not implemented or not of the transceiver's kind.
    pub async fn set_codec_preferences(
        &self,
        transceiver: &RtpTransceiver,
        codecs: Vec<RtpCodec>,
    ) -> Result<(), Error> {
        let id = transceiver.id;
        Ok(self.call(move |entry, _| entry.connection.set_codec_preferences(id, &codecs)).await??)
    }
}

/// What sends a track: W3C's `RTCRtpSender`.
#[derive(Debug, Clone)]
pub struct RtpSender {
    connection: PeerConnection,
    transceiver: TransceiverId,
    track: MediaStreamTrack,
}

impl RtpSender {
    /// The track.
    pub const fn track(&self) -> &MediaStreamTrack {
        &self.track
    }

    /// The connection that it belongs to.
    pub const fn connection(&self) -> &PeerConnection {
        &self.connection
    }
}

/// A sender and a receiver that share an m-line, as they stood when asked for: W3C's `RTCRtpTransceiver`.
#[derive(Debug, Clone)]
pub struct RtpTransceiver {
    id: TransceiverId,
    kind: MediaKind,
    mid: Option<Mid>,
    direction: Direction,
    current_direction: Option<Direction>,
}

impl RtpTransceiver {
    /// Sound or pictures.
    pub const fn kind(&self) -> MediaKind {
        self.kind
    }

    /// The m-line, once negotiated.
    pub const fn mid(&self) -> Option<&Mid> {
        self.mid.as_ref()
    }

    /// The direction that is wanted.
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    /// The direction that was negotiated.
    pub const fn current_direction(&self) -> Option<Direction> {
        self.current_direction
    }
}
