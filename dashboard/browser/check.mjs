// Drives the proxy's pages in headless Chromium. Arguments: the admin listener, the traffic listener, the proxy's process id.
// Ends with 1 and a message at the first thing that is wrong. SCREENSHOTS=FOLDER keeps pictures for people.

import assert from "node:assert/strict";
import http from "node:http";
import { api as ask, isAccessible as isSound, launch, open as openPage, text, until } from "./support.mjs";

const [admin, traffic, pid] = process.argv.slice(2);
const pages = ["overview", "traffic", "purges", "objects", "origins", "explain", "config", "log"];

/** One request to the proxy; resolves with the status and `Cache-Status`. */
const get = path => new Promise((resolve, reject) => {
  http.get(`http://${traffic}${path}`, { headers: { host: "shop.example" } }, answer => {
    answer.resume();
    answer.on("end", () => resolve({ status: answer.statusCode, isHit: /; hit/.test(answer.headers["cache-status"] ?? "") }));
  }).on("error", reject);
});
const api = (path, options) => ask(`http://${admin}${path}`, options);

const browser = await launch();
const wrong = [];
const watch = { wrong, isExpected: false };
const open = options => openPage(browser, `http://${admin}/`, options, watch);
const show = (page, name) => page.goto(`http://${admin}/#/${name}`);

async function knownTraffic() {
  // 4 misses and 14 hits; 3 that may not be stored.
  for (let time = 0; time < 10; time += 1) await get("/a");
  for (let time = 0; time < 4; time += 1) await get("/b");
  for (let time = 0; time < 3; time += 1) await get("/<script>window.hacked=1</script>");
  await get("/c");
  for (let time = 0; time < 3; time += 1) await get("/login");
}

async function valuesAreThose(page) {
  await show(page, "overview");
  await until("the API counts the traffic", async () => {
    const { series } = await api("/api/v1/live");
    const all = name => series[name].reduce((sum, value) => sum + value, 0);
    return all("requests") === 21 && all("hits") === 14 ? true : `${all("requests")} requests, ${all("hits")} hits`;
  });
  const ratio = ((14 / 21) * 100).toFixed(1);
  await until("the hit ratio is that of the traffic", async () => {
    const { hit_ratio: known } = await api("/api/v1/live");
    const shown = await text(page, "hit-ratio-15m");
    return (known["15m"] * 100).toFixed(1) === ratio && shown === ratio ? true : `${known["15m"]} ${shown}`;
  });
  await until("the rates are the API's", async () => {
    const { rates } = await api("/api/v1/live");
    const shown = await text(page, "rate-requests");
    return Math.abs(parseFloat(shown) - rates.requests) <= 0.3 || `${shown} ${rates.requests}`;
  });
  const live = await api("/api/v1/live");
  assert.equal(await text(page, "ready"), live.ready ? "ready" : "not ready");
  const objects = live.storage.reduce((sum, tier) => sum + tier.objects, 0);
  assert.ok(await page.getByText(`${objects} objects`).count(), `the page says ${objects} objects`);
  assert.ok(!/NaN|undefined|\[object/.test(await page.locator("body").innerText()), "no value is missing");
  assert.equal(await page.evaluate(() => window.hacked), undefined, "a URL is text");
}

async function purgeIsCountedFirst(page) {
  await show(page, "purges");
  await page.getByTestId("purge-kind").selectOption("tags");
  await page.getByTestId("purge-value").fill("both\n<script>window.hacked=2</script>");
  await page.getByTestId("purge-count").click();
  const counted = page.getByTestId("counted");
  await counted.waitFor();
  assert.match(await counted.innerText(), /2 responses/);
  assert.ok((await get("/a")).isHit, "nothing is purged before it is confirmed");
  await page.getByTestId("purge-confirm").click();
  await page.getByText(/Purged 2 responses/).first().waitFor();
  assert.ok(!(await get("/a")).isHit, "it is purged");
  await until("the list has it", async () => {
    const [newest] = (await api("/api/v1/live")).purges;
    if (!newest) return "the API lists none";
    return (await page.locator("table").innerText()).includes("both") || "not on the page";
  });
  await page.getByTestId("purge-value").fill("https://[");
  await page.getByTestId("purge-kind").selectOption("urls");
  watch.isExpected = true; // the browser notes the 400 on its console
  await page.getByTestId("purge-count").click();
  await page.locator(".answer.bad").waitFor();
  watch.isExpected = false;
  assert.equal(await page.evaluate(() => window.hacked), undefined, "a tag is text");
}

async function serverIsDrainedAndBack(page) {
  await show(page, "origins");
  const { origins: [{ servers: [{ server }] }] } = await api("/api/v1/origins");
  const assigned = async () => (await api("/api/v1/origins")).origins[0].servers[0].assigned;
  await page.getByTestId(`drain-${server}`).click();
  assert.equal(await assigned(), "enabled", "the first press only asks");
  await page.getByTestId("drain-confirm").click();
  await until("it is drained", async () => (await assigned()) === "drain" && (await text(page, `state-${server}`)) === "drain");
  await page.getByTestId(`enable-${server}`).click();
  await until("it is back", async () => (await assigned()) === "enabled" && (await text(page, `state-${server}`)) !== "drain");
  await page.getByTestId("withdraw").click();
  await page.getByTestId("withdraw-confirm").click();
  await until("the proxy is not ready", async () => (await text(page, "ready")) === "not ready" && (await fetch(`http://${admin}/readyz`)).status === 503);
  await page.getByTestId("return").click();
  await until("the proxy is ready again", async () => (await text(page, "ready")) === "ready");
}

async function otherPagesAnswer(page) {
  await get("/b");
  await get("/b");
  await show(page, "objects");
  await until("the stored response is listed", async () => (await page.locator("main").innerText()).includes("shop.example/b"));
  await page.goto(`http://${admin}/#/explain?url=${encodeURIComponent("http://shop.example/b")}`);
  await until("it is explained", async () => (await text(page, "verdict")) === "hit");
  await page.getByTestId("explain-url").fill("http://shop.example/a");
  await page.getByTestId("explain-go").click();
  await until("its last purge is named", async () => (await text(page, "last-purge")) === "tag both");
  await page.getByTestId("explain-url").fill("http://shop.example/never");
  await page.getByTestId("explain-go").click();
  await until("another is explained", async () => (await text(page, "verdict")) === "miss");
  assert.match(page.url(), /never/, "the question is in the address");
  await show(page, "log");
  await until("a request is in the log", async () => {
    await get("/b?seen=1");
    return (await page.locator("main").innerText()).includes("shop.example/b?seen=1");
  });
  await show(page, "config");
  const { settings } = await api("/api/v1/config");
  const { setting, value, source } = settings.find(row => row.setting === "storage.kind");
  await until("the settings are listed", async () => {
    const row = await text(page, `setting-${setting}`);
    return [setting, value, source].every(word => row.includes(word)) || row;
  });
  assert.equal(await page.evaluate(() => window.hacked), undefined, "what is listed is text");
}

async function keysSuffice(page) {
  await show(page, "traffic");
  await page.reload();
  await page.getByTestId("ready").waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "MAIN");
  await show(page, "overview");
  await page.locator(".chart svg[tabindex]").first().focus();
  await page.keyboard.press("ArrowLeft");
  await page.locator(".tip").first().waitFor();
  await page.keyboard.press("Escape");
  await until("the cursor is gone", async () => (await page.locator(".tip").count()) === 0);
  for (const name of ["Traffic", "Purges"]) {
    await page.getByRole("link", { name, exact: true }).first().focus();
    await page.keyboard.press("Enter");
    await until(`${name} is open`, async () => (await page.title()).startsWith(name));
  }
}

