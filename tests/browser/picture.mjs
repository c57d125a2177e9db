// Takes the picture of the page that stands in the README.

import { Server, launch, open, playing, sleep } from './support.mjs';

const server = await Server.start(null);
const browser = await launch('chromium');
const page = await open(browser, server.ready.url);
await page.setViewport({ width: 1120, height: 692 });
await playing(page);
await page.keyboard.press('s');
await sleep(4000);
await page.screenshot({ path: process.argv[2] });
await browser.close();
await server.stop();
