//! Which m-lines of the peer's offer are served, and over whose transport (RFC 8829 §5.3.1, RFC 9143 §7.3).

use crate::jsep::codec_matching::answer_formats;
use crate::jsep::media_section::{bundled_with, live_sections};
use crate::jsep::negotiated::{RefusalReason, RefusedMedia};
use crate::jsep::transceiver::Transceiver;
use crate::jsep::{Jsep, TransceiverId};
use crate::sdp::{Media, Session};
use crate::types::MediaKind;

/// What we make of an offer.
#[derive(Debug)]
pub(crate) struct OfferReview {
    /// The m-line whose ICE and DTLS attributes hold, `None` if all are rejected.
    pub(crate) tag: Option<usize>,
    /// For each m-line what becomes of it.
    verdicts: Vec<Verdict>,
}

/// What becomes of an m-line: the transceiver that takes it, if that is settled, or why it is rejected.
type Verdict = Result<Option<TransceiverId>, RefusalReason>;

impl OfferReview {
    /// Why this m-line is rejected.
    pub(crate) fn refusal(&self, index: usize) -> Option<RefusalReason> {
        self.verdicts.get(index)?.err()
    }

    /// The transceiver that waits for an m-line and takes this one, where only what we send is taken.
    pub(crate) fn taker(&self, index: usize) -> Option<TransceiverId> {
        self.verdicts.get(index)?.ok()?
    }

    pub(crate) fn refused(&self, offer: &Session) -> Vec<RefusedMedia> {
        let lines = self.verdicts.iter().zip(&offer.media).enumerate();
        lines
            .filter_map(|(media_line, (verdict, media))| {
                Some(RefusedMedia { media_line, kind: media.kind.clone(), reason: verdict.err()? })
            })
            .collect()
    }
}

impl Jsep {
    pub(crate) fn review(&self, offer: &Session) -> OfferReview {
        let waiting = |t: &&Transceiver| t.is_live() && t.media_line.is_none() && t.created_by_add_track;
        let mut waiting: Vec<&Transceiver> = self.transceivers.iter().filter(waiting).collect();
        let lines = offer.media.iter().enumerate();
        let mut verdicts: Vec<_> = lines.map(|(index, media)| self.verdict(index, media, &mut waiting)).collect();
        self.keep_tag(offer, &mut verdicts);
        // RFC 9143 §7.3.1: the first of the group that is not rejected stands for it.
        let tag = live_sections(offer).find(|index| verdicts.get(*index).is_some_and(Result::is_ok));
        if let Some(tag) = tag {
            for (verdict, bundled) in verdicts.iter_mut().zip(bundled_with(offer, tag)) {
                // RFC 8829 §5.3.1, policy `max-bundle`: there is one transport, for one group.
                if verdict.is_ok() && !bundled {
                    *verdict = Err(RefusalReason::NotBundled);
                }
            }
        }
        OfferReview { tag, verdicts }
    }

    /// Keeps the m-line that stands for the offered group, though nothing is sent on it, if others of the group are taken:
    /// where it is rejected, browsers whose policy is `max-bundle` find no transport for the rest.
    fn keep_tag(&self, offer: &Session, verdicts: &mut [Verdict]) {
        let Some(tag) = live_sections(offer).next() else { return };
        let Some((media, verdict)) = offer.media.get(tag).zip(verdicts.get(tag)) else { return };
        let Some(kind) = media.media_kind().filter(|_| media.is_rtp()) else { return };
        let in_use = verdicts.iter().zip(bundled_with(offer, tag)).any(|(verdict, bundled)| bundled && verdict.is_ok());
        let unused = matches!(verdict, Err(RefusalReason::NothingToSend | RefusalReason::NoCommonCodec));
        if self.config.sending_only
            && unused
            && in_use
            && !answer_formats(media, &self.config.codecs, kind, &[]).is_empty()
        {
            verdicts[tag] = Ok(None);
        }
    }

    /// What becomes of an m-line for what it is itself.
    fn verdict(&self, index: usize, media: &Media, waiting: &mut Vec<&Transceiver>) -> Verdict {
        if media.is_rejected() {
            return Err(RefusalReason::RejectedByOffer);
        }
        let transceiver = self.transceivers.iter().find(|t| t.media_line == Some(index));
        match media.media_kind() {
            Some(kind) if media.is_rtp() => {
                // W3C webrtc-pc §5.4, stop: to avoid problems with BUNDLE, a transceiver that is stopping does not affect
                // createAnswer; our next offer says it.
                if transceiver.is_some_and(|transceiver| transceiver.stopped) {
                    return Err(RefusalReason::Stopped);
                }
                if transceiver.is_none() && self.config.sending_only {
                    return self.taken_up(media, kind, waiting);
                }
                match self.has_common_codec(media, kind, transceiver) {
                    true => Ok(None),
                    false => Err(RefusalReason::NoCommonCodec),
                }
            }
            None if media.is_data() && self.config.data_channels => Ok(None),
            None if media.is_data() => Err(RefusalReason::DataChannelsDisabled),
            _ => Err(RefusalReason::UnknownKind),
        }
    }

    /// The first that waits for a new m-line and can send on this one.
    fn taken_up(&self, media: &Media, kind: MediaKind, waiting: &mut Vec<&Transceiver>) -> Verdict {
        if !media.direction.receives() || waiting.iter().all(|transceiver| transceiver.kind != kind) {
            return Err(RefusalReason::NothingToSend);
        }
        let fits = |t: &&Transceiver| t.kind == kind && self.has_common_codec(media, kind, Some(t));
        let at = waiting.iter().position(fits).ok_or(RefusalReason::NoCommonCodec)?;
        Ok(Some(waiting.remove(at).id))
    }

    fn has_common_codec(&self, media: &Media, kind: MediaKind, transceiver: Option<&Transceiver>) -> bool {
        let preferences = transceiver.map(|t| &*t.codec_preferences).unwrap_or_default();
        if self.config.sending_only && preferences.is_empty() {
            return false;
        }
        !answer_formats(media, &self.config.codecs, kind, preferences).is_empty()
    }
}
