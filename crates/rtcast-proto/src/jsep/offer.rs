//! Writing an offer (RFC 8829 §5.2).

use std::collections::HashSet;
use std::sync::Arc;

use crate::jsep::codec_matching::preferred;
use crate::jsep::config::{BundlePolicy, LocalTransport};
use crate::jsep::media_section::{self, DATA_CHANNEL_FORMAT, SECURE_RTP, SECURE_SCTP, SharedTransport};
use crate::jsep::numbering::Numbering;
use crate::jsep::transceiver::Transceiver;
use crate::jsep::{Created, Jsep, Owner, SignalingState};
use crate::sdp::{DescriptionError, HeaderExtension, Media, SdpType, Session, SessionDescription, Setup};
use crate::types::{MediaKind, Mid};

impl Jsep {
    /// Writes an offer of every transceiver; nothing changes until it is set as the local description.
    ///
    /// Other ICE credentials than those of the local description before ask for an ICE restart.
    ///
    /// # Errors
    /// [`DescriptionError::State`] when the connection is closed or the peer's offer waits for an answer.
    pub fn create_offer(&mut self, transport: &LocalTransport) -> Result<SessionDescription, DescriptionError> {
        self.refuse_when_closed("create an offer")?;
        if !matches!(self.state, SignalingState::Stable | SignalingState::HaveLocalOffer) {
            return Err(DescriptionError::State {
                operation: "create an offer",
                state: self.state,
                hint: "answer the peer's offer first, or set a rollback".into(),
            });
        }
        let (session, owners) = self.write_offer(transport);
        self.session_version += 1;
        let description = SessionDescription::from_session(SdpType::Offer, session);
        self.last_offer = Some(Created { description: description.clone(), owners: owners.into() });
        Ok(description)
    }

    fn write_offer(&self, transport: &LocalTransport) -> (Session, Vec<Owner>) {
        let shared = SharedTransport::new(transport);
        let local = self.pending_local.as_ref().or(self.current_local.as_ref()).map(SessionDescription::session);
        let remote = self.current_remote.as_ref().map(SessionDescription::session);
        let mut numbering = Numbering::new(local.into_iter().chain(remote));
        let mut mids = Mids::new(self, local.into_iter().chain(remote));
        let mut new = self.transceivers.iter().filter(|t| t.is_live() && t.media_line.is_none()).peekable();
        let mut session = Session {
            id: self.session_id.to_string(),
            version: self.session_version + 1,
            ice_lite: transport.ice_lite,
            extmap_allow_mixed: true,
            ..Session::default()
        };
        let mut owners = Vec::new();
        // Chromium starts its transport anew, or refuses the offer, when another m-line gets in front of the one that
        // stands for the bundle; so only those behind the first that is in use are taken again.
        let live = self.transceivers.iter().filter(|t| t.is_live()).filter_map(|t| t.media_line);
        let first_in_use = live.chain(self.data.as_ref().map(|data| data.media_line)).min();
        let sections = |session: Option<&Session>| session.map_or(0, |session| session.media.len());
        for index in 0..sections(local).max(sections(remote)) {
            let before = local.and_then(|session| session.media.get(index));
            let theirs = remote.and_then(|session| session.media.get(index));
            let Some(template) = before.or(theirs) else { continue };
            let owner = self.owner(index);
            let (media, owner) = match (owner, self.transceivers.iter().find(|t| t.media_line == Some(index))) {
                (_, Some(transceiver)) if transceiver.is_live() => {
                    let mid = transceiver.mid.clone().unwrap_or_else(|| mids.fresh());
                    (self.offer_media(transceiver, mid, before, &mut numbering, &shared), owner)
                }
                (_, Some(_)) => (media_section::rejected(template), owner),
                (Owner::Data, _) => {
                    let mid = self.data.as_ref().map_or_else(|| mids.fresh(), |data| data.mid.clone());
                    (self.offer_data(mid, template, &shared), owner)
                }
                // RFC 8829 §5.2.2: an m-line that nobody uses any more is taken by the next new transceiver.
                _ => match new.next_if(|_| first_in_use.is_none_or(|first| first < index)) {
                    Some(transceiver) => (
                        self.offer_media(transceiver, mids.fresh(), None, &mut numbering, &shared),
                        Owner::Transceiver(transceiver.id),
                    ),
                    None => (media_section::rejected(template), Owner::Nobody),
                },
            };
            session.media.push(media);
            owners.push(owner);
        }
        for transceiver in new {
            session.media.push(self.offer_media(transceiver, mids.fresh(), None, &mut numbering, &shared));
            owners.push(Owner::Transceiver(transceiver.id));
        }
        if self.data_requested && self.data.is_none() {
            let template =
                Media { formats: vec![DATA_CHANNEL_FORMAT.to_owned()], ..Media::new("application", SECURE_SCTP) };
            session.media.push(self.offer_data(mids.fresh(), &template, &shared));
            owners.push(Owner::Data);
        }
        session.bundle.extend(self.bundle(&session));
        media_section::put_session(&mut session, transport);
        if self.config.bundle_policy == BundlePolicy::MaxBundle {
            self.mark_bundle_only(&mut session);
        }
        (session, owners)
    }

