//! Descriptions and candidates between a signalling channel and a peer connection, errors in the protocol's form.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rtcast::signaling::RemoteError;
use rtcast::{DescriptionLimits, IceCandidate, JsepConfig, PeerConnection, SdpType, SessionDescription};
use tokio::time::timeout;

use crate::state::ServerState;

/// How long a description may wait to be read.
const READING_LIMIT: Duration = Duration::from_secs(10);

/// What a viewer's description may have at most. A browser's offer to receive sound and pictures has 5 to 15 kB, two or
/// three m-lines, and takes some 20,000 bytes in memory; several times that is no viewer's, and it is kept as long as the
/// viewer may take to connect.
pub(crate) const LIMITS: DescriptionLimits =
    DescriptionLimits { length: 24 * 1024, media_lines: 16, attributes: 1_024, memory: 40 * 1024 };

/// What is negotiated with viewers: to send them the stream, and nothing else. All of them share it.
pub(crate) fn viewer_jsep() -> Arc<JsepConfig> {
    static CONFIG: OnceLock<Arc<JsepConfig>> = OnceLock::new();
    Arc::clone(CONFIG.get_or_init(|| Arc::new(JsepConfig::default().for_sending())))
}

/// Takes the viewer's offer and returns our answer's SDP.
///
/// # Errors
/// What is wrong with the offer; `NotSupportedError` if it is a first one and nothing can be sent on any of its m-lines.
pub(crate) async fn answer(
    shared: &ServerState,
    connection: &PeerConnection,
    offer: impl Into<String>,
) -> Result<String, RemoteError> {
    let offer = read(shared, SdpType::Offer, offer.into()).await?;
    let first = connection.remote_description().is_none();
    connection.set_remote_description(offer.clone()).await?;
    connection.set_local_description(None).await?;
    let answer = local_description(connection)?;
    // A viewer that watches may turn everything off; who asks for what there is not shall hear it.
    if first && answer.session().media.iter().all(|media| media.is_rejected()) {
        return Err(nothing_to_send(connection, &offer));
    }
    Ok(answer.sdp().to_owned())
}

/// Says why every m-line of an offer is rejected.
fn nothing_to_send(connection: &PeerConnection, offer: &SessionDescription) -> RemoteError {
    let media = &offer.session().media;
    let name = "NotSupportedError";
    let senders = connection.senders();
    let tracks = senders.iter().filter_map(|sender| sender.track());
    let mut codecs: Vec<String> =
        tracks.flat_map(|track| track.codecs().iter().map(|codec| codec.mime_type()).collect::<Vec<_>>()).collect();
    codecs.dedup();
    let ours = codecs.join(", ");
    if !media.iter().any(|media| media.direction.receives() && !media.is_rejected() && media.media_kind().is_some()) {
        let message = "the offer asks for nothing: none of its m-lines receives sound or pictures";
        return RemoteError::new(name, message, "offer audio and video with `a=recvonly`");
    }
    let formats = media.iter().filter(|media| media.media_kind().is_some()).flat_map(|media| {
        media.payload_formats.iter().map(|format| format!("{}/{}", media.kind, format.name)).collect::<Vec<_>>()
    });
    let mut theirs: Vec<String> = formats.filter(|name| !name.ends_with("/rtx")).collect();
    theirs.dedup();
    theirs.truncate(20);
    let theirs = if theirs.is_empty() { "nothing".to_owned() } else { theirs.join(", ") };
    let message = format!("nothing can be sent as the offer wants it: it takes {theirs}, the stream has {ours}");
    let hint = "offer one of the stream's codecs, H.264 with the packetization mode and profile that it has";
    RemoteError::new(name, message, hint)
}

/// Reads a description on a thread where it delays nobody else.
///
/// # Errors
/// What is wrong with it, or that too many others wait to be read.
async fn read(shared: &ServerState, kind: SdpType, sdp: String) -> Result<SessionDescription, RemoteError> {
    // The semaphore is never closed, so an error is one of time.
    let Ok(Ok(permit)) = timeout(READING_LIMIT, Arc::clone(&shared.readers).acquire_owned()).await else {
        return Err(RemoteError::new(
            "QuotaExceededError",
            "the server has too many descriptions to read",
            "try again in a few seconds",
        ));
    };
    let read = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        SessionDescription::new_within(kind, sdp, &LIMITS)
    });
    match read.await {
        Ok(description) => Ok(description?),
        Err(_) => Err(RemoteError::new("OperationError", "the description could not be read", "offer fewer m-lines")),
    }
}

/// Makes our offer and returns its SDP.
pub(crate) async fn offer(connection: &PeerConnection) -> Result<String, RemoteError> {
    let offer = connection.create_offer().await?;
    connection.set_local_description(offer).await?;
    Ok(local_description(connection)?.sdp().to_owned())
}

/// Takes the viewer's answer to our offer.
pub(crate) async fn accept(
    shared: &ServerState,
    connection: &PeerConnection,
    answer: String,
) -> Result<(), RemoteError> {
    let answer = read(shared, SdpType::Answer, answer).await?;
    Ok(connection.set_remote_description(answer).await?)
}

/// Takes one of the viewer's candidates; an empty one ends them.
pub(crate) async fn add_candidate(connection: &PeerConnection, candidate: IceCandidate) -> Result<(), RemoteError> {
    Ok(connection.add_ice_candidate(candidate).await?)
}

fn local_description(connection: &PeerConnection) -> Result<SessionDescription, RemoteError> {
    let closed = || RemoteError::new("InvalidStateError", "the connection was closed", "start a new one");
    connection.local_description().ok_or_else(closed)
}
