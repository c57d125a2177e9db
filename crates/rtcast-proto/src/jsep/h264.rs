//! H.264's profile and level in SDP (RFC 6184 §8.1).

use crate::codec::{Codec, RtpCodec};

/// The profiles that RFC 6184's Table 5 tells apart, as far as browsers use them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    High444Predictive,
    /// Any other, which matches only its like.
    Other(u8, u8),
}

/// `profile-level-id` taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProfileLevelId {
    pub(crate) profile: Profile,
    profile_idc: u8,
    constraints: u8,
    /// Ten times the level, with 1b between 1 and 1.1, for comparing.
    level: u16,
    level_idc: u8,
}

impl ProfileLevelId {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() != 6 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let [_, profile_idc, constraints, level_idc] = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
        let bits = |mask: u8, value: u8| constraints & mask == value;
        // RFC 6184 §8.1, Table 5: the same profile has several spellings.
        let profile = match profile_idc {
            0x42 if bits(0x4f, 0x40) => Profile::ConstrainedBaseline,
            0x4d if bits(0x8f, 0x80) => Profile::ConstrainedBaseline,
            0x58 if bits(0xcf, 0xc0) => Profile::ConstrainedBaseline,
            0x42 if bits(0x4f, 0x00) => Profile::Baseline,
            0x58 if bits(0xcf, 0x80) => Profile::Baseline,
            0x4d if bits(0xaf, 0x00) => Profile::Main,
            0x64 if constraints == 0x0c => Profile::ConstrainedHigh,
            0x64 if constraints == 0 => Profile::High,
            0xf4 if constraints == 0 => Profile::High444Predictive,
            _ => Profile::Other(profile_idc, constraints),
        };
        // Level 1b is level 1.1 with constraint_set3 in the lower profiles, and 9 in the higher ones.
        let is_1b = level_idc == 9 || (level_idc == 11 && constraints & 0x10 != 0 && profile_idc < 0x64);
        let level = if is_1b { 21 } else { u16::from(level_idc) * 2 };
        Some(Self { profile, profile_idc, constraints, level, level_idc })
    }

    /// The profile of this one with the lower of both levels.
    fn with_lower_level(self, other: Self) -> Self {
        if self.level <= other.level {
            return self;
        }
        let level_1b = other.level == 21;
        let constraints = if level_1b && self.profile_idc < 0x64 { self.constraints | 0x10 } else { self.constraints };
        let level_idc = if level_1b && self.profile_idc < 0x64 { 11 } else { other.level_idc };
        Self { constraints, level: other.level, level_idc, ..self }
    }

    fn text(self) -> String {
        format!("{:02x}{:02x}{:02x}", self.profile_idc, self.constraints, self.level_idc)
    }
}

/// What a description means by its parameters; without `profile-level-id` it is Baseline, level 1 (RFC 6184 §8.1).
pub(crate) fn profile_level_id(codec: &RtpCodec) -> Option<ProfileLevelId> {
    ProfileLevelId::parse(codec.parameter("profile-level-id").unwrap_or("42000a"))
}

/// 0 if the description does not say (RFC 6184 §8.1).
pub(crate) fn packetization_mode(codec: &RtpCodec) -> &str {
    codec.parameter("packetization-mode").unwrap_or("0")
}

/// RFC 6184 §8.2.2: profile and packetization mode are the same on both sides, the level need not be.
pub(crate) fn compatible(left: &RtpCodec, right: &RtpCodec) -> bool {
    match (profile_level_id(left), profile_level_id(right)) {
        (Some(l), Some(r)) => l.profile == r.profile && packetization_mode(left) == packetization_mode(right),
        _ => false,
    }
}

/// The parameters of an answer: the offered profile with our level, or the lower level if both must be the same.
pub(crate) fn answer_parameters(offered: &RtpCodec, ours: &RtpCodec) -> Option<String> {
    let (theirs, own) = (profile_level_id(offered)?, profile_level_id(ours)?);
    let asymmetric = |codec: &RtpCodec| codec.parameter("level-asymmetry-allowed") == Some("1");
    let both = asymmetric(offered) && asymmetric(ours);
    let level = if both {
        ProfileLevelId { level: own.level, level_idc: own.level_idc, ..theirs }
    } else {
        theirs.with_lower_level(own)
    };
    let asymmetry = if both { "level-asymmetry-allowed=1;" } else { "" };
    Some(format!("{asymmetry}packetization-mode={};profile-level-id={}", packetization_mode(offered), level.text()))
}

/// How well a stream fits what was negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SendFit {
    /// By a decoder's habit: browsers decode Main and High without B-frames though they negotiate Constrained Baseline.
    Lenient,
    /// By the letter of the description.
    Exact,
}

