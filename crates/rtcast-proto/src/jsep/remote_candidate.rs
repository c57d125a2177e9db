//! Candidates that the peer trickles in (RFC 8829 §4.1.19, W3C webrtc-pc §4.4.2 addIceCandidate).

use crate::jsep::Jsep;
use crate::sdp::{Candidate, DescriptionError, IceCandidate, Media};
use crate::types::Mid;

/// What a candidate of the peer is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteCandidate {
    /// It belongs to the transport.
    Use(Candidate),
    /// No more come for the transport.
    End,
    /// Its m-line is rejected or bundled into another one, or it is of an older generation.
    Unused,
}

impl Jsep {
    /// Checks a candidate of the peer against its description; changes nothing.
    ///
    /// # Errors
    /// [`DescriptionError::State`] before the first remote description, [`DescriptionError::Argument`] if it names no
    /// m-line, [`DescriptionError::Candidate`] if it cannot be read or names an m-line that is not there.
    pub fn check_candidate(&self, candidate: &IceCandidate) -> Result<RemoteCandidate, DescriptionError> {
        self.refuse_when_closed("add an ICE candidate")?;
        let parsed = candidate.parsed()?;
        let Some(description) = self.remote_description() else {
            return Err(DescriptionError::State {
                operation: "add an ICE candidate",
                state: self.state,
                hint: "set the peer's description first, and keep candidates that come earlier until then".into(),
            });
        };
        let session = description.session();
        let unknown = |problem: String| DescriptionError::Candidate {
            text: candidate.candidate.clone(),
            problem,
            hint: "pass `sdpMid` and `sdpMLineIndex` as the peer sent them, after its description".into(),
        };
        // An empty mid, as Pion and webrtc-rs send it beside the index, names nothing; browsers take it so as well.
        let mid = candidate.sdp_mid.as_deref().filter(|mid| !mid.is_empty());
        let index = match (mid, candidate.sdp_m_line_index) {
            (Some(mid), _) => session
                .index_of(&Mid::from(mid))
                .ok_or_else(|| unknown(format!("the remote description has no m-line with the mid {mid:?}")))?,
            (None, Some(index)) if usize::from(index) < session.media.len() => usize::from(index),
            (None, Some(index)) => {
                return Err(unknown(format!("the remote description has no m-line {index}")));
            }
            (None, None) if parsed.is_none() => return Ok(RemoteCandidate::End),
            (None, None) => {
                return Err(DescriptionError::argument(
                    "the candidate names neither `sdpMid` nor `sdpMLineIndex`",
                    "pass the whole candidate as the peer sent it, not its text alone",
                ));
            }
        };
        let ufrag = session.media.get(index).and_then(|media: &Media| media.ice_ufrag.as_deref());
        let named = candidate.username_fragment.as_deref();
        let named = named.or_else(|| parsed.as_ref().and_then(|parsed| parsed.extension("ufrag")));
        let other_generation = named.is_some() && ufrag.is_some() && named != ufrag;
        Ok(match parsed {
            _ if self.remote_section != Some(index) || other_generation => RemoteCandidate::Unused,
            Some(candidate) => RemoteCandidate::Use(candidate),
            None => RemoteCandidate::End,
        })
    }
}
