//! How to reach the peer, read from the m-line that stands for the bundle.

use crate::ice::MAX_REMOTE_FRAGMENT;
use crate::sdp::{Candidate, DescriptionError, Fingerprint, Media, SdpType, Session, Setup};
use crate::types::Mid;

/// The peer's ICE credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceParameters {
    /// The user name fragment.
    pub ufrag: String,
    /// The password.
    pub pwd: String,
    /// Whether the peer is an ICE-lite agent, so that we control.
    pub lite: bool,
}

/// How to reach the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteTransport {
    /// The m-line that it was read from: the one that stands for the bundle.
    pub media_line: usize,
    /// The mid of that m-line.
    pub mid: Option<Mid>,
    /// The credentials.
    pub ice: IceParameters,
    /// Whether they differ from those of the last exchange: the peer restarts ICE.
    pub ice_restart: bool,
    /// The digests of the peer's certificate; one that we can compute must match.
    pub fingerprints: Vec<Fingerprint>,
    /// What the peer says about who opens DTLS.
    pub setup: Setup,
    /// The candidates in the description.
    pub candidates: Vec<Candidate>,
    /// Whether no more follow.
    pub end_of_candidates: bool,
}

/// Reads what the m-line `tag` says, or names the attribute that it lacks.
pub(crate) fn remote_transport(
    session: &Session,
    tag: usize,
    sdp_type: SdpType,
    settled: Option<&IceParameters>,
) -> Result<Option<RemoteTransport>, DescriptionError> {
    let Some(media) = session.media.get(tag) else { return Ok(None) };
    let missing = |attribute: &'static str, hint: &'static str| DescriptionError::MissingAttribute {
        attribute,
        media_line: media.line(tag),
        hint: hint.into(),
    };
    let ufrag = media
        .ice_ufrag
        .as_deref()
        .ok_or_else(|| missing("ice-ufrag", "ICE needs the peer's user name: pass the SDP as the peer made it"))?;
    let pwd = media
        .ice_pwd
        .as_deref()
        .ok_or_else(|| missing("ice-pwd", "ICE needs the peer's password: pass the SDP as the peer made it"))?;
    if ufrag.len() > MAX_REMOTE_FRAGMENT {
        return Err(DescriptionError::meaning(
            format!("{} has an `a=ice-ufrag` of {} characters", media.line(tag), ufrag.len()),
            format!("a user name of more than {MAX_REMOTE_FRAGMENT} characters is not served; 4 to 32 are usual"),
        ));
    }
    if media.fingerprints.is_empty() {
        return Err(missing(
            "fingerprint",
            "DTLS proves the peer's identity by it, and WebRTC is always encrypted: pass the SDP as the peer made it",
        ));
    }
    let setup = setup(media, tag, sdp_type)?;
    rtcp_mux(session, tag)?;
    let ice = IceParameters { ufrag: ufrag.to_owned(), pwd: pwd.to_owned(), lite: session.ice_lite };
    Ok(Some(RemoteTransport {
        media_line: tag,
        mid: media.mid.clone(),
        // RFC 8839 §4.4.1.1.1: a change of either is a restart.
        ice_restart: settled.is_some_and(|old| (&old.ufrag, &old.pwd) != (&ice.ufrag, &ice.pwd)),
        ice,
        fingerprints: media.fingerprints.to_vec(),
        setup,
        candidates: media.candidates.clone(),
        end_of_candidates: media.end_of_candidates,
    }))
}

fn setup(media: &Media, index: usize, sdp_type: SdpType) -> Result<Setup, DescriptionError> {
    let answer = sdp_type != SdpType::Offer;
    match media.setup {
        None => Err(DescriptionError::MissingAttribute {
            attribute: "setup",
            media_line: media.line(index),
            hint: if answer {
                "an answer says who opens DTLS: `a=setup:active` or `a=setup:passive`".into()
            } else {
                "an offer says who may open DTLS: `a=setup:actpass`".into()
            },
        }),
        Some(Setup::Actpass) if answer => Err(DescriptionError::meaning(
            format!("{} has `a=setup:actpass`, which only an offer may say", media.line(index)),
            "an answer says active or passive; this looks like an offer that was given the type \"answer\", perhaps \
             our own that came back",
        )),
        Some(Setup::Holdconn) => Err(DescriptionError::meaning(
            format!("{} has `a=setup:holdconn`, with which nobody opens DTLS", media.line(index)),
            "an offer says actpass, an answer active or passive",
        )),
        Some(setup) => Ok(setup),
    }
}

/// RFC 9143 §9.3, RFC 8859 §5: in a bundle the attribute may stand in the m-line that stands for it alone.
fn rtcp_mux(session: &Session, tag: usize) -> Result<(), DescriptionError> {
    let rtp = |media: &Media| !media.is_rejected() && media.media_kind().is_some();
    let lines = || session.media.iter().enumerate().filter(|(_, media)| rtp(media));
    let tagged = session.media.get(tag).filter(|media| rtp(media));
    let multiplexed = tagged.map_or_else(|| lines().any(|(_, media)| media.rtcp_mux), |media| media.rtcp_mux);
    match tagged.map(|media| (tag, media)).or_else(|| lines().next()) {
        Some((index, media)) if !multiplexed => Err(DescriptionError::MissingAttribute {
            attribute: "rtcp-mux",
            media_line: media.line(index),
            hint: "RTP and RTCP share one port here: turn on rtcp-mux at the peer (rtcpMuxPolicy \"require\")".into(),
        }),
        _ => Ok(()),
    }
}
