//! Reading and changing the configuration (W3C webrtc-pc §4.4.1.6).

use std::sync::PoisonError;

use super::{Configuration, PeerConnection};
use crate::error::Error;

impl PeerConnection {
    /// The configuration as it was given or set last: W3C's `getConfiguration`.
    pub fn configuration(&self) -> Configuration {
        self.inner.configuration.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets another configuration: W3C's `setConfiguration`.
    ///
    /// ```
    /// use rtcast_peer::{Configuration, PeerConnection};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), rtcast_peer::Error> {
    /// let pc = PeerConnection::new(Configuration::default()).await?;
    /// let mut configuration = pc.configuration();
    /// configuration.address = Some(([127, 0, 0, 1], 0).into());
    /// let refused = pc.set_configuration(configuration).await;
    /// assert!(refused.is_err_and(|error| error.name() == "InvalidModificationError"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidModification`] if it changes what stays as it is for the life of a connection: the endpoint, the
    /// address, the codecs and header extensions, the certificate; or the ICE servers and policy, for which the
    /// W3C would allow it. [`Error::Closed`] after the end. Nothing has changed
    /// then.
    pub async fn set_configuration(&self, configuration: Configuration) -> Result<(), Error> {
        let old = self.configuration();
        let same_endpoint = match (&old.endpoint, &configuration.endpoint) {
            (Some(old), Some(new)) => old.is(new),
            (None, None) => true,
            _ => false,
        };
        let unchangeable = [
            ("the endpoint", same_endpoint),
            ("the address", old.address == configuration.address),
            ("the codecs and header extensions", old.jsep == configuration.jsep),
            ("the certificate", old.certificate == configuration.certificate),
            // W3C webrtc-pc §4.4.1.6 lets these change for the next gathering; here they are fixed so far.
            ("the list of ICE servers", old.ice_servers == configuration.ice_servers),
            ("the ICE transport policy", old.ice_transport_policy == configuration.ice_transport_policy),
        ];
        if let Some((what, _)) = unchangeable.into_iter().find(|(_, same)| !same) {
            return Err(Error::InvalidModification {
                problem: format!("{what} of a connection cannot be changed"),
                hint: "start from `configuration()`, or make a new connection",
            });
        }
        // A connection that is closed refuses, as the W3C wants.
        self.call(|_, _| ()).await?;
        *self.inner.configuration.lock().unwrap_or_else(PoisonError::into_inner) = configuration;
        Ok(())
    }
}
