// Drives the purger's page in headless Chromium. Arguments: its listener, and the proxies that it delivers to. Writes `stop` when the
// purger is to be ended. Ends with 1 and a message at the first thing that is wrong. SCREENSHOTS=FOLDER keeps pictures for people.

import assert from "node:assert/strict";
import { PATIENCE, api, isAccessible, launch, open, text, until } from "./support.mjs";

const [purger, ...proxies] = process.argv.slice(2);
const wrong = [];
const watch = { wrong, isExpected: false };
const fleet = () => api(`http://${purger}/api/v1/fleet`);

/** Waits until the page shows what the API answers now. */
const agrees = (page, what, expected) => until(what, async () => {
  const now = await fleet();
  const [shown, wanted] = await expected(now, page);
  return String(shown) === String(wanted) || `the page has ${shown}, the API ${wanted}`;
});
const numbers = value => (value.match(/[\d.,]+/g) ?? []).map(one => Number(one.replaceAll(",", "")));
const value = async (page, id) => numbers(await text(page, id))[0];

async function totalsAreThoseOfTheFleet(page) {
  const known = await fleet();
  // Known traffic: 10 requests/s with a quarter of hits and 30 with three quarters, of which 8 and 8 reach the origin.
  assert.deepEqual(known.proxies.map(({ live }) => live.requests_per_second).sort(), [10, 30]);
  assert.equal(await value(page, "hit-ratio"), 62.5);
  assert.equal(await value(page, "rate-requests"), 40);
  assert.equal(await value(page, "rate-origin"), 16);
  assert.match(await page.locator("main").innerText(), /60\.0 % of the load saved/);
  await agrees(page, "the proxies that keep up", async ({ proxies: all }) =>
    [numbers(await text(page, "keeping-up")), [all.filter(({ state }) => state === "ok").length, all.length]]);
  await agrees(page, "the records behind", async ({ partitions }) => [await value(page, "lag"), partitions.reduce((sum, { lag }) => sum + lag, 0)]);
  await agrees(page, "the dead letters", async ({ dead_letters: dead }) => [await value(page, "dead-letters"), dead]);
  assert.equal(await value(page, "dead-letters"), 1);
  assert.equal(await text(page, "kafka"), "connected");
}

const cells = async row => (await row.locator("td").allInnerTexts()).map(cell => cell.trim());

async function eachProxyHasItsRow(page) {
  const table = page.getByRole("table", { name: "Proxies" });
  for (const url of proxies) {
    await agrees(page, `the row of ${url}`, async ({ proxies: all }) => {
      const { state, lag, live } = all.find(one => one.url === url);
      const shown = await cells(table.locator("tbody tr").filter({ hasText: url }));
      const [, is, ratio, requests, origin, , , version, config, , behind] = shown;
      const plain = cell => cell.replace("≠ ", "");
      return [
        [is, ratio, parseFloat(requests), parseFloat(origin), plain(version), plain(config), behind].join("|"),
        [state, `${(live.hit_ratio * 100).toFixed(1)} %`, live.requests_per_second, live.origin_requests_per_second, live.version,
          live.config_hash.slice(0, 8), lag].join("|"),
      ];
    });
  }
  assert.match(await text(page, "notice-drift"), /2 different configurations and 2 different versions/);
  assert.ok(await page.locator(".differs").count() >= 2, "what differs is marked");
  assert.ok(!/NaN|undefined|\[object/.test(await page.locator("body").innerText()), "no value is missing");
  assert.equal(await page.evaluate(() => window.hacked), undefined, "a version is text");
}

async function eachPartitionHasItsRow(page) {
  const table = page.getByRole("table", { name: "Partitions" });
  await agrees(page, "the partitions", async ({ partitions }) => {
    const rows = await Promise.all((await table.locator("tbody tr").all()).map(cells));
    const shown = rows.map(([name, read, confirmed, end, lag]) => [name, read, confirmed, end, lag].join("|"));
    const wanted = partitions.map(one => [`${one.topic}/${one.partition}`, one.read_to, one.confirmed, one.end, one.lag].join("|"));
    return [shown.sort().join(" "), wanted.sort().join(" ")];
  });
  const { partitions } = await fleet();
  assert.equal(partitions.reduce((sum, { read_to: read }) => sum + read, 0), 4, "three purges and what is none were read");
}

async function keysSort(page) {
  const table = page.getByRole("table", { name: "Proxies" });
  const first = async () => (await cells(table.locator("tbody tr").first()))[3];
  await page.locator("[data-sort=requests]").focus();
  await page.keyboard.press("Enter");
  await until("the busiest is first", async () => parseFloat(await first()) === 30 || first());
  assert.equal(await page.evaluate(() => document.activeElement.dataset.sort), "requests", "the focus stays");
  assert.equal(await table.locator("th[aria-sort]").getAttribute("aria-sort"), "descending");
  await page.keyboard.press("Enter");
  await until("the idlest is first", async () => parseFloat(await first()) === 10 || first());
  await page.reload();
  await page.getByTestId("keeping-up").waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "MAIN");
}

async function nothingForeignRuns(page) {
  const answer = await page.goto(`http://${purger}/`);
  const policy = answer.headers()["content-security-policy"] ?? "";
  assert.match(policy, /default-src 'self'/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.ok(!/unsafe|\*|https?:/.test(policy), policy);
  watch.isExpected = true; // the browser notes on its console what it has refused
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.hacked = 1";
    document.body.append(script);
  });
  assert.equal(await page.evaluate(() => window.hacked), undefined, "a script within the page does not run");
  watch.isExpected = false;
}

async function silenceIsSaid(page) {
  watch.isExpected = true;
  console.log("stop");
  await page.getByTestId("notice-silent").waitFor({ timeout: 2 * PATIENCE });
  assert.ok(await page.evaluate(() => document.body.classList.contains("is-old")), "old values are greyed out");
}

const browser = await launch();
const place = `http://${purger}/`;
try {
  const { page } = await open(browser, place, { colorScheme: "light" }, watch);
  await page.goto(place);
  await page.getByTestId("keeping-up").waitFor();
  for (const step of [totalsAreThoseOfTheFleet, eachProxyHasItsRow, eachPartitionHasItsRow, keysSort, nothingForeignRuns]) {
    await step(page);
    console.log(`ok ${step.name}`);
  }
  await isAccessible(page, "light-fleet");
  const { context, page: dark } = await open(browser, place, { colorScheme: "dark" }, watch);
  await dark.goto(place);
  await dark.getByTestId("keeping-up").waitFor();
  await isAccessible(dark, "dark-fleet");
  await context.close();
  const { context: narrow, page: phone } = await open(browser, place, { viewport: { width: 400, height: 800 } }, watch);
  await phone.goto(place);
  await phone.getByTestId("keeping-up").waitFor();
  const width = await phone.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 400, `the page is ${width} wide`);
  await narrow.close();
  const { context: bare, page: plain } = await open(browser, place, { javaScriptEnabled: false }, watch);
  await plain.goto(place);
  const said = await plain.locator("main").innerText();
  assert.ok(proxies.every(url => said.includes(url)), "the page shows values without scripts");
  await bare.close();
  console.log("ok isForEverybody");
  await silenceIsSaid(page);
  assert.deepEqual(wrong, []);
  console.log("ok all");
} catch (error) {
  console.error(error.message, error.stack?.split("\n").filter(line => line.includes(".mjs")).slice(0, 3).join(" "), wrong);
  process.exitCode = 1;
} finally {
  await browser.close();
}
