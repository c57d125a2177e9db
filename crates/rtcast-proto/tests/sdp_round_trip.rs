//! The offers of Chromium and Firefox, read and written again.

use rtcast_proto::SessionDescription;
use rtcast_proto::sdp::{SdpLines, SdpType, Session};

const OFFERS: [(&str, &str); 4] = [
    ("chromium_offer", include_str!("fixtures/chromium_offer.sdp")),
    ("chromium_offer_recvonly", include_str!("fixtures/chromium_offer_recvonly.sdp")),
    ("firefox_offer", include_str!("fixtures/firefox_offer.sdp")),
    ("firefox_offer_recvonly", include_str!("fixtures/firefox_offer_recvonly.sdp")),
];

#[test]
fn lines_come_back_byte_for_byte() {
    for (name, text) in OFFERS {
        assert!(text.contains("\r\n"), "{name} has lost its line ends");
        assert_eq!(SdpLines::parse(text).unwrap().to_string(), text, "{name}");
    }
}

#[test]
fn the_typed_model_survives_writing_and_reading() {
    for (name, text) in OFFERS {
        let session = Session::parse(text).unwrap();
        assert_eq!(session.media.len(), 3, "{name}");
        let again = Session::parse(&session.to_string()).unwrap();
        assert_eq!(again, session, "{name}");
    }
}

#[test]
fn a_description_keeps_its_text() {
    for (name, text) in OFFERS {
        let description = SessionDescription::new(SdpType::Offer, text).unwrap();
        assert_eq!(description.sdp(), text, "{name}");
        let again = SessionDescription::from_json(&description.to_json()).unwrap();
        assert_eq!(again, description, "{name}");
    }
}

#[test]
fn line_feeds_alone_mean_the_same() {
    for (name, text) in OFFERS {
        let short = text.replace("\r\n", "\n");
        assert_eq!(Session::parse(&short).unwrap(), Session::parse(text).unwrap(), "{name}");
        let without_last = short.trim_end();
        assert_eq!(Session::parse(without_last).unwrap(), Session::parse(text).unwrap(), "{name}");
    }
}
