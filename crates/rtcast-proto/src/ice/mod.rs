//! ICE (RFC 8445): one agent for the one bundled transport, on the `is` crate, with what JSEP and the W3C ask for around it.

mod binding;
mod candidate;
mod check;
mod consent;
mod credentials;
mod framing;
mod generation;
mod mdns;
mod pace;
mod server;
mod sources;
mod transport;
mod username;

pub(crate) use binding::Bindings;
pub use binding::{binding_owner, binding_response};
pub use candidate::{Announced, LocalCandidate, RelayProtocol, TCP_ACTIVE_PORT};
pub use check::is_authentic_check;
pub(crate) use consent::Quiet;
pub use credentials::IceCredentials;
pub use framing::{FramingKind, StreamFraming};
pub(crate) use generation::MAX_REMOTE_FRAGMENT;
pub use mdns::{MdnsResponse, mdns_announcement, mdns_answers, mdns_query, mdns_response};
pub use pace::CheckPace;
pub use server::{IceServer, IceServerError, IceServerErrorKind, IceServerScheme, IceServerUrl};
pub use transport::{IceError, IceRole, IceTransport, IceTransportPolicy, IceTransportState, SelectedPair};
pub use username::username_of;
