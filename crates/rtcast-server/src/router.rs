//! Which path leads where, and what holds for every path.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_SECURITY_POLICY, HeaderValue, ORIGIN, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};

use crate::client::Peer;
use crate::problem::Problem;
use crate::quota::Place;
use crate::state::ServerState;
use crate::{metrics, pages, websocket, whep};

/// The place of a request that came through a proxy, for as long as what it began goes on.
#[derive(Debug, Clone)]
pub(crate) struct ForwardedPlace(#[expect(dead_code, reason = "held for its end")] Option<Arc<Place>>);

/// The routes of a server.
pub(crate) fn router(shared: Arc<ServerState>) -> Router {
    Router::new()
        .route("/", get(pages::index))
        .route("/api/streams", get(pages::streams))
        .route("/assets/{file}", get(pages::asset))
        .route("/metrics", get(metrics::metrics))
        .route("/{name}", get(pages::player))
        .route("/{name}/", get(pages::player))
        .route("/{name}/ws", any(websocket::upgrade))
        .route("/{name}/ws/", any(websocket::upgrade))
        .route("/{name}/whep", any(whep::endpoint))
        .route("/{name}/whep/", any(whep::endpoint))
        .route("/{name}/whep/{session}", any(whep::session))
        .route("/{name}/whep/{session}/", any(whep::session))
        .fallback(pages::not_found)
        .layer(from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

/// Serves nobody who uses a name that is not ours, or comes from a page that may not, and says who asks.
async fn guard(State(shared): State<Arc<ServerState>>, mut request: Request, next: Next) -> Response {
    let Some(Peer(peer)) = request.extensions().get().copied() else {
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request comes from nowhere").into_response();
    };
    let admitted = match shared.admission.admit(request.version(), request.uri(), request.headers()) {
        Ok(admitted) => admitted,
        Err(problem) => return secured(problem.into_response(), &shared),
    };
    let client = shared.proxies.client(peer, request.headers());
    let place = if client.forwarded {
        match shared.forwarded.take(Some(client.key()), shared.watches(client.key())) {
            Ok(place) => Some(Arc::new(place)),
            Err(_) => {
                let problem =
                    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many requests at a time from your address");
                return secured(problem.header("retry-after", "5").into_response(), &shared);
            }
        }
    } else {
        None
    };
    let allow_origin = admitted.allow_origin.clone();
    let extensions = request.extensions_mut();
    extensions.insert(client);
    extensions.insert(admitted);
    extensions.insert(ForwardedPlace(place.clone()));
    let mut response = next.run(request).await;
    if let Some(origin) = allow_origin {
        cross_origin(response.headers_mut(), origin);
    }
    // A cache must not give one page what another one asked for.
    response.headers_mut().append(VARY, HeaderValue::from_name(ORIGIN));
    secured(response, &shared)
}

/// Lets the pages of an origin use the response.
fn cross_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let exposed = "accept-patch, accept-post, etag, link, location, retry-after";
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
}

/// Whatever is no page of ours may load nothing and be taken for nothing else.
fn secured(mut response: Response, shared: &ServerState) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        let policy = format!("default-src 'none'; frame-ancestors {}", shared.admission.frame_ancestors());
        // Origins were read without error, so that they are plain text.
        let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}
