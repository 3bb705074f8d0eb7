// Products as pages show them: copies of what is in the catalogue at this moment, because a render outlives it.

/** Returns what the product page shows of the product. */
export function shown({ id, name, category, author, price, version }) {
  return { id, name, category, author, price, version };
}

/** Returns up to `count` products of the list, each a `shown`, beginning somewhere in it. */
export function someOf(products, count, random) {
  const start = products.length > count ? random.integer(0, products.length - count) : 0;
  return products.slice(start, start + count).map(shown);
}

export function ids(list) {
  return list.map(({ id }) => id);
}
