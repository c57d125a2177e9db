//! The pages and what they load, embedded.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;

use crate::problem::Problem;
use crate::shared::Shared;

const INDEX: &str = include_str!("../../../web/index.html");
const INDEX_SCRIPT: &str = include_str!("../../../web/index.js");
const PLAYER: &str = include_str!("../../../web/player.html");
const PLAYER_SCRIPT: &str = include_str!("../../../web/player.js");
const NOT_FOUND: &str = include_str!("../../../web/not-found.html");
const STYLE: &str = include_str!("../../../web/style.css");

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; \
                      media-src 'self' blob: mediastream:; img-src 'self' data:; base-uri 'none'; form-action 'none'";

/// `/`: the list of streams.
pub(crate) async fn index() -> Response {
    file(StatusCode::OK, HTML, INDEX)
}

/// `/{name}`: the player.
pub(crate) async fn player(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if shared.stream(&name).is_some() { file(StatusCode::OK, HTML, PLAYER) } else { not_found(headers, uri).await }
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
pub(crate) async fn streams(State(shared): State<Arc<Shared>>) -> Response {
    let streams: Vec<_> = shared
        .list()
        .into_iter()
        .map(|(name, stream, viewers)| {
            json!({
                "name": &*name,
                "title": stream.title.as_deref().unwrap_or(&name),
                "description": stream.description,
                "tracks": stream.tracks.iter().map(|track| track.kind().as_str()).collect::<Vec<_>>(),
                "viewers": viewers,
                "page": format!("/{name}"),
                "websocket": format!("/{name}/ws"),
                "whep": format!("/{name}/whep"),
            })
        })
        .collect();
    ([(CACHE_CONTROL, "no-store")], Json(json!({ "streams": streams }))).into_response()
}

/// Everything else: a page for people, a problem document for programs.
pub(crate) async fn not_found(headers: HeaderMap, uri: Uri) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    if accepts.contains("text/html") {
        return file(StatusCode::NOT_FOUND, HTML, NOT_FOUND);
    }
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {:?}", uri.path()))
        .hint("/api/streams lists the streams")
        .into_response()
}

fn file(status: StatusCode, kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, text).into_response()
}
