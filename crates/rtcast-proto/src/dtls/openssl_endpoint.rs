//! The endpoint built on OpenSSL, for peers whose keys the default one does not know: RSA of fewer than
//! 2,048 or more than 8,192 bits, and curves such as secp224r1.
//!
//! OpenSSL reads the system's clock for its own retransmissions, which begin after a second. So that a lost flight costs
//! less, and is repeated by the caller's clock, the endpoint sends the datagrams of its last flight again: what is not
//! encrypted under new record numbers, what is encrypted (the end of the flight) as it was, as a network that duplicates
//! would. A peer that has seen the end of our flight, whose answer to it was lost, and who is not moved by a duplicate,
//! waits for OpenSSL's own second.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::srtp::SrtpProfileId;
use openssl::ssl::{
    Error, ErrorCode, Ssl, SslContext, SslMethod, SslMode, SslOptions, SslRef, SslSessionCacheMode, SslStream,
    SslVerifyMode, SslVersion,
};
use openssl::x509::X509;

use super::{Certificate, DtlsEndpoint, DtlsError, DtlsOutput, DtlsRole};
use crate::srtp::SrtpProfile;

/// Handshake datagrams stay below this, so that they pass every path that carries IPv6.
const MTU: u32 = 1_150;

/// The first repetition of a lost flight; the time doubles with each.
const FIRST_REPETITION: Duration = Duration::from_millis(150);

/// The longest time between two repetitions.
const LONGEST_INTERVAL: Duration = Duration::from_secs(10);

/// How long a handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(40);

/// A connected association has no timer of its own.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// Ciphers with forward secrecy (RFC 8827 §6.5), and keys of at least 1,024 bits of RSA, which old cameras have: the
/// fingerprint, not the key's strength, says who the peer is.
const CIPHERS: &str = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!PSK:@SECLEVEL=1";

/// RFC 8422 §5.1: the curves of certificates count as well, so P-224 stands there, last.
const GROUPS: &str = "X25519:P-256:P-384:P-521:P-224";

/// In the order of preference.
const SRTP_PROFILES: &str = "SRTP_AEAD_AES_128_GCM:SRTP_AEAD_AES_256_GCM:SRTP_AES128_CM_SHA1_80";

/// A DTLS 1.2 endpoint on OpenSSL.
pub struct OpenSslEndpoint {
    stream: SslStream<Datagrams>,
    role: DtlsRole,
    started: Option<Instant>,
    connected: bool,
    now: Instant,
    /// The datagrams of the last flight, which are repeated until the peer's next one comes.
    flight: Vec<Vec<u8>>,
    repetition: Option<(Instant, Duration)>,
    events: VecDeque<Event>,
}

/// What waits for the caller.
enum Event {
    PeerCertificate(Vec<u8>),
    KeyingMaterial(Vec<u8>, SrtpProfile),
    Connected,
    ApplicationData(Vec<u8>),
    CloseNotify,
}

/// The network as OpenSSL sees it: a read yields one datagram, a write makes one.
#[derive(Debug, Default)]
struct Datagrams {
    incoming: Option<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
    /// The number of the next record that is not encrypted.
    next_number: u64,
}

impl Datagrams {
    /// Queues a datagram. A peer may have dropped a record for coming out of turn, such as a `ChangeCipherSpec`, and takes
    /// it for a replay if it comes again, so each gets a number of its own.
    fn send(&mut self, mut datagram: Vec<u8>) {
        // RFC 6347 §4.1: type, version, epoch, number, length.
        const HEADER: usize = 13;
        let mut rest = &mut datagram[..];
        while let Some((header, body)) = rest.split_at_mut_checked(HEADER) {
            if header[3..5] == [0, 0] {
                header[5..11].copy_from_slice(&self.next_number.to_be_bytes()[2..]);
                self.next_number += 1;
            }
            let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
            rest = body.get_mut(length..).unwrap_or_default();
        }
        self.outgoing.push_back(datagram);
    }
}

impl Read for Datagrams {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(datagram) = self.incoming.take() else { return Err(io::ErrorKind::WouldBlock.into()) };
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        Ok(length)
    }
}

