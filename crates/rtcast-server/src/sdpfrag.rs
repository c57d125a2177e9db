//! `application/trickle-ice-sdpfrag`, RFC 8840 §9.

/// Candidates of one fragment; a viewer has about ten.
const MAX_CANDIDATES: usize = 128;
/// The longest `a=mid`, which is kept with each candidate.
const MAX_MID: usize = 256;

/// What one fragment says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SdpFragment {
    /// The credentials that it belongs to.
    pub(crate) ufrag: Option<String>,
    pub(crate) pwd: Option<String>,
    /// Candidates with the `a=mid` before them, in their order.
    pub(crate) candidates: Vec<FragmentCandidate>,
    /// Whether no more candidates follow.
    pub(crate) end_of_candidates: bool,
}

/// One candidate of a fragment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FragmentCandidate {
    pub(crate) candidate: String,
    pub(crate) mid: Option<String>,
}

impl SdpFragment {
    /// Reads a fragment. An error names the line by its number.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut fragment = Self::default();
        let mut mid = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() {
                continue;
            }
            let number = index + 1;
            // RFC 8840 §9.2: only attributes and pseudo m-lines.
            if line.starts_with("m=") {
                mid = None;
                continue;
            }
            let Some(attribute) = line.strip_prefix("a=") else {
                let shown: String = line.chars().take(80).collect();
                return Err(format!("line {number} is neither an attribute nor an m-line: {shown:?}"));
            };
            match attribute.split_once(':') {
                Some(("ice-ufrag", value)) => set(&mut fragment.ufrag, value, "ice-ufrag", number)?,
                Some(("ice-pwd", value)) => set(&mut fragment.pwd, value, "ice-pwd", number)?,
                Some(("mid", value)) if value.len() > MAX_MID => {
                    return Err(format!("line {number} has a mid of more than {MAX_MID} bytes"));
                }
                Some(("mid", value)) => mid = Some(value.to_owned()),
                Some(("candidate", _)) if fragment.candidates.len() == MAX_CANDIDATES => {
                    return Err(format!("line {number} is one candidate more than {MAX_CANDIDATES}"));
                }
                Some(("candidate", _)) => {
                    fragment.candidates.push(FragmentCandidate { candidate: attribute.to_owned(), mid: mid.clone() });
                }
                None if attribute == "end-of-candidates" => fragment.end_of_candidates = true,
                // RFC 8840 §9.2: unknown attributes are ignored.
                _ => {}
            }
        }
        Ok(fragment)
    }

    /// The peer's description anew, with these credentials and the candidates of this fragment instead of the old ones.
    pub(crate) fn offer(&self, description: &str, ufrag: &str, pwd: &str) -> String {
        let mut offer = String::new();
        let mut told = false;
        for line in description.lines() {
            match line.split_once(':').map_or(line, |(name, _)| name) {
                "a=ice-ufrag" => offer.extend(["a=ice-ufrag:", ufrag]),
                "a=ice-pwd" => offer.extend(["a=ice-pwd:", pwd]),
                "a=candidate" | "a=end-of-candidates" => continue,
                _ => offer.push_str(line),
            }
            offer.push_str("\r\n");
            // All media is bundled: the first m-line stands for every candidate.
            if !told && line.starts_with("a=mid:") {
                told = true;
                self.candidates.iter().for_each(|known| offer.extend(["a=", &known.candidate, "\r\n"]));
                if self.end_of_candidates {
                    offer.push_str("a=end-of-candidates\r\n");
                }
            }
        }
        offer
    }

    /// The fragment that says of a description what ICE needs.
    pub(crate) fn of(description: &str) -> String {
        let wanted = |line: &&str| {
            let of_ice = ["a=ice-ufrag:", "a=ice-pwd:", "a=ice-options:", "a=ice-lite"];
            let of_media = ["m=", "a=mid:", "a=candidate:", "a=end-of-candidates"];
            of_ice.iter().chain(&of_media).any(|start| line.starts_with(start))
        };
        description.lines().filter(wanted).flat_map(|line| [line, "\r\n"]).collect()
    }
}

/// Credentials may be repeated on each level, but must not differ: all media is bundled.
fn set(slot: &mut Option<String>, value: &str, name: &str, number: usize) -> Result<(), String> {
    match slot {
        Some(known) if known != value => Err(format!("line {number} gives a second, different {name}")),
        _ => {
            *slot = Some(value.to_owned());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_as_browsers_clients_send_it() {
        let text = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
                    a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\n\
                    a=end-of-candidates\r\n";
        let fragment = SdpFragment::parse(text).unwrap();
        assert_eq!(fragment.ufrag.as_deref(), Some("EsAw"));
        assert_eq!(fragment.candidates.len(), 1);
        assert_eq!(fragment.candidates[0].mid.as_deref(), Some("0"));
        assert!(fragment.candidates[0].candidate.starts_with("candidate:1387637174 1 udp"));
        assert!(fragment.end_of_candidates);
    }

    #[test]
    fn a_restart_is_an_offer_with_other_credentials_and_candidates() {
        let before = "v=0\r\na=ice-lite\r\nm=video 9 X 96\r\na=mid:0\r\na=ice-ufrag:old\r\na=ice-pwd:older\r\n\
                      a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\na=end-of-candidates\r\na=setup:actpass\r\n";
        let fragment = "a=ice-ufrag:new\r\na=ice-pwd:newer\r\nm=video 9 X 0\r\na=mid:0\r\n\
                        a=candidate:2 1 udp 2 192.0.2.2 2 typ host\r\n";
        let offer = SdpFragment::parse(fragment).unwrap().offer(before, "new", "newer");
        let expected = "v=0\r\na=ice-lite\r\nm=video 9 X 96\r\na=mid:0\r\n\
                        a=candidate:2 1 udp 2 192.0.2.2 2 typ host\r\na=ice-ufrag:new\r\na=ice-pwd:newer\r\na=setup:actpass\r\n";
        assert_eq!(offer, expected);
        let told = SdpFragment::parse(&SdpFragment::of(&offer)).unwrap();
        assert_eq!((told.ufrag.as_deref(), told.candidates.len()), (Some("new"), 1));
    }

    #[test]
    fn what_is_no_fragment_is_refused_with_its_line() {
        assert!(SdpFragment::parse("a=mid:0\r\n{\"candidate\":1}").unwrap_err().contains("line 2"));
        assert!(SdpFragment::parse("a=ice-ufrag:a\na=ice-ufrag:b").unwrap_err().contains("different"));
        assert_eq!(SdpFragment::parse("").unwrap(), SdpFragment::default());
        let long = format!("a=mid:{}\r\n", "x".repeat(MAX_MID + 1));
        assert!(SdpFragment::parse(&long).unwrap_err().contains("mid"));
        let many = "a=candidate:1\r\n".repeat(MAX_CANDIDATES + 1);
        assert!(SdpFragment::parse(&many).unwrap_err().contains("line 129"));
    }
}
