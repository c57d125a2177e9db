//! Tones of a dial pad: W3C's `RTCDTMFSender` (webrtc-pc §7) by telephone events (RFC 4733).

mod received;
mod tone;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sender::RtpSender;
use super::{Connection, ConnectionEvent, PeerConnectionState, SenderSlot};
use crate::hint::Hint;
use crate::jsep::{TelephoneEvents, TransceiverId};
use crate::sdp::Direction;

pub(super) use received::ReceivedTones;
use tone::{Playing, event_of};

/// W3C webrtc-pc §7.2: the least and the most that a tone lasts, and the least between two.
const DURATIONS: (Duration, Duration) = (Duration::from_millis(40), Duration::from_millis(6_000));
const LEAST_GAP: Duration = Duration::from_millis(30);

/// W3C webrtc-pc §7.2: how long a comma waits.
const COMMA: Duration = Duration::from_secs(2);

/// Why tones are not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DtmfError {
    /// The sender cannot send any now.
    #[error("tones cannot be sent: {problem}; {hint}")]
    State {
        /// Why not.
        problem: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A character is no tone.
    #[error("{0:?} is no tone; tones are 0 to 9, A to D, # and *, and a comma waits for two seconds")]
    Character(char),
}

impl DtmfError {
    /// The W3C's name of the exception.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::State { .. } => "InvalidStateError",
            Self::Character(_) => "InvalidCharacterError",
        }
    }
}

impl Hint for DtmfError {
    fn problem(&self) -> String {
        match self {
            Self::State { problem, .. } => format!("tones cannot be sent: {problem}"),
            Self::Character(_) => self.to_string(),
        }
    }

    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::State { hint, .. } => Some(Cow::Borrowed(hint)),
            Self::Character(_) => None,
        }
    }
}

/// The tones of one sender.
#[derive(Debug)]
pub(super) struct Dtmf {
    /// W3C's `[[ToneBuffer]]`.
    buffer: Arc<str>,
    duration: Duration,
    gap: Duration,
    /// When the next tone is taken off the buffer, if that goes on.
    next: Option<Instant>,
    playing: Option<Playing>,
}

impl Default for Dtmf {
    fn default() -> Self {
        Self { buffer: Arc::from(""), duration: DURATIONS.0, gap: LEAST_GAP, next: None, playing: None }
    }
}

impl Dtmf {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let packet = self.playing.as_ref().map(Playing::next_packet);
        self.next.into_iter().chain(packet).min()
    }

    /// W3C webrtc-pc §7.2, the playout task: queues the packets that are due, takes the next tone off the buffer, and
    /// gives each that begins to `changed`, at the end nothing.
    fn handle_timeout(
        &mut self,
        now: Instant,
        format: Option<TelephoneEvents>,
        sender: &mut RtpSender,
        mut changed: impl FnMut(Option<char>),
    ) {
        let Some(format) = format else {
            self.playing = None;
            self.next = None;
            sender.set_interrupted(false);
            return;
        };
        while let Some(playing) = &mut self.playing
            && playing.next_packet() <= now
        {
            if !playing.send_next(sender) {
                self.playing = None;
                sender.set_interrupted(false);
            }
        }
        let Some(at) = self.next.filter(|at| *at <= now) else { return };
        let mut rest = self.buffer.chars();
        let Some(tone) = rest.next() else {
            self.next = None;
            changed(None);
            return;
        };
        self.buffer = Arc::from(rest.as_str());
        match event_of(tone) {
            Some(event) => {
                let mut playing = Playing::new(event, at, self.duration, format, sender.begin_event(at));
                // Interrupted before the first packet, so that no sound lies between the packets of the tone.
                sender.set_interrupted(true);
                playing.send_next(sender);
                self.playing = Some(playing);
                self.next = Some(at + self.duration + self.gap);
            }
            None => self.next = Some(at + COMMA),
        }
        changed(Some(tone));
    }
}

