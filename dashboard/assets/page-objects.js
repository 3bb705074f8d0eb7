// What is stored, and what its tags cost.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { NONE, bytesText, count, duration, number } from "./format.js";
import { badge, explainLink } from "./parts.js";
import { Table } from "./table.js";

const state = { by: "", value: "", answer: null, problem: null, isBusy: false, table: null, tags: null };
const KINDS = [["", "All"], ["tag", "With the tag"], ["prefix", "URL begins with"], ["url", "URL, every variant"]];

export const objects = {
  title: "Objects and tags",
  enter(app, parameters) {
    if (parameters.has("tag")) Object.assign(state, { by: "tag", value: parameters.get("tag"), form: (state.form ?? 0) + 1 });
    state.tags ??= new Table({
      caption: "Tags", by: "renders", key: row => row.tag, redraw: app.redraw,
      columns: [
        { name: "tag", title: "Tag", className: "wide", value: row => row.tag, cell: row => h("a", { href: `#/objects?tag=${encodeURIComponent(row.tag)}` }, row.tag) },
        { name: "pages", title: "pages", isNumber: true, value: row => row.pages, cell: row => count(row.pages) },
        { name: "purges", title: "purges/h", isNumber: true, value: row => row.purges_per_hour, cell: row => number(row.purges_per_hour) },
        { name: "renders", title: "renders it caused", isNumber: true, value: row => row.renders, cell: row => count(row.renders) },
        { name: "bytes", title: "bytes", isNumber: true, value: row => row.bytes, cell: row => bytesText(row.bytes) },
        { name: "stale", title: "served stale", isNumber: true, value: row => row.stale_served, cell: row => count(row.stale_served) },
        { name: "purge", title: "", className: "act", cell: row => h("a", { href: `#/purges?kind=tags&value=${encodeURIComponent(row.tag)}`, "aria-label": `Purge ${row.tag}` }, "Purge") },
      ],
    });
    look(app);
  },
  draw(app) {
    return h("div.grid", {},
      h("section.card", {}, h("h2", {}, "What tags cost"),
        state.tags.draw(app.snapshot.tags ?? [], "No response carried a tag, or none of them was purged yet."),
        h("p.note", {}, "Renders are requests to the origin that a purge of the tag made necessary. Tags are counted by a sketch of bounded size.")),
      h("section.card", {}, h("h2", {}, "Stored responses"), search(app), found(app)));
  },
};

function search(app) {
  const type = event => { state.value = event.target.value; };
  const choose = event => { state.by = event.target.value; };
  return h("form.toolbar", { "data-key": `search-${state.form ?? 0}`, onsubmit: event => { event.preventDefault(); look(app); } },
    h("select", { "aria-label": "By", onchange: choose }, KINDS.map(([value, title]) => h("option", { value, selected: value === state.by }, title))),
    h("input", { type: "search", "aria-label": "Tag or prefix", value: state.value, oninput: type, placeholder: "product-42" }),
    h("button", { type: "submit" }, "Show"));
}

function found(app) {
  if (state.problem) return h("p.empty", { "data-testid": "problem" }, state.problem);
  if (!state.answer) return h("p.empty", {}, state.isBusy ? "Looking …" : "");
  state.table ??= new Table({
    caption: "Stored responses", by: null, redraw: app.redraw, max: 5000,
    columns: [
      { name: "url", title: "URL", className: "url", value: row => row.url, cell: row => [explainLink(row.url), more(row)] },
      { name: "status", title: "status", isNumber: true, value: row => row.status, cell: row => String(row.status ?? NONE) },
      { name: "state", title: "State", value: row => row.state, cell: row => badge(row.state ?? NONE) },
      { name: "bytes", title: "bytes", isNumber: true, value: row => row.bytes, cell: row => bytesText(row.bytes) },
      { name: "age", title: "age", isNumber: true, value: row => row.age_seconds, cell: row => duration(row.age_seconds) },
      { name: "ttl", title: "fresh for", isNumber: true, value: row => row.ttl_seconds, cell: row => (row.ttl_seconds > 0 ? duration(row.ttl_seconds) : NONE) },
      { name: "tags", title: "tags", isNumber: true, value: row => row.tag_count, cell: row => (row.tags ? row.tags.length : count(row.tag_count)) },
    ],
  });
  const { objects: rows = [], next, is_partial: isPartial } = state.answer;
  return [
    state.table.draw(rows, "Nothing that is stored is like this."),
    isPartial ? h("p.note", {}, "The search took too long and was ended: there may be more.") : null,
    next ? h("div.buttons", {}, h("button", { type: "button", disabled: state.isBusy, onclick: () => look(app, next) }, "More")) : null,
  ];
}

function more(row) {
  const said = [row.media_type, row.compressed, row.varies_by?.length ? `varies by ${row.varies_by.join(", ")}` : "", row.is_part ? "a part" : "", row.tier];
  return [h("span.sub", {}, said.filter(Boolean).join(" · ")), row.tags?.length ? h("span.sub.mono", {}, row.tags.slice(0, 20).join(" "), row.tags.length > 20 ? ` and ${row.tags.length - 20} more` : "") : null];
}

async function look(app, after) {
  state.isBusy = true;
  try {
    const query = new URLSearchParams();
    if (state.by !== "url") query.set("limit", "200");
    if (state.by && state.value.trim()) query.set(state.by, state.value.trim());
    if (after) query.set("after", after);
    const answer = await ask(`/api/v1/objects?${query}`.replaceAll("+", "%20"));
    state.answer = after ? { ...answer, objects: [...state.answer.objects, ...answer.objects] } : answer;
    state.problem = null;
  } catch (error) {
    state.problem = error.message;
  }
  state.isBusy = false;
  app.redraw();
}
