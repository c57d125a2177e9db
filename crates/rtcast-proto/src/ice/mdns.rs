//! The few bytes of DNS that a name ending in `.local` needs (RFC 6762, draft-ietf-mmusic-mdns-ice-candidates §3.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// RFC 1035 §3.2.2 and RFC 3596 §2.1: the types of records that hold addresses.
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;

/// The most records of a message that are looked at.
const MAX_RECORDS: usize = 64;

/// The most labels and pointers that a name is followed through.
const MAX_STEPS: usize = 64;

/// A query for the addresses of a name, to be sent to port 5353 of 224.0.0.251 or ff02::fb. `None` if it is no name that
/// mDNS knows: draft-ietf-mmusic-mdns-ice-candidates §3.2.1 allows one label before `.local`.
pub fn mdns_query(name: &str) -> Option<Vec<u8>> {
    let label = name.get(..name.len().checked_sub(6)?)?;
    let suffix = name.get(label.len()..)?;
    let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !suffix.eq_ignore_ascii_case(".local") || label.is_empty() || label.len() > 63 || !plain {
        return None;
    }
    // RFC 1035 §4.1.1: no id, a standard query with two questions.
    let mut message = vec![0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0];
    for kind in [TYPE_A, TYPE_AAAA] {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
        message.extend_from_slice(b"\x05local\0");
        message.extend_from_slice(&kind.to_be_bytes());
        // RFC 6762 §5.4: class IN, and the answer may come to us alone.
        message.extend_from_slice(&0x8001_u16.to_be_bytes());
    }
    Some(message)
}

/// The addresses that a message gives for a name. Whatever is no answer gives none.
pub fn mdns_answers(message: &[u8], name: &str) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    // RFC 1035 §4.1.1: the bit that marks a response, and the numbers of questions, answers, authorities and additions.
    let Some(head) = message.get(..12) else { return addresses };
    if head[2] & 0x80 == 0 {
        return addresses;
    }
    let count = |at: usize| usize::from(u16::from_be_bytes([head[at], head[at + 1]]));
    let mut at = 12;
    for _ in 0..count(4).min(MAX_RECORDS) {
        let Some((_, end)) = read_name(message, at) else { return addresses };
        at = end + 4;
    }
    for _ in 0..(count(6) + count(8) + count(10)).min(MAX_RECORDS) {
        let Some((owner, end)) = read_name(message, at) else { break };
        let Some(fixed) = message.get(end..end + 10) else { break };
        let (kind, length) =
            (u16::from_be_bytes([fixed[0], fixed[1]]), usize::from(u16::from_be_bytes([fixed[8], fixed[9]])));
        at = end + 10 + length;
        let Some(data) = message.get(end + 10..at) else { break };
        if !owner.eq_ignore_ascii_case(name) {
            continue;
        }
        match kind {
            TYPE_A => addresses.extend(<[u8; 4]>::try_from(data).ok().map(|ip| IpAddr::V4(Ipv4Addr::from(ip)))),
            TYPE_AAAA => addresses.extend(<[u8; 16]>::try_from(data).ok().map(|ip| IpAddr::V6(Ipv6Addr::from(ip)))),
            _ => {}
        }
    }
    addresses
}

/// An answer to a question of mDNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MdnsResponse {
    /// The bytes.
    pub message: Vec<u8>,
    /// Whether it goes to whoever asked alone; if not, to the group.
    pub unicast: bool,
}

/// Names of ours with the address that each stands for, as they are announced to the group (RFC 6762 §8.3).
pub fn mdns_announcement(names: &[(String, IpAddr)]) -> Vec<u8> {
    let mut message = header(0, 0, names.len());
    for (name, address) in names {
        write_record(&mut message, name, *address, false);
    }
    message
}

