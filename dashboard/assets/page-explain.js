// Why a URL is a hit or a miss: the proxy's own decisions, step by step. The form is in the address, so that it can be passed on.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { bytesText, duration, secondsText } from "./format.js";
import { badge } from "./parts.js";

const state = { form: 0, url: "", method: "GET", headers: "", fetch: false, answer: null, problem: null, isBusy: false };

export const explain = {
  title: "Explain",
  needsNothing: true,
  enter(app, parameters) {
    if (!parameters.has("url")) return;
    Object.assign(state, {
      form: state.form + 1, url: parameters.get("url"), method: parameters.get("method") ?? "GET",
      headers: parameters.get("headers") ?? "", fetch: parameters.has("fetch"),
    });
    // A link from elsewhere has nothing sent to the origin: that takes a press on the button.
    look(app, state.fetch && state.pressed === location.hash);
  },
  draw(app) {
    return h("div.grid", {},
      h("section.card", {}, h("h2", {}, "Why is it a hit, or a miss?"), form(app)),
      state.problem ? h("section.card", {}, h("p.empty", { "data-testid": "problem" }, state.problem)) : null,
      state.answer ? answer(state.answer) : null);
  },
};

function form(app) {
  const change = name => event => { state[name] = event.target.value; };
  const submit = event => {
    event.preventDefault();
    const parameters = { url: state.url.trim() };
    if (state.method !== "GET") parameters.method = state.method;
    if (state.headers.trim()) parameters.headers = state.headers.trim();
    if (state.fetch) parameters.fetch = "";
    const next = `#/explain?${new URLSearchParams(parameters)}`;
    state.pressed = next;
    if (location.hash === next) look(app, state.fetch);
    else location.hash = next;
  };
  return h("form", { "data-key": `explain-${state.form}`, onsubmit: submit },
    h("label", {}, "URL", h("input", { value: state.url, required: true, placeholder: "https://shop.example/p/42", oninput: change("url"), spellcheck: "false", autocapitalize: "off", "data-testid": "explain-url" })),
    h("div.fields", {},
      h("label", {}, "Method", h("select", { onchange: change("method") }, ["GET", "HEAD", "POST"].map(value => h("option", { value, selected: value === state.method }, value)))),
      h("label", {}, "Header fields, one a line", h("textarea", { rows: "2", value: state.headers, placeholder: "Cookie: ab_bucket=b", oninput: change("headers"), spellcheck: "false" }))),
    h("div.buttons", {},
      h("button.main", { type: "submit", disabled: state.isBusy, "data-testid": "explain-go" }, state.isBusy ? "Asking …" : "Explain"),
      h("label.check", {}, h("input", { type: "checkbox", checked: state.fetch, onchange: event => { state.fetch = event.target.checked; } }), "Ask the origin, too")));
}

function answer(document) {
  const { verdict = {} } = document;
  return h("section.card", { "data-testid": "explanation" },
    h("p.figure", {}, h(`span.word.${VERDICTS[verdict.outcome] ?? "none"}`, { "data-testid": "verdict" }, verdict.outcome ?? "–"),
      verdict.is_cacheable === false ? h("small", {}, "can never be a hit as things are") : null),
    verdict.cause ? h("p", {}, verdict.reason ? h("code", {}, verdict.reason) : null, " ", coded(verdict.cause)) : null,
    verdict.remedy ? h("p.note", {}, coded(verdict.remedy)) : null,
    verdict.fix ? [h("h2.fix", {}, "What would change it"), h("pre", { "data-testid": "fix" }, verdict.fix)] : null,
    h("ol.steps", {}, steps(document).map(([name, ...told]) => h("li", {}, h("span.name", {}, name), h("div", {}, told)))));
}
/** What stands between backticks is code. */
const coded = text => text.split("`").map((part, at) => (at % 2 ? h("code", {}, part) : part));
const VERDICTS = { hit: "hit", stale: "stale", validation: "revalidated", miss: "miss", bypass: "bypass" };

/** The steps in the order in which the proxy takes them; those that it did not take are left out. */
function steps({ listener, rules = [], key, request, lookup, last_purge: last, origin, store }) {
  const all = [];
  const line = (...content) => h("div", {}, content);
  const small = (...content) => h("div.note", {}, content);
  const list = (words, names) => (names?.length ? small(`${words} `, names.map((name, at) => [at ? ", " : "", h("code", {}, name)])) : null);
  if (listener) all.push(["listener", line(listener.name ?? "", ` as ${listener.peer}${listener.is_trusted ? ", which is trusted" : ""}`)]);
  all.push(["rules", rules.length ? rules.map(rule => line(`#${rule.number} ${rule.name ?? ""}`)) : line("none match")]);
  if (key) all.push(["key", line(h("code", {}, key.url)), list("not in it: parameters", key.dropped_parameters), list("cookies", key.dropped_cookies), key.is_apart ? small("apart, for what rules look at") : null]);
  if (request) all.push(["request", line(request.may_be_cached ? "may be answered from the cache" : ["goes past the cache ", request.reason ? h("code", {}, request.reason) : null]), list("because of cookies", request.cookies)]);
  if (lookup) {
    all.push(["look-up", line(lookup.why ?? ""),
      lookup.age === undefined ? null : small(`${lookup.status}, ${bytesText(lookup.bytes)}, ${duration(lookup.age)} old, ${lookup.ttl > 0 ? `fresh for ${duration(lookup.ttl)}` : "stale"}${lookup.is_from_disk ? ", from the file" : ""}`),
      lookup.marker ? small("the last response could not be stored: ", h("code", {}, lookup.marker)) : null,
      lookup.purge ? small(`purged: ${lookup.purge.mode}${lookup.purge.seconds_ago === undefined ? "" : `, ${duration(lookup.purge.seconds_ago)} ago`}`) : null,
      lookup.variants > 1 ? list(`${lookup.variants} variants, by`, lookup.variants_differ_by) : null]);
  }
  if (last) all.push(["last purge", line(`${duration(last.seconds_ago ?? 0)} ago, ${last.mode}: `, h("code", { "data-testid": "last-purge" }, last.selector)),
    small(`from ${last.source} ${last.position ?? last.client ?? ""}${last.reason ? `: ${last.reason}` : ""}`)]);
  if (origin) all.push(["origin", line(origin.name, origin.because ? `: ${origin.because}` : ""), (origin.servers ?? []).map(server => small(server.server, " ", badge(server.state)))]);
  if (store) all.push(["store", line(store.is_stored ? "stored" : "not stored", store.cause ? `: ${store.cause}` : ""), small(`${store.status}, ${bytesText(store.bytes)}${store.content_type ? `, ${store.content_type}` : ""}${store.seconds === null ? "" : `, after ${secondsText(store.seconds)}`}`)]);
  return all;
}

async function look(app, asksOrigin) {
  Object.assign(state, { isBusy: true, problem: null });
  app.redraw?.();
  const pair = line => {
    const colon = line.indexOf(":");
    return colon < 0 ? [line, ""] : [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
  };
  const headers = state.headers.split("\n").map(line => line.trim()).filter(Boolean).map(pair);
  try {
    state.answer = await ask("/api/v1/explain", { method: "POST", body: { url: state.url, method: state.method, headers, fetch: asksOrigin } });
    app.say("The explanation is there.");
  } catch (error) {
    state.answer = null;
    state.problem = error.message;
  }
  state.isBusy = false;
  app.redraw();
}
