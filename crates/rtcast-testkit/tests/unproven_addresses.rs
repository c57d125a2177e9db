//! ICE is no weapon: addresses that a peer only names, or puts in front, get little and cost little (RFC 8445 §14, §19.5).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtcast_proto::ice::{CheckPace, IceCredentials, IceRole, IceTransport, LocalCandidate, SelectedPair};

const OURS: &str = "10.0.0.1:1000";
const THEIRS: &str = "10.0.0.2:2000";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// An address that belongs to nobody here.
fn stranger(number: u32) -> SocketAddr {
    SocketAddr::from(((0xc633_6400 + number).to_be_bytes(), 7_000))
}

fn candidate(address: SocketAddr) -> String {
    format!("candidate:1 1 udp 2113937151 {} {} typ host", address.ip(), address.port())
}

/// A server's agent, which is controlled, and a peer's, which knows it.
fn agents(seed: u8) -> (IceTransport, IceTransport) {
    agents_with(seed, false)
}

fn agents_with(seed: u8, lite: bool) -> (IceTransport, IceTransport) {
    let credentials = |number: u8| IceCredentials::from_random("", [number; 32]);
    let mut ours = IceTransport::new(&credentials(seed), [seed; 32]);
    let mut theirs = IceTransport::new(&credentials(seed + 100), [seed + 100; 32]);
    if lite {
        ours.set_lite(true);
    }
    ours.set_role(IceRole::Controlled);
    theirs.set_role(IceRole::Controlling);
    ours.set_remote_credentials(&credentials(seed + 100));
    theirs.set_remote_credentials(&credentials(seed));
    ours.add_local(LocalCandidate::host(address(OURS))).unwrap();
    theirs.add_local(LocalCandidate::host(address(THEIRS))).unwrap();
    theirs.add_remote_candidate(&candidate(address(OURS))).unwrap();
    ours.start();
    theirs.start();
    (ours, theirs)
}

fn sent(agent: &mut IceTransport) -> Vec<(SelectedPair, Vec<u8>)> {
    std::iter::from_fn(|| agent.poll_transmit()).collect()
}

/// A check of the peer.
fn check(theirs: &mut IceTransport, now: Instant) -> Vec<u8> {
    theirs.handle_timeout(now);
    sent(theirs).pop().expect("a check").1
}

/// Lets the time pass until `end`. Returns what the agent sends, and when.
fn run(agent: &mut IceTransport, now: &mut Instant, end: Instant) -> Vec<(Instant, SocketAddr, usize)> {
    let mut all = Vec::new();
    agent.handle_timeout(*now);
    loop {
        all.extend(sent(agent).into_iter().map(|(pair, bytes)| (*now, pair.remote, bytes.len())));
        match agent.poll_timeout() {
            Some(at) if at < end => *now = at.max(*now + Duration::from_millis(1)),
            _ => break,
        }
        agent.handle_timeout(*now);
    }
    *now = end;
    all
}

#[test]
fn checks_from_thousands_of_addresses_make_a_few_known() {
    let (mut ours, mut theirs) = agents(1);
    let mut now = Instant::now();
    let genuine = check(&mut theirs, now);
    let mut answered: HashMap<SocketAddr, usize> = HashMap::new();
    for number in 0..12_000 {
        ours.handle_packet(now, stranger(number), address(OURS), &genuine);
        for (pair, bytes) in sent(&mut ours) {
            *answered.entry(pair.remote).or_default() += bytes.len();
        }
        now += Duration::from_millis(1);
    }
    // Twenty at once, and one more a second.
    assert!((20..=33).contains(&answered.len()), "{} addresses were answered", answered.len());
    assert!(answered.values().all(|bytes| *bytes <= 3 * genuine.len()), "{answered:?}");

    // The peer itself gets in all the same, and the oldest stranger gives way.
    now += Duration::from_secs(2);
    for _ in 0..200 {
        theirs.handle_timeout(now);
        for (_, bytes) in sent(&mut theirs) {
            ours.handle_packet(now, address(THEIRS), address(OURS), &bytes);
        }
        ours.handle_timeout(now);
        for (pair, bytes) in sent(&mut ours) {
            if pair.remote == address(THEIRS) {
                theirs.handle_packet(now, address(OURS), address(THEIRS), &bytes);
            }
        }
        now += Duration::from_millis(20);
    }
    assert_eq!(ours.selected_pair().map(|pair| pair.remote), Some(address(THEIRS)));
    assert!(ours.is_proven(address(THEIRS)) && !ours.is_proven(stranger(0)));
}

