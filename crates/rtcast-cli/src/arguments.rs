//! What may be typed.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use clap::{Args, Parser, Subcommand, ValueEnum};
use rtcast::Bitrate;
use rtcast_server::{AddressPrefix, AllowedHost, AllowedOrigin};

/// Streams video and audio by WebRTC to any browser.
#[derive(Debug, Parser)]
#[command(name = "rtcast", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What to log to standard error: error, warn, info, debug, trace, or a filter such as rtcast_server=debug
    #[arg(long, global = true, value_name = "FILTER", default_value = "warn")]
    pub(crate) log: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Stream a film, standard input or a test pattern; prints the address to open in a browser
    Stream(StreamOptions),
    /// Put a load on a WHEP server and count what arrives
    Bench(BenchOptions),
}

#[derive(Debug, Args)]
pub(crate) struct BenchOptions {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Watch a stream many times over: packets, loss, pictures and delays at each viewer
    Viewers(ViewersOptions),
    /// Make connections and end them, one after the other and many at a time
    Setup(SetupOptions),
    /// Send messages between two processes of this machine: bytes a second, CPU time of both, and the time there and back
    Datachannel(DataChannelOptions),
}

#[derive(Debug, Args)]
pub(crate) struct DataChannelOptions {
    /// The length of a message in bytes
    #[arg(long, default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=262_144))]
    pub(crate) size: u32,

    /// For how long messages are sent
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// How many bytes may wait to be sent
    #[arg(long, default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1..=(48 << 20)))]
    pub(crate) buffer: u32,

    /// How many messages of 1 KiB go there and back
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) pings: u32,

    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,

    /// Be the other process
    #[arg(long, hide = true)]
    pub(crate) respond: bool,
}

/// What all loads share.
#[derive(Debug, Args)]
pub(crate) struct TargetOptions {
    /// The WHEP endpoint of the stream, such as http://localhost:8080/foo/whep
    #[arg(long)]
    pub(crate) url: String,

    /// The server's process on this machine, to measure its CPU time and memory as well
    #[arg(long, value_name = "PID", alias = "pid")]
    pub(crate) server_pid: Option<u32>,

    /// The generator's threads [default: one for every two cores]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: Option<u32>,

    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rtcast bench viewers --url http://localhost:8080/foo/whep --count 100
  rtcast bench viewers --url … --count 500 --at-once 500        all join at once
  rtcast bench viewers --url … --count 500 --churn 10 --seconds 1800
                                                                ten leave and ten come each second, for half an hour")]
pub(crate) struct ViewersOptions {
    #[command(flatten)]
    pub(crate) target: TargetOptions,

    /// How many viewers
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) count: u32,

    /// For how long they are counted, once all are connected
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// How long to wait, once all are connected, before counting begins
    #[arg(long, default_value_t = 2.0, value_parser = warm_up)]
    pub(crate) warm_up: f64,

    /// How many viewers are being set up at a time
    #[arg(long, value_name = "N", default_value_t = 16, conflicts_with = "join_rate")]
    pub(crate) at_once: u32,

    /// How many viewers join in a second, however long each takes
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) join_rate: Option<f64>,

    /// How many viewers, chosen at random, leave in a second while counting goes on, and how many come
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) churn: Option<f64>,

    /// At how many viewers every packet is authenticated and decrypted: a number or all
    #[arg(long, value_name = "N", default_value = "1", value_parser = verified)]
    pub(crate) verify: u32,

    /// Ask for no sound
    #[arg(long)]
    pub(crate) no_sound: bool,

    /// Take each packet from the kernel on its own; a server on this machine then pays for cutting up what it sends
    #[arg(long)]
    pub(crate) no_gro: bool,

    /// Offer no feedback on the arrival of all packets (transport-cc), which browsers offer
    #[arg(long)]
    pub(crate) no_twcc: bool,

    /// Give each viewer a socket of its own, even towards a server on this machine
    #[arg(long)]
    pub(crate) private_sockets: bool,

    /// List every viewer in the JSON report
    #[arg(long)]
    pub(crate) each: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SetupOptions {
    #[command(flatten)]
    pub(crate) target: TargetOptions,

    /// How many connections, in each of the two ways
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) count: u32,

    /// How many at a time, in the second way
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) at_once: u32,

    /// How many begin in a second at most, in the second way [default: as many as the server takes]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rtcast stream                        a test pattern, to see that it works
  rtcast stream foo.mp4                a film, over and over
  rtcast stream foo.mp4 --no-loop      a film, once
  ffmpeg … -f matroska - | rtcast stream -
  rtcast stream foo.mp4 --json | jq    events for programs

