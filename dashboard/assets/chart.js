// Charts as SVG, drawn from arrays: stacked rates over time, and a histogram of two populations.

import { h } from "./dom.js";
import { clock, number, percent, secondsText } from "./format.js";

/** The outcomes that are drawn, from the axis up: first what the cache answered. */
export const BANDS = [
  ["hits", "hit", "Hits"],
  ["stale", "stale", "Stale"],
  ["misses", "miss", "Misses"],
  ["bypasses", "bypass", "Bypassed"],
  ["errors", "error", "Errors"],
];

/** Requests a second by outcome over `span` seconds, with a mark for each purge. `state` keeps the cursor between two drawings. */
export function stacked(series, span, width, state) {
  const height = width < 560 ? 190 : 230;
  const frame = { left: 44, right: 6, top: 14, bottom: 22, width, height };
  const points = slotsFor(span, width - frame.left - frame.right);
  const bands = BANDS.map(([name]) => reduced(series?.[name] ?? [], span, points));
  const purges = reduced(series?.purges ?? [], span, points, sum);
  const totals = Array.from({ length: points }, (_, at) => bands.reduce((all, band) => all + (band[at] ?? 0), 0));
  const top = niceTop(Math.max(...totals, 0));
  const x = at => frame.left + (at / Math.max(points - 1, 1)) * (width - frame.left - frame.right);
  const y = value => height - frame.bottom - (value / top) * (height - frame.top - frame.bottom);

  const areas = [];
  let floor = new Array(points).fill(0);
  bands.forEach((band, number_) => {
    const ceiling = floor.map((value, at) => value + (band[at] ?? 0));
    if (band.some(value => value > 0)) areas.push(h(`path.${BANDS[number_][1]}`, { d: area(ceiling, floor, x, y) }));
    floor = ceiling;
  });
  const marks = purges.flatMap((many, at) => (many > 0 ? [
    h("line.purge", { x1: x(at), x2: x(at), y1: frame.top, y2: y(0) }),
    h("path.purge-head", { d: `M${f(x(at) - 4)} ${frame.top - 7}h8l-4 6z` }),
  ] : []));
  const at = state.at === null ? null : Math.min(Math.max(state.at, 0), points - 1);
  const cursor = at === null ? [] : [h("line.cursor", { x1: x(at), x2: x(at), y1: frame.top, y2: y(0) })];
  const move = event => {
    const box = event.currentTarget.getBoundingClientRect();
    const inside = ((event.clientX - box.left) / box.width) * width - frame.left;
    state.at = Math.round((inside / (width - frame.left - frame.right)) * (points - 1));
    state.redraw();
  };
  const step = event => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by && event.key !== "Escape") return;
    event.preventDefault();
    state.at = by ? Math.min(Math.max((state.at ?? points) + by, 0), points - 1) : null;
    state.redraw();
  };
  const leave = () => { state.at = null; state.redraw(); };
  const svg = h("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: "0", onpointermove: move, onpointerleave: leave, onkeydown: step,
    "aria-label": `Requests a second by outcome, the last ${span / 60} minutes; ${number(totals.at(-1) ?? 0)} now. Arrow keys read single moments.` },
    grid(top, y, frame), timeAxis(span, x, points, frame), areas, marks, cursor);
  return h("div.chart", {}, svg, at === null ? null : tip(at, bands, purges, totals, { series, span, points, x, width }));
}

function tip(at, bands, purges, totals, { series, span, points, x, width }) {
  const until = Date.parse(series?.until ?? "") || Date.now();
  const ago = ((points - 1 - at) / Math.max(points - 1, 1)) * span;
  const rows = BANDS.map(([, name, title], place) => [name, title, bands[place][at]]).filter(([, , value]) => value > 0).reverse();
  const box = h("div.tip", { role: "status" },
    h("div.when", {}, clock(until - ago * 1000, until), h("b", {}, `${number(totals[at])}/s`)),
    rows.map(([name, title, value]) => h("div", {}, h(`span.swatch.${name}`), title, h("b", {}, number(value)))),
    purges[at] > 0 ? h("div", {}, "Purges", h("b", {}, number(purges[at]))) : null);
  const share = (x(at) / width) * 100;
  if (share < 60) box.style.left = `calc(${share}% + 12px)`;
  else box.style.right = `calc(${100 - share}% + 12px)`;
  return box;
}

