// The settings in force, and where each comes from.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { clock, count } from "./format.js";
import { badge, outcome } from "./parts.js";

const state = { document: null, problem: null, rules: null, search: "", onlySet: false, result: null, isBusy: false };

export const config = {
  title: "Config",
  needsNothing: true,
  enter: app => load(app),
  draw(app) {
    const inForce = app.snapshot?.config;
    return h("div.grid", {},
      h("section.card", {}, h("div.head", {}, h("h2", {}, "In force"), inForce ? badge(inForce.last_reload, "last-reload") : null),
        inForce ? h("p.note", {}, "Hash ", h("code", { "data-testid": "config-hash" }, inForce.hash), `, loaded ${clock(inForce.loaded_at)}.`) : null,
        inForce?.problem ? h("pre", {}, inForce.problem) : null,
        h("div.buttons", {}, h("button", { type: "button", disabled: state.isBusy, "data-testid": "trial", onclick: () => reload(app, true) }, "What would a reload change?"),
          h("button", { type: "button", disabled: state.isBusy, "data-testid": "reload", onclick: () => reload(app, false) }, "Reload")),
        outcome(state.result)),
      state.rules?.length ? h("section.card", {}, h("h2", {}, "Rules"), rules()) : null,
      h("section.card", {}, h("h2", {}, "Settings"), settings(app)));
  },
};

function settings(app) {
  if (state.problem) return h("p.empty", {}, state.problem);
  if (!state.document) return h("p.empty", {}, "Looking …");
  const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = state.document.settings.filter(row => (!state.onlySet || row.source !== "default") && words.every(word => `${row.setting} ${row.value}`.toLowerCase().includes(word)));
  return [
    h("div.toolbar", {},
      h("input", { type: "search", placeholder: "Search settings", "aria-label": "Search settings", oninput: event => { state.search = event.target.value; app.redraw(); } }),
      h("label.check", {}, h("input", { type: "checkbox", checked: state.onlySet, onchange: event => { state.onlySet = event.target.checked; app.redraw(); } }), "Only what is set")),
    found.length === 0 ? h("p.empty", {}, "No setting is like this.") : h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Settings" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Setting", "Value", "From"].map(name => h("th", { scope: "col" }, name)))),
      h("tbody", {}, found.map(row => h("tr", { "data-key": row.setting, "data-testid": `setting-${row.setting}` }, h("td", {}, h("code", {}, row.setting)), h("td.wide", {}, h("code", {}, row.value)), h("td.note", {}, row.source))))))];
}

const rules = () => h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Rules" }, h("table", {},
  h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Rule"), h("th.n", { scope: "col" }, "matches"))),
  h("tbody", {}, state.rules.map((rule, at) => h("tr", {}, h("td", {}, rule.name ?? `rule ${at + 1}`), h("td.n", {}, count(rule.matches ?? rule.matched ?? null)))))));

async function reload(app, isTrial) {
  state.isBusy = true;
  app.redraw();
  try {
    const report = await ask(`/api/v1/reload${isTrial ? "?trial" : ""}`, { method: "POST" });
    state.result = { content: [h("p", {}, isTrial ? "This would change:" : "Reloaded."), h("pre", {}, JSON.stringify(report, null, 2))] };
    app.say(isTrial ? "The answer of the trial is there." : "Reloaded.");
  } catch (error) {
    state.result = { isBad: true, content: [h("p", {}, "Nothing has changed:"), h("pre", {}, error.message)] };
    app.say("The reload was refused.");
  }
  state.isBusy = false;
  await load(app);
}

async function load(app) {
  try {
    state.document = await ask("/api/v1/config");
    state.rules = (await ask("/api/v1/rules")).rules;
    state.problem = null;
  } catch (error) {
    state.problem = error.message;
  }
  app.redraw();
}
