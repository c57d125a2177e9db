'use strict';

// Plays the stream that the page's address names. Signalling goes by WebSocket, or by WHEP with `?signalling=whep`.
// When anything breaks, the player starts anew, waiting a little longer each time.

const FIRST_WAIT = 250;
const LONGEST_WAIT = 4000;
const CONNECT_LIMIT = 10000;
const DISCONNECTED_LIMIT = 3000;
const ICE_SERVERS = [];

const element = (id) => document.getElementById(id);
const path = location.pathname.replace(/\/+$/, '');
const name = decodeURIComponent(path.split('/').pop());
const byWhep = new URLSearchParams(location.search).get('signalling') === 'whep';
const video = element('video');

let session = null;
let attempts = 0;
let retryTimer = 0;

// ---- one connection -------------------------------------------------------------------------------------------------

class Session {
  constructor(onEnd) {
    this.onEnd = onEnd;
    this.started = performance.now();
    this.firstPicture = null;
    this.ended = false;
    this.stream = new MediaStream();
    this.pc = new RTCPeerConnection({ iceServers: ICE_SERVERS, bundlePolicy: 'max-bundle' });
    for (const kind of ['audio', 'video']) {
      keepDelayLow(this.pc.addTransceiver(kind, { direction: 'recvonly' }).receiver);
    }
    this.pc.ontrack = ({ track }) => this.addTrack(track);
    this.pc.onconnectionstatechange = () => this.stateChanged();
    this.limit = setTimeout(() => this.end('The connection takes too long.', 'Is UDP blocked between here and there?'), CONNECT_LIMIT);
    const start = byWhep ? this.startWhep() : this.startWebSocket();
    start.catch((error) => this.end(error.message, error.hint));
  }

  async createOffer() {
    const { type, sdp } = await this.pc.createOffer();
    return { type, sdp: withStereo(sdp) };
  }

