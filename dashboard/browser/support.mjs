// What both checks stand on: a browser, pages that note what goes wrong in them, and patience.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

export const PATIENCE = 20_000;
const axe = createRequire(import.meta.url)("axe-core").source;

export const api = async (url, options) => (await fetch(url, options)).json();
export const text = (page, id) => page.getByTestId(id).innerText();

/** Waits until `isSo` is `true`; else it says what it last was. */
export async function until(what, isSo) {
  const end = Date.now() + PATIENCE;
  let last;
  while (Date.now() < end) {
    last = await isSo().catch(error => error);
    if (last === true) return;
    await new Promise(done => setTimeout(done, 50));
  }
  assert.fail(`${what}: not within ${PATIENCE / 1000} s; last: ${last}`);
}

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
});

/** Opens a page that notes errors, and requests that go elsewhere than to `place`, in `watch.wrong`. */
export async function open(browser, place, options, watch) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const { wrong } = watch;
  page.on("console", message => { if (message.type() === "error" && !watch.isExpected) wrong.push(`console: ${message.text()} (${message.location().url})`); });
  page.on("pageerror", error => wrong.push(`error: ${error.stack}`));
  page.on("request", request => { if (!request.url().startsWith(place)) wrong.push(`a request off the origin: ${request.url()}`); });
  return { context, page };
}

/** Asks axe about the page as it is, and keeps a picture of it where pictures are wanted. */
export async function isAccessible(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run({ resultTypes: ["violations"] }));
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const said = serious.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(node => node.html).slice(0, 3).join(" ")}`);
  assert.deepEqual(said, [], name);
  if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png`, fullPage: true });
}
