// A page that takes as long as it is told. Thousands may be rendered at once: each is only a timer while it waits.
import { setTimeout as sleep } from "node:timers/promises";

import { integer, tagPart } from "../server/query.mjs";
import { countRender } from "../server/stats.mjs";

export default function Slow({ id, waitMs, render }) {
  return (
    <main>
      <h1>{`Slow ${id}`}</h1>
      <p>Render <span data-testid="render">{render}</span> took <span data-testid="ms">{waitMs}</span> ms.</p>
    </main>
  );
}

export async function getServerSideProps({ req, res }) {
  const parameters = new URL(req.url, "http://renderer").searchParams;
  const waitMs = integer(parameters, "ms", 2000, 0, 60_000);
  const id = tagPart(parameters, "id");
  if (waitMs === undefined || id === undefined) {
    return { notFound: true };
  }
  const render = countRender("slow");
  await sleep(waitMs);
  const isPrivate = parameters.get("private") === "1";
  res.setHeader("Cache-Control", isPrivate ? "private" : "public, s-maxage=600, max-age=60");
  res.setHeader("Surrogate-Key", `slow slow-${id}`);
  return { props: { id, waitMs, render } };
}
