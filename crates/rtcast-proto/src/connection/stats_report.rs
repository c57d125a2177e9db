//! W3C's `getStats`: the connection's counters as the dictionaries of webrtc-stats.

use std::net::SocketAddr;
use std::time::Instant;

use super::receiver::RtpReceiver;
use super::{Connection, DtlsTransportState, ReceiverStats, WallClock};
use crate::base64;
use crate::dtls::{DtlsRole, certificate_fingerprint};
use crate::ice::IceRole;
use crate::jsep::{NegotiatedCodec, TransceiverId};
use crate::sdp::{Candidate, CandidateType, Fingerprint};
use crate::srtp::SrtpProfile;
use crate::stats::{
    CandidatePairStats, CandidateStats, CertificateStats, CodecStats, DataChannelStats as DataChannelDictionary,
    InboundRtpStats, MediaSourceStats, OutboundRtpStats, PeerConnectionStats, RemoteInboundRtpStats,
    RemoteOutboundRtpStats, RtcStats, StatsDictionary, StatsReport, TransportStats,
};
use crate::types::{MediaKind, PayloadType};

/// The one transport, for everything is bundled.
const TRANSPORT: &str = "T0";

/// The seconds from 1900, where NTP's clock starts, to 1970.
const NTP_TO_UNIX: f64 = 2_208_988_800.0;

impl WallClock {
    /// The wall-clock time of a moment, in milliseconds since 1970.
    pub fn unix_millis(&self, at: Instant) -> f64 {
        ntp_to_unix_millis(self.ntp_time(at))
    }
}

fn ntp_to_unix_millis(ntp_time: u64) -> f64 {
    (ntp_time as f64 / 4_294_967_296.0 - NTP_TO_UNIX) * 1_000.0
}

impl Connection {
    /// W3C's `getStats`: everything that is counted, at this moment.
    pub fn stats_report(&self, now: Instant) -> StatsReport {
        let mut writer = Writer { report: StatsReport::default(), timestamp: self.clock.unix_millis(now) };
        self.write_senders(&mut writer);
        self.write_receivers(&mut writer);
        self.write_transport(&mut writer);
        self.write_data_channels(&mut writer);
        writer.report
    }

    /// The same for one sender or receiver: its streams and what they refer to.
    pub fn stats_report_of(&self, now: Instant, transceiver: TransceiverId, sender: bool) -> StatsReport {
        let report = self.stats_report(now);
        let ids: Vec<String> = if sender {
            let slots = self.senders.iter().filter(|slot| slot.transceiver == transceiver);
            slots.map(|slot| format!("O{}", slot.sender.ssrc)).collect()
        } else {
            let receivers = self.receivers.iter().filter(|receiver| receiver.transceiver() == transceiver);
            let streams = receivers.flat_map(|receiver| receiver.stream_stats());
            streams.filter_map(|stats| stats.ssrc).map(|ssrc| format!("I{ssrc}")).collect()
        };
        report.select(ids.iter().map(String::as_str))
    }

