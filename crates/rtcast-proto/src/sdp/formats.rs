//! The lines about payload types, which may stand in any order: `a=rtpmap`, `a=fmtp` and `a=rtcp-fb`.

use crate::sdp::codecs::{PayloadFormat, RtcpFeedback, parse_payload_type, parse_rtpmap, static_format};
use crate::sdp::error::DescriptionError;
use crate::sdp::limits::{MAXIMUM_FEEDBACK, MAXIMUM_PARAMETERS};
use crate::sdp::lines::Line;
use crate::types::PayloadType;

/// What the lines of one m-line say, by payload type, so that each line costs the same however many there are.
#[derive(Debug)]
pub(crate) struct Formats {
    /// For each payload type the place of what is said of it, counted from 1; 0 for nothing.
    places: [u8; 128],
    said: Vec<Said>,
    /// What `a=rtcp-fb:*` says of all.
    feedback: Vec<RtcpFeedback>,
}

#[derive(Debug, Default)]
struct Said {
    map: Option<PayloadFormat>,
    parameters: Option<String>,
    feedback: Vec<RtcpFeedback>,
}

impl Default for Formats {
    fn default() -> Self {
        Self { places: [0; 128], said: Vec::new(), feedback: Vec::new() }
    }
}

impl Formats {
    pub(crate) fn rtpmap(&mut self, line: &Line<'_>, value: &str) -> Result<(), DescriptionError> {
        let map = parse_rtpmap(value)
            .ok_or_else(|| line.error("`a=rtpmap:<payload type> <name>/<clock>`, such as `a=rtpmap:96 VP8/90000`"))?;
        self.of(map.payload_type).map.get_or_insert(map);
        Ok(())
    }

    pub(crate) fn fmtp(&mut self, line: &Line<'_>, value: &str) -> Result<(), DescriptionError> {
        let found = value.split_once(' ').and_then(|(number, text)| Some((parse_payload_type(number)?, text.trim())));
        let (payload_type, text) = found.ok_or_else(|| line.error("`a=fmtp:<payload type> <parameters>`"))?;
        if text.len() > MAXIMUM_PARAMETERS {
            return Err(line.error("no more than 4096 bytes of parameters in one `a=fmtp`"));
        }
        self.of(payload_type).parameters.get_or_insert_with(|| text.to_owned());
        Ok(())
    }

    pub(crate) fn rtcp_fb(&mut self, line: &Line<'_>, value: &str) -> Result<(), DescriptionError> {
        let found = value.split_once(' ').and_then(|(number, text)| match number {
            "*" => Some((None, text)),
            number => Some((Some(parse_payload_type(number)?), text)),
        });
        let (payload_type, text) = found
            .ok_or_else(|| line.error("`a=rtcp-fb:<payload type or *> <feedback>`, such as `a=rtcp-fb:96 nack pli`"))?;
        let known = match payload_type {
            Some(payload_type) => &mut self.of(payload_type).feedback,
            None => &mut self.feedback,
        };
        let kind = RtcpFeedback::from_text(text);
        if known.contains(&kind) {
            return Ok(());
        }
        if known.len() >= MAXIMUM_FEEDBACK {
            return Err(line.error("no more than 32 kinds of feedback for one payload type"));
        }
        known.push(kind);
        Ok(())
    }

    /// What each payload type of the m-line is; those without meaning are left out.
    pub(crate) fn assemble(mut self, order: &[PayloadType]) -> Vec<PayloadFormat> {
        let mut listed = [false; 128];
        let mut formats = Vec::with_capacity(order.len());
        for payload_type in order {
            let Some(listed) = listed.get_mut(usize::from(payload_type.value())).filter(|listed| !**listed) else {
                continue;
            };
            *listed = true;
            let said = std::mem::take(self.of(*payload_type));
            let Some(mut format) = said.map.or_else(|| static_format(*payload_type)) else { continue };
            format.parameters = said.parameters;
            format.feedback = said.feedback;
            for kind in &self.feedback {
                if !format.feedback.contains(kind) {
                    format.feedback.push(kind.clone());
                }
            }
            format.feedback.shrink_to_fit();
            formats.push(format);
        }
        formats.shrink_to_fit();
        formats
    }

    fn of(&mut self, payload_type: PayloadType) -> &mut Said {
        #[expect(
            clippy::indexing_slicing,
            reason = "a payload type is below 128, so there is a place for each, and a place names what was pushed"
        )]
        {
            let place = &mut self.places[usize::from(payload_type.value())];
            if *place == 0 {
                self.said.push(Said::default());
                *place = self.said.len() as u8;
            }
            &mut self.said[usize::from(*place) - 1]
        }
    }
}
