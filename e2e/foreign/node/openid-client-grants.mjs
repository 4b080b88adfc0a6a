// A client built on openid-client that goes by more than the code flow: a pushed request (RFC 9126), a token for
// itself (RFC 6749 §4.4), a token exchanged for another (RFC 8693). Prints one line of JSON saying what it saw.
//
// What relying-party.mjs is told, and RP_USER RP_PASSWORD RP_OWN_SCOPE RP_TARGET.

import * as oidc from 'openid-client';
import { Person } from './pages.mjs';
import { authorize, configuration, given, refusal } from './relying-party.mjs';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

/** The request goes to the issuer by the back door; the browser carries a reference to it, once. */
async function pushed(config, person) {
  const { tokens, forms, away, url } = await authorize(config, person, {}, oidc.buildAuthorizationUrlWithPAR);
  const again = await fetch(url, { redirect: 'manual' });
  return {
    tokens,
    seen: {
      forms,
      carried: [...url.searchParams.keys()].sort(),
      response: [...away.parameters().keys()].sort(),
      subject: tokens.claims().sub,
      again: again.status,
    },
  };
}

async function forItself(config) {
  const tokens = await oidc.clientCredentialsGrant(config, { scope: given('OWN_SCOPE') });
  const before = await oidc.tokenIntrospection(config, tokens.access_token);
  await oidc.tokenRevocation(config, tokens.access_token, { token_type_hint: 'access_token' });
  return {
    members: Object.keys(tokens).sort(),
    before,
    after: await oidc.tokenIntrospection(config, tokens.access_token),
    about_a_person: await refusal(oidc.clientCredentialsGrant(config, { scope: 'openid' })),
  };
}

async function exchanged(config, first) {
  const subject = { subject_token: first.access_token, subject_token_type: ACCESS_TOKEN };
  const ask = (more) => oidc.genericGrantRequest(config, EXCHANGE, { ...subject, ...more });
  const tokens = await ask({ audience: given('TARGET') });
  const before = await oidc.tokenIntrospection(config, tokens.access_token);
  const elsewhere = await refusal(ask({ audience: 'https://elsewhere.example.com' }));
  // What was made of a grant dies with it.
  await oidc.tokenRevocation(config, first.refresh_token);
  return {
    issued: tokens.issued_token_type,
    before,
    elsewhere,
    after: await oidc.tokenIntrospection(config, tokens.access_token),
    dead_subject: await refusal(ask({ audience: given('TARGET') })),
  };
}

async function run() {
  const config = await configuration();
  const person = new Person({ username: given('USER'), password: given('PASSWORD') });
  const first = await pushed(config, person);
  return {
    pushed: first.seen,
    for_itself: await forItself(config),
    exchanged: await exchanged(config, first.tokens),
  };
}

process.stdout.write(`${JSON.stringify(await run())}\n`);
