// The live log: requests as they end, with filters. It holds the newest lines; what comes too fast is counted, not shown.

import { Source, probe } from "./api.js";
import { h } from "./dom.js";
import { bytesText, clock, count, secondsText } from "./format.js";
import { explainLink } from "./parts.js";

const LINES_MAX = 400;
const state = { lines: [], isHeld: false, filter: "", dropped: 0, source: null, problem: null, form: 0, turn: 0 };

export const log = {
  title: "Log",
  needsNothing: true,
  enter(app, parameters) {
    if (parameters.has("filter")) Object.assign(state, { filter: parameters.get("filter"), form: state.form + 1 });
    follow(app);
  },
  leave() {
    state.turn += 1;
    state.source?.stop();
    state.source = null;
  },
  draw(app) {
    const hold = () => { state.isHeld = !state.isHeld; app.redraw(); };
    const submit = event => {
      event.preventDefault();
      Object.assign(state, { lines: [], dropped: 0 });
      follow(app);
    };
    return h("section.card", {},
      h("div.head", {}, h("h2", {}, "Live log"), h("span.note", { "data-testid": "log-count" }, `${count(state.lines.length)} lines${state.dropped ? `, ${count(state.dropped)} dropped` : ""}`)),
      h("form.toolbar", { "data-key": `log-${state.form}`, onsubmit: submit },
        h("input", { type: "search", "aria-label": "Filter", placeholder: "misses slower than 200ms", value: state.filter, oninput: event => { state.filter = event.target.value; }, spellcheck: "false", "data-testid": "log-filter" }),
        h("button", { type: "submit" }, "Apply"),
        h("button", { type: "button", "aria-pressed": String(state.isHeld), onclick: hold }, state.isHeld ? "Resume" : "Hold"),
        h("button", { type: "button", onclick: () => { state.lines = []; state.dropped = 0; app.redraw(); } }, "Clear")),
      state.problem ? h("p.empty", { "data-testid": "problem" }, state.problem) : null,
      lines());
  },
};

const lines = () => h("div.lines", { tabindex: "0", role: "region", "aria-label": "Requests, the newest first" }, h("table", {},
  h("thead", {}, h("tr", {}, ["At", "Outcome", "Status", "URL"].map(name => h("th", { scope: "col" }, name)), ["took", "bytes"].map(name => h("th.n", { scope: "col" }, name)))),
  h("tbody", {}, state.lines.map(line => h("tr", { "data-key": line.number },
    h("td", {}, clock(line.ts)), h("td", {}, h(`span.word.${/^[a-z]+$/.test(line.cache ?? "") ? line.cache : "none"}`, {}, line.cache ?? "–"), line.reason ? h("span.sub", {}, line.reason) : null),
    h("td", {}, String(line.status ?? "–")), h("td.url", {}, `${line.method ?? ""} `, explainLink(urlOf(line))),
    h("td.n", {}, secondsText(line.dur_ms === undefined ? null : line.dur_ms / 1000)), h("td.n", {}, bytesText(line.bytes)))))));

const urlOf = line => `${line.scheme ?? "http"}://${line.host ?? ""}${line.path ?? ""}${line.query ? `?${line.query}` : ""}`;

async function follow(app) {
  state.source?.stop();
  const asked = state.filter.trim();
  const path = `/api/v1/stream/log${asked ? `?filter=${encodeURIComponent(asked)}` : ""}`;
  const turn = (state.turn += 1);
  try {
    await probe(path);
    state.problem = null;
  } catch (error) {
    state.problem = error.message;
  }
  // Another filter was applied, or another page was opened, while this one was asked for.
  if (turn !== state.turn) return;
  app.redraw();
  if (state.problem) return;
  let next = state.lines.length ? state.lines[0].number + 1 : 1;
  const take = line => {
    if (typeof line.dropped === "number" && line.ts === undefined) state.dropped += line.dropped;
    else if (!state.isHeld) state.lines = [{ ...line, number: next++ }, ...state.lines].slice(0, LINES_MAX);
    app.redraw();
  };
  state.source = new Source({ path, event: ["log", "dropped"], take, tell: () => {} });
  state.source.start();
}