    fn write_senders(&self, writer: &mut Writer) {
        for slot in &self.senders {
            let Some(transceiver) = self.jsep.transceiver(slot.transceiver) else { continue };
            let kind = transceiver.kind();
            let stats = slot.sender.stats();
            let source_id = transceiver.track_id().map(|track| {
                let id = format!("S{track}");
                let frames = (kind == MediaKind::Video).then_some(stats.frames_sent + stats.frames_dropped);
                writer.add(
                    id.clone(),
                    StatsDictionary::MediaSource(MediaSourceStats {
                        track_identifier: track.to_owned(),
                        kind: kind.as_str(),
                        frames,
                    }),
                );
                id
            });
            let Some(media) = &slot.media else { continue };
            if slot.sender.encoding().is_none() && stats.packets_sent == 0 {
                continue;
            }
            let payload_type = slot.sender.encoding().map(|encoding| encoding.payload_type);
            let codec_id = writer.codec('O', &media.send_codecs, payload_type);
            let ssrc = slot.sender.ssrc.0;
            let (id, remote_id) = (format!("O{ssrc}"), format!("RI{ssrc}"));
            let reported = stats.reports_received > 0;
            let video = |count: u64| (kind == MediaKind::Video).then_some(count);
            if reported {
                writer.add(
                    remote_id.clone(),
                    StatsDictionary::RemoteInboundRtp(RemoteInboundRtpStats {
                        ssrc,
                        kind: kind.as_str(),
                        transport_id: TRANSPORT.to_owned(),
                        codec_id: codec_id.clone(),
                        packets_lost: stats.packets_lost,
                        jitter: stats.jitter.as_secs_f64(),
                        local_id: id.clone(),
                        round_trip_time: stats.round_trip_time.map(|time| time.as_secs_f64()),
                        total_round_trip_time: stats.total_round_trip_time.as_secs_f64(),
                        fraction_lost: stats.fraction_lost,
                        round_trip_time_measurements: stats.round_trip_time_measurements,
                    }),
                );
            }
            writer.add(
                id,
                StatsDictionary::OutboundRtp(OutboundRtpStats {
                    ssrc,
                    kind: kind.as_str(),
                    transport_id: TRANSPORT.to_owned(),
                    codec_id,
                    packets_sent: stats.packets_sent,
                    bytes_sent: stats.bytes_sent,
                    header_bytes_sent: stats.header_bytes_sent,
                    mid: transceiver.mid().map(ToString::to_string),
                    media_source_id: source_id,
                    remote_id: reported.then_some(remote_id),
                    retransmitted_packets_sent: stats.retransmitted_packets_sent,
                    retransmitted_bytes_sent: stats.retransmitted_bytes_sent,
                    rtx_ssrc: media.rtx_ssrc.map(|ssrc| ssrc.0),
                    encoding_index: 0,
                    frames_sent: video(stats.frames_sent),
                    key_frames_encoded: video(stats.key_frames_sent),
                    nack_count: stats.nack_count,
                    fir_count: video(stats.fir_count),
                    pli_count: video(stats.pli_count),
                    active: slot.encoding.active,
                }),
            );
        }
    }

    fn write_receivers(&self, writer: &mut Writer) {
        for receiver in &self.receivers {
            let media = receiver.media();
            let kind = media.kind;
            let track = self.jsep.transceiver(media.transceiver).map(|t| t.remote_track_id().to_owned());
            for stats in receiver.stream_stats() {
                let Some(ssrc) = stats.ssrc.map(|ssrc| ssrc.0) else { continue };
                let codec_id = writer.codec('I', &media.receive_codecs, stats.payload_type);
                let (id, remote_id) = (format!("I{ssrc}"), format!("RO{ssrc}"));
                if let Some(remote) = stats.sender_report {
                    writer.add(
                        remote_id.clone(),
                        StatsDictionary::RemoteOutboundRtp(RemoteOutboundRtpStats {
                            ssrc,
                            kind: kind.as_str(),
                            transport_id: TRANSPORT.to_owned(),
                            codec_id: codec_id.clone(),
                            packets_sent: u64::from(remote.packets_sent),
                            bytes_sent: u64::from(remote.bytes_sent),
                            local_id: id.clone(),
                            remote_timestamp: ntp_to_unix_millis(remote.ntp_time),
                            reports_sent: remote.reports,
                        }),
                    );
                }
                let video = |count: u64| (kind == MediaKind::Video).then_some(count);
                writer.add(
                    id,
                    StatsDictionary::InboundRtp(InboundRtpStats {
                        ssrc,
                        kind: kind.as_str(),
                        transport_id: TRANSPORT.to_owned(),
                        codec_id,
                        packets_received: stats.packets_received,
                        packets_lost: stats.packets_lost,
                        jitter: stats.jitter.as_secs_f64(),
                        track_identifier: track.clone().unwrap_or_default(),
                        mid: Some(media.mid.to_string()),
                        remote_id: stats.sender_report.map(|_| remote_id),
                        bytes_received: stats.bytes_received,
                        header_bytes_received: stats.header_bytes_received,
                        last_packet_received_timestamp: stats.last_packet_received.map(|at| self.clock.unix_millis(at)),
                        retransmitted_packets_received: stats.retransmitted_packets_received,
                        retransmitted_bytes_received: stats.retransmitted_bytes_received,
                        rtx_ssrc: stats.rtx_ssrc.map(|ssrc| ssrc.0),
                        frames_received: video(stats.frames_received),
                        jitter_buffer_emitted_count: stats.frames_received,
                        nack_count: stats.nack_count,
                        fir_count: video(0),
                        pli_count: video(stats.pli_count),
                    }),
                );
            }
        }
    }

