import { Link, data } from 'react-router';
import { cached } from '../shop.server.js';

export const loader = () => data({ ids: [1, 2, 3, 4, 5] }, { headers: cached });

export const headers = ({ loaderHeaders }) => loaderHeaders;

export default function Home({ loaderData }) {
  return (
    <main>
      <h1 data-testid="title">Home</h1>
      {loaderData.ids.map((id) => (
        <Link key={id} to={`/p/${id}`} data-testid={`product-${id}`} prefetch="intent">product {id}</Link>
      ))}
    </main>
  );
}
