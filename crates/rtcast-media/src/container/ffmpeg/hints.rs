//! What to do about what the program says.

/// Words of the program and the system, and what to do about them; the first that fits counts.
const HINTS: [(&str, &str); 20] = [
    ("Connection refused", "nothing listens there: check the address and the port, and whether the server runs"),
    ("404 Not Found", "there is nothing at that address: check its path"),
    ("401 Unauthorized", "the server asks for a name and a password: write them as scheme://name:password@host/path"),
    ("403 Forbidden", "the server does not give it to everybody: see what it asks for, such as a name and a password"),
    ("4XX Client Error", "the server does not take the request: check the address"),
    ("5XX Server Error", "the server has a fault of its own: try again later, or see its log"),
    ("Failed to resolve", "there is no host of that name: check its spelling, and the network"),
    ("Name or service not known", "there is no host of that name: check its spelling, and the network"),
    ("Temporary failure in name resolution", "names cannot be looked up: check the network"),
    ("No route to host", "there is no way to that host: check the address, and the network"),
    ("Network is unreachable", "there is no way to that host: check the network"),
    ("timed out", "the server does not answer: check the address and the port, and whether a firewall keeps them"),
    ("nothing came within", "the server does not answer: check the address, and whether the stream is on"),
    ("Protocol not found", "this ffmpeg does not know such addresses; `ffmpeg -protocols` lists those that it knows"),
    ("Unknown input format", "this ffmpeg does not know such devices; `ffmpeg -devices` lists those that it knows"),
    ("Permission denied", "you may not read it: see with `ls -l` who may, or run this as somebody who may"),
    ("Device or resource busy", "another program uses it: end that first"),
    ("No such file or directory", "there is nothing of that name: check the name"),
    ("moov atom not found", "its index is missing: the file was cut, or its recording never finished; get it again"),
    ("Decoder (codec", "this ffmpeg has no decoder for it: install a newer or more complete one, or convert the file"),
];

/// What to do about what the program said of a source.
pub(super) fn hint(said: &str, is_remote: bool) -> String {
    let known = HINTS.iter().find(|(words, _)| said.contains(words)).map(|(_, hint)| *hint);
    let otherwise = if is_remote {
        "see whether `ffplay` shows it; if it does, please report it"
    } else {
        "see whether `ffplay` shows it; if it does, please report it, else get or make the file again"
    };
    known.unwrap_or(otherwise).to_owned()
}

/// Whether the source itself could not be reached, so that another way of reading it changes nothing.
pub(super) fn is_out_of_reach(said: &str) -> bool {
    HINTS.iter().take(18).any(|(words, _)| said.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_a_hint_of_its_own() {
        assert!(hint("http://a/b: Connection refused", true).contains("nothing listens"));
        assert!(hint("Server returned 404 Not Found", true).contains("check its path"));
        assert!(hint("Invalid data found when processing input", false).contains("make the file again"));
        assert!(is_out_of_reach("Failed to resolve hostname nowhere: Name or service not known"));
        assert!(!is_out_of_reach("moov atom not found"));
    }
}