    /// RFC 8829 §5.2.1, RFC 9143 §7.2.1: m-lines that the peer has not bundled yet, but the one that stands for the
    /// group, have port 0 and `bundle-only`, and nothing of what belongs to the transport.
    fn mark_bundle_only(&self, session: &mut Session) {
        let tag = media_section::transport_section(session);
        let settled = self.current_remote.as_ref().map(SessionDescription::session);
        for (index, media) in session.media.iter_mut().enumerate() {
            let known = settled.and_then(|settled| settled.media.get(index));
            let bundled = known.is_some_and(|known| !known.is_rejected() && known.mid == media.mid);
            if Some(index) == tag || media.is_rejected() || bundled {
                continue;
            }
            media.port = 0;
            media.bundle_only = true;
            media.ice_ufrag = None;
            media.ice_pwd = None;
            media.ice_options = Arc::default();
            media.fingerprints = Arc::default();
            media.setup = None;
            media.rtcp_mux = false;
            media.rtcp_mux_only = false;
            media.rtcp_rsize = false;
        }
    }

    /// Everything in one group. Who was in it before stays in front, so that the transport stays (RFC 9143 §7.5.1).
    fn bundle(&self, session: &Session) -> Option<Vec<Mid>> {
        let live = session.media.iter().filter(|media| !media.is_rejected());
        // Each is taken out as it gets its place in the group.
        let mut in_use: HashSet<&Mid> = live.filter_map(|media| media.mid.as_ref()).collect();
        let mut settled = [&self.current_local, &self.current_remote].into_iter().flatten();
        let answer = settled.find(|description| description.sdp_type() == SdpType::Answer);
        let old = answer.into_iter().flat_map(|answer| answer.session().bundle.iter().flatten());
        let new = session.media.iter().filter_map(|media| media.mid.as_ref());
        let group: Vec<Mid> = old.chain(new).filter(|mid| in_use.remove(mid)).cloned().collect();
        (!group.is_empty()).then_some(group)
    }

    fn offer_media(
        &self,
        transceiver: &Transceiver,
        mid: Mid,
        before: Option<&Media>,
        numbering: &mut Numbering<'_>,
        transport: &SharedTransport,
    ) -> Media {
        let mut media = Media::new(transceiver.kind.as_str(), SECURE_RTP);
        media.mid = Some(mid);
        media.direction = transceiver.direction;
        media.rtcp_mux = true;
        // RFC 8858 §3: we have no second port for RTCP.
        media.rtcp_mux_only = true;
        media.rtcp_rsize = true;
        media_section::put_transport(&mut media, transport, Setup::Actpass);
        let mut capabilities = preferred(&self.config.codecs, transceiver.kind, &transceiver.codec_preferences);
        if self.config.sending_only && transceiver.codec_preferences.is_empty() {
            capabilities.clear();
        }
        for capability in capabilities {
            let asked = !transceiver.codec_preferences.is_empty();
            if capability.offered || asked {
                for format in numbering.formats(capability, before) {
                    // Two capabilities may be one and the same to the peer.
                    if !media.payload_formats.iter().any(|known| known.payload_type == format.payload_type) {
                        media.payload_formats.push(format);
                    }
                }
            }
        }
        if media.payload_formats.is_empty() {
            // No codec of the kind is configured, or the peer uses every number: RFC 3264 §6 wants a format all the same.
            let template =
                Media { mid: media.mid, formats: vec!["127".to_owned()], ..Media::new(media.kind, SECURE_RTP) };
            return media_section::rejected(&template);
        }
        if self.config.telephone_events && transceiver.kind == MediaKind::Audio {
            let fast = media.payload_formats.iter().any(|format| format.clock_rate == 48_000);
            let rates = fast.then_some(48_000).into_iter().chain([8_000]);
            media.payload_formats.extend(rates.filter_map(|rate| numbering.telephone_event(rate, before)));
        }
        media_section::put_formats(&mut media);
        for capability in self.config.header_extensions.iter().filter(|c| c.serves(transceiver.kind)) {
            if let Some(id) = numbering.extension(&capability.uri) {
                media.extensions.push(HeaderExtension {
                    id,
                    direction: crate::sdp::Direction::Sendrecv,
                    uri: capability.uri.clone(),
                    attributes: None,
                });
            }
        }
        media_section::put_sender(&mut media, transceiver, &self.cname);
        media
    }

    fn offer_data(&self, mid: Mid, template: &Media, transport: &SharedTransport) -> Media {
        let mut media = Media::new("application", &template.protocol);
        media.formats.clone_from(&template.formats);
        media.mid = Some(mid);
        media_section::put_transport(&mut media, transport, Setup::Actpass);
        media.sctp_port = Some(5000);
        media.sctpmap.clone_from(&template.sctpmap);
        media.max_message_size = Some(self.config.max_message_size);
        media
    }
}

/// Hands out mids as browsers do: the lowest numbers that no m-line has or had.
pub(crate) struct Mids {
    taken: HashSet<Mid>,
    next: u32,
}

impl Mids {
    pub(crate) fn new<'a>(jsep: &Jsep, sessions: impl Iterator<Item = &'a Session>) -> Self {
        let used = sessions.flat_map(|session| &session.media).filter_map(|media| media.mid.clone());
        let own = jsep.transceivers.iter().filter_map(|transceiver| transceiver.mid.clone());
        let data = jsep.data.as_ref().map(|data| data.mid.clone());
        Self { taken: used.chain(own).chain(data).collect(), next: jsep.next_mid }
    }

    pub(crate) fn fresh(&mut self) -> Mid {
        loop {
            let mid = Mid::new(self.next.to_string());
            self.next = self.next.wrapping_add(1);
            if !self.taken.contains(&mid) {
                return mid;
            }
        }
    }
}
