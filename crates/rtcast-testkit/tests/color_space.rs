//! What a sender knows of its pictures' colours reaches the receiver with each keyframe, if both take the extension.

use std::time::Duration;

use rtcast_proto::color::{COLOR_SPACE_EXTENSION, ColorRange, ColorSpace, HdrMetadata};
use rtcast_proto::{Codec, Frame, JsepConfig, RtpCodec};
use rtcast_testkit::{Link, Pair, Side, vp8_frame};

/// Sends frames, each with its colour space, over a path that loses packets. Returns what was received.
fn received(config: &JsepConfig, color_spaces: &[Option<ColorSpace>]) -> Vec<Frame> {
    let codec = RtpCodec::new(Codec::Vp8);
    let mut pair = Pair::with_config(&Link::default(), 3, config);
    let track = pair.add_track(Side::Left, &codec, "video");
    pair.negotiate(Side::Left);
    pair.connect(Duration::from_secs(5)).expect("connected");
    pair.left.connection.select_codec(track, Some(&codec));
    let mut packetizer = Pair::packetizer(&codec);
    for (number, color_space) in (0..).zip(color_spaces) {
        if number == 1 {
            pair.set_link(&Link { loss: 0.1, delay: Duration::from_millis(5), ..Link::default() });
        }
        let keyframe = number % 5 == 0;
        let frame = vp8_frame(number, if keyframe { 20_000 } else { 3_000 }, keyframe);
        pair.send(Side::Left, track, &mut packetizer, &frame.with_color_space(*color_space));
        pair.run_for(Duration::from_millis(33));
    }
    pair.set_link(&Link::default());
    pair.run_for(Duration::from_secs(1));
    std::mem::take(&mut pair.right.frames)
}

fn without_rtx() -> JsepConfig {
    let mut config = JsepConfig::default();
    config.codecs.iter_mut().for_each(|codec| codec.retransmission = false);
    config
}

#[test]
fn it_comes_with_the_keyframe_and_holds_until_the_next() {
    let hdr = HdrMetadata { luminance_max: 1_000, max_content_light_level: 800, ..HdrMetadata::default() };
    let rich = ColorSpace { hdr: Some(hdr), range: ColorRange::Full, ..ColorSpace::BT601 };
    let sent: Vec<_> = (0..40).map(|number| Some(if number < 20 { ColorSpace::BT709 } else { rich })).collect();
    // Lost packets come again by themselves or in a stream of their own: either way the extension is with them.
    for config in [JsepConfig::default(), without_rtx()] {
        let frames = received(&config, &sent);
        assert_eq!(frames.len(), 40);
        for (number, frame) in frames.iter().enumerate() {
            let told = frame.color_space.expect("a colour space");
            assert_eq!(told.to_bytes(), sent[number].unwrap().to_bytes(), "frame {number}");
        }
        // The last packet of these keyframes leaves room for the metadata, and both sides take mixed forms.
        assert_eq!(frames[25].color_space, Some(rich));
    }
}

#[test]
fn nothing_is_told_where_nothing_is_known_or_the_peer_does_not_take_it() {
    assert!(received(&JsepConfig::default(), &[None; 10]).iter().all(|frame| frame.color_space.is_none()));
    let mut plain = JsepConfig::default();
    plain.header_extensions.retain(|extension| extension.uri != COLOR_SPACE_EXTENSION);
    let frames = received(&plain, &[Some(ColorSpace::BT709); 10]);
    assert_eq!(frames.len(), 10);
    assert!(frames.iter().all(|frame| frame.color_space.is_none()));
}