impl Write for Datagrams {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.send(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What endpoints with one certificate share; making it is the dear part of an endpoint.
pub(super) fn context(certificate: &[u8], private_key: &[u8]) -> Result<SslContext, ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::dtls())?;
    builder.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    builder.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
    builder.set_options(SslOptions::NO_QUERY_MTU | SslOptions::NO_TICKET | SslOptions::NO_RENEGOTIATION);
    builder.set_mode(SslMode::RELEASE_BUFFERS);
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_cipher_list(CIPHERS)?;
    builder.set_groups_list(GROUPS)?;
    builder.set_tlsext_use_srtp(SRTP_PROFILES)?;
    // RFC 8122 §6.2: a certificate is as good as its fingerprint, which the caller compares; nobody has signed it.
    builder.set_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, |_, _| true);
    builder.set_certificate(&*X509::from_der(certificate)?)?;
    builder.set_private_key(&*PKey::private_key_from_der(private_key)?)?;
    builder.check_private_key()?;
    Ok(builder.build())
}

/// Whether the key can be used and belongs to the certificate, both in DER; with the key as PKCS#8.
pub(super) fn check_key(certificate: &[u8], private_key: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    context(certificate, private_key)?;
    PKey::private_key_from_der(private_key)?.private_key_to_pkcs8()
}

impl OpenSslEndpoint {
    /// An endpoint of that role.
    ///
    /// # Errors
    /// [`DtlsError`] if OpenSSL refuses its configuration or the certificate.
    pub fn new(role: DtlsRole, certificate: &Certificate, now: Instant) -> Result<Self, DtlsError> {
        let refused = |error: ErrorStack| DtlsError { reason: reasons(&error) };
        let mut ssl = Ssl::new(&*certificate.openssl().map_err(refused)?).map_err(refused)?;
        ssl.set_mtu(MTU).map_err(refused)?;
        match role {
            DtlsRole::Client => ssl.set_connect_state(),
            DtlsRole::Server => ssl.set_accept_state(),
        }
        Ok(Self {
            stream: SslStream::new(ssl, Datagrams::default()).map_err(refused)?,
            role,
            started: None,
            connected: false,
            now,
            flight: Vec::new(),
            repetition: None,
            events: VecDeque::new(),
        })
    }

