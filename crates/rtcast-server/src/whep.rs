//! WHEP, draft-ietf-wish-whep: `/{name}/whep` and the sessions under it. What the draft takes from WHIP is cited from RFC 9725.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    IF_MATCH, LOCATION,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use rtcast::{IceCandidate, PeerConnection};
use tokio::sync::{Mutex, Notify};

use crate::event::{LeaveReason, Signalling};
use crate::listen::ClientAddress;
use crate::message::ErrorObject;
use crate::negotiation::{add_candidate, answer};
use crate::problem::Problem;
use crate::sdpfrag::SdpFragment;
use crate::shared::{Shared, stopped};
use crate::viewer::{Happening, Viewer};

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// The longest body that is read.
const BODY_LIMIT: usize = 64 * 1024;
const ENDPOINT_METHODS: &str = "OPTIONS, POST";
const SESSION_METHODS: &str = "DELETE, OPTIONS, PATCH";
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// A viewer who came by WHEP.
pub(crate) struct Session {
    stream: String,
    ice: Mutex<IceSession>,
    connection: PeerConnection,
    stop: Notify,
}

/// RFC 9725 §4.3.1: the ICE session of the moment, which a restart replaces.
struct IceSession {
    entity_tag: String,
    ufrag: String,
    pwd: String,
}

/// `/{name}/whep`.
pub(crate) async fn endpoint(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    ConnectInfo(address): ConnectInfo<ClientAddress>,
    request: Request,
) -> Response {
    let response = match *request.method() {
        Method::OPTIONS => preflight(ENDPOINT_METHODS, &ACCEPT_POST, SDP),
        Method::POST => subscribe(&shared, &name, address, request).await.unwrap_or_else(IntoResponse::into_response),
        _ => Problem::method_not_allowed(ENDPOINT_METHODS).hint("POST an offer as application/sdp").into_response(),
    };
    cross_origin(response)
}

/// `/{name}/whep/{session}`.
pub(crate) async fn session(
    State(shared): State<Arc<Shared>>,
    Path((name, token)): Path<(String, String)>,
    request: Request,
) -> Response {
    let session = shared.session(&token).filter(|session| session.stream == name);
    let response = match (request.method(), session) {
        (&Method::OPTIONS, _) => preflight(SESSION_METHODS, &ACCEPT_PATCH, FRAGMENT),
        (_, None) => Problem::new(StatusCode::NOT_FOUND, "there is no such session, or it has ended")
            .name("NotFoundError")
            .hint("POST a new offer")
            .into_response(),
        (&Method::DELETE, Some(session)) => {
            shared.remove_session(&token);
            session.stop.notify_one();
            StatusCode::OK.into_response()
        }
        (&Method::PATCH, Some(session)) => trickle(&session, request).await.unwrap_or_else(IntoResponse::into_response),
        _ => Problem::method_not_allowed(SESSION_METHODS).into_response(),
    };
    cross_origin(response)
}

/// POST: an offer in, an answer out.
async fn subscribe(
    shared: &Arc<Shared>,
    name: &str,
    address: ClientAddress,
    request: Request,
) -> Result<Response, Problem> {
    if shared.stream(name).is_none() {
        return Err(Problem::no_such_stream(name));
    }
    content_type(request.headers(), SDP)?;
    accepts(request.headers(), SDP)?;
    let offer = text(request.into_body()).await?;
    let viewer = Viewer::admit(shared, name, Signalling::Whep, address.0)
        .await
        .map_err(|error| problem(error, StatusCode::BAD_REQUEST))?;
    let connection = viewer.connection.clone();
    let answer = answer(&connection, &offer).await.map_err(|error| problem(error, StatusCode::BAD_REQUEST))?;

    let token = random_token();
    let tag = entity_tag();
    let ice = IceSession {
        entity_tag: tag.clone(),
        ufrag: attribute(&offer, "ice-ufrag"),
        pwd: attribute(&offer, "ice-pwd"),
    };
    let session = Arc::new(Session { stream: name.to_owned(), ice: Mutex::new(ice), connection, stop: Notify::new() });
    let location = header(&format!("/{name}/whep/{token}"));
    let entity_tag = header(&tag);
    shared.insert_session(token.clone(), session.clone());
    tokio::spawn(attend(shared.clone(), token, session, viewer));
    let headers = [
        (LOCATION, location),
        (ETAG, entity_tag),
        (CONTENT_TYPE, HeaderValue::from_static(SDP)),
        (ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT)),
    ];
    Ok((StatusCode::CREATED, headers, answer).into_response())
}

