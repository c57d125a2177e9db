//! WHEP, draft-ietf-wish-whep: `/{name}/whep` and the sessions under it. What the draft takes from WHIP is cited from RFC 9725.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, ALLOW, CONTENT_TYPE,
    ETAG, HeaderName, HeaderValue, IF_MATCH, LINK, LOCATION,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use rtcast::signaling::RemoteError;
use rtcast::{IceCandidate, PeerConnection};
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

use crate::client::Client;
use crate::event::{LeaveReason, Signalling};
use crate::negotiation::{add_candidate, answer};
use crate::problem::Problem;
use crate::sdpfrag::SdpFragment;
use crate::state::{ServerState, stopped};
use crate::viewer::{Happening, Viewer};

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// The longest body that is read.
const BODY_LIMIT: usize = 64 * 1024;
const ENDPOINT_METHODS: &str = "GET, HEAD, OPTIONS, POST";
const SESSION_METHODS: &str = "DELETE, GET, HEAD, OPTIONS, PATCH";
/// Private Network Access: a page of the wider network may ask, if its origin may.
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");
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

impl IceSession {
    /// The session that the viewer's description has begun. All media is bundled, so that any m-line tells.
    fn of(connection: &PeerConnection, entity_tag: String) -> Self {
        let description = connection.remote_description();
        let media = description.iter().flat_map(|description| &description.session().media);
        let credentials =
            media.filter_map(|media| Some((media.ice_ufrag.as_deref()?, media.ice_pwd.as_deref()?))).next();
        let (ufrag, pwd) = credentials.unwrap_or_default();
        Self { entity_tag, ufrag: ufrag.to_owned(), pwd: pwd.to_owned() }
    }
}

/// `/{name}/whep`.
pub(crate) async fn endpoint(
    State(shared): State<Arc<ServerState>>,
    Path(name): Path<String>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Response {
    match *request.method() {
        Method::OPTIONS => with_links(preflight(ENDPOINT_METHODS, &ACCEPT_POST, SDP), &shared),
        Method::POST => subscribe(&shared, &name, client, request).await.unwrap_or_else(IntoResponse::into_response),
        // RFC 9725 §4.1: reserved for later use, and answered with success.
        Method::GET | Method::HEAD if shared.stream(&name).is_some() => described(ENDPOINT_METHODS, &ACCEPT_POST, SDP),
        Method::GET | Method::HEAD => Problem::no_such_stream(&name).into_response(),
        _ => Problem::method_not_allowed(ENDPOINT_METHODS).hint("POST an offer as application/sdp").into_response(),
    }
}

/// `/{name}/whep/{session}`.
pub(crate) async fn session(
    State(shared): State<Arc<ServerState>>,
    Path((name, token)): Path<(String, String)>,
    request: Request,
) -> Response {
    let session = shared.session(&token).filter(|session| session.stream == name);
    match (request.method(), session) {
        (&Method::OPTIONS, _) => preflight(SESSION_METHODS, &ACCEPT_PATCH, FRAGMENT),
        (&Method::DELETE, Some(session)) => {
            shared.remove_session(&token);
            session.stop.notify_one();
            StatusCode::OK.into_response()
        }
        // Its connection has ended before: what the viewer wants is so.
        (&Method::DELETE, None) if shared.forget_session(&token) => StatusCode::OK.into_response(),
        (_, None) => match shared.session_failure(&token) {
            Some(reason) => {
                Problem::new(StatusCode::NOT_FOUND, format!("the connection of this session failed: {reason}"))
                    .name("NetworkError")
                    .hint("see what is said of the two ends, and POST a new offer then")
                    .into_response()
            }
            None => Problem::new(StatusCode::NOT_FOUND, "there is no such session, or it has ended")
                .name("NotFoundError")
                .hint("POST a new offer")
                .into_response(),
        },
        (&Method::GET | &Method::HEAD, Some(session)) => {
            let mut response = described(SESSION_METHODS, &ACCEPT_PATCH, FRAGMENT);
            response.headers_mut().insert(ETAG, header(&session.ice.lock().await.entity_tag));
            response
        }
        (&Method::PATCH, Some(session)) => {
            trickle(&shared, &session, request).await.unwrap_or_else(IntoResponse::into_response)
        }
        _ => Problem::method_not_allowed(SESSION_METHODS).into_response(),
    }
}

/// POST: an offer in, an answer out.
async fn subscribe(
    shared: &Arc<ServerState>,
    name: &str,
    client: Client,
    request: Request,
) -> Result<Response, Problem> {
    if shared.stream(name).is_none() {
        return Err(Problem::no_such_stream(name));
    }
    content_type(request.headers(), SDP)?;
    accepts(request.headers(), SDP)?;
    let refuse = |error: RemoteError| problem(error, StatusCode::BAD_REQUEST);
    // Before the body, so that those that are being read are bounded as well.
    let ticket = shared.admit(client).map_err(refuse)?;
    let within = request.uri().path().ends_with('/');
    let offer = text(request.into_body(), shared.limits.body).await?;
    let viewer = Viewer::admit(shared, name, Signalling::Whep, client, ticket).await.map_err(refuse)?;
    let connection = viewer.connection.clone();
    let answer = answer(shared, &connection, offer).await.map_err(refuse)?;

    let token = random_token();
    let tag = entity_tag();
    let ice = IceSession::of(&connection, tag.clone());
    let session = Arc::new(Session { stream: name.to_owned(), ice: Mutex::new(ice), connection, stop: Notify::new() });
    // Relative to the endpoint (RFC 9110 §10.2.2): a proxy may have put the server below a path of its own.
    let location = header(&if within { token.clone() } else { format!("whep/{token}") });
    let entity_tag = header(&tag);
    shared.insert_session(token.clone(), session.clone());
    tokio::spawn(attend(shared.clone(), token, session, viewer));
    let headers = [
        (LOCATION, location),
        (ETAG, entity_tag),
        (CONTENT_TYPE, HeaderValue::from_static(SDP)),
        (ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT)),
    ];
    Ok(with_links((StatusCode::CREATED, headers, answer).into_response(), shared))
}