/// The answer to a message, if that asks for one of our names. `from_mdns` says that it came from port 5353; whoever asks
/// from another knows only plain DNS (RFC 6762 §6.7).
pub fn mdns_response(message: &[u8], names: &[(String, IpAddr)], from_mdns: bool) -> Option<MdnsResponse> {
    const TYPE_ANY: u16 = 255;
    const CLASS_IN: u16 = 1;
    let head = message.get(..12)?;
    // A response, or another operation than a query (RFC 6762 §18.2, §18.3).
    if head[2] & 0xf8 != 0 {
        return None;
    }
    let mut at = 12;
    let mut unicast = true;
    let mut questions = 0;
    let mut asked: Vec<&(String, IpAddr)> = Vec::new();
    for _ in 0..usize::from(u16::from_be_bytes([head[4], head[5]])).min(MAX_RECORDS) {
        let (name, end) = read_name(message, at)?;
        let fixed = message.get(end..end + 4)?;
        at = end + 4;
        questions += 1;
        let (kind, class) = (u16::from_be_bytes([fixed[0], fixed[1]]), u16::from_be_bytes([fixed[2], fixed[3]]));
        if class & 0x7fff != CLASS_IN {
            continue;
        }
        for entry in names.iter().filter(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            let fits = kind == TYPE_ANY || kind == if entry.1.is_ipv4() { TYPE_A } else { TYPE_AAAA };
            if fits && !asked.contains(&entry) {
                asked.push(entry);
                unicast &= class & 0x8000 != 0;
            }
        }
    }
    if asked.is_empty() {
        return None;
    }
    let mut response = if from_mdns {
        header(0, 0, asked.len())
    } else {
        // RFC 6762 §6.7: with the number and the questions of whoever asks.
        let mut response = header(u16::from_be_bytes([head[0], head[1]]), questions, asked.len());
        response.extend_from_slice(&message[12..at]);
        response
    };
    for (name, address) in asked {
        write_record(&mut response, name, *address, !from_mdns);
    }
    Some(MdnsResponse { message: response, unicast: unicast || !from_mdns })
}

/// RFC 6762 §18: an authoritative response.
fn header(id: u16, questions: u16, answers: usize) -> Vec<u8> {
    let fields = [id, 0x8400, questions, answers as u16, 0, 0];
    fields.iter().flat_map(|field| field.to_be_bytes()).collect()
}

fn write_record(message: &mut Vec<u8>, name: &str, address: IpAddr, legacy: bool) {
    for label in name.split('.') {
        message.push(label.len().min(63) as u8);
        message.extend_from_slice(&label.as_bytes()[..label.len().min(63)]);
    }
    message.push(0);
    let kind = if address.is_ipv4() { TYPE_A } else { TYPE_AAAA };
    message.extend_from_slice(&kind.to_be_bytes());
    // RFC 6762 §10.2: class IN, and what was known before is wrong; plain DNS has no such bit, and forgets soon.
    let (class, time_to_live): (u16, u32) = if legacy { (1, 10) } else { (0x8001, 120) };
    message.extend_from_slice(&class.to_be_bytes());
    message.extend_from_slice(&time_to_live.to_be_bytes());
    match address {
        IpAddr::V4(ip) => {
            message.extend_from_slice(&[0, 4]);
            message.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            message.extend_from_slice(&[0, 16]);
            message.extend_from_slice(&ip.octets());
        }
    }
}

