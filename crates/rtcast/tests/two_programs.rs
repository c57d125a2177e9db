//! The examples meet over a WebSocket, and what one receives is what the other sent, byte for byte.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rtcast::media::container::{self, Source};
use rtcast::{MediaKind, media::Demuxer};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// A directory for what this test makes, beside the test's own program.
fn directory() -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn example(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    // target/debug/deps/two_programs-… → target/debug/examples/NAME
    path.pop();
    path.pop();
    path.join("examples").join(name)
}

async fn film(name: &str, arguments: &[&str]) -> PathBuf {
    let path = directory().join(name);
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-y"])
        .args(["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30:duration=4"])
        .args(arguments)
        .arg(&path)
        .status()
        .await
        .expect("ffmpeg is installed");
    assert!(status.success());
    path
}

/// The pictures of a film as the player sends them.
fn pictures(path: &Path) -> Vec<u8> {
    let mut demuxer: Box<dyn Demuxer> = container::open(&Source::from(path.to_path_buf())).unwrap();
    let video = demuxer.streams().iter().position(|stream| stream.kind == MediaKind::Video).unwrap();
    let mut bytes = Vec::new();
    while let Some(packet) = demuxer.next_packet().unwrap() {
        if packet.stream == video {
            bytes.extend_from_slice(&packet.chunk.data);
        }
    }
    bytes
}

async fn meet(film: &Path) {
    let mut answerer = Command::new(example("answer"))
        .arg(film)
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the example is built with the tests");
    let mut lines = BufReader::new(answerer.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().expect("a line");
    let url = line.strip_prefix("listening on ").expect("the address");
    let received = film.with_extension("received");
    let offerer = Command::new(example("offer")).arg(url).arg("120").arg(&received).output();
    let output = tokio::time::timeout(Duration::from_secs(60), offerer).await.expect("it ends").unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("120 frames"), "{text}");
    assert!(std::fs::read(&received).unwrap() == pictures(film), "{}: other bytes came than were sent", film.display());
}

#[tokio::test]
async fn h264_comes_through_unchanged() {
    let baseline = ["-c:v", "libx264", "-profile:v", "baseline", "-pix_fmt", "yuv420p", "-g", "30"];
    meet(&film("two-programs-h264.mp4", &baseline).await).await;
}

#[tokio::test]
async fn vp9_comes_through_unchanged() {
    let vp9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1M", "-g", "30"];
    meet(&film("two-programs-vp9.webm", &vp9).await).await;
}
