//! The containers' readers, held against ffprobe and ffmpeg.

mod damage;
mod fallback;
mod ffmpeg;
mod formats;
mod media;
mod pipes;
mod properties;

use std::path::Path;

use rtcast_media::{Demuxer, Packet, Source, container};

fn open(path: &Path) -> Box<dyn Demuxer> {
    container::open(&Source::Path(path.into())).unwrap_or_else(|error| panic!("{error}"))
}

fn read_all(demuxer: &mut dyn Demuxer) -> Vec<Packet> {
    let mut packets = Vec::new();
    while let Some(packet) = demuxer.next_packet().unwrap() {
        packets.push(packet);
    }
    packets
}
