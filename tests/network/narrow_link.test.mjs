// A viewer joins a film in the middle of a long group of pictures, by a link such as people have at home: 20 Mb/s with a
// short queue. To be run as root: it makes a network namespace, in which the browser lives.

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { strict as assert } from 'node:assert';
import { after, before, test } from 'node:test';
import puppeteer from 'puppeteer-core';
import { Server, eventually, media, open, sleep } from '../browser/support.mjs';

const space = `rtcnarrow${process.pid % 10000}`;
const port = `rtcn${process.pid % 10000}`;
const directory = mkdtempSync(join(tmpdir(), 'rtcast-narrow-'));
const run = (command) => execFileSync('sh', ['-ec', command], { stdio: ['ignore', 'pipe', 'inherit'] }).toString();
let server;
let browser;

before(async () => {
  run(`ip netns add ${space}
    ip link add ${port} type veth peer name eth0 netns ${space}
    ip addr add 10.98.71.1/24 dev ${port}
    ip link set ${port} up
    ip netns exec ${space} ip addr add 10.98.71.2/24 dev eth0
    ip netns exec ${space} ip link set eth0 up
    ip netns exec ${space} ip link set lo up
    tc qdisc add dev ${port} root tbf rate 20mbit burst 5kb latency 50ms`);
  server = await Server.start(media('long-group.mp4'), { listen: '10.98.71.1:0', options: ['--codec', 'copy'] });
  const chromium = join(directory, 'chromium');
  writeFileSync(chromium, `#!/bin/sh\nexec ip netns exec ${space} ${process.env.CHROMIUM || '/usr/bin/chromium'} "$@"\n`);
  chmodSync(chromium, 0o755);
  browser = await puppeteer.launch({
    executablePath: chromium,
    // The browser's own port would be in its namespace.
    pipe: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required'],
  });
});

after(async () => {
  await browser?.close();
  await server?.kill();
  // Its interfaces go with the namespace.
  run(`ip netns delete ${space} || true`);
  rmSync(directory, { recursive: true, force: true });
});

const video = (page) => page.evaluate(async () => {
  const report = await window.rtcast.pc.getStats();
  for (const stat of report.values()) {
    if (stat.type === 'inbound-rtp' && stat.kind === 'video') return { ...stat };
  }
  return null;
});

test('a viewer who joins in mid-group decodes every picture from its keyframe on', async () => {
  // Somebody watches from the beginning, so that the film runs; then six seconds of its group have passed.
  const first = await open(browser, server.ready.url);
  await eventually('the first picture', async () => (await video(first))?.framesDecoded > 0, 30000);
  await sleep(6000);
  await first.close();
  const page = await open(browser, server.ready.url);
  await eventually('150 pictures', async () => (await video(page))?.framesDecoded > 150, 30000);
  const begun = await video(page);
  await sleep(4000);
  const seen = await video(page);
  assert.equal(seen.keyFramesDecoded <= 2, true, `${seen.keyFramesDecoded} keyframes`);
  assert.equal(seen.pliCount, 0, 'it never needed to ask for a keyframe');
  assert.ok(seen.packetsLost * 20 < seen.packetsReceived, `${seen.packetsLost} lost of ${seen.packetsReceived}`);
  const rate = (seen.framesDecoded - begun.framesDecoded) / ((seen.timestamp - begun.timestamp) / 1000);
  assert.ok(rate > 15, `${rate} pictures a second`);
  assert.ok(seen.framesReceived - seen.framesDecoded < 15, `${seen.framesReceived} received, ${seen.framesDecoded} decoded`);
});
