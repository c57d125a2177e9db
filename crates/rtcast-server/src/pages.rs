//! The pages and what they load, embedded.

use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;
use std::sync::Arc;

use crate::origin::Admitted;
use crate::problem::Problem;
use crate::state::ServerState;
use crate::text::printable;

const INDEX: &str = include_str!("../../../web/index.html");
const INDEX_SCRIPT: &str = include_str!("../../../web/index.js");
const PLAYER: &str = include_str!("../../../web/player.html");
const PLAYER_SCRIPT: &str = include_str!("../../../web/player.js");
const NOT_FOUND: &str = include_str!("../../../web/not-found.html");
const STYLE: &str = include_str!("../../../web/style.css");

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// `/`: the list of streams.
pub(crate) async fn index(
    State(shared): State<Arc<ServerState>>,
    Extension(admitted): Extension<Admitted>,
) -> Response {
    page(StatusCode::OK, INDEX, "/", &admitted, &shared)
}

/// `/{name}`: the player.
pub(crate) async fn player(
    State(shared): State<Arc<ServerState>>,
    Path(name): Path<String>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if shared.stream(&name).is_some() {
        page(StatusCode::OK, PLAYER, uri.path(), &admitted, &shared)
    } else {
        not_found(State(shared), Extension(admitted), headers, uri).await
    }
}

/// `/assets/{file}`.
pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    match name.as_str() {
        "index.js" => file(StatusCode::OK, SCRIPT, INDEX_SCRIPT),
        "player.js" => file(StatusCode::OK, SCRIPT, PLAYER_SCRIPT),
        "style.css" => file(StatusCode::OK, "text/css; charset=utf-8", STYLE),
        _ => Problem::new(StatusCode::NOT_FOUND, "there is no such file").into_response(),
    }
}

/// `/api/streams`: what is streamed, as JSON.
pub(crate) async fn streams(State(shared): State<Arc<ServerState>>) -> Response {
    let streams: Vec<_> = shared
        .list()
        .into_iter()
        .map(|(name, stream, viewers)| {
            json!({
                "name": &*name,
                "title": printable(stream.title.as_deref().unwrap_or(&name)),
                "description": stream.description.as_deref().map(printable),
                "tracks": stream.tracks.iter().map(|track| track.kind().as_str()).collect::<Vec<_>>(),
                "viewers": viewers,
                // Relative to this list, so that they hold below whatever path a proxy has put the server.
                "page": format!("../{name}"),
                "websocket": format!("../{name}/ws"),
                "whep": format!("../{name}/whep"),
            })
        })
        .collect();
    ([(CACHE_CONTROL, "no-store")], Json(json!({ "streams": streams }))).into_response()
}

/// Everything else: a page for people, a problem document for programs.
pub(crate) async fn not_found(
    State(shared): State<Arc<ServerState>>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    if accepts.contains("text/html") {
        return page(StatusCode::NOT_FOUND, NOT_FOUND, uri.path(), &admitted, &shared);
    }
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {path:?}"))
        .hint("/api/streams lists the streams")
        .into_response()
}

/// A page at a path. What it names is relative to the server's root, whose distance the path tells: a proxy may have put
/// the server below a path of its own.
fn page(status: StatusCode, text: &str, path: &str, admitted: &Admitted, shared: &ServerState) -> Response {
    let depth = path.matches('/').count().saturating_sub(1);
    let root = if depth == 0 { "./".to_owned() } else { "../".repeat(depth) };
    let mut response = file(status, HTML, text.replace("{root}", &root));
    let policy = policy(admitted, &shared.admission.frame_ancestors());
    // Hosts and origins were read without error, so that they are plain text.
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// The addresses that a page may use: its own. Not every browser counts the WebSocket of the same host among `'self'`.
fn policy(admitted: &Admitted, frame_ancestors: &str) -> String {
    let sockets = admitted.host.as_ref().map(|host| format!(" ws://{host} wss://{host}")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'{sockets}; media-src 'self' blob: \
         mediastream:; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors {frame_ancestors}"
    )
}

fn file(status: StatusCode, kind: &'static str, text: impl IntoResponse) -> Response {
    (status, [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], text).into_response()
}
