//! Ending streams so that they can begin anew (RFC 6525).

use super::chunk::{half, parameter, word};
use super::packet::put_parameter;

/// Streams that one request names.
const MOST_STREAMS: usize = 400;

/// The results of RFC 6525 §4.4.
const NOTHING_TO_DO: u32 = 0;
const PERFORMED: u32 = 1;
const DENIED: u32 = 2;
const BAD_SEQUENCE: u32 = 5;
const IN_PROGRESS: u32 = 6;

#[derive(Debug)]
struct Request {
    number: u32,
    last: u32,
    streams: Vec<u16>,
}

#[derive(Debug)]
struct Deferred {
    number: u32,
    last: u64,
    streams: Vec<u16>,
}

/// Both directions' resets.
#[derive(Debug)]
pub(super) struct StreamReset {
    next_request: u32,
    outstanding: Option<Request>,
    expected: u32,
    last_result: Option<(u32, u32)>,
    deferred: Option<Deferred>,
}

/// What a parameter of the peer brings about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing here.
    None,
    /// Answer with this parameter.
    Respond(Vec<u8>),
    /// The peer has ended these streams, all if none is named; then answer.
    Incoming(Vec<u16>, Vec<u8>),
    /// The peer asks us to end these streams.
    Asked(Vec<u16>, Vec<u8>),
    /// These streams of ours have ended.
    Outgoing(Vec<u16>),
    /// Our request has to be made again later.
    Again,
}

impl StreamReset {
    /// RFC 6525 §4.1: the numbers of requests begin with the ends' first TSNs.
    pub(super) const fn new(local_tsn: u32, remote_tsn: u32) -> Self {
        Self { next_request: local_tsn, outstanding: None, expected: remote_tsn, last_result: None, deferred: None }
    }

    pub(super) const fn most_streams() -> usize {
        MOST_STREAMS
    }

    /// Whether a request of ours waits for its answer; there may be one only (RFC 6525 §5.1.1).
    pub(super) const fn is_outstanding(&self) -> bool {
        self.outstanding.is_some()
    }

    /// Makes a request for these streams; `last` is the last TSN that was used.
    pub(super) fn request(&mut self, streams: Vec<u16>, last: u32) {
        self.outstanding = Some(Request { number: self.next_request, last, streams });
        self.next_request = self.next_request.wrapping_add(1);
    }

    /// Writes the request as a parameter (RFC 6525 §4.1).
    pub(super) fn write_request(&self, body: &mut Vec<u8>) {
        let Some(request) = &self.outstanding else { return };
        let mut value = Vec::with_capacity(12 + request.streams.len() * 2);
        value.extend_from_slice(&request.number.to_be_bytes());
        value.extend_from_slice(&self.expected.wrapping_sub(1).to_be_bytes());
        value.extend_from_slice(&request.last.to_be_bytes());
        request.streams.iter().for_each(|stream| value.extend_from_slice(&stream.to_be_bytes()));
        put_parameter(body, parameter::OUTGOING_RESET, &value);
    }

