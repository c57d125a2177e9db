//! ICE, DTLS and SRTP of one connection: from datagrams to plain RTP and RTCP, and back.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, warn};

use super::batch::TransmitBatch;
use crate::data_channel::DataChannels;
use crate::dtls::{self, Certificate, DtlsEndpoint, DtlsError, DtlsOutput, DtlsRole, DtlsVersion, fingerprint_matches};
use crate::ice::{Bindings, IceCredentials, IceTransport, Quiet, SelectedPair};
use crate::jsep::NegotiatedData;
use crate::sdp::Fingerprint;
use crate::srtp::SrtpSession;

/// DTLS datagrams that come before the handshake can begin are kept: a lost ClientHello costs the viewer its
/// retransmission. More than one flight is never needed.
const MAX_EARLY_PACKETS: usize = 8;

/// No record of DTLS is longer than a datagram that passes the path.
const MAX_RECORD: usize = 2_048;

/// Control datagrams that wait for the socket; older ones give way, for each has a retransmission of its own.
const MAX_QUEUED: usize = 64;

/// W3C's `RTCDtlsTransportState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtlsTransportState {
    /// Not started.
    #[default]
    New,
    /// The handshake goes on.
    Connecting,
    /// Keys are there.
    Connected,
    /// Ended by either side.
    Closed,
    /// The handshake failed, or the certificate was not the announced one.
    Failed,
}

/// What a datagram held.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Nothing for the layers above, but their states may have changed.
    Nothing,
    /// Something that changed no state; it may be that there is an answer to send, and that the next timeout is another.
    Quiet,
    /// A plain RTP packet of that length at the start of the buffer, with its 48-bit index.
    Rtp { index: u64, length: usize },
    /// Plain RTCP of that length at the start of the buffer. If it came from elsewhere than we send to, ICE has to act.
    Rtcp { length: usize, elsewhere: bool },
}

pub(super) struct Transport {
    pub(super) ice: IceTransport,
    pub(super) bindings: Bindings,
    dtls: Option<Box<dyn DtlsEndpoint>>,
    dtls_state: DtlsTransportState,
    dtls_timeout: Option<Instant>,
    failure: Option<String>,
    /// Datagrams that only the peer can have sent, or that came from where it has shown to be.
    pub(super) heard: u64,
    remote_certificate: Option<Arc<[u8]>>,
    role: Option<DtlsRole>,
    fingerprints: Vec<Fingerprint>,
    early: Vec<(SocketAddr, Vec<u8>)>,
    srtp: Option<SrtpSession>,
    queue: VecDeque<(SelectedPair, Vec<u8>)>,
    pub(super) data: DataChannels,
    /// The packet of SCTP that is being sent.
    packet: Vec<u8>,
    certificate: Certificate,
    version: DtlsVersion,
}

impl Transport {
    pub(super) fn new(
        credentials: &IceCredentials,
        secret: [u8; 32],
        certificate: Certificate,
        version: DtlsVersion,
        data: DataChannels,
    ) -> Self {
        Self {
            data,
            packet: Vec::new(),
            ice: IceTransport::new(credentials, secret),
            bindings: Bindings::default(),
            dtls: None,
            dtls_state: DtlsTransportState::New,
            dtls_timeout: None,
            failure: None,
            heard: 0,
            remote_certificate: None,
            role: None,
            fingerprints: Vec::new(),
            early: Vec::new(),
            srtp: None,
            queue: VecDeque::new(),
            certificate,
            version,
        }
    }

    /// Starts DTLS once the peer's role and fingerprints are known; later calls only renew the fingerprints.
    pub(super) fn start_dtls(&mut self, now: Instant, role: DtlsRole, fingerprints: Vec<Fingerprint>) {
        self.fingerprints = fingerprints;
        if self.dtls.is_some() || self.dtls_state != DtlsTransportState::New {
            return;
        }
        self.role = Some(role);
        match dtls::endpoint(role, self.version, &self.certificate, now) {
            Ok(endpoint) => {
                self.dtls = Some(endpoint);
                self.dtls_state = DtlsTransportState::Connecting;
                self.drive_dtls(now);
            }
            Err(error) => self.fail(now, &error),
        }
    }

    pub(super) const fn dtls_state(&self) -> DtlsTransportState {
        self.dtls_state
    }

    pub(super) const fn srtp(&self) -> Option<&SrtpSession> {
        self.srtp.as_ref()
    }

