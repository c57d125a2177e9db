//! Descriptions that were damaged on the way, by accident or on purpose: no panic, and no change when refused.

use std::time::{Duration, Instant};

use rtcast_proto::jsep::JsepConfig;
use rtcast_proto::sdp::{Direction, SdpType, SessionDescription};
use rtcast_proto::types::MediaKind;

use crate::common::{CHROMIUM, CHROMIUM_RECVONLY, FIREFOX, Side};

/// A small generator, so that a failure can be repeated (xorshift, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// Words that mean something somewhere, to be put where they do not.
const WORDS: [&str; 24] = [
    "0",
    "9",
    "65535",
    "65536",
    "4294967295",
    "4294967296",
    "-1",
    "BUNDLE",
    "a=bundle-only",
    "a=inactive",
    "a=setup:passive",
    "a=mid:0",
    "a=mid:1",
    "a=group:BUNDLE 0 1",
    "a=rtpmap:96 rtx/90000",
    "a=fmtp:96 apt=96",
    "a=fmtp:97 apt=127",
    "m=audio 9 UDP/TLS/RTP/SAVPF 0",
    "m=video 0 UDP/TLS/RTP/SAVPF 96",
    "a=extmap:255 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=ssrc-group:FID 1 1",
    "profile-level-id=ffffff",
    "é",
    "",
];

fn damaged(text: &str, dice: &mut Dice) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..=dice.below(6) {
        let (at, other) = (dice.below(lines.len()), dice.below(lines.len()));
        let word = WORDS[dice.below(WORDS.len())];
        match dice.below(7) {
            0 => drop(lines.remove(at)),
            1 => lines.swap(at, other),
            2 => lines.insert(at, lines[other].clone()),
            3 => lines.insert(at, word.to_owned()),
            4 => {
                let words: Vec<&str> = lines[at].split(' ').collect();
                let which = dice.below(words.len());
                let words: Vec<&str> =
                    words.iter().enumerate().map(|(i, w)| if i == which { word } else { w }).collect();
                lines[at] = words.join(" ");
            }
            5 => {
                let keep = dice.below(lines[at].chars().count() + 1);
                lines[at] = lines[at].chars().take(keep).collect();
            }
            _ => {
                let mut bytes = lines[at].clone().into_bytes();
                if !bytes.is_empty() {
                    let which = dice.below(bytes.len());
                    bytes[which] = dice.below(128) as u8;
                }
                lines[at] = String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        if lines.is_empty() {
            lines.push("v=0".into());
        }
    }
    lines.join("\r\n") + "\r\n"
}

/// Takes a damaged description; if it is refused, nothing has changed, and if not, the side can go on.
fn offered(side: &mut Side, sdp_type: SdpType, text: &str) -> bool {
    let Ok(description) = SessionDescription::new(sdp_type, text) else { return false };
    let before = side.state();
    match side.jsep.set_remote_description(&description) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(side.state(), before, "{error}\n{text}");
            false
        }
    }
}

#[test]
fn damaged_offers() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut taken = 0;
    for round in 0..2_000 {
        let mut side = Side::with("callee", JsepConfig::default().with_data_channels());
        side.jsep.add_track(MediaKind::Video, "film", &["film".into()]).unwrap();
        let text = damaged([CHROMIUM, FIREFOX, CHROMIUM_RECVONLY][round % 3], &mut dice);
        if !offered(&mut side, SdpType::Offer, &text) {
            continue;
        }
        taken += 1;
        let answer = side.jsep.create_answer(&side.transport).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(answer.session().media.len(), side.jsep.remote_description().unwrap().session().media.len());
        let read = SessionDescription::from_json(&answer.to_json())
            .unwrap_or_else(|error| panic!("{error}\n{text}\n{}", answer.sdp()));
        assert!(read.session() == answer.session(), "{text}\n{}", answer.sdp());
        side.jsep.set_local_description(&answer).unwrap_or_else(|error| panic!("{error}\n{text}"));
        // And a second exchange, damaged anew.
        let text = damaged(&text, &mut dice);
        offered(&mut side, SdpType::Offer, &text);
        if side.jsep.check_local(SdpType::Offer).is_ok() {
            side.offer();
        }
    }
    assert!(taken > 200, "only {taken} of the damaged offers were taken, which proves little");
}

#[test]
fn damaged_answers() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let (mut caller, mut callee) = (Side::new("caller"), Side::new("callee"));
    caller.add(MediaKind::Audio, Direction::Sendrecv);
    caller.add(MediaKind::Video, Direction::Sendrecv);
    callee.take(&caller.offer());
    let (answer, _) = callee.answer();
    let mut taken = 0;
    for _ in 0..2_000 {
        let mut side = Side { jsep: caller.jsep.clone(), transport: caller.transport.clone() };
        if offered(&mut side, SdpType::Answer, &damaged(answer.sdp(), &mut dice)) {
            taken += 1;
            side.offer();
        }
    }
    assert!(taken > 200, "only {taken} of the damaged answers were taken, which proves little");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the time that the test itself takes")]
fn the_largest_descriptions_are_dealt_with_in_good_time() {
    let head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    let transport = &CHROMIUM[CHROMIUM.find("a=ice-ufrag").unwrap()..CHROMIUM.find("a=mid:0").unwrap()];
    let mids: String = (0..512).map(|n| format!(" {n}")).collect();
    let media = |line: &str| (0..512).map(|n| format!("{line}\r\na=mid:{n}\r\n")).collect::<String>();
    let formats: String = (0..128).map(|n| format!(" {n}")).collect();
    let maps: String =
        (0..64).map(|n| format!("a=rtpmap:{n} H264/90000\r\na=fmtp:{n} profile-level-id=42e01f\r\n")).collect();
    let rtx: String = (64..128).map(|n| format!("a=rtpmap:{n} rtx/90000\r\na=fmtp:{n} apt={}\r\n", n - 64)).collect();
    for text in [
        // Every m-line rejected but the last, in a long group.
        format!(
            "{head}a=group:BUNDLE{mids}\r\n{}m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n{transport}a=rtcp-mux\r\n",
            media("m=audio 0 UDP/TLS/RTP/SAVPF 0")
        )
        .replacen("a=mid:511\r\n", "", 1),
        // Every m-line in use.
        format!(
            "{head}{transport}a=group:BUNDLE{mids}\r\n{}",
            media("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000")
        ),
        // A group that goes on and on.
        format!(
            "{head}{transport}a=group:BUNDLE{}\r\n{}",
            " 0".repeat(100_000),
            media("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000")
        ),
        // As many formats as there are numbers.
        format!(
            "{head}{transport}a=group:BUNDLE 0\r\nm=video 9 UDP/TLS/RTP/SAVPF{formats}\r\na=mid:0\r\na=rtcp-mux\r\n{maps}{rtx}"
        ),
        format!(
            "{head}{transport}a=group:BUNDLE 0\r\nm=video 9 UDP/TLS/RTP/SAVPF{}\r\na=mid:0\r\na=rtcp-mux\r\n{}",
            " 96".repeat(300_000),
            "a=rtpmap:96 VP8/90000\r\n".repeat(3)
        ),
    ] {
        let mut side = Side::new("callee");
        let start = Instant::now();
        if offered(&mut side, SdpType::Offer, &text) {
            side.answer();
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{:?} for {} bytes", start.elapsed(), text.len());
    }
}
