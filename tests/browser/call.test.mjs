// Calls between browsers and a program on the rtcast crate: either side offers, candidates within the description or after it;
// sound, pictures and messages both ways; and ICE restarts of either side, over which the pictures go on.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { BROWSERS, eventually, launch } from './support.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const program = process.env.RTCAST_INTEROP || `${root}target/debug/examples/interop`;

// The program: descriptions and candidates go to the page, reports come when asked for.
class Program {
  constructor(role, candidates, page) {
    this.process = spawn(program, [role, candidates, 'pattern'], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.exited = once(this.process, 'exit');
    this.reports = [];
    this.candidates = [];
    this.failures = [];
    createInterface({ input: this.process.stdout }).on('line', (line) => {
      const message = JSON.parse(line);
      if (message.type === 'report') {
        this.reports.shift()(message);
        return;
      }
      if (message.type === 'candidate') this.candidates.push(message.candidate);
      page.evaluate((taken) => window.call.take(taken), message).catch((error) => this.failures.push(error));
    });
  }

  write(message) {
    this.process.stdin.write(`${JSON.stringify(message)}\n`);
  }

  report() {
    return new Promise((resolve) => {
      this.reports.push(resolve);
      this.write({ type: 'report' });
    });
  }

  async stop() {
    this.process.stdin.end();
    return (await this.exited)[0];
  }
}

// The page's part.
function install(offers, trickles) {
  const pc = new RTCPeerConnection();
  const video = document.querySelector('video');
  const echoes = [];
  let channel;
  // What arrives is taken in order, one after the other.
  let taking = Promise.resolve();
  const describe = async () => {
    await pc.setLocalDescription();
    while (!trickles && pc.iceGatheringState !== 'complete') {
      await new Promise((resolve) => { pc.addEventListener('icegatheringstatechange', resolve, { once: true }); });
    }
    const lines = pc.localDescription.sdp.split('\r\n').filter((line) => !trickles || !line.startsWith('a=candidate'));
    window.tell({ type: pc.localDescription.type, sdp: lines.join('\r\n') });
  };
  pc.onicecandidate = ({ candidate }) => {
    if (trickles && candidate) window.tell({ type: 'candidate', ...candidate.toJSON() });
  };
  pc.ontrack = ({ streams: [stream] }) => { video.srcObject = stream; };
  const bytes = (length) => Uint8Array.from({ length }, (_, at) => (at * 31) ^ (at >> 8));
  const messages = ['text', 'Ελλάδα 日本 🚀', bytes(1), bytes(1200), bytes(16384), 'x'.repeat(50000)];
  const keep = (opened) => {
    channel = opened;
    channel.binaryType = 'arraybuffer';
    channel.onopen = () => { if (offers) messages.forEach((message) => channel.send(message)); };
    channel.onmessage = ({ data }) => { if (offers) echoes.push(data); else channel.send(data); };
  };
  pc.ondatachannel = (event) => keep(event.channel);
  const same = (sent, got) => (typeof sent === 'string'
    ? sent === got
    : got instanceof ArrayBuffer && got.byteLength === sent.length && new Uint8Array(got).every((byte, at) => byte === sent[at]));
  window.call = {
    async begin() {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
      stream.getTracks().forEach((track) => pc.addTrack(track, stream));
      if (offers) {
        keep(pc.createDataChannel('chat'));
        await describe();
      }
    },
    take(message) {
      taking = taking.then(async () => {
        if (message.type === 'candidate') {
          await pc.addIceCandidate(message);
          return;
        }
        await pc.setRemoteDescription(message);
        if (message.type === 'offer') await describe();
      });
      return taking;
    },
    restart() {
      pc.restartIce();
      return describe();
    },
    async seen() {
      const seen = { width: video.videoWidth, ufrags: [pc.localDescription, pc.remoteDescription].map(({ sdp }) => /ice-ufrag:(\S+)/.exec(sdp)[1]) };
      const stats = await pc.getStats();
      for (const stat of stats.values()) {
        if (stat.type === 'inbound-rtp' && stat.kind === 'video') seen.frames = stat.framesDecoded;
        if (stat.type === 'inbound-rtp' && stat.kind === 'audio') seen.samples = stat.totalSamplesReceived ?? stat.packetsReceived * 960;
      }
      seen.echoes = echoes.length === messages.length && messages.every((message, at) => same(message, echoes[at]));
      seen.states = [pc.signalingState, pc.connectionState, pc.iceConnectionState];
      return seen;
    },
    close: () => pc.close(),
  };
}

for (const name of BROWSERS) {
  describe(name, () => {
    let browser;
    // Camera and microphone are for pages of a server.
    const pages = createServer((request, response) => {
      response.setHeader('Content-Type', 'text/html');
      response.end('<!doctype html><title>call</title><video autoplay muted></video>');
    });
    before(async () => {
      browser = await launch(name);
      pages.listen(0, '127.0.0.1');
      await once(pages, 'listening');
    });
    after(async () => {
      await browser?.close();
      pages.close();
    });

    for (const role of ['offer', 'answer']) {
      for (const candidates of ['trickle', 'whole']) {
        const title = `rtcast ${role === 'offer' ? 'offers' : 'answers'}, ${candidates === 'trickle' ? 'candidates follow' : 'candidates are in the description'}`;
        test(title, { timeout: 90000 }, async (t) => {
          const page = await browser.newPage();
          t.after(() => page.close());
          await page.goto(`http://127.0.0.1:${pages.address().port}/`);
          let other;
          const told = [];
          await page.exposeFunction('tell', (message) => {
            told.push(message);
            other.write(message);
          });
          await page.evaluate(install, role === 'answer', candidates === 'trickle');
          const begin = () => page.evaluate(() => window.call.begin());
          // Whoever answers has its tracks before the offer comes.
          if (role === 'offer') await begin();
          other = new Program(role, candidates, page);
          t.after(() => other.process.kill('SIGKILL'));
          if (role === 'answer') await begin();
          const both = async () => {
            assert.deepEqual(other.failures, []);
            return { page: await page.evaluate(() => window.call.seen()), other: await other.report() };
          };
          const grown = async (what, from) => eventually(what, async () => {
            const now = await both();
            const enough = now.page.frames - from.page.frames > 40 && now.page.samples - from.page.samples > 40000
              && now.other.pictures - from.other.pictures > 20 && now.other.sounds - from.other.sounds > 40;
            if (!enough) throw new Error(`from ${JSON.stringify(from)} to ${JSON.stringify(now)}`);
            return now;
          }, 20000);
          const nothing = { page: { frames: 0, samples: 0 }, other: { pictures: 0, sounds: 0 } };
          const first = await grown('sound and pictures both ways', nothing);
          assert.ok(first.page.width > 0, 'the picture has a size');
          await eventually('every message to come back', async () => {
            const { page: { echoes }, other: report } = await both();
            return role === 'offer' ? report.echoes : echoes && report.echoed;
          });
          const within = told.find(({ sdp }) => sdp).sdp.includes('a=candidate');
          assert.equal(within, candidates === 'whole');
          assert.equal(other.candidates.length > 0, candidates === 'trickle');

          if (candidates === 'trickle') {
            let before = first;
            for (const who of ['rtcast', 'the browser']) {
              if (who === 'rtcast') other.write({ type: 'restart' });
              else await page.evaluate(() => window.call.restart());
              const restarted = await eventually(`the restart by ${who}`, async () => {
                const now = await both();
                const renewed = now.page.ufrags.every((ufrag, at) => ufrag !== before.page.ufrags[at]);
                // Firefox's statistics are incomplete at times.
                return renewed && now.page.states[0] === 'stable' && now.page.frames > 0 && now.page.samples > 0 && now;
              });
              before = await grown(`sound and pictures after the restart by ${who}`, restarted);
              assert.equal(before.page.states[1], 'connected');
            }
          }
          await page.evaluate(() => window.call.close());
          assert.equal(await other.stop(), 0);
        });
      }
    }
  });
}
