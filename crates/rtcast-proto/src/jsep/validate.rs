//! Everything that is checked before a description changes anything.

use crate::jsep::SignalingState;
use crate::jsep::media_section::{bundled_with, transport_section};
use crate::jsep::negotiated::counterpart;
use crate::sdp::{DescriptionError, Media, MediaLine, SdpType, Session};

/// The state that follows (RFC 8829 §3.2).
pub(crate) fn state(state: SignalingState, sdp_type: SdpType, local: bool) -> Result<SignalingState, DescriptionError> {
    use SignalingState as S;
    let next = match (sdp_type, local, state) {
        (SdpType::Offer, true, S::Stable | S::HaveLocalOffer) => Some(S::HaveLocalOffer),
        // W3C webrtc-pc §4.4.1.5: the peer's offer takes ours back.
        (SdpType::Offer, false, S::Stable | S::HaveRemoteOffer | S::HaveLocalOffer) => Some(S::HaveRemoteOffer),
        (SdpType::Answer, true, S::HaveRemoteOffer | S::HaveLocalPranswer)
        | (SdpType::Answer, false, S::HaveLocalOffer | S::HaveRemotePranswer) => Some(S::Stable),
        (SdpType::Pranswer, true, S::HaveRemoteOffer | S::HaveLocalPranswer) => Some(S::HaveLocalPranswer),
        (SdpType::Pranswer, false, S::HaveLocalOffer | S::HaveRemotePranswer) => Some(S::HaveRemotePranswer),
        (SdpType::Rollback, _, S::HaveLocalOffer | S::HaveRemoteOffer) => Some(S::Stable),
        _ => None,
    };
    next.ok_or_else(|| DescriptionError::State {
        operation: operation(sdp_type, local),
        state,
        hint: state_hint(state, sdp_type, local).into(),
    })
}

const fn operation(sdp_type: SdpType, local: bool) -> &'static str {
    match (sdp_type, local) {
        (SdpType::Offer, true) => "set a local offer",
        (SdpType::Offer, false) => "set a remote offer",
        (SdpType::Answer, true) => "set a local answer",
        (SdpType::Answer, false) => "set a remote answer",
        (SdpType::Pranswer, true) => "set a local provisional answer",
        (SdpType::Pranswer, false) => "set a remote provisional answer",
        (SdpType::Rollback, _) => "roll back",
    }
}

const fn state_hint(state: SignalingState, sdp_type: SdpType, local: bool) -> &'static str {
    use SignalingState as S;
    match (state, sdp_type, local) {
        (S::Closed, ..) => "the connection was closed; make a new one",
        (S::Stable, SdpType::Rollback, _) => "there is no pending offer to take back",
        (_, SdpType::Rollback, _) => {
            "an offer that was answered provisionally cannot be taken back; send a final answer"
        }
        (S::Stable, _, true) => "an answer needs the peer's offer first: `set_remote_description(offer)`",
        (S::Stable, _, false) => {
            "an answer needs our offer first: `set_local_description(create_offer())`; if this is the peer's offer, \
             its type is \"offer\""
        }
        (S::HaveLocalOffer, _, _) => "our offer waits for the peer's answer: pass that to `set_remote_description`",
        (S::HaveRemoteOffer, SdpType::Offer, _) => {
            "the peer's offer waits for our answer: `create_answer` and `set_local_description` first, or roll back"
        }
        (S::HaveRemoteOffer, _, _) => {
            "the peer sent an offer, so the answer is ours: `create_answer` and `set_local_description`"
        }
        (S::HaveLocalPranswer, _, _) => "we answered provisionally: set our final answer as the local description",
        (S::HaveRemotePranswer, _, _) => "the peer answered provisionally: wait for its final answer",
    }
}

/// Checks that every m-line has a mid of its own, and that the BUNDLE group names none that is not there.
pub(crate) fn mids(session: &Session) -> Result<(), DescriptionError> {
    let mut seen = std::collections::HashMap::new();
    for (index, media) in session.media.iter().enumerate() {
        if let Some(mid) = &media.mid
            && let Some(first) = seen.insert(mid, index)
        {
            return Err(DescriptionError::meaning(
                format!("m-lines {first} and {index} both have `a=mid:{mid}`"),
                "each m-line has a mid of its own",
            ));
        }
    }
    match session.bundle.iter().flatten().find(|mid| !seen.contains_key(mid)) {
        Some(mid) => Err(DescriptionError::meaning(
            format!("`a=group:BUNDLE` names {mid:?}, but no m-line has this mid", mid = mid.as_str()),
            "the group lists the mids of the m-lines below it",
        )),
        None => Ok(()),
    }
}

