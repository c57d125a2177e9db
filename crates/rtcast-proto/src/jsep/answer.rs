//! Writing an answer (RFC 8829 §5.3).

use std::collections::HashSet;

use crate::dtls::DtlsRole;
use crate::jsep::codec_matching::{answer_formats, answer_telephone_events};
use crate::jsep::config::LocalTransport;
use crate::jsep::media_section::{self, SharedTransport};
use crate::jsep::transceiver::Transceiver;
use crate::jsep::{Created, Jsep, Owner, SignalingState};
use crate::sdp::{DescriptionError, Direction, Media, SdpType, Session, SessionDescription, Setup};
use crate::types::{MediaKind, Mid};

impl Jsep {
    /// Writes the answer to the peer's offer; nothing changes until it is set as the local description.
    ///
    /// Set as a [`SdpType::Pranswer`] by [`create_pranswer`](Self::create_pranswer).
    ///
    /// # Errors
    /// [`DescriptionError::State`] if there is no offer of the peer to answer.
    pub fn create_answer(&mut self, transport: &LocalTransport) -> Result<SessionDescription, DescriptionError> {
        self.write_answer_as(SdpType::Answer, transport)
    }

    /// Writes a provisional answer, after which another answer follows.
    ///
    /// # Errors
    /// As [`create_answer`](Self::create_answer).
    pub fn create_pranswer(&mut self, transport: &LocalTransport) -> Result<SessionDescription, DescriptionError> {
        self.write_answer_as(SdpType::Pranswer, transport)
    }

    fn write_answer_as(
        &mut self,
        sdp_type: SdpType,
        transport: &LocalTransport,
    ) -> Result<SessionDescription, DescriptionError> {
        self.refuse_when_closed("create an answer")?;
        let (SignalingState::HaveRemoteOffer | SignalingState::HaveLocalPranswer, Some(offer)) =
            (self.state, &self.pending_remote)
        else {
            return Err(DescriptionError::State {
                operation: "create an answer",
                state: self.state,
                hint: "set the peer's offer first: `set_remote_description(offer)`".into(),
            });
        };
        let (session, owners) = self.write_answer(offer.session(), transport);
        self.session_version += 1;
        let description = SessionDescription::from_session(sdp_type, session);
        self.last_answer = Some(Created { description: description.clone(), owners: owners.into() });
        Ok(description)
    }

    fn write_answer(&self, offer: &Session, transport: &LocalTransport) -> (Session, Vec<Owner>) {
        let review = self.review(offer);
        let setup = self.answer_setup(offer, review.tag);
        let shared = SharedTransport::new(transport);
        let mut session = Session {
            id: self.session_id.to_string(),
            version: self.session_version + 1,
            ice_lite: transport.ice_lite,
            extmap_allow_mixed: offer.extmap_allow_mixed,
            ..Session::default()
        };
        let mut owners = Vec::new();
        for (index, offered) in offer.media.iter().enumerate() {
            let owner = self.owner(index);
            let media = match (review.refusal(index), owner) {
                (None, Owner::Transceiver(id)) => {
                    self.transceiver(id).and_then(|transceiver| self.answer_media(transceiver, offered, &shared, setup))
                }
                (None, Owner::Data) => Some(self.answer_data(offered, &shared, setup)),
                _ => None,
            };
            session.media.push(media.unwrap_or_else(|| media_section::rejected(offered)));
            owners.push(owner);
        }
        // RFC 9143 §7.3: the answer's group holds those of the offered group that were not rejected.
        let accepted: HashSet<&Mid> =
            session.media.iter().filter(|media| !media.is_rejected()).filter_map(|media| media.mid.as_ref()).collect();
        let members =
            |group: &Vec<Mid>| group.iter().filter(|mid| accepted.contains(mid)).cloned().collect::<Vec<Mid>>();
        let groups: Vec<_> = offer.bundle.iter().map(members).filter(|group| !group.is_empty()).collect();
        session.bundle = groups;
        media_section::put_session(&mut session, transport);
        (session, owners)
    }

    fn answer_media(
        &self,
        transceiver: &Transceiver,
        offered: &Media,
        transport: &SharedTransport,
        setup: Setup,
    ) -> Option<Media> {
        let formats = answer_formats(offered, &self.config.codecs, transceiver.kind, &transceiver.codec_preferences);
        if formats.is_empty() {
            return None;
        }
        let mut media = Media::new(&offered.kind, &offered.protocol);
        media.mid.clone_from(&offered.mid);
        // One that is stopping keeps its m-line until the next offer of ours, and nothing flows.
        let unused = self.config.sending_only && transceiver.track_id.is_none();
        let wanted = if transceiver.stopping || unused { Direction::Inactive } else { transceiver.direction };
        media.direction = wanted.and(offered.direction.reversed());
        media.rtcp_mux = true;
        media.extmap_allow_mixed = offered.extmap_allow_mixed;
        media.rtcp_rsize = offered.rtcp_rsize;
        media.payload_formats = formats;
        if self.config.telephone_events && transceiver.kind == MediaKind::Audio {
            media.payload_formats.extend(answer_telephone_events(offered, &media.payload_formats));
        }
        media_section::put_formats(&mut media);
        media.extensions = media_section::answer_extensions(offered, &self.config.header_extensions, transceiver.kind);
        media_section::put_transport(&mut media, transport, setup);
        media_section::put_sender(&mut media, transceiver, &self.cname);
        Some(media)
    }

    fn answer_data(&self, offered: &Media, transport: &SharedTransport, setup: Setup) -> Media {
        let mut media = Media::new(&offered.kind, &offered.protocol);
        media.formats.clone_from(&offered.formats);
        media.mid.clone_from(&offered.mid);
        media_section::put_transport(&mut media, transport, setup);
        media.sctp_port = Some(5000);
        if offered.sctpmap.is_some() {
            media.formats = vec!["5000".to_owned()];
            media.sctpmap = Some("5000 webrtc-datachannel 65535".to_owned());
        }
        media.max_message_size = Some(self.config.max_message_size);
        media
    }

    /// RFC 8829 §5.3.1: active if the offer leaves it to us, so that the handshake begins at once; RFC 8842 §5.5: the
    /// role that we have, if the connection is there already.
    fn answer_setup(&self, offer: &Session, tag: Option<usize>) -> Setup {
        let offered = tag.and_then(|index| offer.media.get(index)).and_then(|media| media.setup);
        match (offered, self.dtls_role) {
            (Some(Setup::Active), _) | (Some(Setup::Actpass), Some(DtlsRole::Server)) => Setup::Passive,
            _ => Setup::Active,
        }
    }
}
