import { Link, data } from 'react-router';
import { cached } from '../shop.server.js';

export function loader({ request }) {
  return data({ q: new URL(request.url).searchParams.get('q') }, { headers: cached });
}

export const headers = ({ loaderHeaders }) => loaderHeaders;

export default function Search({ loaderData }) {
  return (
    <main>
      <h1 data-testid="title">Search {loaderData.q}</h1>
      <Link to="/search?q=milk" data-testid="other-search">milk</Link>
    </main>
  );
}
