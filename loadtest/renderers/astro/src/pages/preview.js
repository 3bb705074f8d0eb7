export function GET({ url, cookies, redirect }) {
  const options = { path: '/' };
  url.searchParams.has('off') ? cookies.delete('preview', options) : cookies.set('preview', '1', options);
  return redirect(url.searchParams.get('to') ?? '/', 307);
}
