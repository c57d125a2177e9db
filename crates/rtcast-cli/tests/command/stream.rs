//! The command as a person or a program meets it.
use std::io::Read;
use std::process::ChildStdout;
use std::time::{Duration, Instant};

use crate::support::{Running, output};
use serde_json::Value;

#[test]
fn events_come_at_once_and_ctrl_c_ends_well_within_a_second() {
    for signal in ["INT", "TERM"] {
        let begin = Instant::now();
        let mut running = Running::start(&["stream", "--listen", "127.0.0.1:0"]);
        assert_eq!(running.event()["event"], "starting");
        let first = begin.elapsed();
        assert!(first < Duration::from_millis(1000), "first output after {first:?}");
        let ready = running.event();
        assert_eq!(ready["event"], "ready");
        assert_eq!(ready["name"], "test-pattern");
        let url = ready["url"].as_str().unwrap();
        assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/test-pattern"), "{url}");
        assert_eq!(ready["whep"], format!("{url}/whep"));
        assert_eq!(ready["websocket"], format!("{}/ws", url.replacen("http", "ws", 1)));
        assert!(ready["plan"]["video"].is_object(), "{ready}");
        let stats = running.event();
        assert_eq!((stats["event"].as_str(), stats["viewers"].as_u64()), (Some("stats"), Some(0)));
        let stop = Instant::now();
        running.signal(signal);
        let ended = running.event();
        assert_eq!((ended["event"].as_str(), ended["reason"].as_str()), (Some("ended"), Some("interrupted")));
        assert_eq!(running.child.wait().unwrap().code(), Some(0));
        assert!(stop.elapsed() < Duration::from_secs(1), "{:?}", stop.elapsed());
    }
}

#[test]
fn bad_usage_is_exit_code_2() {
    for arguments in [
        &["stream", "--bogus"][..],
        &["stream", "--listen", "nowhere"],
        &["stream", "--bitrate", "much"],
        &["stream", "--codec", "mpeg2"],
        &["stream", "--listen", "127.0.0.1:0", "--name", "a/b"],
        &["stream", "--log", "=="],
        &["stream", "--public-ip", "0.0.0.0"],
        &["stream", "--public-ip", "203.0.113.1:80"],
        &["stream", "--listen", "127.0.0.1:0", "--public-ip", "203.0.113.1", "--public-ip", "203.0.113.2"],
        &["stream", "--listen", "127.0.0.1:0", "--interface", "nowhere7"],
        &["unknown"],
        &[],
    ] {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn what_fails_is_exit_code_1_with_words_and_a_hint() {
    for arguments in [
        &["stream", "--listen", "127.0.0.1:0", "/nonexistent/foo.mp4"][..],
        &["stream", "--listen", "127.0.0.1:0", env!("CARGO_MANIFEST_PATH")],
        &["stream", "--listen", "192.0.2.1:0"],
    ] {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with("error: "), "{error}");
        assert!(!error.contains("panicked"), "{error}");
        let last = String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned();
        let event: Value = serde_json::from_str(&last).unwrap();
        assert_eq!(event["event"], "error");
        assert!(error.contains(event["message"].as_str().unwrap()));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut running = Running::start(&["stream", "--listen", "127.0.0.1:0"]);
    running.event();
    let Running { child, lines } = &mut running;
    let (dead, _) = std::io::pipe().unwrap();
    drop(std::mem::replace(lines.get_mut(), ChildStdout::from(std::os::fd::OwnedFd::from(dead))));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "");
}

#[test]
fn help_and_version() {
    let help = String::from_utf8(output(&["stream", "--help"]).stdout).unwrap();
    for flag in [
        "--json",
        "--listen",
        "--name",
        "--loop",
        "--no-loop",
        "--codec",
        "--bitrate",
        "--open",
        "--qr",
        "--no-qr",
        "--log",
    ] {
        assert!(help.contains(flag), "{flag}");
    }
    let version = String::from_utf8(output(&["--version"]).stdout).unwrap();
    assert_eq!(version.trim(), format!("rtcast {}", env!("CARGO_PKG_VERSION")));
}
