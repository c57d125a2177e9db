//! The load generator, against the command's own server.
use crate::support::{Running, output};
use serde_json::Value;

/// A stream of the test pattern, and its WHEP endpoint.
fn stream() -> (Running, String) {
    let mut server = Running::start(&["stream", "--json", "--listen", "127.0.0.1:0"]);
    loop {
        let event = server.event();
        if event["event"] == "ready" {
            let url = event["whep"].as_str().unwrap().to_owned();
            return (server, url);
        }
    }
}

/// Runs a load that must succeed.
fn report(arguments: &[&str]) -> Value {
    let output = output(arguments);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_viewer_receives_every_picture() {
    let (server, url) = stream();
    let pid = server.child.id().to_string();
    let report = report(&[
        "bench",
        "viewers",
        "--url",
        &url,
        "--count",
        "8",
        "--seconds",
        "3",
        "--verify",
        "2",
        "--each",
        "--server-pid",
        &pid,
        "--json",
    ]);
    assert_eq!(report["failed"], 0, "{report}");
    assert_eq!((&report["lost"], &report["lost_while_joining"]), (&0.into(), &0.into()), "{report}");
    assert_eq!((&report["unauthentic"], &report["unknown"]), (&0.into(), &0.into()), "{report}");
    assert_eq!(report["every_picture"], true, "{report}");
    assert_eq!(report["without_picture"], 0, "{report}");
    // All see the same stream, so they count the same pictures, but for those on their way at either end.
    let (least, most) = (report["pictures"]["least"].as_f64().unwrap(), report["pictures"]["most"].as_f64().unwrap());
    assert!(least >= 30.0 && most - least <= 3.0, "{report}");
    assert!(report["sounds"]["least"].as_f64().unwrap() >= 100.0, "{report}");
    assert!(report["first_picture_ms"]["least"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["setup_ms"]["least"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["delay_ms"]["median"].as_f64().unwrap() < 1_000.0, "{report}");
    assert!(report["server"]["memory"].as_u64().unwrap() > 1 << 20, "{report}");
    assert!(report["generator"]["cpu_us_per_datagram"].as_f64().unwrap() > 0.0, "{report}");
    let each = report["each"].as_array().unwrap();
    assert_eq!(each.len(), 8, "{report}");
    let packets: u64 = each.iter().map(|viewer| viewer["packets"].as_u64().unwrap()).sum();
    assert_eq!(report["packets"], packets, "{report}");
    assert!(report["timeline"].as_array().unwrap().iter().any(|sample| sample["viewers"] == 8), "{report}");
}

/// The same counts come from the ways of receiving that cost more: a packet at a time, a socket for each viewer.
#[test]
fn every_way_of_receiving_counts_the_same() {
    let (_server, url) = stream();
    for way in [&["--no-gro"][..], &["--private-sockets"], &["--no-gro", "--private-sockets", "--verify", "all"]] {
        let mut arguments = vec![
            "bench",
            "viewers",
            "--url",
            &url,
            "--count",
            "4",
            "--seconds",
            "1",
            "--warm-up",
            "0.5",
            "--join-rate",
            "20",
            "--no-sound",
            "--json",
        ];
        arguments.extend(way);
        let report = report(&arguments);
        assert_eq!(report["every_picture"], true, "{way:?} {report}");
        assert_eq!((&report["unauthentic"], &report["failed"]), (&0.into(), &0.into()), "{way:?} {report}");
        assert_eq!(report["sounds"]["most"], 0.0, "{way:?} {report}");
    }
}

#[test]
fn viewers_come_and_go_and_those_that_stay_lose_nothing() {
    let (_server, url) = stream();
    let report = report(&[
        "bench",
        "viewers",
        "--url",
        &url,
        "--count",
        "6",
        "--at-once",
        "6",
        "--seconds",
        "3",
        "--churn",
        "4",
        "--json",
    ]);
    assert!(report["exchanged"].as_u64().unwrap() >= 4, "{report}");
    assert_eq!((&report["lost"], &report["broken_pictures"]), (&0.into(), &0.into()), "{report}");
    assert_eq!((&report["failed"], &report["disconnected"]), (&0.into(), &0.into()), "{report}");
}

#[test]
fn connections_are_made_one_by_one_and_many_at_a_time() {
    let (server, url) = stream();
    let pid = server.child.id().to_string();
    let report =
        report(&["bench", "setup", "--url", &url, "--count", "8", "--at-once", "4", "--server-pid", &pid, "--json"]);
    for way in ["sequential", "parallel"] {
        let pass = &report[way];
        assert_eq!((&pass["connected"], &pass["failed"]), (&8.into(), &0.into()), "{report}");
        assert!(pass["connect_ms"]["least"].as_f64().unwrap() > 0.0, "{report}");
        assert!(pass["per_second"].as_f64().unwrap() > 0.5, "{report}");
        assert!(pass["server_cpu_ms"].as_f64().is_some(), "{report}");
    }
}

#[test]
fn what_cannot_be_measured_is_said() {
    for wrong in ["localhost:8080/foo", "ftp://localhost/foo", "http://"] {
        let wrong = output(&["bench", "viewers", "--url", wrong]);
        assert_eq!(wrong.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&wrong.stderr).contains("http://"));
    }
    for kind in ["viewers", "setup"] {
        let nobody = output(&["bench", kind, "--url", "http://127.0.0.1:9/foo/whep", "--count", "1"]);
        assert_eq!(nobody.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&nobody.stderr).contains("does not answer"), "{nobody:?}");
    }
    let nobody = output(&["bench", "viewers", "--url", "http://127.0.0.1:9/", "--server-pid", "4294967295"]);
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("cannot be observed"), "{nobody:?}");
}

#[test]
fn data_channels_are_measured_between_two_processes() {
    let output = output(&["bench", "datachannel", "--seconds", "1", "--pings", "200", "--json"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&text).unwrap();
    let bytes = report["bytes"].as_u64().unwrap();
    assert!(bytes > 1_000_000 && bytes.is_multiple_of(16_384), "{report}");
    assert!(report["megabytes_per_second"].as_f64().unwrap() > 1.0, "{report}");
    let (median, p99) = (report["ping_p50_us"].as_f64().unwrap(), report["ping_p99_us"].as_f64().unwrap());
    assert!(median > 0.0 && median <= p99, "{report}");
}
