// Browsers with RSA certificates, which W3C's generateCertificate must make: as the offerer by WHEP, and as the answerer over the
// WebSocket, so that each is once the server of DTLS and once the client.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Server, eventually, launch, open } from './support.mjs';

// Runs in the page: watches with an RSA certificate.
async function watch(way, name) {
  const certificate = await RTCPeerConnection.generateCertificate({
    name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256',
  });
  const pc = new RTCPeerConnection({ certificates: [certificate] });
  window.watching = { pc, problems: [] };
  const gathered = new Promise((resolve) => {
    pc.onicegatheringstatechange = () => { if (pc.iceGatheringState === 'complete') resolve(); };
  });
  if (way === 'offer') {
    pc.addTransceiver('video', { direction: 'recvonly' });
    await pc.setLocalDescription();
    await gathered;
    const headers = { 'content-type': 'application/sdp' };
    const response = await fetch(`/${name}/whep`, { method: 'POST', headers, body: pc.localDescription.sdp });
    if (response.status !== 201) throw new Error(await response.text());
    await pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
    return;
  }
  const socket = new WebSocket(`ws://${window.location.host}/${name}/ws`);
  let work = Promise.resolve();
  const take = async (message) => {
    if (message.type === 'error') window.watching.problems.push(message.error);
    if (message.type === 'candidate') await pc.addIceCandidate(message);
    if (message.type !== 'offer') return;
    await pc.setRemoteDescription(message);
    await pc.setLocalDescription();
    await gathered;
    socket.send(JSON.stringify({ type: 'answer', sdp: pc.localDescription.sdp }));
  };
  socket.onmessage = ({ data }) => {
    work = work.then(() => take(JSON.parse(data))).catch((error) => window.watching.problems.push(`${error}`));
  };
  await new Promise((resolve) => { socket.onopen = resolve; });
  socket.send(JSON.stringify({ type: 'request' }));
}

for (const name of ['chromium', 'firefox']) {
  describe(`${name} with an RSA certificate`, () => {
    let browser;
    let server;
    before(async () => {
      [browser, server] = await Promise.all([launch(name), Server.start('tests/media/vp8.webm', { options: ['--name', 'film'] })]);
    });
    after(async () => {
      await browser?.close();
      await server?.stop();
    });

    for (const way of ['offer', 'answer']) {
      test(`watches as the ${way}er`, async () => {
        const page = await open(browser, server.ready.url);
        await page.evaluate(watch, way, 'film');
        const seen = await eventually('pictures', () => page.evaluate(async () => {
          const { pc, problems } = window.watching;
          if (problems.length > 0) throw new Error(JSON.stringify(problems));
          const stats = [...(await pc.getStats()).values()];
          const video = stats.find((stat) => stat.type === 'inbound-rtp' && stat.kind === 'video');
          return video?.framesDecoded >= 20 && { frames: video.framesDecoded, tls: stats.find((stat) => stat.tlsVersion)?.tlsVersion };
        }), 30000);
        assert.ok(seen.frames >= 20);
        assert.deepEqual(page.problems, []);
        await page.close();
      });
    }
  });
}
