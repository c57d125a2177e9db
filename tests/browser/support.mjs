// A server on the test's media, a browser at its page, and what the page can tell.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import puppeteer from 'puppeteer-core';

const root = fileURLToPath(new URL('../../', import.meta.url));
const rtcast = process.env.RTCAST || `${root}target/debug/rtcast`;

export const BROWSERS = ['chromium', 'firefox'];
export const media = (name) => `${root}tests/media/${name}`;
export const sleep = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

// Tries until `attempt` returns something true; fails with the last thing seen.
export async function eventually(what, attempt, limit = 15000) {
  const end = Date.now() + limit;
  for (;;) {
    let seen;
    try {
      seen = await attempt();
      if (seen) return seen;
    } catch (error) {
      seen = error;
    }
    if (Date.now() > end) throw new Error(`${what} did not happen within ${limit} ms, last: ${seen}`);
    await sleep(50);
  }
}

// One `rtcast stream`, its events as they come.
export class Server {
  static async start(source, { listen = '127.0.0.1:0', options = [] } = {}) {
    const server = new Server();
    const sources = source ? [source] : [];
    server.process = spawn(rtcast, ['stream', ...sources, '--json', '--listen', listen, '--log', 'warn', ...options], { cwd: root });
    server.events = [];
    server.errors = '';
    server.process.stderr.on('data', (data) => { server.errors += data; });
    createInterface({ input: server.process.stdout }).on('line', (line) => server.events.push(JSON.parse(line)));
    server.exited = once(server.process, 'exit');
    server.ready = await server.event('ready');
    return server;
  }

  // The first event of a name that was not asked for before.
  async event(name, limit = 15000) {
    return eventually(`the event ${name}`, () => {
      const index = this.events.findIndex((event) => event.event === name);
      if (index >= 0) return this.events.splice(index, 1)[0];
      if (this.process.exitCode !== null) throw new Error(`rtcast ended with ${this.process.exitCode}: ${this.errors}`);
      return null;
    }, limit);
  }

  // Ends it as Ctrl-C does; returns the exit code and how long it took.
  async stop() {
    const before = Date.now();
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill('SIGINT');
    await this.exited;
    return { code: this.process.exitCode, milliseconds: Date.now() - before };
  }

  async kill() {
    this.process.kill('SIGKILL');
    await this.exited;
  }
}

