//! Events, as a stream and as callbacks.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use rtcast_proto::connection::{DtlsTransportState, IceCandidateError, IceGatheringState, PeerConnectionState};
use rtcast_proto::data_channel::SctpTransportState;
use rtcast_proto::ice::{IceTransportState, SelectedPair};
use rtcast_proto::{IceCandidate, SignalingState};
use rtcast_track::MediaStreamTrack;

use super::dtmf::{ToneChangeEvent, ToneReceivedEvent};
use super::listeners::Listener;
use super::{PeerConnection, RtpTransceiver};
use crate::data_channel::DataChannel;

/// Something that happened to a connection, by the W3C's names.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PeerConnectionEvent {
    /// `connectionstatechange`.
    ConnectionStateChange(PeerConnectionState),
    /// `iceconnectionstatechange`.
    IceConnectionStateChange(IceTransportState),
    /// `icegatheringstatechange`.
    IceGatheringStateChange(IceGatheringState),
    /// `signalingstatechange`.
    SignalingStateChange(SignalingState),
    /// `icecandidate`; `None` after the last one.
    IceCandidate(Option<IceCandidate>),
    /// `icecandidateerror`: a STUN or TURN server could not be used.
    IceCandidateError(IceCandidateError),
    /// `negotiationneeded`.
    NegotiationNeeded,
    /// `track`.
    Track(TrackEvent),
    /// `datachannel`: the peer has made one, and it is open.
    DataChannel(DataChannel),
    /// `tonechange`.
    ToneChange(ToneChangeEvent),
    /// The peer sent a tone of a dial pad.
    ToneReceived(ToneReceivedEvent),
    /// `selectedcandidatepairchange` of the ICE transport; `None` when it has none any more.
    SelectedCandidatePairChange(Option<SelectedPair>),
    /// `statechange` of the SCTP transport; `connecting` when there is one.
    SctpTransportStateChange(SctpTransportState),
    /// `statechange` of the DTLS transport.
    DtlsTransportStateChange(DtlsTransportState),
}

/// W3C's `RTCTrackEvent`.
///
/// What one connection sends, read at another:
///
/// ```
/// use std::time::{Duration, Instant};
/// use rtcast_peer::{
///     Broadcast, Codec, Configuration, Frame, MediaKind, MediaStreamTrack, MediaTime, PeerConnection,
///     PeerConnectionEvent, RtpCodec,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut configuration = Configuration::default();
/// # configuration.address = Some(([127, 0, 0, 1], 0).into());
/// # let (sender, receiver) = (PeerConnection::new(configuration.clone()).await?, PeerConnection::new(configuration).await?);
/// let broadcast = Broadcast::new(RtpCodec::new(Codec::Opus));
/// sender.add_track(MediaStreamTrack::new(MediaKind::Audio, vec![broadcast.clone()])).await?;
/// let mut events = receiver.events();
/// # sender.set_local_description(None).await?;
/// # receiver.set_remote_description(sender.local_description().ok_or("no offer")?).await?;
/// # receiver.set_local_description(None).await?;
/// # sender.set_remote_description(receiver.local_description().ok_or("no answer")?).await?;
/// // …exchange descriptions, then:
/// let track = loop {
///     if let PeerConnectionEvent::Track(event) = events.recv().await.ok_or("it was closed")? {
///         break event.track;
///     }
/// };
/// let sound = Frame::new(Codec::Opus, vec![0xfc, 0xff, 0xfe], MediaTime::ZERO);
/// let received = loop {
///     broadcast.send(&sound, Instant::now());
///     if let Ok(frame) = tokio::time::timeout(Duration::from_millis(20), track.recv()).await {
///         break frame;
///     }
/// };
/// assert_eq!(received.map(|frame| frame.data), Some(sound.data));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TrackEvent {
    /// The track.
    pub track: MediaStreamTrack,
    /// The streams that it belongs to.
    pub stream_ids: Vec<String>,
    /// The transceiver, whose receiver has the track.
    pub transceiver: RtpTransceiver,
}

/// The events of a connection from the moment it was asked for; ends with the connection. A reader that lags thousands of
/// events behind loses the oldest.
///
/// ```
/// use rtcast_peer::{Configuration, PeerConnection, PeerConnectionEvent};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), rtcast_peer::Error> {
/// let pc = PeerConnection::new(Configuration::default()).await?;
/// let mut events = pc.events();
/// pc.create_data_channel("chat", Default::default()).await?;
/// pc.set_local_description(None).await?;
/// let mut candidates = Vec::new();
/// while let Some(event) = events.recv().await {
///     match event {
///         PeerConnectionEvent::IceCandidate(Some(candidate)) => candidates.push(candidate.to_json()),
///         PeerConnectionEvent::IceCandidate(None) => break,
///         _ => {}
///     }
/// }
/// assert!(candidates.iter().all(|candidate| candidate.contains(r#""sdpMid":"0""#)));
/// # Ok(())
/// # }
/// ```
pub struct EventStream {
    listener: Arc<Listener>,
}

