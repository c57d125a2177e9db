//! What the peers' programs share: frames and messages whose bytes can be foretold, and lines of JSON.

use std::io::BufRead;
use std::time::Duration;

use serde_json::{Value, json};

/// Time between two pictures.
pub const PICTURE_INTERVAL: Duration = Duration::from_millis(40);

/// Time between two frames of sound.
pub const SOUND_INTERVAL: Duration = Duration::from_millis(20);

/// A keyframe of VP8, as far as packetisers and jitter buffers look into it, of some packets.
pub fn picture(number: u32) -> Vec<u8> {
    numbered(&[0x10, 2, 0, 0x9d, 1, 0x2a, 64, 1, 240, 0], number, 3_000)
}

/// A frame of Opus, of one packet.
pub fn sound(number: u32) -> Vec<u8> {
    numbered(&[0xfc], number, 80)
}

fn numbered(head: &[u8], number: u32, length: usize) -> Vec<u8> {
    let mut frame = head.to_vec();
    frame.extend(number.to_be_bytes());
    frame.extend((frame.len()..length).map(|at| (number as usize * 31 + at * 7) as u8));
    frame
}

/// One message of a data channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whether it is bytes and not a string.
    pub binary: bool,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// What the side that makes the channel sends, and gets back.
pub fn messages() -> Vec<Message> {
    let text = |text: &str| Message { binary: false, data: text.into() };
    let bytes =
        |length: usize| Message { binary: true, data: (0..length).map(|at| ((at * 31) ^ (at >> 8)) as u8).collect() };
    vec![text("text"), text("Ελλάδα 日本 🚀"), bytes(1), bytes(1_200), bytes(16_384), text(&"x".repeat(50_000))]
}

/// What has come so far.
#[derive(Debug, Default)]
pub struct Report {
    pictures: u32,
    sounds: u32,
    wrong: u32,
    echoes: Vec<Message>,
    echoed: u32,
}

impl Report {
    /// Takes a picture.
    pub fn picture(&mut self, data: &[u8]) {
        self.pictures += u32::from(self.check(data, 10, picture));
    }

    /// Takes a frame of sound.
    pub fn sound(&mut self, data: &[u8]) {
        self.sounds += u32::from(self.check(data, 1, sound));
    }

    fn check(&mut self, data: &[u8], at: usize, frame: impl Fn(u32) -> Vec<u8>) -> bool {
        let number = data.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let right = number.is_some_and(|number| frame(number) == data);
        self.wrong += u32::from(!right);
        right
    }

    /// Takes a message that came back.
    pub fn echo(&mut self, message: Message) {
        self.echoes.push(message);
    }

    /// Notes that a message was sent back.
    pub fn echoed(&mut self) {
        self.echoed += 1;
    }

    /// As a line of JSON.
    pub fn to_json(&self) -> String {
        let messages = messages();
        json!({
            "type": "report",
            "pictures": self.pictures,
            "sounds": self.sounds,
            "wrong": self.wrong,
            "echoed": self.echoed as usize == messages.len(),
            "echoes": self.echoes == messages,
        })
        .to_string()
    }
}

/// What the test asks for on the command line.
#[derive(Debug, Clone, Copy)]
pub struct Arguments {
    /// Whether this side offers.
    pub offers: bool,
    /// Whether candidates follow the description.
    pub trickles: bool,
}

impl Arguments {
    /// Reads `offer|answer trickle|whole`.
    pub fn read() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [role @ ("offer" | "answer"), candidates @ ("trickle" | "whole")] => {
                Self { offers: *role == "offer", trickles: *candidates == "trickle" }
            }
            _ => panic!("usage: PROGRAM offer|answer trickle|whole"),
        }
    }

    /// The type of the description that this side makes.
    pub fn description_type(&self) -> &'static str {
        if self.offers { "offer" } else { "answer" }
    }
}

/// Calls `each` with every line of the standard input as JSON, until it ends.
pub fn read_lines(mut each: impl FnMut(Value)) {
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("standard input is text");
        each(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line} is no JSON: {error}")));
    }
}

/// A text member of a message.
pub fn text<'a>(message: &'a Value, name: &str) -> &'a str {
    message.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("{message} has no text {name:?}"))
}

/// Parts a description and the candidates in it, each as a message.
pub fn parted(kind: &str, sdp: &str) -> Vec<Value> {
    let (candidates, lines): (Vec<&str>, Vec<&str>) =
        sdp.lines().partition(|line| line.starts_with("a=candidate:") || line.starts_with("a=end-of-candidates"));
    let sdp: String = lines.iter().flat_map(|line| [*line, "\r\n"]).collect();
    let mid = lines.iter().find_map(|line| line.strip_prefix("a=mid:"));
    let candidates = candidates.iter().filter_map(|line| line.strip_prefix("a=")).filter(|line| line.contains(':'));
    let message = |candidate| json!({ "type": "candidate", "candidate": candidate, "sdpMid": mid, "sdpMLineIndex": 0 });
    std::iter::once(json!({ "type": kind, "sdp": sdp })).chain(candidates.map(message)).collect()
}
