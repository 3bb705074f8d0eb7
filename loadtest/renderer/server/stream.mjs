// `/stream`: a cacheable page that is sent in pieces over time, without a Content-Length. Plain Node, so that each piece is
// one write. With `drop_after=N` the connection breaks after N pieces: a response that is not complete.
import { setTimeout as sleep } from "node:timers/promises";

import { integer, tagPart } from "./query.mjs";
import { countRender } from "./stats.mjs";

export async function stream(parameters, response) {
  const chunks = integer(parameters, "chunks", 20, 0, 10_000);
  const waitMs = integer(parameters, "ms", 50, 0, 60_000);
  const bytes = integer(parameters, "bytes", 1024, 64, 1_048_576);
  const dropAfter = integer(parameters, "drop_after", Infinity, 0, 10_000);
  const id = tagPart(parameters, "id");
  if ([chunks, waitMs, bytes, dropAfter, id].includes(undefined)) {
    response.writeHead(400, { "Content-Type": "text/plain" }).end("bad parameter\n");
    return;
  }

  const render = countRender("stream");
  response.writeHead(200, {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "public, s-maxage=600, max-age=60",
    "Surrogate-Key": `stream stream-${id}`,
  });
  await write(response, `<!DOCTYPE html><html lang="en"><title>Stream</title><span data-testid="render">${render}</span>\n`);
  for (let number = 1; number <= chunks && number <= dropAfter && !response.destroyed; number += 1) {
    await sleep(waitMs);
    await write(response, piece(number, bytes));
  }
  if (dropAfter < chunks) {
    response.destroy();
  } else {
    response.end("</html>\n");
  }
}

function piece(number, bytes) {
  const start = `<p data-piece="${number}">`;
  const end = "</p>\n";
  return `${start}${".".repeat(bytes - start.length - end.length)}${end}`;
}

/** Waits until the system has taken the text, or the connection is gone: at most one piece is in memory. */
function write(response, text) {
  return new Promise((resolve) => response.write(text, () => resolve()));
}
