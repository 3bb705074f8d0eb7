import { redirect } from '@sveltejs/kit';

export function GET({ url, cookies }) {
  const options = { path: '/', secure: false };
  url.searchParams.has('off') ? cookies.delete('preview', options) : cookies.set('preview', '1', options);
  redirect(307, url.searchParams.get('to') ?? '/');
}
