//! The film from str0m to any number of viewers: one thread and one socket, each picture packetised once ("RTP mode").
//!
//! With `gso` as third argument, what str0m wants sent to one viewer goes to the kernel in runs that it segments, which
//! str0m's own examples do not do.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use peer_common::{TICKS_PER_FRAME, arguments, due, serve};
use quinn_udp::{UdpSockRef, UdpSocketState};
use str0m::change::SdpOffer;
use str0m::format::Codec;
use str0m::media::{MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig};

/// A run that the kernel segments is at most so long.
const MAX_RUN: usize = 60_000;

struct Viewer {
    rtc: Rtc,
    sending: Option<(Mid, Pt)>,
    connected: bool,
    sequence: u64,
    timeout: Instant,
}

/// Sends datagrams, joined into runs where that is asked for.
struct Sender {
    socket: UdpSocket,
    state: UdpSocketState,
    join: bool,
    run: Vec<u8>,
    segment: usize,
    destination: Option<SocketAddr>,
}

impl Sender {
    fn send(&mut self, destination: SocketAddr, datagram: &[u8]) {
        if !self.join {
            // A full buffer loses the packet, as a network does.
            let _ = self.socket.send_to(datagram, destination);
            return;
        }
        let fits = self.destination == Some(destination)
            && datagram.len() <= self.segment
            && self.run.len() % self.segment == 0
            && self.run.len() / self.segment < self.state.max_gso_segments()
            && self.run.len() + datagram.len() <= MAX_RUN;
        if !fits {
            self.flush();
            (self.destination, self.segment) = (Some(destination), datagram.len());
        }
        self.run.extend_from_slice(datagram);
    }

    fn flush(&mut self) {
        if let Some(destination) = self.destination.take() {
            let transmit = quinn_udp::Transmit {
                destination,
                ecn: None,
                contents: &self.run,
                segment_size: (self.run.len() > self.segment).then_some(self.segment),
                src_ip: None,
            };
            let _ = self.state.try_send(UdpSockRef::from(&self.socket), &transmit);
        }
        self.run.clear();
    }
}

fn main() {
    let (film, port, options) = arguments();
    str0m::crypto::from_feature_flags().install_process_default();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_nonblocking(true).expect("a socket can be made so");
    let address = socket.local_addr().expect("it is bound");
    let state = UdpSocketState::new(UdpSockRef::from(&socket)).expect("its options can be set");
    let _ = state.set_recv_buffer_size(UdpSockRef::from(&socket), 4 << 20);
    let _ = state.set_send_buffer_size(UdpSockRef::from(&socket), 4 << 20);
    let join = options.iter().any(|option| option == "gso");
    let mut sender = Sender { socket, state, join, run: Vec::new(), segment: 1, destination: None };

    let (joined, joining) = mpsc::channel::<Rtc>();
    let joined = std::sync::Mutex::new(joined);
    serve(port, move |offer| {
        let offer = SdpOffer::from_sdp_string(&offer).map_err(|error| error.to_string())?;
        let mut rtc = RtcConfig::new().clear_codecs().enable_h264(true).set_rtp_mode(true).build(Instant::now());
        rtc.add_local_candidate(Candidate::host(address, "udp").map_err(|error| error.to_string())?);
        let answer = rtc.sdp_api().accept_offer(offer).map_err(|error| error.to_string())?;
        joined.lock().expect("nobody panics with it").send(rtc).map_err(|error| error.to_string())?;
        Ok(answer.to_sdp_string())
    });

    let mut viewers: Vec<Viewer> = Vec::new();
    let mut routes: HashMap<SocketAddr, usize> = HashMap::new();
    let mut buffer = vec![0; 2_000];
    let (start, mut number) = (Instant::now(), 0u64);
    loop {
        for rtc in joining.try_iter() {
            let timeout = Instant::now();
            viewers.push(Viewer { rtc, sending: None, connected: false, sequence: 0, timeout });
        }
        let now = Instant::now();
        if now >= start + due(number) {
            let frame = &film.frames[number as usize % film.frames.len()];
            let time = (number as u32).wrapping_mul(TICKS_PER_FRAME);
            for viewer in &mut viewers {
                write(viewer, now, frame, time);
                drive(viewer, &mut sender);
                sender.flush();
            }
            number += 1;
        }
        loop {
            match sender.socket.recv_from(&mut buffer) {
                Ok((length, source)) => {
                    let Ok(contents) = buffer[..length].try_into() else { continue };
                    let now = Instant::now();
                    let receive = Receive { proto: Protocol::Udp, source, destination: address, contents };
                    let input = Input::Receive(now, receive);
                    let known = routes.get(&source).copied();
                    let owner = known.or_else(|| viewers.iter().position(|viewer| viewer.rtc.accepts(&input)));
                    let Some(owner) = owner else { continue };
                    routes.insert(source, owner);
                    let viewer = &mut viewers[owner];
                    if viewer.rtc.handle_input(input).is_err() {
                        viewer.rtc.disconnect();
                    }
                    drive(viewer, &mut sender);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {}
            }
        }
        sender.flush();
        let now = Instant::now();
        let mut next = start + due(number);
        for viewer in &mut viewers {
            if viewer.timeout <= now {
                let _ = viewer.rtc.handle_input(Input::Timeout(now));
                drive(viewer, &mut sender);
            }
            next = next.min(viewer.timeout);
        }
        sender.flush();
        // The socket is looked at again after a millisecond at the latest.
        let wait = next.saturating_duration_since(Instant::now()).min(Duration::from_millis(1));
        std::thread::sleep(wait);
    }
}

/// Hands a frame to a viewer that is connected; its stream begins with a keyframe.
fn write(viewer: &mut Viewer, now: Instant, frame: &peer_common::Frame, time: u32) {
    let Some((mid, pt)) = viewer.sending else { return };
    if !viewer.connected || (viewer.sequence == 0 && !frame.keyframe) {
        return;
    }
    let mut api = viewer.rtc.direct_api();
    let Some(stream) = api.stream_tx_by_mid(mid, None) else { return };
    for (at, payload) in frame.payloads.iter().enumerate() {
        let last = at + 1 == frame.payloads.len();
        let write = RtpWrite::new(pt, viewer.sequence.into(), time, now, payload.clone()).marker(last).nackable(true);
        stream.write_rtp(write);
        viewer.sequence += 1;
    }
}

/// Sends what the viewer's connection wants sent.
fn drive(viewer: &mut Viewer, sender: &mut Sender) {
    loop {
        match viewer.rtc.poll_output() {
            Ok(Output::Transmit(transmit)) => sender.send(transmit.destination, &transmit.contents),
            Ok(Output::Timeout(at)) => {
                viewer.timeout = at;
                return;
            }
            Ok(Output::Event(Event::Connected)) => viewer.connected = true,
            Ok(Output::Event(Event::IceConnectionStateChange(IceConnectionState::Disconnected))) => {
                viewer.connected = false;
            }
            Ok(Output::Event(Event::MediaAdded(media))) if media.kind == MediaKind::Video => {
                let config = viewer.rtc.codec_config();
                let h264 =
                    |pt: &Pt| config.iter().any(|params| params.pt() == *pt && params.spec().codec == Codec::H264);
                let pt = viewer.rtc.media(media.mid).and_then(|media| media.remote_pts().iter().copied().find(h264));
                viewer.sending = pt.map(|pt| (media.mid, pt));
            }
            Ok(Output::Event(_)) => {}
            Err(_) => {
                viewer.rtc.disconnect();
                viewer.timeout = Instant::now() + Duration::from_secs(3_600);
                return;
            }
        }
    }
}
