//! What the handles of a transceiver's parts have in common.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use rtcast_proto::MediaKind;
use rtcast_proto::jsep::{Transceiver, TransceiverId};

use super::view::ConnectionView;
use super::{Inner, PeerConnection};
use crate::endpoint::Entry;
use crate::error::Error;

/// A transceiver of a connection, which it does not keep open.
#[derive(Clone)]
pub(super) struct Handle {
    connection: Weak<Inner>,
    view: Arc<ConnectionView>,
    id: TransceiverId,
    kind: MediaKind,
}

impl Handle {
    pub(super) const fn new(
        connection: Weak<Inner>,
        view: Arc<ConnectionView>,
        id: TransceiverId,
        kind: MediaKind,
    ) -> Self {
        Self { connection, view, id, kind }
    }

    pub(super) const fn id(&self) -> TransceiverId {
        self.id
    }

    pub(super) const fn kind(&self) -> MediaKind {
        self.kind
    }

    pub(super) const fn view(&self) -> &Arc<ConnectionView> {
        &self.view
    }

    pub(super) fn belongs_to(&self, view: &Arc<ConnectionView>) -> bool {
        Arc::ptr_eq(&self.view, view)
    }

    /// What the transceiver shows now; `None` once it has left its connection.
    pub(super) fn read<R>(&self, show: impl FnOnce(&Transceiver) -> R) -> Option<R> {
        let snapshot = self.view.snapshot();
        snapshot.transceivers.iter().find(|transceiver| transceiver.id() == self.id).map(show)
    }

    pub(super) fn connection(&self) -> Option<PeerConnection> {
        self.connection.upgrade().map(|inner| PeerConnection { inner })
    }

    /// Runs work on the connection's thread and waits for its result.
    pub(super) async fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Entry, Instant) -> R + Send + 'static,
    ) -> Result<R, Error> {
        self.connection().ok_or(Error::Closed)?.call(work).await
    }
}

impl PartialEq for Handle {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.belongs_to(&other.view)
    }
}

impl Eq for Handle {}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.id, self.kind)
    }
}
