// Browsers and the example `data_channel` send each other messages, either side offering.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { BROWSERS, launch } from './support.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const program = process.env.RTCAST_DATA_CHANNEL || `${root}target/debug/examples/data_channel`;

// The running example: descriptions as lines of JSON.
class Program {
  constructor(mode) {
    this.process = spawn(program, [mode], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
    this.exited = once(this.process, 'exit');
  }

  async read() {
    return JSON.parse((await this.lines.next()).value);
  }

  write(description) {
    this.process.stdin.write(`${JSON.stringify(description)}\n`);
  }

  async stop() {
    this.process.stdin.end();
    return (await this.exited)[0];
  }
}

// What runs in the page: a peer connection whose descriptions are whole, and an exchange over a channel.
function install() {
  window.pc = new RTCPeerConnection();
  window.channels = {};
  window.keep = (channel) => {
    channel.binaryType = 'arraybuffer';
    const kept = { channel, received: [] };
    channel.onmessage = ({ data }) => kept.received.push(data);
    window.channels[channel.label] = kept;
  };
  window.pc.ondatachannel = ({ channel }) => window.keep(channel);
  window.described = async () => {
    await window.pc.setLocalDescription();
    while (window.pc.iceGatheringState !== 'complete') await new Promise((resolve) => { setTimeout(resolve, 20); });
    return window.pc.localDescription.toJSON();
  };
  window.until = async (what, condition, limit = 30000) => {
    const end = performance.now() + limit;
    while (!condition()) {
      if (performance.now() > end) throw new Error(`${what} did not happen`);
      await new Promise((resolve) => { setTimeout(resolve, 10); });
    }
  };
  // Sends messages of every kind and compares what comes back. Returns how many.
  window.exchange = async (label) => {
    await window.until('a channel', () => window.channels[label]?.channel.readyState === 'open');
    const { channel, received } = window.channels[label];
    const bytes = (length) => Uint8Array.from({ length }, (_, index) => (index * 31) ^ (index >> 8));
    const largest = Math.min(window.pc.sctp.maxMessageSize, 262144);
    const messages = [
      'text', 'Ελλάδα 日本 🚀', bytes(5), bytes(16384), '', bytes(0), bytes(largest), 'x'.repeat(100000),
    ];
    for (const message of messages) channel.send(message);
    await window.until('the echo', () => received.length >= messages.length);
    const same = (sent, got) => (typeof sent === 'string'
      ? sent === got
      : got instanceof ArrayBuffer && got.byteLength === sent.length && new Uint8Array(got).every((byte, at) => byte === sent[at]));
    const wrong = messages.findIndex((message, index) => !same(message, received[index]));
    if (wrong >= 0) throw new Error(`message ${wrong} came back different`);
    return received.splice(0).length;
  };
  window.closes = async (label, asked) => {
    const { channel } = window.channels[label];
    if (asked) channel.send('close'); else channel.close();
    await window.until('the end of the channel', () => channel.readyState === 'closed');
  };
}

async function meet(page, mode, labels) {
  const other = new Program(mode);
  await page.goto('about:blank');
  await page.evaluate(install);
  if (mode === 'answer') {
    for (const [label, options] of labels) {
      await page.evaluate((name, init) => window.keep(window.pc.createDataChannel(name, init)), label, options);
    }
    other.write(await page.evaluate(() => window.described()));
    const answer = await other.read();
    await page.evaluate((description) => window.pc.setRemoteDescription(description), answer);
  } else {
    const offer = await other.read();
    await page.evaluate((description) => window.pc.setRemoteDescription(description), offer);
    other.write(await page.evaluate(() => window.described()));
  }
  return other;
}

for (const name of BROWSERS) {
  describe(name, () => {
    let browser;
    let page;
    before(async () => {
      browser = await launch(name);
      page = await browser.newPage();
    });
    after(() => browser.close());

    test('the browser offers, and every kind of message comes back', { timeout: 90000 }, async () => {
      const kinds = [
        ['ordered', {}], ['unordered', { ordered: false }], ['retransmits', { maxRetransmits: 3 }],
        ['lifetime', { maxPacketLifeTime: 3000 }],
      ];
      const other = await meet(page, 'answer', kinds);
      assert.equal(await page.evaluate(() => window.exchange('ordered')), 8);
      for (const [label] of kinds.slice(1)) {
        const echoed = await page.evaluate(async (channel) => {
          await window.until('a channel', () => window.channels[channel].channel.readyState === 'open');
          window.channels[channel].channel.send('hello');
          await window.until('the echo', () => window.channels[channel].received.length > 0);
          return window.channels[channel].received[0];
        }, label);
        assert.equal(echoed, 'hello');
      }
      assert.equal(await page.evaluate(() => window.pc.sctp.maxMessageSize), 262144);
      // Either side closes, and the ids are free again.
      await page.evaluate(() => window.closes('unordered', false));
      await page.evaluate(() => window.closes('retransmits', true));
      await page.evaluate(() => window.keep(window.pc.createDataChannel('again')));
      assert.equal(await page.evaluate(() => window.exchange('again')), 8);
      await page.evaluate(() => window.pc.close());
      assert.equal(await other.stop(), 0);
    });

    test('the browser answers, and every kind of message comes back', { timeout: 90000 }, async () => {
      const other = await meet(page, 'offer');
      assert.equal(await page.evaluate(() => window.exchange('rtcast')), 8);
      await page.evaluate(() => window.keep(window.pc.createDataChannel('of the answerer')));
      assert.equal(await page.evaluate(() => window.exchange('of the answerer')), 8);
      await page.evaluate(() => window.closes('rtcast', true));
      await page.evaluate(() => window.pc.close());
      assert.equal(await other.stop(), 0);
    });
  });
}
