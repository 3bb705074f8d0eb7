// The first page: is it well, does it help, and if not, why.

import { BANDS, histogram, ratioLine, stacked } from "./chart.js";
import { h } from "./dom.js";
import { NONE, bytes, clock, count, duration, number, percent, plural, secondsText } from "./format.js";
import { badge, explainLink, figure, filled, meter, percentiles, size } from "./parts.js";

const RANGES = [[60, "1 min"], [300, "5 min"], [900, "15 min"]];
const state = { span: 300, cursor: { at: null, redraw: () => {} } };

export const overview = {
  title: "Overview",
  leave: () => { state.cursor.at = null; },
  draw(app) {
    const { snapshot } = app;
    state.cursor.redraw = app.redraw;
    const isWide = app.width() >= 900;
    const inner = app.width() - (isWide ? 76 : 68);
    return h("div.grid", {},
      hero(snapshot, isWide ? Math.round((inner * 5) / 12) - 24 : Math.max(inner + 20, 220)), h("div.w7", {}, h("div.cards", {}, cards(snapshot))),
      requests(app, Math.max(inner + (isWide ? 0 : 20), 260)),
      h("section.card.w6", {}, latencyCard(snapshot, Math.max(isWide ? inner / 2 : inner + 20, 260))),
      h("section.card.w6", {}, whyCard(snapshot)),
      h("section.card.w7", {}, originsCard(snapshot)),
      h("section.card.w5", {}, storageCard(snapshot)),
      h("section.card.w7", {}, purgesCard(snapshot)),
      h("section.card.w5", {}, kafkaCard(snapshot)));
  },
};

function hero({ hit_ratio: ratio, outcomes, series }, width) {
  const shown = ratio?.["1m"] ?? ratio?.["15m"];
  const parts = [["hit", (outcomes?.hit ?? 0) + (outcomes?.revalidated ?? 0)], ["stale", outcomes?.stale ?? 0], ["miss", outcomes?.miss ?? 0],
    ["bypass", (outcomes?.bypass ?? 0) + (outcomes?.uncacheable ?? 0)], ["error", outcomes?.error ?? 0]];
  const all = parts.reduce((sum, [, value]) => sum + value, 0);
  return h("section.card.hero.w5", {},
    h("h2.label", {}, "Hit ratio, last minute"),
    h("p.figure", { "data-testid": "hit-ratio" }, percent(shown), shown === null || shown === undefined ? null : h("small", {}, "%")),
    h("div.ratio", { role: "img", "aria-label": "Shares of outcomes, last 10 seconds" },
      all > 0 ? parts.map(([name, value]) => (value > 0 ? h("span", { class: name, "width%": ((value / all) * 100).toFixed(2) }) : null)) : null),
    h("p.windows", {}, h("span.hidden", {}, "Other windows: "),
      [["1s", "1 s"], ["10s", "10 s"], ["15m", "15 min"]].map(([key, name]) => h("span", {}, `${name} `, h("b", { "data-testid": `hit-ratio-${key}` }, percent(ratio?.[key])), ratio?.[key] === null || ratio?.[key] === undefined ? "" : " %"))),
    ratioLine(series, width));
}

function cards({ rates = {}, latency_seconds: latency = {}, connections = {} }) {
  const saved = rates.requests > 0 ? Math.max(1 - rates.origin_requests / rates.requests, 0) : null;
  const [hit, hitMore] = percentiles(latency.hit);
  const [miss, missMore] = percentiles(latency.miss);
  const [out, unit] = bytes(rates.bytes_out);
  return [
    figure("Requests", [number(rates.requests), "/s"], [h("b", {}, count(connections.open)), " connections"], "rate-requests"),
    figure("Reach the origin", [number(rates.origin_requests), "/s"], [h("b", { "data-testid": "saved" }, saved === null ? NONE : `${percent(saved)} %`), " of the load saved"], "rate-origin"),
    figure("To clients", [out, `${unit}/s`], ["from them ", h("b", {}, `${size(rates.bytes_in)}/s`)], "rate-bytes"),
    figure("Hits, p99", hit, hitMore, "p99-hit", "hit"),
    figure("Misses, p99", miss, missMore, "p99-miss", "miss"),
    figure("HTTP/2 and TLS", [count(connections.http2), "h2"], [h("b", {}, count(connections.tls)), " connections with TLS"], "connections"),
  ];
}

function requests(app, width) {
  const { snapshot } = app;
  const pick = ([span, name]) => h("button", { type: "button", "aria-pressed": String(state.span === span), onclick: () => { state.span = span; app.redraw(); } }, name);
  const rates = snapshot.outcomes ?? {};
  const now = { hits: (rates.hit ?? 0) + (rates.revalidated ?? 0), stale: rates.stale, misses: rates.miss, bypasses: (rates.bypass ?? 0) + (rates.uncacheable ?? 0), errors: rates.error };
  return h("section.card", { "data-testid": "requests-chart" },
    h("div.head", {}, h("h2", {}, "Requests a second"), h("div.segments", { role: "group", "aria-label": "Range" }, RANGES.map(pick))),
    stacked(snapshot.series, state.span, width, state.cursor),
    h("ul.legend", {}, BANDS.map(([name, kind, title]) => h("li", {}, h(`span.swatch.${kind}`), title, h("b", { "data-testid": `rate-${name}` }, number(now[name] ?? null)))),
      h("li", {}, h("span.purge-mark"), "Purge")));
}

