//! Which names the server answers to, and which web pages may use it.
//!
//! A browser lets any page send requests to any address, and a page whose name is made to lead to this machine (DNS
//! rebinding) even read the answers. So a request must name a host that is ours, and one that a page has caused, which
//! its browser says in `Origin`, must come from a page of the same host and port, or from one that was allowed.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, Version};

use crate::problem::Problem;

/// Whose requests are served.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    hosts: Vec<AllowedHost>,
    origins: Vec<AllowedOrigin>,
    /// The names of this machine.
    own: Vec<String>,
}

/// A request that may be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// Host and port as the client named them, `None` if it named none or not by letters alone, as for an IPv6 address.
    pub(crate) host: Option<String>,
    /// What `Access-Control-Allow-Origin` says, if a page of a browser asks.
    pub(crate) allow_origin: Option<HeaderValue>,
}

impl Admission {
    /// With the names that were allowed beside those of this machine.
    pub(crate) fn new(hosts: Vec<AllowedHost>, origins: Vec<AllowedOrigin>) -> Self {
        Self { hosts, origins, own: own_names(&machine_name()) }
    }

    /// Judges a request.
    ///
    /// # Errors
    /// 400 if it names no host where it must, 403 if it names another's, or a page of another origin has caused it.
    pub(crate) fn admit(&self, version: Version, uri: &Uri, headers: &HeaderMap) -> Result<Admitted, Problem> {
        let host = self.host(version, uri, headers)?;
        let allow_origin = self.origin(host.as_ref(), headers)?;
        let told = host.filter(|host| !host.name.contains(':')).map(|host| host.to_string());
        Ok(Admitted { host: told, allow_origin })
    }

    /// What a page's `frame-ancestors` says.
    pub(crate) fn frame_ancestors(&self) -> String {
        if self.origins.contains(&AllowedOrigin::Any) {
            return "*".to_owned();
        }
        let named = self.origins.iter().map(|origin| format!(" {origin}"));
        std::iter::once("'self'".to_owned()).chain(named).collect()
    }

    fn host(&self, version: Version, uri: &Uri, headers: &HeaderMap) -> Result<Option<HostPort>, Problem> {
        // RFC 9112 §3.2: exactly one Host, but for HTTP/1.0, which knows none; no browser speaks that.
        let mut given = headers.get_all(HOST).iter();
        let header = match (given.next(), given.next()) {
            (Some(header), None) => Some(header.to_str().ok().and_then(HostPort::parse).ok_or_else(unreadable)?),
            (None, _) if version < Version::HTTP_11 => None,
            (None, _) => return Err(Problem::new(StatusCode::BAD_REQUEST, "the request has no Host header")),
            (Some(_), Some(_)) => return Err(Problem::new(StatusCode::BAD_REQUEST, "there is more than one Host")),
        };
        // RFC 9112 §3.2.2: the target's authority, if it has one, stands for Host.
        let target = uri.authority().map(|authority| HostPort::of(authority).ok_or_else(unreadable)).transpose()?;
        for host in header.iter().chain(&target) {
            if !self.answers_to(&host.name) {
                let name = host.name.trim_end_matches('.');
                return Err(Problem::new(StatusCode::FORBIDDEN, format!("this server does not answer to {name:?}"))
                    .hint(format!("use its address, or start it with --allow-host {name}")));
            }
        }
        Ok(target.or(header))
    }

    fn answers_to(&self, name: &str) -> bool {
        let name = without_dot(name);
        name.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || self.own.iter().any(|own| own == name)
            || self.hosts.iter().any(|host| match host {
                AllowedHost::Any => true,
                AllowedHost::Name(allowed) => allowed == name,
            })
    }

