import { redirect } from '@sveltejs/kit';

export function load({ cookies, setHeaders }) {
  const user = cookies.get('session');
  if (!user) redirect(303, '/login');
  setHeaders({ 'cache-control': 'private, no-store' });
  return { user };
}
