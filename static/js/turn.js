// One turn's events, from the first byte to `done` or `error`, over as many connections as it takes.
const SILENCE = 40_000; // ms: the server says something every 15 s, so this long a silence is a broken connection
const LONGEST_PAUSE = 10_000; // ms between two tries

/** The server said no: `status`, and the problem's `title`, `detail`, `retryAfter` in seconds (each may be missing). */
export class Refused extends Error {
  constructor(status, problem = {}) {
    super(problem.title ?? String(status));
    this.status = status;
    this.title = problem.errors?.message ?? problem.title; // what is wrong with the text needs no title above it
    this.detail = problem.errors ? "" : problem.detail;
    this.retryAfter = Number(problem.retry_after) || 0;
  }
}

async function refusal(response) {
  const isProblem = response.headers.get("Content-Type")?.includes("json");
  const problem = isProblem ? await response.json().catch(() => ({})) : {};
  problem.retry_after ??= response.headers.get("Retry-After");
  return new Refused(response.status, problem);
}

/**
 * Yields `{event, data}` of one turn, each event once.
 * `send`: () => Promise<Response>, begins the turn; sent again by itself when the connection breaks before `start`,
 * so its body must name the message. `resume`: (turn) => address of its events. `turn`, `position`: where to go on.
 * `onLost`, `onBack`: called at each broken connection, and when there is one again. `signal`: gives up what was not accepted yet. Throws `Refused`.
 */
export async function* followTurn({ send, resume, turn, position = "", onLost, onBack, signal }) {
  const seen = new Set();
  for (let tries = 0; ; tries += 1) {
    const watch = silenceWatch();
    try {
      const response = turn ? await open(resume(turn), position, watch.signal) : await send(watch.signal);
      if (!isStream(response)) throw await refusal(response);
      if (tries) onBack();
      for await (const event of read(response.body, watch)) {
        tries = 0;
        if (event.id) {
          if (seen.has(event.id)) continue;
          seen.add(event.id);
          position = event.id;
        }
        turn = event.data?.turn_id ?? turn;
        yield event;
        if (event.event === "done" || event.event === "error") return;
      }
    } catch (error) {
      if (error instanceof Refused && !(turn && isPassing(error))) throw error;
    } finally {
      watch.end();
    }
    onLost();
    await pause(tries, signal);
    if (signal?.aborted && !turn) throw new Refused(0);
  }
}

function open(address, position, signal) {
  const headers = { Accept: "text/event-stream" };
  if (position !== "") headers["Last-Event-ID"] = position;
  return fetch(address, { headers, signal, cache: "no-store" });
}

function isStream(response) {
  return response.ok && response.headers.get("Content-Type")?.startsWith("text/event-stream");
}

/** An accepted turn goes on by itself: these answers only mean that we can't look at the moment. */
function isPassing(refused) {
  return refused.status === 429 || refused.status >= 500;
}

/** Ends a connection that has been silent for too long. */
function silenceWatch() {
  const control = new AbortController();
  let timer;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => control.abort(), SILENCE);
  };
  heard();
  return {
    signal: control.signal,
    heard,
    end() {
      clearTimeout(timer);
      control.abort();
    },
  };
}

async function* read(body, watch) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return; // an event without its closing empty line was cut off: it comes again
    watch.heard();
    const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = parse(block);
      if (event) yield event;
    }
  }
}

/** `{event, id, data}` of one block; null for a comment. */
function parse(block) {
  const fields = { event: "message", id: "", data: [] };
  for (const line of block.split("\n")) {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (name === "data") fields.data.push(value);
    else if (name in fields) fields[name] = value;
  }
  if (!fields.data.length) return null;
  return { ...fields, data: JSON.parse(fields.data.join("\n")) };
}

/** Longer after each failure, shorter as soon as the browser is back online. */
function pause(tries, signal) {
  const length = Math.min(LONGEST_PAUSE, 500 * 2 ** tries) * (0.75 + Math.random() / 2);
  return new Promise((resolve) => {
    const timer = setTimeout(end, length);
    function end() {
      clearTimeout(timer);
      window.removeEventListener("online", end);
      signal?.removeEventListener("abort", end);
      resolve();
    }
    signal?.addEventListener("abort", end);
    window.addEventListener("online", end);
  });
}