    fn origin(&self, host: Option<&HostPort>, headers: &HeaderMap) -> Result<Option<HeaderValue>, Problem> {
        let mut given = headers.get_all(ORIGIN).iter();
        let Some(value) = given.next() else { return Ok(None) };
        if given.next().is_some() {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "there is more than one Origin"));
        }
        if self.origins.contains(&AllowedOrigin::Any) {
            return Ok(Some(HeaderValue::from_static("*")));
        }
        let origin = value.to_str().ok().and_then(Origin::parse);
        if let Some(origin) = &origin {
            // Whatever the scheme: a proxy may end TLS before us. A port that is left out is that of the page's scheme.
            let own = host.is_some_and(|host| {
                without_dot(&host.name) == without_dot(&origin.host.name)
                    && host.port.unwrap_or(origin.default_port()) == origin.port()
            });
            let named = self.origins.iter().any(|allowed| match allowed {
                AllowedOrigin::Any => true,
                AllowedOrigin::Origin(allowed) => allowed.equals(origin),
            });
            if own || named {
                return Ok(Some(value.clone()));
            }
        }
        let shown: String = value.to_str().unwrap_or("?").chars().take(200).collect();
        let hint =
            if origin.is_some() { format!("start the server with --allow-origin {shown}") } else { String::new() };
        let problem =
            Problem::new(StatusCode::FORBIDDEN, format!("pages of the origin {shown:?} may not use this server"));
        Err(if hint.is_empty() { problem } else { problem.hint(hint) })
    }
}

fn unreadable() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "the request's host is none").hint("send Host: NAME or NAME:PORT")
}

/// RFC 1034 §3.1: a name may end with the dot of the root.
fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// A host and perhaps a port, in small letters, an IPv6 address without its brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HostPort {
    name: String,
    port: Option<u16>,
}

impl HostPort {
    fn parse(text: &str) -> Option<Self> {
        Self::of(&text.parse().ok()?)
    }

    fn of(authority: &Authority) -> Option<Self> {
        let text = authority.as_str();
        if text.contains('@') {
            return None;
        }
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, port) = rest.split_once(']')?;
                name.parse::<Ipv6Addr>().ok()?;
                (name, port.strip_prefix(':').or_else(|| port.is_empty().then_some(""))?)
            }
            None => text.split_once(':').unwrap_or((text, "")),
        };
        // RFC 3986 §3.2.3: the port may be empty.
        let port = if port.is_empty() { None } else { Some(port.parse().ok()?) };
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
        let plain = !name.is_empty() && name.bytes().all(usual);
        plain.then(|| Self { name: name.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]", self.name)?;
        } else {
            f.write_str(&self.name)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// An origin as RFC 6454 §6.1 writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: HostPort,
}

impl Origin {
    /// `None` for `null` and for what is none.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, host) = text.split_once("://")?;
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if scheme.is_empty() || !scheme.bytes().all(usual) {
            return None;
        }
        Some(Self { scheme: scheme.to_ascii_lowercase(), host: HostPort::parse(host)? })
    }

    fn default_port(&self) -> u16 {
        if matches!(self.scheme.as_str(), "https" | "wss") { 443 } else { 80 }
    }

    fn port(&self) -> u16 {
        self.host.port.unwrap_or(self.default_port())
    }

    fn equals(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host.name == other.host.name && self.port() == other.port()
    }
}

/// A name that the server answers to, beside its addresses, `localhost` and the names of its machine.
///
/// ```
/// use rtcast_server::AllowedHost;
///
/// assert_eq!("Cam.example.org.".parse::<AllowedHost>(), Ok(AllowedHost::Name("cam.example.org".to_owned())));
/// assert!("cam.example.org:8080".parse::<AllowedHost>().is_err(), "a name has no port");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AllowedHost {
    /// Every name, which leaves the server open to DNS rebinding.
    Any,
    /// This one, in small letters and without a dot at its end.
    Name(String),
}

/// An origin whose pages may use the server.
///
/// ```
/// use rtcast_server::AllowedOrigin;
///
/// let origin: AllowedOrigin = "http://localhost:3000/".parse()?;
/// assert_eq!(origin.to_string(), "http://localhost:3000");
/// assert!("localhost".parse::<AllowedOrigin>().is_err(), "an origin has a scheme");
/// # Ok::<(), rtcast_server::AllowedError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AllowedOrigin {
    /// Every page, local files and sandboxed frames included.
    Any,
    /// The pages of one origin.
    Origin(OriginName),
}

