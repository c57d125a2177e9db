//! SDP (RFC 8866) as WebRTC uses it: text in, a typed model out, and back.
//!
//! [`SdpLines`] is the text as lines, nothing lost. [`Session`] and [`Media`] are the typed model. On top stand the
//! W3C's two dictionaries, [`SessionDescription`] and [`IceCandidate`], which refuse wrong input where it comes in.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod candidate;
mod codecs;
mod description;
mod direction;
mod error;
mod extmap;
mod fingerprint;
mod formats;
mod json;
mod limits;
mod lines;
mod media;
mod session;
mod signaling_state;
mod ssrc;

pub use candidate::{Candidate, CandidateType, IceCandidate};
pub use codecs::{PayloadFormat, RtcpFeedback};
pub(crate) use codecs::{TELEPHONE_EVENT, parse_payload_type, static_format};
pub use description::{SdpType, SessionDescription, ToJson};
pub use direction::Direction;
pub use error::{DescriptionError, MediaLine};
pub use extmap::HeaderExtension;
pub use fingerprint::{Fingerprint, Setup};
pub use limits::DescriptionLimits;
pub(crate) use limits::{MAXIMUM_CANDIDATE_EXTENSIONS, MAXIMUM_CANDIDATE_LENGTH};
pub use lines::SdpLines;
pub use media::Media;
pub(crate) use media::Retransmissions;
pub use session::Session;
pub use signaling_state::SignalingState;
pub use ssrc::{Msid, SsrcDescription, SsrcGroup};
