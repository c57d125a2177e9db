//! What an offer leaves in memory while its sender is waited for: whatever stands in it, no more than 64 KiB beyond what a
//! browser's offer does.
#![expect(unsafe_code, reason = "an allocator that counts is an unsafe trait around the system's")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use support::{Fixture, LIMIT, Reply, request};
use tokio::time::{Instant, sleep};

struct Counting;

static LIVE: AtomicI64 = AtomicI64::new(0);

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size as i64 - layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ORDINARY: &str = include_str!("../../rtcast-proto/tests/fixtures/chromium_offer_recvonly.sdp");
const BASE: &str = include_str!("offers/ok-base.sdp");
const ALLOWED: i64 = 64 * 1024;
/// What a body may have.
const BODY: usize = 64 * 1024;

/// Makes an offer of which some lines stand there so often.
type Kind = Box<dyn Fn(usize) -> String>;

/// Sessions that are measured together, so that what a server does beside them counts for little.
const SESSIONS: i64 = 8;

async fn post(fixture: &Fixture, body: &str) -> Reply {
    request(fixture.address(), "POST", "/film/whep", &[("content-type", "application/sdp")], body).await
}

/// The live bytes once they stay the same.
async fn at_rest() -> i64 {
    let end = Instant::now() + LIMIT;
    let mut before = None;
    loop {
        sleep(Duration::from_millis(50)).await;
        let live = LIVE.load(Ordering::Relaxed);
        if before.is_some_and(|before: i64| (live - before).abs() < 2_048) || Instant::now() > end {
            return live;
        }
        before = Some(live);
    }
}

/// What a pending session with this offer keeps, in bytes; what a refused one keeps is kept by none.
async fn kept(fixture: &Fixture, offer: &str) -> i64 {
    let before = at_rest().await;
    let mut locations = Vec::new();
    for _ in 0..SESSIONS {
        let reply = post(fixture, offer).await;
        assert!([201, 400, 406, 413].contains(&reply.status), "{reply:?}");
        locations.extend(reply.header("location").map(|_| reply.location("/film/whep")));
    }
    let kept = (at_rest().await - before) / SESSIONS;
    for location in locations {
        assert_eq!(request(fixture.address(), "DELETE", &location, &[], "").await.status, 200);
    }
    kept
}

/// The longest offer of that kind that the server reads at all.
fn longest_read(of: &dyn Fn(usize) -> String) -> usize {
    let (mut short, mut long) = (0, 32 * 1024);
    while short + 1 < long {
        let middle = usize::midpoint(short, long);
        if of(middle).len() <= BODY { short = middle } else { long = middle }
    }
    short
}

/// The longest offer of that kind that is taken.
async fn longest(fixture: &Fixture, of: &dyn Fn(usize) -> String) -> String {
    let (mut taken, mut refused) = (0, longest_read(of) + 1);
    while taken + 1 < refused {
        let middle = usize::midpoint(taken, refused);
        let reply = post(fixture, &of(middle)).await;
        match reply.header("location").map(|_| reply.location("/film/whep")) {
            Some(location) => {
                assert_eq!(request(fixture.address(), "DELETE", &location, &[], "").await.status, 200);
                taken = middle;
            }
            None => refused = middle,
        }
    }
    of(taken)
}