/// Stays with a viewer until it leaves.
async fn attend(shared: Arc<Shared>, token: String, session: Arc<Session>, mut viewer: Viewer) {
    let mut stopping = shared.stopping.subscribe();
    let reason = loop {
        tokio::select! {
            // The answer has all our candidates: WHEP has no way to send later ones.
            happening = viewer.next() => if let Happening::Ended(reason) = happening { break reason },
            () = session.stop.notified() => break LeaveReason::Bye,
            () = stopped(&mut stopping) => break LeaveReason::Shutdown,
        }
    };
    shared.remove_session(&token);
    viewer.leave(reason).await;
}

/// PATCH: more of the viewer's candidates, or an ICE restart.
async fn trickle(session: &Session, request: Request) -> Result<Response, Problem> {
    content_type(request.headers(), FRAGMENT)?;
    // RFC 9725 §4.3.1: a PATCH for trickle ICE names the ICE session that it belongs to.
    let Some(tags) = request.headers().get(IF_MATCH) else {
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "the request has no If-Match header")
            .hint("send the ETag of the 201 response in If-Match"));
    };
    let tags = tags.to_str().unwrap_or("").trim().to_owned();
    // One request at a time: a restart changes what the next one belongs to.
    let mut ice = session.ice.lock().await;
    // RFC 9725 §4.3.3: "*" asks for an ICE restart, whatever the session.
    if tags != "*" && !tags.split(',').any(|tag| tag.trim() == ice.entity_tag) {
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "the session has another entity tag")
            .hint("send the ETag of the 201 response in If-Match"));
    }
    let body = text(request.into_body()).await?;
    let fragment = SdpFragment::parse(&body).map_err(|reason| Problem::new(StatusCode::BAD_REQUEST, reason))?;
    let (Some(ufrag), Some(pwd)) = (&fragment.ufrag, &fragment.pwd) else {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "the fragment has no a=ice-ufrag or no a=ice-pwd")
            .hint("begin it with both, as in your offer"));
    };
    if (ufrag, pwd) != (&ice.ufrag, &ice.pwd) {
        if tags != "*" {
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "the credentials are not those of the session")
                .hint("send If-Match: * to restart ICE with new credentials"));
        }
        return restart(session, &mut ice, &fragment).await;
    }
    for candidate in fragment.candidates {
        // Without a=mid the candidate belongs to the first m-line, as all do: media is bundled.
        let sdp_m_line_index = if candidate.mid.is_none() { Some(0) } else { None };
        let candidate = IceCandidate {
            candidate: candidate.candidate,
            sdp_mid: candidate.mid,
            sdp_m_line_index,
            username_fragment: Some(ufrag.clone()),
        };
        add_candidate(&session.connection, candidate).await.map_err(|error| problem(error, StatusCode::BAD_REQUEST))?;
    }
    if fragment.end_of_candidates {
        let end = IceCandidate {
            candidate: String::new(),
            sdp_mid: None,
            sdp_m_line_index: Some(0),
            username_fragment: Some(ufrag.clone()),
        };
        add_candidate(&session.connection, end).await.map_err(|error| problem(error, StatusCode::BAD_REQUEST))?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// RFC 9725 §4.3.3: takes the viewer's new credentials and answers with ours, as if the viewer had offered again.
async fn restart(session: &Session, ice: &mut IceSession, fragment: &SdpFragment) -> Result<Response, Problem> {
    let refuse = |error: ErrorObject| problem(error, StatusCode::BAD_REQUEST);
    let (ufrag, pwd) = (fragment.ufrag.clone().unwrap_or_default(), fragment.pwd.clone().unwrap_or_default());
    let Some(description) = session.connection.remote_description() else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "the session has ended").hint("POST a new offer"));
    };
    let offer = fragment.offer(description.sdp(), &ufrag, &pwd);
    let answer = answer(&session.connection, &offer).await.map_err(refuse)?;
    *ice = IceSession { entity_tag: entity_tag(), ufrag, pwd };
    let headers = [(ETAG, header(&ice.entity_tag)), (CONTENT_TYPE, HeaderValue::from_static(FRAGMENT))];
    Ok((StatusCode::OK, headers, SdpFragment::of(&answer)).into_response())
}

