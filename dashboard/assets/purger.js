// The purger's page: its partitions, and every proxy that it delivers to.

import { Source } from "./api.js";
import { h, show } from "./dom.js";
import { NONE, bytesText, count, duration, number, percent, secondsText } from "./format.js";
import { badge, figure } from "./parts.js";
import { Table } from "./table.js";

const main = document.querySelector("main");
const servedBy = document.documentElement.dataset.version;
const state = { fleet: null, state: "waiting", waited: 0, detail: "" };
let drawn = 0;

function schedule() {
  if (!drawn) drawn = requestAnimationFrame(() => { drawn = 0; draw(); });
}

/** The value that most proxies have: others differ from it. */
function common(values) {
  const counts = new Map();
  for (const value of values.filter(Boolean)) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
}

const proxies = new Table({
  caption: "Proxies", by: "url", key: row => row.url, redraw: schedule, max: 1000,
  columns: [
    { name: "url", title: "Proxy", className: "wide", value: row => row.url, cell: row => [link(row.url), row.error ?? row.live_problem ? h("span.sub.wrong", {}, row.error ?? row.live_problem) : row.instance ? h("span.sub.mono", {}, row.instance.slice(0, 8)) : null] },
    { name: "state", title: "State", value: row => row.state, cell: row => badge(row.state, `state-${row.url}`) },
    { name: "ratio", title: "hit ratio", isNumber: true, value: row => row.live?.hit_ratio, cell: row => (typeof row.live?.hit_ratio === "number" ? `${percent(row.live.hit_ratio)} %` : NONE) },
    { name: "requests", title: "requests/s", isNumber: true, value: row => row.live?.requests_per_second, cell: row => number(row.live?.requests_per_second) },
    { name: "origin", title: "origin/s", isNumber: true, value: row => row.live?.origin_requests_per_second, cell: row => number(row.live?.origin_requests_per_second) },
    { name: "bytes", title: "out/s", isNumber: true, value: row => row.live?.bytes_out_per_second, cell: row => bytesText(row.live?.bytes_out_per_second) },
    { name: "miss", title: "miss p99", isNumber: true, value: row => row.live?.miss_p99_seconds, cell: row => secondsText(row.live?.miss_p99_seconds) },
    { name: "version", title: "Version", value: row => row.live?.version, cell: row => differing(row.live?.version, state.version) },
    { name: "config", title: "Config", value: row => row.live?.config_hash, cell: row => differing(row.live?.config_hash?.slice(0, 8), state.config?.slice(0, 8)) },
    { name: "uptime", title: "up", isNumber: true, value: row => row.live?.uptime_seconds, cell: row => duration(row.live?.uptime_seconds) },
    { name: "lag", title: "behind", isNumber: true, value: row => row.lag, cell: row => count(row.lag) },
    { name: "answer", title: "last answer", isNumber: true, value: row => row.last_answer_seconds, cell: row => secondsText(row.last_answer_seconds) },
  ],
});

const partitions = new Table({
  caption: "Partitions", by: null, key: row => `${row.topic}/${row.partition}`, redraw: schedule, max: 1000,
  columns: [
    { name: "name", title: "Partition", value: row => `${row.topic}/${row.partition}`, cell: row => [`${row.topic}/${row.partition} `, row.full ? badge("full") : null] },
    { name: "read", title: "read to", isNumber: true, value: row => row.read_to, cell: row => count(row.read_to) },
    { name: "confirmed", title: "confirmed", isNumber: true, value: row => row.confirmed, cell: row => count(row.confirmed) },
    { name: "end", title: "end", isNumber: true, value: row => row.end, cell: row => count(row.end) },
    { name: "lag", title: "behind", isNumber: true, value: row => row.lag, cell: row => count(row.lag) },
    { name: "seconds", title: "oldest", isNumber: true, value: row => row.lag_seconds, cell: row => (row.lag > 0 ? duration(row.lag_seconds) : NONE) },
    { name: "owed", title: "owed", isNumber: true, value: row => row.owed, cell: row => count(row.owed) },
  ],
});

