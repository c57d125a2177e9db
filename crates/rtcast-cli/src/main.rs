//! The `rtcast` command.

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
use tracing_subscriber::EnvFilter;

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
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::usage(
            format!("--log {filter:?} is no filter: {error}"),
            "use a level such as info, or rtcast_server=debug,warn",
        )
    })?;
    let clear = io::stdout().is_terminal() && io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(move || LogWriter { clear }).init();
    Ok(())
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
        stderr.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
