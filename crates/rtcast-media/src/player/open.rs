//! Opening a source so that everything in it that must be decoded can be.

use rtcast_track::{Bitrate, Codec, MediaKind};

use crate::codec::opus_head::LARGEST_PACKET;
use crate::codec::{audio_decoder, video_decoder};
use crate::container::{self, Options, Source};
use crate::error::MediaError;
use crate::packet::{Demuxer, SourceCodec, StreamInfo};
use crate::plan::{Action, CodecPolicy, Plan, StreamPlan};

/// So many packets are looked at for whether a built-in decoder takes a stream.
const PROBED_PACKETS: usize = 40;

/// Opens a source and plans it. What a built-in decoder turns out not to take (AV1, interlaced H.264) is left to the
/// `ffmpeg` program, if the source is a file, which can be opened again.
pub(super) fn open(
    source: &Source,
    policy: CodecPolicy,
    bitrate: Option<Bitrate>,
) -> Result<(Box<dyn Demuxer>, Plan), MediaError> {
    let mut demuxer = container::open(source)?;
    let planned = Plan::new(demuxer.streams(), policy, bitrate);
    let mut refused = match &planned {
        Ok(plan) => refused_packets(&mut *demuxer, plan)?,
        Err(MediaError::Unsupported { .. } | MediaError::Codec { .. }) => refused_streams(demuxer.streams()),
        Err(_) => Vec::new(),
    };
    if policy == CodecPolicy::Copy {
        // Its pictures are copied or nothing; its sound is re-encoded even then.
        refused.retain(|kind| *kind == MediaKind::Audio);
    }
    let can_reopen = matches!(source, Source::Path(path) if path.is_file());
    if refused.is_empty() || !can_reopen {
        let mut plan = planned?;
        if has_large_sound(&mut *demuxer, &plan)? {
            plan.avoid_large_packets(demuxer.streams());
        }
        return Ok((demuxer, plan));
    }
    let options = Options { decode: refused, ..Options::default() };
    let demuxer = container::open_with(source, &options)?;
    let plan = Plan::new(demuxer.streams(), policy, bitrate)?;
    Ok((demuxer, plan))
}

/// Whether a source goes on by itself, so that what nobody takes is stale: cameras and the like. What is fetched by HTTP
/// waits, as does a generator.
pub(super) fn is_live(source: &Source) -> bool {
    match source {
        Source::Url(url) => !["http:", "https:", "file:"].iter().any(|scheme| url.starts_with(scheme)),
        Source::Device { format, .. } => format != "lavfi",
        _ => false,
    }
}

/// The kinds whose first stream has no built-in decoder.
fn refused_streams(streams: &[StreamInfo]) -> Vec<MediaKind> {
    let first = |kind| streams.iter().find(|stream| stream.kind == kind);
    let refused = |kind: &MediaKind| match kind {
        MediaKind::Video => first(*kind).is_some_and(|stream| video_decoder(stream).is_err()),
        MediaKind::Audio => first(*kind).is_some_and(|stream| audio_decoder(stream).is_err()),
    };
    [MediaKind::Video, MediaKind::Audio].into_iter().filter(refused).collect()
}

/// The kinds of those streams to be decoded of which the decoder takes none of the first packets. A source that cannot
/// go back to its start is left alone.
fn refused_packets(demuxer: &mut dyn Demuxer, plan: &Plan) -> Result<Vec<MediaKind>, MediaError> {
    let encoded = |stream: &&StreamPlan| stream.encoded().next().is_some();
    let video = plan.video.as_ref().filter(encoded).map(|plan| plan.stream);
    let audio = plan.audio.as_ref().filter(encoded).map(|plan| plan.stream);
    if (video.is_none() && audio.is_none()) || !demuxer.rewind()? {
        return Ok(Vec::new());
    }
    let mut pictures = video.map(|index| video_decoder(&demuxer.streams()[index])).transpose()?;
    let mut sound = audio.map(|index| audio_decoder(&demuxer.streams()[index])).transpose()?;
    let mut refused = Vec::new();
    for _ in 0..PROBED_PACKETS {
        // What is wrong with the source is told when it is played.
        let Ok(Some(packet)) = demuxer.next_packet() else { break };
        if let Some(decoder) = pictures.as_mut().filter(|_| video == Some(packet.stream)) {
            match decoder.decode(&packet.chunk) {
                Ok(decoded) if decoded.is_empty() => {}
                Ok(_) => pictures = None,
                Err(_) => refused.push(MediaKind::Video),
            }
        } else if let Some(decoder) = sound.as_mut().filter(|_| audio == Some(packet.stream)) {
            match decoder.decode(&packet.chunk) {
                Ok(None) => {}
                Ok(Some(_)) => sound = None,
                Err(_) => refused.push(MediaKind::Audio),
            }
        }
        if pictures.is_none() && sound.is_none() {
            break;
        }
    }
    // A decoder that is still there has decoded nothing.
    refused.retain(|kind| match kind {
        MediaKind::Video => pictures.is_some(),
        MediaKind::Audio => sound.is_some(),
    });
    refused.sort_unstable();
    refused.dedup();
    demuxer.rewind()?;
    Ok(refused)
}

/// Whether sound that would be passed through has packets among its first that fit into no datagram. A source that cannot
/// go back to its start is left alone: the player changes over when it comes to such a packet.
fn has_large_sound(demuxer: &mut dyn Demuxer, plan: &Plan) -> Result<bool, MediaError> {
    let copied = |plan: &&StreamPlan| plan.renditions.iter().any(|rendition| rendition.action == Action::Copy);
    let Some(stream) = plan.audio.as_ref().filter(copied).map(|plan| plan.stream) else { return Ok(false) };
    if demuxer.streams()[stream].codec != SourceCodec::Rtp(Codec::Opus) || !demuxer.rewind()? {
        return Ok(false);
    }
    let mut found = false;
    for _ in 0..PROBED_PACKETS {
        // What is wrong with the source is told when it is played.
        let Ok(Some(packet)) = demuxer.next_packet() else { break };
        found |= packet.stream == stream && packet.chunk.data.len() > LARGEST_PACKET;
    }
    demuxer.rewind()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cameras_are_live_and_files_wait() {
        for (text, live) in [
            ("film.mp4", false),
            ("-", false),
            ("https://example.org/film.mp4", false),
            ("lavfi:testsrc2", false),
            ("rtsp://camera/1", true),
            ("/dev/video0", true),
        ] {
            assert_eq!(is_live(&Source::parse(text)), live, "{text}");
        }
    }
}
