//! The dictionaries of webrtc-stats, with the members that mean something where media is encoded already.

use serde::Serialize;

macro_rules! dictionary {
    ($(#[$doc:meta])* $name:ident { $($(#[$member_doc:meta])* $member:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Default, Serialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $(
                $(#[$member_doc])*
                #[serde(skip_serializing_if = "Absent::absent")]
                pub $member: $type,
            )*
        }
    };
}

/// What is left out of the JSON.
trait Absent {
    fn absent(&self) -> bool {
        false
    }
}

impl<T> Absent for Option<T> {
    fn absent(&self) -> bool {
        self.is_none()
    }
}

impl Absent for u64 {}
impl Absent for u32 {}
impl Absent for i64 {}
impl Absent for u16 {}
impl Absent for u8 {}
impl Absent for f64 {}
impl Absent for bool {}
impl Absent for String {}
impl Absent for &'static str {}

dictionary! {
    /// `codec`: a codec that a stream uses.
    CodecStats {
        /// The number in the packets.
        payload_type: u8,
        /// The transport.
        transport_id: String,
        /// Such as `video/VP8`.
        mime_type: String,
        /// The RTP clock in hertz.
        clock_rate: u32,
        /// The channels of sound.
        channels: Option<u16>,
        /// The format parameters.
        sdp_fmtp_line: Option<String>,
    }
}

dictionary! {
    /// `inbound-rtp`: a stream that comes in.
    InboundRtpStats {
        /// The stream.
        ssrc: u32,
        /// `audio` or `video`.
        kind: &'static str,
        /// The transport.
        transport_id: String,
        /// The codec.
        codec_id: Option<String>,
        /// Packets received, retransmissions included.
        packets_received: u64,
        /// Packets expected and not received.
        packets_lost: i64,
        /// The interarrival jitter in seconds.
        jitter: f64,
        /// The identifier of the receiver's track.
        track_identifier: String,
        /// The m-line.
        mid: Option<String>,
        /// What the peer says of the stream.
        remote_id: Option<String>,
        /// Payload bytes received, retransmissions included.
        bytes_received: u64,
        /// Header bytes received, extensions included.
        header_bytes_received: u64,
        /// When the last packet came, in milliseconds since 1970.
        last_packet_received_timestamp: Option<f64>,
        /// Packets that came again.
        retransmitted_packets_received: u64,
        /// Payload bytes that came again.
        retransmitted_bytes_received: u64,
        /// The stream of the retransmissions.
        rtx_ssrc: Option<u32>,
        /// Whole frames that came.
        frames_received: Option<u64>,
        /// Frames handed on from the jitter buffer.
        jitter_buffer_emitted_count: u64,
        /// Requests for lost packets sent.
        nack_count: u64,
        /// Full intra requests sent.
        fir_count: Option<u64>,
        /// Picture loss indications sent.
        pli_count: Option<u64>,
    }
}

dictionary! {
    /// `outbound-rtp`: a stream that goes out.
    OutboundRtpStats {
        /// The stream.
        ssrc: u32,
        /// `audio` or `video`.
        kind: &'static str,
        /// The transport.
        transport_id: String,
        /// The codec.
        codec_id: Option<String>,
        /// Packets sent, retransmissions included.
        packets_sent: u64,
        /// Payload bytes sent, retransmissions included.
        bytes_sent: u64,
        /// Header bytes sent, extensions included.
        header_bytes_sent: u64,
        /// The m-line.
        mid: Option<String>,
        /// The track that is sent.
        media_source_id: Option<String>,
        /// What the peer says of the stream.
        remote_id: Option<String>,
        /// Packets sent again.
        retransmitted_packets_sent: u64,
        /// Payload bytes sent again.
        retransmitted_bytes_sent: u64,
        /// The stream of the retransmissions.
        rtx_ssrc: Option<u32>,
        /// The place among the sender's encodings.
        encoding_index: u32,
        /// Frames sent.
        frames_sent: Option<u64>,
        /// Keyframes among the frames sent; the W3C counts encoded ones, and each is sent once.
        key_frames_encoded: Option<u64>,
        /// Requests for lost packets received.
        nack_count: u64,
        /// Full intra requests received.
        fir_count: Option<u64>,
        /// Picture loss indications received.
        pli_count: Option<u64>,
        /// Whether the encoding is active.
        active: bool,
    }
}

dictionary! {
    /// `remote-inbound-rtp`: what the peer's reports say of a stream that goes out.
    RemoteInboundRtpStats {
        /// The stream.
        ssrc: u32,
        /// `audio` or `video`.
        kind: &'static str,
        /// The transport.
        transport_id: String,
        /// The codec.
        codec_id: Option<String>,
        /// Packets that the peer misses since the beginning.
        packets_lost: i64,
        /// The interarrival jitter in seconds.
        jitter: f64,
        /// The stream as we see it.
        local_id: String,
        /// The round-trip time in seconds, by the last report.
        round_trip_time: Option<f64>,
        /// The sum of all round-trip times in seconds.
        total_round_trip_time: f64,
        /// The share lost between the last two reports, 0 to 1.
        fraction_lost: f64,
        /// How many round-trip times were measured.
        round_trip_time_measurements: u64,
    }
}

