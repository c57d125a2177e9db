//! The bytes beneath a container: a file, or a pipe that cannot go back.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::replay::{Replay, SPOOL_LIMIT};
use crate::error::MediaError;

/// The longest single packet that is believed: a picture of 8K in I420 has 50 MB.
pub(crate) const LONGEST_PACKET: u64 = 64 << 20;

/// A readable source of bytes with a position, seekable only if it is a file.
pub(crate) struct Input {
    name: String,
    bytes: Bytes,
    position: u64,
    /// Bytes that were looked at before they were read; they lie at `position`.
    ahead: Vec<u8>,
    ahead_read: usize,
}

enum Bytes {
    File {
        file: BufReader<File>,
        length: u64,
    },
    /// In memory.
    Memory(io::Cursor<bytes::Bytes>),
    /// With the way back to its start, if there is one.
    Pipe(BufReader<Box<dyn Read + Send>>, Option<Replay>),
}

impl Input {
    pub(crate) fn file(name: String, file: File) -> Result<Self, MediaError> {
        let length = file.metadata().map_err(|error| MediaError::Io { source_name: name.clone(), error })?.len();
        Ok(Self::new(name, Bytes::File { file: BufReader::with_capacity(64 << 10, file), length }))
    }

    pub(crate) fn pipe(name: String, pipe: Box<dyn Read + Send>) -> Self {
        Self::new(name, Bytes::Pipe(BufReader::with_capacity(64 << 10, pipe), None))
    }

    /// A pipe with the way back to its start, so that it can become a file.
    pub(super) fn pipe_with_replay(name: String, pipe: Box<dyn Read + Send>, replay: Replay) -> Self {
        Self::new(name, Bytes::Pipe(BufReader::with_capacity(64 << 10, pipe), Some(replay)))
    }

    /// What lies in memory.
    pub(crate) const fn memory(name: String, bytes: bytes::Bytes) -> Self {
        Self::new(name, Bytes::Memory(io::Cursor::new(bytes)))
    }

    /// An input without bytes.
    pub(crate) fn empty(name: String) -> Self {
        Self::pipe(name, Box::new(io::empty()))
    }

