//! Asking a STUN server how our address looks from outside (RFC 8489 §6, RFC 8445 §5.1.1.2).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::SelectedPair;
use crate::stun::{
    self, Attribute, COOKIE, ERROR_CODE, HEAD_LENGTH, MAPPED_ADDRESS, Message, REQUEST, XOR_MAPPED_ADDRESS, xor_address,
};

/// RFC 8489 §6.2.1 begins with 500 ms; servers are asked one after the other anyway, and the first answer is waited for.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Requests before it is given up: with doubled waits, after 7.75 s.
const ATTEMPTS: u32 = 5;

/// RFC 8445 §14.2: 50 ms between requests is the slowest; 5 ms is the fastest that it allows.
const PACING: Duration = Duration::from_millis(5);

/// Questions that are open at a time. Those of more servers and addresses are not asked.
const MAX_QUESTIONS: usize = 64;

/// A transaction of ours begins with these bytes and a byte of the owner's choice; the rest is random.
const TRANSACTION_PREFIX: [u8; 3] = *b"rtc";

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BindingOutcome {
    pub(crate) url: String,
    pub(crate) base: SocketAddr,
    /// What the server sees, or the error's code and text.
    pub(crate) result: Result<SocketAddr, (u16, String)>,
}

struct Question {
    /// The servers that are asked by it: a TURN server and a STUN server may be one.
    urls: Vec<String>,
    pair: SelectedPair,
    transaction: [u8; 12],
    sent: u32,
    next: Instant,
}

impl Question {
    /// What came of it, for each of its servers; an address is the same for all.
    fn outcomes(&self, result: &Result<SocketAddr, (u16, String)>) -> impl Iterator<Item = BindingOutcome> {
        let told = if result.is_ok() { 1 } else { self.urls.len() };
        let base = self.pair.local;
        self.urls.iter().take(told).map(move |url| BindingOutcome { url: url.clone(), base, result: result.clone() })
    }
}

/// The questions that wait for an answer.
#[derive(Default)]
pub(crate) struct Bindings {
    questions: Vec<Question>,
    outcomes: VecDeque<BindingOutcome>,
}

impl Bindings {
    /// Asks a server about one of our sockets. `random` tells this question from others; its first byte is `owner`'s. What
    /// is asked already is not asked twice, and its answer goes for this server as well.
    pub(crate) fn ask(&mut self, now: Instant, url: &str, server: SocketAddr, base: SocketAddr, random: [u8; 9]) {
        let pair = SelectedPair { local: base, remote: server };
        if let Some(open) = self.questions.iter_mut().find(|question| question.pair == pair) {
            if open.urls.len() < MAX_QUESTIONS && !open.urls.iter().any(|known| known == url) {
                open.urls.push(url.to_owned());
            }
            return;
        }
        if self.questions.len() >= MAX_QUESTIONS {
            return;
        }
        let mut transaction = [0; 12];
        transaction[..3].copy_from_slice(&TRANSACTION_PREFIX);
        transaction[3..].copy_from_slice(&random);
        let next = now + PACING * u32::try_from(self.questions.len()).unwrap_or(0);
        self.questions.push(Question { urls: vec![url.to_owned()], pair, transaction, sent: 0, next });
    }

    /// Whether a question is open.
    pub(crate) const fn is_open(&self) -> bool {
        !self.questions.is_empty()
    }

    /// Whether a datagram answers a question.
    pub(crate) fn expects(&self, datagram: &[u8]) -> bool {
        let transaction = datagram.get(8..20);
        self.questions.iter().any(|question| transaction == Some(&question.transaction[..]))
    }

    /// Forgets all questions.
    pub(crate) fn clear(&mut self) {
        self.questions.clear();
        self.outcomes.clear();
    }

    /// Takes a datagram, if it answers a question.
    pub(crate) fn handle_packet(&mut self, bytes: &[u8]) -> bool {
        let Some(transaction) = bytes.get(8..20) else { return false };
        let Some(at) = self.questions.iter().position(|question| question.transaction == transaction) else {
            return false;
        };
        // What cannot be read is no answer; the question is asked again.
        let Some(result) = binding_response(bytes) else { return true };
        let question = self.questions.swap_remove(at);
        self.outcomes.extend(question.outcomes(&result));
        true
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.questions.iter().map(|question| question.next).min()
    }

    /// The requests that are due.
    pub(crate) fn handle_timeout(&mut self, now: Instant, mut send: impl FnMut(SelectedPair, Vec<u8>)) {
        for question in &mut self.questions {
            if question.next > now {
                continue;
            }
            if question.sent < ATTEMPTS {
                send(question.pair, request(&question.transaction));
            }
            question.next = now + FIRST_WAIT * (1 << question.sent.min(ATTEMPTS));
            question.sent += 1;
        }
        let outcomes = &mut self.outcomes;
        self.questions.retain(|question| {
            let open = question.sent <= ATTEMPTS;
            if !open {
                // W3C webrtc §5.6.5: 701 if no server could be reached.
                let result = Err((701, "the STUN server did not answer".to_owned()));
                outcomes.extend(question.outcomes(&result));
            }
            open
        });
    }

    pub(crate) fn poll_outcome(&mut self) -> Option<BindingOutcome> {
        self.outcomes.pop_front()
    }
}

/// RFC 8489 §5: a binding request without attributes.
fn request(transaction: &[u8; 12]) -> Vec<u8> {
    stun::begin(REQUEST, transaction, HEAD_LENGTH)
}

