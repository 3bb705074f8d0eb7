// The renderer's process: Next.js in production mode behind Node's HTTP server. It answers the API, failures and streams
// itself and gives everything else to Next. Environment: HOST, PORT (0: any free port), EXIT_WITH_STDIN.
import { createServer } from "node:http";

import { answerApi } from "./server/api.mjs";
import { failIfAsked } from "./server/failure.mjs";
import { countRequest } from "./server/stats.mjs";
import { stream } from "./server/stream.mjs";

// React and Next read these when they are loaded, hence the late import.
process.env.NODE_ENV = "production";
process.env.NEXT_TELEMETRY_DISABLED = "1";
// Next logs to stdout, which is for one line only: where this process listens.
console.log = console.error;
const { default: next } = await import("next");

const hostname = process.env.HOST ?? "127.0.0.1";
const port = Number(process.env.PORT ?? 3000);

// No draining: a test that ends its renderer wants it gone.
process.on("SIGTERM", () => process.exit(0));
process.on("SIGINT", () => process.exit(0));
if (process.env.EXIT_WITH_STDIN === "1") {
  // The parent holds the other end: when it dies, however it dies, no orphan remains.
  process.stdin.on("close", () => process.exit(0)).on("error", () => process.exit(0)).resume();
}

const app = next({ dev: false, dir: import.meta.dirname, hostname, port });
await app.prepare();
const render = app.getRequestHandler();

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error("cannot answer", request.method, request.url, error);
    response.destroy();
  });
});
// Longer than a proxy keeps idle connections, so that it never sends a request into one that closes.
server.keepAliveTimeout = 75_000;
server.headersTimeout = 80_000;
server.listen({ host: hostname, port, backlog: 4096 }, () => {
  process.stdout.write(`listening on http://${hostname}:${server.address().port}\n`);
});

async function answer(request, response) {
  const url = URL.canParse(request.url, BASE) ? new URL(request.url, BASE) : new URL(BASE);
  if (!CONTROL_PATHS.has(url.pathname)) {
    countRequest(request.url, response);
  }
  if (failIfAsked(url.pathname, response) || (await answerApi(request, response, url))) {
    return;
  }
  if (url.pathname === "/stream") {
    await stream(url.searchParams, response);
    return;
  }
  await render(request, response);
}

const BASE = "http://renderer";
const CONTROL_PATHS = new Set(["/healthz", "/urls", "/api/fail", "/api/stats", "/api/stats/reset"]);