    const fn new(name: String, bytes: Bytes) -> Self {
        Self { name, bytes, position: 0, ahead: Vec::new(), ahead_read: 0 }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn is_seekable(&self) -> bool {
        !matches!(self.bytes, Bytes::Pipe(..))
    }

    /// The length in bytes, `None` for a pipe.
    pub(crate) fn length(&self) -> Option<u64> {
        match &self.bytes {
            Bytes::File { length, .. } => Some(*length),
            Bytes::Memory(memory) => Some(memory.get_ref().len() as u64),
            Bytes::Pipe(..) => None,
        }
    }

    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// The next bytes without reading them: `count` of them, fewer only at the end.
    pub(crate) fn peek(&mut self, count: usize) -> Result<&[u8], MediaError> {
        let have = self.ahead.len() - self.ahead_read;
        if have < count {
            self.ahead.drain(..self.ahead_read);
            self.ahead_read = 0;
            let wanted = (count - have) as u64;
            let result = match &mut self.bytes {
                Bytes::File { file, .. } => file.by_ref().take(wanted).read_to_end(&mut self.ahead),
                Bytes::Memory(memory) => memory.by_ref().take(wanted).read_to_end(&mut self.ahead),
                Bytes::Pipe(pipe, _) => pipe.by_ref().take(wanted).read_to_end(&mut self.ahead),
            };
            result.map_err(|error| MediaError::Io { source_name: self.name.clone(), error })?;
        }
        let ahead = &self.ahead[self.ahead_read..];
        Ok(&ahead[..ahead.len().min(count)])
    }

    /// Fills `out`; `false` if the input ends before.
    pub(crate) fn read_exact(&mut self, out: &mut [u8]) -> Result<bool, MediaError> {
        let mut filled = 0;
        while filled < out.len() {
            match self.read(&mut out[filled..])? {
                0 => return Ok(false),
                count => filled += count,
            }
        }
        Ok(true)
    }

    pub(crate) fn read_array<const N: usize>(&mut self) -> Result<Option<[u8; N]>, MediaError> {
        let mut out = [0; N];
        Ok(self.read_exact(&mut out)?.then_some(out))
    }

    /// The next `count` bytes, `None` if the input ends before. Memory grows only as bytes arrive.
    pub(crate) fn read_vec(&mut self, count: u64) -> Result<Option<Vec<u8>>, MediaError> {
        if self.length().is_some_and(|length| count > length.saturating_sub(self.position)) {
            return Ok(None);
        }
        let limit = if self.is_seekable() { count } else { count.min(1 << 20) };
        let mut out = Vec::with_capacity(usize::try_from(limit).unwrap_or(0));
        let read = Read::take(&mut Reader(self), count).read_to_end(&mut out);
        read.map_err(|error| MediaError::Io { source_name: self.name.clone(), error })?;
        Ok((out.len() as u64 == count).then_some(out))
    }

    /// The next bytes: `count` of them, fewer only at the end.
    pub(crate) fn read_up_to(&mut self, count: u64) -> Result<Vec<u8>, MediaError> {
        let mut out = Vec::new();
        let read = Read::take(&mut Reader(self), count).read_to_end(&mut out);
        read.map_err(|error| MediaError::Io { source_name: self.name.clone(), error })?;
        Ok(out)
    }

    /// Appends what is there, up to `most` bytes, waiting only if nothing is; the number of bytes, 0 at the end.
    pub(crate) fn read_some(&mut self, out: &mut Vec<u8>, most: usize) -> Result<usize, MediaError> {
        let length = out.len();
        out.resize(length + most, 0);
        let result = self.read(out.get_mut(length..).unwrap_or_default());
        out.truncate(length + result.as_ref().map_or(0, |count| *count));
        result
    }

    /// Moves forward; stops at the end without an error.
    pub(crate) fn skip(&mut self, count: u64) -> Result<(), MediaError> {
        if self.is_seekable() {
            return self.seek(self.position.saturating_add(count)).map(|_| ());
        }
        let copied = io::copy(&mut Read::take(&mut Reader(self), count), &mut io::sink());
        copied.map_err(|error| MediaError::Io { source_name: self.name.clone(), error })?;
        Ok(())
    }

    /// Moves to a position from the start; `false` if it lies behind in a pipe.
    pub(crate) fn seek(&mut self, position: u64) -> Result<bool, MediaError> {
        if position == self.position {
            return Ok(true);
        }
        match &mut self.bytes {
            Bytes::File { file, .. } => {
                // Bytes that were looked at are behind the file's own cursor.
                let cursor = self.position + (self.ahead.len() - self.ahead_read) as u64;
                self.ahead.clear();
                self.ahead_read = 0;
                let moved = match i64::try_from(i128::from(position) - i128::from(cursor)) {
                    Ok(distance) => file.seek_relative(distance),
                    Err(_) => file.seek(SeekFrom::Start(position)).map(|_| ()),
                };
                moved.map_err(|error| MediaError::Io { source_name: self.name.clone(), error })?;
                self.position = position;
                Ok(true)
            }
            Bytes::Memory(memory) => {
                self.ahead.clear();
                self.ahead_read = 0;
                memory.set_position(position);
                self.position = position;
                Ok(true)
            }
            Bytes::Pipe(..) if position > self.position => {
                self.skip(position - self.position)?;
                Ok(true)
            }
            Bytes::Pipe(..) => Ok(false),
        }
    }

    /// Turns a pipe into a file by copying all of it to a temporary one; positions stay what they were.
    pub(crate) fn spool(&mut self) -> Result<(), MediaError> {
        let Bytes::Pipe(_, replay) = &self.bytes else { return Ok(()) };
        let limit = SPOOL_LIMIT >> 30;
        let too_much = |name: &str| MediaError::Unsupported {
            what: format!("{name}: more than {limit} GiB through a pipe that must be read from its end"),
            hint: "give the path of the file, or write it with its index first (ffmpeg -movflags +faststart)".into(),
        };
        tracing::warn!(
            source = self.name,
            "it must be read from its end: all of it is kept in a temporary file first, up to {limit} GiB"
        );
        let spooled = replay.as_ref().map_or(Ok(None), Replay::spool).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => too_much(&self.name),
            _ => MediaError::Io { source_name: format!("{}, to be kept in a temporary file,", self.name), error },
        });
        let Some((file, length)) = spooled? else { return Err(too_much(&self.name)) };
        let position = std::mem::take(&mut self.position);
        self.bytes = Bytes::File { file: BufReader::with_capacity(64 << 10, file), length };
        self.ahead.clear();
        self.ahead_read = 0;
        self.seek(position).map(drop)
    }

    /// An error that says what is wrong with these bytes.
    pub(crate) fn invalid(&self, reason: impl Into<String>) -> MediaError {
        MediaError::Invalid { source_name: self.name.clone(), reason: reason.into() }
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize, MediaError> {
        let result = Reader(self).read(out);
        result.map_err(|error| MediaError::Io { source_name: self.name.clone(), error })
    }
}

/// [`Input`] as the standard library reads.
struct Reader<'a>(&'a mut Input);

impl Read for Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let input = &mut *self.0;
        let ahead = &input.ahead[input.ahead_read..];
        let count = if ahead.is_empty() {
            loop {
                let result = match &mut input.bytes {
                    Bytes::File { file, .. } => file.read(out),
                    Bytes::Memory(memory) => memory.read(out),
                    Bytes::Pipe(pipe, _) => pipe.read(out),
                };
                match result {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => break other?,
                }
            }
        } else {
            let count = ahead.len().min(out.len());
            out[..count].copy_from_slice(&ahead[..count]);
            input.ahead_read += count;
            count
        };
        input.position += count as u64;
        Ok(count)
    }
}
