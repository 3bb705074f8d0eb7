// A visitor with a browser of their own, and what is wrong with what they get.
import { ask } from './servers.mjs';

const STEP_MS_MAX = 10_000;
const QUIET_MS = 300;
const BODY_MS_MAX = 2_000;
const SHOWN = ['title', 'price', 'draft', 'user', 'deployment', 'running', 'visitor', 'stock'];

// What the element of each test id holds in a page's HTML.
export function shownIn(html) {
  const text = html.replace(/<!--.*?-->/gs, '');
  const element = (id) => text.match(new RegExp(`data-testid="?${id}"?[^>]*>([^<]*)<`))?.[1]?.trim();
  return Object.fromEntries(SHOWN.map((id) => [id, element(id)]));
}

// What the browser never answers does not stop the visit.
function within(promise, limit_ms) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('the browser does not answer')), limit_ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export class Tab {
  // Everybody has cookies of analytics and consent.
  static async open(browser, stage, name) {
    const context = await browser.newContext({
      baseURL: stage.cache.url,
      extraHTTPHeaders: { 'x-forwarded-proto': 'http' }, // as from what ends TLS in front of a cache
    });
    const page = await context.newPage();
    await context.addCookies([
      { name: '_ga', value: `GA1.1.${name}`, url: stage.cache.url },
      { name: 'CookieConsent', value: 'yes', url: stage.cache.url },
    ]);
    const tab = Object.assign(new Tab(), { context, page, stage, name, wrong: [], errors: [], arriving: [] });
    page.setDefaultTimeout(STEP_MS_MAX);
    page.on('console', (message) => {
      const { url } = message.location();
      const isOwn = message.type() === 'error' && !url.endsWith('/favicon.ico'); // which no site has
      if (isOwn) tab.errors.push(`${message.text()} ${url}`);
    });
    page.on('pageerror', (error) => tab.errors.push(String(error)));
    page.on('requestfailed', (request) => {
      const why = request.failure()?.errorText;
      if (why !== 'net::ERR_ABORTED') tab.errors.push(`${request.url()}: ${why}`); // a navigation ends prefetches
    });
    page.on('request', () => (tab.busyAt = performance.now()));
    const unlessClosed = (error) => /closed/.test(String(error)) || tab.wrong.push(String(error));
    page.on('response', (response) => tab.arriving.push(tab.#compare(response).catch(unlessClosed)));
    return tab;
  }

  // Whether the answer is of the kind that the origin gives to the same request, and nobody else's.
  async #compare(response) {
    const request = response.request();
    const { pathname, search } = new URL(request.url());
    if (request.method() !== 'GET') return;
    const given = response.headers();
    const text = await within(response.text(), BODY_MS_MAX).catch(() => ''); // of a redirect, or of one that was aborted
    for (const secret of this.stage.secrets) {
      if (secret !== this.user && text.includes(secret)) this.wrong.push(`${pathname} shows ${secret} to ${this.name}`);
    }
    const headers = { ...(await within(request.allHeaders(), BODY_MS_MAX).catch(() => request.headers())), 'x-check': '1' };
    for (const name of Object.keys(headers)) {
      if (name.startsWith(':') || /^(if-|accept-encoding$|connection$)/.test(name)) delete headers[name];
    }
    const { deployment } = this.stage.site;
    if (!headers.accept) return; // from the browser's own cache
    let own = await ask(this.stage.site.url + pathname + search, { headers }).catch(() => null);
    const { location = '' } = own?.headers ?? {};
    if (response.status() === 200 && new URL(location, request.url()).pathname === pathname && own.status === 307) {
      own = await ask(new URL(location, this.stage.site.url).href, { headers }); // Next.js wants another `_rsc`
    }
    if (!own || deployment !== this.stage.site.deployment) return; // a deploy came between
    const status = response.status() === 304 ? 200 : response.status();
    const isOldAsset = status === 200 && own.status === 404 && /javascript|css/.test(given['content-type']);
    const kind = (fields) => (fields['content-type'] ?? '').split(';')[0];
    if (isOldAsset) return; // of the deployment before, which is what its pages need
    if (own.status !== status) this.wrong.push(`${pathname}${search}: ${status}, the origin says ${own.status}`);
    else if (response.status() === 200 && kind(own.headers) !== kind(given)) {
      this.wrong.push(`${pathname}${search}: ${kind(given)}, the origin says ${kind(own.headers)}`);
    }
  }

  // Waits until the page is quiet, and compares what it shows with what the origin shows at the same URL.
  async check(what, expected) {
    const title = this.page.getByTestId('title').filter({ hasText: expected.title });
    await title.waitFor().catch(() => this.wrong.push(`${what}: no ${expected.title} at ${this.page.url()}`));
    await this.quiet();
    await Promise.all(this.arriving.splice(0));
    const isAsExpected = (shown) =>
      Object.entries(expected).every(([id, value]) => [value].flat().includes(shown[id]));
    let shown = await this.#shown();
    for (const end = performance.now() + STEP_MS_MAX; !isAsExpected(shown) && performance.now() < end; ) {
      await this.quiet(); // scripts have not run yet
      shown = await this.#shown();
    }
    const origin = await this.#atOrigin();
    for (const id of ['title', 'price', 'draft', 'user', 'stock']) {
      if (shown[id] !== origin[id]) this.wrong.push(`${what}: ${id} is ${shown[id]}, the origin shows ${origin[id]}`);
    }
    for (const [id, value] of Object.entries(expected)) {
      if (![value].flat().includes(shown[id])) this.wrong.push(`${what}: ${id} is ${shown[id]} and not ${value}`);
    }
    if (shown.visitor !== undefined && shown.visitor !== (this.user ?? 'nobody')) {
      this.wrong.push(`${what}: it greets ${shown.visitor}`);
    }
  }

  // 'networkidle' of Playwright waits for ever for what is preloaded and not used.
  async quiet() {
    this.busyAt = performance.now();
    while (performance.now() < this.busyAt + QUIET_MS) {
      await new Promise((resolve) => setTimeout(resolve, this.busyAt + QUIET_MS - performance.now()));
    }
  }

  // A framework may keep the page before in the document, hidden.
  async #shown() {
    const elements = await this.page.locator('[data-testid]:visible').all();
    const texts = elements.map(async (element) => [
      await element.getAttribute('data-testid'), (await element.textContent()).trim(),
    ]);
    return Object.fromEntries(await Promise.all(texts));
  }

  async #atOrigin() {
    const url = new URL(this.page.url());
    const cookies = await this.context.cookies();
    const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
    const headers = { cookie, 'x-check': '1', accept: 'text/html' };
    const { text } = await ask(this.stage.site.url + url.pathname + url.search, { headers });
    return shownIn(text);
  }

  async goto(path) {
    await this.page.goto(path).catch((error) => this.wrong.push(`${path}: ${error.message.split('\n')[0]}`));
  }

  async click(id) {
    const link = this.page.getByTestId(id).first();
    await link.hover().catch(() => {}); // which prefetches
    await link.click().catch(() => this.wrong.push(`${id} cannot be clicked at ${this.page.url()}`));
  }

  async close() {
    await Promise.all(this.arriving.splice(0));
    await within(this.context.close(), STEP_MS_MAX);
    return this;
  }
}
