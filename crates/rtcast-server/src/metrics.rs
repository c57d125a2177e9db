//! `/metrics`: the figures of the server, in the text format that Prometheus reads.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::server::ServerStats;
use crate::state::ServerState;

/// The exposition format of Prometheus, version 0.0.4.
const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `/metrics`.
pub(crate) async fn metrics(State(shared): State<Arc<ServerState>>) -> Response {
    let stats = shared.public_stats().await;
    let mut text = exposition(&stats);
    let _ = writeln!(text, "# HELP rtcast_stream_viewers Viewers of a stream whose connection stands.");
    let _ = writeln!(text, "# TYPE rtcast_stream_viewers gauge");
    // A stream's name has no character that would have to be escaped.
    for (name, _, viewers) in shared.list() {
        let _ = writeln!(text, "rtcast_stream_viewers{{stream=\"{name}\"}} {viewers}");
    }
    ([(CONTENT_TYPE, KIND), (CACHE_CONTROL, "no-store")], text).into_response()
}

fn exposition(stats: &ServerStats) -> String {
    let mut text = String::new();
    let mut add = |name: &str, kind: &str, help: &str, value: f64| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    };
    add("rtcast_viewers", "gauge", "Viewers whose connection stands.", stats.viewers as f64);
    let counters = [
        ("rtcast_packets_sent_total", "RTP packets sent, retransmissions included.", stats.packets_sent),
        ("rtcast_payload_bytes_sent_total", "Bytes of RTP payload sent.", stats.bytes_sent),
        ("rtcast_video_frames_sent_total", "Encoded video frames sent, summed over viewers.", stats.frames_sent),
        ("rtcast_packets_retransmitted_total", "RTP packets sent again.", stats.retransmitted_packets_sent),
        ("rtcast_frames_dropped_total", "Frames dropped because a thread could not keep up.", stats.frames_dropped),
        (
            "rtcast_viewer_frames_dropped_total",
            "Frames that single viewers were not sent because their network was too slow.",
            stats.viewer_frames_dropped,
        ),
        ("rtcast_send_errors_total", "Datagrams that the system refused to send.", stats.send_errors),
    ];
    for (name, help, value) in counters {
        add(name, "counter", help, value as f64);
    }
    add("rtcast_fraction_lost", "gauge", "Share of packets that viewers lately reported lost.", stats.fraction_lost);
    if let Some(time) = stats.round_trip_time {
        add("rtcast_round_trip_seconds", "gauge", "Median round-trip time to the viewers.", time.as_secs_f64());
    }
    add("rtcast_lag_seconds", "gauge", "How long the last frame waited for its thread.", stats.lag.as_secs_f64());
    let overloaded = f64::from(u8::from(stats.overloaded));
    add("rtcast_overloaded", "gauge", "1 while the server cannot keep up and refuses viewers.", overloaded);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_its_help_its_type_and_one_value() {
        let stats = ServerStats { viewers: 7, packets_sent: 12, overloaded: true, ..ServerStats::default() };
        let text = exposition(&stats);
        assert!(text.contains("\nrtcast_packets_sent_total 12\n"), "{text}");
        assert!(text.contains("\nrtcast_overloaded 1\n"), "{text}");
        assert!(!text.contains("round_trip"), "nothing is told that is not known");
        for lines in text.lines().collect::<Vec<_>>().chunks(3) {
            let [help, kind, value] = lines else { panic!("{lines:?}") };
            let name = value.split(' ').next().unwrap();
            assert!(help.starts_with(&format!("# HELP {name} ")), "{lines:?}");
            assert!(kind.starts_with(&format!("# TYPE {name} ")), "{lines:?}");
        }
    }
}