/// An origin that was read without error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginName(Origin);

impl OriginName {
    fn equals(&self, other: &Origin) -> bool {
        self.0.equals(other)
    }
}

/// Something is neither a host nor an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}")]
pub struct AllowedError {
    text: String,
    what: &'static str,
}

impl FromStr for AllowedHost {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self::Any);
        }
        match HostPort::parse(text) {
            Some(HostPort { name, port: None }) => Ok(Self::Name(without_dot(&name).to_owned())),
            _ => Err(AllowedError {
                text: text.chars().take(100).collect(),
                what: "name of a host; write one without a port, such as cam.example.org, or *",
            }),
        }
    }
}

impl FromStr for AllowedOrigin {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self::Any);
        }
        match Origin::parse(text.strip_suffix('/').unwrap_or(text)) {
            Some(origin) => Ok(Self::Origin(OriginName(origin))),
            None => Err(AllowedError {
                text: text.chars().take(100).collect(),
                what: "origin of web pages; write one such as https://example.org or http://localhost:3000, or *",
            }),
        }
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Origin(OriginName(origin)) => write!(f, "{}://{}", origin.scheme, origin.host),
        }
    }
}

/// The names by which the network knows a machine: its name, the first label of it, and that of mDNS (RFC 6762).
fn own_names(name: &str) -> Vec<String> {
    let name = without_dot(name).to_ascii_lowercase();
    let label = name.split('.').next().unwrap_or("").to_owned();
    if label.is_empty() {
        return Vec::new();
    }
    vec![format!("{label}.local"), label, name]
}

