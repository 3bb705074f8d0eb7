// What every page of a site has in common: it is loaded and rendered anew for each request, takes its page's time, and
// says to a shared cache how long it is fresh and by which tags it can be purged.
//
// The ETag is the SITE's id, the same for all its pages: the users' renderers do so, and use it as one more purge tag. It
// does not identify a representation, so an If-None-Match that equals it says nothing: every request is rendered and
// answered with 200, never 304 (and Next's own check is off, see next.config.mjs).
import { setTimeout as sleep } from "node:timers/promises";

import { site as siteOf } from "../catalogue/catalogue.mjs";
import { seeded } from "../catalogue/random.mjs";
import { countRender } from "../server/stats.mjs";

/**
 * Returns a `getServerSideProps`. `load` gets `{ site, params, random }` and returns `{ page, authors, products, props }`:
 * the page's name (a part of its tag), the ids on it, and what the component needs; or null for 404.
 */
export function sitePage(kind, load) {
  return async function getServerSideProps({ params, res }) {
    const site = siteOf(params.site);
    const random = seeded(`${kind} ${Object.values(params).join(" ")}`);
    // Loaded before the wait: like a page that has read its database and is still being rendered when the data changes.
    const loaded = site && load({ site, params, random });
    if (!loaded) {
      return { notFound: true };
    }
    countRender(kind);
    await sleep(random.skewed(WAIT_MS_MIN, WAIT_MS_MAX, 2.5));

    const tags = [
      `site-${site.id}`,
      `page-${loaded.page}`,
      ...loaded.products.map((id) => `product-${id}`),
      ...loaded.authors.map((id) => `author-${id}`),
    ];
    res.setHeader("Cache-Control", "public, s-maxage=604800, max-age=60, stale-while-revalidate=60, stale-if-error=86400");
    res.setHeader("ETag", `"site-${site.id}"`);
    res.setHeader("Surrogate-Key", tags.join(" "));
    const frame = { site: site.id, title: site.title, categories: site.categories };
    return { props: { frame, ...loaded.props } };
  };
}

// Most pages are near the minimum, one in a hundred near the maximum.
const WAIT_MS_MIN = 3;
const WAIT_MS_MAX = 40;
