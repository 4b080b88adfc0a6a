// A person at a browser without script: a cookie jar, forms filled in by the names of their fields, redirects
// followed by hand until one leads away from the issuer.

const REDIRECTS_MAX = 12;
const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** Where the issuer sent the person: an address, or with form_post the fields that a page posts there. */
export class Away {
  constructor(url, fields) {
    this.url = url;
    this.fields = fields;
  }

  /** The authorization response in the shape that openid-client takes it. */
  response() {
    if (!this.fields) return new URL(this.url);
    return new Request(this.url, { method: 'POST', body: new URLSearchParams(this.fields) });
  }

  parameters() {
    return new Map(this.fields ?? new URL(this.url).searchParams);
  }
}

export class Person {
  #cookies = new Map();
  #answers;

  constructor({ decision = 'approve', ...credentials }) {
    this.#answers = { ...credentials, decision };
  }

  /**
   * Open an address; sign in and decide where asked. Gives where that led, and the forms that were filled in. Who is
   * meant to `stay` ends at a page with nothing to fill in: what it says instead of where that led.
   */
  async visit(address, { stay = false } = {}) {
    const origin = new URL(address).origin;
    const forms = [];
    let request = { url: address };
    for (let step = 0; step < REDIRECTS_MAX; step += 1) {
      const answer = await this.#send(request, origin);
      if (answer.status === 303) {
        const next = new URL(answer.headers.get('location'), request.url);
        if (next.origin !== origin) return { away: new Away(next.href), forms };
        request = { url: next.href };
        continue;
      }
      const html = await answer.text();
      if (answer.status !== 200) throw new Error(`${request.url} answers ${answer.status}: ${heading(html)}`);
      const form = formOf(html);
      if (!form && stay) return { said: heading(html), forms };
      if (!form) throw new Error(`nothing to fill in at ${request.url}: ${heading(html)}`);
      if (form.id === 'form-post') return { away: new Away(form.action, [...form.fields]), forms };
      forms.push(form.id);
      request = this.#filled(form, request.url);
    }
    throw new Error(`more than ${REDIRECTS_MAX} steps from ${address}`);
  }

  async #send(request, origin) {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers = { ...(cookie && { cookie }), ...(request.body && { origin }) };
    const answer = await fetch(request.url, {
      method: request.body ? 'POST' : 'GET',
      body: request.body,
      headers,
      redirect: 'manual',
      signal: AbortSignal.timeout(15_000),
    });
    answer.headers.getSetCookie().forEach((line) => this.#keep(line));
    return answer;
  }

  #keep(line) {
    const [pair, ...attributes] = line.split(';').map((part) => part.trim());
    const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)];
    if (attributes.some((attribute) => attribute.toLowerCase() === 'max-age=0')) this.#cookies.delete(name);
    else this.#cookies.set(name, value);
  }

  #filled(form, here) {
    for (const [name, value] of Object.entries(this.#answers)) {
      if (form.fields.has(name)) form.fields.set(name, value);
    }
    return { url: new URL(form.action, here).href, body: new URLSearchParams([...form.fields]) };
  }
}

/** The one form of a page, its fields and the names of its buttons included. */
function formOf(html) {
  const found = /<form\b([^>]*)>([\s\S]*?)<\/form>/.exec(html);
  if (!found) return undefined;
  const fields = new Map();
  for (const [, tag] of found[2].matchAll(/<(?:input|button)\b([^>]*)>/g)) {
    const name = attribute(tag, 'name');
    if (name) fields.set(name, attribute(tag, 'value') ?? '');
  }
  return { id: attribute(found[1], 'id'), action: attribute(found[1], 'action'), fields };
}

function attribute(tag, name) {
  const found = new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(tag);
  return found && text(found[1]);
}

function heading(html) {
  const found = /<h1>([\s\S]*?)<\/h1>/.exec(html);
  return found ? text(found[1].replace(/<[^>]*>/g, '')) : html.slice(0, 200);
}

function text(html) {
  return html.replace(/&(?:#x([0-9a-f]+)|#([0-9]+)|([a-z]+));/gi, (whole, hex, decimal, name) => {
    if (name) return ENTITIES[name] ?? whole;
    return String.fromCodePoint(hex ? parseInt(hex, 16) : Number(decimal));
  });
}
