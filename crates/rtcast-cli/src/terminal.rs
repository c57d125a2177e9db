//! What a person sees on a terminal.

use std::env;
use std::fmt::Write as _;
use std::time::Duration;

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// Back to the line's start, and the line emptied.
pub(crate) const CLEAR_LINE: &str = "\r\x1b[2K";

/// Whether colour is welcome, as far as the environment says: <https://no-color.org>.
pub(crate) fn colour_wanted() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Wraps text in colour, or leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    pub(crate) colour: bool,
}

impl Paint {
    pub(crate) fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn quiet(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn link(self, text: &str) -> String {
        self.wrap("36", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A QR code in half blocks for a dark terminal, each line indented; empty if the text is too long for one.
pub(crate) fn qr_code(text: &str, indent: usize) -> String {
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::L) else { return String::new() };
    // Light and dark change places, for the terminal's ground is dark.
    let picture =
        code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).quiet_zone(true).build();
    picture.lines().fold(String::new(), |mut lines, line| {
        let _ = writeln!(lines, "{:indent$}{line}", "");
        lines
    })
}

/// `07:31`, or `1:07:31` from an hour on.
pub(crate) fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours == 0 { format!("{minutes:02}:{seconds:02}") } else { format!("{hours}:{minutes:02}:{seconds:02}") }
}

/// `2 viewers`.
pub(crate) fn viewers(count: usize) -> String {
    if count == 1 { "1 viewer".into() } else { format!("{count} viewers") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks() {
        assert_eq!(clock(Duration::from_secs(7)), "00:07");
        assert_eq!(clock(Duration::from_secs(761)), "12:41");
        assert_eq!(clock(Duration::from_secs(4051)), "1:07:31");
    }

    #[test]
    fn a_qr_code_is_indented_and_square_enough() {
        let code = qr_code("http://192.168.1.20:8080/foo", 4);
        assert!(code.lines().count() >= 12);
        assert!(code.lines().all(|line| line.starts_with("    ")));
        assert_eq!(qr_code(&"x".repeat(9000), 0), "");
    }
}