dictionary! {
    /// `remote-outbound-rtp`: what the peer's reports say of a stream that comes in.
    RemoteOutboundRtpStats {
        /// The stream.
        ssrc: u32,
        /// `audio` or `video`.
        kind: &'static str,
        /// The transport.
        transport_id: String,
        /// The codec.
        codec_id: Option<String>,
        /// Packets that the peer has sent.
        packets_sent: u64,
        /// Payload bytes that the peer has sent.
        bytes_sent: u64,
        /// The stream as we see it.
        local_id: String,
        /// The peer's clock in its last report, in milliseconds since 1970.
        remote_timestamp: f64,
        /// How many reports came.
        reports_sent: u64,
    }
}

dictionary! {
    /// `media-source`: a track that a sender sends.
    MediaSourceStats {
        /// The identifier of the track.
        track_identifier: String,
        /// `audio` or `video`.
        kind: &'static str,
        /// Frames that came from the source to this sender.
        frames: Option<u64>,
    }
}

dictionary! {
    /// `peer-connection`.
    PeerConnectionStats {
        /// Data channels that opened so far.
        data_channels_opened: u64,
        /// Data channels that closed so far.
        data_channels_closed: u64,
    }
}

dictionary! {
    /// `data-channel`.
    DataChannelStats {
        /// Its label.
        label: String,
        /// Its subprotocol.
        protocol: String,
        /// Its number.
        data_channel_identifier: Option<u16>,
        /// W3C's `RTCDataChannelState`.
        state: &'static str,
        /// Messages sent.
        messages_sent: u64,
        /// Bytes sent.
        bytes_sent: u64,
        /// Messages received.
        messages_received: u64,
        /// Bytes received.
        bytes_received: u64,
    }
}

dictionary! {
    /// `transport`: DTLS and ICE.
    TransportStats {
        /// Packets of media sent.
        packets_sent: u64,
        /// Packets of media received.
        packets_received: u64,
        /// Payload bytes sent.
        bytes_sent: u64,
        /// Payload bytes received.
        bytes_received: u64,
        /// W3C's `RTCIceRole`.
        ice_role: &'static str,
        /// Our ICE user name fragment.
        ice_local_username_fragment: String,
        /// W3C's `RTCDtlsTransportState`.
        dtls_state: &'static str,
        /// W3C's `RTCIceTransportState`.
        ice_state: &'static str,
        /// The pair in use.
        selected_candidate_pair_id: Option<String>,
        /// Our certificate.
        local_certificate_id: String,
        /// The peer's certificate.
        remote_certificate_id: Option<String>,
        /// The version of DTLS as four hexadecimal digits, such as `FEFD` for 1.2.
        tls_version: Option<&'static str>,
        /// `client` or `server`, `unknown` before that is settled.
        dtls_role: &'static str,
        /// How media is protected.
        srtp_cipher: Option<&'static str>,
        /// How often the pair in use changed.
        selected_candidate_pair_changes: u64,
    }
}

dictionary! {
    /// `candidate-pair`.
    CandidatePairStats {
        /// The transport.
        transport_id: String,
        /// Our address.
        local_candidate_id: String,
        /// The peer's address.
        remote_candidate_id: String,
        /// W3C's `RTCStatsIceCandidatePairState`.
        state: &'static str,
        /// Whether it was nominated.
        nominated: bool,
        /// Packets sent.
        packets_sent: u64,
        /// Packets received.
        packets_received: u64,
        /// Payload bytes sent.
        bytes_sent: u64,
        /// Payload bytes received.
        bytes_received: u64,
        /// The latest round-trip time of its checks, in seconds.
        current_round_trip_time: Option<f64>,
        /// What the path is thought to carry, in bits a second.
        available_outgoing_bitrate: Option<f64>,
    }
}

dictionary! {
    /// `local-candidate` and `remote-candidate`.
    CandidateStats {
        /// The transport.
        transport_id: String,
        /// The address; a name that hides an address is left out.
        address: Option<String>,
        /// The port.
        port: u16,
        /// `udp` or `tcp`.
        protocol: String,
        /// `host`, `srflx`, `prflx` or `relay`.
        candidate_type: &'static str,
        /// The priority.
        priority: u32,
        /// The foundation.
        foundation: Option<String>,
        /// The address behind it.
        related_address: Option<String>,
        /// The port behind it.
        related_port: Option<u16>,
        /// The ICE user name fragment that it goes with.
        username_fragment: Option<String>,
    }
}

dictionary! {
    /// `certificate`.
    CertificateStats {
        /// The fingerprint.
        fingerprint: String,
        /// Its hash function, such as `sha-256`.
        fingerprint_algorithm: String,
        /// The certificate in DER, in base 64.
        base64_certificate: String,
    }
}