#[cfg(unix)]
fn machine_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(not(unix))]
fn machine_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(hosts: &[&str], origins: &[&str]) -> Admission {
        Admission {
            hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            origins: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
            own: own_names("Studio.example.net"),
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn status(problem: Problem) -> u16 {
        axum::response::IntoResponse::into_response(problem).status().as_u16()
    }

    fn judge(admission: &Admission, target: &str, pairs: &[(&'static str, &str)]) -> Result<Admitted, u16> {
        admission.admit(Version::HTTP_11, &target.parse().unwrap(), &headers(pairs)).map_err(status)
    }

    #[test]
    fn a_host_is_an_address_or_one_of_our_names() {
        let ours = admission(&["cam.example.org"], &[]);
        for host in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "192.0.2.7",
            "[::1]:8080",
            "[2001:db8::1]",
            "localhost",
            "localhost:9",
            "LOCALHOST",
            "localhost.",
            "studio",
            "Studio:8080",
            "studio.local",
            "STUDIO.LOCAL.:80",
            "studio.example.net",
            "cam.example.org",
            "Cam.Example.Org.:443",
            "localhost:",
        ] {
            assert!(judge(&ours, "/", &[("host", host)]).is_ok(), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evil.localhost",
            "x.cam.example.org",
            "example.org",
            "127.1",
            "0x7f000001",
            "2130706433",
            "studio.example",
            "cam.example.org..",
        ] {
            assert_eq!(judge(&ours, "/", &[("host", host)]), Err(403), "{host}");
        }
        for host in [
            "",
            "a b",
            "localhost:x",
            "localhost:99999",
            "user@localhost",
            "[::1",
            "[::1]x",
            "::1",
            "a/b",
            "[localhost]",
        ] {
            assert_eq!(judge(&ours, "/", &[("host", host)]), Err(400), "{host:?}");
        }
        assert_eq!(judge(&ours, "/", &[]), Err(400), "RFC 9112 §3.2");
        assert_eq!(judge(&ours, "/", &[("host", "localhost"), ("host", "localhost")]), Err(400));
        let old = |pairs| ours.admit(Version::HTTP_10, &"/".parse().unwrap(), &headers(pairs)).map_err(status);
        assert!(old(&[]).is_ok(), "HTTP/1.0 knows no Host");
        assert_eq!(old(&[("host", "evil.example")]), Err(403));
        assert_eq!(old(&[("origin", "http://localhost")]), Err(403));
        assert!(judge(&admission(&["*"], &[]), "/", &[("host", "evil.example")]).is_ok());
    }

    #[test]
    fn a_target_with_a_host_counts_as_well() {
        let ours = admission(&[], &[]);
        assert!(judge(&ours, "http://localhost:8080/film", &[("host", "localhost:8080")]).is_ok());
        assert_eq!(judge(&ours, "http://evil.example/film", &[("host", "localhost")]), Err(403));
        assert_eq!(judge(&ours, "http://localhost/film", &[("host", "evil.example")]), Err(403));
    }

    #[test]
    fn an_origin_is_our_own_or_was_allowed() {
        let ours = admission(&["cam.example.org"], &["https://app.example.org", "http://localhost:3000/"]);
        let asked = |host, origin| judge(&ours, "/", &[("host", host), ("origin", origin)]);
        for (host, origin) in [
            ("localhost:8080", "http://localhost:8080"),
            ("localhost", "http://localhost"),
            ("localhost.:8080", "http://localhost:8080"),
            ("127.0.0.1:80", "http://127.0.0.1"),
            ("[::1]:8080", "http://[::1]:8080"),
            // A proxy ends TLS.
            ("cam.example.org", "https://cam.example.org"),
            ("cam.example.org:443", "https://cam.example.org"),
            ("cam.example.org:8443", "https://CAM.example.org:8443"),
            ("localhost:8080", "https://app.example.org"),
            ("localhost:8080", "https://app.example.org:443"),
            ("localhost:8080", "http://localhost:3000"),
        ] {
            let admitted = asked(host, origin).unwrap_or_else(|status| panic!("{origin} at {host}: {status}"));
            assert_eq!(admitted.allow_origin.unwrap(), origin, "CORS for this origin alone");
        }
        for (host, origin) in [
            ("localhost:8080", "http://localhost"),
            ("localhost:8080", "http://localhost:8081"),
            ("localhost:8080", "http://127.0.0.1:8080"),
            ("localhost", "https://localhost:80"),
            ("cam.example.org", "https://evil.example"),
            ("cam.example.org", "https://cam.example.org.evil.example"),
            ("localhost:8080", "http://app.example.org"),
            ("localhost:8080", "https://app.example.org:444"),
            ("localhost:8080", "null"),
            ("localhost:8080", ""),
            ("localhost:8080", "file://"),
            ("localhost:8080", "http://localhost:8080, http://evil.example"),
        ] {
            assert_eq!(asked(host, origin), Err(403), "{origin} at {host}");
        }
        assert_eq!(judge(&ours, "/", &[("host", "localhost")]).unwrap().allow_origin, None);
        let open = admission(&[], &["*"]);
        for origin in ["null", "https://evil.example"] {
            let admitted = judge(&open, "/", &[("host", "localhost"), ("origin", origin)]).unwrap();
            assert_eq!(admitted.allow_origin.unwrap(), "*", "{origin}");
        }
        assert_eq!(
            judge(&open, "/", &[("host", "evil.example"), ("origin", "null")]),
            Err(403),
            "Host is checked still"
        );
    }

    #[test]
    fn frames_come_from_the_same_list() {
        assert_eq!(admission(&[], &[]).frame_ancestors(), "'self'");
        let named = admission(&[], &["https://app.example.org", "http://localhost:3000"]);
        assert_eq!(named.frame_ancestors(), "'self' https://app.example.org http://localhost:3000");
        assert_eq!(admission(&[], &["*"]).frame_ancestors(), "*");
    }

    #[test]
    fn what_cannot_be_allowed_is_refused() {
        for wrong in ["", "https://example.org", "example.org:80", "a b", "*.example.org"] {
            assert!(wrong.parse::<AllowedHost>().is_err(), "{wrong}");
        }
        for wrong in ["", "null", "example.org", "https://", "https://example.org/path", "https://*.example.org"] {
            assert!(wrong.parse::<AllowedOrigin>().is_err(), "{wrong}");
        }
    }
}
