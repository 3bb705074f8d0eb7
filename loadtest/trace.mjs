// The traffic of a public site, as a seeded trace, and the site itself.
//
//   trace.mjs origin                         serves the site, and says where
//   trace.mjs run NAME TARGET ORIGIN [...]   sends the trace to a cache, checks every answer, prints a row of a table
import http from 'node:http';
import { parseArgs } from 'node:util';
import { brotliDecompressSync, gunzipSync, gzipSync, zstdDecompressSync } from 'node:zlib';

const { positionals: [command, ...places], values } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: '1' },
    urls: { type: 'string', default: '5000' },
    requests: { type: 'string', default: '50000' },
    connections: { type: 'string', default: '16' },
    zipf: { type: 'string', default: '1.0' },
  },
});

// The site: seven of ten URLs are pages, two are static files, one is a large file.
const kindOf = (number) => (number % 10 < 7 ? 'p' : number % 10 < 9 ? 'static' : 'media');
const MEDIA_BYTES = 64 * 1024;
// One page in ten forgets to say that what a member sees is private.
const isCareless = (number) => number % 70 === 0;

function contentOf(kind, number, page, user) {
  if (kind === 'media') return Buffer.alloc(MEDIA_BYTES, `${number}/`);
  const head = `${kind} ${number} page ${page} for ${user}\n`;
  return Buffer.from(head + `${kind} ${number} `.repeat(kind === 'p' ? 800 : 400));
}

function serve(request, response, counts) {
  if (request.url === '/stats') {
    response.end(JSON.stringify(counts));
    return;
  }
  const url = new URL(request.url, 'http://site');
  const [, kind, number] = url.pathname.split('/');
  const user = request.headers.cookie?.match(/(?:^|; )session=([\w-]+)/)?.[1] ?? 'nobody';
  const reader = kind === 'p' ? user : 'nobody';
  let content = contentOf(kind, Number(number), url.searchParams.get('page') ?? '1', reader);
  const isPrivate = reader !== 'nobody' && !isCareless(Number(number));
  response.setHeader('cache-control', isPrivate ? 'private, no-store' : kind === 'p' ? 's-maxage=3600' : 'public, max-age=86400');
  response.setHeader('content-type', { p: 'text/html; charset=utf-8', static: 'text/css', media: 'video/mp4' }[kind]);
  response.setHeader('etag', `"${kind}-${number}"`);
  counts.requests += 1;
  if (kind === 'media') {
    response.setHeader('accept-ranges', 'bytes');
    const [, from, to] = request.headers.range?.match(/^bytes=(\d+)-(\d+)$/) ?? [];
    if (from !== undefined) {
      response.statusCode = 206;
      response.setHeader('content-range', `bytes ${from}-${to}/${MEDIA_BYTES}`);
      content = content.subarray(Number(from), Number(to) + 1);
    }
  } else {
    response.setHeader('vary', 'accept-encoding');
    if (/\bgzip\b/.test(request.headers['accept-encoding'] ?? '')) {
      response.setHeader('content-encoding', 'gzip');
      response.setHeader('etag', `"${kind}-${number}-gzip"`);
      content = gzipSync(content, { level: 1 });
    }
  }
  response.setHeader('content-length', content.length);
  counts.bytes += request.method === 'HEAD' ? 0 : content.length;
  response.end(request.method === 'HEAD' ? undefined : content);
}

// Numbers from 0 to 1 that a seed decides (mulberry32).
function randomness(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

// Draws from a list of [share, value].
function draw(random, choices) {
  let left = random();
  return (choices.find(([share]) => (left -= share) < 0) ?? choices.at(-1))[1];
}

function* trace() {
  const random = randomness(Number(values.seed));
  const count = Number(values.urls);
  const sums = [];
  for (let rank = 1; rank <= count; rank += 1) sums.push((sums.at(-1) ?? 0) + rank ** -Number(values.zipf));
  const ranked = [...Array(count).keys()]; // popular URLs are of every kind
  for (let at = count - 1; at > 0; at -= 1) {
    const other = Math.floor(random() * (at + 1));
    [ranked[at], ranked[other]] = [ranked[other], ranked[at]];
  }
  for (let sent = 0; sent < Number(values.requests); sent += 1) {
    const at = random() * sums.at(-1);
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      sums[middle] < at ? (low = middle + 1) : (high = middle);
    }
    yield visit(random, ranked[low]);
  }
}

