const deployment = process.env.DEPLOYMENT ?? 'a';
const cached = { 'cache-control': 'public, s-maxage=600, stale-while-revalidate=3600' };

export default defineNuxtConfig({
  compatibilityDate: '2026-11-01',
  telemetry: false,
  buildId: `deployment-${deployment}`,
  buildDir: `.nuxt-${deployment}`,
  nitro: { preset: 'node-server', output: { dir: `.output-${deployment}` } },
  runtimeConfig: { public: { deployment } },
  experimental: { componentIslands: true, payloadExtraction: true },
  routeRules: {
    '/': { isr: true, headers: cached },
    '/p/**': { isr: true, headers: cached },
    '/search': { headers: cached },
    '/account': { headers: { 'cache-control': 'private, no-store' } },
  },
});