    fn write_data_channels(&self, writer: &mut Writer) {
        let channels = self.data_channels();
        for stats in channels.stats() {
            let info = stats.info;
            let dictionary = DataChannelDictionary {
                label: info.label,
                protocol: info.init.protocol,
                data_channel_identifier: info.id,
                state: info.state.as_str(),
                messages_sent: stats.messages_sent,
                bytes_sent: stats.bytes_sent,
                messages_received: stats.messages_received,
                bytes_received: stats.bytes_received,
            };
            writer.add(format!("D{}", info.channel.0), StatsDictionary::DataChannel(dictionary));
        }
        let (data_channels_opened, data_channels_closed) = channels.opened_and_closed();
        let connection = PeerConnectionStats { data_channels_opened, data_channels_closed };
        writer.add("P".to_owned(), StatsDictionary::PeerConnection(connection));
    }

    fn write_transport(&self, writer: &mut Writer) {
        let own = writer.certificate(self.certificate.fingerprint(), self.certificate.der());
        let peers = self.remote_certificate();
        let peers = peers.map(|der| writer.certificate(&certificate_fingerprint(der), der));
        let fragment = self.transport.ice.credentials().username_fragment.clone();
        let locals: Vec<(String, Option<SocketAddr>)> = self
            .candidates_for(&fragment)
            .iter()
            .map(|candidate| writer.candidate(candidate, false, Some(&fragment)))
            .collect();
        let remotes: Vec<(String, Option<SocketAddr>)> =
            self.remote_candidates.iter().map(|candidate| writer.candidate(candidate, true, None)).collect();
        let sent = self.senders.iter().map(|slot| slot.sender.stats());
        let (packets_sent, bytes_sent) = sent.fold(self.retired.sent, |(packets, bytes), stats| {
            (packets + stats.packets_sent, bytes + stats.bytes_sent)
        });
        let received = self.receivers.iter().flat_map(|receiver| receiver.stream_stats());
        let (packets_received, bytes_received) = received
            .fold(self.retired.received, |(packets, bytes), stats: ReceiverStats| {
                (packets + stats.packets_received, bytes + stats.bytes_received)
            });
        let pair_id = self.selected_pair().map(|pair| {
            let local = locals.iter().find(|(_, address)| *address == Some(pair.local)).map(|(id, _)| id.clone());
            let remote = remotes.iter().find(|(_, address)| *address == Some(pair.remote)).map(|(id, _)| id.clone());
            // An address that only the checks made known has no candidate in a description.
            let local_candidate_id = local.unwrap_or_else(|| writer.reflexive(pair.local, false));
            let remote_candidate_id = remote.unwrap_or_else(|| writer.reflexive(pair.remote, true));
            let id = format!("CP{local_candidate_id}_{remote_candidate_id}");
            writer.add(
                id.clone(),
                StatsDictionary::CandidatePair(CandidatePairStats {
                    transport_id: TRANSPORT.to_owned(),
                    local_candidate_id,
                    remote_candidate_id,
                    state: "succeeded",
                    nominated: true,
                    packets_sent,
                    packets_received,
                    bytes_sent,
                    bytes_received,
                    current_round_trip_time: self.transport.ice.round_trip_time().map(|time| time.as_secs_f64()),
                    available_outgoing_bitrate: self.estimate.map(|bitrate| bitrate.as_bps() as f64),
                }),
            );
            id
        });
        writer.add(
            TRANSPORT.to_owned(),
            StatsDictionary::Transport(TransportStats {
                packets_sent,
                packets_received,
                bytes_sent,
                bytes_received,
                ice_role: match self.transport.ice.role() {
                    IceRole::Controlling => "controlling",
                    IceRole::Controlled => "controlled",
                },
                ice_local_username_fragment: fragment,
                dtls_state: self.dtls_state().as_str(),
                ice_state: self.ice_connection_state().as_str(),
                selected_candidate_pair_id: pair_id,
                local_certificate_id: own,
                remote_certificate_id: peers,
                tls_version: match self.transport.dtls_version() {
                    Some("DTLS 1.2") => Some("FEFD"),
                    Some("DTLS 1.3") => Some("FEFC"),
                    _ => None,
                },
                dtls_role: match self.transport.role() {
                    Some(DtlsRole::Client) => "client",
                    Some(DtlsRole::Server) => "server",
                    None => "unknown",
                },
                srtp_cipher: self.transport.srtp().map(|srtp| cipher(srtp.profile())),
                selected_candidate_pair_changes: self.observed.pair_changes(),
            }),
        );
    }
}

/// Streams of transceivers that have left the connection: packets and bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Retired {
    pub(super) sent: (u64, u64),
    pub(super) received: (u64, u64),
}

impl Retired {
    pub(super) fn add_receiver(&mut self, receiver: &RtpReceiver) {
        for stats in receiver.stream_stats() {
            self.received.0 += stats.packets_received;
            self.received.1 += stats.bytes_received;
        }
    }
}

