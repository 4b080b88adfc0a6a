// An application that lives in the browser: oidc-client-ts on a page of another origin, without a server that could
// keep a secret for it. What the scene ought to see is said in tests/browser.rs.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import { createRequire } from 'node:module';
import path from 'node:path';
import { given } from './stage.mjs';

const LIBRARY = path.join(
  path.dirname(createRequire(import.meta.url).resolve('oidc-client-ts/package.json')),
  'dist/browser/oidc-client-ts.min.js',
);

/** The origin that was registered, with the same page everywhere and the library beside it. */
class SinglePage {
  #server;

  async open() {
    this.origin = given('SPA_ORIGIN');
    const folder = given('TLS');
    const settings = {
      authority: given('ISSUER'),
      client_id: given('CLIENT_ID'),
      redirect_uri: `${this.origin}/callback`,
      silent_redirect_uri: `${this.origin}/silent`,
      popup_redirect_uri: `${this.origin}/popup`,
      post_logout_redirect_uri: `${this.origin}/signed-out`,
      scope: 'openid profile email offline_access',
      loadUserInfo: true,
      revokeTokensOnSignout: true,
      automaticSilentRenew: false,
    };
    const page = `<!doctype html><title>app</title><h1>Single page</h1><link rel="icon" href="data:,">
      <script src="/library.js"></script>
      <script>
        const manager = new oidc.UserManager(${JSON.stringify(settings)});
        if (location.pathname === '/popup') manager.signinPopupCallback();
        if (location.pathname === '/silent') manager.signinSilentCallback();
      </script>`;
    const library = await readFile(LIBRARY);
    const pair = {
      cert: await readFile(path.join(folder, 'certificate.pem')),
      key: await readFile(path.join(folder, 'key.pem')),
    };
    this.#server = createServer(pair, (request, response) => {
      const script = request.url === '/library.js';
      response.writeHead(200, { 'content-type': script ? 'text/javascript' : 'text/html; charset=utf-8' });
      response.end(script ? library : page);
    });
    const { hostname, port } = new URL(this.origin);
    await new Promise((resolve, reject) => {
      this.#server.on('error', reject).listen(Number(port), hostname, resolve);
    });
    return this;
  }

  close() {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** What `act` of the page's manager gives: what a careful application keeps, or the error's name. */
function ask(page, act) {
  return page.evaluate(async (name) => {
    const kept = (user) => user && JSON.parse(JSON.stringify({ ...user, scope: user.scope, profile: user.profile }));
    try {
      const [method, argument] = name;
      return kept(await manager[method](argument)) ?? null;
    } catch (error) {
      return { error: error.error ?? String(error) };
    }
  }, act);
}

/** userinfo by the page's own hand. */
function userinfo(page, token) {
  return page.evaluate(
    async ([url, bearer]) => {
      const answer = await fetch(url, { headers: { authorization: `Bearer ${bearer}` } });
      return { status: answer.status, ...(answer.ok && { email: (await answer.json()).email }) };
    },
    [`${given('ISSUER')}/oauth/userinfo`, token],
  );
}

/** From the page to the issuer and back, signing in and agreeing. */
async function signIn(page, origin) {
  await page.goto(`${origin}/`);
  await page.evaluate(() => void manager.signinRedirect());
  await page.locator('#username').fill(given('USER'));
  await page.locator('#password').fill(given('PASSWORD'));
  await page.locator('#submit').click();
  await page.locator('#approve').click();
  await page.waitForURL(`${origin}/callback?**`);
  return ask(page, ['signinRedirectCallback']);
}

/** Whether a page of this origin may read what the token endpoint and discovery say. */
function readable(page) {
  return page.evaluate(async (issuer) => {
    const read = (path, options) => fetch(`${issuer}${path}`, options).then(({ status }) => status, () => 'unreadable');
    return {
      token: await read('/oauth/token', { method: 'POST', body: new URLSearchParams({ grant_type: 'refresh_token' }) }),
      discovery: await read('/.well-known/openid-configuration'),
    };
  }, given('ISSUER'));
}

async function play(stage, origin) {
  const person = await stage.person();
  const { page, context } = person;
  const first = await signIn(page, origin);
  const seen = { first, userinfo: await userinfo(page, first.access_token) };

  const second = await ask(page, ['signinSilent']);
  seen.renewed = {
    same_subject: second.profile.sub === first.profile.sub,
    access_token_changed: second.access_token !== first.access_token,
    refresh_token_changed: Boolean(second.refresh_token) && second.refresh_token !== first.refresh_token,
    userinfo: await userinfo(page, second.access_token),
  };
  // In a frame on another site the issuer sees nobody: the cookie stays away.
  seen.in_frame = await ask(page, ['signinSilent', { forceIframeAuth: true }]);
  const opened = page.waitForEvent('popup');
  const third = await ask(page, ['signinPopup']);
  // The library hands the user over before its window has gone.
  const popup = await opened;
  if (!popup.isClosed()) await popup.waitForEvent('close');
  seen.in_popup = { same_subject: third.profile?.sub === first.profile.sub, error: third.error ?? null };
  seen.windows = context.pages().length;

  await page.evaluate(() => void manager.signoutRedirect({ state: 'leaving' }));
  await page.waitForURL(`${origin}/signed-out?**`);
  seen.signed_out = (await ask(page, ['signoutRedirectCallback'])).userState;
  seen.trouble = [...person.trouble];
  seen.readable = await readable(page);
  seen.kept = await ask(page, ['getUser']);
  seen.dead = await userinfo(page, third.access_token);
  await page.evaluate(() => void manager.signinRedirect());
  seen.asked_again = await page.locator('#password').waitFor().then(() => true);

  const stranger = await stage.person();
  await stranger.page.goto(`${stage.application.origin}/`);
  seen.stranger = await readable(stranger.page);
  return seen;
}

/** Sign in, renew, look, sign out, all of it by a library in the page. */
export async function single_page(stage) {
  const application = await new SinglePage().open();
  try {
    return await play(stage, application.origin);
  } finally {
    application.close();
  }
}
