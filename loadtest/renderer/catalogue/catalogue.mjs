// The data set: sites, their authors, categories and products. Made from a seed at start, kept in memory, and the same in
// every process until a product is changed. No files, no database; `render/page.mjs` adds the wait of a real one.
import { shared } from "../shared.mjs";
import { personName, productName } from "./prose.mjs";
import { seeded } from "./random.mjs";

/** Returns the site of this id, or undefined. Its products and authors are in the order of their ids. */
export function site(id) {
  return catalogue().sites.get(id);
}

export function sites() {
  return [...catalogue().sites.values()];
}

/** Returns the product of this id (a decimal number as text), or undefined. */
export function product(id) {
  return /^[1-9]\d{0,8}$/.test(id) ? catalogue().products.get(Number(id)) : undefined;
}

export function author(id) {
  return /^[1-9]\d{0,8}$/.test(id) ? catalogue().authors.get(Number(id)) : undefined;
}

/** Changes a product: the price that was given, or one more than before. Every page that shows it is now out of date. */
export function changeProduct(changed, price) {
  changed.price = toCents(price ?? changed.price + 1);
  changed.version += 1;
}

/** Returns the paths of all cacheable pages of these sites, in a fixed order. */
export function paths(ofSites) {
  return ofSites.flatMap(({ id, categories, authors, products }) => [
    `/s/${id}/`,
    ...categories.map((category) => `/s/${id}/c/${category}`),
    ...authors.map((author) => `/s/${id}/a/${author.id}`),
    ...products.map((product) => `/s/${id}/p/${product.id}`),
  ]);
}

function catalogue() {
  return shared("catalogue", make);
}

function make() {
  const made = { sites: new Map(), products: new Map(), authors: new Map() };
  for (const [id, productCount] of SITES) {
    const random = seeded(`site ${id}`);
    const site = { id, title: `The ${id} house`, categories: CATEGORIES, authors: [], products: [] };
    for (let count = 0; count < AUTHORS_PER_SITE; count += 1) {
      const author = { id: made.authors.size + 1, site: id, name: personName(random) };
      made.authors.set(author.id, author);
      site.authors.push(author);
    }
    for (let count = 0; count < productCount; count += 1) {
      const product = makeProduct(made.products.size + 1, site, random);
      made.products.set(product.id, product);
      site.products.push(product);
    }
    made.sites.set(id, site);
  }
  return made;
}

function makeProduct(id, site, random) {
  return {
    id,
    site: site.id,
    name: productName(random),
    // The first categories and authors of a site have far more products than the last.
    category: site.categories[random.skewed(0, site.categories.length - 1, 2)],
    author: site.authors[random.skewed(0, site.authors.length - 1, 1.5)].id,
    price: toCents(4 + 400 * random.fraction() ** 3),
    version: 1,
  };
}

function toCents(price) {
  return Math.round(price * 100) / 100;
}

const SITES = [
  ["amber", 1200],
  ["birch", 800],
  ["cedar", 500],
  ["delta", 350],
  ["ember", 150],
];
const AUTHORS_PER_SITE = 8;
const CATEGORIES = ["lighting", "seating", "tables", "storage", "kitchen", "textiles", "garden", "office", "mirrors", "clocks", "tools", "paper", "toys", "gifts"];