Exit codes: 0 ended well, 1 failed, 2 bad usage.")]
pub(crate) struct StreamOptions {
    /// A file, or - for standard input; without it, a moving test pattern with a tone
    #[arg(value_name = "SOURCE")]
    pub(crate) source: Option<OsString>,

    /// Print events as JSON, one object a line, even on a terminal
    #[arg(long)]
    pub(crate) json: bool,

    /// Where to listen, by TCP for the page and by UDP for media, such as localhost:8080; if the port is taken, the next free
    /// one is used
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:8080", value_parser = listen_address)]
    pub(crate) listen: SocketAddr,

    /// The last part of the address; by default made from the source's name
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// Start again at the end [default for files]
    #[arg(long = "loop", overrides_with = "no_loop")]
    pub(crate) repeat: bool,

    /// End with the source
    #[arg(long, overrides_with = "repeat")]
    pub(crate) no_loop: bool,

    /// What viewers are sent: auto passes through what each can play, copy never encodes, vp8 and h264 always do
    #[arg(long, value_enum, default_value_t = CodecChoice::Auto)]
    pub(crate) codec: CodecChoice,

    /// The bitrate of what is encoded, such as 2500k or 4M; by default chosen by the picture's size
    #[arg(long, value_name = "BITS/S", value_parser = bitrate)]
    pub(crate) bitrate: Option<Bitrate>,

    /// How many viewers may watch at a time; further ones are told to come back later
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_viewers: u32,

    /// How many viewers of one address may be between their offer and their connection
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) pending_per_address: u32,

    /// How many TCP connections one address may have open
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connections_per_address: u32,

    /// Take a viewer's address from X-Forwarded-For of requests from this proxy, an address or a prefix such as 10.0.0.0/8;
    /// may be given more than once
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) trusted_proxy: Vec<AddressPrefix>,

    /// Answer to this name as well, besides this machine's addresses and names, or to all with *; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_host: Vec<AllowedHost>,

    // Not as documentation, which would want the address in brackets.
    #[arg(
        long,
        value_name = "ORIGIN",
        help = "Let web pages of this origin use the server as well, such as https://example.org, or all with *; may be given \
                more than once"
    )]
    pub(crate) allow_origin: Vec<AllowedOrigin>,

    /// How many threads send; by default one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) threads: Option<u8>,

    /// Let media go over TCP as well, on the same port, for viewers whose networks let no UDP through
    #[arg(long)]
    pub(crate) tcp: bool,

    /// Tell viewers only the addresses of this network interface for media; may be given several times [default: all that
    /// others can reach]
    #[arg(long = "interface", value_name = "NAME")]
    pub(crate) interfaces: Vec<String>,

    /// Tell viewers this address for media instead of this machine's own, where a router in front of it forwards the UDP
    /// port (with --tcp the TCP port too) under the same number; may be given twice, for IPv4 and IPv6
    #[arg(long = "public-ip", value_name = "ADDRESS", value_parser = public_ip)]
    pub(crate) public_ips: Vec<IpAddr>,

    /// Open the page in this machine's browser
    #[arg(long)]
    pub(crate) open: bool,

    /// Show a QR code of the address [default on a terminal, if the network can reach it]
    #[arg(long, overrides_with = "no_qr")]
    pub(crate) qr: bool,

    /// Show no QR code
    #[arg(long, overrides_with = "qr")]
    pub(crate) no_qr: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CodecChoice {
    /// Pass through what the viewer can play, encode the rest
    Auto,
    /// Never encode video
    Copy,
    /// Always encode VP8
    Vp8,
    /// Always encode H.264
    H264,
}

