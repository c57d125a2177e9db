//! Offers, answers and candidates over a WebSocket, in JSON.
//!
//! Text messages, each an object with a `type`:
//! - `{"type":"offer","sdp":…}` and `{"type":"answer","sdp":…}`;
//! - `{"type":"candidate","candidate":…,"sdpMid":…,"sdpMLineIndex":…}`; an empty or null candidate ends them;
//! - `{"type":"request"}` asks the other side to offer;
//! - `{"type":"bye"}` ends the call;
//! - `{"type":"error","error":{"name":…,"message":…,"hint":…}}` says what was refused.
//!
//! [`Signaling`] carries them; [`Signaling::offer`], [`Signaling::answer`] and [`Signaling::request`] run the whole
//! exchange for a connection.

mod message;
mod socket;

pub use message::{Message, MessageError, RemoteError};
pub use socket::{Signaling, SignalingError};
