// Perfect negotiation between browsers and a program on the rtcast crate: both sides renegotiate at random for a minute, then
// they are quiet and agree on every m-line, and pictures flow on each that carries some.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { eventually, launch } from './support.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const program = process.env.RTCAST_RENEGOTIATE || `${root}target/debug/examples/renegotiate`;
const SECONDS = 60;

// The page's part, after W3C webrtc-pc §10.7.
function negotiator(url, polite, seed) {
  let dice = seed;
  const random = () => {
    // A linear congruential generator, whose upper bits are random enough.
    dice = (Math.imul(dice, 1664525) + 1013904223) >>> 0;
    return (dice >>> 8) / 2 ** 24;
  };
  const pause = (most) => new Promise((resolve) => { setTimeout(resolve, random() * most); });
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  const socket = new WebSocket(url);
  const seen = { offers: 0, collisions: 0, errors: [] };
  const attempt = (work) => Promise.resolve().then(work).catch((error) => seen.errors.push(`${error}`));
  // Messages take their time, as on a long way, so that offers meet.
  let [outgoing, incoming] = [Promise.resolve(), Promise.resolve()];
  const send = (message) => { outgoing = outgoing.then(() => pause(100)).then(() => socket.send(JSON.stringify(message))); };
  let making = false;
  let ignoring = false;
  let settling = false;
  pc.onnegotiationneeded = () => attempt(async () => {
    try {
      making = true;
      await pc.setLocalDescription();
      seen.offers += 1;
      send(pc.localDescription);
    } finally {
      making = false;
    }
  });
  pc.onicecandidate = ({ candidate }) => {
    if (candidate) send({ type: 'candidate', ...candidate.toJSON() });
  };
  const take = async (message) => {
    if (message.type === 'candidate') {
      // Those of an offer that was ignored fit nothing.
      const ignored = ignoring;
      await pc.addIceCandidate(message).catch((error) => { if (!ignored) throw error; });
      return;
    }
    const ready = !making && (pc.signalingState === 'stable' || settling);
    const collision = message.type === 'offer' && !ready;
    if (collision) seen.collisions += 1;
    ignoring = collision && !polite;
    if (ignoring) return;
    settling = message.type === 'answer';
    await pc.setRemoteDescription(message);
    settling = false;
    if (message.type === 'offer') {
      await pc.setLocalDescription();
      send(pc.localDescription);
    }
  };
  socket.onmessage = ({ data }) => {
    incoming = incoming.then(() => pause(100)).then(() => { attempt(() => take(JSON.parse(data))); });
  };
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [320, 240];
  const context = canvas.getContext('2d');
  let count = 0;
  setInterval(() => {
    count += 1;
    context.fillStyle = `hsl(${count % 360} 80% 50%)`;
    context.fillRect(0, 0, 320, 240);
  }, 33);
  const track = () => canvas.captureStream(30).getVideoTracks()[0];
  const pick = (list) => list[Math.floor(random() * list.length)];
  const live = () => pc.getTransceivers().filter((one) => one.currentDirection !== 'stopped' && one.direction !== 'stopped');
  const deed = async () => {
    const one = pick(live());
    const what = Math.floor(random() * 9);
    if (what === 0 && live().length < 6) pc.addTrack(track(), new MediaStream());
    else if (what === 1 && live().length < 6) pc.addTransceiver('video', { direction: 'recvonly' });
    else if (what === 2) pc.removeTrack(one.sender);
    // Chromium loses its transport, or its own BUNDLE group, when the m-line that stands for it is stopped; and it asks for
    // negotiation for ever when one is stopped whose first offer is then taken back.
    else if (what === 3 && one.currentDirection && one.mid !== '0') one.stop();
    else if (what === 4) await one.sender.replaceTrack(track());
    else if (what === 5) one.direction = pick(['sendrecv', 'sendonly', 'recvonly', 'inactive']);
    else if (what === 6) pc.restartIce();
  };
  window.call = {
    open: new Promise((resolve, reject) => {
      socket.onopen = () => resolve();
      socket.onerror = () => reject(new Error('the WebSocket was not opened'));
    }),
    close: () => { send({ type: 'bye' }); return outgoing.then(() => socket.close()); },
    async busy(seconds) {
      pc.addTrack(track(), new MediaStream());
      const end = performance.now() + seconds * 1000;
      while (performance.now() < end) {
        // What a browser refuses, such as a track for a transceiver that is stopping, is its business.
        if (pc.connectionState === 'connected') await deed().catch(() => {});
        await pause(300);
      }
      // Whatever came before, pictures flow on the first m-line in the end.
      const first = pc.getTransceivers().find(({ mid }) => mid === '0');
      first.direction = 'sendrecv';
      await first.sender.replaceTrack(track());
    },
    async summary() {
      const frames = {};
      for (const stat of (await pc.getStats()).values()) {
        if (stat.type === 'inbound-rtp') frames[stat.mid] = (frames[stat.mid] || 0) + stat.framesDecoded;
      }
      return {
        ...seen,
        state: pc.signalingState,
        connection: pc.connectionState,
        lines: pc.getTransceivers().filter((one) => one.currentDirection !== 'stopped').map((one) => ({
          mid: one.mid, direction: one.currentDirection, sending: one.sender.track !== null, frames: frames[one.mid] || 0,
        })),
      };
    },
  };
}

