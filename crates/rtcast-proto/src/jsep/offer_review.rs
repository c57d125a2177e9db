//! Which m-lines of the peer's offer are served, and over whose transport (RFC 8829 §5.3.1, RFC 9143 §7.3).

use crate::jsep::Jsep;
use crate::jsep::codec_matching::answer_formats;
use crate::jsep::media_section::{live_sections, same_bundle};
use crate::jsep::negotiated::{RefusalReason, RefusedMedia};
use crate::sdp::Session;

/// What we make of an offer.
#[derive(Debug)]
pub(crate) struct OfferReview {
    /// The m-line whose ICE and DTLS attributes hold, `None` if all are rejected.
    pub(crate) tag: Option<usize>,
    /// For each m-line why our answer rejects it, `None` if it does not.
    pub(crate) refusals: Vec<Option<RefusalReason>>,
}

impl OfferReview {
    /// Why this m-line is rejected.
    pub(crate) fn refusal(&self, index: usize) -> Option<RefusalReason> {
        self.refusals.get(index).copied().flatten()
    }

    pub(crate) fn refused(&self, offer: &Session) -> Vec<RefusedMedia> {
        let lines = self.refusals.iter().zip(&offer.media).enumerate();
        lines
            .filter_map(|(media_line, (reason, media))| {
                Some(RefusedMedia { media_line, kind: media.kind.clone(), reason: (*reason)? })
            })
            .collect()
    }
}

impl Jsep {
    pub(crate) fn review(&self, offer: &Session) -> OfferReview {
        let mut refusals: Vec<_> = (0..offer.media.len()).map(|index| self.refusal(offer, index)).collect();
        // RFC 9143 §7.3.1: the first of the group that is not rejected stands for it.
        let tag = live_sections(offer).find(|index| refusals.get(*index).is_some_and(Option::is_none));
        if let Some(tag) = tag {
            for (index, refusal) in refusals.iter_mut().enumerate() {
                // RFC 8829 §5.3.1, policy `max-bundle`: there is one transport, for one group.
                if refusal.is_none() && !same_bundle(offer, tag, index) {
                    *refusal = Some(RefusalReason::NotBundled);
                }
            }
        }
        OfferReview { tag, refusals }
    }

    /// Why an m-line is rejected for what it is itself.
    fn refusal(&self, offer: &Session, index: usize) -> Option<RefusalReason> {
        let media = offer.media.get(index)?;
        if media.is_rejected() {
            return Some(RefusalReason::RejectedByOffer);
        }
        let transceiver = self.transceivers.iter().find(|t| t.media_line == Some(index));
        match media.media_kind() {
            Some(kind) if media.is_rtp() => {
                // W3C webrtc-pc §5.4, stop: to avoid problems with BUNDLE, a transceiver that is stopping does not affect
                // createAnswer; our next offer says it.
                if transceiver.is_some_and(|transceiver| transceiver.stopped) {
                    return Some(RefusalReason::Stopped);
                }
                let preferences = transceiver.map(|t| &*t.codec_preferences).unwrap_or_default();
                let formats = answer_formats(media, &self.config.codecs, kind, preferences);
                formats.is_empty().then_some(RefusalReason::NoCommonCodec)
            }
            None if media.is_data() => (!self.config.data_channels).then_some(RefusalReason::DataChannelsDisabled),
            _ => Some(RefusalReason::UnknownKind),
        }
    }
}