#[test]
fn whoever_only_asked_gets_three_times_what_it_sent_and_no_more() {
    let (mut ours, mut theirs) = agents(2);
    let mut now = Instant::now();
    let genuine = check(&mut theirs, now);
    ours.handle_packet(now, stranger(1), address(OURS), &genuine);
    let end = now + Duration::from_secs(60);
    let bytes: usize = run(&mut ours, &mut now, end).iter().map(|(.., bytes)| bytes).sum();
    assert!(bytes > genuine.len() && bytes <= 3 * genuine.len(), "{bytes} bytes for {}", genuine.len());
}

#[test]
fn an_answer_from_elsewhere_proves_no_address() {
    let (mut ours, mut theirs) = agents(3);
    let now = Instant::now();
    ours.add_remote_candidate(&candidate(address(THEIRS))).unwrap();
    let question = check(&mut ours, now);
    theirs.handle_packet(now, address(OURS), address(THEIRS), &question);
    let is_answer = |bytes: &[u8]| bytes[..2] == [1, 1];
    let answer = sent(&mut theirs).into_iter().find(|(_, bytes)| is_answer(bytes)).expect("an answer").1;
    // The peer has put the address of somebody else in front.
    assert!(!ours.handle_packet(now, stranger(1), address(OURS), &answer));
    assert!(!ours.is_proven(stranger(1)) && !ours.is_proven(address(THEIRS)));
    assert!(ours.handle_packet(now, address(THEIRS), address(OURS), &answer));
    assert!(ours.is_proven(address(THEIRS)));
    // A request proves nothing.
    let request = check(&mut theirs, now + Duration::from_secs(1));
    assert!(ours.handle_packet(now, stranger(2), address(OURS), &request));
    assert!(!ours.is_proven(stranger(2)));
}

#[test]
fn candidates_that_are_silent_are_few_and_asked_a_few_times() {
    let (mut ours, _) = agents(4);
    for number in 0..3 {
        ours.add_local(LocalCandidate::host(SocketAddr::from(([10, 0, 1, number], 1_000)))).unwrap();
    }
    let taken = (0..1_200).filter(|number| ours.add_remote_candidate(&candidate(stranger(*number))).is_ok()).count();
    assert_eq!(taken, 20);
    let mut now = Instant::now();
    let end = now + Duration::from_secs(60);
    let checks = run(&mut ours, &mut now, end);
    let mut each: HashMap<SocketAddr, usize> = HashMap::new();
    checks.iter().for_each(|(_, remote, _)| *each.entry(*remote).or_default() += 1);
    assert_eq!(each.len(), 20, "each is asked");
    assert!(each.values().all(|checks| *checks <= 12), "{each:?}");
    assert!(checks.len() <= 150 + 40, "{} checks", checks.len());
}

#[test]
fn nothing_is_sent_to_whole_networks() {
    let (mut ours, _) = agents(5);
    for told in ["224.0.0.251", "255.255.255.255", "0.0.0.0", "0.1.2.3", "ff02::1", "::", "::ffff:10.0.0.9"] {
        let text = format!("candidate:1 1 udp 1 {told} 5353 typ host");
        let error = ours.add_remote_candidate(&text).expect_err(told);
        assert_eq!(error.reason, "nothing can be sent to its address");
    }
    assert!(ours.add_remote_candidate("candidate:1 2 udp 1 10.0.0.9 5353 typ host").is_err(), "RTCP shares RTP's");
}

