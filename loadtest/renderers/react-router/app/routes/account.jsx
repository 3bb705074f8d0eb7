import { data, redirect } from 'react-router';
import { cookie } from '../shop.server.js';

export function loader({ request }) {
  const user = cookie(request, 'session');
  if (!user) throw redirect('/login');
  return data({ user }, { headers: { 'cache-control': 'private, no-store' } });
}

export const headers = ({ loaderHeaders }) => loaderHeaders;

export default function Account({ loaderData }) {
  return (
    <main>
      <h1 data-testid="title">Account</h1>
      <p data-testid="user">{loaderData.user}</p>
    </main>
  );
}
