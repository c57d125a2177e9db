//! The `rtcast` command.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]
#![forbid(unsafe_code)]

mod arguments;
mod commands;
mod failure;
mod network;
mod output;
mod terminal;
mod usage;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use rtcast_server::printable;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;

/// Connections are made on one thread and freed on another, with all sizes of memory: the system's allocator grows by that
/// for hours, this one does not.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = log_to_standard_error(&arguments.log).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            Failure::failed(
                format!("the threads cannot be started: {error}"),
                "check how many processes and files are allowed",
            )
        })?;
        let result = match arguments.command {
            Command::Stream(options) => runtime.block_on(commands::stream::run(options)),
            Command::Bench(options) => runtime.block_on(commands::bench::run(options)),
        };
        // Reading standard input blocks a thread for as long as nothing comes: do not wait for it.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody may be reading.
            let _ = write!(io::stderr(), "{failure}");
            failure.exit_code()
        }
    }
}

/// Sends what the libraries log to standard error, on a terminal without tearing the live line.
fn log_to_standard_error(filter: &str) -> Result<(), Failure> {
    let filter: Targets = filter.parse().map_err(|error| {
        Failure::usage(
            format!("--log {filter:?} is no filter: {error}"),
            "use a level such as info, or rtcast_server=debug,warn",
        )
    })?;
    let clear = io::stdout().is_terminal() && io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || LogWriter { clear });
    let lines = lines.with_filter(filter).with_filter(filter_fn(|metadata| !is_secretive(metadata)));
    tracing_subscriber::registry().with(lines).init();
    Ok(())
}

/// Whether a log line may show a secret: at the level of trace these say what they hash and what they carry, passwords and
/// the addresses of sessions among it.
fn is_secretive(metadata: &tracing::Metadata<'_>) -> bool {
    const CRATES: [&str; 10] = [
        "is",
        "stun_types",
        "stun_proto",
        "turn_client_proto",
        "tungstenite",
        "tokio_tungstenite",
        "hyper",
        "hyper_util",
        "axum",
        "rustls",
    ];
    let name = metadata.target().split("::").next().unwrap_or("");
    *metadata.level() == tracing::Level::TRACE && CRATES.contains(&name)
}

/// Standard error; each log line comes in one write.
struct LogWriter {
    clear: bool,
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        if self.clear {
            stderr.write_all(terminal::CLEAR_LINE.as_bytes())?;
        }
        stderr.write_all(log_line(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A line of the log as it may be seen: what it quotes steers no terminal, makes no second line, and is no password.
fn log_line(text: &str) -> String {
    const SECRET: &str = "ice-pwd:";
    let text = printable(text.strip_suffix('\n').unwrap_or(text));
    let mut parts = text.split(SECRET);
    let mut line = parts.next().unwrap_or("").to_owned();
    for part in parts {
        // RFC 8839 §5.4: letters, digits, + and /.
        let rest = part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/'));
        line.extend([SECRET, "…", rest]);
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_is_one_line_without_steering_and_passwords() {
        assert_eq!(log_line("a film\u{1b}[2J\nERROR forged\u{9b}\n"), "a film\\u{1b}[2J\\u{a}ERROR forged\\u{9b}\n");
        assert_eq!(log_line("line 3: \"a=ice-pwd:ab+/9 x\" ice-pwd:c\n"), "line 3: \"a=ice-pwd:… x\" ice-pwd:…\n");
    }
}
