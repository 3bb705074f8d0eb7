// A browser in front of five sites behind a cache: what is wrong with what visitors see, and what the site is spared.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { visit } from './scenario.mjs';
import { CACHES, Site } from './servers.mjs';

const SITES = {
  'next-app': { preset: 'nextjs', preview: '/api/draft', personal: '/ppr/1' },
  nuxt: { preset: 'nuxt' }, // its preview mode is the browser's own
  sveltekit: { preset: 'sveltekit', preview: '/preview' },
  'react-router': { preset: 'react-router', preview: '/preview' },
  astro: { preset: 'astro', preview: '/preview' },
};
const SHOWN_MAX = 12;

const { values: options } = parseArgs({
  options: {
    sites: { type: 'string', default: Object.keys(SITES).join() },
    caches: { type: 'string', default: 'preset,preset-2m,bare,varnish,vcl' },
    visitors: { type: 'string', default: '8' },
    shellac: { type: 'string' },
    chromium: { type: 'string' },
    modules: { type: 'string' },
    reached: { type: 'boolean' },
  },
});
const { chromium } = createRequire(join(options.modules, 'package.json'))('playwright-core');
const vcl = readFileSync(join(import.meta.dirname, 'site.vcl'), 'utf8');
const browser = await chromium.launch({
  executablePath: options.chromium,
  args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--no-first-run', '--disable-default-apps', '--no-pings'],
});

async function measure(name, cacheName) {
  const { preset, preview, personal } = SITES[name];
  const site = await Site.serve(name);
  const cache = await CACHES[cacheName](site, { shellac: options.shellac, preset, vcl });
  const stage = { site, cache, preview, personal, secrets: new Set() };
  try {
    const { wrong, errors } = await visit(browser, stage, Number(options.visitors));
    return { name, cacheName, wrong, errors, asked: await cache.requests(), reached: await site.requests(), list: site.reached };
  } finally {
    await cache.stop();
    await site.stop();
  }
}

let isRight = true;
console.log('| site | cache | requests | origin requests | spared | wrong | console errors |');
console.log('|---|---|---|---|---|---|---|');
for (const name of options.sites.split(',')) {
  for (const cacheName of options.caches.split(',')) {
    const { wrong, errors, asked, reached, list } = await measure(name, cacheName);
    const spared = ((1 - reached / asked) * 100).toFixed(1);
    console.log(`| ${name} | ${cacheName} | ${asked} | ${reached} | ${spared} % | ${wrong.length} | ${errors.length} |`);
    for (const text of [...wrong, ...errors].slice(0, SHOWN_MAX)) console.error(`  ${name}, ${cacheName}: ${text}`);
    if (options.reached) list.forEach((request) => console.error(`  ${name}, ${cacheName}: reached by ${request}`));
    isRight &&= !cacheName.startsWith('preset') || wrong.length + errors.length === 0;
  }
}
await browser.close();
process.exit(isRight ? 0 : 1);
