//! Data channels between two processes: what they carry, and what that costs.
//!
//! One process starts the other, which answers on its standard input and output.

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rtcast_peer::{
    Configuration, DataChannel, DataChannelInit, DataChannelMessage, IceGatheringState, PeerConnection,
    PeerConnectionEvent, PeerConnectionState, SessionDescription,
};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::sync::oneshot;

use crate::process::ProcessSample;

/// How long the two may take to meet, and to finish what is on its way.
const PATIENCE: Duration = Duration::from_secs(30);

/// The names of the channels.
const BULK: &str = "bulk";
const PING: &str = "ping";

/// What to measure.
#[derive(Debug, Clone)]
pub struct DataChannelLoad {
    /// The program that answers, and its arguments: one that calls [`respond`].
    pub responder: (PathBuf, Vec<String>),
    /// The length of a message, in bytes.
    pub message_size: usize,
    /// For how long messages are sent.
    pub duration: Duration,
    /// How many bytes may wait to be sent.
    pub buffer: usize,
    /// How many messages go there and back, one after the other.
    pub pings: usize,
    /// The length of each of those, in bytes.
    pub ping_size: usize,
}

/// Why it could not be measured.
#[derive(Debug, thiserror::Error)]
#[error("data channels could not be measured: {0}")]
pub struct DataChannelBenchError(String);

/// What it came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataChannelReport {
    /// The length of a message, in bytes.
    pub message_size: usize,
    /// The bytes that may wait to be sent.
    pub buffer: usize,
    /// Seconds from the first message to the acknowledgement of the last.
    pub seconds: f64,
    /// Bytes of messages that arrived.
    pub bytes: u64,
    /// Millions of bytes a second.
    pub megabytes_per_second: f64,
    /// Seconds of CPU time that a billion bytes cost the sender; `None` where it cannot be told.
    pub sender_cpu_seconds_per_gigabyte: Option<f64>,
    /// The same of the receiver.
    pub receiver_cpu_seconds_per_gigabyte: Option<f64>,
    /// Messages that went there and back.
    pub pings: usize,
    /// The length of each of those, in bytes.
    pub ping_size: usize,
    /// Microseconds there and back: the median.
    pub ping_p50_us: f64,
    /// Microseconds there and back: the 99th percentile.
    pub ping_p99_us: f64,
}

impl fmt::Display for DataChannelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cost = |cost: Option<f64>| cost.map_or_else(|| "unknown".to_owned(), |cost| format!("{cost:.2}"));
        writeln!(
            f,
            "throughput   {:.1} MB/s, messages of {} bytes, {} bytes may wait",
            self.megabytes_per_second, self.message_size, self.buffer
        )?;
        writeln!(f, "sender       {} CPU-seconds a GB", cost(self.sender_cpu_seconds_per_gigabyte))?;
        writeln!(f, "receiver     {} CPU-seconds a GB", cost(self.receiver_cpu_seconds_per_gigabyte))?;
        writeln!(
            f,
            "ping-pong    {:.0} / {:.0} us (median / 99 %), {} times {} bytes",
            self.ping_p50_us, self.ping_p99_us, self.pings, self.ping_size
        )
    }
}

/// Starts the other process, measures, and ends it.
///
/// # Errors
/// [`DataChannelBenchError`] if it cannot be started or the two do not meet.
pub async fn data_channel(load: &DataChannelLoad) -> Result<DataChannelReport, DataChannelBenchError> {
    let mut child = Command::new(&load.responder.0)
        .args(&load.responder.1)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let (Some(mut input), Some(output), Some(pid)) = (child.stdin.take(), child.stdout.take(), child.id()) else {
        return Err(failed("the other process has no standard input and output"));
    };
    let pc = connection().await?;
    let bulk = pc.create_data_channel(BULK, DataChannelInit::default()).await.map_err(failed)?;
    let ping = pc.create_data_channel(PING, DataChannelInit::default()).await.map_err(failed)?;
    pc.set_local_description(None).await.map_err(failed)?;
    let offer = gathered(&pc).await?;
    input.write_all(format!("{}\n", offer.to_json()).as_bytes()).await.map_err(failed)?;
    let mut lines = BufReader::new(output).lines();
    let answer = soon(lines.next_line()).await?.map_err(failed)?;
    let answer = answer.ok_or_else(|| failed("the other process has ended"))?;
    pc.set_remote_description(SessionDescription::from_json(&answer).map_err(failed)?).await.map_err(failed)?;
    soon(bulk.opened()).await?.map_err(failed)?;
    soon(ping.opened()).await?.map_err(failed)?;

    let times = ping_pong(&ping, load).await?;
    let mut report = throughput(&bulk, load, pid).await?;
    let at = |share: f64| {
        let place = (times.len().saturating_sub(1) as f64 * share).round() as usize;
        times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    (report.ping_p50_us, report.ping_p99_us) = (at(0.5), at(0.99));
    pc.close().await;
    // It ends with its standard input.
    drop(input);
    soon(child.wait()).await?.map_err(failed)?;
    Ok(report)
}

/// The other side: takes an offer on standard input, answers on standard output, and then counts and echoes until its
/// standard input ends.
///
/// # Errors
/// [`DataChannelBenchError`] if the two do not meet.
pub async fn respond() -> Result<(), DataChannelBenchError> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let offer = lines.next_line().await.map_err(failed)?.ok_or_else(|| failed("no offer came"))?;
    let pc = connection().await?;
    let mut events = pc.events();
    pc.set_remote_description(SessionDescription::from_json(&offer).map_err(failed)?).await.map_err(failed)?;
    pc.set_local_description(None).await.map_err(failed)?;
    let answer = gathered(&pc).await?;
    let mut output = tokio::io::stdout();
    output.write_all(format!("{}\n", answer.to_json()).as_bytes()).await.map_err(failed)?;
    output.flush().await.map_err(failed)?;
    let serving = tokio::spawn(async move {
        let mut channels = Vec::new();
        while let Some(event) = events.recv().await {
            if let PeerConnectionEvent::DataChannel(channel) = event {
                serve(&channel);
                channels.push(channel);
            }
        }
    });
    // Whatever comes or fails: the end of the input is the end.
    while let Ok(Some(_)) = lines.next_line().await {}
    pc.close().await;
    serving.abort();
    Ok(())
}

