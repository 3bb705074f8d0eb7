import { redirect } from 'react-router';

export function loader({ request }) {
  const { searchParams } = new URL(request.url);
  const value = searchParams.has('off') ? 'preview=; Path=/; Max-Age=0' : 'preview=1; Path=/';
  return redirect(searchParams.get('to') ?? '/', { headers: { 'set-cookie': value } });
}