    /// Takes a parameter of a RE-CONFIG chunk. `cumulative` is the last TSN up to which all came; `extend` makes 64 bits
    /// of one.
    pub(super) fn handle(&mut self, kind: u16, value: &[u8], cumulative: u64, extend: impl Fn(u32) -> u64) -> Effect {
        let Some(number) = word(value, 0) else { return Effect::None };
        if kind == parameter::RESET_RESPONSE {
            return self.handle_response(number, word(value, 4).unwrap_or(DENIED));
        }
        let list = |from: usize| -> Vec<u16> {
            value.get(from..).unwrap_or_default().chunks_exact(2).filter_map(|pair| half(pair, 0)).collect()
        };
        if number != self.expected {
            // RFC 6525 §5.2.1: a repetition gets the same answer, except that what was in progress may be done by now.
            return match self.last_result {
                Some((last, result)) if last == number => Effect::Respond(response(number, result)),
                _ => Effect::Respond(response(number, BAD_SEQUENCE)),
            };
        }
        match kind {
            parameter::OUTGOING_RESET => {
                let Some(last) = word(value, 8) else { return Effect::None };
                self.expected = number.wrapping_add(1);
                let (last, streams) = (extend(last), list(12));
                if last > cumulative {
                    self.deferred = Some(Deferred { number, last, streams });
                    return self.answer(number, IN_PROGRESS);
                }
                self.last_result = Some((number, PERFORMED));
                Effect::Incoming(streams, response(number, PERFORMED))
            }
            parameter::INCOMING_RESET => {
                self.expected = number.wrapping_add(1);
                self.last_result = Some((number, PERFORMED));
                Effect::Asked(list(4), response(number, PERFORMED))
            }
            parameter::ADD_OUTGOING_STREAMS | parameter::ADD_INCOMING_STREAMS => {
                // We announced as many streams as there can be.
                self.expected = number.wrapping_add(1);
                self.answer(number, NOTHING_TO_DO)
            }
            parameter::ASSOCIATION_RESET => {
                self.expected = number.wrapping_add(1);
                self.answer(number, DENIED)
            }
            _ => Effect::None,
        }
    }

    /// Performs what the peer asked for and waited for data, once that is there.
    pub(super) fn poll_deferred(&mut self, cumulative: u64) -> Option<(Vec<u16>, Vec<u8>)> {
        let deferred = self.deferred.take_if(|deferred| deferred.last <= cumulative)?;
        self.last_result = Some((deferred.number, PERFORMED));
        Some((deferred.streams, response(deferred.number, PERFORMED)))
    }

    fn answer(&mut self, number: u32, result: u32) -> Effect {
        self.last_result = Some((number, result));
        Effect::Respond(response(number, result))
    }

    fn handle_response(&mut self, number: u32, result: u32) -> Effect {
        match &self.outstanding {
            Some(request) if request.number == number => {}
            _ => return Effect::None,
        }
        if result == IN_PROGRESS {
            return Effect::Again;
        }
        // Whether performed or denied, nothing more is coming: a peer that cannot reset streams must not keep them busy.
        self.outstanding.take().map_or(Effect::None, |request| Effect::Outgoing(request.streams))
    }
}

fn response(number: u32, result: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(12);
    let value = [number.to_be_bytes(), result.to_be_bytes()].concat();
    put_parameter(&mut bytes, parameter::RESET_RESPONSE, &value);
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::chunk::Parameters;
    use super::*;

    fn only(bytes: &[u8]) -> (u16, Vec<u8>) {
        Parameters(bytes).next().map(|(kind, value)| (kind, value.to_vec())).unwrap()
    }

    #[test]
    fn a_reset_waits_for_the_data_before_it() {
        let (mut left, mut right) = (StreamReset::new(100, 200), StreamReset::new(200, 100));
        left.request(vec![1, 3], 105);
        let mut bytes = Vec::new();
        left.write_request(&mut bytes);
        let (kind, value) = only(&bytes);
        let extend = u64::from;
        let Effect::Respond(answer) = right.handle(kind, &value, 104, extend) else { panic!("it waits") };
        let (answer_kind, answer) = only(&answer);
        assert_eq!(left.handle(answer_kind, &answer, 0, extend), Effect::Again);
        assert_eq!(right.poll_deferred(104), None);
        let (streams, answer) = right.poll_deferred(105).unwrap();
        assert_eq!(streams, [1, 3]);
        let (answer_kind, answer) = only(&answer);
        assert_eq!(left.handle(answer_kind, &answer, 0, extend), Effect::Outgoing(vec![1, 3]));
        assert!(!left.is_outstanding());
        // A repetition of the request is answered and changes nothing.
        let Effect::Respond(again) = right.handle(kind, &value, 110, extend) else { panic!("answered") };
        assert_eq!(only(&again).1[4..], PERFORMED.to_be_bytes());
        let Effect::Respond(bad) = right.handle(kind, &[0; 12], 110, extend) else { panic!("answered") };
        assert_eq!(only(&bad).1[4..], BAD_SEQUENCE.to_be_bytes());
    }
}