fn serve(channel: &DataChannel) {
    let answering = channel.clone();
    let mut bytes = 0_u64;
    if channel.label() == PING {
        // Should it be refused, the connection is over, and the other side notices.
        channel.on_message(move |message| drop(answering.try_send(message)));
    } else {
        channel.on_message(move |message| match message {
            DataChannelMessage::Binary(data) => bytes += data.len() as u64,
            DataChannelMessage::Text(_) => drop(answering.try_send(DataChannelMessage::Text(bytes.to_string()))),
        });
    }
}

async fn connection() -> Result<PeerConnection, DataChannelBenchError> {
    let mut configuration = Configuration::default();
    configuration.address = Some(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
    PeerConnection::new(configuration).await.map_err(failed)
}

/// Our description with all candidates.
async fn gathered(pc: &PeerConnection) -> Result<SessionDescription, DataChannelBenchError> {
    let start = Instant::now();
    while pc.ice_gathering_state() != IceGatheringState::Complete {
        if pc.connection_state() == PeerConnectionState::Closed || start.elapsed() > PATIENCE {
            return Err(failed("no candidates were found"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    pc.local_description().ok_or_else(|| failed("there is no description"))
}

/// The times of all round trips, sorted.
async fn ping_pong(ping: &DataChannel, load: &DataChannelLoad) -> Result<Vec<Duration>, DataChannelBenchError> {
    let message = DataChannelMessage::Binary(vec![7; load.ping_size].into());
    let (done, times) = oneshot::channel();
    let sending = ping.clone();
    let state = Arc::new(Mutex::new((Instant::now(), Vec::with_capacity(load.pings), Some(done))));
    let kept = Arc::clone(&state);
    // The first rounds warm the path.
    let (again, (warm, pings)) = (message.clone(), (load.pings / 10, load.pings + load.pings / 10));
    ping.on_message(move |_| {
        let now = Instant::now();
        let mut state = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (sent, times, done) = &mut *state;
        times.push(now - *sent);
        if times.len() > pings {
            if let Some(done) = done.take() {
                // Whoever waited may have lost patience.
                let _ = done.send(times.split_off(warm));
            }
            return;
        }
        *sent = now;
        // Should it be refused, the connection is over, and whoever waits loses patience.
        drop(sending.try_send(again.clone()));
    });
    state.lock().unwrap_or_else(PoisonError::into_inner).0 = Instant::now();
    ping.send_message(message).await.map_err(failed)?;
    let mut times = soon(times).await?.map_err(failed)?;
    times.sort_unstable();
    Ok(times)
}

async fn throughput(
    bulk: &DataChannel,
    load: &DataChannelLoad,
    peer: u32,
) -> Result<DataChannelReport, DataChannelBenchError> {
    let message = bytes_of(load.message_size);
    bulk.set_max_buffered_amount(load.buffer);
    let before = (ProcessSample::own(), ProcessSample::of(peer));
    let start = Instant::now();
    while start.elapsed() < load.duration {
        bulk.send(message.clone()).await.map_err(failed)?;
    }
    bulk.send_text("how many?").await.map_err(failed)?;
    let answer = soon(bulk.recv()).await?.ok_or_else(|| failed("the channel was closed"))?;
    let elapsed = start.elapsed();
    let after = (ProcessSample::own(), ProcessSample::of(peer));
    let DataChannelMessage::Text(answer) = answer else { return Err(failed("the other side answered with bytes")) };
    let bytes: u64 = answer.parse().map_err(failed)?;
    let cost = |before: Option<ProcessSample>, after: Option<ProcessSample>| {
        let spent = after?.cpu_since(&before?).as_secs_f64();
        (bytes > 0).then(|| spent / (bytes as f64 / 1e9))
    };
    Ok(DataChannelReport {
        message_size: load.message_size,
        buffer: load.buffer,
        seconds: elapsed.as_secs_f64(),
        bytes,
        megabytes_per_second: bytes as f64 / 1e6 / elapsed.as_secs_f64(),
        sender_cpu_seconds_per_gigabyte: cost(before.0, after.0),
        receiver_cpu_seconds_per_gigabyte: cost(before.1, after.1),
        pings: load.pings,
        ping_size: load.ping_size,
        ping_p50_us: 0.0,
        ping_p99_us: 0.0,
    })
}

fn bytes_of(length: usize) -> bytes::Bytes {
    (0..length).map(|at| at as u8).collect()
}

async fn soon<T>(future: impl Future<Output = T>) -> Result<T, DataChannelBenchError> {
    tokio::time::timeout(PATIENCE, future).await.map_err(|_| failed("nothing happened for 30 s"))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err passes")]
fn failed(error: impl ToString) -> DataChannelBenchError {
    DataChannelBenchError(error.to_string())
}