/// A name, and where what follows it begins (RFC 1035 §4.1.4).
fn read_name(message: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut at, mut end, mut name) = (start, None, String::new());
    for _ in 0..MAX_STEPS {
        let length = *message.get(at)?;
        match length {
            0 => return Some((name, end.unwrap_or(at + 1))),
            1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(length))?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(&String::from_utf8_lossy(label));
                at += 1 + usize::from(length);
            }
            0xc0.. => {
                let low = *message.get(at + 1)?;
                end.get_or_insert(at + 2);
                at = usize::from(u16::from_be_bytes([length & 0x3f, low]));
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "1f4712db-ea17-4bcf-a596-105139dfd8bf.local";

    /// A response with the question, a pointer to its name, and both addresses.
    fn response() -> Vec<u8> {
        let query = mdns_query(NAME).unwrap();
        let question = &query[12..12 + 1 + 36 + 7 + 4];
        let mut message = vec![0, 0, 0x84, 0, 0, 1, 0, 2, 0, 0, 0, 0];
        message.extend_from_slice(question);
        message.extend_from_slice(&[0xc0, 12, 0, 1, 0x80, 1, 0, 0, 0, 120, 0, 4, 192, 168, 1, 9]);
        message.extend_from_slice(&[0xc0, 12, 0, 28, 0x80, 1, 0, 0, 0, 120, 0, 16]);
        message.extend_from_slice(&Ipv6Addr::LOCALHOST.octets());
        message
    }

    #[test]
    fn a_name_is_asked_for_and_its_answer_read() {
        let found = mdns_answers(&response(), &NAME.to_uppercase());
        assert_eq!(found, ["192.168.1.9".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
        assert!(mdns_answers(&response(), "other.local").is_empty());
        assert!(mdns_answers(&mdns_query(NAME).unwrap(), NAME).is_empty(), "a question is no answer");
    }

    fn ours() -> Vec<(String, IpAddr)> {
        vec![(NAME.to_owned(), "192.168.1.9".parse().unwrap()), ("b.local".to_owned(), "2001:db8::7".parse().unwrap())]
    }

    #[test]
    fn our_names_are_answered_for() {
        for (name, address) in ours() {
            let query = mdns_query(&name.to_uppercase()).unwrap();
            let answer = mdns_response(&query, &ours(), true).unwrap();
            assert!(answer.unicast, "the query asks for it");
            assert_eq!(mdns_answers(&answer.message, &name), [address]);
            // The same as a question to the group, which has no such bit.
            let mut query = query;
            let bit = query.len() - 2;
            query[bit] = 0;
            let first = 12 + name.len() + 2 + 2;
            query[first] = 0;
            assert!(!mdns_response(&query, &ours(), true).unwrap().unicast);
        }
        assert_eq!(mdns_response(&mdns_query("c.local").unwrap(), &ours(), true), None);
        assert_eq!(mdns_response(&response(), &ours(), true), None, "an answer is no question");
        for (name, address) in ours() {
            assert_eq!(mdns_answers(&mdns_announcement(&ours()), &name), [address]);
        }
    }

    #[test]
    fn plain_dns_gets_its_number_and_question_back() {
        let mut query = mdns_query(NAME).unwrap();
        query[..2].copy_from_slice(&[7, 9]);
        let answer = mdns_response(&query, &ours(), false).unwrap();
        assert!(answer.unicast);
        assert_eq!(answer.message[..8], [7, 9, 0x84, 0, 0, 2, 0, 1]);
        assert_eq!(answer.message[12..query.len()], query[12..]);
        assert_eq!(mdns_answers(&answer.message, NAME), ["192.168.1.9".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn only_plain_names_are_asked_for() {
        for name in ["", ".local", "local", "a.b.local", "example.org", "a b.local", "ü.local", &"a".repeat(70)] {
            assert_eq!(mdns_query(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_cut_off_or_turns_in_circles_ends() {
        let whole = response();
        for length in 0..whole.len() {
            mdns_answers(&whole[..length], NAME);
            mdns_response(&whole[..length], &ours(), true);
        }
        let query = mdns_query(NAME).unwrap();
        for length in 0..query.len() {
            let answer = mdns_response(&query[..length], &ours(), true);
            assert_eq!(answer, None, "{length} of {} bytes", query.len());
        }
        let mut circle = whole;
        circle[12..14].copy_from_slice(&[0xc0, 12]);
        assert!(mdns_answers(&circle, NAME).is_empty());
    }
}
