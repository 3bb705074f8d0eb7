// The answers that are not pages: products as JSON, failing on demand, counters, the list of pages. None may be stored.
import { changeProduct, paths, product, site, sites } from "../catalogue/catalogue.mjs";
import { setFailure } from "./failure.mjs";
import { report, reset } from "./stats.mjs";

/** Answers the request if it is one of these. Returns whether it did. */
export async function answerApi(request, response, url) {
  const [, route, productId] = /^(\/healthz|\/urls|\/api\/(?:stats|stats\/reset|fail|products\/([^/]+)))$/.exec(url.pathname) ?? [];
  if (route === undefined) {
    return false;
  }
  const method = request.method === "HEAD" ? "GET" : request.method;
  const endpoint = ENDPOINTS[`${method} ${productId === undefined ? route : "/api/products/:id"}`];
  if (endpoint === undefined) {
    respond(response, 405, { error: "method not allowed" });
    return true;
  }
  const body = method === "GET" ? {} : await readJson(request);
  if (body === undefined) {
    respond(response, 400, { error: `the body must be a JSON object of at most ${BODY_BYTES_MAX} bytes` });
  } else {
    endpoint({ response, url, productId, body });
  }
  return true;
}

function readProduct({ response, productId }) {
  const found = product(productId);
  if (found === undefined) {
    respond(response, 404, { error: "no such product" });
  } else {
    respondProduct(response, found);
  }
}

function writeProduct({ response, productId, body: { price } }) {
  const found = product(productId);
  const isPrice = price === undefined || (Number.isFinite(price) && price >= 0 && price < 1e9);
  if (found === undefined) {
    respond(response, 404, { error: "no such product" });
  } else if (!isPrice) {
    respond(response, 400, { error: "price must be a number from 0 to 1e9" });
  } else {
    changeProduct(found, price);
    respondProduct(response, found);
  }
}

function respondProduct(response, { id, site, version, price }) {
  respond(response, 200, { id, site, version, price, tags: [`product-${id}`] });
}

function writeFailure({ response, body: { status } }) {
  if (setFailure(status)) {
    respond(response, 200, { status });
  } else {
    respond(response, 400, { error: 'status must be 0, 400 to 599, "hang" or "drop"' });
  }
}

function listPaths({ response, url }) {
  const id = url.searchParams.get("site");
  const listed = id === null ? sites() : [site(id)];
  if (listed.includes(undefined)) {
    respond(response, 404, { error: "no such site" });
  } else {
    respondText(response, `${paths(listed).join("\n")}\n`);
  }
}

function respond(response, status, value) {
  const body = `${JSON.stringify(value)}\n`;
  send(response, status, "application/json", body);
}

function respondText(response, body) {
  send(response, 200, "text/plain; charset=utf-8", body);
}

function send(response, status, type, body) {
  response.writeHead(status, {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(body),
    "Cache-Control": "no-store",
  });
  response.end(body);
}

/** Returns the body's JSON object ({} for an empty body), or undefined if it is none or too large. */
async function readJson(request) {
  let text = "";
  for await (const piece of request.setEncoding("utf8")) {
    text += piece;
    if (text.length > BODY_BYTES_MAX) {
      return undefined;
    }
  }
  try {
    const value = JSON.parse(text || "{}");
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

const BODY_BYTES_MAX = 65_536;
const ENDPOINTS = {
  "GET /healthz": ({ response }) => respondText(response, "ok\n"),
  "GET /urls": listPaths,
  "GET /api/stats": ({ response }) => respond(response, 200, report()),
  "POST /api/stats/reset": ({ response }) => {
    reset();
    respond(response, 200, {});
  },
  "POST /api/fail": writeFailure,
  "GET /api/products/:id": readProduct,
  "POST /api/products/:id": writeProduct,
};
