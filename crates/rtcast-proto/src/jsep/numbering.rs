//! Payload types and header extension ids of our offers, the same in every bundled m-line.

use crate::codec::Codec;
use crate::jsep::codec_matching::compatible;
use crate::jsep::config::CodecCapability;
use crate::sdp::{Media, PayloadFormat, Session, TELEPHONE_EVENT};
use crate::types::PayloadType;

/// Hands out numbers that nobody uses for something else.
///
/// RFC 9143 §9.1: in a bundle a payload type means the same everywhere. RFC 8829 §5.2.2: what was numbered keeps its
/// number.
#[derive(Debug)]
pub(crate) struct Numbering<'a> {
    sections: Vec<&'a Media>,
    used: [bool; 128],
    /// Codec, payload type, RTX payload type.
    given: Vec<(CodecCapability, PayloadType, Option<PayloadType>)>,
    /// Clock of telephone events, payload type.
    given_events: Vec<(u32, PayloadType)>,
    extensions: Vec<(String, u8)>,
}

impl<'a> Numbering<'a> {
    /// Starts from what the descriptions so far use.
    pub(crate) fn new(sessions: impl IntoIterator<Item = &'a Session>) -> Self {
        let sections: Vec<&Media> = sessions.into_iter().flat_map(|session| &session.media).collect();
        let mut used = [false; 128];
        let mut extensions: Vec<(String, u8)> = Vec::new();
        for section in &sections {
            // Also numbers without a meaning here: they mean something to the peer.
            let listed = section.formats.iter().filter_map(|format| format.parse::<u8>().ok());
            for number in listed {
                if let Some(slot) = used.get_mut(usize::from(number)) {
                    *slot = true;
                }
            }
            for extension in &section.extensions {
                if !extensions.iter().any(|(_, id)| *id == extension.id) {
                    extensions.push((extension.uri.clone(), extension.id));
                }
            }
        }
        Self { sections, used, given: Vec::new(), given_events: Vec::new(), extensions }
    }

    /// The payload formats of one capability in an m-line that looked like `before`: the codec and its RTX.
    pub(crate) fn formats(&mut self, capability: &CodecCapability, before: Option<&Media>) -> Vec<PayloadFormat> {
        let Some((payload_type, rtx)) = self.numbers(capability, before) else { return Vec::new() };
        let codec = &capability.codec;
        let mut formats = vec![PayloadFormat {
            payload_type,
            name: codec.codec.encoding_name().to_owned(),
            clock_rate: codec.codec.clock_rate(),
            channels: codec.channels().unwrap_or(1),
            parameters: codec.sdp_fmtp_line.clone(),
            feedback: capability.feedback.clone(),
        }];
        if let Some(rtx) = rtx {
            formats.push(PayloadFormat {
                payload_type: rtx,
                name: "rtx".to_owned(),
                clock_rate: codec.codec.clock_rate(),
                channels: 1,
                parameters: Some(format!("apt={payload_type}")),
                feedback: Vec::new(),
            });
        }
        formats
    }

    /// Telephone events of that clock in an m-line that looked like `before`, numbered as browsers do where that is free.
    pub(crate) fn telephone_event(&mut self, clock_rate: u32, before: Option<&Media>) -> Option<PayloadFormat> {
        let in_section = |section: &Media| {
            let mut formats = section.payload_formats.iter();
            formats.find(|f| f.telephone_event_rate() == Some(clock_rate)).map(|found| found.payload_type)
        };
        let given = || self.given_events.iter().find(|(rate, _)| *rate == clock_rate).map(|(_, number)| *number);
        let found = before
            .and_then(in_section)
            .or_else(given)
            .or_else(|| self.sections.iter().find_map(|section| in_section(section)));
        let usual = if clock_rate == 8_000 { 126 } else { 110 };
        let payload_type = found.or_else(|| self.take_first(std::iter::once(usual).chain(96..=127).chain(35..=63)))?;
        if !self.given_events.iter().any(|(rate, _)| *rate == clock_rate) {
            self.given_events.push((clock_rate, payload_type));
        }
        Some(PayloadFormat {
            payload_type,
            name: TELEPHONE_EVENT.to_owned(),
            clock_rate,
            channels: 1,
            parameters: None,
            feedback: Vec::new(),
        })
    }

    /// The id of an extension, `None` if all 255 are taken.
    pub(crate) fn extension(&mut self, uri: &str) -> Option<u8> {
        if let Some((_, id)) = self.extensions.iter().find(|(known, _)| known == uri) {
            return Some(*id);
        }
        // RFC 8285 §4.2: 15 is reserved in the one-byte form.
        let free = (1..=255).filter(|id| *id != 15).find(|id| !self.extensions.iter().any(|(_, taken)| taken == id))?;
        self.extensions.push((uri.to_owned(), free));
        Some(free)
    }

    fn numbers(
        &mut self,
        capability: &CodecCapability,
        before: Option<&Media>,
    ) -> Option<(PayloadType, Option<PayloadType>)> {
        let in_section = |section: &Media| {
            let mut formats = section.payload_formats.iter();
            let found = formats.find(|f| f.codec().is_some_and(|codec| compatible(&codec, &capability.codec)))?;
            Some((found.payload_type, section.retransmission_of(found.payload_type)))
        };
        let found = before
            .and_then(in_section)
            .or_else(|| {
                let given = self.given.iter().find(|(known, ..)| known == capability);
                given.map(|(_, payload_type, rtx)| (*payload_type, *rtx))
            })
            .or_else(|| self.sections.iter().find_map(|section| in_section(section)));
        let (payload_type, rtx) = match found {
            Some(numbers) => numbers,
            None => (self.free(capability.codec.codec)?, None),
        };
        let rtx = match (capability.retransmission, rtx) {
            (true, Some(rtx)) => Some(rtx),
            (true, None) => self.free(capability.codec.codec),
            (false, _) => None,
        };
        if !self.given.iter().any(|(known, ..)| known == capability) {
            self.given.push((capability.clone(), payload_type, rtx));
        }
        Some((payload_type, rtx))
    }

    /// A number of RFC 3551's dynamic range, then of the range that Chromium uses when that is full.
    fn free(&mut self, codec: Codec) -> Option<PayloadType> {
        let fixed = match codec {
            Codec::Pcmu => Some(0),
            Codec::Pcma => Some(8),
            Codec::Opus => Some(111),
            _ => None,
        };
        // 111 is kept for Opus, as browsers number it.
        let candidates = fixed.into_iter().chain((96..=127).filter(|n| *n != 111)).chain(35..=63);
        self.take_first(candidates)
    }

    /// The first of these numbers that nobody uses.
    fn take_first(&mut self, candidates: impl Iterator<Item = u8>) -> Option<PayloadType> {
        for number in candidates {
            if let Some(slot) = self.used.get_mut(usize::from(number))
                && !*slot
            {
                *slot = true;
                return Some(PayloadType::new(number));
            }
        }
        None
    }
}
