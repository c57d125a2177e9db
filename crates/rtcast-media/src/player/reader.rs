//! The thread that reads the source, so that one that blocks (a pipe, a camera, a slow disk) delays nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Thread;

use crate::error::MediaError;
use crate::lane::spawn;
use crate::packet::{Demuxer, Packet};

/// What was read and not yet taken; reading stops there. Few, because raw pictures are large.
const QUEUE: usize = 8;
/// So many packets in a row that cannot be read end the source.
const FAILURES: u32 = 300;

/// One thing that was read.
pub(super) enum Read {
    /// The next packet of a stream that is wanted.
    Packet(Packet),
    /// The source begins anew.
    Rewound,
    /// Nothing follows; the error, if it did not end well.
    Ended(Option<MediaError>),
}

/// How the reader is started.
pub(super) struct Settings {
    /// The streams whose packets are wanted.
    pub(super) streams: Vec<usize>,
    /// Whether to begin anew at the end.
    pub(super) looping: bool,
    /// The name of the source in errors.
    pub(super) name: String,
}

/// Starts to read. After each thing that is read, `arrived` is set and the thread unparked. The reader ends when the
/// receiver is dropped, as soon as the source returns from what it reads.
pub(super) fn start(
    demuxer: Box<dyn Demuxer>,
    settings: Settings,
    arrived: Arc<AtomicBool>,
    wake: Thread,
) -> Result<Receiver<Read>, MediaError> {
    let (sender, receiver) = sync_channel(QUEUE);
    let mut reader = Reader { demuxer, settings, sender, arrived, wake };
    // It is not joined: it may be blocked for ever in a pipe that stays open.
    spawn("rtcast-read", move || {
        let failure = reader.run();
        reader.send(Read::Ended(failure));
    })?;
    Ok(receiver)
}

struct Reader {
    demuxer: Box<dyn Demuxer>,
    settings: Settings,
    sender: SyncSender<Read>,
    arrived: Arc<AtomicBool>,
    wake: Thread,
}

impl Reader {
    /// Reads to the end, and returns what was wrong with it.
    fn run(&mut self) -> Option<MediaError> {
        let mut failed = 0;
        let mut has_presented = false;
        let mut is_told = false;
        loop {
            match self.demuxer.next_packet() {
                Ok(Some(packet)) => {
                    failed = 0;
                    if self.settings.streams.contains(&packet.stream) {
                        has_presented |= !packet.chunk.discard;
                        if !self.send(Read::Packet(packet)) {
                            return None;
                        }
                    }
                }
                Ok(None) if !has_presented => {
                    let reason = "it holds no packet of the streams that it announces".into();
                    return Some(MediaError::Invalid { source_name: self.settings.name.clone(), reason });
                }
                Ok(None) if !self.settings.looping => return None,
                Ok(None) => match self.demuxer.rewind() {
                    Ok(true) => {
                        has_presented = false;
                        if !self.send(Read::Rewound) {
                            return None;
                        }
                    }
                    Ok(false) => return None,
                    Err(error) => return Some(error),
                },
                Err(error) => {
                    failed += 1;
                    if error.is_recoverable() && failed < FAILURES {
                        tracing::warn!(%error, "a packet cannot be read");
                        continue;
                    }
                    // What comes before the damage can be read again; a pass that has nothing before it is the end.
                    if !self.settings.looping || !has_presented || !matches!(self.demuxer.rewind(), Ok(true)) {
                        return Some(error);
                    }
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(%error, "the rest of the source cannot be read: it begins anew at each pass");
                    }
                    (failed, has_presented) = (0, false);
                    if !self.send(Read::Rewound) {
                        return None;
                    }
                }
            }
        }
    }

    /// `false`: nobody takes it any more.
    fn send(&self, read: Read) -> bool {
        let sent = self.sender.send(read).is_ok();
        self.arrived.store(true, Ordering::Release);
        self.wake.unpark();
        sent
    }
}
