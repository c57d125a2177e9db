// Files of the kinds that built-in readers and decoders refuse, or that once stood still, in a real browser.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Server, inbound, launch, open, playing, sleep } from './support.mjs';

const PICTURES = '-f lavfi -i testsrc2=size=320x240:rate=25:duration=2';
const X264 = '-c:v libx264 -preset ultrafast -pix_fmt yuv420p';

// What a file is, how ffmpeg makes it, the size that is shown, and the pictures a second that are decoded at least.
const FILES = [
  { name: 'still.png', make: `${PICTURES} -frames:v 1`, least: 3 },
  { name: 'pictures.mjpeg', make: `${PICTURES} -c:v mjpeg -f mjpeg`, least: 15 },
  { name: 'moving.webp', make: `${PICTURES} -c:v libwebp_anim`, least: 15 },
  { name: 'half.y4m', make: `${PICTURES} -pix_fmt yuv422p`, least: 15 },
  { name: 'loop.mp4', make: `${PICTURES} ${X264} -g 25 -bf 0`, options: ['--codec', 'copy'], least: 20 },
  { name: 'cut.mp4', make: `-ss 2 -i @whole.mp4 -c copy`, least: 15 },
];

describe('chromium', () => {
  let browser;
  let folder;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'rtcast-files-'));
    ffmpeg('whole.mp4', `-f lavfi -i testsrc2=size=320x240:rate=25:duration=4 ${X264} -g 100 -bf 2`);
    browser = await launch('chromium');
  });
  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  function ffmpeg(name, options) {
    const words = options.split(' ').map((word) => (word.startsWith('@') ? join(folder, word.slice(1)) : word));
    execFileSync('ffmpeg', ['-hide_banner', '-loglevel', 'error', '-nostdin', '-y', ...words, join(folder, name)]);
    return join(folder, name);
  }

  for (const { name, make, options = [], least } of FILES) {
    test(`plays ${name} over its end`, { timeout: 60000 }, async (t) => {
      const server = await Server.start(ffmpeg(name, make), { options });
      t.after(() => server.stop());
      const page = await open(browser, server.ready.url);
      t.after(() => page.close());
      await playing(page);
      const first = await inbound(page);
      // Longer than the file lasts.
      await sleep(4000);
      const second = await inbound(page);
      const seconds = (second.at - first.at) / 1000;
      const frames = (second.video.frames - first.video.frames) / seconds;
      const clock = (second.currentTime - first.currentTime) / seconds;
      t.diagnostic(`${second.video.codec}, ${second.width}x${second.height}, ${frames.toFixed(1)} fps, clock ${clock.toFixed(2)}`);
      assert.deepEqual([second.width, second.height], [320, 240]);
      assert.ok(frames >= least, `at least ${least} pictures a second are decoded, not ${frames}`);
      assert.ok(clock > 0.8, `the clock advances 1 s a second, not ${clock}`);
      assert.deepEqual(page.problems, []);
    });
  }
});