/// Checks a new offer against what was negotiated before: m-lines stay where they are (RFC 8829 §5.2.2).
pub(crate) fn offer_follows(
    offer: &Session,
    before: &Session,
    reusable: impl Fn(usize) -> bool,
) -> Result<(), DescriptionError> {
    const HINT: &str = "m-lines keep their place and are rejected with port 0 when they are not used any more; if \
                        this offer comes from a new connection of the peer, make a new one here too";
    if offer.media.len() < before.media.len() {
        return Err(DescriptionError::media_lines(
            format!("this offer has {} m-lines, the session has {}", offer.media.len(), before.media.len()),
            HINT,
        ));
    }
    for (index, (new, old)) in offer.media.iter().zip(&before.media).enumerate() {
        if !reusable(index) && (new.kind != old.kind || new.mid != old.mid) {
            return Err(DescriptionError::media_lines(
                format!("in this offer there stands {}, where the session has {}", new.line(index), old.line(index)),
                HINT,
            ));
        }
    }
    Ok(())
}

/// Checks an answer of the peer against our offer (RFC 8829 §5.10, RFC 3264 §6).
pub(crate) fn answer_fits(answer: &Session, offer: &Session) -> Result<(), DescriptionError> {
    let fail = |problem: String| {
        Err(DescriptionError::media_lines(
            problem,
            "an answer has the offer's m-lines in the offer's order, those it turns down with port 0; check that it \
             answers the last offer of this connection",
        ))
    };
    let absent = |index: usize, media: &Media| format!("{} of the offer", media.line(index));
    if let Some(media) = offer.media.get(answer.media.len()) {
        return fail(format!("the answer has no m-line for {}", absent(answer.media.len(), media)));
    }
    if let Some(media) = answer.media.get(offer.media.len()) {
        return fail(format!(
            "the answer has {}, but the offer has only {} m-lines",
            media.line(offer.media.len()),
            offer.media.len()
        ));
    }
    let bundled = transport_section(answer).map(|tag| bundled_with(answer, tag)).unwrap_or_default();
    for (index, (answered, offered)) in answer.media.iter().zip(&offer.media).enumerate() {
        let rejected = answered.is_rejected();
        let same_mid = answered.mid == offered.mid || (rejected && answered.mid.is_none());
        if answered.kind != offered.kind || !same_mid {
            return fail(format!("the answer has {}, where {} stands", answered.line(index), absent(index, offered)));
        }
        if !rejected && offered.is_rejected() {
            return fail(format!("the answer takes up {}, which is rejected there", absent(index, offered)));
        }
        if rejected {
            continue;
        }
        if !bundled.get(index).is_some_and(|bundled| *bundled) {
            return Err(DescriptionError::Unsupported {
                problem: format!("the answer does not bundle {}", answered.line(index)),
                hint: "everything goes over one transport here: the peer must support BUNDLE (RFC 9143)".into(),
            });
        }
        let matches = || answered.payload_formats.iter().any(|format| counterpart(format, offered).is_some());
        if offered.media_kind().is_some() && !matches() {
            return Err(DescriptionError::meaning(
                format!("{} of the answer has none of the codecs that were offered", answered.line(index)),
                "an answer chooses among the offered formats, or turns the m-line down with port 0",
            ));
        }
    }
    Ok(())
}

/// Checks that a local description is the one that was created last (W3C webrtc-pc §4.4.1.5).
pub(crate) fn unchanged(given: &Session, created: Option<&Session>, offer: bool) -> Result<(), DescriptionError> {
    let word = if offer { "offer" } else { "answer" };
    let hint = if offer {
        "set what `create_offer` returned last, unchanged"
    } else {
        "set what `create_answer` returned last, unchanged"
    };
    let Some(created) = created else {
        return Err(DescriptionError::Modified {
            problem: format!("no {word} was created by this connection"),
            hint: hint.into(),
        });
    };
    if given == created {
        return Ok(());
    }
    let differing = given.media.iter().zip(&created.media).position(|(given, created)| given != created);
    let line = |index: usize| given.media.get(index).map(|media: &Media| -> MediaLine { media.line(index) });
    let place = match differing.and_then(line) {
        Some(line) => format!("it differs in {line}"),
        None if given.media.len() != created.media.len() => {
            format!("it has {} m-lines instead of {}", given.media.len(), created.media.len())
        }
        None => "it differs before the first m-line".to_owned(),
    };
    Err(DescriptionError::Modified {
        problem: format!("this is not the {word} that this connection created last: {place}"),
        hint: hint.into(),
    })
}
