// What people do, scene by scene. Every scene gives what it saw; what that ought to be is said in tests/browser.rs.

import { look } from './looks.mjs';
import { given } from './stage.mjs';

export { single_page } from './single-page.mjs';

const WRONG = 'not the password of anybody';
const CALLBACK = (stage) => `${stage.application.origin}/callback`;

async function fillIn(page, password, username = given('USER')) {
  await page.locator('#username').fill(username);
  await page.locator('#password').fill(password);
}

/** What the browser says comes when it comes; a scene that never hears it says so itself. */
async function eventually(holds) {
  for (let tries = 0; tries < 100 && !holds(); tries += 1) await new Promise((resolve) => setTimeout(resolve, 50));
}

/** Past the sign-in page, to the question. */
async function toConsent(stage, person, extra) {
  await person.page.goto(stage.authorization(extra));
  await fillIn(person.page, given('PASSWORD'));
  await person.page.locator('#submit').click();
  await person.page.locator('#consent').waitFor();
}

const observed = ({ trouble, redirects, elsewhere }) => ({
  trouble,
  redirects: [...redirects],
  elsewhere: [...elsewhere],
});

async function cookiesOf(stage, { context }) {
  const all = await context.cookies(stage.issuer);
  return all
    .map(({ name, httpOnly, secure, path, domain, sameSite, expires }) => ({
      name, httpOnly, secure, path, domain, sameSite, session: expires === -1,
    }))
    .sort((one, other) => one.name.localeCompare(other.name));
}

/** A wrong password, the right one by the Enter key, agreement; then a second application visit, declined. */
export async function sign_in(stage, script) {
  const person = await stage.person({ script: script === 'script' });
  const { page } = person;
  await page.goto(stage.authorization());
  const seen = { heading: await page.locator('h1').textContent() };
  if (script === 'script') {
    await page.locator('#username:focus').waitFor();
    seen.focus = await page.evaluate(() => document.activeElement.id);
  }
  await fillIn(page, WRONG);
  await page.locator('#submit').click();
  await page.locator('#error').waitFor();
  seen.wrong = {
    said: await page.locator('#error').textContent(),
    role: await page.locator('#error').getAttribute('role'),
    username: await page.locator('#username').inputValue(),
    password: await page.locator('#password').inputValue(),
    addresses_with_password: [page.url()].filter((url) => /passw|not.the/i.test(url)),
  };

  // Whoever leaves sooner ends what is still being fetched, and that is trouble.
  await page.waitForLoadState('load');
  await page.locator('#password').fill(given('PASSWORD'));
  await page.locator('#password').press('Enter');
  await page.locator('#consent').waitFor();
  seen.consent = {
    heading: await page.locator('h1').textContent(),
    account: await page.locator('#account').textContent(),
    destination: await page.locator('#destination').textContent(),
    scopes: await page.locator('#scopes li').evaluateAll((items) => items.map((item) => item.dataset.scope)),
  };
  await page.locator('#approve').click();
  await page.waitForURL(`${CALLBACK(stage)}?**`);
  seen.approved = await stage.application.visit();
  seen.cookies = await cookiesOf(stage, person);

  await page.goto(stage.authorization());
  await page.locator('#deny').click();
  await page.waitForURL(`${CALLBACK(stage)}?**`);
  seen.declined = await stage.application.visit();
  if (script === 'script') {
    await page.goto(`${stage.issuer}/login`);
    seen.cookies_of_script = await page.evaluate(() => document.cookie);
  }
  return { ...seen, ...observed(person) };
}

/** The answer by form: sent by itself where scripts run, by a button where they do not. */
export async function form_post(stage, script) {
  const person = await stage.person({ script: script === 'script' });
  const { page } = person;
  await toConsent(stage, person, { response_mode: 'form_post' });
  await page.locator('#approve').click();
  const seen = {};
  if (script !== 'script') {
    seen.heading = await page.locator('h1').textContent();
    await page.locator('#continue').click();
  }
  await page.waitForURL(CALLBACK(stage));
  seen.approved = await stage.application.visit();
  return { ...seen, ...observed(person) };
}