/** How latencies spread: the share of hits, and of misses, that took so long; each population is a whole by itself. */
export function histogram(data, width) {
  const bounds = data?.bounds_seconds ?? [];
  const shares = ["hits", "misses"].map(name => {
    const counts = data?.[name] ?? [];
    const all = counts.reduce(sum, 0);
    return { all, shares: counts.map(value => (all ? value / all : 0)) };
  });
  if (bounds.length < 2 || shares.every(({ all }) => all === 0)) return null;
  const height = 190;
  const frame = { left: 44, right: 6, top: 10, bottom: 22, width, height };
  const edges = edgesOf(bounds);
  const used = edges.flatMap((_, at) => (shares.some(one => one.shares[at] > 0) ? [at] : []));
  const first = Math.max(used[0] - 1, 0);
  const last = Math.min(used.at(-1) + 1, edges.length - 1);
  const [low, high] = [Math.log10(edges[first][0]), Math.log10(edges[last][1])];
  const x = value => frame.left + ((Math.log10(value) - low) / (high - low)) * (width - frame.left - frame.right);
  const top = Math.max(...shares.flatMap(one => one.shares)) * 1.06;
  const y = value => height - frame.bottom - (value / top) * (height - frame.top - frame.bottom);
  const bars = ["hit", "miss"].flatMap((name, population) => shares[population].shares.flatMap((share, at) => {
    if (share <= 0 || !edges[at]) return [];
    const [from, to] = edges[at].map(x);
    const title = `${percent(share)} % of ${name === "hit" ? "hits" : "misses"}: ${secondsText(edges[at][0])} to ${secondsText(edges[at][1])}`;
    return [h(`rect.${name}`, { x: f(from + .5), y: f(y(share)), width: f(Math.max(to - from - 1, 1)), height: f(y(0) - y(share)), rx: 1.5 }, h("title", {}, title))];
  }));
  const decades = [];
  for (let power = Math.ceil(low); power <= Math.floor(high); power += 1) decades.push(10 ** power);
  const labels = decades.map(value => [
    h("line.axis", { x1: x(value), x2: x(value), y1: frame.top, y2: y(0) }),
    h("text", { x: f(x(value)), y: height - 6, "text-anchor": anchor(x(value), width) }, secondsText(value)),
  ]);
  const levels = [top / 2, top / 1.06].map(level => h("text", { x: frame.left - 7, y: f(y(level) + 4), "text-anchor": "end" }, `${Math.round(level * 100)} %`));
  const said = ["hits", "misses"].map((name, at) => `${shares[at].all} ${name}`).join(", ");
  return h("div.chart.histogram", {}, h("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Latency of ${said}, on a logarithmic axis` },
    labels, levels, h("line.axis", { x1: frame.left, x2: width - frame.right, y1: y(0), y2: y(0) }), bars));
}

/** The share of requests that the cache answered, as a line over what is kept of the last 15 minutes. */
export function ratioLine(series, width, height = 74) {
  const requests = series?.requests ?? [];
  const span = Math.max(requests.length, 60);
  const room = width - 42;
  const points = slotsFor(span, room);
  const answered = reduced(requests.map((_, at) => (series.hits?.[at] ?? 0) + (series.stale?.[at] ?? 0)), span, points);
  const all = reduced(requests, span, points);
  const ratios = all.map((value, at) => (value > 0 ? Math.min(answered[at] / value, 1) : null));
  const known = ratios.filter(value => value !== null);
  if (known.length < 10) return null;
  const low = Math.min(...known) > 0.5 ? 0.5 : 0;
  const [x, y] = [at => (at / (points - 1)) * room, value => height - 7 - ((value - low) / (1 - low)) * (height - 14)];
  const runs = ratios.map((value, at) => (value === null ? "" : `${at && ratios[at - 1] !== null ? "L" : "M"}${f(x(at))} ${f(y(value))}`)).join("");
  return h("div.chart.line", {}, h("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Hit ratio over the last minutes" },
    [low, 1].map(level => h("line.axis", { x1: 0, x2: room, y1: y(level), y2: y(level) })),
    h("path.ratio-line", { d: runs }),
    [low, 1].map(level => h("text", { x: width, y: f(y(level) + 4), "text-anchor": "end" }, `${level * 100} %`))));
}

/** The bounds of each bucket of a histogram whose counts are one more than its bounds. */
function edgesOf(bounds) {
  const first = [bounds[0] / Math.max(bounds[1] / bounds[0], 1.5), bounds[0]];
  const between = bounds.slice(1).map((bound, at) => [bounds[at], bound]);
  return [first, ...between, [bounds.at(-1), bounds.at(-1) * 2]];
}

const slotsFor = (span, room) => Math.max(Math.min(span, Math.floor(room / 2)), 2);

/** The newest `span` values as `points` of them, each the mean (or sum) of those that it stands for; missing ones are 0. */
function reduced(values, span, points, join = mean) {
  const padded = [...new Array(Math.max(span - values.length, 0)).fill(0), ...values.slice(-span)].map(value => (Number.isFinite(value) ? value : 0));
  return Array.from({ length: points }, (_, at) => {
    const from = Math.floor((at * span) / points);
    return padded.slice(from, Math.max(Math.floor(((at + 1) * span) / points), from + 1)).reduce((all, value, place, them) => join(all, value, place, them), 0);
  });
}
const sum = (all, value) => all + value;
const mean = (all, value, _, them) => all + value / them.length;

function area(ceiling, floor, x, y) {
  const up = ceiling.map((value, at) => `${at ? "L" : "M"}${f(x(at))} ${f(y(value))}`).join("");
  const down = floor.map((value, at) => `L${f(x(at))} ${f(y(value))}`).reverse().join("");
  return `${up}${down}Z`;
}

/** The least of 1, 2, 2.5, 5 times a power of ten that holds a value. */
export function niceTop(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map(step => step * power).find(step => step >= value) ?? value;
}

const grid = (top, y, { left, right, width }) => [0, .5, 1].map(share => [
  h("line.axis", { x1: left, x2: width - right, y1: y(top * share), y2: y(top * share) }),
  h("text", { x: left - 7, y: f(y(top * share) + 4), "text-anchor": "end" }, share ? number(top * share) : "0"),
]);

function timeAxis(span, x, points, { height, width }) {
  const parts = { 60: 4, 300: 5 }[span] ?? (width < 560 ? 3 : 5);
  return Array.from({ length: parts + 1 }, (_, part) => {
    const ago = span - (span * part) / parts;
    const at = x(((points - 1) * part) / parts);
    const text = ago === 0 ? "now" : ago >= 60 && ago % 60 === 0 ? `−${ago / 60} min` : `−${Math.round(ago)} s`;
    return h("text", { x: f(at), y: height - 5, "text-anchor": part === parts ? "end" : part ? "middle" : "start" }, text);
  });
}

const anchor = (at, width) => (at > width - 24 ? "end" : "middle");
const f = value => (Number.isFinite(value) ? Math.round(value * 10) / 10 : 0);
