//! The load generator, against the command's own server.
use crate::support::{Running, output};
use serde_json::Value;

#[test]
fn every_viewer_receives_every_picture() {
    let mut server = Running::start(&["stream", "--json", "--listen", "127.0.0.1:0"]);
    let url = loop {
        let event = server.event();
        if event["event"] == "ready" {
            break event["whep"].as_str().unwrap().to_owned();
        }
    };
    let pid = server.child.id().to_string();
    let output =
        output(&["bench", "viewers", "--url", &url, "--count", "8", "--seconds", "3", "--pid", &pid, "--json"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["failed"], 0, "{report}");
    assert_eq!(report["lost"], 0, "{report}");
    // All see the same stream, so they count the same pictures, but for those on their way at either end.
    let (least, most) = (report["pictures"]["least"].as_f64().unwrap(), report["pictures"]["most"].as_f64().unwrap());
    assert!(least >= 30.0 && most - least <= 3.0, "{report}");
    assert!(report["sounds"]["least"].as_f64().unwrap() >= 100.0, "{report}");
    assert!(report["first_picture_ms"]["most"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["server"]["memory"].as_u64().unwrap() > 1 << 20, "{report}");
}

#[test]
fn what_cannot_be_measured_is_said() {
    let wrong = output(&["bench", "viewers", "--url", "localhost:8080/foo"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("http://"));
    let nobody = output(&["bench", "viewers", "--url", "http://127.0.0.1:9/foo/whep", "--count", "1"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("does not answer"), "{nobody:?}");
}
