//! The `Link` headers that tell of STUN and TURN servers (RFC 9725 §4.6, RFC 8288).

use axum::http::HeaderValue;
use rtcast::IceServer;

use crate::error::ServerError;

/// A header for each URL.
pub(crate) fn links(servers: &[IceServer]) -> Result<Vec<HeaderValue>, ServerError> {
    let refuse = |problem: String| ServerError::IceServer { problem };
    let mut links = Vec::new();
    for server in servers {
        for url in server.parse().map_err(|error| refuse(error.to_string()))? {
            let mut link = format!("<{}>; rel=\"ice-server\"", url.url);
            if let (Some(username), Some(credential)) = (&server.username, &server.credential) {
                let (username, credential) = (quoted(username), quoted(credential));
                link += &format!("; username={username}; credential={credential}; credential-type=\"password\"");
            }
            // The value is left out: it has a password in it.
            let mut link = HeaderValue::from_str(&link)
                .map_err(|_| refuse(format!("{}: user name or password has control characters", url.url)))?;
            link.set_sensitive(server.credential.is_some());
            links.push(link);
        }
    }
    Ok(links)
}

/// RFC 9110 §5.6.4: a quoted string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_as_the_rfc_shows() {
        let servers = [
            IceServer::stun("stun:stun.example.net"),
            IceServer::turn("turn:turn.example.net?transport=udp", "user", r#"my"pass\word"#),
        ];
        assert_eq!(
            links(&servers).unwrap(),
            [
                r#"<stun:stun.example.net>; rel="ice-server""#,
                r#"<turn:turn.example.net?transport=udp>; rel="ice-server"; username="user"; credential="my\"pass\\word"; credential-type="password""#,
            ]
        );
        assert!(links(&[IceServer::stun("http://x")]).is_err());
        assert!(links(&[IceServer::turn("turn:x", "a", "b\nc")]).is_err());
    }
}
