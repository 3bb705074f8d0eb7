// Pieces that several pages share.

import { h } from "./dom.js";
import { NONE, bytes, percent, plural, seconds } from "./format.js";

/** A card with a name and one large value. */
export function figure(title, [value, unit], under, id, swatch) {
  return h("section.card", {},
    h("h2.label", {}, swatch ? h(`span.swatch.${swatch}`) : null, title),
    h("p.figure", { "data-testid": id }, value, unit ? h("small", {}, unit) : null),
    under ? h("p.under", {}, under) : null);
}

export const card = (title, classes, ...content) => h(`section.card${classes}`, {}, h("h2", {}, title), content);

/** A word with a colour and a shape: neither alone carries the meaning. */
export function badge(word, id) {
  const kind = GOOD.has(word) ? ".good" : BAD.has(word) ? ".bad" : WARN.has(word) ? ".warn" : "";
  return h(`span.badge${kind}`, { "data-testid": id }, word);
}
const GOOD = new Set(["up", "healthy", "ready", "current", "keeping up", "ok", "connected", "enabled", "fresh"]);
const WARN = new Set(["draining", "drain", "probing", "slow start", "slow-start", "half-open", "catching-up", "catching up", "unattended", "late", "behind", "unknown", "disabled", "stale", "unproven", "full", "new"]);
const BAD = new Set(["down", "sick", "ejected", "open", "circuit-open", "failed", "degraded", "not ready", "not connected", "not allowed", "unreachable"]);

/** Milliseconds with one unit for several percentiles. */
export function percentiles(of) {
  if (!of) return [[NONE, ""], "no samples yet"];
  return [seconds(of.p99), ["p50 ", h("b", {}, seconds(of.p50).join("\u00a0")), "  p95 ", h("b", {}, seconds(of.p95).join("\u00a0"))]];
}

/** A bar that says how full something is. */
export function meter(part, whole, label) {
  const share = whole > 0 && Number.isFinite(part) ? Math.min(part / whole, 1) : 0;
  const bar = h("span", { "width%": (share * 100).toFixed(1), class: share > 0.97 ? "warn" : null });
  return h("div.bar-track", { role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": Math.round(share * 100) }, bar);
}

export const filled = (part, whole) => (whole > 0 && Number.isFinite(part) ? `${percent(part / whole)} %` : NONE);

/** What an action has led to: its result, or why there is none. */
export function outcome(result) {
  if (!result) return null;
  return h(`div.answer${result.isBad ? ".bad" : ""}`, { "data-testid": "outcome" }, result.content);
}


/** A selector of a purge as text. */
export const responses = value => plural(value, "response");
export const size = value => bytes(value).join(" ").trim();

/** The deep link to why a URL is a hit or a miss. */
export const explainLink = (url, text = url) => h("a", { href: `#/explain?url=${encodeURIComponent(url)}` }, text);
