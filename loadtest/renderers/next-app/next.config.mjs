const deployment = process.env.DEPLOYMENT ?? 'a';

export default {
  distDir: `.next-${deployment}`,
  cacheComponents: true,
  partialPrefetching: true,
  generateBuildId: () => `deployment-${deployment}`,
  env: { DEPLOYMENT: deployment },
  turbopack: { root: import.meta.dirname },
  images: { localPatterns: [{ pathname: '/pictures/**', search: '' }] },
  headers: () => [
    { source: '/p/:id', headers: [{ key: 'Cache-Tag', value: 'product-:id' }] },
    { source: '/:path*', headers: [{ key: 'X-Deployment-Id', value: deployment }] },
  ],
};
