//! The HTTP side of a viewer (draft-ietf-wish-whep).

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, StatusCode, Url};
use rtcast_peer::{DescriptionError, Error, SdpType, SessionDescription};

/// Why a viewer did not come in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WhepError {
    /// The server did not answer.
    #[error("the server does not answer: {0}; check its address and whether it runs")]
    Http(#[from] reqwest::Error),
    /// The server refused.
    #[error("the server refused with {status}: {text}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// What it said.
        text: String,
    },
    /// The server's answer is no SDP.
    #[error("the server's answer is wrong: {0}")]
    Answer(#[from] DescriptionError),
    /// The connection refused.
    #[error(transparent)]
    Connection(#[from] Error),
    /// The connection was not made in time.
    #[error("the server answered, but no connection was made within {0} s")]
    TimedOut(u64),
}

/// A session that the server opened.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    resource: Option<Url>,
}

impl Session {
    /// Posts an offer. Returns the session and the answer.
    pub(crate) async fn open(client: Client, url: &str, offer: &str) -> Result<(Self, SessionDescription), WhepError> {
        let request = client.post(url).header(CONTENT_TYPE, "application/sdp").body(offer.to_owned());
        let response = request.send().await?;
        let status = response.status();
        let resource = response
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .and_then(|location| response.url().join(location).ok());
        let text = response.text().await?;
        if status != StatusCode::CREATED {
            return Err(WhepError::Refused { status, text: text.chars().take(500).collect() });
        }
        let answer = SessionDescription::new(SdpType::Answer, text)?;
        Ok((Self { client, resource }, answer))
    }

    /// Ends the session; a server that is gone has ended it already.
    pub(crate) async fn close(self) {
        if let Some(resource) = self.resource {
            let _ = self.client.delete(resource).send().await;
        }
    }
}