/// Stays with a viewer until it leaves.
async fn attend(shared: Arc<ServerState>, token: String, session: Arc<Session>, mut viewer: Viewer) {
    let mut stopping = shared.stopping.subscribe();
    let reason = loop {
        tokio::select! {
            // The answer has all our candidates: WHEP has no way to send later ones.
            happening = viewer.next() => match happening {
                Happening::Candidate(_) => {}
                Happening::Ended(reason) => break reason,
                Happening::Refused(_) => break LeaveReason::Failed,
            },
            () = session.stop.notified() => break LeaveReason::Bye,
            () = stopped(&mut stopping) => break LeaveReason::Shutdown,
        }
    };
    shared.session_ended(&token, viewer.failure());
    viewer.leave(reason).await;
}

/// What a PATCH says that it belongs to.
enum Precondition {
    /// Nothing.
    None,
    /// Whatever the session is.
    Any,
    /// These entity tags.
    Tags(String),
}

impl Precondition {
    fn of(headers: &HeaderMap) -> Self {
        let Some(tags) = headers.get(IF_MATCH) else { return Self::None };
        match tags.to_str().unwrap_or("").trim() {
            // RFC 9110 §13.1.1 has no quotes around it, but some clients do.
            "*" | "\"*\"" => Self::Any,
            tags => Self::Tags(tags.to_owned()),
        }
    }

    fn fails(&self, entity_tag: &str) -> bool {
        matches!(self, Self::Tags(tags) if !tags.split(',').any(|tag| tag.trim() == entity_tag))
    }
}

/// PATCH: more of the viewer's candidates, or an ICE restart.
async fn trickle(shared: &ServerState, session: &Session, request: Request) -> Result<Response, Problem> {
    content_type(request.headers(), FRAGMENT)?;
    let precondition = Precondition::of(request.headers());
    let body = text(request.into_body(), shared.limits.body).await?;
    // One request at a time: a restart changes what the next one belongs to.
    let mut ice = session.ice.lock().await;
    if precondition.fails(&ice.entity_tag) {
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "the session has another entity tag")
            .hint("send the ETag of the last 201 or 200 response in If-Match"));
    }
    let fragment = SdpFragment::parse(&body).map_err(|reason| Problem::new(StatusCode::BAD_REQUEST, reason))?;
    let (Some(ufrag), Some(pwd)) = (&fragment.ufrag, &fragment.pwd) else {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "the fragment has no a=ice-ufrag or no a=ice-pwd")
            .hint("begin it with both, as in your offer"));
    };
    // RFC 9725 §4.3.3: new credentials are a restart, which "*" asks for; the session's own tag names it no less.
    if (ufrag, pwd) != (&ice.ufrag, &ice.pwd) {
        if matches!(precondition, Precondition::None) {
            // RFC 9725 §4.3.1: it may as well belong to a session of ICE that is no more.
            return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "the request has no If-Match header")
                .hint("send the ETag of the last 201 or 200 response in If-Match, or * to restart ICE"));
        }
        return restart(shared, session, &mut ice, &fragment).await;
    }
    // Candidates with the credentials of the moment belong to nothing else: they need no If-Match.
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
async fn restart(
    shared: &ServerState,
    session: &Session,
    ice: &mut IceSession,
    fragment: &SdpFragment,
) -> Result<Response, Problem> {
    let refuse = |error: RemoteError| problem(error, StatusCode::BAD_REQUEST);
    let (ufrag, pwd) = (fragment.ufrag.clone().unwrap_or_default(), fragment.pwd.clone().unwrap_or_default());
    let Some(description) = session.connection.remote_description() else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "the session has ended").hint("POST a new offer"));
    };
    let offer = fragment.offer(description.sdp(), &ufrag, &pwd);
    let answer = answer(shared, &session.connection, offer).await.map_err(refuse)?;
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
        (ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true")),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// What a resource takes, for whoever looks at it.
fn described(methods: &'static str, accept: &HeaderName, kind: &'static str) -> Response {
    let headers = [(ALLOW, HeaderValue::from_static(methods)), (accept.clone(), HeaderValue::from_static(kind))];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// RFC 9725 §4.6: the STUN and TURN servers that the viewer may use.
fn with_links(mut response: Response, shared: &ServerState) -> Response {
    for link in &shared.links {
        response.headers_mut().append(LINK, link.clone());
    }
    response
}

fn content_type(headers: &HeaderMap, expected: &'static str) -> Result<(), Problem> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if given.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("the body's type is {:?}, not {expected}", given.chars().take(100).collect::<String>()),
    )
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

async fn text(body: Body, limit: Duration) -> Result<String, Problem> {
    let Ok(read) = timeout(limit, to_bytes(body, BODY_LIMIT)).await else {
        return Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not come within {} s", limit.as_secs_f64()),
        )
        .header("connection", "close"));
    };
    let Ok(bytes) = read else {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {BODY_LIMIT} bytes, or ended early"),
        ));
    };
    String::from_utf8(bytes.into()).map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body is not UTF-8 text"))
}

/// An error of the connection as a problem: what was wrong with the text is 400, with the state 409, with the demand 406.
fn problem(error: RemoteError, otherwise: StatusCode) -> Problem {
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