/// The last report of the peer on a stream of its.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteSenderReport {
    /// Packets that it has sent, modulo 2³².
    pub packets_sent: u32,
    /// Payload bytes that it has sent, modulo 2³².
    pub bytes_sent: u32,
    /// Its clock, as 32.32 fixed-point seconds since 1900.
    pub ntp_time: u64,
    /// How many such reports came.
    pub reports: u64,
}

impl DtlsTransportState {
    /// The word of the W3C.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Closed => "closed",
            Self::Failed => "failed",
        }
    }
}

struct Writer {
    report: StatsReport,
    timestamp: f64,
}

impl Writer {
    fn add(&mut self, id: String, dictionary: StatsDictionary) {
        self.report.insert(RtcStats { id, timestamp: self.timestamp, dictionary });
    }

    /// The codec of a stream in that direction.
    fn codec(
        &mut self,
        direction: char,
        codecs: &[NegotiatedCodec],
        payload_type: Option<PayloadType>,
    ) -> Option<String> {
        let entry = codecs.iter().find(|codec| Some(codec.payload_type) == payload_type)?;
        let id = format!("C{direction}{}", entry.payload_type);
        self.add(
            id.clone(),
            StatsDictionary::Codec(CodecStats {
                payload_type: entry.payload_type.value(),
                transport_id: TRANSPORT.to_owned(),
                mime_type: entry.codec.mime_type(),
                clock_rate: entry.clock_rate,
                channels: entry.codec.channels(),
                sdp_fmtp_line: entry.codec.sdp_fmtp_line.clone(),
            }),
        );
        Some(id)
    }

    fn certificate(&mut self, fingerprint: &Fingerprint, der: &[u8]) -> String {
        let text = fingerprint.to_string();
        let (algorithm, digest) = text.split_once(' ').unwrap_or_default();
        let id = format!("CF{digest}");
        self.add(
            id.clone(),
            StatsDictionary::Certificate(CertificateStats {
                fingerprint: digest.to_owned(),
                fingerprint_algorithm: algorithm.to_owned(),
                base64_certificate: base64::encode(der),
            }),
        );
        id
    }

    /// A candidate; gives its id and its address.
    fn candidate(
        &mut self,
        candidate: &Candidate,
        remote: bool,
        username_fragment: Option<&str>,
    ) -> (String, Option<SocketAddr>) {
        let protocol = candidate.transport.to_ascii_lowercase();
        let (address, port) = (&candidate.address, candidate.port);
        let id = format!("{}{}{address}_{port}_{protocol}", side(remote), candidate.typ);
        let username_fragment = username_fragment.or_else(|| candidate.extension("ufrag"));
        let stats = CandidateStats {
            transport_id: TRANSPORT.to_owned(),
            address: (!candidate.is_mdns()).then(|| address.clone()),
            port,
            protocol,
            candidate_type: candidate.typ.as_str(),
            priority: candidate.priority,
            foundation: Some(candidate.foundation.clone()),
            related_address: candidate.related_address.clone(),
            related_port: candidate.related_port,
            username_fragment: username_fragment.map(str::to_owned),
        };
        self.add_candidate(id.clone(), stats, remote);
        (id, address.parse().ok().map(|ip| SocketAddr::new(ip, port)))
    }

    /// A candidate that the checks made known.
    fn reflexive(&mut self, address: SocketAddr, remote: bool) -> String {
        let typ = CandidateType::PeerReflexive;
        let id = format!("{}{typ}{}_{}_udp", side(remote), address.ip(), address.port());
        let stats = CandidateStats {
            transport_id: TRANSPORT.to_owned(),
            address: Some(address.ip().to_string()),
            port: address.port(),
            protocol: "udp".to_owned(),
            candidate_type: typ.as_str(),
            ..CandidateStats::default()
        };
        self.add_candidate(id.clone(), stats, remote);
        id
    }

    fn add_candidate(&mut self, id: String, stats: CandidateStats, remote: bool) {
        let dictionary =
            if remote { StatsDictionary::RemoteCandidate(stats) } else { StatsDictionary::LocalCandidate(stats) };
        self.add(id, dictionary);
    }
}

const fn side(remote: bool) -> &'static str {
    if remote { "RC" } else { "LC" }
}

const fn cipher(profile: SrtpProfile) -> &'static str {
    match profile {
        SrtpProfile::AeadAes128Gcm => "AEAD_AES_128_GCM",
        SrtpProfile::AeadAes256Gcm => "AEAD_AES_256_GCM",
        SrtpProfile::Aes128CmSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
    }
}