#[test]
fn all_agents_together_keep_the_pace() {
    let start = Instant::now();
    let pace = Arc::new(CheckPace::new(start));
    let mut agents: Vec<IceTransport> = (0..60)
        .map(|number| {
            let mut ours = agents(number).0;
            ours.set_pace(Arc::clone(&pace));
            for address in 0..20 {
                ours.add_remote_candidate(&candidate(stranger(u32::from(number) * 20 + address))).unwrap();
            }
            ours
        })
        .collect();
    let mut times = Vec::new();
    for millisecond in 0..10_000 {
        let now = start + Duration::from_millis(millisecond);
        for agent in &mut agents {
            if millisecond == 0 || agent.poll_timeout().is_some_and(|at| at <= now) {
                agent.handle_timeout(now);
                times.extend(sent(agent).iter().map(|_| millisecond));
            }
        }
    }
    assert!(times.len() > 500, "{} checks", times.len());
    for (at, first) in times.iter().enumerate() {
        let within = times[at..].iter().take_while(|time| **time < first + 1_000).count();
        assert!(within <= 202, "{within} checks within a second");
    }
}

#[test]
fn who_is_heard_from_waits_for_no_turn() {
    let now = Instant::now();
    let pace = Arc::new(CheckPace::new(now));
    for number in 0..60 {
        let (mut ours, mut theirs) = agents(number);
        ours.set_pace(Arc::clone(&pace));
        ours.add_remote_candidate(&candidate(address(THEIRS))).unwrap();
        ours.handle_timeout(now);
        // The first alone has a turn at once; the others wait, and none of their turns is used up in the end.
        assert_eq!(sent(&mut ours).len(), usize::from(number == 0), "{number}");
        let request = check(&mut theirs, now);
        assert!(ours.handle_packet(now, address(THEIRS), address(OURS), &request));
        ours.handle_timeout(now);
        let checks = sent(&mut ours).iter().filter(|(_, bytes)| bytes[..2] == [0, 1]).count();
        assert_eq!(checks, usize::from(number > 0), "{number}: a check as soon as the peer was heard");
    }
}

#[test]
fn user_names_up_to_the_limit_are_served_and_longer_ones_harm_nothing() {
    for length in [4, 118, 119, 128, 129, 256] {
        let (mut ours, _) = agents(6);
        ours.set_remote_credentials(&IceCredentials {
            username_fragment: "u".repeat(length),
            password: "p".repeat(256),
        });
        ours.add_remote_candidate(&candidate(address(THEIRS))).unwrap();
        ours.handle_timeout(Instant::now());
        let checks = sent(&mut ours).len();
        assert_eq!(checks > 0, length <= 119, "{length} characters: {checks} checks");
    }
}

#[test]
fn a_lite_agent_asks_whether_a_nominated_address_is_the_peers() {
    let (mut ours, mut theirs) = agents_with(7, true);
    let mut now = Instant::now();
    let mut nominated_at = None;
    for _ in 0..200 {
        theirs.handle_timeout(now);
        for (_, bytes) in sent(&mut theirs) {
            ours.handle_packet(now, address(THEIRS), address(OURS), &bytes);
            if nominated_at.is_none() && ours.selected_pair().is_some() {
                assert!(!ours.is_proven(address(THEIRS)), "the peer has only asked");
                nominated_at = Some(now);
            }
        }
        ours.handle_timeout(now);
        for (_, bytes) in sent(&mut ours) {
            theirs.handle_packet(now, address(OURS), address(THEIRS), &bytes);
        }
        now += Duration::from_millis(10);
    }
    assert!(nominated_at.is_some() && ours.is_proven(address(THEIRS)));

    // A nomination with the address of somebody else gets an answer and a question, and proves nothing.
    let nomination = check(&mut theirs, now + Duration::from_secs(4));
    ours.handle_packet(now, stranger(1), address(OURS), &nomination);
    let bytes: usize =
        sent(&mut ours).iter().filter(|(pair, _)| pair.remote == stranger(1)).map(|(_, b)| b.len()).sum();
    assert!(bytes <= 3 * nomination.len() && !ours.is_proven(stranger(1)));
}
