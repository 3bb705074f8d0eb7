// Failing on demand: what `POST /api/fail` asked for, and the answer that follows from it.

/** Sets the mode: 0 (none), a status from 400 to 599, "hang" or "drop". Returns whether it is one of these. */
export function setFailure(wanted) {
  const isStatus = Number.isInteger(wanted) && wanted >= 400 && wanted <= 599;
  const isKnown = isStatus || wanted === 0 || wanted === "hang" || wanted === "drop";
  if (isKnown) {
    mode = wanted;
  }
  return isKnown;
}

/** Answers the request with the failure, if one is set and concerns it. Returns whether it did. */
export function failIfAsked(path, response) {
  const isConcerned = path === "/fail" || path.startsWith("/s/");
  if (mode === 0 || !isConcerned) {
    return false;
  }
  if (mode === "drop") {
    response.socket.destroy();
  } else if (mode !== "hang") {
    response.statusCode = mode;
    response.setHeader("Content-Type", "text/plain");
    response.end(`failing with ${mode}, as asked\n`);
  }
  return true;
}

// A request that hangs is never answered, not even when the mode changes.
let mode = 0;
