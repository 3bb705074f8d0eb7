// Why a URL is a hit or a miss: the proxy's own decisions, step by step. The form is in the address, so that it can be passed on.

import { askIfThere } from "./api.js";
import { h } from "./dom.js";
import { absent } from "./parts.js";

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
    look(app);
  },
  draw(app) {
    return h("div.grid", {},
      h("section.card", {}, h("h2", {}, "Why is it a hit, or a miss?"), form(app)),
      state.problem ? h("section.card", {}, h("p.empty", { "data-testid": "problem" }, state.problem)) : null,
      state.answer === undefined ? h("section.card", {}, absent("explanations", "See Cache-Status in the response: curl -sI URL.")) : null,
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
    if (location.hash === next) look(app);
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
  const steps = document.steps ?? [];
  return h("section.card", { "data-testid": "explanation" },
    document.verdict ? h("p.figure", { "data-testid": "verdict" }, String(document.verdict)) : null,
    h("ol.steps", {}, steps.map(step => h("li", {}, h("span.name", {}, step.name ?? step.step ?? ""), h("span", {}, text(step.text ?? step.detail ?? step))))),
    document.fix ? [h("h2", {}, "What to change"), h("pre", {}, text(document.fix))] : null);
}

const text = value => (typeof value === "string" ? value : JSON.stringify(value, null, 1));

async function look(app) {
  Object.assign(state, { isBusy: true, problem: null });
  app.redraw?.();
  const headers = state.headers.split("\n").map(line => line.trim()).filter(Boolean);
  try {
    state.answer = await askIfThere("/api/v1/explain", { method: "POST", body: { url: state.url, method: state.method, headers, fetch: state.fetch } });
    if (state.answer) app.say("The explanation is there.");
  } catch (error) {
    state.answer = null;
    state.problem = error.message;
  }
  state.isBusy = false;
  app.redraw();
}
