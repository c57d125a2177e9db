//! What a description may have at most, and what one takes in memory.

use std::mem::size_of;

use crate::sdp::{Candidate, Fingerprint, HeaderExtension, Media, Msid, PayloadFormat, RtcpFeedback, Session};
use crate::sdp::{SsrcDescription, SsrcGroup};

/// The formats that one m-line may list; there are 128 payload types.
pub(crate) const MAXIMUM_FORMATS: usize = 128;

/// The candidates that one m-line may list.
pub(crate) const MAXIMUM_CANDIDATES: usize = 256;

/// The bytes of one candidate, and the names and values that may follow its fields.
pub(crate) const MAXIMUM_CANDIDATE_LENGTH: usize = 1_024;
pub(crate) const MAXIMUM_CANDIDATE_EXTENSIONS: usize = 32;

/// The header extensions that one m-line may list; there are 255 numbers.
pub(crate) const MAXIMUM_EXTENSIONS: usize = 255;

/// The sources that one m-line may announce, the groups of them, and the sources in one group.
pub(crate) const MAXIMUM_SOURCES: usize = 1_024;
pub(crate) const MAXIMUM_SOURCE_GROUPS: usize = 1_024;
pub(crate) const MAXIMUM_GROUPED_SOURCES: usize = 32;

/// The lines `a=msid` under one m-line.
pub(crate) const MAXIMUM_MSIDS: usize = 64;

/// The kinds of feedback for one payload type, and for all of them together by `*`.
pub(crate) const MAXIMUM_FEEDBACK: usize = 32;

/// The bytes of one `a=fmtp`.
pub(crate) const MAXIMUM_PARAMETERS: usize = 4_096;

/// The fingerprints, and the words of `a=ice-options`, of one m-line or of the session.
pub(crate) const MAXIMUM_FINGERPRINTS: usize = 16;
pub(crate) const MAXIMUM_ICE_OPTIONS: usize = 32;

/// RFC 8285 §4.3: a header extension, which carries the mid, has at most 255 bytes.
pub(crate) const MAXIMUM_MID: usize = 255;

/// What a text may have at most; one with more is refused with the line that was too much.
///
/// Beyond these, whatever they are set to, one m-line has at most 128 formats, 256 candidates of 1,024 bytes and 32
/// extensions each, 255 header extensions, 1,024 sources, 1,024 groups of at most 32 sources, 64 `a=msid`, 32 kinds of
/// feedback for a payload type and 32 for all by `*`, and an `a=fmtp` at most 4,096 bytes; m-line and session have at most
/// 16 fingerprints of 64 bytes and 32 ICE options each, a mid at most 255 bytes, a user name fragment 4 to 256 and a
/// password 22 to 256 (RFC 8839 §5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptionLimits {
    /// The bytes of the text. Default: 1 MiB.
    pub length: usize,
    /// The m-lines. Default: 512. As many mids may stand in all `a=group` together.
    pub media_lines: usize,
    /// The lines `a=…`, in all. Default: 65,536.
    pub attributes: usize,
    /// The bytes of memory that the typed model takes, beside the text, which is kept as well. Default: 8 MiB. A browser's
    /// offer to receive sound and pictures takes some 20,000.
    pub memory: usize,
}

impl DescriptionLimits {
    /// The limits where nothing else is said, wide enough for a conference with hundreds of tracks.
    pub const DEFAULT: Self = Self { length: 1 << 20, media_lines: 512, attributes: 65_536, memory: 8 << 20 };
}

impl Default for DescriptionLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What an allocation costs beyond its bytes: the allocator's own, and what it rounds up.
const ALLOCATION: usize = 16;

fn text(text: &str) -> usize {
    if text.is_empty() { 0 } else { text.len() + ALLOCATION }
}

fn optional(value: Option<&str>) -> usize {
    value.map_or(0, text)
}

fn list<T>(items: &[T], more: impl Fn(&T) -> usize) -> usize {
    let own = if items.is_empty() { 0 } else { size_of_val(items) + ALLOCATION };
    own + items.iter().map(more).sum::<usize>()
}

fn msid(msid: &Msid) -> usize {
    optional(msid.stream.as_deref()) + optional(msid.track.as_deref())
}

/// The bytes of a candidate beyond its own structure.
pub(crate) fn candidate(candidate: &Candidate) -> usize {
    [&candidate.foundation, &candidate.transport, &candidate.address].into_iter().map(|word| text(word)).sum::<usize>()
        + optional(candidate.related_address.as_deref())
        + optional(candidate.tcp_type.as_deref())
        + list(&candidate.extensions, |(name, value)| text(name) + text(value))
}

fn format(format: &PayloadFormat) -> usize {
    let feedback = |feedback: &RtcpFeedback| match feedback {
        RtcpFeedback::Other(words) => text(words),
        _ => 0,
    };
    text(&format.name) + optional(format.parameters.as_deref()) + list(&format.feedback, feedback)
}

/// The bytes of fingerprints that m-lines may share.
pub(crate) fn fingerprints(fingerprints: &[Fingerprint]) -> usize {
    list(fingerprints, |fingerprint| text(&fingerprint.algorithm) + fingerprint.value.len() + ALLOCATION)
}

/// The bytes of ICE options that m-lines may share.
pub(crate) fn ice_options(options: &[String]) -> usize {
    list(options, |option| text(option))
}

/// The bytes of an m-line, without the attributes that it may share with others.
pub(crate) fn media(media: &Media) -> usize {
    size_of::<Media>()
        + [&media.kind, &media.protocol, &media.address].into_iter().map(|word| text(word)).sum::<usize>()
        + list(&media.formats, |format| text(format))
        + media.mid.as_ref().map_or(0, |mid| text(mid.as_str()))
        + list(&media.candidates, candidate)
        + list(&media.payload_formats, format)
        + list(&media.extensions, |e: &HeaderExtension| text(&e.uri) + optional(e.attributes.as_deref()))
        + list(&media.msids, msid)
        + list(&media.ssrcs, |s: &SsrcDescription| optional(s.cname.as_deref()) + s.msid.as_ref().map_or(0, msid))
        + list(&media.ssrc_groups, |group: &SsrcGroup| text(&group.semantics) + list(&group.ssrcs, |_| 0))
        + optional(media.sctpmap.as_deref())
}

/// The bytes of what stands before the m-lines.
pub(crate) fn head(session: &Session) -> usize {
    size_of::<Session>()
        + optional(session.username.as_deref())
        + text(&session.id)
        + list(&session.bundle, |group| list(group, |mid| text(mid.as_str())))
}