// A proxy that serves a server's pages below a path of its own, which it takes away before it passes a request on.
export class Proxy {
  static async start(server, prefix) {
    const proxy = new Proxy();
    const target = new URL(server.ready.url);
    const inner = (request) => (request.url.startsWith(`${prefix}/`) ? request.url.slice(prefix.length) : null);
    const options = (request) => ({
      host: target.hostname,
      port: target.port,
      method: request.method,
      path: inner(request),
      headers: request.headers,
    });
    proxy.outside = 0;
    proxy.server = createServer((request, response) => {
      if (inner(request) === null) {
        proxy.outside += 1;
        response.writeHead(404).end();
        return;
      }
      const passed = httpRequest(options(request), (reply) => {
        response.writeHead(reply.statusCode, reply.headers);
        reply.pipe(response);
      });
      passed.on('error', () => response.destroy());
      request.pipe(passed);
    });
    proxy.server.on('upgrade', (request, socket) => {
      socket.on('error', () => {});
      if (inner(request) === null) {
        proxy.outside += 1;
        socket.destroy();
        return;
      }
      const passed = httpRequest(options(request));
      passed.on('error', () => socket.destroy());
      passed.on('response', () => socket.destroy());
      passed.on('upgrade', (reply, upstream) => {
        const headers = Object.entries(reply.headers).map(([name, value]) => `${name}: ${value}\r\n`).join('');
        socket.write(`HTTP/1.1 101 Switching Protocols\r\n${headers}\r\n`);
        upstream.on('error', () => socket.destroy());
        upstream.pipe(socket).pipe(upstream);
      });
      passed.end();
    });
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}${prefix}`;
    return proxy;
  }

  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }
}

export function launch(name) {
  if (name === 'firefox') {
    return puppeteer.launch({
      browser: 'firefox',
      executablePath: process.env.FIREFOX || '/usr/bin/firefox-esr',
      headless: true,
      extraPrefsFirefox: {
        'media.autoplay.default': 0,
        'media.navigator.permission.disabled': true,
        'media.navigator.streams.fake': true,
        'media.peerconnection.ice.loopback': true,
        'media.peerconnection.ice.obfuscate_host_addresses': false,
      },
    });
  }
  return puppeteer.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    headless: true,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required',
      '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
    ],
  });
}

export async function open(browser, url) {
  const page = await browser.newPage();
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(`${error}`));
  await page.goto(url, { waitUntil: 'domcontentloaded' });
  return page;
}

// Waits until pictures come: the element has a size and its clock has begun to run.
export async function playing(page) {
  return eventually('the first picture', () => page.evaluate(() => {
    const video = document.querySelector('video');
    return video.videoWidth > 0 && video.currentTime > 0.1;
  }));
}

// What getStats() says of the streams that come in.
export function inbound(page) {
  return page.evaluate(async () => {
    const report = await window.rtcast.pc.getStats();
    const video = document.querySelector('video');
    const seen = { at: performance.now(), currentTime: video.currentTime, width: video.videoWidth, height: video.videoHeight };
    for (const stat of report.values()) {
      if (stat.type !== 'inbound-rtp') continue;
      seen[stat.kind] = {
        codec: report.get(stat.codecId)?.mimeType,
        frames: stat.framesDecoded,
        samples: stat.totalSamplesReceived,
        seconds: stat.totalSamplesDuration,
        packets: stat.packetsReceived,
        lost: stat.packetsLost,
      };
    }
    return seen;
  });
}

// The colour in the middle of a rectangle that is given in shares of the picture.
export function colour(page, [x, y]) {
  return page.evaluate((x, y) => {
    const video = document.querySelector('video');
    const canvas = document.createElement('canvas');
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(video, 0, 0);
    const size = 8;
    const { data } = context.getImageData(x * canvas.width - size / 2, y * canvas.height - size / 2, size, size);
    return [0, 1, 2].map((channel) => {
      let sum = 0;
      for (let index = channel; index < data.length; index += 4) sum += data[index];
      return sum / (size * size);
    });
  }, x, y);
}

export function near(seen, expected, tolerance) {
  return seen.every((value, channel) => Math.abs(value - expected[channel]) <= tolerance);
}

// The loudest pitch between 50 and 2000 Hz, to one hertz, and the level of its samples.
export async function pitch(page) {
  return (await pitches(page))[0];
}

// The same for each channel. What the page receives is recorded and decoded again, for a browser without a sound card does not
// run an AudioContext.
export function pitches(page) {
  return page.evaluate(async () => {
    const recorder = new MediaRecorder(new MediaStream(document.querySelector('video').srcObject.getAudioTracks()));
    const parts = [];
    recorder.ondataavailable = ({ data }) => parts.push(data);
    const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
    recorder.start();
    await new Promise((resolve) => { setTimeout(resolve, 1500); });
    recorder.stop();
    await stopped;
    const rate = 48000;
    const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await new Blob(parts).arrayBuffer());
    const length = rate / 2;
    const loudest = (samples) => {
      let hertz = 0;
      let most = 0;
      for (let candidate = 50; candidate <= 2000; candidate += 1) {
        // Goertzel's filter, under Hann's window.
        const coefficient = 2 * Math.cos((2 * Math.PI * candidate) / rate);
        let [one, two] = [0, 0];
        for (let index = 0; index < samples.length; index += 1) {
          const window = 1 - Math.cos((2 * Math.PI * index) / samples.length);
          const next = window * samples[index] + coefficient * one - two;
          two = one;
          one = next;
        }
        const power = one * one + two * two - coefficient * one * two;
        if (power > most) [hertz, most] = [candidate, power];
      }
      return { hertz, level: samples.reduce((level, sample) => Math.max(level, Math.abs(sample)), 0) };
    };
    return Array.from({ length: sound.numberOfChannels }, (_, channel) => loudest(sound.getChannelData(channel).subarray(-length)));
  });
}
