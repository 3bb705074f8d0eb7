// Purges: the last ones, and a form that says what a purge would hit before it is one.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { clock, count, secondsText } from "./format.js";
import { outcome, responses } from "./parts.js";
import { Table } from "./table.js";

const KINDS = [
  ["tags", "Tags", "product-42"],
  ["urls", "URLs", "https://shop.example/p/42?page=2"],
  ["pages", "Pages with their data", "https://shop.example/p/42"],
  ["paths", "Paths under every query", "https://shop.example/p/42"],
  ["prefixes", "Everything that begins so", "https://shop.example/blog/"],
  ["hosts", "Whole hosts", "shop.example"],
  ["all", "Everything", ""],
];
const state = { kind: "tags", value: "", mode: "", reason: "", counted: null, result: null, isBusy: false, table: null, form: 0 };

export const purges = {
  title: "Purges",
  enter(app, parameters) {
    if (parameters.has("value")) {
      state.kind = KINDS.some(([name]) => name === parameters.get("kind")) ? parameters.get("kind") : "tags";
      state.value = parameters.get("value");
      Object.assign(state, { counted: null, result: null, form: state.form + 1 });
    }
    state.table ??= new Table({
      caption: "Last purges", key: null, redraw: app.redraw, by: "at",
      columns: [
        { name: "at", title: "At", isNumber: true, isLeft: true, value: row => Date.parse(row.at) || null, cell: row => clock(row.at, Date.parse(app.snapshot?.now)) },
        { name: "selector", title: "What", className: "wide", value: row => row.selector, cell: row => row.selector },
        { name: "mode", title: "Mode", value: row => row.mode, cell: row => row.mode ?? "" },
        { name: "source", title: "From", value: row => row.source, cell: row => [row.source, row.position || row.client ? h("span.sub.mono", {}, row.position ?? row.client) : null] },
        { name: "objects", title: "responses", isNumber: true, value: row => row.objects, cell: row => count(row.objects) },
        { name: "seconds", title: "took", isNumber: true, value: row => row.seconds, cell: row => secondsText(row.seconds) },
      ],
    });
  },
  needsNothing: true,
  draw(app) {
    return h("div.grid", {},
      h("section.card.w5", {}, h("h2", {}, "Purge"), form(app)),
      h("section.card.w7", {}, h("h2", {}, "Last purges"), state.table.draw(app.snapshot?.purges ?? [], "Nothing was purged since the start.")));
  },
};

function form(app) {
  const kind = KINDS.find(([name]) => name === state.kind);
  const change = name => event => {
    state[name] = event.target.value;
    Object.assign(state, { counted: null, result: null });
    app.redraw();
  };
  const options = (choices, chosen) => choices.map(([value, title]) => h("option", { value, selected: value === chosen }, title));
  return h("form", { "data-key": `purge-${state.form}`, onsubmit: event => { event.preventDefault(); return state.counted ? undefined : look(app); } },
    h("label", {}, "What", h("select", { onchange: change("kind"), "data-testid": "purge-kind" }, options(KINDS, state.kind))),
    kind[0] === "all" ? null : h("label", {}, "One a line", h("textarea", { rows: "3", placeholder: kind[2], oninput: change("value"), value: state.value, spellcheck: "false", autocapitalize: "off", "data-testid": "purge-value" })),
    h("div.fields", {},
      h("label", {}, "Mode", h("select", { onchange: change("mode"), "data-testid": "purge-mode" }, options([["", "as configured"], ["hard", "hard: never used again"], ["soft", "soft: stale from now on"]], state.mode))),
      h("label", {}, "Reason, for the log", h("input", { value: state.reason, maxlength: "200", oninput: event => { state.reason = event.target.value; } }))),
    state.counted ? confirm(app) : h("div.buttons", {}, h("button.main", { type: "submit", disabled: state.isBusy, "data-testid": "purge-count" }, state.isBusy ? "Counting …" : "Count first"),
      h("span.note", {}, "Nothing is purged yet.")),
    outcome(state.result));
}

function confirm(app) {
  const { objects } = state.counted.matched;
  const rows = state.counted.selectors.map(report => h("li", {}, `${named(report)}: ${responses(report.objects)}`));
  return h("div.answer", { "data-testid": "counted" },
    h("p.figure", {}, responses(objects)), h("p.note", {}, state.counted.is_lower_bound ? "in memory; what only the file holds is not counted" : "would be purged now"),
    rows.length > 1 ? h("ul", {}, rows.slice(0, 20)) : null,
    state.counted.hint ? h("p.note", {}, state.counted.hint) : null,
    h("div.buttons", {},
      h("button.deed", { type: "button", disabled: state.isBusy, onclick: () => purge(app), "data-testid": "purge-confirm" }, state.isBusy ? "Purging …" : `Purge ${responses(objects)}`),
      h("button", { type: "button", onclick: () => { state.counted = null; app.redraw(); } }, "Cancel")));
}

function request() {
  const values = state.value.split("\n").map(line => line.trim()).filter(Boolean);
  const body = state.kind === "all" ? { all: true } : { [state.kind]: values };
  if (state.mode) body.mode = state.mode;
  body.reason = state.reason.trim() || "dashboard";
  return body;
}

const look = app => act(app, "/api/v1/purge?dry_run", request(), (report, body) => {
  // The form has changed while it was counted: what it says now was not.
  if (JSON.stringify(body) !== JSON.stringify(request())) return;
  state.counted = { ...report, body };
  app.say(`${responses(report.matched.objects)} would be purged. Confirm or cancel.`);
});

/** Purges what was counted, whatever the form says by now. */
const purge = app => act(app, "/api/v1/purge", state.counted.body, report => {
  state.counted = null;
  const said = `Purged ${responses(report.matched.objects)} in ${secondsText(report.took_us / 1e6)}.`;
  state.result = { content: h("p", {}, said, report.hint ? h("span.sub", {}, report.hint) : null) };
  app.say(said);
});

async function act(app, path, body, done) {
  Object.assign(state, { isBusy: true, result: null });
  app.redraw();
  try {
    done(await ask(path, { method: "POST", body }), body);
  } catch (error) {
    state.counted = null;
    state.result = { isBad: true, content: error.message };
    app.say(error.message);
  }
  state.isBusy = false;
  app.redraw();
}

/** A selector report's name: `{"tag": "x", "objects": 1}` is "tag x". */
function named(report) {
  const kind = ["tag", "url", "page", "path", "prefix", "host", "all", "expression", "deploy"].find(name => name in report);
  const value = report[kind];
  return kind === "all" ? "everything" : `${kind} ${typeof value === "string" ? value : JSON.stringify(value)}`;
}
