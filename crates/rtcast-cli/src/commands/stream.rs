//! `rtcast stream`: a source to any number of browsers.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rtcast::media::pattern::PatternOptions;
use rtcast::media::{CodecPolicy, MediaPlayer};
use rtcast_server::{Server, ServerError, ServerEvent, ServerStats, Stream, name_of, printable};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::arguments::{CodecChoice, StreamOptions};
use crate::failure::Failure;
use crate::network::Addresses;
use crate::output::{Figures, Output, Ready};
use crate::usage::Usage;

/// How long what was sent last may travel before the goodbye, when the source has ended.
const LAST_FRAMES: Duration = Duration::from_millis(500);

/// Streams until the source ends or somebody presses Ctrl-C.
pub(crate) async fn run(options: StreamOptions) -> Result<(), Failure> {
    let of_family = |v4: bool| options.public_ips.iter().filter(|ip| ip.is_ipv4() == v4).count();
    if of_family(true) > 1 || of_family(false) > 1 {
        let hint = "--public-ip: give it once for IPv4 and once for IPv6";
        return Err(Failure::usage("viewers are told one public address of each version of IP", hint));
    }
    let output = Output::choose(options.json);
    match stream(&options, &output).await {
        Ok(()) => Ok(()),
        Err(Stop::Failure(failure)) => {
            let _ = output.failed(&failure);
            Err(failure)
        }
        Err(Stop::Told(failure)) => Err(failure),
        // Whoever read our output has gone, as `head` does: that is no failure.
        Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Stop::Output(error)) => {
            Err(Failure::failed(format!("standard output cannot be written: {error}"), "check where it leads"))
        }
    }
}

/// Why it ended before its time.
enum Stop {
    Failure(Failure),
    /// A failure that was told when it happened.
    Told(Failure),
    Output(io::Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

async fn stream(options: &StreamOptions, output: &Output) -> Result<(), Stop> {
    let mut interrupted = Interrupt::new()?;
    let title = title(options.source.as_deref());
    output.starting(&title)?;
    let player = tokio::select! {
        player = open(options) => player?,
        () = interrupted.wait() => {
            output.ended("interrupted", Duration::ZERO, 0)?;
            return Ok(());
        }
    };
    let name = options.name.clone().unwrap_or_else(|| name_of(&title));
    let description = printable(&player.info().to_string());
    let mut tracks = Stream::new().title(title.clone()).description(description.clone());
    for track in [player.video(), player.audio()].into_iter().flatten() {
        tracks = tracks.track(track);
    }
    let mut builder = Server::builder().stream(name.clone(), tracks).viewers(options.max_viewers as usize);
    builder = builder
        .media_over_tcp(options.tcp)
        .pending_per_address(options.pending_per_address as usize)
        .connections_per_address(options.connections_per_address as usize);
    builder = options.trusted_proxy.iter().fold(builder, |builder, proxy| builder.trusted_proxy(*proxy));
    builder = options.allow_host.iter().fold(builder, |builder, host| builder.allow_host(host.clone()));
    builder = options.allow_origin.iter().fold(builder, |builder, origin| builder.allow_origin(origin.clone()));
    builder = builder.interfaces(options.interfaces.clone()).public_addresses(options.public_ips.clone());
    if let Some(threads) = options.threads {
        builder = builder.shards(threads.into());
    }
    let server = builder.bind(options.listen).await.map_err(|error| refused(&error))?;
    let mut events = server.events();
    let mut reporter = Reporter::new();

    let addresses = Addresses::of(server.local_address());
    let port = server.local_address().port();
    let asked = options.listen.port();
    let moved = (asked != 0 && asked != port).then(|| format!("port {asked} is taken, so this is port {port}"));
    output.ready(&Ready {
        title: &title,
        description: &description,
        plan: (player.plan().to_string(), serde_json::to_value(player.plan()).unwrap_or_default()),
        name: &name,
        addresses: &addresses,
        notes: moved
            .into_iter()
            .chain(server.notes().iter().cloned())
            .chain(server.capabilities().shortcomings())
            .collect(),
        qr: !options.no_qr && (options.qr || !addresses.network.is_empty()),
    })?;
    if options.open {
        open_browser(&format!("{}/{name}", addresses.local.as_deref().unwrap_or(addresses.best())));
    }

    let mut every_second = interval_at(reporter.started + Duration::from_secs(1), Duration::from_secs(1));
    every_second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut source = std::pin::pin!(player.ended());
    // What ended the source, while the server goes on.
    let mut failed = None;
    let result = loop {
        let written = tokio::select! {
            biased;
            () = interrupted.wait() => break Ok("interrupted"),
            ended = &mut source, if failed.is_none() => match ended {
                Ok(()) => {
                    tokio::time::sleep(LAST_FRAMES).await;
                    break Ok("source");
                }
                Err(error) if options.no_loop => {
                    tokio::time::sleep(LAST_FRAMES).await;
                    break Err(Stop::Failure(Failure::of(&*error)));
                }
                // It was to be played for as long as the server runs, and whoever started that decides when it ends.
                Err(error) => {
                    let failure = Failure::of(&*error);
                    tracing::error!(hint = failure.hint, "{}; the server goes on", failure.message);
                    let written = output.failed(&failure);
                    failed = Some(failure);
                    written
                }
            },
            event = events.recv() => match event {
                Ok(event) => output.viewer(&event, server.viewers()),
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "too many viewers came and went to tell of each");
                    Ok(())
                }
                Err(RecvError::Closed) => break Ok("interrupted"),
            },
            _ = every_second.tick() => output.figures(&reporter.figures(server.stats().await)),
        };
        if let Err(error) = written {
            break Err(Stop::Output(error));
        }
    };

