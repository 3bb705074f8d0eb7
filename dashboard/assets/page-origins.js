// Origins and their servers: how they are, and taking them out of use and back.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { count, duration, percent } from "./format.js";
import { badge, outcome } from "./parts.js";

const state = { document: null, result: null, isBusy: false, asked: null, problem: null };

export const origins = {
  title: "Origins",
  needsNothing: true,
  enter(app) { load(app); },
  leave: () => { Object.assign(state, { result: null, asked: null }); },
  draw(app) {
    // Once a second with the snapshot, and not while somebody decides.
    if (app.snapshot !== state.seen) {
      state.seen = app.snapshot;
      if (!state.isBusy) load(app);
    }
    return h("div.grid", {},
      state.problem ? h("section.card", {}, h("p.empty", {}, state.problem)) : null,
      (state.document?.origins ?? []).map(origin => h("section.card", { "data-key": origin.name },
        h("div.head", {}, h("h2", {}, origin.name), badge(origin.is_usable ? "up" : "down"),
          h("span.note", {}, `circuit ${origin.circuit}, ${count(origin.in_flight)} in flight, ${count(origin.queued)} queued`)),
        servers(app, origin))),
      h("section.card", {}, h("h2", {}, "This proxy"), itself(app)),
      state.result ? h("section.card", {}, outcome(state.result)) : null);
  },
};

const servers = (app, origin) => h("div.scroll", { tabindex: "0", role: "region", "aria-label": `Servers of ${origin.name}` }, h("table", {},
  h("thead", {}, h("tr", {}, ["Server", "State"].map(name => h("th", { scope: "col" }, name)), h("th.opt", { scope: "col" }, "Since"), h("th.n.opt", { scope: "col" }, "share"), h("th.n", { scope: "col" }, "in flight"), ["latency", "ejections"].map(name => h("th.n.opt", { scope: "col" }, name)), h("th", {}, h("span.hidden", {}, "Actions")))),
  h("tbody", {}, origin.servers.map(server => h("tr", { "data-key": server.server },
    h("td", {}, server.server, server.probes ? h("span.sub", {}, `${server.probes.good} of ${server.probes.window} probes good`) : null),
    h("td", {}, badge(server.state, `state-${server.server}`), server.reason ? h("span.sub", {}, server.reason) : null),
    h("td.opt", {}, duration(server.lasted_seconds)),
    h("td.n.opt", {}, typeof server.share === "number" ? `${percent(server.share)} %` : "–"), h("td.n", {}, count(server.in_flight)),
    h("td.n.opt", {}, typeof server.latency_ms === "number" ? `${server.latency_ms} ms` : "–"), h("td.n.opt", {}, count(server.ejections)),
    h("td.act", {}, actions(app, origin, server)))))));

function actions(app, origin, server) {
  const path = `/api/v1/origins/${encodeURIComponent(origin.name)}/servers/${encodeURIComponent(server.server)}`;
  const isIn = server.assigned === "enabled";
  const name = `${origin.name} ${server.server}`;
  if (state.asked === name) {
    const last = origin.servers.filter(other => other.assigned === "enabled").length === 1;
    return h("span.buttons", {},
      last ? h("span.note", {}, "It is the last one in use.") : null,
      h("button.deed.small", { type: "button", disabled: state.isBusy, "data-testid": "drain-confirm", onclick: () => assign(app, path, "drain", name) }, "Drain it"),
      h("button.small", { type: "button", onclick: () => { state.asked = null; app.redraw(); } }, "Cancel"));
  }
  return isIn
    ? h("button.small", { type: "button", "aria-label": `Drain ${name}`, "data-testid": `drain-${server.server}`, onclick: () => { state.asked = name; app.redraw(); } }, "Drain")
    : h("button.small", { type: "button", "aria-label": `Enable ${name}`, "data-testid": `enable-${server.server}`, disabled: state.isBusy, onclick: () => assign(app, path, "enabled", name) }, "Enable");
}

function itself(app) {
  const isReady = app.snapshot?.ready;
  if (isReady === undefined) return h("p.empty", {}, "Nothing is known yet.");
  const name = "this proxy";
  const order = (path, said) => act(app, path, { method: "POST" }, () => said);
  if (state.asked === name) {
    return h("div.buttons", {}, h("span.note", {}, "Readiness will say 503, so that balancers send nothing here; what comes is served. "),
      h("button.deed", { type: "button", "data-testid": "withdraw-confirm", onclick: () => order("/api/v1/drain", "The proxy is not ready: balancers leave it.") }, "Drain this proxy"),
      h("button", { type: "button", onclick: () => { state.asked = null; app.redraw(); } }, "Cancel"));
  }
  return h("div.buttons", {}, badge(isReady ? "ready" : "not ready", "itself"),
    isReady ? h("button", { type: "button", "data-testid": "withdraw", onclick: () => { state.asked = name; app.redraw(); } }, "Drain")
      : h("button", { type: "button", "data-testid": "return", onclick: () => order("/api/v1/undrain", "The operator's drain has ended.") }, "End the drain"));
}

const assign = (app, path, to, name) => act(app, path, { method: "PATCH", body: { state: to } }, answer =>
  `${name} is ${answer.assigned === "enabled" ? "in use again" : "drained: what it has in flight is finished"}.${answer.warning ? ` Warning: ${answer.warning}.` : ""}`);

async function act(app, path, options, done) {
  state.isBusy = true;
  app.redraw();
  try {
    const said = done(await ask(path, options));
    state.result = { content: said };
    app.say(said);
  } catch (error) {
    state.result = { isBad: true, content: error.message };
    app.say(error.message);
  }
  Object.assign(state, { isBusy: false, asked: null });
  await load(app);
}

async function load(app) {
  if (state.isLoading) return;
  state.isLoading = true;
  try {
    state.document = await ask("/api/v1/origins");
    state.problem = null;
  } catch (error) {
    state.problem = error.message;
  }
  state.isLoading = false;
  app.redraw();
}