function latencyCard({ histogram: data }, width) {
  const drawn = histogram(data, width);
  return [h("h2", {}, "Latency"),
    drawn ?? h("p.empty", {}, "No request has been answered yet."),
    drawn ? h("ul.legend", {}, h("li", {}, h("span.swatch.hit"), "Hits"), h("li", {}, h("span.swatch.miss"), "Misses"), h("li", {}, "Each is 100 % by itself")) : null];
}

function whyCard({ not_cached: rows = [] }) {
  const shown = rows.slice(0, 7);
  return [h("h2", {}, "Why not cached"),
    shown.length === 0 ? h("p.empty", {}, "Everything that was asked for could be answered from the cache or stored.")
      : h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Why not cached" }, h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Reason, and an example"), h("th.n", { scope: "col" }, "a second"), h("th.n", { scope: "col" }, "in all"))),
        h("tbody", {}, shown.map(row => h("tr", { "data-key": row.reason },
          h("td.wide", {}, h("code", {}, row.reason), h("span.sub", {}, row.example ? explainLink(row.example) : null)),
          h("td.n", {}, number(row.per_second)), h("td.n", { "data-testid": `why-${row.reason}` }, count(row.total)))))))];
}

function originsCard({ origins = [] }) {
  return [h("div.head", {}, h("h2", {}, "Origins"), h("a.note", { href: "#/origins" }, "Drain and enable")),
    origins.length === 0 ? h("p.empty", {}, "There is no origin.") : h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Origins" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Server", "State"].map(name => h("th", { scope: "col" }, name)), h("th.n", { scope: "col" }, "in flight"), h("th.n.opt", { scope: "col" }, "queue"), h("th.n.opt", { scope: "col" }, "errors"), h("th.n", { scope: "col" }, "p95"))),
      h("tbody", {}, origins.flatMap(origin => origin.servers.map(server => h("tr", { "data-key": `${origin.name} ${server.address}` },
        h("td", {}, server.address, h("span.sub", {}, origin.name)), h("td", {}, badge(server.state)),
        h("td.n", {}, count(server.in_flight)), h("td.n.opt", {}, count(server.queue)), h("td.n.opt", {}, count(server.errors)), h("td.n", {}, secondsText(server.p95_seconds))))))))];
}

function storageCard({ storage = [] }) {
  return [h("h2", {}, "Storage"), storage.map(tier => h("div", { "data-key": tier.tier },
    h("p.label", {}, h("b", { class: "word" }, tier.tier), h("span", {}, `${count(tier.objects)} objects`)),
    meter(tier.bytes, tier.capacity_bytes, `${tier.tier} in use`),
    h("p.note", {}, `${size(tier.bytes)} of ${size(tier.capacity_bytes)} (${filled(tier.bytes, tier.capacity_bytes)}), ${number(tier.evictions_per_second)} evictions/s`)))];
}

function purgesCard({ purges = [], now }) {
  const shown = purges.slice(0, 5);
  return [h("div.head", {}, h("h2", {}, "Purges"), h("a.note", { href: "#/purges" }, "All, and purge")),
    shown.length === 0 ? h("p.empty", {}, "Nothing was purged since the start.") : h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Last purges" }, h("table", {},
      h("thead", {}, h("tr", {}, ["At", "What"].map(name => h("th", { scope: "col" }, name)), h("th.opt", { scope: "col" }, "From"), h("th.n", { scope: "col" }, "responses"))),
      h("tbody", {}, shown.map(purge => h("tr", {}, h("td", {}, clock(purge.at, Date.parse(now))), h("td.wide", {}, purge.selector), h("td.opt", {}, purge.source), h("td.n", {}, count(purge.objects)))))))];
}

function kafkaCard({ kafka }) {
  if (!kafka) return [h("h2", {}, "Kafka"), h("p.empty", {}, "No purger delivers to this proxy.")];
  const lag = kafka.partitions.reduce((sum, { lag: one }) => sum + (one ?? 0), 0);
  const isDue = kafka.lease_seconds !== null && kafka.lease_seconds <= 0;
  return [h("div.head", {}, h("h2", {}, "Kafka"), badge(isDue ? "late" : lag > 0 ? "catching up" : "current")),
    h("p.note", {}, h("code", {}, kafka.topic), ` ${plural(kafka.partitions.length, "partition")}, `, h("b", { class: "word", "data-testid": "kafka-lag" }, count(lag)), " behind; all purges are known to have arrived for ", h("b", { class: "word" }, kafka.lease_seconds === null ? NONE : duration(kafka.lease_seconds)), " more."),
    h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Partitions" }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Partition"), h("th.n", { scope: "col" }, "position"), h("th.n", { scope: "col" }, "behind"))),
      h("tbody", {}, kafka.partitions.slice(0, 6).map(one => h("tr", {}, h("td", {}, String(one.partition)), h("td.n", {}, count(one.position)), h("td.n", {}, count(one.lag)))))))];
}

