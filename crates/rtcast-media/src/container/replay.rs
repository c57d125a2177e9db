//! A pipe that can be read again from its start, as long as not too much has been read of it.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// How much may be read before there is no way back.
const LIMIT: usize = 16 << 20;

/// The way back to the start of a pipe.
pub(super) struct Replay(Arc<Mutex<Shared>>);

struct Shared {
    pipe: Box<dyn Read + Send>,
    /// What has been read, `None` once nobody asks for it or it is too much.
    read: Option<Vec<u8>>,
}

/// The pipe itself, which remembers what is read.
struct Recorder(Arc<Mutex<Shared>>);

impl Replay {
    /// Wraps a pipe.
    pub(super) fn new(pipe: Box<dyn Read + Send>) -> (Self, Box<dyn Read + Send>) {
        let shared = Arc::new(Mutex::new(Shared { pipe, read: Some(Vec::new()) }));
        (Self(Arc::clone(&shared)), Box::new(Recorder(shared)))
    }

    /// The pipe from its start, if it is not too late. What was read through the other handle is read again here.
    pub(super) fn restart(self) -> Option<Box<dyn Read + Send>> {
        let read = self.0.lock().unwrap_or_else(PoisonError::into_inner).read.take()?;
        Some(Box::new(io::Cursor::new(read).chain(Recorder(Arc::clone(&self.0)))))
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read = None;
    }
}

impl Read for Recorder {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = shared.pipe.read(out)?;
        let bytes = out.get(..count).unwrap_or_default();
        if let Some(read) = &mut shared.read {
            read.extend_from_slice(bytes);
            if read.len() > LIMIT {
                shared.read = None;
            }
        }
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
        let mut all = String::new();
        replay.restart().unwrap().read_to_string(&mut all).unwrap();
        assert_eq!(all, "abcdef");
    }

    #[test]
    fn too_much_cannot_be_read_again() {
        let (replay, mut pipe) = Replay::new(Box::new(io::repeat(7)));
        io::copy(&mut pipe.by_ref().take(LIMIT as u64 + 1), &mut io::sink()).unwrap();
        assert!(replay.restart().is_none());
    }
}
