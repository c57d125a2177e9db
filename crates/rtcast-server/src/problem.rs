//! Problem documents, RFC 9457.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A refusal as `application/problem+json`.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
    name: Option<String>,
    hint: Option<String>,
    header: Option<(&'static str, &'static str)>,
}

impl Problem {
    /// A problem of a status, with the sentence that explains this occurrence.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), name: None, hint: None, header: None }
    }

    /// What the client can do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The name of the W3C's DOMException.
    pub(crate) fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A header to go with it, its name in small letters.
    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    /// 404 for a name under which nothing is streamed.
    pub(crate) fn no_such_stream(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no stream named {:?}", shown(name)))
            .name("NotFoundError")
            .hint("/api/streams lists the streams")
    }

    /// 405 for a method that a resource does not have; `allowed` lists those it has.
    pub(crate) fn method_not_allowed(allowed: &'static str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("this resource takes {allowed} only"))
            .header("allow", allowed)
    }
}

/// As much of a name as a message needs.
fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // RFC 9457 §4.2.1: with the type "about:blank" the title is the status phrase.
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(name) = self.name {
            body["name"] = name.into();
        }
        if let Some(hint) = self.hint {
            body["hint"] = hint.into();
        }
        let kind = [(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        let mut response = (self.status, kind, body.to_string()).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        response
    }
}
