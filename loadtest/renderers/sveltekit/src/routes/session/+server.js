import { redirect } from '@sveltejs/kit';

export async function POST({ request, cookies }) {
  const user = (await request.formData()).get('user');
  cookies.set('session', String(user), { path: '/', secure: false });
  redirect(303, '/account');
}
