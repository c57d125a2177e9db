//! A decoder that outlasts damage, and what its codec's built-in decoder does not take.

use super::{VideoDecoder, video_decoder};
use crate::container::FfmpegDecoder;
use crate::error::MediaError;
use crate::packet::{EncodedChunk, StreamInfo};
use crate::raw::VideoFrame;

/// What is kept of a group of pictures of which none has come out yet, for another decoder to begin with.
const GROUP_PACKETS: usize = 64;
const GROUP_BYTES: usize = 16 << 20;

/// Decodes by the built-in decoder. Behind a picture that cannot be decoded it goes on with the next keyframe; from what
/// the built-in decoder does not take at all, the program `ffmpeg` takes over, if there is one.
pub(crate) struct LastingDecoder {
    stream: StreamInfo,
    built_in: Box<dyn VideoDecoder>,
    ffmpeg: Option<FfmpegDecoder>,
    /// The packets since the last keyframe, as long as no picture of them has come.
    group: Vec<EncodedChunk>,
    group_bytes: usize,
    /// A picture has come since the last keyframe.
    has_shown: bool,
    /// What follows is left out until the next keyframe.
    is_waiting: bool,
}

impl LastingDecoder {
    /// The decoder of a stream of pictures; an error if none is built in.
    pub(crate) fn new(stream: &StreamInfo) -> Result<Self, MediaError> {
        Ok(Self {
            stream: stream.clone(),
            built_in: video_decoder(stream)?,
            ffmpeg: None,
            group: Vec::new(),
            group_bytes: 0,
            has_shown: false,
            is_waiting: false,
        })
    }

    /// Forgets what came before; a keyframe follows.
    pub(crate) fn restart(&mut self) -> Result<(), MediaError> {
        self.begin_group();
        if let Some(ffmpeg) = &mut self.ffmpeg {
            ffmpeg.stop();
        } else {
            self.built_in = video_decoder(&self.stream)?;
        }
        Ok(())
    }

    fn begin_group(&mut self) {
        self.group.clear();
        self.group_bytes = 0;
        self.has_shown = false;
        self.is_waiting = false;
    }

    fn keep(&mut self, chunk: &EncodedChunk) {
        self.group_bytes += chunk.data.len();
        if self.group.len() < GROUP_PACKETS && self.group_bytes <= GROUP_BYTES {
            self.group.push(chunk.clone());
        } else {
            // Another decoder could begin only with the next keyframe.
            self.group.clear();
            self.group_bytes = usize::MAX / 2;
        }
    }

    /// What is done about an error of the built-in decoder.
    fn recover(&mut self, error: MediaError) -> Result<Vec<VideoFrame>, MediaError> {
        self.is_waiting = true;
        self.built_in = video_decoder(&self.stream)?;
        if self.has_shown {
            return Err(error);
        }
        let Some(mut ffmpeg) = FfmpegDecoder::new(&self.stream) else { return Err(error) };
        tracing::warn!(%error, "ffmpeg decodes the pictures from here on");
        let mut pictures = Vec::new();
        for chunk in std::mem::take(&mut self.group) {
            pictures.extend(ffmpeg.decode(&chunk)?);
        }
        self.ffmpeg = Some(ffmpeg);
        Ok(pictures)
    }
}

impl VideoDecoder for LastingDecoder {
    fn decode(&mut self, chunk: &EncodedChunk) -> Result<Vec<VideoFrame>, MediaError> {
        if let Some(ffmpeg) = &mut self.ffmpeg {
            return ffmpeg.decode(chunk);
        }
        if chunk.keyframe {
            self.begin_group();
        }
        if self.is_waiting {
            return Ok(Vec::new());
        }
        if !self.has_shown {
            self.keep(chunk);
        }
        match self.built_in.decode(chunk) {
            Ok(pictures) => {
                if !pictures.is_empty() {
                    self.has_shown = true;
                    self.group.clear();
                }
                Ok(pictures)
            }
            Err(error) => self.recover(error),
        }
    }

    fn flush(&mut self) -> Result<Vec<VideoFrame>, MediaError> {
        self.begin_group();
        match &mut self.ffmpeg {
            Some(ffmpeg) => ffmpeg.flush(),
            None => self.built_in.flush(),
        }
    }
}
