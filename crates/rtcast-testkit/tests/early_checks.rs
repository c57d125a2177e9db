//! The answerer's first checks reach an offerer that does not have the answer yet.

use std::time::Duration;

use rtcast_proto::{Codec, RtpCodec};
use rtcast_testkit::{Link, Pair, Side};

#[test]
fn checks_that_come_before_the_answer_cost_no_retransmission() {
    for milliseconds in [0, 1, 3, 7, 20, 60, 120] {
        let mut pair = Pair::new(&Link::default(), milliseconds);
        pair.add_track(Side::Left, &RtpCodec::new(Codec::Vp8), "video");
        let now = pair.now;
        let (offerer, answerer) = (&mut pair.left.connection, &mut pair.right.connection);
        offerer.set_local_description(now, None).expect("an offer");
        let offer = offerer.local_description().expect("the offer");
        answerer.set_remote_description(now, &offer).expect("the offer is taken");
        answerer.set_local_description(now, None).expect("an answer");
        let answer = answerer.local_description().expect("the answer");
        pair.run_for(Duration::from_millis(milliseconds));
        let now = pair.now;
        pair.left.connection.set_remote_description(now, &answer).expect("the answer is taken");
        let took = pair.connect(Duration::from_secs(5)).expect("connected");
        assert!(took < Duration::from_millis(30), "answer after {milliseconds} ms: connected {took:?} later");
    }
}
