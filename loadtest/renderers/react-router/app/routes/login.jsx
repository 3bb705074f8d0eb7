import { redirect } from 'react-router';

export async function action({ request }) {
  const user = (await request.formData()).get('user');
  return redirect('/account', { headers: { 'set-cookie': `session=${user}; Path=/; HttpOnly` } });
}

export default function Login() {
  return (
    <main>
      <h1 data-testid="title">Log in</h1>
      <form method="post">
        <input name="user" data-testid="name" />
        <button data-testid="enter">enter</button>
      </form>
    </main>
  );
}
