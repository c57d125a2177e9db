//! What comes from elsewhere: names of files, secrets in the log, more connections than files may be open.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Running, output, rtcast};
use serde_json::Value;

const OFFER: &str = include_str!("../../../rtcast-proto/tests/fixtures/chromium_offer_recvonly.sdp");
const LIMIT: Duration = Duration::from_secs(20);

/// A file of two small grey pictures under a name that steers terminals.
fn evil_file() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("evil\u{1b}]0;owned\u{7}\n\u{9b}2J\u{202e}gpm.y4m");
    let mut bytes = b"YUV4MPEG2 W16 H16 F25:1 C420jpeg\n".to_vec();
    for _ in 0..2 {
        bytes.extend(b"FRAME\n");
        bytes.resize(bytes.len() + 16 * 16 * 3 / 2, 128);
    }
    std::fs::write(&path, bytes).unwrap();
    (directory, path)
}

fn steers(text: &str) -> bool {
    text.lines().any(|line| line.chars().any(|character| character.is_control() || character == '\u{202e}'))
}

#[test]
fn names_of_files_steer_no_terminal() {
    let (_directory, path) = evil_file();
    let mut running = Running::start(&["stream", "--listen", "localhost:0", path.to_str().unwrap()]);
    let mut raw = String::new();
    loop {
        let event = running.event();
        raw += &event.to_string();
        if event["event"] == "ready" {
            assert_eq!(event["source"], r"evil\u{1b}]0;owned\u{7}\u{a}\u{9b}2J\u{202e}gpm.y4m");
            let url = event["url"].as_str().unwrap();
            assert!(url.starts_with("http://127.0.0.1:"), "localhost: {url}");
            let reply = request(address(&event), "GET", "/api/streams", "", "");
            assert!(!steers(&reply.replace('\r', "")), "{reply:?}");
            break;
        }
    }
    assert!(!steers(&raw), "{raw:?}");
    // A name that leads to nothing, in an error.
    let missing = path.with_extension("\u{1b}[31m.mp4");
    let failed = output(&["stream", "--listen", "127.0.0.1:0", missing.to_str().unwrap()]);
    let (said, errors) = (String::from_utf8(failed.stdout).unwrap(), String::from_utf8(failed.stderr).unwrap());
    assert!(errors.contains("evil") && !steers(&errors) && !steers(&said), "{errors:?} {said:?}");
}

fn address(ready: &Value) -> SocketAddr {
    ready["url"].as_str().unwrap().split('/').nth(2).unwrap().parse().unwrap()
}

fn request(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).unwrap();
    let mut reply = String::new();
    let _ = stream.read_to_string(&mut reply);
    reply
}

#[test]
fn no_log_shows_a_secret() {
    let mut child = rtcast(&["stream", "--listen", "127.0.0.1:0", "--log", "trace"]).spawn().unwrap();
    let mut log = child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = log.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut running = Running::of(child);
    let ready = std::iter::from_fn(|| Some(running.event())).find(|event| event["event"] == "ready").unwrap();
    let endpoint = format!("/{}/whep", ready["name"].as_str().unwrap());
    let reply = request(address(&ready), "POST", &endpoint, "content-type: application/sdp\r\n", OFFER);
    assert!(reply.starts_with("HTTP/1.1 201 "), "{reply}");
    let value = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {text}")).trim().to_owned()
    };
    let (ufrag, theirs) = (value(OFFER, "a=ice-ufrag:"), value(OFFER, "a=ice-pwd:"));
    let secrets = [theirs.clone(), value(&reply, "a=ice-pwd:"), value(&reply, "location: whep/")];
    let fragment = format!(
        "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{theirs}\r\nm=video 9 X 0\r\na=mid:0\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n"
    );
    let session = format!("{endpoint}/{}", secrets[2]);
    let headers = "content-type: application/trickle-ice-sdpfrag\r\n";
    let patched = request(address(&ready), "PATCH", &session, headers, &fragment);
    assert!(patched.starts_with("HTTP/1.1 204 "), "{patched}");
    // A mistake is quoted, and with it the line that is wrong.
    let wrong = OFFER.replace(&format!("a=ice-pwd:{theirs}"), &format!("a=ice-pwd:{theirs}\u{e9}"));
    request(address(&ready), "POST", &endpoint, "content-type: application/sdp\r\n", &wrong);
    // Until checks have been sent.
    while running.event()["event"] != "stats" {}
    running.signal("INT");
    running.child.wait().unwrap();
    let log = reader.join().unwrap();
    assert!(log.contains("DEBUG") && log.contains("is::"), "it does log: {} bytes", log.len());
    for secret in &secrets {
        let line = log.lines().find(|line| line.contains(secret.as_str()));
        assert_eq!(line, None, "{secret} is shown");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn more_connections_than_files_end_nothing() {
    let program = env!("CARGO_BIN_EXE_rtcast");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 72; exec \"$0\" stream --listen 127.0.0.1:0 --threads 1", program]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut log = child.stderr.take().unwrap();
    let mut running = Running::of(child);
    let ready = std::iter::from_fn(|| Some(running.event())).find(|event| event["event"] == "ready").unwrap();
    let notes = ready["notes"].to_string();
    assert!(notes.contains("72 files") && notes.contains("ulimit"), "{notes}");
    let idle: Vec<_> = (0..200).map(|_| TcpStream::connect(address(&ready)).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(300));
    drop(idle);
    let begin = Instant::now();
    while !request(address(&ready), "GET", "/metrics", "", "").starts_with("HTTP/1.1 200 ") {
        assert!(begin.elapsed() < LIMIT, "HTTP does not come back");
        std::thread::sleep(Duration::from_millis(50));
    }
    running.signal("INT");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    log.read_to_string(&mut said).unwrap();
    assert!(said.lines().count() < 5, "{said}");
}
