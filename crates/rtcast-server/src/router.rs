//! Which path leads where.

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get};

use crate::shared::Shared;
use crate::{metrics, pages, websocket, whep};

/// The routes of a server.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(pages::index))
        .route("/api/streams", get(pages::streams))
        .route("/assets/{file}", get(pages::asset))
        .route("/metrics", get(metrics::metrics))
        .route("/{name}", get(pages::player))
        .route("/{name}/", get(pages::player))
        .route("/{name}/ws", any(websocket::upgrade))
        .route("/{name}/whep", any(whep::endpoint))
        .route("/{name}/whep/{session}", any(whep::session))
        .fallback(pages::not_found)
        .with_state(shared)
}
