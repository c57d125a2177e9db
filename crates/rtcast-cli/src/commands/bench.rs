//! `rtcast bench`: a load for any WHEP server, and for data channels.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use rtcast_bench::{BenchError, DataChannelLoad, Joining, Load, SetupLoad};
use serde::Serialize;

use crate::arguments::{BenchCommand, BenchOptions, DataChannelOptions, SetupOptions, ViewersOptions};
use crate::failure::Failure;

/// Runs the load and prints what it came to.
pub(crate) async fn run(options: BenchOptions) -> Result<(), Failure> {
    match options.command {
        BenchCommand::Viewers(options) => viewers(options).await,
        BenchCommand::Setup(options) => setup(options).await,
        BenchCommand::Datachannel(options) => data_channel(options).await,
    }
}

async fn viewers(options: ViewersOptions) -> Result<(), Failure> {
    let target = options.target;
    let duration = Duration::from_secs_f64(options.seconds);
    let mut load = Load::new(target.url, options.count as usize, duration);
    load.warm_up = Duration::from_secs_f64(options.warm_up);
    load.joining = options.join_rate.map_or(Joining::AtOnce(options.at_once as usize), Joining::Rate);
    load.churn = options.churn.unwrap_or(0.0);
    load.verified = options.verify as usize;
    load.sound = !options.no_sound;
    load.threads = target.threads.map_or(load.threads, |threads| threads as usize);
    load.join_datagrams = !options.no_gro;
    load.transport_wide = !options.no_twcc;
    load.private_sockets = options.private_sockets;
    load.server = target.server_pid;
    load.each = options.each;
    let report = rtcast_bench::viewers(&load).await.map_err(|error| failed(&error))?;
    print(&report, target.json)?;
    came_in(report.failed, report.viewers)
}

async fn setup(options: SetupOptions) -> Result<(), Failure> {
    let target = options.target;
    let mut load = SetupLoad::new(target.url, options.count as usize);
    load.at_once = options.at_once as usize;
    load.rate = options.rate;
    load.threads = target.threads.map_or(load.threads, |threads| threads as usize);
    load.server = target.server_pid;
    let report = rtcast_bench::setup(&load).await.map_err(|error| failed(&error))?;
    print(&report, target.json)?;
    came_in(report.failed(), 2 * load.connections)
}

async fn data_channel(options: DataChannelOptions) -> Result<(), Failure> {
    if options.respond {
        return rtcast_bench::respond().await.map_err(|error| Failure::failed(error.to_string(), ""));
    }
    let program = std::env::current_exe().map_err(|error| {
        Failure::failed(format!("this program cannot be found on the disk: {error}"), "install it anew")
    })?;
    let load = DataChannelLoad {
        responder: (program, ["bench", "datachannel", "--respond"].map(str::to_owned).to_vec()),
        message_size: options.size as usize,
        duration: Duration::from_secs_f64(options.seconds),
        buffer: options.buffer as usize,
        pings: options.pings as usize,
        ping_size: 1_024,
    };
    let report = rtcast_bench::data_channel(&load).await;
    print(&report.map_err(|error| Failure::failed(error.to_string(), "try again with --log debug"))?, options.json)
}

fn print(report: &(impl Display + Serialize), json: bool) -> Result<(), Failure> {
    let text = if json {
        let json = serde_json::to_string(report);
        json.map_err(|error| Failure::failed(format!("the report cannot be written: {error}"), ""))? + "\n"
    } else {
        report.to_string()
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("standard output cannot be written: {error}"), "check where it leads"))
        }
        _ => Ok(()),
    }
}

fn came_in(failed: usize, of: usize) -> Result<(), Failure> {
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::failed(
        format!("{failed} of {of} viewers did not come in"),
        "the server may be at its limit; use fewer viewers",
    ))
}

fn failed(error: &BenchError) -> Failure {
    // The texts say what to do themselves.
    match error {
        BenchError::Url { .. } => Failure::usage(error.to_string(), ""),
        _ => Failure::failed(error.to_string(), ""),
    }
}