function visit(random, number) {
  const kind = kindOf(number);
  const visitor = Math.floor(random() * 2000);
  const page = kind === 'p' && random() < 0.05 ? '2' : '1';
  const query = page === '2' ? ['page=2'] : [];
  if (random() < 0.3) {
    query.push(draw(random, [
      [0.4, `utm_source=mail&utm_medium=email&utm_campaign=c${visitor % 50}`],
      [0.3, `gclid=${visitor.toString(36)}${number.toString(36)}`],
      [0.2, `fbclid=${visitor.toString(36)}`],
      [0.1, `msclkid=${visitor}`],
    ]));
  }
  const cookies = [];
  const user = visitor % 20 === 0 ? `member-${visitor}` : 'nobody';
  if (visitor % 5 !== 1) cookies.push(`_ga=GA1.1.${visitor}`, `_fbp=fb.1.${visitor}`, `OptanonConsent=c${visitor}`, 'CookieConsent=yes');
  if (user !== 'nobody') cookies.push(`session=${user}`);
  const headers = { cookie: cookies.join('; ') };
  if (cookies.length === 0) delete headers.cookie;
  const coding = draw(random, [[0.7, 'gzip, deflate, br, zstd'], [0.15, 'gzip, deflate, br'], [0.1, 'gzip'], [0.05, '']]);
  if (coding) headers['accept-encoding'] = coding;
  const method = random() < 0.02 ? 'HEAD' : 'GET';
  let range;
  if (kind === 'media' && method === 'GET' && random() < 0.5) {
    const from = Math.floor(random() * 8) * 8192;
    range = [from, from + 8191];
    headers.range = `bytes=${from}-${from + 8191}`;
  }
  const path = `/${kind}/${number}${query.length ? `?${query.join('&')}` : ''}`;
  return { method, path, headers, range, expected: { kind, number, page, user: kind === 'p' ? user : 'nobody' } };
}

const DECODERS = { gzip: gunzipSync, br: brotliDecompressSync, zstd: zstdDecompressSync };

// What is wrong with an answer: nothing, or one of four words.
function problemOf({ method, range, expected: { kind, number, page, user } }, { status, headers, content }) {
  if (status !== (range && method === 'GET' ? 206 : 200)) return range && status === 200 ? null : 'status';
  if (method === 'HEAD') return null;
  const coding = headers['content-encoding'];
  const decode = DECODERS[coding];
  const plain = coding && decode ? decode(content) : content;
  const whole = contentOf(kind, number, page, user);
  const own = range && status === 206 ? whole.subarray(range[0], range[1] + 1) : whole;
  if (plain.equals(own)) return null;
  const [, reader] = plain.subarray(0, 100).toString().match(/ for ([\w-]+)\n/) ?? [];
  if (reader && reader !== 'nobody' && reader !== user) return 'leaked';
  return reader === 'nobody' && user !== 'nobody' ? 'impersonal' : 'content';
}

function ask(agent, target, { method, path, headers }) {
  return new Promise((resolve, reject) => {
    const request = http.request(target + path, { method, headers: { ...headers, host: 'site.example' }, agent }, (response) => {
      const pieces = [];
      response.on('data', (piece) => pieces.push(piece)).on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, content: Buffer.concat(pieces) }));
    });
    request.on('error', reject).end();
  });
}

async function run(name, target, origin) {
  const connections = Number(values.connections);
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const stats = async () => JSON.parse((await ask(agent, origin, { method: 'GET', path: '/stats', headers: {} })).content);
  const before = await stats();
  const requests = trace();
  const problems = { leaked: 0, impersonal: 0, content: 0, status: 0 };
  let answers = 0;
  const client = async () => {
    for (const request of requests) {
      const problem = problemOf(request, await ask(agent, target, request));
      answers += 1;
      if (problem) problems[problem] += 1;
    }
  };
  await Promise.all(Array.from({ length: connections }, client));
  const after = await stats();
  agent.destroy();
  const reached = after.requests - before.requests;
  const megabytes = ((after.bytes - before.bytes) / 1e6).toFixed(0);
  const ratio = ((1 - reached / answers) * 100).toFixed(1);
  const { leaked, impersonal, content, status } = problems;
  console.log(`| ${name} | ${ratio} % | ${answers} | ${reached} | ${megabytes} MB | ${leaked} | ${impersonal} | ${content + status} |`);
}

if (command === 'origin') {
  const counts = { requests: 0, bytes: 0 };
  const server = http.createServer({ keepAliveTimeout: 60_000 }, (request, response) => serve(request, response, counts));
  server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
} else {
  await run(...places);
}
