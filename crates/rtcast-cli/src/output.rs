//! Standard output: a banner and a live line for people, JSON lines for programs.

use std::io::{self, IsTerminal, StdoutLock, Write};
use std::time::Duration;

use rtcast_server::{ServerEvent, ServerStats, printable};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::network::Addresses;
use crate::terminal::{self, CLEAR_LINE, Paint};

/// What is streamed, for the banner and the `ready` event.
pub(crate) struct Ready<'a> {
    pub(crate) title: &'a str,
    /// Resolution, codecs and duration in a line.
    pub(crate) description: &'a str,
    /// The plan in words, and as JSON.
    pub(crate) plan: (String, Value),
    pub(crate) name: &'a str,
    pub(crate) addresses: &'a Addresses,
    /// What is not as it was asked for, or slower than it could be.
    pub(crate) notes: Vec<String>,
    pub(crate) qr: bool,
}

/// One second's figures.
pub(crate) struct Figures {
    pub(crate) running: Duration,
    pub(crate) stats: ServerStats,
    pub(crate) bits_per_second: f64,
    pub(crate) frames_per_second: f64,
    pub(crate) cpu: Option<f64>,
}

/// Where output goes and in which form. Every method fails only if nobody reads any more.
#[derive(Debug)]
pub(crate) enum Output {
    /// A banner and one live line.
    Terminal(Paint),
    /// One object a line.
    Json,
}

impl Output {
    /// JSON if asked for, or if standard output is not a terminal.
    pub(crate) fn choose(json: bool) -> Self {
        if json || !io::stdout().is_terminal() {
            Self::Json
        } else {
            Self::Terminal(Paint { colour: terminal::colour_wanted() })
        }
    }

    /// The first sign of life, before the source is opened.
    pub(crate) fn starting(&self, title: &str) -> io::Result<()> {
        match self {
            Self::Terminal(paint) => print(|out| write!(out, "  ▶ {}", paint.strong(title))),
            Self::Json => line(&json!({"event": "starting", "source": title})),
        }
    }

    pub(crate) fn ready(&self, ready: &Ready<'_>) -> io::Result<()> {
        let page = |base: &str| format!("{base}/{}", ready.name);
        let best = page(ready.addresses.best());
        match self {
            Self::Json => {
                let urls: Vec<_> =
                    ready.addresses.network.iter().chain(&ready.addresses.local).map(|base| page(base)).collect();
                line(&json!({
                    "event": "ready",
                    "name": ready.name,
                    "url": best,
                    "urls": urls,
                    "whep": format!("{best}/whep"),
                    "websocket": format!("{}/ws", best.replacen("http", "ws", 1)),
                    "source": ready.title,
                    "description": ready.description,
                    "plan": ready.plan.1,
                    "notes": ready.notes,
                }))
            }
            Self::Terminal(paint) => print(|out| {
                writeln!(out, "{CLEAR_LINE}  ▶ {}   {}", paint.strong(ready.title), ready.description)?;
                writeln!(out, "    {}      {}", paint.quiet("plan"), printable(&ready.plan.0))?;
                let mut label = "Watch";
                for base in ready.addresses.network.iter().chain(&ready.addresses.local) {
                    writeln!(out, "    {}     {}", paint.quiet(&format!("{label:5}")), paint.link(&page(base)))?;
                    label = "";
                }
                if ready.qr {
                    write!(out, "{}", terminal::qr_code(&best, 14))?;
                }
                writeln!(out, "    {}      {}", paint.quiet("WHEP"), format_args!("{best}/whep"))?;
                for note in &ready.notes {
                    writeln!(out, "    {}      {}", paint.quiet("note"), printable(note))?;
                }
                Ok(())
            }),
        }
    }

    pub(crate) fn viewer(&self, event: &ServerEvent, viewers: usize) -> io::Result<()> {
        let Self::Json = self else { return Ok(()) };
        match event {
            ServerEvent::ViewerJoined { viewer, stream, signalling, address, .. } => line(&json!({
                "event": "viewer_joined",
                "viewer": viewer.0,
                "stream": &**stream,
                "signalling": signalling.as_str(),
                "address": address.to_string(),
                "viewers": viewers,
            })),
            ServerEvent::ViewerFailed { viewer, stream, signalling, reason, .. } => line(&json!({
                "event": "viewer_failed",
                "viewer": viewer.0,
                "stream": &**stream,
                "signalling": signalling.as_str(),
                "reason": reason,
            })),
            ServerEvent::ViewerLeft { viewer, stream, reason, watched, .. } => line(&json!({
                "event": "viewer_left",
                "viewer": viewer.0,
                "stream": &**stream,
                "reason": reason.as_str(),
                "seconds": rounded(watched.as_secs_f64()),
                "viewers": viewers,
            })),
            _ => Ok(()),
        }
    }