/** Every page but the one of enrolment, looked at. */
export async function pages(stage) {
  const person = await stage.person();
  const { page } = person;
  const seen = [];
  const watch = async (name) => seen.push(await look(person, name));
  // Held back, so that the page stays; scenes about its script are elsewhere.
  await page.route('**/static/form-post.js', (route) => route.fulfill({ contentType: 'text/javascript', body: '' }));

  await page.goto(stage.authorization());
  await watch('login');
  await fillIn(page, WRONG, given('LONG_USER'));
  await page.locator('#submit').click();
  await page.locator('#error').waitFor();
  await watch('login-error');
  await fillIn(page, given('PASSWORD'), given('LONG_USER'));
  await page.locator('#submit').click();
  await page.locator('#consent').waitFor();
  await watch('consent');
  await page.goto(stage.authorization({ client_id: given('LONG_CLIENT_ID'), response_mode: 'form_post' }));
  await watch('consent-long');
  await page.locator('#approve').click();
  await page.locator('#form-post').waitFor();
  await watch('form-post');
  await page.goto(`${stage.issuer}/login`);
  await watch('signed-in');
  await page.locator('#to-account').click();
  await page.locator('#invitations').waitFor();
  await watch('account');
  await page.locator('#current_password').fill(WRONG);
  await page.locator('#new_password').fill(given('NEW_PASSWORD'));
  await page.locator('#submit').click();
  await page.locator('#error').waitFor();
  await watch('account-error');
  await page.goto(`${stage.issuer}/reset`);
  await watch('reset');
  await page.goto(`${stage.issuer}/logout`);
  await watch('logout');
  await page.locator('#submit').click();
  await page.getByText('You are signed out').waitFor();
  await watch('signed-out');
  const cookies = await cookiesOf(stage, person);
  for (const [name, address] of [
    ['error-client', stage.authorization({ client_id: 'nobody-registered-this' })],
    ['error-redirect', stage.authorization({ redirect_uri: 'https://elsewhere.example.com/' })],
    ['error-expired', `${stage.issuer}/login?interaction=${'A'.repeat(43)}`],
    ['error-not-found', `${stage.issuer}/nothing-here`],
    ['error-link', `${stage.issuer}/enroll?token=${'A'.repeat(43)}`],
  ]) {
    await page.goto(address);
    await watch(name);
  }
  return { pages: seen, cookies_after_logout: cookies.map(({ name }) => name), elsewhere: [...person.elsewhere] };
}

/** A one-time link: a password that will not do, one that does, a sign-in with it; the link again. */
export async function enrol(stage) {
  const person = await stage.person();
  const { page } = person;
  const link = given('ENROL_URL');
  await page.goto(link);
  const seen = { account: await page.locator('#account').textContent(), pages: [await look(person, 'enroll')] };
  await page.locator('#password').fill('passwordpassword');
  await page.locator('#submit').click();
  await page.locator('#error').waitFor();
  seen.weak = await page.locator('#error').textContent();
  seen.pages.push(await look(person, 'enroll-error'));
  await page.locator('#password').fill(given('NEW_PASSWORD'));
  await page.locator('#submit').click();
  await page.getByText('Your password is set').waitFor();
  seen.pages.push(await look(person, 'enrolled'));

  await page.goto(stage.authorization());
  await fillIn(page, given('NEW_PASSWORD'), seen.account);
  await page.locator('#submit').click();
  await page.locator('#consent').waitFor();
  seen.signed_in_as = await page.locator('#account').textContent();
  await page.goto(link);
  seen.again = await page.locator('h1').textContent();
  return { ...seen, elsewhere: [...person.elsewhere] };
}