    pub(super) const fn srtp_mut(&mut self) -> Option<&mut SrtpSession> {
        self.srtp.as_mut()
    }

    /// Whether the peer has proven to ICE that this address is its own, by answering a check from there.
    pub(super) fn knows(&self, remote: SocketAddr) -> bool {
        self.ice.is_proven_by_udp(remote)
    }

    /// The pair that media takes, once it can be protected.
    pub(super) fn media_pair(&self) -> Option<SelectedPair> {
        if self.srtp.is_none() || self.dtls_state != DtlsTransportState::Connected {
            return None;
        }
        self.ice.proven_pair()
    }

    /// See [`Connection::warm`](super::Connection::warm).
    pub(super) fn warm(&self) -> usize {
        self.srtp.as_ref().map_or(0, SrtpSession::warm).wrapping_add(self.ice.warm() + self.queue.len())
    }

    /// Why the transport failed.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Which side of DTLS we are, once that is settled.
    pub(super) const fn role(&self) -> Option<DtlsRole> {
        self.role
    }

    /// The peer's certificate in DER, once it proved to be the announced one.
    pub(super) const fn remote_certificate(&self) -> Option<&Arc<[u8]>> {
        self.remote_certificate.as_ref()
    }

    pub(super) fn dtls_version(&self) -> Option<&'static str> {
        self.dtls.as_ref()?.version()
    }

    /// RFC 7983 §7: the first byte tells what a datagram is.
    pub(super) fn handle_datagram(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local: SocketAddr,
        bytes: &mut [u8],
    ) -> Received {
        if self.ice.is_closed() {
            return Received::Nothing;
        }
        match bytes.first() {
            Some(0..=3) => {
                if self.bindings.is_open() && self.bindings.handle_packet(bytes) {
                    return Received::Nothing;
                }
                match self.ice.handle_quietly(now, remote, local, bytes) {
                    Some(Quiet::Answer(pair, answer)) => {
                        self.heard += 1;
                        self.enqueue(pair, answer);
                        return Received::Quiet;
                    }
                    Some(Quiet::Consented) => {
                        self.heard += 1;
                        return Received::Quiet;
                    }
                    None => {}
                }
                let authentic = self.ice.handle_packet(now, remote, local, bytes);
                self.heard += u64::from(authentic);
                // Once connected, DTLS waits for nothing that ICE finds out.
                if self.dtls_state != DtlsTransportState::Connected {
                    self.drive_dtls(now);
                }
                Received::Nothing
            }
            Some(20..=63) => {
                if self.dtls.is_some() && self.ice.is_heard(remote) {
                    self.ice.received(remote, bytes.len());
                    self.heard += 1;
                    self.handle_dtls(now, bytes);
                    self.drive_dtls(now);
                } else if self.early.len() < MAX_EARLY_PACKETS
                    && matches!(self.dtls_state, DtlsTransportState::New | DtlsTransportState::Connecting)
                {
                    self.early.push((remote, bytes.to_vec()));
                }
                Received::Nothing
            }
            Some(128..=191) => {
                let mut received = self.unprotect(bytes);
                if received != Received::Nothing {
                    self.heard += 1;
                    let moved = self.ice.heard_from(now, remote);
                    if let Received::Rtcp { elsewhere, .. } = &mut received {
                        *elsewhere = moved;
                    }
                }
                received
            }
            _ => Received::Nothing,
        }
    }

    /// Tells the time. Returns whether anything but something to send can have come of it.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let quiet = !self.bindings.is_open() && self.dtls_state == DtlsTransportState::Connected;
        if self.bindings.is_open() {
            let mut requests = Vec::new();
            self.bindings.handle_timeout(now, |pair, request| requests.push((pair, request)));
            requests.into_iter().for_each(|(pair, request)| self.enqueue(pair, request));
        }
        let changed = self.ice.handle_timeout(now);
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let dtls_due = due(self.dtls_timeout);
        let data_due = due(self.data.poll_timeout());
        if self.dtls_state != DtlsTransportState::Connected || dtls_due {
            self.drive_dtls(now);
        }
        self.data.handle_timeout(now);
        changed || !quiet || dtls_due || data_due
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        let timers =
            [self.ice.poll_timeout(), self.bindings.poll_timeout(), self.dtls_timeout, self.data.poll_timeout()];
        timers.into_iter().flatten().min()
    }

    /// Moves waiting control datagrams into the batch. Returns `false` if it became full.
    pub(super) fn poll_transmit(&mut self, batch: &mut TransmitBatch) -> bool {
        self.enqueue_checks();
        while let Some((pair, bytes)) = self.queue.front() {
            if !batch.push(*pair, bytes) {
                return false;
            }
            self.queue.pop_front();
        }
        true
    }

    /// Puts what ICE has to send in front of what is queued from now on.
    pub(super) fn enqueue_checks(&mut self) {
        while let Some((pair, bytes)) = self.ice.poll_transmit() {
            self.enqueue(pair, bytes);
        }
    }

    /// Writes packets of SCTP as DTLS records into the batch. Returns `false` if it became full.
    pub(super) fn poll_data(&mut self, now: Instant, batch: &mut TransmitBatch) -> bool {
        let (Some(pair), DtlsTransportState::Connected) = (self.ice.proven_pair(), self.dtls_state) else {
            return true;
        };
        let mut sent = false;
        loop {
            let Some(dtls) = &mut self.dtls else { return true };
            if batch.reserve(MAX_RECORD).is_none() {
                return false;
            }
            if !self.data.poll_transmit(now, &mut self.packet) {
                break;
            }
            // One record at a time: what DTLS queues is bounded, and so it goes straight into the batch.
            if let Err(error) = dtls.send(&self.packet) {
                self.fail(now, &error);
                return true;
            }
            sent = true;
            let Some(space) = batch.reserve(MAX_RECORD) else { return false };
            if let DtlsOutput::Packet(record) = dtls.poll_output(space) {
                let length = record.len();
                batch.commit(pair, length);
            }
        }
        if sent {
            self.drive_dtls(now);
        }
        true
    }

    /// Makes the association of the data channels, once it was negotiated, and opens it, once DTLS is connected.
    pub(super) fn start_data(&mut self, now: Instant, data: &NegotiatedData, role: DtlsRole, seed: [u8; 32]) {
        self.data.start(data, role, seed);
        if self.dtls_state == DtlsTransportState::Connected {
            self.data.connect(now);
        }
    }

    /// Protects an RTCP compound and queues it; dropped while there are no keys or no pair.
    pub(super) fn send_rtcp(&mut self, compound: &[u8]) {
        let (Some(pair), Some(srtp)) = (self.ice.proven_pair(), &mut self.srtp) else { return };
        let mut out = Vec::with_capacity(compound.len() + srtp.profile().rtcp_overhead());
        match srtp.protect_rtcp(compound, &mut out) {
            Ok(()) => self.enqueue(pair, out),
            Err(error) => debug!(%error, "an RTCP packet could not be protected"),
        }
    }

    /// Queues the closing alert; ICE goes on until [`end`](Self::end), so that it leaves.
    pub(super) fn close_dtls(&mut self, now: Instant) {
        self.end_data(now, None);
        if let Some(dtls) = &mut self.dtls {
            dtls.close();
        }
        self.drive_dtls(now);
        self.dtls_state = DtlsTransportState::Closed;
        self.dtls_timeout = None;
    }

    /// Ends the data channels while the rest of the connection goes on.
    pub(super) fn reject_data(&mut self, now: Instant, reason: &str) {
        self.end_data(now, Some(reason));
        self.drive_dtls(now);
    }

    /// Ends the data channels; the peer is told, if that is still possible.
    fn end_data(&mut self, now: Instant, reason: Option<&str>) {
        self.data.end(now, reason);
        if self.dtls_state == DtlsTransportState::Connected
            && let Some(dtls) = &mut self.dtls
            && self.data.poll_transmit(now, &mut self.packet)
            && let Err(error) = dtls.send(&self.packet)
        {
            debug!(%error, "the end of the data channels could not be told");
        }
    }

    fn enqueue(&mut self, pair: SelectedPair, bytes: Vec<u8>) {
        if self.queue.len() >= MAX_QUEUED {
            self.queue.pop_front();
        }
        self.queue.push_back((pair, bytes));
    }

    fn unprotect(&mut self, bytes: &mut [u8]) -> Received {
        let Some(srtp) = &mut self.srtp else { return Received::Nothing };
        // RFC 5761 §4: with RTP and RTCP on one port, 192 to 223 in the second byte is RTCP.
        let rtcp = matches!(bytes.get(1), Some(192..=223));
        let result = if rtcp {
            srtp.unprotect_rtcp(bytes).map(|length| Received::Rtcp { length, elsewhere: false })
        } else {
            srtp.unprotect_rtp(bytes).map(|(index, length)| Received::Rtp { index, length })
        };
        result.unwrap_or_else(|error| {
            debug!(%error, "a packet was dropped");
            Received::Nothing
        })
    }

    fn handle_dtls(&mut self, now: Instant, packet: &[u8]) {
        let Some(dtls) = &mut self.dtls else { return };
        if let Err(error) = dtls.handle_timeout(now).and_then(|()| dtls.handle_packet(packet)) {
            self.fail(now, &error);
        }
    }

    /// Lets DTLS act, if there is somewhere to send: its first poll starts the handshake's clock.
    fn drive_dtls(&mut self, now: Instant) {
        let Some(pair) = self.ice.selected_pair() else { return };
        if self.dtls.is_some() && !self.early.is_empty() {
            // Whoever has not sent a check from there that the peer alone can write may have sent anything; DTLS ends at
            // some of it, so it never gets there.
            for (remote, packet) in std::mem::take(&mut self.early) {
                if self.ice.is_heard(remote) {
                    self.handle_dtls(now, &packet);
                }
            }
        }
        if self.dtls_state == DtlsTransportState::Closed {
            return;
        }
        let Some(dtls) = &mut self.dtls else { return };
        if let Err(error) = dtls.handle_timeout(now) {
            self.fail(now, &error);
            return;
        }
        let mut scratch = [0; MAX_RECORD];
        let mut sent = Vec::new();
        let mut closed = false;
        let mut failure = None;
        loop {
            match dtls.poll_output(&mut scratch) {
                DtlsOutput::Packet(packet) => sent.push(packet.to_vec()),
                DtlsOutput::ApplicationData(packet) => self.data.handle_input(now, packet),
                DtlsOutput::Timeout(at) => {
                    self.dtls_timeout = Some(at);
                    break;
                }
                DtlsOutput::Connected if self.remote_certificate.is_none() => {
                    failure = Some(DtlsError { reason: "the peer has shown no certificate".to_owned() });
                    break;
                }
                DtlsOutput::Connected => {
                    self.dtls_state = DtlsTransportState::Connected;
                    self.data.connect(now);
                }
                DtlsOutput::PeerCertificate(certificate) => {
                    // RFC 8122 §6.2: the certificate must match one of the fingerprints whose function is known.
                    if !self
                        .fingerprints
                        .iter()
                        .any(|fingerprint| fingerprint_matches(fingerprint, &certificate) == Some(true))
                    {
                        let reason =
                            "the peer's certificate is not the one whose fingerprint its description announced";
                        failure = Some(DtlsError { reason: reason.to_owned() });
                        break;
                    }
                    if let Err(error) = dtls.check_peer_certificate(&certificate) {
                        failure = Some(error);
                        break;
                    }
                    self.remote_certificate = Some(certificate.into());
                }
                DtlsOutput::KeyingMaterial(material, profile) => {
                    match SrtpSession::new(profile, &material, self.role == Some(DtlsRole::Client)) {
                        Ok(session) => self.srtp = Some(session),
                        Err(error) => {
                            failure = Some(DtlsError { reason: error.to_string() });
                            break;
                        }
                    }
                }
                DtlsOutput::CloseNotify => closed = true,
                DtlsOutput::Other => {}
            }
        }
        for packet in sent {
            // What a lite agent may not send yet is repeated by DTLS.
            if self.ice.may_send(now, pair.remote, packet.len()) {
                self.enqueue(pair, packet);
            }
        }
        if let Some(error) = failure {
            self.fail(now, &error);
        } else if closed {
            self.dtls_state = DtlsTransportState::Closed;
            self.dtls_timeout = None;
            self.data.end(now, None);
        }
    }

    fn fail(&mut self, now: Instant, error: &DtlsError) {
        // A failure after the end is only the peer's late packets.
        if self.dtls_state == DtlsTransportState::Closed {
            return;
        }
        warn!(%error, "the DTLS transport failed");
        self.failure = Some(error.to_string());
        self.dtls_state = DtlsTransportState::Failed;
        if let (Some(mut dtls), Some(pair)) = (self.dtls.take(), self.ice.selected_pair()) {
            while let Some(alert) = dtls.poll_alert() {
                self.enqueue(pair, alert);
            }
        }
        self.dtls_timeout = None;
        self.srtp = None;
        self.data.end(now, Some("the DTLS transport failed"));
    }
}
