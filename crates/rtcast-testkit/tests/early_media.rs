//! Media that overtakes the answer, as a fast peer's does.

use std::time::Duration;

use rtcast_proto::jsep::TransceiverInit;
use rtcast_proto::{Codec, Direction, MediaKind, RtpCodec};
use rtcast_testkit::{Link, Pair, Side, vp8_frame};

#[test]
fn packets_that_name_an_m_line_to_come_are_given_to_no_other() {
    let vp8 = RtpCodec::new(Codec::Vp8);
    let mut pair = Pair::new(&Link { delay: Duration::from_millis(5), ..Link::default() }, 1);
    let one = pair.add_track(Side::Right, &vp8, "one");
    pair.negotiate(Side::Right);
    pair.connect(Duration::from_secs(5)).expect("connected");
    assert!(pair.right.connection.select_codec(one, Some(&vp8)));
    let mut packetizers = [Pair::packetizer(&vp8), Pair::packetizer(&vp8)];
    pair.send(Side::Right, one, &mut packetizers[0], &vp8_frame(0, 600, true));
    pair.run_for(Duration::from_millis(50));
    assert_eq!(pair.left.frames.len(), 1);

    // The left side offers to receive one more, and the right side sends it as soon as it has answered.
    let now = pair.now;
    let init = TransceiverInit { direction: Direction::Recvonly, ..TransceiverInit::default() };
    let receiving = pair.left.connection.add_transceiver(MediaKind::Video, init);
    pair.left.connection.set_local_description(now, None).expect("an offer");
    let offer = pair.left.connection.local_description().expect("the offer");
    pair.right.connection.set_remote_description(now, &offer).expect("taken");
    let two = pair.right.connection.add_track(MediaKind::Video, "two", &[]).expect("a track");
    pair.right.connection.set_local_description(now, None).expect("an answer");
    pair.settle();
    assert!(pair.right.connection.select_codec(two, Some(&vp8)));
    pair.send(Side::Right, two, &mut packetizers[1], &vp8_frame(0, 600, true));
    pair.run_for(Duration::from_millis(50));
    assert_eq!(pair.left.frames.len(), 1, "nothing is known of it so far");

    let answer = pair.right.connection.local_description().expect("the answer");
    let now = pair.now;
    pair.left.connection.set_remote_description(now, &answer).expect("taken");
    pair.settle();
    pair.send(Side::Right, two, &mut packetizers[1], &vp8_frame(1, 600, true));
    pair.run_for(Duration::from_millis(50));
    assert_eq!(pair.left.frame_receivers.len(), 2);
    assert_eq!(pair.left.frame_receivers[1], receiving);
}
