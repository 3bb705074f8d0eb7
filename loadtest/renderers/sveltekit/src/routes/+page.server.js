import { cached } from '../lib/shop.server.js';

export function load({ setHeaders }) {
  setHeaders(cached);
  return { ids: [1, 2, 3, 4, 5] };
}
