//! Two sides and the steps of an exchange.

use rtcast_proto::jsep::{Jsep, JsepConfig, LocalTransport, Outcome, TransceiverInit};
use rtcast_proto::sdp::{DescriptionError, Direction, Media, SdpType, SessionDescription};
use rtcast_proto::types::MediaKind;

pub(crate) const CHROMIUM: &str = include_str!("../fixtures/chromium_offer.sdp");
pub(crate) const CHROMIUM_RECVONLY: &str = include_str!("../fixtures/chromium_offer_recvonly.sdp");
pub(crate) const FIREFOX: &str = include_str!("../fixtures/firefox_offer.sdp");
pub(crate) const FIREFOX_RECVONLY: &str = include_str!("../fixtures/firefox_offer_recvonly.sdp");

pub(crate) fn transport(name: &str) -> LocalTransport {
    LocalTransport {
        ice_ufrag: name.to_owned(),
        ice_pwd: format!("{name:*<24}"),
        fingerprints: vec![format!("sha-256 {}", ["AB"; 32].join(":")).parse().unwrap()],
        ..LocalTransport::default()
    }
}

pub(crate) fn offer(text: impl Into<String>) -> SessionDescription {
    SessionDescription::new(SdpType::Offer, text).unwrap()
}

pub(crate) fn answer(text: impl Into<String>) -> SessionDescription {
    SessionDescription::new(SdpType::Answer, text).unwrap()
}

pub(crate) fn init(direction: Direction) -> TransceiverInit {
    TransceiverInit { direction, ..TransceiverInit::default() }
}

/// One side with its name, which is its ICE user name fragment.
pub(crate) struct Side {
    pub(crate) jsep: Jsep,
    pub(crate) transport: LocalTransport,
}

impl Side {
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, JsepConfig::default())
    }

    pub(crate) fn with(name: &str, config: JsepConfig) -> Self {
        let mut seed = [0; 32];
        seed.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        Self { jsep: Jsep::new(config, seed), transport: transport(name) }
    }

    pub(crate) fn add(&mut self, kind: MediaKind, direction: Direction) -> rtcast_proto::jsep::TransceiverId {
        self.jsep.add_transceiver(kind, init(direction))
    }

    pub(crate) fn create_offer(&mut self) -> SessionDescription {
        self.jsep.create_offer(&self.transport).unwrap()
    }

    /// Creates an offer and sets it.
    pub(crate) fn offer(&mut self) -> SessionDescription {
        let offer = self.create_offer();
        self.jsep.set_local_description(&offer).unwrap();
        sent(&offer)
    }

    /// Creates an answer and sets it.
    pub(crate) fn answer(&mut self) -> (SessionDescription, Outcome) {
        let answer = self.jsep.create_answer(&self.transport).unwrap();
        let outcome = self.jsep.set_local_description(&answer).unwrap();
        (sent(&answer), outcome)
    }

    pub(crate) fn take(&mut self, description: &SessionDescription) -> Outcome {
        self.jsep.set_remote_description(description).unwrap()
    }

    /// What a second look would notice of a change: everything but the numbers of descriptions created.
    pub(crate) fn state(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        (
            self.jsep.signaling_state(),
            self.jsep.transceivers().to_vec(),
            self.jsep.local_description(&self.transport).map(|description| description.sdp().to_owned()),
            self.jsep.remote_description().map(|description| description.sdp().to_owned()),
            self.jsep.current_local_description().cloned(),
            self.jsep.current_remote_description().cloned(),
            self.jsep.negotiation_needed(),
        )
    }

    /// Asserts that this remote description is refused and that nothing changed.
    #[track_caller]
    pub(crate) fn refuses(&mut self, description: &SessionDescription, parts: &[&str]) -> DescriptionError {
        let before = self.state();
        let error = self.jsep.set_remote_description(description).expect_err("taken, though it should be refused");
        says(&error, parts);
        assert_eq!(self.state(), before, "the refused description changed something");
        error
    }
}

/// A description as it arrives at the other side: through JSON.
fn sent(description: &SessionDescription) -> SessionDescription {
    let received = SessionDescription::from_json(&description.to_json()).unwrap();
    assert!(received.session() == description.session(), "the text says something else than what was meant");
    received
}

/// A whole exchange; gives the outcomes of the side that offers and of the side that answers.
pub(crate) fn negotiate(offerer: &mut Side, answerer: &mut Side) -> (Outcome, Outcome) {
    let offer = offerer.offer();
    answerer.take(&offer);
    let (answer, answered) = answerer.answer();
    (offerer.take(&answer), answered)
}

#[track_caller]
pub(crate) fn says(error: &DescriptionError, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

/// Kind, whether in use, and direction of each m-line.
pub(crate) fn shape(description: &SessionDescription) -> Vec<(String, bool, Direction)> {
    let line = |media: &Media| (media.kind.clone(), !media.is_rejected(), media.direction);
    description.session().media.iter().map(line).collect()
}

/// The text without the lines that start like this.
pub(crate) fn without(text: &str, start: &str) -> String {
    text.lines().filter(|line| !line.starts_with(start)).map(|line| format!("{line}\r\n")).collect()
}
