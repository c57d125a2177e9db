//! A pipe that can be read again from its start, as long as not too much has been read of it, and that can be turned
//! into a temporary file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::{NamedTempFile, TempPath};

/// How much may be read before there is no way back.
const LIMIT: usize = 16 << 20;

/// How much of a pipe is kept in a temporary file for what needs to go back.
pub(crate) const SPOOL_LIMIT: u64 = 2 << 30;

/// The way back to the start of a pipe. Clones lead to the same pipe.
#[derive(Clone)]
pub(super) struct Replay(Arc<Mutex<Shared>>);

struct Shared {
    pipe: Box<dyn Read + Send>,
    /// What has been read, `None` once nobody asks for it or it is too much.
    read: Option<Vec<u8>>,
    spooled: Option<Arc<TempPath>>,
}

/// The pipe itself, which remembers what is read.
struct Recorder(Arc<Mutex<Shared>>);

impl Replay {
    /// Wraps a pipe.
    pub(super) fn new(pipe: Box<dyn Read + Send>) -> (Self, Box<dyn Read + Send>) {
        let shared = Arc::new(Mutex::new(Shared { pipe, read: Some(Vec::new()), spooled: None }));
        (Self(Arc::clone(&shared)), Box::new(Recorder(shared)))
    }

    /// Another reader of the pipe from its start, if it is not too late; the way back stays open.
    pub(super) fn read_again(&self) -> Option<Box<dyn Read + Send>> {
        self.lock().read.as_ref()?;
        Some(Box::new(Again { replay: self.clone(), position: 0 }))
    }

    /// Copies the whole pipe, from its start to its end, to a temporary file, which goes with the last that holds its
    /// path. `Ok(None)`: it is too late for that. An error of the kind [`io::ErrorKind::FileTooLarge`] says that the
    /// pipe is longer than [`SPOOL_LIMIT`].
    pub(super) fn spool(&self) -> io::Result<Option<(File, u64)>> {
        let mut shared = self.lock();
        let Some(read) = shared.read.take() else { return Ok(None) };
        let mut file = NamedTempFile::with_prefix("rtcast-")?;
        file.write_all(&read)?;
        let head = read.len() as u64;
        drop(read);
        let left = SPOOL_LIMIT.saturating_sub(head);
        let copied = io::copy(&mut Read::take(&mut shared.pipe, left.saturating_add(1)), &mut file)?;
        if copied > left {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        file.seek(SeekFrom::Start(0))?;
        let (file, path) = file.into_parts();
        shared.spooled = Some(Arc::new(path));
        Ok(Some((file, head + copied)))
    }

    /// The temporary file, if the pipe was copied to one.
    pub(super) fn spooled(&self) -> Option<Arc<TempPath>> {
        self.lock().spooled.clone()
    }

    /// Gives up the way back, and the memory that it takes.
    pub(super) fn forget(&self) {
        let mut shared = self.lock();
        shared.read = None;
        shared.spooled = None;
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.pipe.read(out)?;
        if let Some(read) = &mut self.read {
            read.extend_from_slice(out.get(..count).unwrap_or_default());
            if read.len() > LIMIT {
                self.read = None;
            }
        }
        Ok(count)
    }
}

impl Read for Recorder {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read(out)
    }
}

/// Reads what was read before, then on.
struct Again {
    replay: Replay,
    position: usize,
}

impl Read for Again {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut shared = self.replay.lock();
        let known = shared.read.as_ref().and_then(|read| read.get(self.position..)).unwrap_or_default();
        let count = if known.is_empty() {
            shared.read(out)?
        } else {
            let count = known.len().min(out.len());
            out[..count].copy_from_slice(&known[..count]);
            count
        };
        self.position += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_read_again_from_its_start() {
        let (replay, mut pipe) = Replay::new(Box::new(&b"abcdef"[..]));
        let mut head = [0; 4];
        pipe.read_exact(&mut head).unwrap();
        drop(pipe);
        for _ in 0..2 {
            let mut all = String::new();
            replay.read_again().unwrap().read_to_string(&mut all).unwrap();
            assert_eq!(all, "abcdef");
        }
        replay.forget();
        assert!(replay.read_again().is_none());
    }

    #[test]
    fn a_pipe_becomes_a_file_that_goes_with_its_path() {
        let (replay, mut pipe) = Replay::new(Box::new(&b"abcdef"[..]));
        pipe.read_exact(&mut [0; 4]).unwrap();
        let (mut file, length) = replay.spool().unwrap().unwrap();
        let mut all = String::new();
        file.read_to_string(&mut all).unwrap();
        assert_eq!((all.as_str(), length), ("abcdef", 6));
        let path = replay.spooled().unwrap();
        assert_eq!(std::fs::read(&**path).unwrap(), b"abcdef");
        let place = path.to_path_buf();
        replay.forget();
        drop(path);
        assert!(!place.exists());
        assert!(replay.spool().unwrap().is_none());
    }

    #[test]
    fn too_much_cannot_be_read_again() {
        let (replay, mut pipe) = Replay::new(Box::new(io::repeat(7)));
        io::copy(&mut pipe.by_ref().take(LIMIT as u64 + 1), &mut io::sink()).unwrap();
        assert!(replay.read_again().is_none());
    }
}
