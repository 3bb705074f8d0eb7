// What this process has been asked and what it has rendered, for tests that count the requests which reach an origin.
import { shared } from "../shared.mjs";

/** Counts a request until its response is over. Control requests are not counted: asking does not change the answer. */
export function countRequest(url, response) {
  const stats = current();
  stats.requests += 1;
  const known = stats.byPath.has(url) || stats.byPath.size < PATHS_MAX;
  const path = known ? url : "other";
  stats.byPath.set(path, (stats.byPath.get(path) ?? 0) + 1);
  stats.inFlight += 1;
  stats.inFlightMax = Math.max(stats.inFlightMax, stats.inFlight);
  response.once("close", () => {
    stats.inFlight -= 1;
    stats.aborted += response.writableFinished ? 0 : 1;
  });
}

/** Counts a render that begins, and returns its number: the first of this process is 1, and a reset does not go back. */
export function countRender(kind) {
  const stats = current();
  stats.renders[kind] = (stats.renders[kind] ?? 0) + 1;
  stats.renderSequence += 1;
  return stats.renderSequence;
}

/** Returns the counters as they are answered. */
export function report() {
  const { requests, aborted, inFlight, inFlightMax, renders, byPath } = current();
  return { requests, aborted, inFlight, inFlightMax, renders, byPath: Object.fromEntries(byPath) };
}

/** Sets to zero what counts; what is in flight stays. */
export function reset() {
  const stats = current();
  Object.assign(stats, { requests: 0, aborted: 0, inFlightMax: stats.inFlight, renders: {}, byPath: new Map() });
}

function current() {
  return shared("stats", () => ({
    requests: 0,
    // Requests whose response was cut before its end, by either side.
    aborted: 0,
    inFlight: 0,
    inFlightMax: 0,
    renders: {},
    renderSequence: 0,
    byPath: new Map(),
  }));
}

// Past it, requests are counted under "other".
const PATHS_MAX = 20_000;
