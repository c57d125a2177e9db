//! WHEP over plain HTTP, as the draft says.

mod support;

use rtcast::{PeerConnectionState, SdpType, SessionDescription};
use rtcast_server::{LeaveReason, ServerEvent, Signalling};
use support::{Fixture, Reply, frames, offer, request, viewer};

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
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert!(reply.header("access-control-expose-headers").unwrap().contains("location"));
    let tag = reply.header("etag").unwrap();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "a strong entity tag: {tag}");
    let location = reply.header("location").unwrap().to_owned();
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
async fn a_viewer_that_closes_its_connection_is_gone() {
    let mut fixture = Fixture::start().await;
    let viewer = viewer().await;
    let received = frames(&viewer);
    let reply = post(&fixture, &offer(&viewer).await).await;
    let location = reply.header("location").unwrap().to_owned();
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
    assert_eq!(request(fixture.address(), "DELETE", &location, &[], "").await.status, 404);
}

#[tokio::test]
async fn what_is_wrong_is_told_in_problem_documents() {
    let fixture = Fixture::start().await;
    let address = fixture.address();
    let good = offer(&viewer().await).await;

    let reply = request(address, "POST", "/nothing/whep", &[SDP], &good).await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "pages of other origins read errors, too");
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

    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let reply = request(address, method, "/film/whep", &[], "").await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("OPTIONS, POST")), "{method}");
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
    let location = reply.header("location").unwrap().to_owned();
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
    let reply = patch(&[FRAGMENT], &fragment).await;
    assert_eq!(reply.status, 428);
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
    let reply = patch(&[FRAGMENT, tag], &restart).await;
    assert_eq!(reply.status, 422, "other credentials are a restart, which names no session");
    assert!(reply.problem()["hint"].as_str().unwrap().contains("restart"));

    let reply = patch(&[FRAGMENT, tag], &fragment).await;
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    assert_eq!(received.await.unwrap().len(), 5, "after all that the connection stands");
}

#[tokio::test]
async fn a_viewer_restarts_ice_by_patch() {
    let fixture = Fixture::start().await;
    let viewer = viewer().await;
    let received = frames(&viewer);
    let reply = post(&fixture, &offer(&viewer).await).await;
    let location = reply.header("location").unwrap().to_owned();
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
    let restarted = request(fixture.address(), "PATCH", &location, &[FRAGMENT, ("if-match", "*")], &fragment).await;
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
async fn pages_of_other_origins_may_ask() {
    let fixture = Fixture::start().await;
    let preflight = [("origin", "https://example.org"), ("access-control-request-method", "POST")];
    let reply = request(fixture.address(), "OPTIONS", "/film/whep", &preflight, "").await;
    assert_eq!(reply.status, 204);
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert!(reply.header("access-control-allow-methods").unwrap().contains("POST"));
    assert!(reply.header("access-control-allow-headers").unwrap().contains("content-type"));
    assert_eq!(reply.header("accept-post"), Some("application/sdp"));
    let reply = request(fixture.address(), "OPTIONS", "/film/whep/any", &preflight, "").await;
    assert_eq!(reply.status, 204);
    assert!(reply.header("access-control-allow-methods").unwrap().contains("PATCH"));
    assert!(reply.header("access-control-allow-headers").unwrap().contains("if-match"));
    assert_eq!(reply.header("accept-patch"), Some("application/trickle-ice-sdpfrag"));
}

#[tokio::test]
async fn a_full_server_says_so_and_when_to_come_back() {
    let fixture = Fixture::with(|builder| builder.viewers(1)).await;
    let first = post(&fixture, &offer(&viewer().await).await).await;
    assert_eq!(first.status, 201);
    let second = post(&fixture, &offer(&viewer().await).await).await;
    assert_eq!(second.status, 503);
    assert!(second.header("retry-after").is_some());
    second.problem();
    request(fixture.address(), "DELETE", first.header("location").unwrap(), &[], "").await;
    let mut status = 0;
    for _ in 0..50 {
        status = post(&fixture, &offer(&viewer().await).await).await.status;
        if status == 201 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(status, 201, "the place is free again");
}