    /// Goes on with the handshake, then reads what there is.
    fn advance(&mut self) -> Result<(), DtlsError> {
        if !self.connected {
            let written = self.stream.get_ref().outgoing.len();
            let result = self.stream.do_handshake();
            let flight: Vec<_> = self.stream.get_ref().outgoing.iter().skip(written).cloned().collect();
            if !flight.is_empty() {
                self.flight = flight;
                self.repetition = None;
            }
            match result {
                Ok(()) => self.complete()?,
                Err(error) if error.code() == ErrorCode::WANT_READ => return Ok(()),
                Err(error) => return Err(failed(&error)),
            }
        }
        let mut buffer = [0; 2_048];
        loop {
            match self.stream.ssl_read(&mut buffer) {
                Ok(length) => self.events.push_back(Event::ApplicationData(buffer[..length].to_vec())),
                Err(error) if error.code() == ErrorCode::WANT_READ => return Ok(()),
                Err(error) if error.code() == ErrorCode::ZERO_RETURN => {
                    self.events.push_back(Event::CloseNotify);
                    return Ok(());
                }
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    fn complete(&mut self) -> Result<(), DtlsError> {
        self.connected = true;
        self.repetition = None;
        // RFC 6347 §4.2.4: whose flight was the last keeps it, for it may be lost and nothing of the peer's follows it.
        if self.role == DtlsRole::Client {
            self.flight.clear();
        }
        let ssl = self.stream.ssl();
        let certificate = ssl.peer_certificate().and_then(|certificate| certificate.to_der().ok());
        let certificate =
            certificate.ok_or_else(|| DtlsError { reason: "the peer has shown no certificate".to_owned() })?;
        self.events.push_back(Event::PeerCertificate(certificate));
        if let Some(profile) = srtp_profile(ssl) {
            let mut material = vec![0; profile.keying_material_length()];
            // RFC 5764 §4.2.
            ssl.export_keying_material(&mut material, "EXTRACTOR-dtls_srtp", None)
                .map_err(|error| DtlsError { reason: reasons(&error) })?;
            self.events.push_back(Event::KeyingMaterial(material, profile));
        }
        self.events.push_back(Event::Connected);
        Ok(())
    }

    /// When to repeat the flight that was handed out, which starts the time.
    fn next_timeout(&mut self) -> Instant {
        if self.connected {
            return self.now + IDLE;
        }
        let limit = self.started.unwrap_or(self.now) + HANDSHAKE_LIMIT;
        if self.flight.is_empty() {
            return limit;
        }
        let (at, _) = *self.repetition.get_or_insert((self.now + FIRST_REPETITION, FIRST_REPETITION));
        at.min(limit)
    }

    fn repeat_flight(&mut self) {
        let datagrams = self.stream.get_mut();
        self.flight.iter().for_each(|datagram| datagrams.send(datagram.clone()));
    }
}

impl DtlsEndpoint for OpenSslEndpoint {
    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsError> {
        /// RFC 5246 §6.2.1: the content types of a handshake.
        const CHANGE_CIPHER_SPEC: u8 = 20;
        const HANDSHAKE: u8 = 22;
        if self.connected && matches!(packet.first(), Some(&CHANGE_CIPHER_SPEC | &HANDSHAKE)) {
            self.repeat_flight();
        }
        self.stream.get_mut().incoming = Some(packet.to_vec());
        self.advance()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        self.now = now;
        let started = *self.started.get_or_insert(now);
        if self.connected {
            return Ok(());
        }
        if now.saturating_duration_since(started) >= HANDSHAKE_LIMIT {
            let reason = format!("the handshake did not end within {} s", HANDSHAKE_LIMIT.as_secs());
            return Err(DtlsError { reason });
        }
        let due = self.repetition.filter(|(at, _)| *at <= now);
        if let Some((_, interval)) = due {
            let interval = (interval * 2).min(LONGEST_INTERVAL);
            let written = self.stream.get_ref().outgoing.len();
            // OpenSSL sends it again itself if its own time has come, with new numbers, which get past the peer's check for
            // replays.
            self.advance()?;
            if self.stream.get_ref().outgoing.len() == written {
                self.repeat_flight();
            }
            self.repetition = Some((now + interval, interval));
        } else if self.flight.is_empty() {
            self.advance()?;
        }
        Ok(())
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        if let Some(datagram) = self.stream.get_mut().outgoing.pop_front() {
            return fill(buffer, &datagram).map_or(DtlsOutput::Other, DtlsOutput::Packet);
        }
        match self.events.pop_front() {
            Some(Event::PeerCertificate(certificate)) => DtlsOutput::PeerCertificate(certificate),
            Some(Event::KeyingMaterial(material, profile)) => DtlsOutput::KeyingMaterial(material, profile),
            Some(Event::Connected) => DtlsOutput::Connected,
            Some(Event::ApplicationData(data)) => {
                fill(buffer, &data).map_or(DtlsOutput::Other, DtlsOutput::ApplicationData)
            }
            Some(Event::CloseNotify) => DtlsOutput::CloseNotify,
            None => DtlsOutput::Timeout(self.next_timeout()),
        }
    }

    fn send(&mut self, data: &[u8]) -> Result<(), DtlsError> {
        self.stream.ssl_write(data).map(|_| ()).map_err(|error| failed(&error))
    }

    fn close(&mut self) {
        // An association that already failed has nobody to say goodbye to.
        let _ = self.stream.shutdown();
    }

    fn poll_alert(&mut self) -> Option<Vec<u8>> {
        self.stream.get_mut().outgoing.pop_front()
    }

    fn version(&self) -> Option<&'static str> {
        self.connected.then_some("DTLS 1.2")
    }
}

/// The bytes at the start of the buffer, if they fit.
fn fill<'a>(buffer: &'a mut [u8], bytes: &[u8]) -> Option<&'a [u8]> {
    let space = buffer.get_mut(..bytes.len())?;
    space.copy_from_slice(bytes);
    Some(space)
}

fn srtp_profile(ssl: &SslRef) -> Option<SrtpProfile> {
    match ssl.selected_srtp_profile()?.id() {
        SrtpProfileId::SRTP_AEAD_AES_128_GCM => Some(SrtpProfile::AeadAes128Gcm),
        SrtpProfileId::SRTP_AEAD_AES_256_GCM => Some(SrtpProfile::AeadAes256Gcm),
        SrtpProfileId::SRTP_AES128_CM_SHA1_80 => Some(SrtpProfile::Aes128CmSha1_80),
        _ => None,
    }
}

fn failed(error: &Error) -> DtlsError {
    DtlsError { reason: error.ssl_error().map_or_else(|| error.to_string(), reasons) }
}

/// What OpenSSL says, without its numbers and places.
fn reasons(errors: &ErrorStack) -> String {
    let reasons: Vec<_> = errors.errors().iter().filter_map(openssl::error::Error::reason).collect();
    if reasons.is_empty() { "OpenSSL does not say why".to_owned() } else { reasons.join(", ") }
}
