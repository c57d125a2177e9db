//! Two readers of one source as one: some streams as the container has them, the others decoded.

use rtcast_track::MediaTime;

use crate::error::MediaError;
use crate::packet::{Demuxer, Packet, StreamInfo};

/// Takes some streams from another reader of the same source, whose times must be on the same clock.
pub(super) struct Merged {
    parts: [Part; 2],
    streams: Vec<StreamInfo>,
}

struct Part {
    demuxer: Box<dyn Demuxer>,
    /// For each of its streams, which of ours it is; `None` leaves it out.
    places: Vec<Option<usize>>,
    next: Option<Packet>,
    ended: bool,
}

impl Merged {
    /// Every stream of `replacing` takes the place of the first of its kind in `original`, or is added.
    pub(super) fn new(original: Box<dyn Demuxer>, replacing: Box<dyn Demuxer>) -> Self {
        let mut streams = original.streams().to_vec();
        let mut kept: Vec<Option<usize>> = (0..streams.len()).map(Some).collect();
        let mut places = Vec::new();
        for info in replacing.streams() {
            let place = match streams.iter().position(|stream| stream.kind == info.kind) {
                Some(place) => place,
                None => {
                    streams.push(info.clone());
                    streams.len() - 1
                }
            };
            if let Some(kept) = kept.get_mut(place) {
                *kept = None;
            }
            if let Some(stream) = streams.get_mut(place) {
                *stream = info.clone();
            }
            places.push(Some(place));
        }
        let part = |demuxer, places| Part { demuxer, places, next: None, ended: false };
        Self { parts: [part(original, kept), part(replacing, places)], streams }
    }
}

impl Demuxer for Merged {
    fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    fn duration(&self) -> Option<MediaTime> {
        self.parts.iter().find_map(|part| part.demuxer.duration())
    }

    fn next_packet(&mut self) -> Result<Option<Packet>, MediaError> {
        for part in &mut self.parts {
            part.fill()?;
        }
        let waiting = self.parts.iter_mut().filter(|part| part.next.is_some());
        let first = waiting.min_by_key(|part| part.next.as_ref().map(|packet| packet.dts));
        Ok(first.and_then(|part| part.next.take()))
    }

    fn rewind(&mut self) -> Result<bool, MediaError> {
        for part in &mut self.parts {
            if !part.demuxer.rewind()? {
                return Ok(false);
            }
            part.next = None;
            part.ended = false;
        }
        Ok(true)
    }
}

impl Part {
    /// Reads on to the next packet of a stream that is not left out.
    fn fill(&mut self) -> Result<(), MediaError> {
        while self.next.is_none() && !self.ended {
            match self.demuxer.next_packet()? {
                Some(mut packet) => {
                    if let Some(Some(place)) = self.places.get(packet.stream) {
                        packet.stream = *place;
                        self.next = Some(packet);
                    }
                }
                None => self.ended = true,
            }
        }
        Ok(())
    }
}
