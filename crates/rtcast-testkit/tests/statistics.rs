//! W3C's statistics of both ends of a call: they agree with each other and with what was done.

use std::time::Duration;

use rtcast_proto::data_channel::{DataChannelInit, DataChannelMessage};
use rtcast_proto::stats::{RtcStats, StatsDictionary, StatsReport};
use rtcast_proto::{Codec, RtpCodec};
use rtcast_testkit::{Link, Pair, Side, vp8_frame};
use serde_json::Value;

/// A call of ten seconds over a path that loses packets, and both reports.
fn call() -> (Pair, Value, Value) {
    let vp8 = RtpCodec::new(Codec::Vp8);
    let mut pair = Pair::new(&Link { delay: Duration::from_millis(20), loss: 0.01, ..Link::default() }, 5);
    let sender = pair.add_track(Side::Left, &vp8, "film");
    pair.negotiate(Side::Left);
    pair.connect(Duration::from_secs(5)).expect("connected");
    pair.left.connection.select_codec(sender, Some(&vp8));
    let mut packetizer = Pair::packetizer(&vp8);
    for number in 0..300 {
        pair.send(Side::Left, sender, &mut packetizer, &vp8_frame(number, 5_000, number % 60 == 0));
        pair.run_for(Duration::from_micros(33_333));
    }
    pair.run_for(Duration::from_secs(2));
    let json = |report: StatsReport| serde_json::from_str(&report.to_json()).expect("JSON");
    let (left, right) = (pair.left.connection.stats_report(pair.now), pair.right.connection.stats_report(pair.now));
    (pair, json(left), json(right))
}

#[track_caller]
fn only<'a>(report: &'a Value, kind: &str) -> &'a Value {
    let all: Vec<&Value> = report.as_object().unwrap().values().filter(|object| object["type"] == kind).collect();
    assert_eq!(all.len(), 1, "objects of type {kind}: {all:?}");
    all[0]
}

#[test]
fn both_ends_count_the_same() {
    let (_, left, right) = call();
    let (sent, received) = (only(&left, "outbound-rtp"), only(&right, "inbound-rtp"));
    assert_eq!(sent["ssrc"], received["ssrc"]);
    assert_eq!(sent["rtxSsrc"], received["rtxSsrc"]);
    assert_eq!((&sent["kind"], &sent["mid"]), (&received["kind"], &received["mid"]));
    assert_eq!(sent["framesSent"], 300);
    assert_eq!(sent["keyFramesEncoded"], 5);
    assert_eq!(received["framesReceived"], 300, "what was lost was sent again");
    assert_eq!(received["trackIdentifier"], "film");
    let number = |value: &Value| value.as_f64().expect("a number");
    assert_eq!(number(&sent["packetsSent"]) - number(&sent["retransmittedPacketsSent"]), 300.0 * 5.0);
    assert_eq!(
        number(&sent["bytesSent"]) - number(&sent["retransmittedBytesSent"]),
        300.0 * 5_020.0,
        "a VP8 descriptor of 4 bytes in each packet"
    );
    assert!(number(&sent["headerBytesSent"]) >= 12.0 * number(&sent["packetsSent"]));
    assert!(number(&received["retransmittedPacketsReceived"]) > 5.0);
    assert!(number(&received["retransmittedPacketsReceived"]) <= number(&sent["retransmittedPacketsSent"]));
    assert!(number(&received["nackCount"]) > 0.0 && number(&sent["nackCount"]) > 0.0);
    assert_eq!(sent["active"], true);

    let (theirs, ours) = (only(&left, "remote-inbound-rtp"), only(&right, "remote-outbound-rtp"));
    assert_eq!((&theirs["localId"], &sent["remoteId"]), (&sent["id"], &theirs["id"]));
    assert_eq!((&ours["localId"], &received["remoteId"]), (&received["id"], &ours["id"]));
    let round_trip = number(&theirs["roundTripTime"]);
    assert!((0.038..0.050).contains(&round_trip), "{round_trip} s over 20 ms each way");
    let (total, count) = (number(&theirs["totalRoundTripTime"]), number(&theirs["roundTripTimeMeasurements"]));
    assert!(count >= 8.0 && (total / count - 0.040).abs() < 0.010, "{total} s in {count}");
    assert!(number(&ours["reportsSent"]) >= 8.0);
    assert_eq!(ours["packetsSent"], 1_500, "the original stream, as sender reports count it");
    let source = only(&left, "media-source");
    assert_eq!((&sent["mediaSourceId"], &source["trackIdentifier"]), (&source["id"], &Value::from("film")));
    assert_eq!(source["frames"], 300);
}

