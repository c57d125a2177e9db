//! The m-line of the data channels.

use rtcast_proto::jsep::{JsepConfig, SignalingState};
use rtcast_proto::sdp::Direction;
use rtcast_proto::types::MediaKind;

use crate::common::{CHROMIUM, FIREFOX, Side, negotiate, offer, says};

fn side(name: &str) -> Side {
    Side::with(name, JsepConfig::default().with_data_channels())
}

#[test]
fn browsers_data_channels_are_taken_when_configured() {
    for (text, size) in [(CHROMIUM, 262_144), (FIREFOX, 1_073_741_823)] {
        let mut side = side("callee");
        let outcome = side.take(&offer(text));
        assert_eq!(outcome.refused, []);
        let (answer, outcome) = side.answer();
        assert_eq!(answer.session().bundle[0].len(), 3);
        assert!(answer.sdp().contains("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
        assert!(answer.sdp().contains("a=sctp-port:5000\r\na=max-message-size:262144\r\n"));
        let data = outcome.negotiated.unwrap().data.unwrap();
        assert_eq!((data.mid.as_str(), data.media_line), ("2", 2));
        assert_eq!((data.local_port, data.remote_port, data.max_message_size), (5000, 5000, size));
    }
}

#[test]
fn ours_are_asked_for() {
    let mut plain = Side::new("plain");
    says(&plain.jsep.request_data().unwrap_err(), &["data channels are not configured", "with_data_channels"]);
    let (mut caller, mut callee) = (side("caller"), side("callee"));
    assert!(caller.create_offer().session().media.is_empty(), "nobody asked for them yet");
    caller.jsep.request_data().unwrap();
    assert!(caller.jsep.negotiation_needed());
    let (offered, answered) = negotiate(&mut caller, &mut callee);
    assert_eq!(offered.signaling_state, SignalingState::Stable);
    assert!(offered.negotiated.unwrap().data.is_some() && answered.negotiated.unwrap().data.is_some());
    assert!(!caller.jsep.negotiation_needed());
    // Media comes after it and leaves it where it is.
    callee.add(MediaKind::Audio, Direction::Sendrecv);
    let (offered, _) = negotiate(&mut callee, &mut caller);
    let negotiated = offered.negotiated.unwrap();
    assert_eq!(negotiated.data.unwrap().media_line, 0);
    assert_eq!((negotiated.media[0].media_line, negotiated.media[0].mid.as_str()), (1, "1"));
}

#[test]
fn a_peer_that_has_none_rejects_them() {
    let (mut caller, mut plain) = (side("caller"), Side::new("plain"));
    caller.jsep.request_data().unwrap();
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    let (offered, answered) = negotiate(&mut caller, &mut plain);
    assert_eq!(offered.negotiated.unwrap().data, None);
    assert_eq!(answered.negotiated.unwrap().media.len(), 1);
    assert!(!caller.jsep.negotiation_needed(), "the peer is not asked again and again");
    caller.jsep.request_data().unwrap();
    assert!(caller.jsep.negotiation_needed());
}

#[test]
fn the_form_before_rfc_8841_is_answered_in_kind() {
    let text = CHROMIUM
        .replace("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "m=application 9 DTLS/SCTP 5001")
        .replace("a=sctp-port:5000", "a=sctpmap:5001 webrtc-datachannel 1024");
    let mut side = side("callee");
    side.take(&offer(text));
    let (answer, outcome) = side.answer();
    assert!(answer.sdp().contains("m=application 9 DTLS/SCTP 5000\r\n"));
    assert!(answer.sdp().contains("a=sctpmap:5000 webrtc-datachannel 65535\r\n"));
    let data = outcome.negotiated.unwrap().data.unwrap();
    assert_eq!((data.local_port, data.remote_port), (5000, 5001));
}