/** Pages in a frame of another site. */
export async function framed(stage) {
  const person = await stage.person();
  const { page } = person;
  await toConsent(stage, person);
  const consent = page.url();
  const seen = {};
  for (const [name, address] of Object.entries({
    login: `${stage.issuer}/login`,
    consent,
    logout: `${stage.issuer}/logout`,
    error: `${stage.issuer}/nothing-here`,
    authorize: stage.authorization(),
  })) {
    const said = person.trouble.length;
    stage.application.pages.set('/frame', `<iframe id="framed" src="${address}"></iframe>`);
    await page.goto(`${stage.application.origin}/frame`);
    const inner = await (await page.locator('#framed').elementHandle()).contentFrame();
    await inner.waitForLoadState();
    const refused = () => person.trouble.slice(said).some((text) => /frame/i.test(text));
    await eventually(refused);
    seen[name] = {
      shown: inner.url().startsWith(stage.issuer) && (await inner.locator('form, h1').count()) > 0,
      refused: refused(),
    };
  }
  return seen;
}

/** Another site submits our forms and embeds our addresses, in the browser of somebody who is signed in. */
export async function forged(stage) {
  const person = await stage.person();
  const { page } = person;
  await toConsent(stage, person);
  const question = page.url();
  const interaction = new URL(question).searchParams.get('interaction');
  const before = await person.context.cookies(stage.issuer);
  const forms = {
    '/login': { username: given('USER'), password: given('PASSWORD'), csrf: 'A'.repeat(43) },
    '/consent': { interaction, decision: 'approve', csrf: 'A'.repeat(43) },
    '/logout': { csrf: 'A'.repeat(43) },
    '/enroll': { token: 'A'.repeat(43), password: given('NEW_PASSWORD'), csrf: 'A'.repeat(43) },
  };
  const seen = {};
  for (const [path, fields] of Object.entries(forms)) {
    const inputs = Object.entries(fields).map(([name, value]) => `<input name="${name}" value="${value}">`);
    const form = `<form method="post" action="${stage.issuer}${path}">${inputs.join('')}<button>Win</button></form>`;
    stage.application.pages.set('/forged', form);
    await page.goto(`${stage.application.origin}/forged`);
    const [answer] = await Promise.all([
      page.waitForResponse((response) => response.request().method() === 'POST'),
      page.locator('button').click(),
    ]);
    seen[path] = answer.status();
  }
  const images = ['/logout', '/oauth/logout'].map((path) => `<img src="${stage.issuer}${path}">`);
  stage.application.pages.set('/images', images.join(''));
  await page.goto(`${stage.application.origin}/images`, { waitUntil: 'load' });

  await page.goto(`${stage.issuer}/login`);
  const still = await page.locator('#message').textContent();
  await page.goto(question);
  const values = (cookies) => JSON.stringify(cookies.map(({ name, value }) => [name, value]).sort());
  return {
    statuses: seen,
    still,
    still_asked: (await page.locator('#consent').count()) === 1,
    cookies_are_the_same: values(before) === values(await person.context.cookies(stage.issuer)),
  };
}

/** After the flow, the Back button leads to nothing that works. */
export async function back(stage) {
  const person = await stage.person();
  const { page } = person;
  await toConsent(stage, person);
  await page.locator('#approve').click();
  await page.waitForURL(`${CALLBACK(stage)}?**`);
  await stage.application.visit();
  await page.goBack();
  const seen = { heading: await page.locator('h1').textContent(), forms: await page.locator('form').count() };
  const addresses = await addressesOf(person);
  return { ...seen, addresses_with_password: addresses.filter((url) => url.includes(encodeURIComponent(given('PASSWORD')))) };
}

async function addressesOf({ context, page }) {
  const protocol = await context.newCDPSession(page);
  const { entries } = await protocol.send('Page.getNavigationHistory');
  await protocol.detach();
  return entries.map(({ url }) => url);
}
