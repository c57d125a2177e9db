//! How long clients may take.

use std::time::Duration;

/// How long a client may take, so that none holds for long what it does not use.
///
/// ```
/// use std::time::Duration;
/// use rtcast_server::{Server, TimeLimits};
///
/// let limits = TimeLimits { idle: Duration::from_secs(5), ..TimeLimits::default() };
/// let builder = Server::builder().time_limits(limits);
/// # drop(builder);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// For the head of a request, from its first byte; for a new connection's first, from the beginning. 10 s.
    pub head: Duration,
    /// For the body of a request, which is answered with 408 then. 10 s.
    pub body: Duration,
    /// For the reading of a response. 10 s.
    pub response: Duration,
    /// From one response to the next request. 60 s.
    pub idle: Duration,
    /// For a WebSocket to bring a viewer. 60 s.
    pub viewer: Duration,
    /// For a viewer's first word once its connection stands: one that says nothing at all is gone. 10 s, a second at least.
    /// Later on consent (RFC 7675) finds out whether it is there, and lets 30 s pass.
    pub first_word: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        let short = Duration::from_secs(10);
        let long = Duration::from_secs(60);
        Self { head: short, body: short, response: short, idle: long, viewer: long, first_word: short }
    }
}
