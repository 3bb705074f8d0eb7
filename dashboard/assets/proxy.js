// The proxy's pages: what is open, what is known, and the drawing of it once a second.

import { Source } from "./api.js";
import { h, show } from "./dom.js";
import { duration } from "./format.js";
import { badge } from "./parts.js";
import { config } from "./page-config.js";
import { explain } from "./page-explain.js";
import { log } from "./page-log.js";
import { objects } from "./page-objects.js";
import { origins } from "./page-origins.js";
import { overview } from "./page-overview.js";
import { purges } from "./page-purges.js";
import { traffic } from "./page-traffic.js";

const PAGES = { overview, traffic, purges, objects, origins, explain, config, log };
const main = document.querySelector("main");
const servedBy = document.documentElement.dataset.version;

const app = {
  snapshot: null,
  state: "waiting",
  detail: "",
  isHeld: false,
  redraw: () => schedule(),
  /** Tells people who cannot see the page what has changed: actions and states, never numbers that run. */
  say: text => { document.getElementById("said").textContent = text; },
  width: () => Math.round(main.clientWidth) || 800,
  open: (page, parameters) => { location.hash = `#/${page}?${new URLSearchParams(parameters)}`; },
};
let page = null;
let drawn = 0;

function schedule() {
  if (!drawn) drawn = requestAnimationFrame(() => { drawn = 0; draw(); });
}

function draw() {
  const { snapshot } = app;
  document.body.classList.toggle("is-old", app.state !== "live" && snapshot !== null);
  show(document.getElementById("facts"), facts(snapshot));
  show(document.getElementById("notices"), notices());
  if (snapshot || page.needsNothing) show(main, h("h1.hidden", {}, page.title), page.draw(app));
}

function facts(snapshot) {
  if (!snapshot) return [];
  const failed = snapshot.config?.last_reload === "failed";
  return [
    badge(snapshot.ready ? "ready" : "not ready", "ready"),
    h("span", {}, `up ${duration(snapshot.uptime_seconds)}`),
    h("span", {}, snapshot.version),
    h("a", { href: "#/config" }, failed ? "reload failed" : `config ${(snapshot.config?.hash ?? "").slice(0, 8)}`),
    h("button.small", { type: "button", "aria-pressed": String(app.isHeld), onclick: hold }, app.isHeld ? "Resume" : "Pause"),
  ];
}

function hold() {
  app.isHeld = !app.isHeld;
  app.say(app.isHeld ? "The page stands still." : "The page moves again.");
  schedule();
}

function notices() {
  const all = [];
  const reload = h("button.small", { type: "button", onclick: () => location.reload() }, "Reload the page");
  if (app.state === "refused") all.push(notice(".bad", "refused", [`Not allowed: ${app.detail} `, reload]));
  else if (app.state === "waiting" && app.waited > 4000) all.push(notice(".bad", "silent", `No numbers for ${duration(app.waited / 1000)}: the proxy does not answer. It is asked again each second.`));
  const version = app.snapshot?.version;
  if (version && servedBy && version !== servedBy) all.push(notice("", "version", [`The proxy is ${version} now, this page is of ${servedBy}. `, reload]));
  if (app.snapshot?.config?.last_reload === "failed") all.push(notice(".bad", "config", [`The last reload failed, and the old configuration is in force: ${app.snapshot.config.problem ?? ""} `]));
  return all;
}
const notice = (kind, key, content) => h(`p.notice${kind}`, { "data-key": key, "data-testid": `notice-${key}` }, content);

function tell(state, detail) {
  const old = app.state;
  app.state = state;
  app.waited = state === "waiting" ? detail : 0;
  app.detail = state === "waiting" ? "" : detail;
  if (old !== state && state === "live" && app.snapshot) app.say("Connected again.");
  if (old === "live" && state !== "live") app.say("The connection is lost.");
  if (state !== "live") schedule();
}

function take(snapshot) {
  const old = app.snapshot;
  const isRestarted = old && snapshot.uptime_seconds < old.uptime_seconds;
  if (isRestarted) app.say("The proxy has restarted.");
  if (old && old.ready !== snapshot.ready) app.say(snapshot.ready ? "The proxy is ready." : "The proxy is not ready.");
  if (app.isHeld && old) return;
  app.snapshot = snapshot;
  schedule();
}

function route() {
  const [name, query] = location.hash.replace(/^#\/?/, "").split("?");
  const next = PAGES[name] ?? overview;
  if (next !== page) page?.leave?.(app);
  const isFirst = page === null;
  const isOther = next !== page;
  page = next;
  document.title = `${page.title} – Shellac`;
  for (const link of document.querySelectorAll(".tabs a")) {
    if (PAGES[link.hash.slice(2)] === page) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else link.removeAttribute("aria-current");
  }
  page.enter?.(app, new URLSearchParams(query ?? ""));
  if (isOther && !isFirst) {
    main.replaceChildren();
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  draw();
}

addEventListener("hashchange", route);
addEventListener("resize", schedule);
document.querySelector(".skip").onclick = event => { event.preventDefault(); main.focus(); };
document.querySelector(".tabs").hidden = false;
route();
new Source({ path: "/api/v1/stream/stats", poll: "/api/v1/live", event: "stats", take, tell }).start();
