//! WHEP over plain HTTP, as the draft says.

mod support;

use std::time::{Duration, Instant};

use rtcast::{PeerConnectionState, SdpType, SessionDescription};
use rtcast_server::{LeaveReason, ServerEvent, Signalling, TimeLimits};
use support::{Fixture, LIMIT, Reply, forged_offer, frames, offer, request, viewer};

const SDP: (&str, &str) = ("content-type", "application/sdp");
const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");

async fn post(fixture: &Fixture, body: &str) -> Reply {
    request(fixture.address(), "POST", "/film/whep", &[SDP], body).await
}

#[tokio::test]
async fn a_viewer_comes_watches_and_leaves() {
    let mut fixture = Fixture::start().await;
    let viewer = viewer().await;
    let received = frames(&viewer);
    let reply = post(&fixture, &offer(&viewer).await).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    assert_eq!(reply.header("content-type"), Some("application/sdp"));
    assert_eq!(reply.header("accept-patch"), Some("application/trickle-ice-sdpfrag"));
    assert_eq!(reply.header("access-control-allow-origin"), None, "no page has asked");
    assert_eq!(reply.header("link"), None, "there are no servers to tell of");
    assert!(reply.body.contains("a=sendonly"));
    let tag = reply.header("etag").unwrap();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "a strong entity tag: {tag}");
    let location = reply.location("/film/whep");
    assert!(location.starts_with("/film/whep/") && location.len() >= "/film/whep/".len() + 32, "{location}");

    let answer = SessionDescription::new(SdpType::Answer, reply.body.as_str()).unwrap();
    viewer.set_remote_description(answer).await.unwrap();
    let received = received.await.unwrap();
    assert_eq!(received.len(), 5);
    for frame in received {
        let number = u32::from_be_bytes(frame.data[10..14].try_into().unwrap());
        assert_eq!(frame.data, support::frame(number).data, "each frame arrives as it was sent");
    }
    let ServerEvent::ViewerJoined { viewer: id, stream, signalling, .. } = fixture.event().await else { panic!() };
    assert_eq!((&*stream, signalling), ("film", Signalling::Whep));
    let stats = fixture.server.stats().await;
    assert!(stats.viewers == 1 && stats.frames_sent >= 5 && stats.bytes_sent > 15_000, "{stats:?}");

    let reply = request(fixture.address(), "DELETE", &location, &[], "").await;
    assert_eq!(reply.status, 200);
    let ServerEvent::ViewerLeft { viewer: left, reason, .. } = fixture.event().await else { panic!() };
    assert_eq!((left, reason), (id, LeaveReason::Bye));
    let after = fixture.server.stats().await;
    assert!(after.viewers == 0 && after.frames_sent >= stats.frames_sent, "what was sent stays counted: {after:?}");
    let reply = request(fixture.address(), "DELETE", &location, &[], "").await;
    assert_eq!(reply.status, 404, "a session ends once");
    reply.problem();
}

