//! The lines of an SDP: split, checked for their form, and handed to `sdp-types` for their fields.

use std::fmt;

use crate::sdp::error::{DescriptionError, shortened};
use crate::sdp::limits::DescriptionLimits;

/// One line with its number, so that an error can name it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) number: usize,
    pub(crate) key: u8,
    pub(crate) text: &'a str,
}

impl<'a> Line<'a> {
    /// What follows the `=`.
    pub(crate) fn value(&self) -> &'a str {
        self.text.get(2..).unwrap_or_default()
    }

    /// The name and the value of an `a=` line.
    pub(crate) fn attribute(&self) -> Option<(&'a str, &'a str)> {
        (self.key == b'a').then(|| self.value().split_once(':').unwrap_or((self.value(), "")))
    }

    pub(crate) fn error(&self, expected: impl Into<std::borrow::Cow<'static, str>>) -> DescriptionError {
        DescriptionError::at_line(self.number, self.text, expected)
    }
}

/// An SDP as lines: every field of RFC 8866 in its place, every attribute kept, known or not.
///
/// Writing it gives back, byte for byte, what a browser wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SdpLines(sdp_types::Session);

impl SdpLines {
    /// Reads the lines, which may end with CR LF or with LF alone.
    ///
    /// # Errors
    /// [`DescriptionError::NotSdp`], [`DescriptionError::Line`] or [`DescriptionError::MissingLine`].
    pub fn parse(text: &str) -> Result<Self, DescriptionError> {
        parse(text, &DescriptionLimits::DEFAULT).map(|(lines, _)| lines)
    }

    pub(crate) const fn new(session: sdp_types::Session) -> Self {
        Self(session)
    }

    pub(crate) const fn session(&self) -> &sdp_types::Session {
        &self.0
    }
}

impl fmt::Display for SdpLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::new();
        self.0.write(&mut bytes).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&bytes).map_err(|_| fmt::Error)?)
    }
}

pub(crate) fn parse<'a>(
    text: &'a str,
    limits: &DescriptionLimits,
) -> Result<(SdpLines, Vec<Line<'a>>), DescriptionError> {
    refuse_what_is_no_sdp(text, limits)?;
    let lines = split(text, limits)?;
    let session = sdp_types::Session::parse(text.as_bytes()).map_err(|error| explain(&error, &lines))?;
    let head = || lines.iter().take_while(|line| line.key != b'm');
    for (key, name, hint) in [
        (b'o', "o=", "every SDP names its origin in its second line, such as `o=- 4611 2 IN IP4 127.0.0.1`"),
        (b's', "s=", "every SDP has a session name, which is `s=-` if it has none"),
        (b't', "t=", "every SDP has a time, which is `t=0 0` for a session without end"),
    ] {
        if !head().any(|line| line.key == key) {
            return Err(DescriptionError::MissingLine { line: name, hint: hint.into() });
        }
    }
    Ok((SdpLines(session), lines))
}

/// Finds the mistakes that are about the whole text, whose remedy lies in the caller's code.
fn refuse_what_is_no_sdp(text: &str, limits: &DescriptionLimits) -> Result<(), DescriptionError> {
    let not_sdp = |problem: String, hint: &'static str| Err(DescriptionError::NotSdp { problem, hint: hint.into() });
    let trimmed = text.trim();
    if text.len() > limits.length {
        return not_sdp(
            format!("the SDP has {} bytes, and {} are the most that are taken", text.len(), limits.length),
            "a description has a few thousand; check what was passed",
        );
    }
    if trimmed.is_empty() {
        return not_sdp(
            "the SDP is empty".into(),
            "pass the `sdp` of the other peer's description, a text that starts with `v=0`",
        );
    }
    if trimmed.starts_with('{') && (trimmed.contains("'sdp'") || trimmed.contains("'type'")) {
        return not_sdp(
            "this is a Python dictionary as `print` shows it, not SDP".into(),
            "send `json.dumps(…)` of it, and read that with `SessionDescription::from_json`",
        );
    }
    if trimmed.starts_with(['{', '[', '"']) {
        return not_sdp(
            "this is JSON, not SDP".into(),
            "read it with `SessionDescription::from_json`, or pass its `sdp` and its `type` apart",
        );
    }
    if ["offer", "answer", "pranswer", "rollback"].iter().any(|word| trimmed.eq_ignore_ascii_case(word)) {
        return not_sdp(
            format!("{trimmed:?} is a type, not SDP"),
            "the type comes first and the SDP second: `SessionDescription::new(SdpType::Offer, sdp)`",
        );
    }
    if trimmed.starts_with("b'") || trimmed.starts_with("b\"") {
        return not_sdp(
            "this is a Python bytes object as `print` shows it, not SDP".into(),
            "decode the bytes before they are printed: `data.decode()`",
        );
    }
    if trimmed.starts_with('<') {
        return not_sdp(
            format!("this is HTML or XML, not SDP: {:?}", shortened(trimmed)),
            "the signalling server answered with a page; look at its status code and at the address",
        );
    }
    let first = trimmed.lines().next().unwrap_or_default();
    if first.contains("\\r") || first.contains("\\n") {
        return not_sdp(
            "the line ends are written out as a backslash and a letter (`\\r\\n`)".into(),
            "the text was escaped once too often: decode the JSON that carried it, as \
             `SessionDescription::from_json` does",
        );
    }
    Ok(())
}