/// The byte that `Bindings::ask` was given for its owner, if this is an answer to a question of ours: by it, whoever
/// owns a shared socket finds the thread, and by the whole transaction the connection.
pub fn binding_owner(datagram: &[u8]) -> Option<u8> {
    // A success or error response to a binding request, the magic cookie, and our prefix.
    let head = datagram.get(..12)?;
    let response = head[0] == 1 && matches!(head[1], 0x01 | 0x11);
    (response && head[4..8] == COOKIE && head[8..11] == TRANSACTION_PREFIX).then_some(head[11])
}

/// What a server without credentials answers to a binding request: our address as it sees it, or the code and text of
/// its error. `None` for what is no such answer.
pub fn binding_response(datagram: &[u8]) -> Option<Result<SocketAddr, (u16, String)>> {
    let message = Message::parse(datagram)?;
    // What follows the length is no part of it.
    let message = Message { body: message.body.get(..message.length)?, ..message };
    let mask: &[u8; 16] = datagram.get(4..HEAD_LENGTH)?.first_chunk()?;
    let [_, class] = message.kind;
    let mut plain = None;
    for attribute in message.attributes() {
        let Attribute { kind, value, .. } = attribute?;
        match (kind, class) {
            // RFC 8489 §14.2: XOR-MAPPED-ADDRESS, hidden by the cookie and the transaction.
            (XOR_MAPPED_ADDRESS, 0x01) => return xor_address(value, mask).map(Ok),
            // RFC 8489 §14.1: MAPPED-ADDRESS, which servers of RFC 3489 send.
            (MAPPED_ADDRESS, 0x01) => plain = xor_address(value, &[0; 16]),
            // RFC 8489 §14.8: ERROR-CODE; the hundreds, the rest, and words.
            (ERROR_CODE, 0x11) => {
                let ([_, _, hundreds, rest], text) = value.split_first_chunk()?;
                let code = u16::from(hundreds & 7) * 100 + u16::from(*rest.min(&99));
                let text: String = String::from_utf8_lossy(text).chars().take(128).collect();
                return Some(Err((code, text)));
            }
            _ => {}
        }
    }
    plain.map(Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "192.0.2.1:3478";

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    fn start() -> Instant {
        Instant::now()
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn asked(now: Instant) -> (Bindings, Vec<u8>) {
        let mut bindings = Bindings::default();
        bindings.ask(now, "stun:s", address(SERVER), address("10.0.0.1:5"), [7; 9]);
        let mut sent = Vec::new();
        bindings.handle_timeout(now, |pair, bytes| {
            assert_eq!(pair.remote, address(SERVER));
            sent.push(bytes);
        });
        assert_eq!(sent.len(), 1);
        (bindings, sent.remove(0))
    }

    /// XOR-MAPPED-ADDRESS of 203.0.113.9:4660.
    fn response(request: &[u8], class: u8) -> Vec<u8> {
        let mut message = request.to_vec();
        message[0] = 1;
        message[1] = class;
        let attribute: &[u8] = if class == 1 {
            &[0, 0x20, 0, 8, 0, 1, 0x12 ^ 0x21, 0x34 ^ 0x12, 203 ^ 0x21, 0x12, 113 ^ 0xa4, 9 ^ 0x42]
        } else {
            &[0, 9, 0, 8, 0, 0, 4, 20, b'b', b'u', b's', b'y']
        };
        message[3] = attribute.len() as u8;
        message.extend_from_slice(attribute);
        message
    }

    #[test]
    fn an_answer_tells_the_address_and_ends_the_question() {
        let now = start();
        let (mut bindings, request) = asked(now);
        let answer = response(&request, 1);
        assert_eq!(binding_owner(&answer), Some(7));
        assert_eq!(binding_owner(&request), None);
        assert!(bindings.handle_packet(&answer));
        assert_eq!(bindings.poll_outcome().unwrap().result, Ok(address("203.0.113.9:4660")));
        assert!(!bindings.is_open());
        assert!(!bindings.handle_packet(&answer));
    }

    #[test]
    fn an_error_of_the_server_is_told_with_its_code() {
        let (mut bindings, request) = asked(start());
        assert!(bindings.handle_packet(&response(&request, 0x11)));
        assert_eq!(bindings.poll_outcome().unwrap().result, Err((420, "busy".to_owned())));
    }

    #[test]
    fn a_silent_server_is_asked_five_times_and_then_given_up() {
        let mut now = start();
        let begin = now;
        let (mut bindings, _) = asked(now);
        let mut sent = 1;
        while let Some(at) = bindings.poll_timeout() {
            now = at;
            bindings.handle_timeout(now, |_, _| sent += 1);
        }
        assert_eq!(sent, ATTEMPTS);
        assert_eq!(now - begin, Duration::from_millis(7_750));
        assert_eq!(bindings.poll_outcome().unwrap().result.unwrap_err().0, 701);
    }

    #[test]
    fn each_of_two_names_of_one_silent_server_has_its_error() {
        for urls in [["stun:s", "turn:s"], ["turn:s", "stun:s"]] {
            let mut now = start();
            let mut bindings = Bindings::default();
            for url in urls.iter().chain(&urls) {
                bindings.ask(now, url, address(SERVER), address("10.0.0.1:5"), [7; 9]);
            }
            let mut sent = 0;
            while let Some(at) = bindings.poll_timeout() {
                now = at;
                bindings.handle_timeout(now, |_, _| sent += 1);
            }
            assert_eq!(sent, ATTEMPTS);
            let told: Vec<String> = std::iter::from_fn(|| bindings.poll_outcome()).map(|outcome| outcome.url).collect();
            assert_eq!(told, urls);
        }
    }
}
