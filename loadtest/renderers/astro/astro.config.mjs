import node from '@astrojs/node';
import { defineConfig } from 'astro/config';

const deployment = process.env.DEPLOYMENT ?? 'a';

export default defineConfig({
  output: 'server',
  adapter: node({ mode: 'standalone' }),
  outDir: `dist-${deployment}`,
  cacheDir: `.astro-cache-${deployment}`,
  prefetch: { defaultStrategy: 'hover' },
  security: { checkOrigin: false },
  vite: { define: { __DEPLOYMENT__: JSON.stringify(deployment) } },
});
