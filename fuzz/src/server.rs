//! The targets that need the server: what comes over TCP to its port. The test `corpus` of `rtcast-server` runs them, too.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rtcast_server::{Server, Stream};
use tokio::runtime::Runtime;

/// A function that takes any bytes and panics only if it found a mistake.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[("http_requests", http_requests), ("sdp_fragment", sdp_fragment)];

/// Reads a fragment of SDP as a PATCH has it.
pub fn sdp_fragment(data: &[u8]) {
    rtcast_server::fuzzing::sdp_fragment(data);
}

/// Says anything to the port that HTTP and media over TCP share. Whatever it is, the server answers or closes in time, and
/// none of its threads panics.
pub fn http_requests(data: &[u8]) {
    let address = server();
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time that is not zero");
    // A server that has heard enough closes.
    let _ = stream.write_all(data);
    let _ = stream.shutdown(Shutdown::Write);
    let mut reply = Vec::new();
    if let Err(error) = stream.read_to_end(&mut reply) {
        assert!(!matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "no end");
    }
    assert!(reply.is_empty() || reply.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&reply));
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "a thread of the server has panicked");
}

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// One server for all inputs, with a stream without tracks.
fn server() -> SocketAddr {
    static SERVER: OnceLock<(Runtime, Server)> = OnceLock::new();
    let (_, server) = SERVER.get_or_init(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |information| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            before(information);
        }));
        let runtime = Runtime::new().expect("the runtime starts");
        let builder = Server::builder().stream("film", Stream::new()).media_over_tcp(true).shards(1);
        let server = runtime.block_on(builder.bind(([127, 0, 0, 1], 0).into())).expect("there is a free port");
        (runtime, server)
    });
    server.local_address()
}
