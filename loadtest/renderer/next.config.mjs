// Next's settings: everything that would touch a response's header fields, or its caching, is off.
const config = {
  // Next's own ETag is a hash of the page, and it would answer 304 to it. Ours is the site's id: see render/page.mjs.
  generateEtags: false,
  poweredByHeader: false,
  // No gzip, therefore no "Vary: Accept-Encoding".
  compress: false,
  // The home of a site is "/s/:site/". Next would redirect it to "/s/:site".
  skipTrailingSlashRedirect: true,
  // It is a part of every page. Random ones would make the pages of two builds differ.
  generateBuildId: () => "renderer",
  // Next looks upwards for a lock file to find the project's root; this folder is the root.
  turbopack: { root: import.meta.dirname },
  outputFileTracingRoot: import.meta.dirname,
};

export default config;
