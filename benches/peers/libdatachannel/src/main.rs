//! The film from libdatachannel to any number of viewers: its H.264 packetiser, sender reports and NACK responder at each
//! viewer's track; all viewers share one UDP port.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr;
use std::sync::{Condvar, LazyLock, Mutex};
use std::time::Duration;

use datachannel_sys as sys;
use peer_common::{TICKS_PER_FRAME, arguments, serve, video};

#[derive(Default)]
struct Shared {
    gathered: Vec<c_int>,
    /// Tracks that are open, and whether their viewer has had a keyframe.
    open: HashMap<c_int, bool>,
}

static SHARED: LazyLock<(Mutex<Shared>, Condvar)> = LazyLock::new(Default::default);

fn shared<R>(with: impl FnOnce(&mut Shared) -> R) -> R {
    with(&mut SHARED.0.lock().expect("nobody panics with it"))
}

unsafe extern "C" fn on_gathering(connection: c_int, state: sys::rtcGatheringState, _: *mut c_void) {
    if state == sys::rtcGatheringState_RTC_GATHERING_COMPLETE {
        shared(|shared| shared.gathered.push(connection));
        SHARED.1.notify_all();
    }
}

unsafe extern "C" fn on_open(track: c_int, _: *mut c_void) {
    shared(|shared| shared.open.insert(track, false));
}

unsafe extern "C" fn on_closed(track: c_int, _: *mut c_void) {
    shared(|shared| shared.open.remove(&track));
}

fn main() {
    let (film, port, _) = arguments();
    // SAFETY: a null callback means standard output.
    unsafe { sys::rtcInitLogger(sys::rtcLogLevel_RTC_LOG_ERROR, None) };
    serve(port, answer);
    film.play(|number, frame| {
        let open: Vec<(c_int, bool)> =
            shared(|shared| shared.open.iter().map(|(track, begun)| (*track, *begun)).collect());
        for (track, begun) in open {
            if !begun && !frame.keyframe {
                continue;
            }
            if !begun {
                shared(|shared| shared.open.get_mut(&track).map(|begun| *begun = true));
            }
            let time = (number as u32).wrapping_mul(TICKS_PER_FRAME);
            // SAFETY: the bytes live for the call, which copies them; an identifier that is gone is refused.
            unsafe {
                sys::rtcSetTrackRtpTimestamp(track, time);
                sys::rtcSendMessage(track, frame.annex_b.as_ptr().cast(), frame.annex_b.len() as c_int);
            }
        }
    });
}

fn answer(offer: String) -> Result<String, String> {
    let (mid, payload_type) = video(&offer).ok_or("the offer has no H.264")?;
    let text = |text: &str| CString::new(text).map_err(|error| error.to_string());
    let (offer, kind, mid, name) = (text(&offer)?, text("offer")?, text(&mid)?, text("film")?);
    let address = text("127.0.0.1")?;
    // SAFETY: plain C structures, for which zero means the default; pointers live for the calls, which copy.
    unsafe {
        let mut configuration: sys::rtcConfiguration = std::mem::zeroed();
        configuration.bindAddress = address.as_ptr();
        configuration.disableAutoNegotiation = true;
        configuration.forceMediaTransport = true;
        let connection = sys::rtcCreatePeerConnection(&configuration);
        sys::rtcSetGatheringStateChangeCallback(connection, Some(on_gathering));
        let ssrc = 1_000 + connection as u32;
        let mut track: sys::rtcTrackInit = std::mem::zeroed();
        track.direction = sys::rtcDirection_RTC_DIRECTION_SENDONLY;
        track.codec = sys::rtcCodec_RTC_CODEC_H264;
        (track.payloadType, track.ssrc) = (payload_type.into(), ssrc);
        (track.mid, track.name, track.msid, track.trackId) =
            (mid.as_ptr(), name.as_ptr(), name.as_ptr(), name.as_ptr());
        let track = sys::rtcAddTrackEx(connection, &track);
        let mut packetizer: sys::rtcPacketizerInit = std::mem::zeroed();
        (packetizer.ssrc, packetizer.cname) = (ssrc, name.as_ptr());
        (packetizer.payloadType, packetizer.clockRate) = (payload_type, 90_000);
        packetizer.nalSeparator = sys::rtcNalUnitSeparator_RTC_NAL_SEPARATOR_LONG_START_SEQUENCE;
        sys::rtcSetH264Packetizer(track, &packetizer);
        sys::rtcChainRtcpSrReporter(track);
        sys::rtcChainRtcpNackResponder(track, 512);
        sys::rtcSetOpenCallback(track, Some(on_open));
        sys::rtcSetClosedCallback(track, Some(on_closed));
        if sys::rtcSetRemoteDescription(connection, offer.as_ptr(), kind.as_ptr()) < 0
            || sys::rtcSetLocalDescription(connection, ptr::null()) < 0
        {
            return Err("the offer was refused".to_owned());
        }
        let waiting = SHARED.0.lock().map_err(|error| error.to_string())?;
        let gathered = SHARED
            .1
            .wait_timeout_while(waiting, Duration::from_secs(5), |shared| !shared.gathered.contains(&connection));
        drop(gathered.map_err(|error| error.to_string())?);
        let mut buffer = vec![0u8; 16 * 1024];
        let length = sys::rtcGetLocalDescription(connection, buffer.as_mut_ptr().cast(), buffer.len() as c_int);
        if length < 0 {
            return Err("there is no answer".to_owned());
        }
        let answer = CStr::from_bytes_until_nul(&buffer).map_err(|error| error.to_string())?;
        Ok(answer.to_string_lossy().into_owned())
    }
}
