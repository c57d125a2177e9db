//! W3C's statistics (webrtc-stats): dictionaries with the W3C's names, units and references to each other.

mod dictionaries;

use std::collections::BTreeMap;

use serde::Serialize;

pub use dictionaries::{
    CandidatePairStats, CandidateStats, CertificateStats, CodecStats, DataChannelStats, InboundRtpStats,
    MediaSourceStats, OutboundRtpStats, PeerConnectionStats, RemoteInboundRtpStats, RemoteOutboundRtpStats,
    TransportStats,
};

/// One object of a report: W3C's `RTCStats` with what its type adds.
///
/// As JSON it is one flat object with `id`, `timestamp`, `type` and the members of the type, those without a value left
/// out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RtcStats {
    /// Its name in the report, the same in every report of the connection.
    pub id: String,
    /// When it was read, in milliseconds since 1970.
    pub timestamp: f64,
    /// What it counts.
    #[serde(flatten)]
    pub dictionary: StatsDictionary,
}

/// What an object of a report counts; the tag is W3C's `RTCStatsType`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StatsDictionary {
    /// A codec in use.
    Codec(CodecStats),
    /// A stream that comes in.
    InboundRtp(InboundRtpStats),
    /// A stream that goes out.
    OutboundRtp(OutboundRtpStats),
    /// What the peer says of a stream that goes out.
    RemoteInboundRtp(RemoteInboundRtpStats),
    /// What the peer says of a stream that comes in.
    RemoteOutboundRtp(RemoteOutboundRtpStats),
    /// A track that a sender sends.
    MediaSource(MediaSourceStats),
    /// The connection.
    PeerConnection(PeerConnectionStats),
    /// A data channel.
    DataChannel(DataChannelStats),
    /// The transport.
    Transport(TransportStats),
    /// Two addresses that packets may take.
    CandidatePair(CandidatePairStats),
    /// An address of ours.
    LocalCandidate(CandidateStats),
    /// An address of the peer.
    RemoteCandidate(CandidateStats),
    /// A certificate.
    Certificate(CertificateStats),
}

impl StatsDictionary {
    /// W3C's name of the type, such as `inbound-rtp`.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Codec(_) => "codec",
            Self::InboundRtp(_) => "inbound-rtp",
            Self::OutboundRtp(_) => "outbound-rtp",
            Self::RemoteInboundRtp(_) => "remote-inbound-rtp",
            Self::RemoteOutboundRtp(_) => "remote-outbound-rtp",
            Self::MediaSource(_) => "media-source",
            Self::PeerConnection(_) => "peer-connection",
            Self::DataChannel(_) => "data-channel",
            Self::Transport(_) => "transport",
            Self::CandidatePair(_) => "candidate-pair",
            Self::LocalCandidate(_) => "local-candidate",
            Self::RemoteCandidate(_) => "remote-candidate",
            Self::Certificate(_) => "certificate",
        }
    }
}

/// Everything that a connection counts, at one moment: W3C's `RTCStatsReport`, a map from id to object.
///
/// ```
/// use rtcast_proto::stats::{PeerConnectionStats, RtcStats, StatsDictionary, StatsReport};
///
/// let mut report = StatsReport::default();
/// let counted = PeerConnectionStats { data_channels_opened: 1, ..PeerConnectionStats::default() };
/// let dictionary = StatsDictionary::PeerConnection(counted);
/// report.insert(RtcStats { id: "P".to_owned(), timestamp: 0.0, dictionary });
/// assert_eq!(report.object("P").map(|stats| stats.dictionary.type_name()), Some("peer-connection"));
/// assert!(report.to_json().contains(r#""dataChannelsOpened":1"#));
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct StatsReport {
    objects: BTreeMap<String, RtcStats>,
}

impl StatsReport {
    /// Adds an object, in the place of one of the same id.
    pub fn insert(&mut self, stats: RtcStats) {
        self.objects.insert(stats.id.clone(), stats);
    }

    /// The object of that id.
    pub fn object(&self, id: &str) -> Option<&RtcStats> {
        self.objects.get(id)
    }

    /// All objects, by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &RtcStats> {
        self.objects.values()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The JSON of a browser's report: an object with the ids as names.
    pub fn to_json(&self) -> String {
        // Maps with text as keys, numbers and texts: nothing of it can fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What of the report concerns a selector: the objects of these ids, and all that they refer to (W3C webrtc-pc §8.5).
    #[must_use]
    pub fn select<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Self {
        let mut chosen = Self::default();
        let mut waiting: Vec<String> = ids.into_iter().map(str::to_owned).collect();
        while let Some(id) = waiting.pop() {
            let Some(object) = self.objects.get(&id) else { continue };
            if chosen.objects.contains_key(&id) {
                continue;
            }
            waiting.extend(object.references());
            chosen.insert(object.clone());
        }
        chosen
    }
}

impl RtcStats {
    /// The ids of the objects that this one refers to.
    pub fn references(&self) -> Vec<String> {
        let value = serde_json::to_value(&self.dictionary).unwrap_or_default();
        let members = value.as_object().into_iter().flatten();
        let named = members.filter(|(name, _)| name.ends_with("Id"));
        named.filter_map(|(_, value)| value.as_str().map(str::to_owned)).collect()
    }
}
