// Tables that can be sorted and searched.

import { h } from "./dom.js";

/**
 * A table whose order a reader chooses. `columns`: `{name, title, value(row), cell(row), isNumber, isLeft, className}`; a column
 * without `value` is not sorted by. `key(row)` keeps a row's focus when the order changes.
 */
export class Table {
  #columns; #by; #isDown; #key; #caption; #redraw; #max;

  constructor({ columns, by = null, key, caption, redraw, max = 100 }) {
    [this.#columns, this.#by, this.#key, this.#caption, this.#redraw, this.#max] = [columns, by, key, caption, redraw, max];
    this.#isDown = Boolean(columns.find(({ name }) => name === by)?.isNumber);
  }

  draw(rows, empty) {
    if (!rows.length) return h("p.empty", {}, empty);
    const shown = this.#sorted(rows).slice(0, this.#max);
    return h("div.scroll", { tabindex: "0", role: "region", "aria-label": this.#caption },
      h("table", {},
        h("caption.hidden", {}, this.#caption),
        h("thead", {}, h("tr", {}, this.#columns.map(column => this.#title(column)))),
        h("tbody", {}, shown.map(row => h("tr", { "data-key": this.#key?.(row) },
          this.#columns.map(column => h("td", { class: classes(column) }, column.cell(row))))))));
  }

  #title(column) {
    const isBy = this.#by === column.name;
    if (!column.value) return h("th", { scope: "col", class: classes(column) }, column.title);
    const sort = () => {
      this.#isDown = isBy ? !this.#isDown : Boolean(column.isNumber);
      this.#by = column.name;
      this.#redraw();
    };
    const order = this.#isDown ? "descending" : "ascending";
    return h("th", { scope: "col", class: classes(column), "aria-sort": isBy ? order : null },
      h("button", { type: "button", onclick: sort, "data-sort": column.name }, column.title));
  }

  #sorted(rows) {
    const column = this.#columns.find(({ name }) => name === this.#by);
    if (!column) return rows;
    const of = row => column.value(row) ?? (column.isNumber ? -Infinity : "");
    const compare = column.isNumber ? (a, b) => of(a) - of(b) : (a, b) => String(of(a)).localeCompare(String(of(b)));
    const sorted = [...rows].sort(compare);
    return this.#isDown ? sorted.reverse() : sorted;
  }
}

const classes = column => [column.isNumber && !column.isLeft ? "n" : "", column.className ?? ""].join(" ").trim() || null;