  // Offers over the WebSocket; candidates follow as they are found, both ways.
  async startWebSocket() {
    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}${path}/ws`);
    this.socket = socket;
    const send = (message) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));
    const opened = new Promise((resolve) => { socket.onopen = resolve; });
    socket.onclose = () => this.end('The server is gone.', 'Waiting for it to come back.');
    socket.onmessage = ({ data }) => this.receive(data).catch((error) => this.end(error.message));

    const offer = await this.createOffer();
    await opened;
    this.pc.onicecandidate = ({ candidate }) => send({
      type: 'candidate',
      candidate: candidate ? candidate.candidate : '',
      sdpMid: candidate ? candidate.sdpMid : null,
      sdpMLineIndex: candidate ? candidate.sdpMLineIndex : null,
    });
    send({ type: 'offer', sdp: offer.sdp });
    await this.pc.setLocalDescription(offer);
  }

  async receive(data) {
    const message = JSON.parse(data);
    switch (message.type) {
      case 'answer':
        await this.pc.setRemoteDescription(message);
        break;
      case 'candidate':
        await this.pc.addIceCandidate(message.candidate ? {
          candidate: message.candidate,
          sdpMid: message.sdpMid,
          sdpMLineIndex: message.sdpMLineIndex,
        } : undefined);
        break;
      case 'bye':
        this.end('The stream has stopped.', 'Waiting for it to come back.');
        break;
      case 'error':
        this.end(sentence(message.error?.message || message.error?.name || 'unknown error'), sentence(message.error?.hint || ''));
        break;
      default: // A newer server may say more than this page knows.
    }
  }

  // Offers by HTTP POST; the candidates that are found later follow in one PATCH each.
  async startWhep() {
    await this.pc.setLocalDescription(await this.createOffer());
    const late = [];
    let flush = () => {};
    this.pc.onicecandidate = ({ candidate }) => { if (candidate) { late.push(candidate); flush(); } };
    const response = await fetch(`${path}/whep`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp' },
      body: this.pc.localDescription.sdp,
    });
    if (!response.ok) {
      const problem = await response.json().catch(() => ({}));
      throw Object.assign(new Error(sentence(problem.detail || `the server answered ${response.status}`)), { hint: sentence(problem.hint || '') });
    }
    this.resource = new URL(response.headers.get('Location'), response.url);
    const entityTag = response.headers.get('ETag') || '*';
    if (this.ended) {
      this.leave();
      return;
    }
    await this.pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
    const [ufrag, pwd] = ['ufrag', 'pwd'].map((key) => this.pc.localDescription.sdp.match(new RegExp(`a=ice-${key}:.*`))[0]);
    flush = () => {
      const lines = late.splice(0).map(({ candidate, sdpMid }) => `a=mid:${sdpMid}\r\na=${candidate}\r\n`);
      if (!lines.length) return;
      fetch(this.resource, {
        method: 'PATCH',
        headers: { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': entityTag },
        body: `${ufrag}\r\n${pwd}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n${lines.join('')}`,
      }).catch(() => {});
    };
    flush();
  }

  addTrack(track) {
    this.stream.addTrack(track);
    if (video.srcObject !== this.stream) video.srcObject = this.stream;
    play();
    if (track.kind === 'video' && video.requestVideoFrameCallback) {
      video.requestVideoFrameCallback(() => this.pictureShown());
    }
  }

  pictureShown() {
    if (this.firstPicture !== null || this.ended) return;
    this.firstPicture = performance.now() - this.started;
    element('stat-firstpicture').textContent = `${Math.round(this.firstPicture)} ms`;
  }

  stateChanged() {
    const state = this.pc.connectionState;
    showState(state);
    clearTimeout(this.disconnected);
    if (state === 'connected') {
      clearTimeout(this.limit);
      attempts = 0;
      hideNotice();
    } else if (state === 'failed' || state === 'closed') {
      this.end('The connection is lost.', 'Connecting again.');
    } else if (state === 'disconnected') {
      this.disconnected = setTimeout(() => this.end('The connection is lost.', 'Connecting again.'), DISCONNECTED_LIMIT);
    }
  }

  leave() {
    if (this.socket) {
      this.socket.onclose = null;
      if (this.socket.readyState === WebSocket.OPEN) this.socket.send('{"type":"bye"}');
      this.socket.close();
    }
    if (this.resource) fetch(this.resource, { method: 'DELETE', keepalive: true }).catch(() => {});
  }

  end(what, hint) {
    if (this.ended) return;
    this.ended = true;
    clearTimeout(this.limit);
    clearTimeout(this.disconnected);
    this.leave();
    this.pc.close();
    this.onEnd(what, hint);
  }
}

// RFC 7587 §6.1: unless the offer asks for stereo, a browser plays the mix of both channels on both sides.
function withStereo(sdp) {
  const opus = sdp.match(/^a=rtpmap:(\d+) opus\/48000\/2/im)?.[1];
  if (!opus) return sdp;
  const parameters = new RegExp(`^a=fmtp:${opus} .*$`, 'm');
  if (parameters.test(sdp)) return sdp.replace(parameters, (line) => (/[ ;]stereo=/.test(line) ? line : `${line};stereo=1`));
  return sdp.replace(new RegExp(`^a=rtpmap:${opus} .*$`, 'm'), (line) => `${line}\r\na=fmtp:${opus} stereo=1`);
}

// The shortest delay that the network allows; the browser grows its buffer where it must.
function keepDelayLow(receiver) {
  if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 0;
  if ('playoutDelayHint' in receiver) receiver.playoutDelayHint = 0;
}

function sentence(text) {
  if (!text) return '';
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
}

// ---- starting and starting again ------------------------------------------------------------------------------------

function connect() {
  clearTimeout(retryTimer);
  retryTimer = 0;
  previous = null;
  showState('connecting');
  session = new Session((what, hint) => {
    showNotice(what, hint);
    showState('waiting');
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** attempts) * (0.75 + Math.random() / 2);
    attempts += 1;
    retryTimer = setTimeout(connect, wait);
  });
  window.rtcast = session;
}

function connectNow() {
  if (retryTimer && !document.hidden) {
    attempts = 0;
    connect();
  }
}

window.addEventListener('online', connectNow);
document.addEventListener('visibilitychange', connectNow);
window.addEventListener('pagehide', () => session?.leave());
window.addEventListener('pageshow', (event) => { if (event.persisted) session?.end('The page was away.', 'Connecting again.'); });

// ---- what the person sees -------------------------------------------------------------------------------------------

function showState(state) {
  element('state').textContent = state;
  element('state').dataset.state = state;
  element('stat-state').textContent = state;
}

function showNotice(what, hint) {
  const notice = element('notice');
  notice.querySelector('strong').textContent = what;
  notice.querySelector('span').textContent = hint || '';
  notice.hidden = false;
}

function hideNotice() {
  element('notice').hidden = true;
}

// Muted pictures may always start by themselves; sound may not until the person asks for it.
function play() {
  video.play().catch(() => {
    video.muted = true;
    video.play().catch(() => {});
  });
  showMuted();
}

function showMuted() {
  element('unmute').hidden = !video.muted;
}

function toggleMuted() {
  video.muted = !video.muted;
  play();
}

function toggleDrawer() {
  const drawer = element('drawer');
  drawer.hidden = !drawer.hidden;
  element('stats').setAttribute('aria-expanded', String(!drawer.hidden));
}

function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (video.parentElement.requestFullscreen) video.parentElement.requestFullscreen().catch(() => {});
  else video.webkitEnterFullscreen?.();
}

element('unmute').onclick = toggleMuted;
element('stats').onclick = toggleDrawer;
element('fullscreen').onclick = toggleFullScreen;
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const action = { m: toggleMuted, s: toggleDrawer, f: toggleFullScreen }[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action();
});

// ---- statistics -----------------------------------------------------------------------------------------------------

let previous = null;

function bits(perSecond) {
  return perSecond >= 1e6 ? `${(perSecond / 1e6).toFixed(1)} Mb/s` : `${Math.round(perSecond / 1e3)} kb/s`;
}

async function readStatistics(pc) {
  const now = { at: performance.now(), bytes: 0, received: 0, lost: 0, frames: 0, delay: 0, emitted: 0, codecs: [], roundTrip: null };
  const report = await pc.getStats();
  for (const stat of report.values()) {
    if (stat.type === 'inbound-rtp') {
      now.bytes += stat.bytesReceived || 0;
      now.received += stat.packetsReceived || 0;
      now.lost += stat.packetsLost || 0;
      const codec = report.get(stat.codecId);
      if (codec) now.codecs[stat.kind === 'video' ? 'unshift' : 'push'](codec.mimeType.split('/')[1]);
      if (stat.kind === 'video') {
        now.frames = stat.framesDecoded || 0;
        now.delay = stat.jitterBufferDelay || 0;
        now.emitted = stat.jitterBufferEmittedCount || 0;
      }
    } else if (stat.type === 'candidate-pair' && stat.nominated && stat.currentRoundTripTime !== undefined) {
      now.roundTrip = stat.currentRoundTripTime;
    }
  }
  return now;
}

async function showStatistics() {
  if (!session || session.ended) return;
  const now = await readStatistics(session.pc);
  const last = previous;
  previous = now;
  element('stat-resolution').textContent = video.videoWidth ? `${video.videoWidth}×${video.videoHeight}` : '–';
  element('stat-codec').textContent = now.codecs.join(', ') || '–';
  element('stat-roundtrip').textContent = now.roundTrip === null ? '–' : `${(now.roundTrip * 1000).toFixed(1)} ms`;
  if (!last) return;
  const seconds = (now.at - last.at) / 1000;
  const received = now.received - last.received;
  const lost = Math.max(0, now.lost - last.lost);
  const emitted = now.emitted - last.emitted;
  element('stat-bitrate').textContent = bits(((now.bytes - last.bytes) * 8) / seconds);
  element('stat-framerate').textContent = `${((now.frames - last.frames) / seconds).toFixed(1)} fps`;
  element('stat-loss').textContent = received + lost ? `${((100 * lost) / (received + lost)).toFixed(1)} %` : '–';
  element('stat-jitterbuffer').textContent = emitted > 0 ? `${Math.round(((now.delay - last.delay) / emitted) * 1000)} ms` : '–';
}

setInterval(() => { showStatistics().catch(() => {}); }, 1000);

element('name').textContent = name;
document.title = `${name} · rtcast`;
connect();
