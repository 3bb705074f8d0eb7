// A private page: it depends on the cookie `session`, and sets it for who has none. No shared cache may store it.
import { randomUUID } from "node:crypto";

import { countRender } from "../server/stats.mjs";

export default function Account({ session }) {
  return (
    <main>
      <h1>Your account</h1>
      <p>Session <span data-testid="session">{session}</span></p>
    </main>
  );
}

export function getServerSideProps({ req, res }) {
  countRender("account");
  const session = req.cookies.session ?? randomUUID();
  if (req.cookies.session === undefined) {
    res.setHeader("Set-Cookie", `session=${session}; Path=/; HttpOnly; SameSite=Lax`);
  }
  res.setHeader("Cache-Control", "private, no-store");
  return { props: { session } };
}
