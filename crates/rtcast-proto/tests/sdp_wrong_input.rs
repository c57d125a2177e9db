//! What people pass where an SDP, a description or a candidate belongs, and what they are told.

use std::sync::Arc;

use rtcast_proto::sdp::{DescriptionError, DescriptionLimits, SdpType, Session, SessionDescription};
use rtcast_proto::{Candidate, Hint, IceCandidate, ToJson};

const OFFER: &str = include_str!("fixtures/chromium_offer.sdp");

/// An offer as somebody's page printed it: a Python dictionary, with lines that the page mangled.
const PRINTED: &str = include_str!("fixtures/printed_offer.txt");

fn refused(sdp: &str) -> DescriptionError {
    SessionDescription::new(SdpType::Offer, sdp).expect_err(sdp)
}

fn refused_json(json: &str) -> DescriptionError {
    SessionDescription::from_json(json).expect_err(json)
}

/// Asserts that the error's text has every part.
#[track_caller]
fn says(error: &DescriptionError, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn json_in_the_place_of_sdp_names_the_function_that_reads_it() {
    let error = refused(&format!("{{\"sdp\": {:?}, \"type\": \"offer\"}}", OFFER));
    says(&error, &["this is JSON, not SDP", "SessionDescription::from_json"]);
    assert_eq!(error.name(), "SyntaxError");
    assert_eq!(error.problem(), "this is JSON, not SDP");
    assert!(error.hint().unwrap().starts_with("read it with `SessionDescription::from_json`"));
    says(&refused(&format!("{:?}", OFFER)), &["this is JSON"]);
}

#[test]
fn nothing_at_all() {
    for text in ["", " ", "\r\n\r\n"] {
        says(&refused(text), &["the SDP is empty", "starts with `v=0`"]);
    }
}

#[test]
fn words_that_are_no_sdp() {
    says(&refused("hello world"), &["line 1", "\"hello world\"", "expected `v=0`"]);
    assert_eq!(refused("hello world").line(), Some(1));
    says(&refused("<html><body>502 Bad Gateway"), &["HTML", "502", "status code"]);
    says(&refused("b'v=0\\r\\no=- 1 1'"), &["Python bytes", "decode()"]);
}

#[test]
fn line_ends_written_out() {
    let escaped = OFFER.replace("\r\n", "\\r\\n");
    says(&refused(&escaped), &["a backslash and a letter", "escaped once too often"]);
    says(&refused(&format!("{escaped}\n")), &["a backslash and a letter"]);
    says(&refused(&OFFER.replace("\r\n", "\\n")), &["a backslash and a letter"]);
}

#[test]
fn arguments_the_wrong_way_round() {
    says(&refused("offer"), &["\"offer\" is a type, not SDP", "the type comes first"]);
    let error = OFFER.parse::<SdpType>().unwrap_err();
    says(&error, &["is not a type", "this is SDP", "the type comes first and the SDP second"]);
    assert!(error.to_string().len() < 300, "the whole SDP is in the error: {error}");
    assert_eq!(error.name(), "TypeError");
    says(&"{\"type\":\"offer\"}".parse::<SdpType>().unwrap_err(), &["this is JSON", "from_json"]);
}

#[test]
fn types_that_are_none() {
    says(&"Offer".parse::<SdpType>().unwrap_err(), &["\"Offer\"", "write it \"offer\"", "small letters"]);
    says(&"ofer".parse::<SdpType>().unwrap_err(), &["\"ofer\"", "\"pranswer\"", "\"rollback\""]);
    says(&refused_json(&format!("{{\"type\": \"Offer\", \"sdp\": {:?}}}", OFFER)), &["\"Offer\"", "small letters"]);
}

#[test]
fn lines_that_are_no_sdp_lines_are_shown_with_their_number() {
    let with = |line: &str| OFFER.replacen("t=0 0\r\n", &format!("t=0 0\r\n{line}\r\n"), 1);
    for (line, expected) in [
        ("hello", "an SDP line: one letter, `=`"),
        ("a =mid:0", "an SDP line: one letter, `=`"),
        ("  a=mid:0", "not a blank"),
        ("A=mid:0", "one of the letters"),
        ("a=", "the name of an attribute after `a=`"),
        ("a=:x", "the name of an attribute after `a=`"),
        ("c=IN ", "`c=IN IP4 <address>`"),
        ("c=IN IP4", "`c=IN IP4 <address>`"),
        ("b=fast", "`b=<type>:<number>`"),
        ("a=setup:server", "active, passive or actpass"),
        ("a=fingerprint:sha-256 AB:CD", "32 for sha-256"),
        ("a=fingerprint:sha-256", "two hexadecimal digits a byte"),
        ("a=ice-ufrag:ab", "4 to 256 characters"),
        ("a=ice-pwd:short", "22 to 256 characters"),
    ] {
        let error = refused(&with(line));
        says(&error, &["line 5 of the SDP", &format!("{line:?}"), expected]);
        assert_eq!(error.line(), Some(5));
        assert_eq!(error.name(), "SyntaxError");
    }
}

#[test]
fn lines_of_an_m_line_are_shown_with_their_number() {
    let start = OFFER.lines().position(|line| line.starts_with("m=audio")).unwrap();
    let with = |line: &str| {
        let mut lines: Vec<&str> = OFFER.lines().collect();
        lines.insert(start + 2, line);
        lines.join("\r\n")
    };
    for (line, expected) in [
        ("a=ssrc-group: 124673822", "`a=ssrc-group:<semantics> <ssrc> <ssrc>…`"),
        ("a=ssrc-group:FID", "`a=ssrc-group:<semantics> <ssrc> <ssrc>…`"),
        ("a=ssrc:x cname:y", "`a=ssrc:<number>"),
        ("a=rtpmap:96", "`a=rtpmap:<payload type> <name>/<clock>`"),
        ("a=rtpmap:128 VP8/90000", "`a=rtpmap:<payload type> <name>/<clock>`"),
        ("a=rtpmap:96 VP8", "`a=rtpmap:<payload type> <name>/<clock>`"),
        ("a=fmtp:x apt=96", "`a=fmtp:<payload type> <parameters>`"),
        ("a=rtcp-fb:nack", "`a=rtcp-fb:<payload type or *> <feedback>`"),
        ("a=extmap:0 urn:x", "`a=extmap:<1 to 255> <URI>`"),
        ("a=extmap:4", "`a=extmap:<1 to 255> <URI>`"),
        ("a=candidate:1 1 udp 1 1.2.3.4 99999 typ host", "the port \"99999\""),
        ("a=candidate:1 1 udp", "it ends before the priority"),
        ("a=mid:", "`a=mid:<name>`"),
        ("a=mid:a b", "`a=mid:<name>`"),
        ("a=sctp-port:x", "`a=sctp-port:"),
        ("m=audio 9 UDP/TLS/RTP/SAVPF opus", "payload types from 0 to 127"),
        ("m=audio x UDP/TLS/RTP/SAVPF 0", "`m=<kind> <port> <protocol> <formats>`"),
        ("m=audio", "`m=<kind> <port> <protocol> <formats>`"),
    ] {
        let error = refused(&with(line));
        says(&error, &[&format!("line {} of the SDP", start + 3), &format!("{line:?}"), expected]);
    }
}

#[test]
fn lines_that_every_sdp_has() {
    says(&refused(&OFFER.replacen("v=0\r\n", "", 1)), &["no `v=` line", "\"o=- 3098949614463912692"]);
    says(&refused(&OFFER.replacen("v=0", "v=1", 1)), &["line 1", "\"v=1\"", "`v=0`"]);
    says(&refused("v=0\r\n"), &["no `o=` line"]);
    says(&refused(&OFFER.replacen("s=-\r\n", "", 1)), &["no `s=` line"]);
    says(&refused(&OFFER.replacen("t=0 0\r\n", "", 1)), &["no `t=` line", "`t=0 0`"]);
    says(&refused(&OFFER.replacen("s=-\r\n", "s=-\r\ns=x\r\n", 1)), &["line 4", "no second `s=` line"]);
}

#[test]
fn json_of_another_shape() {
    let sdp = format!("{OFFER:?}");
    for (json, parts) in [
        ("", &["the JSON is empty"][..]),
        ("null", &["null, not a description", "no local description yet"]),
        ("[]", &["an array, not a description"]),
        ("7", &["a number"]),
        ("{}", &["no `type`", "JSON.stringify(pc.localDescription)"]),
        ("{\"type\": \"offer\"}", &["no `sdp`"]),
        (&format!("{{\"sdp\": {sdp}}}"), &["no `type`"]),
        (&format!("{{\"sdp\": {sdp}, \"type\": null}}"), &["`type` in this JSON is null"]),
        ("{\"type\": \"offer\", \"sdp\": null}", &["`sdp` in this JSON is null, not a string"]),
        ("{\"type\": \"offer\", \"sdp\": {\"type\": \"offer\"}}", &["`sdp` in this JSON is an object"]),
        ("{\"type\": \"offer\", \"sdp\": \"\"}", &["the SDP is empty"]),
        ("{\"type\": \"offer\", \"sdp\": ", &["this is not JSON", "line 1 column"]),
        ("{\"candidate\": \"candidate:1 1 udp 1 1.2.3.4 5 typ host\"}", &["an ICE candidate", "add_ice_candidate"]),
        (OFFER, &["this is SDP, not JSON", "SessionDescription::new"]),
        ("\"{\\\"type\\\": \\\"offer\\\"}\"", &["encoded twice"]),
    ] {
        let error = refused_json(json);
        says(&error, parts);
    }
    assert_eq!(refused_json("null").name(), "TypeError");
}

#[test]
fn pythons_dictionary_is_recognised() {
    assert!(PRINTED.starts_with("{'sdp': 'v=0\\r\\n"));
    says(&refused_json(PRINTED), &["a Python dictionary", "single quotes", "json.dumps"]);
    says(&refused(PRINTED), &["a Python dictionary", "json.dumps"]);
}

/// The text between the quotes of the printed offer, its escapes undone.
fn printed_sdp() -> String {
    let start = PRINTED.find("'v=0").unwrap() + 1;
    let end = PRINTED.find("', 'type'").unwrap();
    PRINTED[start..end].replace("\\r", "\r").replace("\\n", "\n")
}

#[test]
fn each_mangled_line_of_the_printed_offer_is_named() {
    let mut sdp = printed_sdp();
    let mut named = Vec::new();
    // Each mistake is mended as the error says, until nothing is left of them.
    for _ in 0..10 {
        let Err(error) = SessionDescription::new(SdpType::Offer, sdp.as_str()) else { break };
        let DescriptionError::Line { line, text, expected } = &error else { panic!("{error}") };
        named.push((*line, text.clone(), expected.to_string()));
        let mut lines: Vec<String> = sdp.split('\n').map(str::to_owned).collect();
        lines[*line - 1] = match text.as_str() {
            "c=IN " => "c=IN IP4 0.0.0.0".into(),
            "a=ssrc-group: 124673822" | "a=" => "a=sendrecv".into(),
            text => text.trim_end_matches('\r').to_owned(),
        };
        sdp = lines.join("\n");
    }
    let texts: Vec<(usize, &str)> = named.iter().map(|(line, text, _)| (*line, text.as_str())).collect();
    assert_eq!(
        texts,
        [(8, "c=IN "), (13, "a="), (16, "a=ssrc-group: 124673822"), (17, "a="), (37, "a=fmtp:102 apt=101\r")]
    );
    assert!(named[4].2.contains("ends with one CR LF"), "{named:?}");
    SessionDescription::new(SdpType::Offer, sdp).unwrap();
}

#[test]
fn a_rollback_needs_no_text() {
    for json in ["{\"type\": \"rollback\"}", "{\"type\": \"rollback\", \"sdp\": \"\"}"] {
        let description = SessionDescription::from_json(json).unwrap();
        assert_eq!((description.sdp_type(), description.sdp()), (SdpType::Rollback, ""));
    }
    assert_eq!(SessionDescription::new(SdpType::Rollback, "").unwrap(), SessionDescription::rollback());
}

#[test]
fn no_description_is_null_in_json() {
    let description = SessionDescription::new(SdpType::Offer, OFFER).unwrap();
    assert_eq!(ToJson::to_json(&None::<SessionDescription>), "null");
    assert_eq!(Some(description.clone()).to_json(), description.to_json());
    assert!(
        description.to_json().starts_with("{\"sdp\":\"v=0\\r\\n") || description.to_json().starts_with("{\"type\"")
    );
    let through_serde: SessionDescription = serde_json::from_str(&description.to_json()).unwrap();
    assert_eq!(through_serde, description);
    let error = serde_json::from_str::<SessionDescription>("{\"type\": \"offer\"}").unwrap_err();
    assert!(error.to_string().contains("no `sdp`"), "{error}");
}

#[test]
fn candidates_with_and_without_their_prefix() {
    let plain = "1151714203 1 udp 2113937151 a18e4bc1-5146-4c51-b22f-b5ef386f307e.local 57830 typ host generation 0";
    let parsed: Candidate = plain.parse().unwrap();
    assert_eq!(parsed.foundation, "1151714203");
    assert!(parsed.is_mdns());
    assert_eq!(parsed.extension("generation"), Some("0"));
    for prefix in ["candidate:", "a=candidate:", " candidate:"] {
        assert_eq!(format!("{prefix}{plain}").parse::<Candidate>().unwrap(), parsed, "{prefix:?}");
    }
    assert_eq!(parsed.to_string(), format!("candidate:{plain}"));
    let relayed = "candidate:3 1 UDP 16777215 192.0.2.9 5000 typ relay raddr 198.51.100.7 rport 0";
    assert_eq!(relayed.parse::<Candidate>().unwrap().to_string(), relayed);
    let tcp = "candidate:2 1 TCP 2105458943 2001:db8::1 9 typ host tcptype active";
    assert_eq!(tcp.parse::<Candidate>().unwrap().to_string(), tcp);
}

#[test]
fn candidates_that_cannot_be_read() {
    for (text, part) in [
        ("candidate:1 1 udp", "it ends before the priority"),
        ("hello", "it ends before the component"),
        ("candidate:1 one udp 1 1.2.3.4 5 typ host", "the component \"one\""),
        ("candidate:1 1 udp 5000000000 1.2.3.4 5 typ host", "the priority \"5000000000\""),
        ("candidate:1 1 udp 1 1.2.3.4 5 host", "where the word \"typ\" belongs"),
        ("candidate:1 1 udp 1 1.2.3.4 5 typ best", "none of host, srflx, prflx, relay"),
    ] {
        let candidate = IceCandidate { candidate: text.into(), ..IceCandidate::default() };
        let error = candidate.parsed().unwrap_err();
        says(&error, &[text, part, "an empty text ends the candidates"]);
        assert_eq!(error.name(), "OperationError");
    }
}

#[test]
fn candidates_in_json() {
    let json = r#"{"candidate":"candidate:1 1 udp 1 192.0.2.1 5 typ host","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"abcd"}"#;
    let candidate = IceCandidate::from_json(json).unwrap();
    assert_eq!(candidate.sdp_mid.as_deref(), Some("0"));
    assert_eq!(candidate.sdp_m_line_index, Some(0));
    assert_eq!(candidate.username_fragment.as_deref(), Some("abcd"));
    assert_eq!(IceCandidate::from_json(&candidate.to_json()).unwrap(), candidate);
    for end in [
        "null",
        r#"{"candidate":""}"#,
        r#"{"candidate":null,"sdpMid":"0"}"#,
        r#"{"candidate":"","sdpMid":"0","sdpMLineIndex":0}"#,
        r#"{"candidate":"candidate:","sdpMid":"0"}"#,
    ] {
        let candidate = IceCandidate::from_json(end).unwrap();
        assert!(candidate.is_end_of_candidates(), "{end}");
        assert_eq!(candidate.parsed().unwrap(), None, "{end}");
    }
    for (json, part) in [
        ("{}", "no `candidate`"),
        ("7", "a number"),
        (r#"{"candidate":7}"#, "`candidate` is a number"),
        (r#"{"candidate":"","sdpMid":0}"#, "`sdpMid` is a number"),
        (r#"{"candidate":"","sdpMLineIndex":-1}"#, "`sdpMLineIndex` is not a number from 0"),
        (r#"{"candidate":"nonsense"}"#, "it ends before the component"),
        ("candidate:1 1 udp 1 192.0.2.1 5 typ host", "this is not JSON"),
    ] {
        says(&IceCandidate::from_json(json).unwrap_err(), &[part]);
    }
}

#[test]
fn a_hostile_description_is_refused_in_good_time() {
    let head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    says(&refused(&"v".repeat(2 << 20)), &["2097152 bytes"]);
    says(&refused(&format!("{head}{}", "m=audio 0 RTP/AVP 0\r\n".repeat(40_000))), &["no more than 512 m-lines"]);
    let sources: String = (0..60_000).map(|n| format!("a=ssrc:{n}\r\n")).collect();
    says(&refused(&format!("{head}m=audio 9 RTP/AVP 0\r\n{sources}")), &["1024 sources"]);
    let candidates = "a=candidate:1 1 udp 1 1.2.3.4 5 typ host\r\n".repeat(20_000);
    says(&refused(&format!("{head}m=audio 9 RTP/AVP 0\r\n{candidates}")), &["256 candidates"]);
}

#[test]
fn every_line_that_may_come_again_has_a_limit_and_names_the_line_that_is_too_much() {
    let head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    let video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n";
    let digest = ["AB"; 64].join(":");
    let lines = |most: usize, of: &dyn Fn(usize) -> String| (0..most).map(of).collect::<String>();
    for (under_media, most, of, expected) in [
        (
            true,
            256,
            &(|n| format!("a=candidate:{n} 1 udp 1 1.2.3.4 5 typ host\r\n")) as &dyn Fn(usize) -> String,
            "256",
        ),
        (true, 255, &|n| format!("a=extmap:1 urn:{n}\r\n"), "255 header extensions"),
        (true, 1_024, &|n| format!("a=ssrc:{n} cname:x\r\n"), "1024 sources"),
        (true, 1_024, &|n| format!("a=ssrc-group:FID {n}\r\n"), "1024 groups of sources"),
        (true, 64, &|n| format!("a=msid:{n} -\r\n"), "64 `a=msid`"),
        (true, 32, &|n| format!("a=rtcp-fb:96 x{n}\r\n"), "32 kinds of feedback"),
        (true, 32, &|n| format!("a=rtcp-fb:* x{n}\r\n"), "32 kinds of feedback"),
        (true, 16, &|_| format!("a=fingerprint:x {digest}\r\n"), "16 fingerprints"),
        (false, 16, &|_| format!("a=fingerprint:x {digest}\r\n"), "16 fingerprints"),
        (false, 512, &|n| format!("a=group:BUNDLE {n}\r\n"), "512 mids"),
        (false, 512, &|n| format!("m=audio 0 RTP/AVP {}\r\n", n % 128), "512 m-lines"),
    ] {
        let head = if under_media { format!("{head}{video}") } else { head.to_owned() };
        let within = format!("{head}{}", lines(most, of));
        Session::parse(&within).unwrap_or_else(|error| panic!("{error}"));
        let error = Session::parse(&format!("{head}{}", lines(most + 1, of))).expect_err(expected);
        says(&error, &[expected]);
        assert_eq!(error.line(), Some(within.lines().count() + 1), "{error}");
    }
    for (line, expected) in [
        (format!("m=video 9 UDP/TLS/RTP/SAVPF{}", " 96".repeat(129)), "128 formats"),
        (format!("{video}a=ice-options:{}", "a ".repeat(33)), "32 words"),
        (format!("{video}a=ssrc-group:SIM{}", " 1".repeat(33)), "32 sources in one group"),
        (format!("{video}a=fmtp:96 {}", "x".repeat(4_097)), "4096 bytes"),
        (format!("{video}a=mid:{}", "x".repeat(256)), "255 bytes"),
        (format!("{video}a=fingerprint:x {digest}:AB"), "64 for sha-512"),
        (format!("{video}a=ice-ufrag:{}", "x".repeat(257)), "4 to 256 characters"),
        (format!("{video}a=ice-pwd:{}", "x".repeat(257)), "22 to 256 characters"),
        (format!("{video}a=candidate:1 1 udp 1 1.2.3.4 5 typ host{}", " a b".repeat(33)), "more than 32 names"),
        (format!("{video}a=candidate:1 1 udp 1 1.2.3.4 5 typ host {}", "x".repeat(1_024)), "1024 are the most"),
    ] {
        says(&refused(&format!("{head}{line}\r\n")), &["line ", expected]);
    }
    // Lines that nothing reads are counted too, and what is read has a limit in memory whatever it is.
    says(&refused(&format!("{head}{}", "a=x\r\n".repeat(65_537))), &["line 65541", "65536 attributes"]);
    let formats: String = (0..128).map(|n| format!(" {n}")).collect();
    let maps: String = (0..128).map(|n| format!("a=rtpmap:{n} x/1\r\n")).collect();
    let feedback: String = (0..32).map(|n| format!("a=rtcp-fb:* {n}\r\n")).collect();
    let video = format!("m=video 9 UDP/TLS/RTP/SAVPF{formats}\r\n{maps}{feedback}");
    let many = format!("{head}{}", video.repeat(200));
    says(&refused(&many), &["m=video 9 UDP/TLS/RTP/SAVPF 0 1", "8388608 bytes of memory"]);
}

#[test]
fn limits_are_the_caller_s() {
    let tight = DescriptionLimits { length: 6_000, media_lines: 2, attributes: 100, memory: 10_000 };
    let taken = |limits: DescriptionLimits| SessionDescription::new_within(SdpType::Offer, OFFER, &limits);
    taken(DescriptionLimits::DEFAULT).unwrap();
    for (limits, expected) in [
        (tight, "6000 are the most"),
        (DescriptionLimits { length: 8_000, ..tight }, "no more than 2 m"),
        (DescriptionLimits { attributes: 100, ..DescriptionLimits::DEFAULT }, "no more than 100 attributes"),
        (DescriptionLimits { memory: 10_000, ..DescriptionLimits::DEFAULT }, "10000 bytes of memory"),
    ] {
        says(&taken(limits).unwrap_err(), &[expected]);
    }
}

#[test]
fn what_stands_at_session_level_is_kept_once() {
    let text = format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-options:a b\r\na=ice-ufrag:abcd\r\n\
         a=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 {}\r\n{}",
        ["AB"; 32].join(":"),
        "m=video 0 UDP/TLS/RTP/SAVPF 96\r\n".repeat(3),
    );
    let session = Session::parse(&text).unwrap();
    let [first, .., last] = &session.media[..] else { panic!("three m-lines") };
    assert!(Arc::ptr_eq(&first.ice_options, &last.ice_options) && first.ice_options.len() == 2);
    assert!(Arc::ptr_eq(&first.fingerprints, &last.fingerprints) && first.fingerprints.len() == 1);
    for (first, last) in [(&first.ice_ufrag, &last.ice_ufrag), (&first.ice_pwd, &last.ice_pwd)] {
        assert!(Arc::ptr_eq(first.as_ref().unwrap(), last.as_ref().unwrap()));
    }
}
