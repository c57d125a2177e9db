// What the page does for a person: coming back after a restart, sound, statistics, words for what is wrong.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { BROWSERS, Proxy, Server, eventually, inbound, launch, media, open, playing, sleep } from './support.mjs';

const text = (page, selector) => page.$eval(selector, (element) => element.textContent);

for (const name of BROWSERS) {
  describe(name, () => {
    let browser;
    before(async () => { browser = await launch(name); });
    after(async () => { await browser?.close(); });

    test('the page comes back by itself after the server restarts', { timeout: 90000 }, async (t) => {
      const first = await Server.start(media('vp8.webm'));
      const page = await open(browser, first.ready.url);
      t.after(() => page.close());
      await playing(page);
      const stopped = await first.stop();
      assert.equal(stopped.code, 0);
      assert.ok(stopped.milliseconds < 1500, `it says goodbye within a second, not ${stopped.milliseconds} ms`);
      assert.equal((await first.event('viewer_left')).reason, 'shutdown');
      await eventually('the notice', async () => /stopped|gone/.test(await text(page, '#notice')));

      const listen = new URL(first.ready.url).host;
      const second = await Server.start(media('vp8.webm'), { listen });
      t.after(() => second.stop());
      const before = Date.now();
      await second.event('viewer_joined');
      await eventually('pictures', async () => (await inbound(page)).video?.frames > 10);
      t.diagnostic(`back after ${Date.now() - before} ms`);
      assert.equal(await page.$eval('#notice', (notice) => notice.hidden), true);
      // Firefox tells of each attempt while the server was away.
      assert.deepEqual(page.problems.filter((problem) => !/establish a connection/.test(problem)), []);
    });

    test('the page comes back after the server was killed without a word', { timeout: 90000 }, async (t) => {
      const first = await Server.start(media('vp8.webm'));
      const page = await open(browser, first.ready.url);
      t.after(() => page.close());
      await playing(page);
      await first.kill();
      const second = await Server.start(media('vp8.webm'), { listen: new URL(first.ready.url).host });
      t.after(() => second.stop());
      await second.event('viewer_joined');
      await eventually('pictures', async () => (await inbound(page)).video?.frames > 10);
    });

    test('the page plays again when it is reloaded, and the old viewer is gone', { timeout: 90000 }, async (t) => {
      const server = await Server.start(media('vp8.webm'));
      t.after(() => server.stop());
      const page = await open(browser, server.ready.url);
      await playing(page);
      await server.event('viewer_joined');
      await page.reload({ waitUntil: 'domcontentloaded' });
      assert.equal((await server.event('viewer_left')).reason, 'bye');
      await server.event('viewer_joined');
      await playing(page);
      await page.close();
      await server.event('viewer_left');
      await eventually('an empty room', async () => (await server.event('stats')).viewers === 0);
    });

    test('sound comes on by button and by key, and the drawer tells the figures', { timeout: 60000 }, async (t) => {
      const server = await Server.start(media('vp8.webm'));
      t.after(() => server.stop());
      const page = await open(browser, server.ready.url);
      t.after(() => page.close());
      await playing(page);
      const muted = () => page.$eval('video', (video) => video.muted);
      assert.equal(await muted(), true);
      await page.click('#unmute');
      assert.equal(await muted(), false);
      assert.equal(await page.$eval('#unmute', (button) => button.hidden), true);
      await page.keyboard.press('m');
      assert.equal(await muted(), true);

      assert.equal(await page.$eval('#drawer', (drawer) => drawer.hidden), true);
      await page.keyboard.press('s');
      assert.equal(await page.$eval('#drawer', (drawer) => drawer.hidden), false);
      const expected = {
        state: /^connected$/, resolution: /^640×360$/, codec: /VP8/, bitrate: /\d (Mb|kb)\/s$/,
        framerate: /^(2[5-9]|3[0-5])\.\d fps$/, loss: /^0\.0 %$/, roundtrip: /^\d+\.\d ms$/, jitterbuffer: /^\d+ ms$/,
      };
      for (const [key, pattern] of Object.entries(expected)) {
        await eventually(key, async () => {
          const value = await text(page, `#stat-${key}`);
          if (!pattern.test(value)) throw new Error(value);
          return true;
        });
      }
      await page.keyboard.press('s');
      assert.equal(await page.$eval('#drawer', (drawer) => drawer.hidden), true);
    });

    test('WHEP plays as the WebSocket does, and ends with the page', { timeout: 60000 }, async (t) => {
      const server = await Server.start(media('vp8.webm'));
      t.after(() => server.stop());
      const page = await open(browser, `${server.ready.url}?signalling=whep`);
      await playing(page);
      assert.equal((await server.event('viewer_joined')).signalling, 'whep');
      await page.close();
      await server.event('viewer_left');
    });

    test('everything works below a path of a proxy', { timeout: 60000 }, async (t) => {
      const server = await Server.start(media('vp8.webm'), { options: ['--trusted-proxy', '127.0.0.1'] });
      const proxy = await Proxy.start(server, '/cam');
      t.after(async () => {
        proxy.stop();
        await server.stop();
      });
      const page = await open(browser, `${proxy.url}/`);
      const link = await eventually('the list', () => page.$('#streams a'));
      await link.click();
      await playing(page);
      assert.equal((await server.event('viewer_joined')).signalling, 'websocket');
      await page.goto(`${proxy.url}/vp8/?signalling=whep`);
      await playing(page);
      assert.equal((await server.event('viewer_joined')).signalling, 'whep');
      await server.event('viewer_left');
      await page.close();
      // The page ends its session at the address that `Location` has told.
      assert.equal((await server.event('viewer_left')).reason, 'bye');
      assert.equal(proxy.outside, 0);
    });

    test('the list leads to the stream, and a wrong name is told so', { timeout: 60000 }, async (t) => {
      const server = await Server.start(media('vp8.webm'));
      t.after(() => server.stop());
      const origin = new URL(server.ready.url).origin;
      const page = await open(browser, origin);
      t.after(() => page.close());
      const link = await eventually('the list', () => page.$('#streams a'));
      assert.match(await text(page, '#streams a'), /vp8\.webm.*0 viewers/s);
      await link.click();
      await playing(page);
      const response = await page.goto(`${origin}/nothing`);
      assert.equal(response.status(), 404);
      assert.match(await text(page, 'main'), /No stream has this name/);
      await sleep(100);
      assert.deepEqual(page.problems, []);
    });
  });
}

test('a viewer that vanishes is gone when it no longer consents', { timeout: 90000 }, async (t) => {
  const server = await Server.start(media('vp8.webm'));
  t.after(() => server.stop());
  const browser = await launch('chromium');
  const page = await open(browser, `${server.ready.url}?signalling=whep`);
  await playing(page);
  await server.event('viewer_joined');
  browser.process().kill('SIGKILL');
  const before = Date.now();
  // RFC 7675 §5.1: consent expires after 30 s.
  assert.equal((await server.event('viewer_left', 60000)).reason, 'failed');
  t.diagnostic(`gone after ${((Date.now() - before) / 1000).toFixed(1)} s`);
});
