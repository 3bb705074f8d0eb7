// The page that fails on demand (server/failure.mjs answers it then). Otherwise it is stale after a second, and may stand
// in for a failure for ten minutes.
import { countRender } from "../server/stats.mjs";

export default function Fail({ render }) {
  return (
    <main>
      <h1>Not failing</h1>
      <p>Render <span data-testid="render">{render}</span></p>
    </main>
  );
}

export function getServerSideProps({ res }) {
  res.setHeader("Cache-Control", "public, max-age=1, stale-if-error=600");
  res.setHeader("Surrogate-Key", "fail");
  return { props: { render: countRender("fail") } };
}
