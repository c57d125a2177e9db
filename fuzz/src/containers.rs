//! What the fuzz targets of the readers of containers do with their bytes.
//!
//! The targets under `fuzz_targets/` call these functions, and so does the test `corpus` of `rtcast-media`, which runs
//! every file of their corpora on every machine.

use std::io::Cursor;

use bytes::Bytes;
use rtcast_media::container::{Options, open_bytes, open_reader};
use rtcast_media::{Demuxer, MediaError};

/// A function that takes any bytes and panics only if it found a mistake.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("container_adts", container),
    ("container_annex_b", container),
    ("container_ivf", container),
    ("container_matroska", container),
    ("container_mp4", container),
    ("container_ogg", container),
    ("container_wav", container),
    ("container_webp", container),
    ("container_y4m", container),
];

/// So many packets are enough: a table may name the same bytes again and again.
const PACKETS: usize = 20_000;

/// Reads bytes as a file and as a pipe; which container it is, they say themselves.
pub fn container(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let first = open_bytes("fuzz", bytes).map(|mut demuxer| {
        let first = read(&mut *demuxer);
        assert!(matches!(demuxer.rewind(), Ok(true)), "what lies in memory can be read again");
        assert_eq!(read(&mut *demuxer), first, "and is the same then");
        first
    });
    let mut options = Options::default();
    options.ffmpeg = None;
    let piped = open_reader("fuzz", Box::new(Cursor::new(data.to_vec())), &options);
    if let Ok(mut demuxer) = piped {
        read(&mut *demuxer);
    }
    if let Err(error) = first {
        assert!(!error.to_string().is_empty() && rtcast_proto::Hint::hint(&error).is_some_and(|hint| !hint.is_empty()));
    }
}

/// Reads to the end or to the first error; the number of packets, and of their bytes.
fn read(demuxer: &mut dyn Demuxer) -> (usize, usize) {
    let (mut packets, mut bytes) = (0, 0);
    loop {
        match demuxer.next_packet() {
            Ok(Some(packet)) => {
                assert!(packet.stream < demuxer.streams().len(), "a packet of a stream that there is not");
                assert!(!packet.chunk.data.is_empty(), "a packet without a byte");
                packets += 1;
                bytes += packet.chunk.data.len();
                if packets == PACKETS {
                    return (packets, bytes);
                }
            }
            Err(error @ MediaError::Codec { .. }) => assert!(error.is_recoverable()),
            Ok(None) | Err(_) => return (packets, bytes),
        }
    }
}
