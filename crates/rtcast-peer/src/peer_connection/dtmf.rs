//! What sends tones of a dial pad: W3C's `RTCDTMFSender`.

use std::time::Duration;

use rtcast_proto::MediaKind;

use super::handle::Handle;
use super::sender::RtpSender;
use super::{PeerConnection, PeerConnectionEvent};
use crate::error::Error;

/// W3C's `RTCDTMFToneChangeEvent`.
#[derive(Debug, Clone)]
pub struct ToneChangeEvent {
    /// The sender.
    pub sender: RtpSender,
    /// The tone that begins: 0 to 9, A to D, # or *, or a comma, which waits for two seconds; `None` after the last.
    pub tone: Option<char>,
}

/// A tone that the peer sent, which has ended.
#[derive(Debug, Clone)]
pub struct ToneReceivedEvent {
    /// The transceiver whose receiver it came to.
    pub transceiver: super::RtpTransceiver,
    /// 0 to 9, A to D, # or *.
    pub tone: char,
    /// How long it lasted.
    pub duration: Duration,
}

/// What sends tones of a dial pad by telephone events (RFC 4733): W3C's `RTCDTMFSender`.
///
/// Cheap to clone; all clones are one. It needs a track of sound that is being sent, and sends each tone instead of it.
///
/// ```no_run
/// # async fn example(sender: rtcast_peer::RtpSender) -> Result<(), rtcast_peer::Error> {
/// if let Some(dtmf) = sender.dtmf() {
///     dtmf.insert("1234#").await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DtmfSender {
    handle: Handle,
}

impl RtpSender {
    /// What sends tones; `None` for a sender of pictures.
    ///
    /// ```
    /// use rtcast_peer::{Configuration, Direction, MediaKind, PeerConnection};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), rtcast_peer::Error> {
    /// let pc = PeerConnection::new(Configuration::default()).await?;
    /// let sound = pc.add_transceiver(MediaKind::Audio, Direction::Sendonly).await?.sender();
    /// assert!(sound.dtmf().is_some_and(|dtmf| !dtmf.can_insert()), "not before it is connected");
    /// let pictures = pc.add_transceiver(MediaKind::Video, Direction::Sendonly).await?.sender();
    /// assert!(pictures.dtmf().is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn dtmf(&self) -> Option<DtmfSender> {
        (self.kind() == MediaKind::Audio).then(|| DtmfSender { handle: self.handle().clone() })
    }
}

impl DtmfSender {
    /// Whether tones can be sent now: the connection is connected, the sender sends its track, and the peer takes
    /// telephone events.
    pub fn can_insert(&self) -> bool {
        self.handle.view().tones(self.handle.id()).is_some_and(|tones| tones.can_insert)
    }

    /// The tones that wait, without that which is being sent.
    pub fn tone_buffer(&self) -> String {
        self.handle.view().tones(self.handle.id()).map_or_else(String::new, |tones| tones.buffer.to_string())
    }

    /// Sends these tones, each for 100 ms with 70 ms between them: 0 to 9, A to D in either case, # and *; a comma waits
    /// for two seconds. They replace those that still wait; an empty text ends the sending.
    ///
    /// # Errors
    /// [`Error::Dtmf`] if a character is no tone, or none can be sent now; [`Error::Closed`] after the end of the
    /// connection.
    pub async fn insert(&self, tones: &str) -> Result<(), Error> {
        self.insert_with(tones, Duration::from_millis(100), Duration::from_millis(70)).await
    }

    /// The same with each tone's duration, 40 to 6,000 ms, and the gap between two, at least 30 ms; beyond that they are
    /// taken as the limit.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub async fn insert_with(&self, tones: &str, duration: Duration, gap: Duration) -> Result<(), Error> {
        let (id, tones) = (self.handle.id(), tones.to_owned());
        let inserted = self.handle.call(move |entry, now| entry.connection.insert_dtmf(now, id, &tones, duration, gap));
        Ok(inserted.await??)
    }

    /// Calls `callback` for every tone that begins from now on, and with `None` after the last. The callback runs on a
    /// task that ends with the connection. To be called within a tokio runtime.
    pub fn on_tone_change(&self, mut callback: impl FnMut(Option<char>) + Send + 'static) {
        let Some(connection) = self.handle.connection() else { return };
        let handle = self.handle.clone();
        connection.on_event(move |event| {
            if let PeerConnectionEvent::ToneChange(event) = event
                && *event.sender.handle() == handle
            {
                callback(event.tone);
            }
        });
    }
}

impl PeerConnection {
    /// Calls `callback` for every tone of a dial pad that the peer sends from now on, when it has ended. The callback runs
    /// on a task that ends with the connection. To be called within a tokio runtime.
    pub fn on_tone_received(&self, mut callback: impl FnMut(ToneReceivedEvent) + Send + 'static) {
        self.on_event(move |event| {
            if let PeerConnectionEvent::ToneReceived(event) = event {
                callback(event);
            }
        });
    }
}
