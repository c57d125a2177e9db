//! STUN and TURN servers: W3C's `RTCIceServer` and the URLs in it (RFC 7064, RFC 7065).

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use super::RelayProtocol;
use crate::hint::Hint;

/// The longest URL that is read.
const MAX_URL: usize = 1_024;

/// W3C's `RTCIceServer`: one server under one or more URLs, with the credentials that TURN needs.
///
/// ```
/// use rtcast_proto::ice::IceServer;
///
/// let server = IceServer::turn("turns:turn.example.org", "alice", "secret");
/// let urls = server.parse()?;
/// assert_eq!((urls[0].host.as_str(), urls[0].port), ("turn.example.org", 5_349));
/// let error = IceServer::stun("stun://example.org").parse().unwrap_err();
/// assert_eq!(error.name(), "SyntaxError");
/// # Ok::<(), rtcast_proto::ice::IceServerError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct IceServer {
    /// `stun:host[:port]`, `turn:host[:port][?transport=udp|tcp]` or `turns:host[:port][?transport=tcp]`. The port is
    /// 3478, with `turns` 5349, if it is not given; the transport UDP, with `turns` TCP.
    pub urls: Vec<String>,
    /// The user name for TURN.
    pub username: Option<String>,
    /// The password for TURN.
    pub credential: Option<String>,
}

impl IceServer {
    /// A server that needs no credentials: STUN.
    pub fn stun(url: impl Into<String>) -> Self {
        Self { urls: vec![url.into()], ..Self::default() }
    }

    /// A TURN server with its long-term credentials.
    pub fn turn(url: impl Into<String>, username: impl Into<String>, credential: impl Into<String>) -> Self {
        Self { urls: vec![url.into()], username: Some(username.into()), credential: Some(credential.into()) }
    }

    /// Reads the URLs and checks that what they need is there.
    ///
    /// # Errors
    /// [`IceServerError`], whose name is that of the W3C's exception.
    pub fn parse(&self) -> Result<Vec<IceServerUrl>, IceServerError> {
        let error =
            |kind, url: &str, problem: String, hint| IceServerError { kind, url: url.to_owned(), problem, hint };
        if self.urls.is_empty() {
            let problem = "an ICE server has no URL".to_owned();
            return Err(error(
                IceServerErrorKind::Syntax,
                "",
                problem,
                "give it at least one, such as stun:example.org",
            ));
        }
        let mut parsed = Vec::new();
        for url in &self.urls {
            let server = IceServerUrl::parse(url)?;
            // W3C webrtc §4.4.1.6: TURN without a user name and a password is an InvalidAccessError.
            if server.is_turn() && (self.username.is_none() || self.credential.is_none()) {
                return Err(error(
                    IceServerErrorKind::InvalidAccess,
                    url,
                    "a TURN server needs a user name and a credential".to_owned(),
                    "set `username` and `credential`",
                ));
            }
            // RFC 8489 §14.3: a user name has at most 508 bytes.
            if self.username.as_ref().is_some_and(|name| name.len() > 508) {
                let problem = "the user name is longer than 508 bytes".to_owned();
                return Err(error(IceServerErrorKind::Syntax, url, problem, "use a shorter one"));
            }
            parsed.push(server);
        }
        Ok(parsed)
    }
}

impl fmt::Debug for IceServer {
    /// Without the credential, which has no place in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer").field("urls", &self.urls).field("username", &self.username).finish_non_exhaustive()
    }
}

/// What a server is asked for, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IceServerScheme {
    /// `stun`: our own address, over UDP.
    Stun,
    /// `turn` or `turns`: a relay, over this protocol.
    Turn(RelayProtocol),
}

/// One URL of a server, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceServerUrl {
    /// The URL as it was given.
    pub url: String,
    /// What the server is asked for.
    pub scheme: IceServerScheme,
    /// A name or an address, an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl IceServerUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`IceServerError`].
    pub fn parse(url: &str) -> Result<Self, IceServerError> {
        const HINT: &str = "write stun:host[:port], turn:host[:port][?transport=udp|tcp] or turns:host[:port]";
        let shown: String = url.chars().take(200).collect();
        let refuse = |kind, problem: &str| {
            Err(IceServerError { kind, url: shown.clone(), problem: problem.to_owned(), hint: HINT })
        };
        let syntax = |problem: &str| refuse(IceServerErrorKind::Syntax, problem);
        if url.len() > MAX_URL {
            return syntax("the URL is too long");
        }
        let Some((scheme, rest)) = url.split_once(':') else { return syntax("the URL has no scheme") };
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "stun" | "stuns" | "turn" | "turns") {
            return syntax("the scheme is none of stun, turn, turns");
        }
        if rest.starts_with("//") {
            return syntax("the host follows the colon without slashes");
        }
        let (authority, query) = rest.split_once('?').map_or((rest, None), |(host, query)| (host, Some(query)));
        let transport = match query.map(|query| query.split_once('=')) {
            None => None,
            Some(_) if scheme.starts_with("stun") => return syntax("a STUN URL has no query"),
            Some(Some(("transport", "udp"))) => Some(RelayProtocol::Udp),
            Some(Some(("transport", "tcp"))) => Some(RelayProtocol::Tcp),
            Some(_) => return syntax("the query is neither transport=udp nor transport=tcp"),
        };
        let Some((host, port)) = host_and_port(authority) else {
            return syntax("the host is neither a name nor an address, or the port is none");
        };
        let secure = scheme.ends_with('s');
        let scheme = match (scheme.as_str(), transport) {
            ("stun", _) => IceServerScheme::Stun,
            ("turn", transport) => IceServerScheme::Turn(transport.unwrap_or(RelayProtocol::Udp)),
            ("turns", None | Some(RelayProtocol::Tcp)) => IceServerScheme::Turn(RelayProtocol::Tls),
            ("turns", _) => return refuse(IceServerErrorKind::NotSupported, "TURN over DTLS is not implemented"),
            _ => return refuse(IceServerErrorKind::NotSupported, "STUN over TLS is not implemented"),
        };
        let port = port.unwrap_or(if secure { 5_349 } else { 3_478 });
        Ok(Self { url: url.to_owned(), scheme, host: host.to_owned(), port })
    }

    /// Whether it is a TURN server.
    pub const fn is_turn(&self) -> bool {
        matches!(self.scheme, IceServerScheme::Turn(_))
    }
}

