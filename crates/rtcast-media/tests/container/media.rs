//! Sample files made by ffmpeg, and what ffprobe and ffmpeg themselves say of them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PICTURES: &str = "-f lavfi -i testsrc2=size=320x180:rate=30:duration=3";
const SMALL: &str = "-f lavfi -i testsrc2=size=160x120:rate=10:duration=1";
const TONE: &str = "-f lavfi -i sine=frequency=440:sample_rate=44100:duration=3";
const H264: &str = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 30";
const VP8: &str = "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 500k -g 30";
const VP9: &str = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 500k -g 30";
const AV1: &str = "-c:v libsvtav1 -preset 12 -g 30";

/// How a sample file is made: the arguments of ffmpeg, in which `@name` is the path of another sample.
fn recipe(name: &str) -> String {
    match name {
        "baseline.mp4" => format!("{PICTURES} {H264} -profile:v baseline"),
        "high.mp4" => format!("{PICTURES} {TONE} {H264} -profile:v high -bf 3 -c:a aac -ac 2"),
        "high-faststart.mp4" => "-i @high.mp4 -c copy -movflags faststart".into(),
        "high-fragmented.mp4" => "-i @high.mp4 -c copy -movflags frag_keyframe+empty_moov+default_base_moof".into(),
        "high-separate.mp4" => "-i @high.mp4 -c copy -movflags empty_moov+separate_moof+frag_keyframe".into(),
        "high-hybrid.mp4" => "-i @high.mp4 -c copy -movflags frag_keyframe".into(),
        "high-cut.mp4" => "-ss 1.3 -i @high.mp4 -c copy".into(),
        "high.mov" => "-i @high.mp4 -c:v copy -c:a pcm_s16le".into(),
        "high-big-endian.mov" => "-i @high.mp4 -c:v copy -c:a pcm_s24be".into(),
        "high.mkv" => "-i @high.mp4 -c copy".into(),
        "vp8.webm" => format!("{PICTURES} {TONE} {VP8} -c:a libopus -ac 2"),
        "vp8-live.webm" => "-i @vp8.webm -c copy -live 1 -cluster_time_limit 500".into(),
        "vp9.webm" => format!("{PICTURES} {TONE} {VP9} -c:a libopus -ac 2"),
        "vp9.mp4" => "-i @vp9.webm -c copy".into(),
        "av1.mp4" => format!("{PICTURES} {AV1}"),
        "av1.mkv" | "av1.ivf" => "-i @av1.mp4 -c copy".into(),
        "vp8.ivf" => "-i @vp8.webm -an -c copy".into(),
        "vp9.ivf" => "-i @vp9.webm -an -c copy".into(),
        "high.h264" | "baseline.h264" => format!("-i @{} -an -c copy", name.replace("h264", "mp4")),
        "high-aud.h264" => "-i @high.mp4 -an -c copy -bsf:v h264_mp4toannexb,h264_metadata=aud=insert".into(),
        "interlaced.h264" => format!("{PICTURES} {H264} -flags +ildct+ilme -x264opts tff=1"),
        "opus.ogg" => format!("{TONE} -c:a libopus -ac 2"),
        "vorbis.ogg" => format!("{TONE} -c:a libvorbis -ac 2"),
        "s16.wav" | "u8.wav" | "s24.wav" | "s32.wav" | "f32.wav" => {
            let codec = name.trim_end_matches(".wav");
            let codec = if codec == "u8" { codec.into() } else { format!("{codec}le") };
            format!("{TONE} -ac 2 -c:a pcm_{codec}")
        }
        "mulaw.wav" | "alaw.wav" => format!("{TONE} -ar 8000 -ac 1 -c:a pcm_{}", name.trim_end_matches(".wav")),
        "mulaw-16k.wav" => format!("{TONE} -ar 16000 -ac 2 -c:a pcm_mulaw"),
        "big.rf64.wav" => format!("{TONE} -ac 2 -rf64 always"),
        "tone.aac" => format!("{TONE} -ac 2 -c:a aac"),
        "pictures.y4m" => "-i @vp8.ivf -pix_fmt yuv420p".into(),
        "hevc-ac3.mp4" => {
            format!("{PICTURES} {TONE} -c:v libx265 -x265-params log-level=error -g 30 -c:a ac3")
        }
        "h264-ac3.mp4" => "-i @high.mp4 -c:v copy -c:a ac3".into(),
        "hevc-opus.mkv" => "-i @hevc-ac3.mp4 -c:v copy -c:a libopus".into(),
        "high.ts" => "-i @high.mp4 -c copy".into(),
        "high-10.mp4" => format!("{PICTURES} -c:v libx264 -preset veryfast -pix_fmt yuv420p10le"),
        "surround.mp4" => format!("{PICTURES} {TONE} {H264} -c:a aac -ac 6"),
        "pictures.mjpeg" => format!("{SMALL} -c:v mjpeg -f mjpeg"),
        "moving.apng" => format!("{SMALL} -f apng"),
        "moving.webp" => format!("{SMALL} -c:v libwebp_anim"),
        "moving.avif" => format!("{SMALL} {AV1} -pix_fmt yuv420p"),
        "half.y4m" => format!("{SMALL} -pix_fmt yuv422p"),
        "ten-bits.y4m" => format!("{SMALL} -pix_fmt yuv420p10le -strict -1"),
        "still.png" | "still.gif" => format!("{SMALL} -frames:v 1"),
        "still.jpg" => format!("{SMALL} -frames:v 1 -pix_fmt yuvj420p"),
        "still.webp" => format!("{SMALL} -frames:v 1 -c:v libwebp"),
        "red.webp" => "-f lavfi -i color=0xc83232:size=64x48 -frames:v 1 -c:v libwebp -lossless 1".into(),
        "no-keyframe.ts" => "-i @high.mp4 -c copy -bsf:v h264_mp4toannexb,filter_units=remove_types=5|7|8".into(),
        "tagged.mp4" => "-f lavfi -i testsrc2=size=720x576:rate=25:duration=0.4 -vf setsar=64/45,format=yuvj420p \
             -c:v libx264 -preset ultrafast -color_primaries bt709 -color_trc bt709 -colorspace bt709 -color_range pc"
            .into(),
        "tagged.mkv" => "-i @tagged.mp4 -c copy".into(),
        "tagged.h264" => "-i @tagged.mp4 -c copy".into(),
        "tagged.y4m" => "-i @tagged.mp4 -vf setfield=tff,format=yuv420p -frames:v 2".into(),
        "tagged.vp9.ivf" | "tagged.av1.ivf" => {
            let codec = if name.contains("vp9") { VP9 } else { AV1 };
            format!(
                "-f lavfi -i testsrc2=size=320x180:rate=25:duration=0.4 {codec} -pix_fmt yuv420p \
                 -color_primaries bt709 -color_trc bt709 -colorspace bt709 -color_range tv"
            )
        }
        other => panic!("no recipe for {other}"),
    }
}