#[tokio::test]
async fn a_pending_session_keeps_little_whatever_was_offered() {
    let fixture = Fixture::start().await;
    // What is made once for all.
    kept(&fixture, ORDINARY).await;
    let ordinary = kept(&fixture, ORDINARY).await;
    assert!(ordinary > 0, "a session keeps something");

    let session = move |lines: &str| BASE.replacen("a=msid-semantic: WMS", lines, 1);
    let times = move |count: usize, of: &dyn Fn(usize) -> String| (0..count).map(of).collect::<String>();
    let media = move |count: usize, line: &dyn Fn(usize) -> String| format!("{BASE}{}", times(count, line));
    let kinds: Vec<(&str, Kind)> = vec![
        ("ICE options", Box::new(move |n| session(&format!("a=ice-options:{}", " a".repeat(n + 1))))),
        (
            "fingerprints of the session",
            Box::new(move |n| session(&times(n, &|_| format!("a=fingerprint:x {}\r\n", ["AB"; 64].join(":"))))),
        ),
        ("unknown attributes", Box::new(move |n| session(&times(n, &|i| format!("a=x:{i}\r\n"))))),
        ("one long attribute", Box::new(move |n| session(&format!("a=x:{}", "x".repeat(n * 4))))),
        ("rejected m-lines", Box::new(move |n| media(n, &|_| "m=a 0 b 0\r\n".into()))),
        (
            "rejected m-lines with formats",
            Box::new(move |n| media(n, &|_| format!("m=audio 0 UDP/TLS/RTP/SAVPF{}\r\n", " 0".repeat(100)))),
        ),
        (
            "m-lines in use",
            Box::new(move |n| {
                media(n, &|i| format!("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:x{i}\r\na=rtpmap:96 VP8/90000\r\n"))
            }),
        ),
        ("sources", Box::new(move |n| media(n, &|i| format!("a=ssrc:{i}\r\n")))),
        ("sources with names", Box::new(move |n| media(n, &|i| format!("a=ssrc:{i} msid:a b\r\n")))),
        ("groups", Box::new(move |n| media(n, &|i| format!("a=ssrc-group:F {i}\r\n")))),
        ("candidates", Box::new(move |n| media(n, &|i| format!("a=candidate:{i} 1 udp 1 192.0.2.1 9 typ host\r\n")))),
        (
            "long candidates",
            Box::new(move |n| {
                media(n, &|i| format!("a=candidate:{i} 1 udp 1 192.0.2.1 9 typ host{}\r\n", " a b".repeat(32)))
            }),
        ),
        (
            "candidates with names",
            Box::new(move |n| {
                media(n, &|i| {
                    format!("a=candidate:{i} 1 udp 1 {i:08x}-0000-4000-8000-000000000000.local 9 typ host\r\n")
                })
            }),
        ),
        ("extensions", Box::new(move |n| media(n, &|i| format!("a=extmap:1 u{i}\r\n")))),
        ("streams", Box::new(move |n| media(n, &|i| format!("a=msid:{i} t\r\n")))),
        ("feedback", Box::new(move |n| media(n, &|i| format!("a=rtcp-fb:96 x{i}\r\n")))),
        (
            "feedback for all formats",
            Box::new(move |n| {
                let formats: String = (0..96).map(|number| format!(" {number}")).collect();
                let maps = times(96, &|i| format!("a=rtpmap:{i} a/1\r\n"));
                let offer = BASE.replacen("SAVPF 96", &format!("SAVPF 96{formats}"), 1);
                format!("{offer}{maps}{}", times(n, &|i| format!("a=rtcp-fb:* x{i}\r\n")))
            }),
        ),
        ("parameters", Box::new(move |n| media(1, &|_| format!("a=fmtp:96 {}\r\n", "a;".repeat(n))))),
        (
            "a little of everything",
            Box::new(move |n| {
                let line = |i: usize| {
                    format!(
                        "a=ssrc:{i} cname:a\r\na=ssrc-group:F {i}\r\na=extmap:1 u{i}\r\na=candidate:{i} 1 udp 1 192.0.2.1 9 typ host\r\n"
                    )
                };
                let lines = times(n.min(60), &line);
                let rejected = times(n.min(14), &|_| "m=audio 0 RTP/AVP 0\r\n".into());
                format!("{BASE}{lines}{rejected}").replacen(
                    "a=msid-semantic: WMS",
                    &format!("a=x:{}", "x".repeat(n * 4)),
                    1,
                )
            }),
        ),
    ];
    let mut most = (0, "");
    for (name, kind) in &kinds {
        let offer = longest(&fixture, &**kind).await;
        for offer in [&offer, &kind(longest_read(&**kind))] {
            let more = kept(&fixture, offer).await - ordinary;
            println!("{name}: {} bytes of offer keep {more} more than a browser's {ordinary}", offer.len());
            assert!(more <= ALLOWED, "{name}: {more} bytes more than a browser's {ordinary}");
            most = most.max((more, name));
        }
    }
    println!("the most: {most:?}");
}