/// RFC 3986 §3.2.2: a name, an IPv4 address or an IPv6 address in brackets, and perhaps a port.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        (host, rest.strip_prefix(':').map_or_else(|| rest.is_empty().then_some(None), |port| Some(Some(port)))?)
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if host.is_empty() || host.len() > 253 || !host.chars().all(allowed) {
            return None;
        }
        (host, port)
    };
    let port = match port {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(port.parse::<u16>().ok().filter(|port| *port != 0)?)
        }
        Some(_) => return None,
        None => None,
    };
    Some((host, port))
}

/// Which of the W3C's exceptions it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IceServerErrorKind {
    /// `SyntaxError`.
    Syntax,
    /// `InvalidAccessError`.
    InvalidAccess,
    /// `NotSupportedError`.
    NotSupported,
}

/// A server that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ICE server URL `{url}` cannot be used: {problem}")]
pub struct IceServerError {
    /// Which exception it is.
    pub kind: IceServerErrorKind,
    /// The URL.
    pub url: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub hint: &'static str,
}

impl IceServerError {
    /// The W3C's name of the exception.
    pub const fn name(&self) -> &'static str {
        match self.kind {
            IceServerErrorKind::Syntax => "SyntaxError",
            IceServerErrorKind::InvalidAccess => "InvalidAccessError",
            IceServerErrorKind::NotSupported => "NotSupportedError",
        }
    }
}

impl Hint for IceServerError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self.hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        use IceServerScheme::{Stun, Turn};
        for (url, scheme, host, port) in [
            ("stun:example.org", Stun, "example.org", 3_478),
            ("STUN:192.0.2.1:19302", Stun, "192.0.2.1", 19_302),
            ("stun:[2001:db8::1]", Stun, "2001:db8::1", 3_478),
            ("turn:example.org", Turn(RelayProtocol::Udp), "example.org", 3_478),
            ("turn:example.org?transport=udp", Turn(RelayProtocol::Udp), "example.org", 3_478),
            ("turn:[::1]:80?transport=tcp", Turn(RelayProtocol::Tcp), "::1", 80),
            ("turns:example.org", Turn(RelayProtocol::Tls), "example.org", 5_349),
            ("turns:example.org:443?transport=tcp", Turn(RelayProtocol::Tls), "example.org", 443),
        ] {
            let parsed = IceServerUrl::parse(url).unwrap();
            assert_eq!((parsed.scheme, parsed.host.as_str(), parsed.port), (scheme, host, port), "{url}");
        }
    }

    #[test]
    fn mistakes_have_the_name_of_the_exception() {
        for (url, name) in [
            ("", "SyntaxError"),
            ("example.org", "SyntaxError"),
            ("http:example.org", "SyntaxError"),
            ("stun:", "SyntaxError"),
            ("stun://example.org", "SyntaxError"),
            ("stun:example.org:0", "SyntaxError"),
            ("stun:example.org:65536", "SyntaxError"),
            ("stun:example.org:", "SyntaxError"),
            ("stun:exa mple.org", "SyntaxError"),
            ("stun:example.org?transport=udp", "SyntaxError"),
            ("turn:example.org?transport=sctp", "SyntaxError"),
            ("turn:[::1", "SyntaxError"),
            ("turn:user@example.org", "SyntaxError"),
            ("stuns:example.org", "NotSupportedError"),
            ("turns:example.org?transport=udp", "NotSupportedError"),
            ("turn:example.org", "InvalidAccessError"),
        ] {
            assert_eq!(IceServer::stun(url).parse().unwrap_err().name(), name, "{url}");
        }
        assert_eq!(IceServer::default().parse().unwrap_err().name(), "SyntaxError");
        let shown = format!("{:?}", IceServer::turn("turn:example.org", "user", "secret"));
        assert!(shown.contains("user") && !shown.contains("secret"), "{shown}");
    }
}