impl Connection {
    /// W3C's `insertDTMF`: sends these tones instead of sound, each for `duration` (40 to 6,000 ms are taken) with `gap`
    /// between them (at least 30 ms). They replace those that still wait, and an empty text ends the sending. Each tone
    /// that begins, and the end, is told by [`ConnectionEvent::ToneChange`].
    ///
    /// # Errors
    /// [`DtmfError::State`] if [`can_insert_dtmf`](Self::can_insert_dtmf) is not so, [`DtmfError::Character`] if something
    /// is no tone. Nothing has changed then.
    pub fn insert_dtmf(
        &mut self,
        now: Instant,
        transceiver: TransceiverId,
        tones: &str,
        duration: Duration,
        gap: Duration,
    ) -> Result<(), DtmfError> {
        self.check_dtmf(transceiver)?;
        let tones = tones.to_ascii_uppercase();
        if let Some(other) = tones.chars().find(|tone| *tone != ',' && event_of(*tone).is_none()) {
            return Err(DtmfError::Character(other));
        }
        let Some(slot) = self.slot(transceiver) else { return Ok(()) };
        slot.dtmf.buffer = Arc::from(tones);
        slot.dtmf.duration = duration.clamp(DURATIONS.0, DURATIONS.1);
        slot.dtmf.gap = gap.clamp(LEAST_GAP, DURATIONS.1);
        if !slot.dtmf.buffer.is_empty() {
            slot.dtmf.next.get_or_insert(now);
        }
        self.drive_dtmf(now);
        Ok(())
    }

    /// W3C's `canInsertDTMF`: whether the connection is connected, the sender sends a track of sound, and the peer takes
    /// telephone events.
    pub fn can_insert_dtmf(&self, transceiver: TransceiverId) -> bool {
        self.check_dtmf(transceiver).is_ok()
    }

    /// W3C's `toneBuffer`: the tones that wait, without that which is being sent; empty if there is no such sender.
    pub fn tone_buffer(&self, transceiver: TransceiverId) -> Arc<str> {
        let slot = self.senders.iter().find(|slot| slot.transceiver == transceiver);
        slot.map_or_else(|| Arc::from(""), |slot| Arc::clone(&slot.dtmf.buffer))
    }

    pub(super) fn drive_dtmf(&mut self, now: Instant) {
        for slot in &mut self.senders {
            if slot.dtmf.poll_timeout().is_some_and(|at| at <= now) {
                let format = slot.telephone_events();
                let (transceiver, events) = (slot.transceiver, &mut self.events);
                slot.dtmf.handle_timeout(now, format, &mut slot.sender, |tone| {
                    events.push_back(ConnectionEvent::ToneChange { transceiver, tone });
                });
            }
        }
    }

    fn check_dtmf(&self, transceiver: TransceiverId) -> Result<(), DtmfError> {
        let fail = |problem, hint| Err(DtmfError::State { problem, hint });
        if self.connection_state() != PeerConnectionState::Connected {
            return fail("the connection is not connected", "wait for its state `connected`");
        }
        let slot = self.senders.iter().find(|slot| slot.transceiver == transceiver);
        let Some((slot, settled)) = slot.zip(self.jsep.transceiver(transceiver)) else {
            return fail("the sender has left its connection", "take another transceiver");
        };
        if !settled.is_live() {
            return fail("the transceiver is stopped", "take another transceiver");
        }
        if settled.track_id().is_none() {
            return fail("the sender has no track", "give it one; silence will do");
        }
        if !settled.current_direction().is_some_and(Direction::sends) || slot.sendable().is_none() {
            return fail(
                "the sender may not send now",
                "negotiate a direction that sends, with an encoding that is active",
            );
        }
        if slot.telephone_events().is_none() {
            return fail(
                "telephone events were not negotiated for what is sent",
                "take a sender of sound, and a peer whose description has `telephone-event`",
            );
        }
        Ok(())
    }
}

impl SenderSlot {
    /// What tones are sent with, if they can be: those with the clock of the sound, else those of 8 kHz, which Firefox
    /// offers alone.
    fn telephone_events(&self) -> Option<TelephoneEvents> {
        let events = &self.sendable()?.send_telephone_events;
        let clock_rate = self.sender.encoding()?.codec.clock_rate();
        let of = |rate: u32| events.iter().find(|events| events.clock_rate == rate).copied();
        of(clock_rate).or_else(|| of(8_000))
    }
}
