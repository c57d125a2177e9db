//! A stream: tracks under a name.

use rtcast::MediaStreamTrack;

use crate::error::ServerError;

/// The first path segments that belong to the server itself.
const RESERVED: [&str; 4] = ["api", "assets", "favicon.ico", "metrics"];
/// The longest name of a stream, in bytes.
const LONGEST_NAME: usize = 64;

/// What is streamed under one name: its tracks, and what the list of streams says of it.
///
/// ```
/// use rtcast::MediaStreamTrack;
/// use rtcast_server::Stream;
///
/// fn film(video: MediaStreamTrack, audio: MediaStreamTrack) -> Stream {
///     Stream::new().title("A film").description("1280x720, with sound").track(video).track(audio)
/// }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Stream {
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) tracks: Vec<MediaStreamTrack>,
}

impl Stream {
    /// A stream without tracks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a track that every viewer is sent. A viewer that does not ask for its kind gets the others.
    #[must_use]
    pub fn track(mut self, track: MediaStreamTrack) -> Self {
        self.tracks.push(track);
        self
    }

    /// What people call it, such as the file's name. Default: the stream's name.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// A line about it, such as its resolution and codecs.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }
}

/// A name for a stream of which people say `title`, such as a file's name: the title without its extension, of the characters
/// that an address may have. It is one that [`ServerBuilder::stream`](crate::ServerBuilder::stream) takes.
///
/// ```
/// assert_eq!(rtcast_server::name_of("Big Buck Bunny (1080p).mp4"), "Big-Buck-Bunny-1080p");
/// assert_eq!(rtcast_server::name_of("metrics.webm"), "metrics-1");
/// ```
pub fn name_of(title: &str) -> String {
    let stem = title.rsplit_once('.').map_or(title, |(stem, _)| stem);
    let mut name = String::new();
    for character in stem.chars() {
        match character {
            _ if name.len() >= LONGEST_NAME => break,
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' => name.push(character),
            _ if !name.is_empty() && !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() {
        "stream".to_owned()
    } else if RESERVED.contains(&name) {
        format!("{name}-1")
    } else {
        name.to_owned()
    }
}

/// Refuses names that could not stand as the first segment of a path.
pub(crate) fn check_name(name: &str) -> Result<(), ServerError> {
    let refuse = |reason| Err(ServerError::Name { name: name.into(), reason });
    if name.is_empty() {
        return refuse("it is empty");
    }
    if name.len() > LONGEST_NAME {
        return refuse("it is too long");
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return refuse("it has other characters than letters, digits, '-', '_' and '.'");
    }
    if name.bytes().all(|byte| byte == b'.') || RESERVED.contains(&name) {
        return refuse("the server itself uses it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_break_an_address_are_refused() {
        for name in ["", "a/b", "a b", "..", "api", "assets", "metrics", "ä", "a?b", "a#b", &"x".repeat(65)] {
            assert!(matches!(check_name(name), Err(ServerError::Name { .. })), "{name}");
        }
        for name in ["foo", "foo.mp4", "a-b_c", "API", &"x".repeat(64)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn names_fit_into_an_address() {
        let cases = [
            ("foo.mp4", "foo"),
            ("My Film (2024).final.mkv", "My-Film-2024-.final"),
            ("Ünïcode.webm", "n-code"),
            ("日本.mp4", "stream"),
            (".mp4", "stream"),
            ("api.mp4", "api-1"),
            ("favicon.ico.mp4", "favicon.ico-1"),
            ("test pattern", "test-pattern"),
        ];
        for (title, name) in cases {
            assert_eq!(name_of(title), name, "{title}");
            assert!(check_name(name).is_ok(), "{name}");
        }
        assert_eq!(name_of(&"x".repeat(200)).len(), LONGEST_NAME);
    }
}
