//! ICE: one agent for the one bundled transport (RFC 8445), on the `is` crate.

mod transport;

pub use transport::{IceCredentials, IceError, IceRole, IceTransport, IceTransportState, SelectedPair, username_of};
