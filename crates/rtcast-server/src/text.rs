//! Text from elsewhere, such as a file's name, for people to see.

/// The text with what would steer a terminal or a page instead of being seen written out, as `\u{1b}`: control characters,
/// line and paragraph separators, and characters that turn the direction of writing or cannot be seen. The rest stays as it
/// is.
///
/// ```
/// assert_eq!(rtcast_server::printable("a film\u{1b}[31m"), r"a film\u{1b}[31m");
/// assert_eq!(rtcast_server::printable("naïve 映画"), "naïve 映画");
/// ```
pub fn printable(text: &str) -> String {
    if !text.chars().any(steers) {
        return text.to_owned();
    }
    let mut seen = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if steers(character) { seen.extend(character.escape_unicode()) } else { seen.push(character) }
    }
    seen
}

/// Whether a character does something else than being seen. Joiners, which some scripts and pictures of people need, do not
/// count.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal() {
        for (text, seen) in [
            ("plain - ümläut 映画 👩‍👩‍👧", "plain - ümläut 映画 👩‍👩‍👧"),
            ("a\u{1b}]0;title\u{7}b", r"a\u{1b}]0;title\u{7}b"),
            ("a\nb\r\tc", r"a\u{a}b\u{d}\u{9}c"),
            ("c1: \u{9b}31m", r"c1: \u{9b}31m"),
            ("evil\u{202e}4pm.exe\u{2066}", r"evil\u{202e}4pm.exe\u{2066}"),
            ("\u{2028}\u{feff}\u{e0041}\u{7f}", r"\u{2028}\u{feff}\u{e0041}\u{7f}"),
        ] {
            assert_eq!(printable(text), seen);
        }
    }
}