    pub(crate) fn figures(&self, figures: &Figures) -> io::Result<()> {
        let stats = &figures.stats;
        let round_trip = stats.round_trip_time.map(|time| time.as_secs_f64() * 1e3);
        match self {
            Self::Json => line(&json!({
                "event": "stats",
                "seconds": rounded(figures.running.as_secs_f64()),
                "viewers": stats.viewers,
                "bits_per_second": figures.bits_per_second.round(),
                "frames_per_second": rounded(figures.frames_per_second),
                "round_trip_ms": round_trip.map(rounded),
                "loss_percent": rounded(stats.fraction_lost * 100.0),
                "cpu_percent": figures.cpu.map(rounded),
                "packets_sent": stats.packets_sent,
                "bytes_sent": stats.bytes_sent,
                "frames_sent": stats.frames_sent,
                "packets_retransmitted": stats.retransmitted_packets_sent,
                "frames_dropped": stats.frames_dropped,
                "viewer_frames_dropped": stats.viewer_frames_dropped,
                "send_errors": stats.send_errors,
                "lag_ms": rounded(stats.lag.as_secs_f64() * 1e3),
                "overloaded": stats.overloaded,
            })),
            Self::Terminal(_) => print(|out| {
                write!(out, "{CLEAR_LINE}    {}", terminal::clock(figures.running))?;
                write!(out, "  {}", terminal::viewers(stats.viewers))?;
                if stats.viewers > 0 {
                    write!(out, "  {} out", rate(figures.bits_per_second))?;
                    write!(out, "  {:.0} fps", figures.frames_per_second)?;
                    if let Some(milliseconds) = round_trip {
                        write!(out, "  rtt {milliseconds:.0} ms")?;
                    }
                    write!(out, "  loss {:.1} %", stats.fraction_lost * 100.0)?;
                }
                if let Some(percent) = figures.cpu {
                    write!(out, "  cpu {percent:.0} %")?;
                }
                if stats.overloaded {
                    let milliseconds = stats.lag.as_secs_f64() * 1e3;
                    write!(out, "  OVERLOADED: {milliseconds:.0} ms behind, {} frames dropped", stats.frames_dropped)?;
                }
                Ok(())
            }),
        }
    }

    /// The last word. `reason` is `source`, when it ran out, or `interrupted`.
    pub(crate) fn ended(&self, reason: &str, running: Duration, viewers: usize) -> io::Result<()> {
        match self {
            Self::Json => line(&json!({
                "event": "ended",
                "reason": reason,
                "seconds": rounded(running.as_secs_f64()),
                "viewers": viewers,
            })),
            Self::Terminal(_) => {
                let why = if reason == "source" { "the source has ended" } else { "stopped" };
                let clock = terminal::clock(running);
                let goodbye = match viewers {
                    0 => String::new(),
                    count => format!(", goodbye to {}", terminal::viewers(count)),
                };
                print(|out| writeln!(out, "{CLEAR_LINE}    {clock}  {why}{goodbye}"))
            }
        }
    }

    /// A failure, in the form of the rest; standard error has it in words.
    pub(crate) fn failed(&self, failure: &Failure) -> io::Result<()> {
        match self {
            Self::Json => line(&json!({"event": "error", "message": failure.message, "hint": failure.hint})),
            Self::Terminal(_) => print(|out| write!(out, "{CLEAR_LINE}")),
        }
    }
}

/// Bits per second for people.
fn rate(bits: f64) -> String {
    if bits >= 1e6 { format!("{:.1} Mb/s", bits / 1e6) } else { format!("{:.0} kb/s", bits / 1e3) }
}

/// Two digits after the point say enough.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn line(value: &Value) -> io::Result<()> {
    let text = unseen(&value.to_string());
    print(|out| writeln!(out, "{text}"))
}

/// JSON in which what would steer a terminal is escaped; a program reads the same text out of it.
fn unseen(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        let mut bytes = [0; 4];
        if printable(character.encode_utf8(&mut bytes)).starts_with(character) {
            text.push(character);
        } else {
            let mut units = [0; 2];
            text.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    text
}

fn print(write: impl FnOnce(&mut StdoutLock<'_>) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write(&mut out)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_steers_no_terminal_and_says_the_same() {
        let value = json!({"plan": "a\u{1b}[2Jb\u{202e}c\u{9b}d\u{e0041}é 映"});
        let text = unseen(&value.to_string());
        assert!(text.chars().all(|character| !character.is_control() && character != '\u{202e}'), "{text:?}");
        assert!(text.contains("é 映"));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
