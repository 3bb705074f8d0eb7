import { Link, data } from 'react-router';
import { cached, cookie, nextRender, price } from '../shop.server.js';

export function loader({ params: { id }, request }) {
  const isDraft = cookie(request, 'preview') !== undefined;
  const draft = isDraft ? 'draft' : 'published';
  const headers = { ...(isDraft ? { 'cache-control': 'private' } : cached), 'cache-tag': `product-${id}` };
  return data({ id, price: price(id), render: nextRender(), draft, deployment: __DEPLOYMENT__ }, { headers });
}

export const headers = ({ loaderHeaders }) => loaderHeaders;

export default function Product({ loaderData: product }) {
  return (
    <main>
      <h1 data-testid="title">Product {product.id}</h1>
      <p>Price <b data-testid="price">{product.price}</b></p>
      <p data-testid="draft">{product.draft}</p>
      <p data-testid="render">{product.render}</p>
      <p data-testid="deployment">{product.deployment}</p>
      <img src="/pictures/tea.png" alt="tea" width="64" height="64" />
      <Link to={`/p/${(Number(product.id) % 5) + 1}`} data-testid="next" prefetch="viewport">next product</Link>
    </main>
  );
}