#[test]
fn transport_and_codec_are_described() {
    let (pair, left, right) = call();
    for (report, other) in [(&left, &right), (&right, &left)] {
        let transport = only(report, "transport");
        assert_eq!(
            (&transport["dtlsState"], &transport["tlsVersion"]),
            (&Value::from("connected"), &Value::from("FEFD"))
        );
        let pair = &report[transport["selectedCandidatePairId"].as_str().expect("a pair")];
        assert_eq!((&pair["state"], &pair["nominated"]), (&Value::from("succeeded"), &Value::from(true)));
        let round_trip = pair["currentRoundTripTime"].as_f64().expect("a time");
        assert!((0.038..0.050).contains(&round_trip), "{round_trip}");
        let certificate = |report: &Value, member: &str| {
            report[only(report, "transport")[member].as_str().expect("an id")]["base64Certificate"].clone()
        };
        assert_eq!(certificate(report, "localCertificateId"), certificate(other, "remoteCertificateId"));
        let local = &report[pair["localCandidateId"].as_str().expect("an id")];
        let remote = &other[only(other, "candidate-pair")["remoteCandidateId"].as_str().expect("an id")];
        assert_eq!((&local["address"], &local["port"]), (&remote["address"], &remote["port"]));
        assert_eq!((&local["type"], &local["candidateType"]), (&Value::from("local-candidate"), &Value::from("host")));
        let codec = only(report, "codec");
        assert_eq!((&codec["mimeType"], &codec["clockRate"]), (&Value::from("video/VP8"), &Value::from(90_000)));
    }
    let roles = [&left, &right].map(|report| only(report, "transport")["dtlsRole"].as_str().expect("a role"));
    assert_eq!(roles, ["server", "client"], "the answerer opens DTLS");
    let roles = [&left, &right].map(|report| only(report, "transport")["iceRole"].as_str().expect("a role"));
    assert_eq!(roles, ["controlling", "controlled"]);
    let sent = only(&left, "transport")["bytesSent"].as_f64();
    assert_eq!(sent, only(&left, "outbound-rtp")["bytesSent"].as_f64());
    drop(pair);
}

#[test]
fn every_reference_leads_somewhere_and_a_selector_takes_what_it_needs() {
    let (mut pair, ..) = call();
    for side in [Side::Left, Side::Right] {
        let now = pair.now;
        let report = pair.peer(side).connection.stats_report(now);
        for object in report.iter() {
            assert!(object.timestamp > 1.0e12, "milliseconds since 1970: {}", object.timestamp);
            for id in object.references() {
                assert!(report.object(&id).is_some(), "{} refers to {id}, which is not there", object.id);
            }
        }
        let id = pair.peer(side).connection.transceivers()[0].id();
        let selected = pair.peer(side).connection.stats_report_of(now, id, side == Side::Left);
        let streams = |object: &&RtcStats| matches!(object.dictionary.type_name(), "inbound-rtp" | "outbound-rtp");
        assert_eq!(selected.iter().filter(streams).count(), 1);
        assert!(selected.iter().any(|object| matches!(object.dictionary, StatsDictionary::Transport(_))));
        assert!(!selected.iter().any(|object| matches!(object.dictionary, StatsDictionary::PeerConnection(_))));
        let none = pair.peer(side).connection.stats_report_of(now, id, side == Side::Right);
        assert!(none.is_empty(), "it goes one way");
    }
}

#[test]
fn data_channels_are_counted_on_both_sides() {
    let mut pair = Pair::with_data_channels(&Link::default(), 8);
    let channel = pair
        .with(Side::Left, |connection, now| connection.create_data_channel(now, "chat", DataChannelInit::default()))
        .expect("a channel")
        .channel;
    pair.negotiate(Side::Left);
    pair.connect(Duration::from_secs(5)).expect("connected");
    pair.run_for(Duration::from_secs(1));
    for _ in 0..3 {
        let message = DataChannelMessage::Text("hello".to_owned());
        pair.with(Side::Left, |connection, now| connection.send_data(now, channel, message)).expect("sent");
    }
    pair.run_for(Duration::from_secs(1));
    let now = pair.now;
    let reports = [Side::Left, Side::Right].map(|side| {
        let text = pair.peer(side).connection.stats_report(now).to_json();
        serde_json::from_str::<Value>(&text).expect("JSON")
    });
    for (report, sent, received) in [(&reports[0], 3, 0), (&reports[1], 0, 3)] {
        let channel = only(report, "data-channel");
        assert_eq!((&channel["label"], &channel["state"]), (&Value::from("chat"), &Value::from("open")));
        assert_eq!(
            (&channel["messagesSent"], &channel["messagesReceived"]),
            (&Value::from(sent), &Value::from(received))
        );
        assert_eq!(
            (&channel["bytesSent"], &channel["bytesReceived"]),
            (&Value::from(5 * sent), &Value::from(5 * received))
        );
        assert_eq!(only(report, "peer-connection")["dataChannelsOpened"], 1);
    }
}
