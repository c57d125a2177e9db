//! How packets of media leave: what a sender is given to write them, and who decides how fast.

use std::time::Instant;

use super::batch::TransmitBatch;
use super::extensions::Stamp;
use super::{Connection, ConnectionEvent, WallClock};
use crate::congestion::{CongestionController, Feedback, FixedRate, SentPacket};
use crate::ice::SelectedPair;
use crate::srtp::SrtpSession;
use crate::types::{Bitrate, Ssrc};

/// What a sender writes its packets with, for one go.
pub(super) struct Departure<'a> {
    pub(super) now: Instant,
    pub(super) pair: SelectedPair,
    pub(super) srtp: &'a SrtpSession,
    pub(super) batch: &'a mut TransmitBatch,
    congestion: &'a mut Congestion,
    clock: WallClock,
    /// The bytes that may leave still.
    budget: usize,
}

impl<'a> Departure<'a> {
    pub(super) fn new(
        now: Instant,
        pair: SelectedPair,
        srtp: &'a SrtpSession,
        batch: &'a mut TransmitBatch,
        congestion: &'a mut Congestion,
        clock: WallClock,
    ) -> Self {
        let budget = congestion.controller.budget(now);
        Self { now, pair, srtp, batch, congestion, clock, budget }
    }

    /// What the next packet bears if it leaves now.
    pub(super) fn stamp(&self) -> Stamp {
        let transport_sequence_number = self.congestion.next_number as u16;
        Stamp { transport_sequence_number, ntp_time: self.clock.ntp_time(self.now) }
    }

    /// Whether a packet of that length may leave now.
    pub(super) const fn admits(&self, length: usize) -> bool {
        self.budget >= length
    }

    /// Takes the packet that was written into the space reserved last; `numbered` if it bears the number of the stamp.
    pub(super) fn commit(&mut self, ssrc: Ssrc, length: usize, numbered: bool) {
        self.batch.commit(self.pair, length);
        self.budget = self.budget.saturating_sub(length);
        let congestion = &mut *self.congestion;
        let transport_sequence_number = numbered.then_some(congestion.next_number);
        congestion.next_number += u64::from(numbered);
        congestion
            .controller
            .handle_sent(self.now, SentPacket { transport_sequence_number, ..SentPacket::new(ssrc, length) });
    }

    /// The bytes that may leave still.
    pub(super) const fn budget(&self) -> usize {
        self.budget
    }
}

/// The controller, and what goes with it.
#[derive(Debug)]
pub(super) struct Congestion {
    pub(super) controller: Box<dyn CongestionController>,
    told: Bitrate,
    /// The number of the next packet that has one.
    next_number: u64,
}

impl Default for Congestion {
    fn default() -> Self {
        let controller = Box::<FixedRate>::default();
        Self { told: controller.target_bitrate(), controller, next_number: 0 }
    }
}

impl Congestion {
    /// The target, if it is another than was told last.
    fn changed(&mut self) -> Option<Bitrate> {
        let target = self.controller.target_bitrate();
        (std::mem::replace(&mut self.told, target) != target).then_some(target)
    }
}

impl Connection {
    /// Gives the say in how fast media leaves to another controller, which begins with nothing in flight. Default:
    /// [`FixedRate`]. If its target is another, [`ConnectionEvent::TargetBitrateChanged`] tells it. To be followed by
    /// [`poll_transmit`](Self::poll_transmit).
    pub fn set_congestion_controller(&mut self, controller: Box<dyn CongestionController>) {
        self.congestion.controller = controller;
        self.paced_until = None;
        self.tell_target();
    }

    /// What all media of this connection should take together, by its congestion controller.
    pub fn target_bitrate(&self) -> Bitrate {
        self.congestion.controller.target_bitrate()
    }

    pub(super) fn handle_feedback(&mut self, now: Instant, feedback: Feedback<'_>) {
        self.congestion.controller.handle_feedback(now, feedback);
        self.tell_target();
    }

    /// Tells the controller the time, if it asked for it.
    pub(super) fn drive_congestion(&mut self, now: Instant) {
        if self.congestion.controller.poll_timeout().is_some_and(|at| at <= now) {
            self.congestion.controller.handle_timeout(now);
            self.tell_target();
        }
    }

    fn tell_target(&mut self) {
        if let Some(bitrate) = self.congestion.changed() {
            self.events.push_back(ConnectionEvent::TargetBitrateChanged { bitrate });
        }
    }
}
