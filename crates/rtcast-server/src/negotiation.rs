//! Descriptions and candidates between a signalling channel and a peer connection, errors in the protocol's form.

use rtcast::{DescriptionError, IceCandidate, PeerConnection, SdpType, SessionDescription};

use crate::message::ErrorObject;

/// Takes the viewer's offer and returns our answer's SDP.
pub(crate) async fn answer(connection: &PeerConnection, offer: &str) -> Result<String, ErrorObject> {
    let offer = SessionDescription::new(SdpType::Offer, offer)?;
    connection.set_remote_description(offer).await?;
    let answer = connection.create_answer().await?;
    connection.set_local_description(answer).await?;
    local_sdp(connection)
}

/// Makes our offer and returns its SDP.
pub(crate) async fn offer(connection: &PeerConnection) -> Result<String, ErrorObject> {
    let offer = connection.create_offer().await?;
    connection.set_local_description(offer).await?;
    local_sdp(connection)
}

/// Takes the viewer's answer to our offer.
pub(crate) async fn accept(connection: &PeerConnection, answer: &str) -> Result<(), ErrorObject> {
    let answer = SessionDescription::new(SdpType::Answer, answer)?;
    Ok(connection.set_remote_description(answer).await?)
}

/// Takes one of the viewer's candidates; an empty one ends them.
pub(crate) async fn add_candidate(connection: &PeerConnection, candidate: IceCandidate) -> Result<(), ErrorObject> {
    Ok(connection.add_ice_candidate(candidate).await?)
}

impl From<rtcast::Error> for ErrorObject {
    fn from(error: rtcast::Error) -> Self {
        let mut message = error.to_string();
        // The words of some errors end with the hint, which goes by itself here.
        if let Some(head) = error.hint().and_then(|hint| message.strip_suffix(hint)) {
            message.truncate(head.trim_end_matches([' ', ';', ':', ',']).len());
        }
        Self { name: error.name().to_owned(), message, hint: error.hint().map(Into::into) }
    }
}

impl From<DescriptionError> for ErrorObject {
    fn from(error: DescriptionError) -> Self {
        rtcast::Error::from(error).into()
    }
}

fn local_sdp(connection: &PeerConnection) -> Result<String, ErrorObject> {
    match connection.local_description() {
        Some(description) => Ok(description.sdp().to_owned()),
        None => Err(ErrorObject::new("InvalidStateError", "the connection was closed", "start a new one")),
    }
}
