//! The HTTP side of a viewer (draft-ietf-wish-whep).

use std::io;

use reqwest::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use rtcast_proto::{DescriptionError, SdpType, SessionDescription};

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
    /// The server is full and says when to come again.
    #[error("the server takes no more viewers and says to try again in {0} s")]
    Full(String),
    /// The server's answer, or our offer, is wrong.
    #[error("the server's answer is wrong: {0}")]
    Answer(#[from] DescriptionError),
    /// The connection failed.
    #[error("the server answered, but the connection failed: {0}")]
    Failed(String),
    /// The connection was not made in time.
    #[error("the server answered, but no connection was made within {0} s")]
    TimedOut(u64),
    /// The system has no more sockets or randomness.
    #[error("the system refused: {0}; raise the limit of open files, or use fewer viewers")]
    Io(#[from] io::Error),
}

/// A session that the server opened.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    resource: Option<Url>,
}

impl Session {
    /// Posts an offer. Returns the session and the answer.
    pub(crate) async fn open(client: Client, url: Url, offer: &str) -> Result<(Self, SessionDescription), WhepError> {
        let request = client.post(url).header(CONTENT_TYPE, "application/sdp").body(offer.to_owned());
        let response = request.send().await?;
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let resource = header(LOCATION).and_then(|location| response.url().join(location).ok());
        if status == StatusCode::SERVICE_UNAVAILABLE
            && let Some(after) = header(RETRY_AFTER)
        {
            return Err(WhepError::Full(after.to_owned()));
        }
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