fn split<'a>(text: &'a str, limits: &DescriptionLimits) -> Result<Vec<Line<'a>>, DescriptionError> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    let (mut media_lines, mut attributes) = (0, 0);
    for (index, text) in text.split('\n').enumerate() {
        let number = index + 1;
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            continue;
        }
        let error = |expected: &'static str| DescriptionError::at_line(number, text, expected);
        let too_many = |limit: usize, what: &str| {
            DescriptionError::at_line(number, text, format!("no more than {limit} {what} in one SDP"))
        };
        // RFC 8866 §9: a byte-string has no NUL, CR or LF.
        if text.contains(['\r', '\0']) {
            return Err(error("a line that ends with one CR LF or one LF and has no other CR or NUL in it"));
        }
        let (key, value) = match text.as_bytes() {
            [key, b'=', value @ ..] => (*key, value),
            _ if lines.is_empty() => return Err(error("`v=0`, the first line of every SDP")),
            [b' ' | b'\t', ..] => return Err(error("a letter and `=` at the very start of the line, not a blank")),
            _ => return Err(error("an SDP line: one letter, `=`, and a value, such as `a=sendrecv`")),
        };
        if !b"vosiuepcbtrzkam".contains(&key) {
            return Err(error("one of the letters v o s i u e p c b t r z k a m before the `=`"));
        }
        if lines.is_empty() && key != b'v' {
            return Err(DescriptionError::MissingLine {
                line: "v=",
                hint: format!("an SDP starts with `v=0`, but the first line here is {:?}", shortened(text)).into(),
            });
        }
        let line = Line { number, key, text };
        match key {
            b'a' if line.attribute().is_none_or(|(name, _)| name.is_empty() || name.contains(' ')) => {
                return Err(error("the name of an attribute after `a=`, such as `a=sendrecv` or `a=mid:0`"));
            }
            b'a' => attributes += 1,
            b'm' => media_lines += 1,
            // RFC 8866 §5.3: `s=` must not be empty; Python's and old stacks' `s=` is harmless, so only this is let by.
            b's' => {}
            _ if value.is_empty() => return Err(error(form_of(key))),
            _ => {}
        }
        if media_lines > limits.media_lines {
            return Err(too_many(limits.media_lines, "m-lines"));
        }
        if attributes > limits.attributes {
            return Err(too_many(limits.attributes, "attributes"));
        }
        lines.push(line);
    }
    Ok(lines)
}

/// Turns an error of the line parser into one that shows the line.
fn explain(error: &sdp_types::ParserError, lines: &[Line<'_>]) -> DescriptionError {
    use sdp_types::ParserError as E;
    let (number, twice) = match error {
        E::InvalidLineFormat(n, _)
        | E::InvalidFieldEncoding(n, _)
        | E::InvalidFieldFormat(n, _)
        | E::MissingField(n, _)
        | E::FieldTrailingData(n, _)
        | E::InvalidVersion(n, _)
        | E::RepeatWithoutTime(n) => (*n, false),
        E::MultipleVersions(n)
        | E::MultipleOrigins(n)
        | E::MultipleSessionNames(n)
        | E::MultipleSessionDescription(n)
        | E::MultipleUris(n)
        | E::MultipleConnections(n)
        | E::MultipleTimeZones(n)
        | E::MultipleMediaTitles(n)
        | E::MultipleKeys(n) => (*n, true),
        _ => (1, false),
    };
    match lines.iter().find(|line| line.number == number) {
        Some(line) if twice => line.error(format!("no second `{}=` line in the same section", char::from(line.key))),
        Some(line) => line.error(form_of(line.key)),
        None => DescriptionError::MissingLine { line: "v=", hint: "an SDP starts with `v=0`".into() },
    }
}

/// The form of a line by its letter, for the error.
const fn form_of(key: u8) -> &'static str {
    match key {
        b'v' => "`v=0`",
        b'o' => "`o=<user or -> <session id> <version> IN IP4 <address>`, with whole numbers for id and version",
        b'c' => "`c=IN IP4 <address>` or `c=IN IP6 <address>`",
        b'b' => "`b=<type>:<number>`, such as `b=AS:2500`",
        b't' => "`t=<start> <stop>`, two whole numbers, usually `t=0 0`",
        b'r' => "`r=<interval> <duration> <offset>…` after a `t=` line",
        b'z' => "`z=<time> <offset>…`",
        b'm' => "`m=<kind> <port> <protocol> <formats>`, such as `m=video 9 UDP/TLS/RTP/SAVPF 96 97`",
        b'a' => "`a=<name>` or `a=<name>:<value>` in UTF-8",
        _ => "a value after the `=`",
    }
}
