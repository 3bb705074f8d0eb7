// Requests to the program that served this page, and its stream of snapshots.

/** A refusal, in the server's own words where it sent problem+json (RFC 9457). */
export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Asks, and returns the JSON of the answer. */
export async function ask(path, { method = "GET", body } = {}) {
  const ended = AbortSignal.timeout(TIMEOUT_MS);
  const headers = { Accept: "application/json", ...(body === undefined ? {} : { "Content-Type": "application/json" }) };
  let answer;
  try {
    answer = await fetch(path, { method, headers, signal: ended, cache: "no-store", body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Refusal(0, ended.aborted ? "There was no answer within 30 s." : "It cannot be reached.");
  }
  const text = await answer.text();
  let document = null;
  try {
    document = JSON.parse(text);
  } catch { /* not JSON: the status has to do */ }
  if (answer.ok && document !== null) return document;
  throw new Refusal(answer.status, document?.detail ?? `${answer.status} ${answer.statusText}`.trim());
}

/** Asks whether a stream would be given; the answer itself is broken off. */
export async function probe(path) {
  const given = new AbortController();
  try {
    const answer = await fetch(path, { signal: given.signal, headers: { Accept: "text/event-stream, application/json" }, cache: "no-store" });
    if (answer.ok) return;
    const document = await answer.json().catch(() => null);
    throw new Refusal(answer.status, document?.detail ?? `${answer.status} ${answer.statusText}`.trim());
  } finally {
    given.abort();
  }
}

/**
 * Follows a stream of events for as long as the page is seen. `take(document)` gets each event; `tell(state, detail)` hears of
 * `"live"`, `"waiting"` and `"refused"`. Where there is no stream, `poll` is asked each second. Nobody's tab in the background
 * costs the server anything.
 */
export class Source {
  #path; #poll; #event; #take; #tell; #stream = null; #timer = 0; #isAsking = false; #last = 0; #isStopped = true; #watch = 0; #isStreaming = false;

  constructor({ path, poll, event, take, tell }) {
    [this.#path, this.#poll, this.#event, this.#take, this.#tell] = [path, poll, event, take, tell];
    this.onVisibility = () => (document.hidden ? this.#halt() : this.#open());
  }

  start() {
    this.#isStopped = false;
    document.addEventListener("visibilitychange", this.onVisibility);
    if (!document.hidden) this.#open();
  }

  stop() {
    this.#isStopped = true;
    document.removeEventListener("visibilitychange", this.onVisibility);
    this.#halt();
  }

  /** Milliseconds since the last event. */
  silence() {
    return Date.now() - this.#last;
  }

  #open() {
    if (this.#isStopped) return;
    this.#halt();
    this.#last = Date.now();
    if (this.#poll) this.#askOnce();
    if (this.#path) this.#listen();
    this.#watch = setInterval(() => this.#look(), 1000);
  }

  #halt() {
    clearInterval(this.#watch);
    clearTimeout(this.#timer);
    this.#stream?.close();
    this.#stream = null;
  }

  #listen() {
    const stream = new EventSource(this.#path);
    this.#stream = stream;
    for (const event of [this.#event].flat()) {
      stream.addEventListener(event, message => {
        this.#isStreaming = true;
        this.#hear(message.data);
      });
    }
    stream.onerror = () => {
      // Closed for good: the answer was not a stream. The poll says why, and whether to come back.
      if (stream.readyState !== EventSource.CLOSED || this.#stream !== stream) return;
      this.#stream = null;
      this.#isStreaming = false;
      this.#timer = setTimeout(() => !this.#isStopped && !document.hidden && !this.#stream && this.#listen(), RETRY_MS);
    };
  }

  #hear(text) {
    let heard;
    try {
      heard = JSON.parse(text);
    } catch {
      return;
    }
    this.#last = Date.now();
    this.#tell("live");
    this.#take(heard);
  }

  /** Once a second: polls where the stream is silent. */
  #look() {
    if (this.silence() > SILENCE_MS) this.#tell("waiting", this.silence());
    const patience = this.#isStreaming ? STREAM_PATIENCE_MS : POLL_MS;
    if (this.#poll && this.silence() > patience) this.#askOnce();
  }

  async #askOnce() {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      const heard = await ask(this.#poll);
      if (this.#isStopped) return;
      this.#last = Date.now();
      this.#tell("live");
      this.#take(heard);
    } catch (error) {
      if (error.status === 401 || error.status === 403) this.#tell("refused", error.message);
    } finally {
      this.#isAsking = false;
    }
  }
}

const TIMEOUT_MS = 30_000;
const RETRY_MS = 3000;
/** A stream of one event a second that is silent for so long is asked about. */
const STREAM_PATIENCE_MS = 2500;
const POLL_MS = 900;
const SILENCE_MS = 4500;
