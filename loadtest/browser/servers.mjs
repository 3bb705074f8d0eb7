// The site's own server, and the caches in front of it.
import { spawn, execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const here = import.meta.dirname;
const START_SECONDS_MAX = 600; // a site is built on first use

// A program that ends with this one, once it has said that it is ready.
class Program {
  static async start(command, args, { isReady, env = {} }) {
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    const end = () => child.kill('SIGKILL');
    process.on('exit', end);
    const said = [];
    const ready = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${command} is not ready:\n${said.join('\n')}`)), START_SECONDS_MAX * 1e3);
      timer.unref();
      const take = (line) => {
        if (said.length < 2000) said.push(line);
        const found = isReady(line);
        if (found) resolve(found);
      };
      createInterface(child.stdout).on('line', take);
      createInterface(child.stderr).on('line', take);
      child.on('exit', (status) => reject(new Error(`${command} ended (${status}):\n${said.join('\n')}`)));
    });
    const program = new Program();
    Object.assign(program, { child, found: await ready, end });
    return program;
  }

  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await ended;
    process.off('exit', this.end);
  }
}

// GET or another method, without following redirects.
export function ask(url, { method = 'GET', headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, headers, agent: false }, (response) => {
      const pieces = [];
      response.on('data', (piece) => pieces.push(piece));
      response.on('error', reject);
      response.on('end', () => {
        resolve({ status: response.statusCode, headers: response.headers, text: Buffer.concat(pieces).toString() });
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

// A site behind its framework's own server. A deploy ends the server and starts another build on the same port.
export class Site {
  static async serve(name) {
    const site = Object.assign(new Site(), { name, port: await freePort(), reached: [] });
    await site.#start('a');
    return site;
  }

  async #start(deployment) {
    const args = ['--serve', this.name, deployment];
    const env = { PORT: String(this.port), EXIT_WITH_STDIN: '1' };
    const isReady = (line) => line.startsWith('listening on http://');
    this.program = await Program.start(join(here, '../renderers/build.sh'), args, { isReady, env });
    this.deployment = deployment;
  }

  async deploy(deployment) {
    await this.requests();
    await this.program.stop();
    await this.#start(deployment);
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  // The requests that reached it until now, without those that the checks themselves send.
  async requests() {
    const reached = JSON.parse((await ask(`${this.url}/_tap`, { method: 'DELETE' })).text);
    this.reached.push(...reached.filter(({ headers }) => !headers['x-check']).map(({ method, url }) => `${method} ${url}`));
    return this.reached.length;
  }

  stop() {
    return this.program.stop();
  }
}

class Shellac {
  static async start(site, program, rules) {
    const folder = mkdtempSync(join(tmpdir(), 'shellac-browser.'));
    const file = join(folder, 'config.toml');
    writeFileSync(file, `
[[listen]]
address = "127.0.0.1:0"
[admin]
listen = ["127.0.0.1:0"]
[origin.site]
servers = ["127.0.0.1:${site.port}"]
[key]
deployment = { header = "X-Deployment-Id" }
[storage.memory]
capacity = "256MiB"
${rules}`);
    const own = Object.assign(new Shellac(), { folder });
    const isReady = (line) => {
      const [, name, url] = line.match(/^\s*(listen|admin)\s+(http:\/\/[\d.:]+)/) ?? [];
      if (name) own[name] = url;
      return /^\s*workers\s/.test(line);
    };
    own.program = await Program.start(program, ['run', '--config', file], { isReady });
    return Object.assign(own, { url: own.listen });
  }

  async requests() {
    const { requests } = JSON.parse((await ask(`${this.admin}/api/v1/stats`)).text);
    return Object.values(requests).reduce((sum, count) => sum + count, 0) - requests.purge;
  }

  async #purge(document) {
    const body = JSON.stringify(document);
    const headers = { 'content-type': 'application/json' };
    const { status, text } = await ask(`${this.admin}/api/v1/purge`, { method: 'POST', headers, body });
    if (status !== 200) throw new Error(`the purge was answered ${status}: ${text}`);
  }

  purgePage(path) {
    return this.#purge({ pages: [this.url + path] });
  }

  deployed(deployment) {
    return this.#purge({ deploys: [{ id: deployment }] });
  }

  async stop() {
    await this.program.stop();
    rmSync(this.folder, { recursive: true });
  }
}

class Varnish {
  static async start(site, vcl) {
    const folder = mkdtempSync(join(tmpdir(), 'shellac-browser.'));
    const port = await freePort();
    const source = vcl.replace('ORIGIN_PORT', site.port);
    writeFileSync(join(folder, 'site.vcl'), source);
    const args = ['-F', '-j', 'none', '-n', join(folder, 'v'), '-a', `127.0.0.1:${port}`, '-s', 'malloc,256m',
      '-f', join(folder, 'site.vcl')];
    const isReady = (line) => /Child launched OK|said Child starts/.test(line);
    const own = Object.assign(new Varnish(), { folder, url: `http://127.0.0.1:${port}`, bans: vcl.includes('ban lurker') });
    own.program = await Program.start('varnishd', args, { isReady });
    for (let tries = 0; tries < 100; tries += 1) {
      const isOpen = await ask(`${own.url}/_tap`).then(() => true, () => false);
      if (isOpen) return own;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error('varnishd does not answer');
  }

  async requests() {
    const args = ['-n', join(this.folder, 'v'), '-1', '-f', 'MAIN.client_req'];
    const { stdout } = await promisify(execFile)('varnishstat', args);
    return Number(stdout.trim().split(/\s+/)[1]) - 1; // the one that asked whether it answers
  }

  async #ban(...expression) {
    await promisify(execFile)('varnishadm', ['-n', join(this.folder, 'v'), 'ban', ...expression]);
  }

  // With a VCL of one's own by the tag that the site sends, else by the URL.
  purgePage(path) {
    const tag = path.replace('/p/', 'product-');
    return this.bans ? this.#ban('obj.http.x-tags', '~', `(^|,)${tag}(,|$)`) : this.#ban('req.url', '==', path);
  }

  deployed() {
    return this.bans ? this.#ban('obj.http.content-type', '~', '"(html|json|component|x-script)"') : this.#ban('req.url', '~', '.');
  }

  async stop() {
    this.program.child.kill('SIGTERM');
    await this.program.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

// No cache: what the site does by itself.
class Direct {
  constructor(site) {
    Object.assign(this, { site, url: site.url });
  }

  requests() {
    return this.site.requests();
  }

  purgePage() {}

  deployed() {}

  stop() {}
}

const BUILT_IN = 'vcl 4.1;\nbackend site { .host = "127.0.0.1"; .port = "ORIGIN_PORT"; }\n';

// The caches that can stand in front of a site.
export const CACHES = {
  preset: (site, { shellac, preset }) => Shellac.start(site, shellac, `[[rule]]\npreset = "${preset}"\n`),
  // As Varnish, which keeps for 2 minutes what says nothing.
  'preset-2m': (site, { shellac, preset }) =>
    Shellac.start(site, shellac, `[cache]\ndefault_ttl = "2m"\n[[rule]]\npreset = "${preset}"\n`),
  none: (site) => new Direct(site),
  bare: (site, { shellac }) => Shellac.start(site, shellac, ''),
  varnish: (site) => Varnish.start(site, BUILT_IN),
  vcl: (site, { vcl }) => Varnish.start(site, vcl),
};