    let running = reporter.started.elapsed();
    let viewers = server.viewers();
    tokio::select! {
        () = server.shutdown() => {}
        () = interrupted.wait() => {}
    }
    // Those who were sent away have left, too.
    while let Ok(event @ ServerEvent::ViewerLeft { .. }) = events.try_recv() {
        output.viewer(&event, 0)?;
    }
    let reason = result?;
    output.ended(reason, running, viewers)?;
    // It has been told; the exit code tells it again.
    failed.map_or(Ok(()), |failure| Err(Stop::Told(failure)))
}

/// Opens the source that was asked for.
async fn open(options: &StreamOptions) -> Result<MediaPlayer, Failure> {
    let policy = match options.codec {
        CodecChoice::Auto => CodecPolicy::Auto,
        CodecChoice::Copy => CodecPolicy::Copy,
        CodecChoice::Vp8 => CodecPolicy::Vp8,
        CodecChoice::H264 => CodecPolicy::H264,
    };
    let mut builder = MediaPlayer::builder().codec(policy).looping(!options.no_loop);
    if let Some(bitrate) = options.bitrate {
        builder = builder.bitrate(bitrate);
    }
    let player = match options.source.as_deref() {
        None => builder.test_pattern(PatternOptions::default()),
        Some(path) => builder.open(path).await,
    };
    player.map_err(|error| Failure::of(&error))
}

fn refused(error: &ServerError) -> Failure {
    match error {
        ServerError::Name { .. } | ServerError::DuplicateName { .. } => Failure::usage_of(error, "--name"),
        ServerError::Interface(_) => Failure::usage_of(error, "--interface"),
        _ => Failure::of_option(error, "--listen"),
    }
}

/// What people call the source, of a file's name what can be seen.
fn title(source: Option<&OsStr>) -> String {
    let Some(source) = source else { return "test pattern".into() };
    if source == "-" {
        return "standard input".into();
    }
    // A name that is no text is shown as far as it is one; it is opened as it is.
    printable(&Path::new(source).file_name().unwrap_or(source).to_string_lossy())
}

/// Opens a page without waiting for the browser, or says why not.
fn open_browser(url: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let started =
        Command::new(program).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    match started {
        Ok(mut child) => {
            // A thread waits for it, so that it does not stay behind as a zombie.
            std::thread::spawn(move || child.wait());
        }
        Err(error) => tracing::warn!(%error, program, "the browser cannot be opened"),
    }
}

/// Ctrl-C, or the request to end that a service manager sends.
struct Interrupt {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Interrupt {
    #[cfg(unix)]
    fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let watch = |kind| {
            signal(kind).map_err(|error| Failure::failed(format!("signals cannot be watched: {error}"), "try again"))
        };
        Ok(Self { terminate: watch(SignalKind::terminate())?, interrupt: watch(SignalKind::interrupt())? })
    }

    #[cfg(unix)]
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> Result<Self, Failure> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn wait(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Turns totals into rates.
struct Reporter {
    started: Instant,
    at: Instant,
    last: ServerStats,
    usage: Usage,
}

impl Reporter {
    fn new() -> Self {
        let now = Instant::now();
        Self { started: now, at: now, last: ServerStats::default(), usage: Usage::new() }
    }

    fn figures(&mut self, stats: ServerStats) -> Figures {
        let seconds = self.at.elapsed().as_secs_f64().max(1e-3);
        let viewers = stats.viewers.max(1) as f64;
        let figures = Figures {
            running: self.started.elapsed(),
            bits_per_second: stats.bytes_sent.saturating_sub(self.last.bytes_sent) as f64 * 8.0 / seconds,
            frames_per_second: stats.frames_sent.saturating_sub(self.last.frames_sent) as f64 / seconds / viewers,
            cpu: self.usage.percent(),
            stats: stats.clone(),
        };
        self.at = Instant::now();
        self.last = stats;
        figures
    }
}
