import { cached } from '../../lib/shop.server.js';

export function load({ url, setHeaders }) {
  setHeaders(cached);
  return { q: url.searchParams.get('q') };
}