#[tokio::test]
async fn why_a_certificate_was_refused_is_told() {
    let mut fixture = Fixture::start().await;
    let viewer = viewer().await;
    let reply = post(&fixture, &forged_offer(&viewer).await).await;
    let location = reply.location("/film/whep");
    viewer
        .set_remote_description(SessionDescription::new(SdpType::Answer, reply.body.as_str()).unwrap())
        .await
        .unwrap();
    let ServerEvent::ViewerFailed { reason, signalling, .. } = fixture.event().await else { panic!() };
    assert_eq!(signalling, Signalling::Whep);
    assert!(reason.contains("fingerprint"), "{reason}");
    let deadline = Instant::now() + LIMIT;
    loop {
        let reply = request(fixture.address(), "GET", &location, &[], "").await;
        if reply.status == 404 {
            let problem = reply.problem();
            assert!(problem["detail"].as_str().unwrap().contains("fingerprint"), "{problem}");
            break;
        }
        assert!(Instant::now() < deadline, "the session does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_viewer_that_closes_its_connection_is_gone() {
    let mut fixture = Fixture::start().await;
    let viewer = viewer().await;
    let received = frames(&viewer);
    let reply = post(&fixture, &offer(&viewer).await).await;
    let location = reply.location("/film/whep");
    viewer
        .set_remote_description(SessionDescription::new(SdpType::Answer, reply.body.as_str()).unwrap())
        .await
        .unwrap();
    received.await.unwrap();
    assert!(matches!(fixture.event().await, ServerEvent::ViewerJoined { .. }));
    viewer.close().await;
    assert_eq!(viewer.connection_state(), PeerConnectionState::Closed);
    let ServerEvent::ViewerLeft { reason, .. } = fixture.event().await else { panic!() };
    assert_eq!(reason, LeaveReason::Bye);
    assert_eq!(request(fixture.address(), "PATCH", &location, &[FRAGMENT], "").await.status, 404);
    let status = async || request(fixture.address(), "DELETE", &location, &[], "").await.status;
    assert_eq!(status().await, 200, "what the viewer wants is so already");
    assert_eq!(status().await, 404);
}

#[tokio::test]
async fn what_is_wrong_is_told_in_problem_documents() {
    let fixture = Fixture::start().await;
    let address = fixture.address();
    let good = offer(&viewer().await).await;

    let reply = request(address, "POST", "/nothing/whep", &[SDP], &good).await;
    assert_eq!(reply.status, 404);
    assert!(reply.problem()["detail"].as_str().unwrap().contains("nothing"));

    for kind in [&[][..], &[("content-type", "text/plain")], &[("content-type", "application/sdpx")]] {
        let reply = request(address, "POST", "/film/whep", kind, &good).await;
        assert_eq!(reply.status, 415, "{kind:?}");
        assert!(reply.problem()["hint"].as_str().unwrap().contains("application/sdp"));
    }
    for accept in ["text/html", "application/json, text/*", "application/sdp;q=0"] {
        let reply = request(address, "POST", "/film/whep", &[SDP, ("accept", accept)], &good).await;
        assert_eq!(reply.status, 406, "{accept}");
        reply.problem();
    }
    for (body, part) in [
        ("", "empty"),
        ("hello", "line 1"),
        (r#"{"type":"offer","sdp":"v=0"}"#, "JSON"),
        ("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nbogus line\r\n", "bogus line"),
    ] {
        let reply = post(&fixture, body).await;
        assert_eq!(reply.status, 400, "{body:?}: {}", reply.body);
        let problem = reply.problem();
        assert!(problem.to_string().contains(part), "{part} in {problem}");
        assert!(problem["name"].is_string(), "{problem}");
    }
    let reply = post(&fixture, &"a=x\r\n".repeat(20_000)).await;
    assert_eq!(reply.status, 413);
    reply.problem();

    for method in ["PUT", "DELETE", "PATCH"] {
        let reply = request(address, method, "/film/whep", &[], "").await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD, OPTIONS, POST")), "{method}");
        reply.problem();
    }
    for method in ["PATCH", "DELETE", "GET"] {
        let reply = request(address, method, "/film/whep/0123", &[FRAGMENT], "").await;
        assert_eq!(reply.status, 404, "{method}");
        reply.problem();
    }
}

#[tokio::test]
async fn accept_headers_that_include_sdp_are_served() {
    let fixture = Fixture::start().await;
    for accept in ["application/sdp", "*/*", "text/html, application/*;q=0.5", "Application/SDP; q=1"] {
        let offer = offer(&viewer().await).await;
        let headers = [("content-type", "Application/SDP; charset=utf-8"), ("accept", accept)];
        let reply = request(fixture.address(), "POST", "/film/whep", &headers, &offer).await;
        assert_eq!(reply.status, 201, "{accept}");
    }
}

#[tokio::test]
async fn candidates_trickle_in_by_patch() {
    let fixture = Fixture::start().await;
    let viewer = viewer().await;
    let received = frames(&viewer);
    let complete = offer(&viewer).await;
    // The offer goes without its candidates, they follow.
    let is_candidate = |line: &&str| line.starts_with("a=candidate:") || line.starts_with("a=end-of-candidates");
    let bare: String = complete.lines().filter(|line| !is_candidate(line)).map(|line| format!("{line}\r\n")).collect();
    let candidates: String =
        complete.lines().filter(|line| line.starts_with("a=candidate:")).map(|line| format!("{line}\r\n")).collect();
    assert!(!candidates.is_empty());
    let attribute = |name: &str| complete.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let (ufrag, pwd) = (attribute("a=ice-ufrag:"), attribute("a=ice-pwd:"));
    let fragment = format!(
        "{ufrag}\r\n{pwd}\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\n{}\r\n{candidates}a=end-of-candidates\r\n",
        attribute("a=mid:")
    );

    let reply = post(&fixture, &bare).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    let location = reply.location("/film/whep");
    let tag = reply.header("etag").unwrap().to_owned();
    let tag = ("if-match", tag.as_str());
    viewer
        .set_remote_description(SessionDescription::new(SdpType::Answer, reply.body.as_str()).unwrap())
        .await
        .unwrap();

    let patch = async |headers: &[(&str, &str)], body: &str| {
        request(fixture.address(), "PATCH", &location, headers, body).await
    };
    let reply = patch(&[tag], &fragment).await;
    assert_eq!(reply.status, 415);
    reply.problem();
    let reply = patch(&[FRAGMENT, ("if-match", "\"another\"")], &fragment).await;
    assert_eq!(reply.status, 412);
    reply.problem();
    let reply = patch(&[FRAGMENT, tag], "{}").await;
    assert_eq!(reply.status, 400);
    reply.problem();
    let reply = patch(&[FRAGMENT, tag], "a=end-of-candidates\r\n").await;
    assert_eq!(reply.status, 400, "credentials are missing");
    reply.problem();
    let damaged = format!("{ufrag}\r\n{pwd}\r\nm=video 9 X 0\r\na=mid:0\r\na=candidate:nonsense\r\n");
    let reply = patch(&[FRAGMENT, tag], &damaged).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    reply.problem();
    let restart = fragment.replace(&ufrag, "a=ice-ufrag:other").replace(&pwd, "a=ice-pwd:abcdefghijklmnopqrstuvwx");
    let reply = patch(&[FRAGMENT], &restart).await;
    assert_eq!(reply.status, 428, "other credentials may belong to anything");
    assert!(reply.problem()["hint"].as_str().unwrap().contains("restart"));

    for headers in
        [&[FRAGMENT, tag][..], &[FRAGMENT], &[FRAGMENT, ("if-match", "*")], &[FRAGMENT, ("if-match", "\"*\"")]]
    {
        let reply = patch(headers, &fragment).await;
        assert_eq!((reply.status, reply.body.as_str()), (204, ""), "{headers:?}");
    }
    assert_eq!(received.await.unwrap().len(), 5, "after all that the connection stands");
}

#[tokio::test]
async fn a_viewer_restarts_ice_by_patch() {
    restarts("*").await;
}

#[tokio::test]
async fn a_restart_may_come_with_quotes_or_under_the_session_s_own_tag() {
    restarts("\"*\"").await;
    restarts("own").await;
}

/// Restarts ICE with an If-Match; `own` stands for the session's entity tag.
async fn restarts(precondition: &str) {
    let fixture = Fixture::start().await;
    let viewer = viewer().await;
    let received = frames(&viewer);
    let reply = post(&fixture, &offer(&viewer).await).await;
    let location = reply.location("/film/whep");
    let tag = reply.header("etag").unwrap().to_owned();
    let answer = SessionDescription::new(SdpType::Answer, reply.body.as_str()).unwrap();
    viewer.set_remote_description(answer).await.unwrap();
    let attribute = |sdp: &str, name: &str| sdp.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let before = attribute(&reply.body, "a=ice-ufrag:");

    let options = rtcast::OfferOptions { ice_restart: true };
    let offer = viewer.create_offer_with(options).await.unwrap();
    viewer.set_local_description(offer).await.unwrap();
    let offer = viewer.local_description().unwrap().sdp().to_owned();
    let kept = ["a=ice-ufrag:", "a=ice-pwd:", "m=", "a=mid:", "a=candidate:", "a=end-of-candidates"];
    let wanted = |line: &&str| kept.iter().any(|start| line.starts_with(start));
    let fragment: String = offer.lines().filter(wanted).map(|line| format!("{line}\r\n")).collect();
    let precondition = if precondition == "own" { &tag } else { precondition };
    let headers = [FRAGMENT, ("if-match", precondition)];
    let restarted = request(fixture.address(), "PATCH", &location, &headers, &fragment).await;
    assert_eq!(restarted.status, 200, "{}", restarted.body);
    assert_eq!(restarted.header("content-type"), Some(FRAGMENT.1));
    let new_tag = restarted.header("etag").unwrap().to_owned();
    assert_ne!(new_tag, tag);
    let (ufrag, pwd) = (attribute(&restarted.body, "a=ice-ufrag:"), attribute(&restarted.body, "a=ice-pwd:"));
    assert_ne!(ufrag, before);
    assert!(restarted.body.contains("a=candidate:"), "{}", restarted.body);

    // As a player does: the old answer with the new credentials.
    let answer: String = reply
        .body
        .lines()
        .map(|line| match line.split_once(':') {
            Some(("a=ice-ufrag", _)) => format!("{ufrag}\r\n"),
            Some(("a=ice-pwd", _)) => format!("{pwd}\r\n"),
            _ => format!("{line}\r\n"),
        })
        .collect();
    viewer.set_remote_description(SessionDescription::new(SdpType::Answer, answer).unwrap()).await.unwrap();
    assert_eq!(received.await.unwrap().len(), 5);
    assert_eq!(viewer.connection_state(), PeerConnectionState::Connected);
    // What belongs to the old session is refused, the same for the new one is fine.
    let late = |tag: String| {
        let (address, location, fragment) = (fixture.address(), location.clone(), fragment.clone());
        async move { request(address, "PATCH", &location, &[FRAGMENT, ("if-match", &tag)], &fragment).await.status }
    };
    assert_eq!(late(tag).await, 412);
    assert_eq!(late(new_tag).await, 204);
}

#[tokio::test]
async fn endpoint_and_session_answer_whoever_looks() {
    let fixture = Fixture::start().await;
    let address = fixture.address();
    for path in ["/film/whep", "/film/whep/"] {
        for method in ["GET", "HEAD", "OPTIONS"] {
            let reply = request(address, method, path, &[], "").await;
            assert_eq!((reply.status, reply.header("accept-post")), (204, Some("application/sdp")), "{method} {path}");
        }
    }
    assert_eq!(request(address, "GET", "/nothing/whep", &[], "").await.status, 404);
    let posted = request(address, "POST", "/film/whep/", &[SDP], &offer(&viewer().await).await).await;
    assert_eq!(posted.status, 201, "{}", posted.body);
    let location = posted.location("/film/whep/");
    for path in [location.clone(), format!("{location}/")] {
        for method in ["GET", "HEAD"] {
            let reply = request(address, method, &path, &[], "").await;
            assert_eq!((reply.status, reply.header("etag")), (204, posted.header("etag")), "{method} {path}");
        }
    }
    assert_eq!(request(address, "DELETE", &format!("{location}/"), &[], "").await.status, 200);
    for method in ["GET", "HEAD", "DELETE"] {
        assert_eq!(request(address, method, &location, &[], "").await.status, 404, "{method}");
    }
}

#[tokio::test]
async fn the_server_only_sends() {
    let fixture = Fixture::start().await;
    let good = offer(&viewer().await).await;
    assert!(good.contains("a=recvonly"));
    let both = post(&fixture, &good.replace("a=recvonly", "a=sendrecv")).await;
    assert_eq!(both.status, 201, "{}", both.body);
    assert!(both.body.contains("a=sendonly") && !both.body.contains("a=sendrecv"), "{}", both.body);
    for direction in ["a=sendonly", "a=inactive"] {
        let reply = post(&fixture, &good.replace("a=recvonly", direction)).await;
        assert_eq!(reply.status, 406, "{direction}: {}", reply.body);
        assert!(reply.problem()["hint"].as_str().unwrap().contains("recvonly"));
    }
    // None of the codecs of an offer is one that the stream has.
    let strange: String =
        good.lines().map(|line| format!("{}\r\n", line.replace(" VP8/90000", " H261/90000"))).collect();
    let strange: String = strange
        .split_inclusive("\r\n")
        .filter(|line| !["VP9", "H264", "AV1", "VP8"].iter().any(|codec| line.contains(codec)))
        .collect();
    let reply = post(&fixture, &strange).await;
    assert_eq!(reply.status, 406, "{}", reply.body);
    assert!(reply.problem()["detail"].as_str().unwrap().contains("stream has"));
    let reply = request(fixture.address(), "GET", "/api/streams", &[], "").await;
    assert!(reply.body.contains("\"viewers\":0"));
}

#[tokio::test]
async fn servers_for_viewers_are_told_in_links() {
    let turn = rtcast::IceServer::turn("turn:turn.example.net?transport=udp", "user", "pass");
    let stun = rtcast::IceServer::stun("stun:stun.example.net");
    let fixture = Fixture::with(|builder| builder.ice_server(stun).ice_server(turn)).await;
    let created = post(&fixture, &offer(&viewer().await).await).await;
    let options = request(fixture.address(), "OPTIONS", "/film/whep", &[], "").await;
    for reply in [created, options] {
        let links: Vec<_> = reply.headers("link").collect();
        assert_eq!(links.len(), 2, "{reply:?}");
        assert_eq!(links[0], "<stun:stun.example.net>; rel=\"ice-server\"");
        assert!(links[1].starts_with("<turn:turn.example.net?transport=udp>; rel=\"ice-server\"; username=\"user\""));
    }
}

#[tokio::test]
async fn pages_of_allowed_origins_may_ask() {
    let fixture = Fixture::with(|builder| builder.allow_origin("https://example.org".parse().unwrap())).await;
    let preflight = [("origin", "https://example.org"), ("access-control-request-method", "POST")];
    let reply = request(fixture.address(), "OPTIONS", "/film/whep", &preflight, "").await;
    assert_eq!(reply.status, 204);
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://example.org"));
    assert!(reply.header("access-control-allow-methods").unwrap().contains("POST"));
    assert!(reply.header("access-control-allow-headers").unwrap().contains("content-type"));
    assert_eq!(reply.header("accept-post"), Some("application/sdp"));
    let reply = request(fixture.address(), "OPTIONS", "/film/whep/any", &preflight, "").await;
    assert_eq!(reply.status, 204);
    assert!(reply.header("access-control-allow-methods").unwrap().contains("PATCH"));
    assert!(reply.header("access-control-allow-headers").unwrap().contains("if-match"));
    assert_eq!(reply.header("accept-patch"), Some("application/trickle-ice-sdpfrag"));
    let reply = request(fixture.address(), "POST", "/nothing/whep", &[SDP, preflight[0]], "").await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://example.org"), "pages read errors, too");
    assert!(reply.header("access-control-expose-headers").unwrap().contains("location"));
}

#[tokio::test]
async fn a_full_server_says_so_and_when_to_come_back() {
    let mut fixture = Fixture::with(|builder| builder.viewers(1)).await;
    let first = viewer().await;
    let reply = post(&fixture, &offer(&first).await).await;
    assert_eq!(reply.status, 201);
    // Whoever is on the way has no place yet; the first to be connected takes it.
    assert_eq!(post(&fixture, &offer(&viewer().await).await).await.status, 201);
    first.set_remote_description(SessionDescription::new(SdpType::Answer, reply.body.as_str()).unwrap()).await.unwrap();
    assert!(matches!(fixture.event().await, ServerEvent::ViewerJoined { .. }));
    let second = post(&fixture, &offer(&viewer().await).await).await;
    assert_eq!(second.status, 503);
    assert!(second.header("retry-after").is_some());
    second.problem();
    request(fixture.address(), "DELETE", &reply.location("/film/whep"), &[], "").await;
    assert!(matches!(fixture.event().await, ServerEvent::ViewerLeft { .. }));
    let mut status = 0;
    for _ in 0..50 {
        status = post(&fixture, &offer(&viewer().await).await).await.status;
        if status == 201 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status, 201, "the place is free again");
}

#[tokio::test]
async fn whoever_comes_too_late_for_the_last_place_is_sent_away() {
    let mut fixture = Fixture::with(|builder| builder.viewers(1)).await;
    let viewers = [viewer().await, viewer().await];
    let mut replies = Vec::new();
    for viewer in &viewers {
        replies.push(post(&fixture, &offer(viewer).await).await);
    }
    let take = async |index: usize| {
        let answer = SessionDescription::new(SdpType::Answer, replies[index].body.as_str()).unwrap();
        viewers[index].set_remote_description(answer).await.unwrap();
    };
    take(0).await;
    assert!(matches!(fixture.event().await, ServerEvent::ViewerJoined { .. }));
    let mut states = viewers[1].events();
    take(1).await;
    let closed = async {
        while let Some(event) = states.recv().await {
            if let rtcast::PeerConnectionEvent::ConnectionStateChange(PeerConnectionState::Closed) = event {
                break;
            }
        }
    };
    tokio::time::timeout(LIMIT, closed).await.expect("the server ends it");
    assert_eq!(fixture.server.viewers(), 1);
}

/// Passes datagrams on between a viewer and the server, each of which takes it for the other.
struct Relay {
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    /// Changes the offer, and later the answer, so that both sides meet here.
    async fn start(offer: &str) -> (Self, String, impl FnOnce(&str) -> String + use<>) {
        let bind = async || tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (to_server, to_viewer) = (bind().await, bind().await);
        let ports = [to_server.local_addr().unwrap().port(), to_viewer.local_addr().unwrap().port()];
        let viewer = candidate(offer);
        let changed = offer.replace(&viewer.to_string(), &ports[0].to_string());
        let (tell, server) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let server: u16 = server.await.unwrap();
            let (mut there, mut back) = ([0; 2_048], [0; 2_048]);
            loop {
                tokio::select! {
                    Ok((length, _)) = to_viewer.recv_from(&mut there) => {
                        let _ = to_server.send_to(&there[..length], ("127.0.0.1", server)).await;
                    }
                    Ok((length, _)) = to_server.recv_from(&mut back) => {
                        let _ = to_viewer.send_to(&back[..length], ("127.0.0.1", viewer)).await;
                    }
                }
            }
        });
        let change = move |answer: &str| {
            let server = candidate(answer);
            tell.send(server).unwrap();
            answer.replace(&server.to_string(), &ports[1].to_string())
        };
        (Self { task }, changed, change)
    }
}

/// The port of the first candidate.
fn candidate(sdp: &str) -> u16 {
    let line = sdp.lines().find(|line| line.starts_with("a=candidate:")).unwrap();
    line.split(' ').nth(5).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_viewer_that_dies_without_a_word_is_soon_gone() {
    let limits = TimeLimits { first_word: Duration::from_millis(2_500), ..TimeLimits::default() };
    let mut fixture = Fixture::with(|builder| builder.time_limits(limits)).await;
    let viewer = viewer().await;
    let (relay, offer, change) = Relay::start(&offer(&viewer).await).await;
    let reply = post(&fixture, &offer).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    let answer = SessionDescription::new(SdpType::Answer, change(&reply.body)).unwrap();
    viewer.set_remote_description(answer).await.unwrap();
    assert!(matches!(fixture.event().await, ServerEvent::ViewerJoined { .. }));
    relay.task.abort();
    assert!(relay.task.await.unwrap_err().is_cancelled());
    let begin = Instant::now();
    let ServerEvent::ViewerLeft { reason, .. } = fixture.event().await else { panic!() };
    assert_eq!(reason, LeaveReason::Failed);
    assert!(begin.elapsed() > Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_viewer_that_has_spoken_stays() {
    let limits = TimeLimits { first_word: Duration::from_secs(3), ..TimeLimits::default() };
    let mut fixture = Fixture::with(|builder| builder.time_limits(limits)).await;
    let viewer = viewer().await;
    let reply = post(&fixture, &offer(&viewer).await).await;
    let answer = SessionDescription::new(SdpType::Answer, reply.body.as_str()).unwrap();
    viewer.set_remote_description(answer).await.unwrap();
    assert!(matches!(fixture.event().await, ServerEvent::ViewerJoined { .. }));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(fixture.server.viewers(), 1);
}