/** The proxy's own pages, where a browser can reach them. */
const link = url => (/^https?:\/\//.test(url) ? h("a", { href: `${url}/`, rel: "noreferrer" }, url) : url);

/** A value that is not that of most proxies is marked by more than its colour. */
function differing(value, usual) {
  if (!value) return NONE;
  return value === usual ? value : h("span.differs", { title: `most have ${usual}` }, `≠ ${value}`);
}

function draw() {
  const { fleet } = state;
  document.body.classList.toggle("is-old", state.state !== "live" && fleet !== null);
  show(document.getElementById("notices"), notices());
  if (!fleet) return;
  state.version = common(fleet.proxies.map(proxy => proxy.live?.version));
  state.config = common(fleet.proxies.map(proxy => proxy.live?.config_hash));
  show(document.getElementById("facts"),
    badge(fleet.kafka_connected ? "connected" : "not connected", "kafka"), h("span", {}, fleet.purger), h("span", {}, fleet.version), h("span", {}, `up ${duration(fleet.uptime_seconds)}`));
  show(main, h("h1.hidden", {}, "Fleet"), h("div.grid", {}, totals(fleet),
    h("section.card", {}, h("h2", {}, "Proxies"), proxies.draw(fleet.proxies, "There is no proxy to deliver to: see purger.targets.")),
    h("section.card", {}, h("h2", {}, "Partitions"), partitions.draw(fleet.partitions, "No partition is assigned to this purger: another one has them."),
      h("p.note", {}, "A record is confirmed when every proxy that keeps up has applied it. Owed: its dead letter, repetition or receipt is not written yet."))));
}

function totals({ proxies: all, partitions: logs, dead_letters: dead }) {
  const sum = name => all.reduce((total, { live }) => total + (live?.[name] ?? 0), 0);
  const seen = all.filter(({ live }) => live);
  const [requests, origin] = [sum("requests_per_second"), sum("origin_requests_per_second")];
  const weighed = seen.filter(({ live }) => typeof live.hit_ratio === "number" && live.requests_per_second > 0);
  const weight = weighed.reduce((total, { live }) => total + live.requests_per_second, 0);
  const ratio = weight > 0 ? weighed.reduce((total, { live }) => total + live.hit_ratio * live.requests_per_second, 0) / weight : null;
  const well = all.filter(({ state: is }) => is === "ok").length;
  const lag = logs.reduce((total, one) => total + one.lag, 0);
  const oldest = Math.max(...logs.map(one => (one.lag > 0 ? one.lag_seconds : 0)), 0);
  return h("div", {}, h("div.cards.six", {},
    figure("Up to date", [count(well), `of ${count(all.length)}`], `${count(seen.length)} tell of their traffic`, "keeping-up"),
    figure("Hit ratio", [percent(ratio), ratio === null ? "" : "%"], "over all, by their requests", "hit-ratio"),
    figure("Requests", [number(seen.length ? requests : null), "/s"], "all proxies together", "rate-requests"),
    figure("Reach the origin", [number(seen.length ? origin : null), "/s"], requests > 0 ? `${percent(Math.max(1 - origin / requests, 0))} % of the load saved` : "", "rate-origin"),
    figure("Records behind", [count(lag), ""], lag > 0 ? `the oldest for ${duration(oldest)}` : "everything is confirmed", "lag"),
    figure("Dead letters", [count(dead), ""], dead > 0 ? "shellac-purger dlq list shows them" : "since the start", "dead-letters")));
}

function notices() {
  const { fleet } = state;
  const reload = h("button.small", { type: "button", onclick: () => location.reload() }, "Reload the page");
  const all = [];
  const say = (kind, key, ...content) => all.push(h(`p.notice${kind}`, { "data-key": key, "data-testid": `notice-${key}` }, content));
  if (state.state === "waiting" && state.waited > 4000) say(".bad", "silent", `No numbers for ${duration(state.waited / 1000)}: the purger does not answer. It is asked again each second.`);
  if (state.state === "refused") say(".bad", "refused", `Not allowed: ${state.detail}`);
  if (!fleet) return all;
  if (fleet.version && servedBy && fleet.version !== servedBy) say("", "version", `The purger is ${fleet.version} now. `, reload);
  if (!fleet.kafka_connected) say(".bad", "kafka", `The brokers do not answer${fleet.kafka_problem ? `: ${fleet.kafka_problem}` : "."}`);
  const configs = new Set(fleet.proxies.map(proxy => proxy.live?.config_hash).filter(Boolean));
  const versions = new Set(fleet.proxies.map(proxy => proxy.live?.version).filter(Boolean));
  const differ = [[configs.size, "configurations"], [versions.size, "versions"]].filter(([many]) => many > 1);
  if (differ.length) say("", "drift", `The proxies have ${differ.map(([many, what]) => `${many} different ${what}`).join(" and ")}: see ≠.`);
  return all;
}

function tell(now, detail) {
  const old = state.state;
  Object.assign(state, { state: now, waited: now === "waiting" ? detail : 0, detail });
  if (old === "live" && now !== "live") document.getElementById("said").textContent = "The connection is lost.";
  if (now !== "live") schedule();
}

document.querySelector(".skip").onclick = event => { event.preventDefault(); main.focus(); };
new Source({ path: null, poll: "/api/v1/fleet", event: "", tell, take: fleet => { state.fleet = fleet; schedule(); } }).start();