const REVERSED = { sendrecv: 'sendrecv', sendonly: 'recvonly', recvonly: 'sendonly', inactive: 'inactive' };
const sends = ({ direction, sending }) => sending && ['sendrecv', 'sendonly'].includes(direction);

function agreed({ page, other }) {
  return page.state === 'stable' && other.state === 'stable' && other.quiet
    && page.connection === 'connected' && other.connection === 'connected'
    && page.lines.length === other.lines.length
    && page.lines.every(({ mid, direction }) => {
      const line = other.lines.find((one) => one.mid === mid);
      return line && line.direction === REVERSED[direction];
    });
}

// The m-lines on which one side sends and the other has not got so many more pictures than before.
function dry(from, to, before, atLeast) {
  const received = (side, mid) => side.lines.find((line) => line.mid === mid)?.frames ?? 0;
  return from.lines.filter((line) => sends(line) && received(to, line.mid) - received(before, line.mid) < atLeast)
    .map(({ mid }) => mid);
}

// Firefox cannot be polite: it refuses an offer that restarts ICE when that meets an offer of its own which does not.
const MANNERS = { chromium: [['polite', 1], ['impolite', 2]], firefox: [['polite', 3]] };

for (const name of Object.keys(MANNERS)) {
  describe(`perfect negotiation with ${name}`, () => {
    let browser;
    // A page of this machine may open a WebSocket to it; an empty one may not.
    const pages = createServer((request, response) => {
      response.setHeader('Content-Type', 'text/html');
      response.end('<!doctype html><title>renegotiate</title>');
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

    for (const [manners, seed] of MANNERS[name]) {
      test(`both sides renegotiate at random, rtcast is ${manners}`, { timeout: (SECONDS + 90) * 1000 }, async (t) => {
        const process = spawn(program, [manners, `${SECONDS}`, `${seed}`], { cwd: root });
        t.after(() => process.kill('SIGKILL'));
        let errors = '';
        process.stderr.on('data', (data) => { errors += data; });
        const lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
        const url = (await lines.next()).value;
        const page = await browser.newPage();
        t.after(() => page.close());
        await page.goto(`http://127.0.0.1:${pages.address().port}/`);
        await page.evaluate(negotiator, url, manners === 'impolite', seed);
        await page.evaluate(() => window.call.open);
        await page.evaluate((seconds) => window.call.busy(seconds), SECONDS);
        const both = async () => {
          process.stdin.write('\n');
          const line = await lines.next();
          assert.ok(!line.done, `rtcast ended: ${errors}`);
          return { page: await page.evaluate(() => window.call.summary()), other: JSON.parse(line.value) };
        };
        let last;
        const flowing = async (from) => eventually('pictures on every m-line', async () => {
          last = await both();
          const missing = [...dry(last.page, last.other, from.other, 30), ...dry(last.other, last.page, from.page, 30)];
          if (!agreed(last) || missing.length > 0) throw new Error(`none on ${missing}: ${JSON.stringify(last)}`);
          return last;
        });
        const first = await flowing(await both());
        // It stays so without a word.
        const second = await flowing(first);
        assert.deepEqual([second.page.offers, second.other.offers], [first.page.offers, first.other.offers]);
        assert.deepEqual(second.page.errors, []);
        const streams = [...second.page.lines, ...second.other.lines].filter(sends).length;
        const collisions = second.page.collisions + second.other.collisions;
        t.diagnostic(
          `${second.page.offers} and ${second.other.offers} offers, ${collisions} collisions, ${second.page.lines.length} m-lines, `
          + `${streams} streams`,
        );
        assert.ok(second.page.offers > 20 && second.other.offers > 20, 'both sides offer');
        assert.ok(collisions > 5, 'offers meet');
        assert.ok(streams >= 2, 'both sides send');
        const ended = once(process, 'exit');
        await page.evaluate(() => window.call.close());
        process.stdin.end();
        assert.deepEqual(await ended, [0, null]);
      });
    }
  });
}
