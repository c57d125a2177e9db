//! One call of str0m, whose signalling goes over standard input and output.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::mpsc::{self, TryRecvError};
use std::time::{Duration, Instant};

use peer_common::{
    Arguments, Message, PICTURE_INTERVAL, Report, SOUND_INTERVAL, messages, parted, picture, sound, text,
};
use serde_json::{Value, json};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::format::Codec;
use str0m::media::{Direction, Frequency, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

/// How long the socket is waited for at most, so that the test's messages are seen.
const PATIENCE: Duration = Duration::from_millis(5);

struct Call {
    rtc: Rtc,
    arguments: Arguments,
    pending: Option<SdpPendingOffer>,
    connected: bool,
    sending: Vec<Sending>,
    channel: Option<ChannelId>,
    outgoing: VecDeque<Message>,
    report: Report,
}

/// One stream of ours.
struct Sending {
    mid: Mid,
    kind: MediaKind,
    number: u32,
    due: Instant,
}

fn main() {
    let arguments = Arguments::read();
    str0m::crypto::from_feature_flags().install_process_default();
    let (said, hearing) = mpsc::channel();
    std::thread::spawn(move || peer_common::read_lines(|message| drop(said.send(message))));
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    let mut rtc = RtcConfig::new().clear_codecs().enable_vp8(true).enable_opus(true, false).build(Instant::now());
    rtc.add_local_candidate(Candidate::host(address, "udp").expect("an address"));
    let mut call = Call {
        rtc,
        arguments,
        pending: None,
        connected: false,
        sending: Vec::new(),
        channel: None,
        outgoing: VecDeque::new(),
        report: Report::default(),
    };
    if arguments.offers {
        call.offer();
    }
    let mut buffer = vec![0; 2_000];
    loop {
        loop {
            match hearing.try_recv() {
                Ok(message) => call.take(&message),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        call.send();
        let due = call.drive(&socket);
        let wait = due.saturating_duration_since(Instant::now()).clamp(Duration::from_millis(1), PATIENCE);
        socket.set_read_timeout(Some(wait)).expect("it is not zero");
        let now = Instant::now();
        let input = match socket.recv_from(&mut buffer) {
            Ok((length, source)) => match buffer[..length].try_into() {
                Ok(contents) => Input::Receive(
                    Instant::now(),
                    Receive { proto: Protocol::Udp, source, destination: address, contents },
                ),
                Err(_) => continue,
            },
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Input::Timeout(now),
            Err(error) => panic!("the socket failed: {error}"),
        };
        call.rtc.handle_input(input).expect("str0m takes it");
    }
}

impl Call {
    fn offer(&mut self) {
        let mut api = self.rtc.sdp_api();
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let mid = api.add_media(kind, Direction::SendRecv, Some("stream".into()), None, None);
            self.sending.push(Sending { mid, kind, number: 0, due: Instant::now() });
        }
        api.add_channel("chat".into());
        let (offer, pending) = api.apply().expect("there is something to offer");
        self.pending = Some(pending);
        self.tell(&offer.to_sdp_string());
    }

    fn tell(&self, sdp: &str) {
        let kind = self.arguments.description_type();
        match self.arguments.trickles {
            true => parted(kind, sdp).iter().for_each(|message| println!("{message}")),
            false => println!("{}", json!({ "type": kind, "sdp": sdp })),
        }
    }

    fn take(&mut self, message: &Value) {
        match text(message, "type") {
            "offer" => {
                let offer = SdpOffer::from_sdp_string(text(message, "sdp")).expect("an offer that str0m reads");
                let answer = self.rtc.sdp_api().accept_offer(offer).expect("an offer that str0m takes");
                self.tell(&answer.to_sdp_string());
            }
            "answer" => {
                let answer = SdpAnswer::from_sdp_string(text(message, "sdp")).expect("an answer that str0m reads");
                let pending = self.pending.take().expect("an offer waits");
                self.rtc.sdp_api().accept_answer(pending, answer).expect("an answer that str0m takes");
            }
            "candidate" if !text(message, "candidate").is_empty() => {
                let candidate = Candidate::from_sdp_string(text(message, "candidate")).expect("a candidate");
                self.rtc.add_remote_candidate(candidate);
            }
            "report" => println!("{}", self.report.to_json()),
            _ => {}
        }
    }

    /// Hands over what is due.
    fn send(&mut self) {
        let now = Instant::now();
        if self.connected {
            for sending in &mut self.sending {
                if sending.due > now {
                    continue;
                }
                let (codec, interval, frame) = match sending.kind {
                    MediaKind::Audio => (Codec::Opus, SOUND_INTERVAL, sound(sending.number)),
                    MediaKind::Video => (Codec::Vp8, PICTURE_INTERVAL, picture(sending.number)),
                };
                let Some(writer) = self.rtc.writer(sending.mid) else { continue };
                let pt = writer.payload_params().find(|params| params.spec().codec == codec).map(|params| params.pt());
                let time = interval * sending.number;
                let time = MediaTime::new(time.as_micros() as u64, Frequency::MICROS);
                writer.write(pt.expect("the codec is negotiated"), now, time, frame).expect("a frame that str0m takes");
                sending.number += 1;
                sending.due += interval;
            }
        }
        while let Some((id, message)) = self.channel.zip(self.outgoing.front()) {
            let Some(mut channel) = self.rtc.channel(id) else { break };
            if !channel.write(message.binary, &message.data).expect("a message that str0m takes") {
                break;
            }
            self.outgoing.pop_front();
            if !self.arguments.offers {
                self.report.echoed();
            }
        }
    }

    /// Sends what is to be sent, and notes what has happened. Returns when to come back.
    fn drive(&mut self, socket: &UdpSocket) -> Instant {
        loop {
            match self.rtc.poll_output().expect("str0m goes on") {
                Output::Timeout(due) => return due,
                Output::Transmit(transmit) => {
                    // What the kernel does not take is lost, as on any network.
                    let _ = socket.send_to(&transmit.contents, transmit.destination);
                }
                Output::Event(Event::Connected) => {
                    self.connected = true;
                    let due = Instant::now();
                    self.sending.iter_mut().for_each(|sending| sending.due = due);
                }
                // Told of the other side's m-lines only.
                Output::Event(Event::MediaAdded(media)) if !self.arguments.offers => {
                    self.sending.push(Sending { mid: media.mid, kind: media.kind, number: 0, due: Instant::now() });
                }
                Output::Event(Event::MediaData(data)) => match data.params.spec().codec {
                    Codec::Opus => self.report.sound(&data.data),
                    _ => self.report.picture(&data.data),
                },
                Output::Event(Event::ChannelOpen(id, label)) => {
                    assert_eq!(label, "chat");
                    self.channel = Some(id);
                    if self.arguments.offers {
                        self.outgoing.extend(messages());
                    }
                }
                Output::Event(Event::ChannelData(data)) => {
                    let message = Message { binary: data.binary, data: data.data.to_vec() };
                    match self.arguments.offers {
                        true => self.report.echo(message),
                        false => self.outgoing.push_back(message),
                    }
                }
                Output::Event(_) => {}
            }
        }
    }
}
