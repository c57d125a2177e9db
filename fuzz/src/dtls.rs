//! DTLS: what a peer sends in a handshake, and what it shows as its certificate.

use std::sync::OnceLock;
use std::time::Duration;

use rtcast_proto::dtls::{Certificate, DimplEndpoint, DtlsEndpoint, DtlsOutput, DtlsRole, DtlsVersion};

use super::{pieces, some_instant};

fn ours() -> &'static Certificate {
    static OURS: OnceLock<Certificate> = OnceLock::new();
    OURS.get_or_init(|| Certificate::generate().expect("the system has randomness"))
}

/// Takes datagrams in either role of every version, which the first byte tells.
pub fn dtls_packets(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else {
        return;
    };
    let role = if kind & 1 == 0 { DtlsRole::Client } else { DtlsRole::Server };
    let version = [DtlsVersion::V1_2, DtlsVersion::V1_3, DtlsVersion::Auto][usize::from(kind >> 1) % 3];
    let mut now = some_instant();
    let mut endpoint = DimplEndpoint::new(role, version, ours(), now).expect("our certificate is good");
    let mut buffer = [0; 2_048];
    for piece in pieces(data) {
        now += Duration::from_millis(5);
        let done = endpoint.handle_timeout(now).and_then(|()| endpoint.handle_packet(piece));
        // No peer can have proven to be one.
        while let output = endpoint.poll_output(&mut buffer)
            && !matches!(output, DtlsOutput::Timeout(_))
        {
            assert!(!matches!(output, DtlsOutput::Connected));
            if let DtlsOutput::PeerCertificate(certificate) = output {
                assert!(certificate.len() <= 16 << 10);
                let _ = endpoint.check_peer_certificate(&certificate);
            }
        }
        if done.is_err() {
            return;
        }
    }
}

/// Reads a certificate as a peer's and as one of the caller's.
pub fn certificate(data: &[u8]) {
    let now = some_instant();
    let endpoint =
        DimplEndpoint::new(DtlsRole::Client, DtlsVersion::V1_2, ours(), now).expect("our certificate is good");
    let _ = endpoint.check_peer_certificate(data);
    assert!(Certificate::from_der(data, data).is_err());
}
