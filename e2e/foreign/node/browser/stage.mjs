// What every scene needs: a browser that believes exactly one certificate and looks up no host, people with
// profiles of their own, and the application that they come back to.

import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import tls from 'node:tls';
import { chromium } from 'playwright-core';

const PATIENCE_MS = 15_000;
const EXECUTABLE = process.env.RP_CHROMIUM ?? '/usr/bin/chromium';

export const given = (name) => {
  const value = process.env[`RP_${name}`];
  if (!value) throw new Error(`RP_${name} is missing`);
  return value;
};

/** A certificate's public key, as Chromium's command line names keys. */
function nameOfKey(certificate) {
  const key = new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(key).digest('base64');
}

/** The public key that the issuer proves to hold, and that of the application's server if it has one. */
async function believed(issuer) {
  const keys = [nameOfKey(await shownBy(issuer))];
  if (process.env.RP_TLS) keys.push(nameOfKey(await readFile(`${process.env.RP_TLS}/certificate.pem`)));
  return keys.join(',');
}

async function shownBy(issuer) {
  const { hostname, port } = new URL(issuer);
  const ca = await readFile(given('CA'));
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: hostname, port, ca, servername: hostname }, () => {
      resolve(socket.getPeerCertificate().raw);
      socket.end();
    });
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error('no handshake')));
    socket.on('error', reject);
  });
}

/** The application: a page of its own on loopback, which is another site than the issuer. */
class Application {
  #server;
  #arrived = [];
  #waiting = [];
  /** What an address of its own shows, by path. */
  pages = new Map();

  async open() {
    this.#server = createServer((request, response) => this.#answer(request, response));
    await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.origin = `http://127.0.0.1:${this.#server.address().port}`;
    return this;
  }

  async #answer(request, response) {
    const { pathname, searchParams } = new URL(request.url, this.origin);
    let body = '';
    for await (const piece of request) body += piece;
    if (pathname === '/callback') {
      const parameters = Object.fromEntries(request.method === 'POST' ? new URLSearchParams(body) : searchParams);
      const visit = { method: request.method, parameters, referer: request.headers.referer ?? null };
      const waiting = this.#waiting.shift();
      if (waiting) waiting(visit);
      else this.#arrived.push(visit);
    }
    const page = this.pages.get(pathname) ?? '<title>app</title><h1>Application</h1>';
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(`<!doctype html>${page}`);
  }

  /** The next authorization response to arrive, or the one that has. */
  async visit() {
    const seen = this.#arrived.shift();
    if (seen) return seen;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('nobody came to the callback')), PATIENCE_MS);
      this.#waiting.push((visit) => {
        clearTimeout(timer);
        resolve(visit);
      });
    });
  }

  close() {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

export class Stage {
  #people = [];

  static async open() {
    const stage = new Stage();
    stage.issuer = given('ISSUER');
    stage.application = await new Application().open();
    stage.browser = await chromium.launch({
      executablePath: EXECUTABLE,
      args: [
        `--ignore-certificate-errors-spki-list=${await believed(stage.issuer)}`,
        '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1',
        '--no-proxy-server',
        '--disable-quic',
        '--disable-gpu',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--no-first-run',
      ],
    });
    return stage;
  }

  async close() {
    await this.browser.close();
    this.application.close();
  }

  /** A fresh profile with one page, and a list of everything that a careful developer would find in the console. */
  async person({ script = true } = {}) {
    const context = await this.browser.newContext({ javaScriptEnabled: script, locale: 'en-GB' });
    context.setDefaultTimeout(PATIENCE_MS);
    const page = await context.newPage();
    const person = { context, page, trouble: [], redirects: new Set(), elsewhere: new Set() };
    page.on('console', (message) => {
      if (message.type() !== 'error' && message.type() !== 'warning') return;
      person.trouble.push(`${message.location().url}: ${message.text()}`);
    });
    page.on('pageerror', (error) => person.trouble.push(String(error)));
    page.on('requestfailed', (request) => person.trouble.push(`${request.url()}: ${request.failure()?.errorText}`));
    page.on('response', (response) => {
      if (response.status() >= 300 && response.status() < 400) person.redirects.add(response.status());
    });
    page.on('request', (request) => {
      const { origin } = new URL(request.url());
      if (origin !== this.issuer && origin !== this.application.origin) person.elsewhere.add(origin);
    });
    this.#people.push(person);
    return person;
  }

  /** What everybody is looking at, for whoever reads why a scene failed. */
  async confession() {
    const views = this.#people.map(async ({ page, trouble }) => {
      const shown = await page.locator('body').innerText().catch(String);
      return `${page.url()}\n${shown}\n${trouble.join('\n')}`;
    });
    return (await Promise.all(views)).join('\n---\n');
  }

  /** An authorization request of the application, which always wants the question asked. */
  authorization(extra = {}) {
    const url = new URL('/oauth/authorize', this.issuer);
    url.search = new URLSearchParams({
      client_id: given('CLIENT_ID'),
      response_type: 'code',
      redirect_uri: `${this.application.origin}/callback`,
      scope: 'openid profile email offline_access',
      state: 'state-of-the-application',
      prompt: 'consent',
      nonce: randomBytes(16).toString('base64url'),
      code_challenge: createHash('sha256').update(randomBytes(32).toString('base64url')).digest('base64url'),
      code_challenge_method: 'S256',
      ...extra,
    });
    return url.href;
  }
}
