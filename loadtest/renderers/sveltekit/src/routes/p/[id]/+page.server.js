import { cached, nextRender, price } from '../../../lib/shop.server.js';

export function load({ params: { id }, setHeaders, cookies }) {
  const isDraft = cookies.get('preview') !== undefined;
  setHeaders({ ...(isDraft ? { 'cache-control': 'private' } : cached), 'cache-tag': `product-${id}` });
  const draft = isDraft ? 'draft' : 'published';
  return { id, price: price(id), render: nextRender(), draft, deployment: __DEPLOYMENT__ };
}
