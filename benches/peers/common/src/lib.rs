//! What the peers' programs share: the film, cut into frames and packets, its clock, and a WHEP endpoint.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::routing::{delete, post};
use tokio::net::TcpListener;

/// The film has so many frames a second.
pub const FRAMES_PER_SECOND: u32 = 30;

/// Ticks of the RTP clock from one frame to the next.
pub const TICKS_PER_FRAME: u32 = 90_000 / FRAMES_PER_SECOND;

/// The longest RTP payload.
const MAX_PAYLOAD: usize = 1_180;

/// One picture.
pub struct Frame {
    /// Annex B, each NAL unit behind a start code of four bytes.
    pub annex_b: Vec<u8>,
    /// The same as RTP payloads (RFC 6184 §5.6 and §5.8).
    pub payloads: Vec<Arc<[u8]>>,
    /// Whether decoding can start here.
    pub keyframe: bool,
}

/// The film.
pub struct Film {
    /// Its pictures in order.
    pub frames: Vec<Frame>,
}

impl Film {
    /// Reads Annex B in which every picture begins with an access unit delimiter.
    pub fn read(path: &str) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{path} cannot be read: {error}"));
        let mut frames: Vec<Vec<&[u8]>> = Vec::new();
        for unit in units(&bytes) {
            match unit.first().map(|head| head & 0x1f) {
                Some(9) => frames.push(Vec::new()),
                Some(_) => frames.last_mut().expect("the film begins with a delimiter").push(unit),
                None => {}
            }
        }
        let frames: Vec<Frame> = frames.iter().filter(|units| !units.is_empty()).map(|units| frame(units)).collect();
        assert!(frames.first().is_some_and(|frame| frame.keyframe), "the film begins with a keyframe");
        Self { frames }
    }

    /// Calls `each` with every frame when it is due, over and over; `number` counts on.
    pub fn play(&self, mut each: impl FnMut(u64, &Frame)) -> ! {
        let start = Instant::now();
        for number in 0.. {
            let due = start + due(number);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            each(number, &self.frames[number as usize % self.frames.len()]);
        }
        unreachable!("the numbers do not end")
    }
}

/// When a frame is due after the start.
pub fn due(number: u64) -> Duration {
    Duration::from_nanos(number * 1_000_000_000 / u64::from(FRAMES_PER_SECOND))
}

fn units(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut starts: Vec<usize> =
        (0..bytes.len().saturating_sub(2)).filter(|at| bytes[*at..].starts_with(&[0, 0, 1])).map(|at| at + 3).collect();
    starts.push(bytes.len() + 3);
    starts.into_iter().scan(None, |last: &mut Option<usize>, start| Some((last.replace(start), start))).filter_map(
        move |(from, to)| {
            let unit = &bytes[from?..(to - 3).min(bytes.len())];
            let end = unit.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            Some(&unit[..end])
        },
    )
}

fn frame(units: &[&[u8]]) -> Frame {
    let mut frame = Frame { annex_b: Vec::new(), payloads: Vec::new(), keyframe: false };
    for unit in units {
        frame.annex_b.extend([0, 0, 0, 1]);
        frame.annex_b.extend(*unit);
        frame.keyframe |= unit[0] & 0x1f == 5;
        if unit.len() <= MAX_PAYLOAD {
            frame.payloads.push(Arc::from(*unit));
            continue;
        }
        // Fragments of equal length, so that a sender with segmentation offload has one run.
        let (head, body) = (unit[0], &unit[1..]);
        let count = body.len().div_ceil(MAX_PAYLOAD - 2);
        let length = body.len().div_ceil(count);
        for (at, part) in body.chunks(length).enumerate() {
            let edge = if at == 0 {
                0x80
            } else if at == count - 1 {
                0x40
            } else {
                0
            };
            let mut payload = vec![head & 0xe0 | 28, head & 0x1f | edge];
            payload.extend(part);
            frame.payloads.push(payload.into());
        }
    }
    frame
}

/// What the programs are given on their command line: the film and the port of their endpoint.
pub fn arguments() -> (Film, u16, Vec<String>) {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: PROGRAM FILM.h264 PORT";
    let film = Film::read(&arguments.next().expect(usage));
    let port = arguments.next().and_then(|port| port.parse().ok()).expect(usage);
    (film, port, arguments.collect())
}

/// The mid of the video m-line, and the payload type of the first H.264 with packetisation mode 1.
pub fn video(offer: &str) -> Option<(String, u8)> {
    let section = offer.split("\nm=").find(|section| section.starts_with("video"))?;
    let value = |name: &str| section.lines().find_map(|line| line.strip_prefix(name));
    let mid = value("a=mid:")?.trim().to_owned();
    let number = section.lines().find_map(|line| {
        let (number, name) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
        let format = section.lines().find_map(|line| line.strip_prefix(&format!("a=fmtp:{number} ")))?;
        (name.starts_with("H264") && format.contains("packetization-mode=1") && format.contains("42e0"))
            .then(|| number.parse().ok())
            .flatten()
    })?;
    Some((mid, number))
}

/// Answers WHEP on the loopback address, on a thread of its own. `answer` takes an offer and returns the answer.
pub fn serve(port: u16, answer: impl Fn(String) -> Result<String, String> + Send + Sync + 'static) {
    let answer = Arc::new(answer);
    let respond = move |offer: String| async move {
        // Answering may take its time, and others wait meanwhile.
        let answered = tokio::task::spawn_blocking(move || answer(offer)).await;
        let headers = [(CONTENT_TYPE, "application/sdp"), (LOCATION, "/whep/session")];
        match answered.map_err(|error| error.to_string()).and_then(|answered| answered) {
            Ok(answer) => (StatusCode::CREATED, headers, answer),
            Err(error) => (StatusCode::BAD_REQUEST, headers, error),
        }
    };
    let router = Router::new().route("/whep", post(respond)).route("/whep/session", delete(|| async {}));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a thread can be started");
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", port))).expect("the port is free");
    thread::spawn(move || runtime.block_on(async { axum::serve(listener, router).await }));
    println!("ready");
}
