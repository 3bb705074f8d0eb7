export async function POST({ request, cookies, redirect }) {
  const user = (await request.formData()).get('user');
  cookies.set('session', String(user), { path: '/', httpOnly: true });
  return redirect('/account', 303);
}