impl EventStream {
    /// The next event; `None` after the end of the connection.
    pub async fn recv(&mut self) -> Option<PeerConnectionEvent> {
        std::future::poll_fn(|context| self.listener.poll_next(context)).await
    }
}

impl Stream for EventStream {
    type Item = PeerConnectionEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<PeerConnectionEvent>> {
        self.listener.poll_next(context)
    }
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream").finish_non_exhaustive()
    }
}

impl PeerConnection {
    /// The events from now on.
    pub fn events(&self) -> EventStream {
        EventStream { listener: self.inner.view.listen() }
    }

    /// Calls `callback` for every track that the peer sends from now on. The callback runs on a task that ends with the
    /// connection. To be called within a tokio runtime.
    pub fn on_track(&self, mut callback: impl FnMut(TrackEvent) + Send + 'static) {
        self.on_event(move |event| {
            if let PeerConnectionEvent::Track(event) = event {
                callback(event);
            }
        });
    }

    /// Calls `callback` for every candidate from now on, and with `None` after the last one. The callback runs on a task
    /// that ends with the connection. To be called within a tokio runtime.
    ///
    /// Candidates go to the peer as they are found:
    ///
    /// ```no_run
    /// # fn example(pc: rtcast_peer::PeerConnection, signaling: std::sync::mpsc::Sender<String>) {
    /// pc.on_ice_candidate(move |candidate| {
    ///     let message = candidate.map_or_else(|| "null".to_owned(), |candidate| candidate.to_json());
    ///     if signaling.send(message).is_err() {
    ///         eprintln!("the signalling has ended");
    ///     }
    /// });
    /// # }
    /// ```
    pub fn on_ice_candidate(&self, mut callback: impl FnMut(Option<IceCandidate>) + Send + 'static) {
        self.on_event(move |event| {
            if let PeerConnectionEvent::IceCandidate(candidate) = event {
                callback(candidate);
            }
        });
    }

    /// Calls `callback` whenever `connection_state` changes from now on. The callback runs on a task that ends with the
    /// connection. To be called within a tokio runtime.
    pub fn on_connection_state_change(&self, mut callback: impl FnMut(PeerConnectionState) + Send + 'static) {
        self.on_event(move |event| {
            if let PeerConnectionEvent::ConnectionStateChange(state) = event {
                callback(state);
            }
        });
    }

    /// Calls `callback` whenever something came up that only a new offer tells the peer. The callback runs on a task that
    /// ends with the connection. To be called within a tokio runtime.
    pub fn on_negotiation_needed(&self, mut callback: impl FnMut() + Send + 'static) {
        self.on_event(move |event| {
            if let PeerConnectionEvent::NegotiationNeeded = event {
                callback();
            }
        });
    }

    /// Calls `callback` whenever `signaling_state` changes from now on. The callback runs on a task that ends with the
    /// connection. To be called within a tokio runtime.
    pub fn on_signaling_state_change(&self, mut callback: impl FnMut(SignalingState) + Send + 'static) {
        self.on_event(move |event| {
            if let PeerConnectionEvent::SignalingStateChange(state) = event {
                callback(state);
            }
        });
    }

    /// Calls `callback` whenever `ice_connection_state` changes from now on. The callback runs on a task that ends with
    /// the connection. To be called within a tokio runtime.
    pub fn on_ice_connection_state_change(&self, mut callback: impl FnMut(IceTransportState) + Send + 'static) {
        self.on_event(move |event| {
            if let PeerConnectionEvent::IceConnectionStateChange(state) = event {
                callback(state);
            }
        });
    }

    /// Calls `callback` whenever `ice_gathering_state` changes from now on. The callback runs on a task that ends with
    /// the connection. To be called within a tokio runtime.
    pub fn on_ice_gathering_state_change(&self, mut callback: impl FnMut(IceGatheringState) + Send + 'static) {
        self.on_event(move |event| {
            if let PeerConnectionEvent::IceGatheringStateChange(state) = event {
                callback(state);
            }
        });
    }

    pub(crate) fn on_event(&self, mut callback: impl FnMut(PeerConnectionEvent) + Send + 'static) {
        let mut events = self.events();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                callback(event);
            }
        });
    }
}