/// Whether an H.264 stream without B-frames can be sent to a peer that negotiated `codec`. The level is not compared, and a
/// stream that does not name its profile is of Constrained Baseline. `None`: it cannot.
///
/// RFC 6184 §6.2: packetization mode 0 takes single NAL units alone, so only a stream that was made for it, and says so,
/// can be sent there; a stream's NAL units are else cut into fragments. Mode 1 takes both.
pub fn can_send(codec: &RtpCodec, stream: &RtpCodec) -> Option<SendFit> {
    let fits = match packetization_mode(codec) {
        "1" => true,
        "0" => stream.parameter("packetization-mode") == Some("0"),
        _ => false,
    };
    if codec.codec != Codec::H264 || stream.codec != Codec::H264 || !fits {
        return None;
    }
    let stream = ProfileLevelId::parse(stream.parameter("profile-level-id").unwrap_or("42e01f"))?;
    let negotiated = profile_level_id(codec)?;
    let common = |id: &ProfileLevelId| matches!(id.profile_idc, 0x42 | 0x4d | 0x64);
    if stream.profile == negotiated.profile {
        Some(SendFit::Exact)
    } else if common(&stream) && common(&negotiated) {
        Some(SendFit::Lenient)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn h264(parameters: &str) -> RtpCodec {
        RtpCodec::with_fmtp(Codec::H264, parameters)
    }

    #[test]
    fn profiles_have_several_spellings() {
        for spelling in ["42e01f", "42c01f", "42401f", "4d801f", "4de01f", "58c01f", "58e01f"] {
            let id = ProfileLevelId::parse(spelling).unwrap();
            assert_eq!(id.profile, Profile::ConstrainedBaseline, "{spelling}");
        }
        for (spelling, profile) in [
            ("42001f", Profile::Baseline),
            ("4d001f", Profile::Main),
            ("4d401f", Profile::Main),
            ("64001f", Profile::High),
            ("640c1f", Profile::ConstrainedHigh),
            ("f4001f", Profile::High444Predictive),
        ] {
            assert_eq!(ProfileLevelId::parse(spelling).unwrap().profile, profile, "{spelling}");
        }
        for wrong in ["", "42e0", "42e01g", "42e01f0", "é2e01"] {
            assert_eq!(ProfileLevelId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_answer_takes_the_lower_level_unless_levels_may_differ() {
        let ours = h264("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f");
        let low = h264("packetization-mode=1;profile-level-id=42c00d");
        assert_eq!(answer_parameters(&low, &ours).unwrap(), "packetization-mode=1;profile-level-id=42c00d");
        let high = h264("packetization-mode=1;profile-level-id=42c034");
        assert_eq!(answer_parameters(&high, &ours).unwrap(), "packetization-mode=1;profile-level-id=42c01f");
        let free = h264("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42c00d");
        assert_eq!(
            answer_parameters(&free, &ours).unwrap(),
            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42c01f"
        );
    }

    #[test]
    fn level_1b_lies_between_1_and_1_1() {
        let level = |text| ProfileLevelId::parse(text).unwrap().level;
        assert!(level("42e00a") < level("42f00b"));
        assert!(level("42f00b") < level("42e00b"));
        assert_eq!(level("640009"), level("42f00b"));
        let ours = h264("packetization-mode=1;profile-level-id=42e01f");
        let lowest = h264("packetization-mode=1;profile-level-id=42f00b");
        assert_eq!(answer_parameters(&ours, &lowest).unwrap(), "packetization-mode=1;profile-level-id=42f00b");
    }

    #[test]
    fn high_and_main_go_to_a_browser_that_said_constrained_baseline() {
        let browser = h264("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f");
        let of = |profile: &str| h264(&format!("profile-level-id={profile}"));
        assert_eq!(can_send(&browser, &of("42c01e")), Some(SendFit::Exact));
        assert_eq!(can_send(&browser, &of("640028")), Some(SendFit::Lenient));
        assert_eq!(can_send(&browser, &of("4d401f")), Some(SendFit::Lenient));
        assert_eq!(can_send(&browser, &of("6e0028")), None, "High 10");
        assert_eq!(can_send(&browser, &of("f40028")), None, "4:4:4");
        assert_eq!(can_send(&browser, &RtpCodec::new(Codec::H264)), Some(SendFit::Exact));
    }

    #[test]
    fn single_nal_units_need_a_stream_that_was_made_of_them() {
        let browser = h264("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f");
        let single = h264("packetization-mode=0;profile-level-id=42e01f");
        // Without a word it is mode 0 and Baseline.
        let nothing = RtpCodec::new(Codec::H264);
        let large = h264("packetization-mode=1;profile-level-id=42e01f");
        for (peer, stream, fit) in [
            (&single, &large, None),
            (&nothing, &large, None),
            (&single, &nothing, None),
            (&single, &single, Some(SendFit::Exact)),
            (&nothing, &single, Some(SendFit::Lenient)),
            (&browser, &single, Some(SendFit::Exact)),
        ] {
            assert_eq!(can_send(peer, stream), fit, "{peer:?} {stream:?}");
        }
        assert_eq!(can_send(&h264("packetization-mode=2"), &single), None, "interleaved");
        assert_eq!(can_send(&RtpCodec::new(Codec::Vp8), &single), None);
    }
}
