//! The way to a TURN server: a UDP socket, a TCP connection, or TLS over one.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rtcast_proto::ice::{FramingKind, RelayProtocol, StreamFraming};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How long a TCP connection and its TLS handshake may take.
const CONNECT: Duration = Duration::from_secs(8);

/// How long a write may wait for the server to read. The media behind it is worthless by then.
const WRITE: Duration = Duration::from_secs(5);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that carries messages to one server and back.
pub(super) struct Wire {
    way: Way,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

enum Way {
    Datagrams(UdpSocket),
    Stream { stream: Box<dyn Stream>, framing: StreamFraming, out: Vec<u8> },
}

impl Wire {
    /// Connects to the server. `host` is the name that its certificate must have.
    pub(super) async fn connect(protocol: RelayProtocol, remote: SocketAddr, host: &str) -> io::Result<Self> {
        if protocol == RelayProtocol::Udp {
            let any: SocketAddr = if remote.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 16], 0).into() };
            let socket = UdpSocket::bind(any).await?;
            socket.connect(remote).await?;
            let local = socket.local_addr()?;
            return Ok(Self { way: Way::Datagrams(socket), local, remote });
        }
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the server did not answer in time");
        let connection = timeout(CONNECT, TcpStream::connect(remote)).await.map_err(late)??;
        // Each write is a packet of media: none waits for the next.
        connection.set_nodelay(true)?;
        let local = connection.local_addr()?;
        let stream: Box<dyn Stream> = if protocol == RelayProtocol::Tls {
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            let connector = TlsConnector::from(tls_config()?);
            Box::new(timeout(CONNECT, connector.connect(name, connection)).await.map_err(late)??)
        } else {
            Box::new(connection)
        };
        let way = Way::Stream { stream, framing: StreamFraming::new(FramingKind::Turn), out: Vec::new() };
        Ok(Self { way, local, remote })
    }

    /// Sends one message.
    pub(super) async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match &mut self.way {
            Way::Datagrams(socket) => match socket.send(message).await {
                // An ICMP message about what was sent before; whether the server is gone is for its answers to say.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
                result => result.map(drop),
            },
            Way::Stream { stream, framing, out } => {
                out.clear();
                framing.write(message, out);
                let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the server reads no more");
                timeout(WRITE, stream.write_all(out)).await.map_err(late)?
            }
        }
    }

    /// Receives messages into `buffer` and gives them to `each`. Cancelling it loses nothing.
    pub(super) async fn receive(&mut self, buffer: &mut [u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        match &mut self.way {
            Way::Datagrams(socket) => match socket.recv(buffer).await {
                Ok(length) => each(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            },
            Way::Stream { stream, framing, .. } => {
                let length = stream.read(buffer).await?;
                if length == 0 {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
                }
                if !framing.push(&buffer[..length]) {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the server does not speak TURN"));
                }
                while let Some(message) = framing.next_message() {
                    each(message);
                }
            }
        }
        Ok(())
    }
}

/// TLS with the system's certificates, or those that the environment's `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
fn tls_config() -> io::Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(io::Error::other("no root certificates were found: install ca-certificates or set SSL_CERT_FILE"));
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}
