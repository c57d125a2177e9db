// What is seen and heard is what the file holds: colours, proportions and channels, whether re-encoded or passed through.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server, colour, eventually, inbound, launch, media, near, open, pitches, playing, sleep } from './support.mjs';

const RED = [200, 50, 50];

const FILMS = [
  { title: 'high definition\'s colours, re-encoded', file: 'bt709-b.mp4', size: [320, 240] },
  { title: 'full range, re-encoded', file: 'full-b.mp4', size: [320, 240] },
  { title: 'H.264 without a word on its colours, passed through', file: 'untagged.mp4', size: [320, 240], codec: 'video/H264' },
  { title: 'VP8 of which the container tells, passed through', file: 'bt709.webm', size: [320, 240], codec: 'video/VP8' },
  { title: 'pixels that are not square', file: 'anamorphic.mp4', size: [512, 288] },
];

describe('chromium', () => {
  let browser;
  before(async () => { browser = await launch('chromium'); });
  after(async () => { await browser?.close(); });

  for (const film of FILMS) {
    for (const policy of film.codec ? ['auto'] : ['vp8', 'h264']) {
      test(`${film.title} (${policy})`, { timeout: 60000 }, async (t) => {
        const server = await Server.start(media(film.file), { options: ['--codec', policy] });
        t.after(() => server.stop());
        const page = await open(browser, server.ready.url);
        t.after(() => page.close());
        await playing(page);
        const seen = await eventually('the colour', async () => {
          const rgb = await colour(page, [0.5, 0.5]);
          if (!near(rgb, RED, 3)) throw new Error(`${rgb}`);
          return rgb;
        });
        const { width, height, video } = await inbound(page);
        t.diagnostic(`${video.codec} ${width}x${height}, ${seen.map(Math.round)}`);
        assert.deepEqual([width, height], film.size);
        if (film.codec) assert.equal(video.codec, film.codec);
        if (policy === 'h264') return;
        const tones = await pitches(page);
        t.diagnostic(`tones ${tones.map(({ hertz, level }) => `${hertz} Hz at ${level.toFixed(3)}`)}`);
        assert.equal(tones.length, 2);
        for (const [channel, hertz] of [440, 880].entries()) {
          assert.ok(Math.abs(tones[channel].hertz - hertz) < 10, `channel ${channel} has ${tones[channel].hertz} Hz`);
          assert.ok(Math.abs(tones[channel].level - 0.2) < 0.05, `channel ${channel} is as loud as in the file: ${tones[channel].level}`);
        }
      });
    }
  }

  test('who joins while a picture stands sees it at once', { timeout: 60000 }, async (t) => {
    const server = await Server.start(media('still.mp4'), { options: ['--codec', 'vp8'] });
    t.after(() => server.stop());
    const first = await open(browser, server.ready.url);
    await playing(first);
    await sleep(1500);
    const second = await open(browser, server.ready.url);
    const shown = await eventually('the picture that stands', () => second.evaluate(() => window.rtcast?.firstPicture), 8000);
    t.diagnostic(`first picture after ${Math.round(shown)} ms`);
    assert.ok(near(await colour(second, [0.5, 0.5]), RED, 6));
    // And who comes when all others have gone.
    await first.close();
    await second.close();
    await sleep(1500);
    const third = await open(browser, server.ready.url);
    t.after(() => third.close());
    await eventually('the picture that stands', () => third.evaluate(() => window.rtcast?.firstPicture), 8000);
    assert.ok(near(await colour(third, [0.5, 0.5]), RED, 6));
  });
});