/// The path of a sample file, which is made if it is not there yet.
pub(crate) fn sample(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("container-media");
    let path = directory.join(name);
    if path.exists() {
        return path;
    }
    fs::create_dir_all(&directory).unwrap();
    let recipe = recipe(name);
    let arguments = recipe.split_whitespace().map(|word| match word.strip_prefix('@') {
        Some(other) => sample(other),
        None => word.into(),
    });
    // Tests run side by side: each makes its own, and the last to finish stays.
    let unfinished = directory.join(format!("{:?}-{}-{name}", std::thread::current().id(), std::process::id()));
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(arguments)
        .args(["-fflags", "+bitexact"])
        .arg(&unfinished)
        .status()
        .expect("the tests need ffmpeg: apt-get install ffmpeg");
    assert!(status.success(), "ffmpeg could not make {name}");
    fs::rename(&unfinished, &path).unwrap();
    path
}

/// A packet as ffprobe sees it, times in seconds.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) pts: f64,
    pub(crate) dts: Option<f64>,
    pub(crate) keyframe: bool,
    pub(crate) discard: bool,
}

/// The packets of one stream, `v:0` or `a:0`, in decoding order.
pub(crate) fn expected_packets(path: &Path, stream: &str) -> Vec<Expected> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", stream, "-show_packets", "-of", "json"])
        .arg(path)
        .output()
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let seconds = |value: &serde_json::Value| value.as_str().and_then(|text| text.parse().ok());
    let packets = json["packets"].as_array().unwrap();
    packets
        .iter()
        .map(|packet| {
            let flags = packet["flags"].as_str().unwrap();
            Expected {
                pts: seconds(&packet["pts_time"]).unwrap(),
                dts: seconds(&packet["dts_time"]),
                keyframe: flags.starts_with('K'),
                discard: flags.contains('D'),
            }
        })
        .collect()
}

/// The checksum of every picture that ffmpeg decodes from a file or, with `-` for the path, from bytes.
pub(crate) fn decoded_pictures(input: &[&str], bytes: Option<&[u8]>) -> Vec<String> {
    let mut child = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-xerror"])
        .args(input)
        .args(["-map", "0:v:0", "-fps_mode", "passthrough", "-pix_fmt", "yuv420p", "-f", "framemd5", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.unwrap_or_default().to_vec();
    let writer = std::thread::spawn(move || {
        // ffmpeg may end before it has read everything, which the comparison then shows.
        let _ = stdin.write_all(&bytes);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "ffmpeg could not decode {input:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

/// The sound of a file as ffmpeg decodes it to signed 16-bit little endian.
pub(crate) fn decoded_sound(path: &Path) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-i"])
        .arg(path)
        .args(["-f", "s16le", "-c:a", "pcm_s16le", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "ffmpeg could not decode {}", path.display());
    output.stdout
}