async function isAccessible(page, scheme) {
  for (const name of pages) {
    await show(page, name);
    await until(`${name} is drawn`, async () => (await page.locator("main .card").count()) > 0);
    await isSound(page, `${scheme}-${name}`);
  }
}

async function fitsAPhone() {
  const { context, page } = await open({ viewport: { width: 400, height: 800 } });
  for (const name of pages) {
    await show(page, name);
    await until(`${name} is drawn`, async () => (await page.locator("main .card").count()) > 0);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 400, `${name} is ${width} wide`);
    if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/phone-${name}.png`, fullPage: true });
  }
  await context.close();
}

async function stallIsSaid(page) {
  await show(page, "overview");
  watch.isExpected = true;
  process.kill(Number(pid), "SIGSTOP");
  try {
    await page.getByTestId("notice-silent").waitFor();
  } finally {
    process.kill(Number(pid), "SIGCONT");
  }
  await page.getByTestId("notice-silent").waitFor({ state: "detached" });
  watch.isExpected = false;
}

try {
  const { page } = await open({ colorScheme: "light" });
  await show(page, "overview");
  await page.getByTestId("hit-ratio").waitFor();
  assert.match(await text(page, "hit-ratio"), /^–/, "without a request there is no ratio");
  await knownTraffic();
  for (const step of [valuesAreThose, purgeIsCountedFirst, serverIsDrainedAndBack, otherPagesAnswer, keysSuffice, stallIsSaid]) {
    await step(page);
    console.log(`ok ${step.name}`);
  }
  await isAccessible(page, "light");
  const { context, page: dark } = await open({ colorScheme: "dark" });
  await isAccessible(dark, "dark");
  await context.close();
  console.log("ok isAccessible");
  await fitsAPhone();
  console.log("ok fitsAPhone");
  const { page: plain } = await open({ javaScriptEnabled: false });
  await plain.goto(`http://${admin}/`);
  assert.match(await plain.locator("main").innerText(), /Hit ratio[\s\S]*%/, "the page shows values without scripts");
  assert.deepEqual(wrong, []);
  console.log("ok all");
} catch (error) {
  console.error(error.message, error.stack?.split("\n").filter(line => line.includes("check.mjs")).slice(0, 2).join(" "), wrong);
  process.exitCode = 1;
} finally {
  await browser.close();
}