/// `ADDR:PORT`, `NAME:PORT`, `:PORT` or `PORT`.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    }
    let expected = "expected an address and a port, such as 0.0.0.0:8080, localhost:8080 or [::]:8080";
    let Some((name, port)) = text.rsplit_once(':') else { return Err(expected.into()) };
    // Without brackets the end of an IPv6 address would pass for a port.
    if name.contains([':', '[', ']']) {
        return Err(expected.into());
    }
    let port: u16 = port.parse().map_err(|_| expected.to_owned())?;
    let found: Vec<_> = (name, port)
        .to_socket_addrs()
        .map_err(|error| format!("{name:?} has no address: {error}; {expected}"))?
        .collect();
    // Most peers have IPv4, so it comes first, as in what is printed.
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| format!("{name:?} has no address; {expected}"))
}

/// An IP address that a viewer can send to.
fn public_ip(text: &str) -> Result<IpAddr, String> {
    match text.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() => {
            Err(format!("no viewer elsewhere reaches {ip}"))
        }
        Ok(ip) => Ok(ip),
        Err(_) => Err("expected an IP address without a port, such as 203.0.113.7".into()),
    }
}

/// Bits per second, with `k` or `M`.
fn bitrate(text: &str) -> Result<Bitrate, String> {
    let (number, factor) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1e3),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1.0), |number| (number, 1e6)),
    };
    let bits = number.trim().parse::<f64>().map_err(|_| "expected a number such as 2500k or 4M".to_string())? * factor;
    // Below this no codec makes a picture, above it no viewer follows.
    if (10e3..=1e9).contains(&bits) {
        Ok(Bitrate::from_bps(bits as u64))
    } else {
        Err("expected something between 10k and 1000M".into())
    }
}

/// A time from a tenth of a second to a day.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err(format!("{text:?} is not a number of seconds from 0.1 to 86400")),
    }
}

/// As [`seconds`], or none.
fn warm_up(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err(format!("{text:?} is not a number of seconds from 0 to 86400")),
    }
}

/// So many a second.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.01..=10_000.0).contains(&rate) => Ok(rate),
        _ => Err(format!("{text:?} is not a number from 0.01 to 10000")),
    }
}

/// A number of viewers, or all of them.
fn verified(text: &str) -> Result<u32, String> {
    if text == "all" {
        return Ok(u32::MAX);
    }
    text.parse().map_err(|_| format!("{text:?} is neither a number nor all"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn addresses_and_bitrates() {
        assert_eq!(listen_address("8081"), listen_address("0.0.0.0:8081"));
        assert_eq!(listen_address(":8081"), listen_address("8081"));
        assert!(listen_address("[::1]:0").is_ok());
        assert_eq!(listen_address("localhost:8080"), listen_address("127.0.0.1:8080"));
        for wrong in ["localhost", "localhost:", "localhost:http", "localhost:65536", "::1:8080", "[::1]", ""] {
            assert!(listen_address(wrong).is_err(), "{wrong}");
        }
        assert_eq!(bitrate("2500k"), Ok(Bitrate::from_kbps(2500)));
        assert_eq!(bitrate("2.5M"), Ok(Bitrate::from_kbps(2500)));
        assert_eq!(bitrate("300000"), Ok(Bitrate::from_kbps(300)));
        for wrong in ["", "k", "4G", "-1M", "NaN", "inf", "1", "1e30"] {
            assert!(bitrate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_last_of_two_opposites_counts() {
        let parse = |arguments: &[&str]| {
            let Command::Stream(options) = Arguments::try_parse_from(arguments).unwrap().command else { panic!() };
            (options.repeat, options.no_loop)
        };
        assert_eq!(parse(&["rtcast", "stream", "--loop", "--no-loop"]), (false, true));
        assert_eq!(parse(&["rtcast", "stream", "--no-loop", "--loop"]), (true, false));
    }
}