/// The answer to OPTIONS, with or without a preflight's headers.
fn preflight(methods: &'static str, accept: &HeaderName, kind: &'static str) -> Response {
    let headers = [
        (ALLOW, HeaderValue::from_static(methods)),
        (accept.clone(), HeaderValue::from_static(kind)),
        (ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods)),
        (ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type, if-match")),
        (ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400")),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Lets pages of other origins use the response.
fn cross_origin(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("accept-patch, etag, link, location, retry-after"),
    );
    response
}

fn content_type(headers: &HeaderMap, expected: &'static str) -> Result<(), Problem> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if given.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("the body's type is {given:?}, not {expected}"))
        .hint(format!("send Content-Type: {expected}")))
}

/// Whether the client takes what we send; RFC 9110 §12.5.1. A client that says nothing takes anything.
fn accepts(headers: &HeaderMap, kind: &'static str) -> Result<(), Problem> {
    let mut ranges =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let matches = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or("");
        let refused =
            parts.any(|part| matches!(part.split_once('='), Some(("q", weight)) if weight.parse() == Ok(0.0)));
        !refused && (name == "*/*" || name == "application/*" || name.eq_ignore_ascii_case(kind))
    };
    if !headers.contains_key(ACCEPT) || ranges.any(matches) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::NOT_ACCEPTABLE, format!("the answer is {kind}, which the client does not accept"))
        .hint(format!("send Accept: {kind}, or no Accept at all")))
}

async fn text(body: Body) -> Result<String, Problem> {
    let Ok(bytes) = to_bytes(body, BODY_LIMIT).await else {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {BODY_LIMIT} bytes, or ended early"),
        ));
    };
    String::from_utf8(bytes.into()).map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body is not UTF-8 text"))
}

/// An error of the connection as a problem: what was wrong with the text is 400, with the state 409, with the demand 406.
fn problem(error: ErrorObject, otherwise: StatusCode) -> Problem {
    let (status, retry) = match error.name.as_str() {
        "NotFoundError" => (StatusCode::NOT_FOUND, false),
        "QuotaExceededError" => (StatusCode::SERVICE_UNAVAILABLE, true),
        "InvalidStateError" => (StatusCode::CONFLICT, false),
        "NotSupportedError" => (StatusCode::NOT_ACCEPTABLE, false),
        _ => (otherwise, false),
    };
    let mut problem = Problem::new(status, error.message).name(error.name);
    if let Some(hint) = error.hint {
        problem = problem.hint(hint);
    }
    if retry { problem.header("retry-after", "5") } else { problem }
}

/// The first value of an attribute of a description that was already read without error.
fn attribute(sdp: &str, name: &str) -> String {
    let value = sdp.lines().find_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or("").trim().to_owned()
}

fn header(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// RFC 9725 §4.3.1: names an ICE session.
fn entity_tag() -> String {
    format!("\"{}\"", random_token())
}

/// 128 random bits: whoever knows the address of a session may end it.
fn random_token() -> String {
    let mut bytes = [0; 16];
    // The system's generator fails only where there is none, and then DTLS could not work either.
    getrandom::fill(&mut bytes).expect("the system has a random number generator");
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
