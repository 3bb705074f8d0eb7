export default function Login() {
  return (
    <main>
      <h1 data-testid="title">Log in</h1>
      <form method="post" action="/api/session">
        <input name="user" data-testid="name" />
        <button data-testid="enter">enter</button>
      </form>
    </main>
  );
}
