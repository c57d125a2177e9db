// Moving pictures and sound in real browsers, from every kind of source.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { BROWSERS, Server, colour, eventually, inbound, launch, media, near, open, pitch, playing, sleep } from './support.mjs';

const RED = { at: [0.125, 0.167], rgb: [192, 32, 64], tolerance: 24 };
// The pattern's pure green is 39 steps darker to those who take it for high definition's colours.
const GREEN = { at: [0.125, 0.65], rgb: [0, 235, 0], tolerance: 40 };

// What a source is, and which video codecs may arrive: the first browser has every codec, the second no H.264.
const SOURCES = [
  { title: 'the test pattern', file: null, mark: GREEN, codecs: { chromium: ['VP8', 'H264'], firefox: ['VP8'] } },
  { title: 'H.264 High with B-frames and AAC', file: 'high.mp4', mark: RED, codecs: { chromium: ['VP8', 'H264'], firefox: ['VP8'] } },
  { title: 'H.264 Baseline and AAC', file: 'baseline.mp4', mark: RED, codecs: { chromium: ['H264'], firefox: ['VP8'] } },
  { title: 'VP8 and Opus', file: 'vp8.webm', mark: RED, codecs: { chromium: ['VP8'], firefox: ['VP8'] } },
  { title: 'VP9 and Opus', file: 'vp9.webm', mark: RED, codecs: { chromium: ['VP9'], firefox: ['VP9'] } },
  { title: 'AV1 and AAC', file: 'av1.mp4', mark: RED, codecs: { chromium: ['AV1'], firefox: ['AV1'] } },
];

for (const name of BROWSERS) {
  describe(name, () => {
    let browser;
    before(async () => { browser = await launch(name); });
    after(async () => { await browser?.close(); });

    for (const source of SOURCES) {
      test(`plays ${source.title}`, { timeout: 90000 }, async (t) => {
        const server = await Server.start(source.file && media(source.file));
        t.after(() => server.stop());
        const page = await open(browser, server.ready.url);
        t.after(() => page.close());
        await playing(page);
        await server.event('viewer_joined');

        const first = await inbound(page);
        await sleep(3000);
        const second = await inbound(page);
        const seconds = (second.at - first.at) / 1000;
        const frames = (second.video.frames - first.video.frames) / seconds;
        const clock = (second.currentTime - first.currentTime) / seconds;
        const codec = second.video.codec.replace('video/', '');
        t.diagnostic(`${codec}, ${second.width}x${second.height}, ${frames.toFixed(1)} fps, clock ${clock.toFixed(2)}, lost ${second.video.lost}`);
        assert.ok(second.width > 0 && second.height > 0, 'the picture has a size');
        assert.ok(source.codecs[name].includes(codec), `${codec} is one of ${source.codecs[name]}`);
        assert.ok(clock > 0.85 && clock < 1.15, `the clock advances 1 s a second, not ${clock}`);
        assert.ok(frames > 26 && frames < 34, `30 frames a second are decoded, not ${frames}`);

        assert.equal(second.audio.codec, 'audio/opus');
        const samples = (second.audio.samples - first.audio.samples) / seconds;
        assert.ok(samples > 40000 && samples < 56000, `48,000 samples a second are received, not ${samples}`);

        const seen = await eventually('the known colour', async () => {
          const rgb = await colour(page, source.mark.at);
          if (!near(rgb, source.mark.rgb, source.mark.tolerance)) throw new Error(`${rgb}`);
          return rgb;
        }, 5000);
        const tone = await pitch(page);
        t.diagnostic(`colour ${seen.map(Math.round)}, tone ${tone.hertz} Hz at ${tone.level.toFixed(3)}`);
        assert.ok(Math.abs(tone.hertz - 440) < 10, `the tone has 440 Hz, not ${tone.hertz}`);
        assert.ok(tone.level > 0.01, `the tone is heard, at ${tone.level}`);

        const shown = await page.evaluate(() => window.rtcast.firstPicture);
        if (shown !== null) t.diagnostic(`first picture after ${Math.round(shown)} ms`);
        assert.deepEqual(page.problems, []);
      });
    }
  });
}
