import adapter from '@sveltejs/adapter-node';
import { sveltekit } from '@sveltejs/kit/vite';

const deployment = process.env.DEPLOYMENT ?? 'a';

export default {
  define: { __DEPLOYMENT__: JSON.stringify(deployment) },
  plugins: [
    sveltekit({
      adapter: adapter({ out: `build-${deployment}`, precompress: false }),
      outDir: `.svelte-kit-${deployment}`,
      version: { name: `deployment-${deployment}` },
    }),
  ],
};
