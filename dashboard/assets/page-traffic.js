// What is asked for most, and what it costs.

import { h } from "./dom.js";
import { bytesText, count, duration, percent } from "./format.js";
import { explainLink } from "./parts.js";
import { Table } from "./table.js";

const state = { search: "", table: null };

export const traffic = {
  title: "Traffic",
  enter(app) {
    const ratio = row => (row.requests > 0 ? 1 - row.misses / row.requests : null);
    state.table ??= new Table({
      caption: "Top URLs", by: "requests", key: row => row.url, redraw: app.redraw, max: 200,
      columns: [
        { name: "url", title: "URL", className: "url", value: row => row.url, cell: row => isMasked(row.url) ? row.url : explainLink(row.url) },
        { name: "requests", title: "requests", isNumber: true, value: row => row.requests, cell: row => [bar(row.requests, state.most), h("span.amount", {}, count(row.requests))] },
        { name: "ratio", title: "hit %", isNumber: true, value: ratio, cell: row => percent(ratio(row)) },
        { name: "misses", title: "misses", isNumber: true, value: row => row.misses, cell: row => count(row.misses) },
        { name: "bytes", title: "bytes", isNumber: true, value: row => row.bytes, cell: row => bytesText(row.bytes) },
        { name: "origin", title: "origin time", isNumber: true, value: row => row.origin_seconds, cell: row => time(row.origin_seconds) },
        { name: "purge", title: "", className: "act", cell: row => h("a", { href: purgeLink(row.url), "aria-label": `Purge ${row.url}` }, "Purge") },
      ],
    });
  },
  draw(app) {
    const { urls = [], window_seconds: span } = app.snapshot.top ?? {};
    const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
    const found = urls.filter(row => words.every(word => row.url.toLowerCase().includes(word)));
    state.most = Math.max(...urls.map(row => row.requests), 1);
    const search = event => { state.search = event.target.value; app.redraw(); };
    return h("section.card", {},
      h("div.head", {}, h("h2", {}, `Top URLs${span ? `, last ${duration(span)}` : ""}`), h("span.note", {}, `${count(found.length)} of ${count(urls.length)}`)),
      h("div.toolbar", {}, h("input", { type: "search", placeholder: "Search URLs", "aria-label": "Search URLs", oninput: search, "data-testid": "search" })),
      state.table.draw(found, urls.length ? "No URL has these words." : "Nothing was asked for in this window."),
      h("p.note", {}, "The most frequent URLs are found by a sketch of bounded size: numbers of rare ones are upper bounds. A URL leads to its explanation, unless values of its query are hidden (`*`)."));
  },
};

// A `*` hides values of the query: such a row stands for many URLs, and what they have in common is the path.
const isMasked = url => url.includes("?") && url.split("?")[1].includes("*");
const purgeLink = url => `#/purges?kind=${isMasked(url) ? "paths" : "urls"}&value=${encodeURIComponent(isMasked(url) ? url.split("?")[0] : url)}`;
const bar = (value, most) => h("span.share", { "width%": ((value / most) * 34).toFixed(1), "aria-hidden": "true" });
const time = seconds => (typeof seconds === "number" ? (seconds >= 1 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds * 1000)} ms`) : "–");
