//! How many files may be open, and how many connections that allows.

/// Connections that are wanted, as far as the system lets so many files be open.
const CONNECTIONS: usize = 16_384;
/// Files besides connections: sockets for media, the source, programs that decode it.
#[cfg(unix)]
const OTHER_FILES: usize = 64;
/// Connections that are taken however few files there may be.
#[cfg(unix)]
const LEAST: usize = 16;

/// What the limit of open files allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileLimit {
    /// How many connections may be open.
    pub(crate) connections: usize,
    /// What a person should know: that it is less than was wanted.
    pub(crate) note: Option<String>,
}

/// Raises this process's limit of open files as far as it may, and as needed.
#[cfg(unix)]
pub(crate) fn raise() -> FileLimit {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    // Media over TCP comes on top, and others in this process need files, too.
    const WANTED: u64 = 65_536;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return allowed(1_024);
    };
    let wanted = WANTED.min(hard).max(soft);
    let reached =
        if wanted > soft && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_err() { soft } else { wanted };
    allowed(usize::try_from(reached).unwrap_or(usize::MAX))
}

/// Other systems have no such limit.
#[cfg(not(unix))]
pub(crate) fn raise() -> FileLimit {
    FileLimit { connections: CONNECTIONS, note: None }
}

#[cfg(unix)]
fn allowed(files: usize) -> FileLimit {
    // A quarter is for others.
    let connections = files.saturating_sub((files / 4).max(OTHER_FILES)).clamp(LEAST, CONNECTIONS);
    let note = (connections < CONNECTIONS).then(|| {
        format!(
            "this process may have {files} files open, so {connections} connections by TCP: raise the limit (ulimit -n)"
        )
    });
    FileLimit { connections, note }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn few_files_are_few_connections_and_that_is_said() {
        assert_eq!(allowed(65_536), FileLimit { connections: CONNECTIONS, note: None });
        let few = allowed(1_024);
        assert_eq!(few.connections, 768);
        assert!(few.note.is_some_and(|note| note.contains("1024") && note.contains("ulimit")));
        assert_eq!(allowed(80).connections, LEAST);
    }
}
