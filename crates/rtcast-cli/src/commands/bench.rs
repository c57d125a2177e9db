//! `rtcast bench`: a load for any WHEP server.

use std::io::{self, Write};
use std::time::Duration;

use rtcast_bench::{BenchError, Load};

use crate::arguments::{BenchCommand, BenchOptions, ViewersOptions};
use crate::failure::Failure;

/// Runs the load and prints what it came to.
pub(crate) async fn run(options: BenchOptions) -> Result<(), Failure> {
    match options.command {
        BenchCommand::Viewers(options) => viewers(options).await,
    }
}

async fn viewers(options: ViewersOptions) -> Result<(), Failure> {
    let load = Load {
        url: options.url,
        viewers: options.count as usize,
        duration: Duration::from_secs_f64(options.seconds),
        server: options.pid,
    };
    let report = rtcast_bench::viewers(&load).await.map_err(|error| failed(&error))?;
    let text = if options.json {
        let json = serde_json::to_string(&report);
        json.map_err(|error| Failure::failed(format!("the report cannot be written: {error}"), ""))? + "\n"
    } else {
        report.to_string()
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("standard output cannot be written: {error}"), "check where it leads"))
        }
        _ if report.failed > 0 => Err(Failure::failed(
            format!("{} of {} viewers did not come in", report.failed, report.viewers),
            "the server may be at its limit; use fewer viewers",
        )),
        _ => Ok(()),
    }
}

fn failed(error: &BenchError) -> Failure {
    // The texts say what to do themselves.
    match error {
        BenchError::Url { .. } => Failure::usage(error.to_string(), ""),
        _ => Failure::failed(error.to_string(), ""),
    }
}
