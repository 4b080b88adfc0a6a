// A relying party built on openid-client: the code flow with everything that the library checks, then the
// endpoints that a relying party uses afterwards. Prints one line of JSON saying what it saw.
//
// What relying-party.mjs is told, and RP_POST_LOGOUT_URI RP_USER RP_PASSWORD.

import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import * as oidc from 'openid-client';
import { Person } from './pages.mjs';
import { METHOD, authorize, configuration, given, refusal } from './relying-party.mjs';

/** Whether OIDC Discovery and RFC 8414, at their two addresses, say the same. */
async function metadataAgree(config) {
  const other = await configuration('oauth2');
  return isDeepStrictEqual(config.serverMetadata(), other.serverMetadata());
}

const header = (jwt) => JSON.parse(Buffer.from(jwt.split('.')[0], 'base64url'));

/** OIDC Core §3.1.3.6; the library leaves this one to its user in the code flow. */
function accessTokenHashHolds(tokens) {
  const half = createHash('sha256').update(tokens.access_token).digest().subarray(0, 16);
  return tokens.claims().at_hash === half.toString('base64url');
}

async function refreshed(config, first) {
  const second = await oidc.refreshTokenGrant(config, first.refresh_token);
  return {
    tokens: second,
    seen: {
      rotated: Boolean(second.refresh_token) && second.refresh_token !== first.refresh_token,
      access_token_changed: second.access_token !== first.access_token,
      same_subject: second.claims().sub === first.claims().sub,
      at_hash: accessTokenHashHolds(second),
    },
  };
}

async function introspected(config, token) {
  const before = await oidc.tokenIntrospection(config, token);
  await oidc.tokenRevocation(config, token);
  return { before, after: await oidc.tokenIntrospection(config, token) };
}

/** A code that comes a second time takes with it what the first time gave (RFC 6749 §4.1.2). */
async function replayed(config, authorization) {
  const { access_token: token, refresh_token: refresh } = authorization.tokens;
  return {
    code: await refusal(authorization.exchange()),
    access_token: await refusal(oidc.fetchUserInfo(config, token, oidc.skipSubjectCheck)),
    refresh_token: await refusal(oidc.refreshTokenGrant(config, refresh)),
  };
}

async function loggedOut(config, person, tokens) {
  const state = oidc.randomState();
  const url = oidc.buildEndSessionUrl(config, {
    post_logout_redirect_uri: given('POST_LOGOUT_URI'),
    id_token_hint: tokens.id_token,
    state,
  });
  const { away, forms } = await person.visit(url.href);
  const target = new URL(away.url);
  return {
    forms,
    state: target.searchParams.get('state') === state,
    uri: target.origin + target.pathname,
    silent: await refusal(authorize(config, person, { prompt: 'none' })),
  };
}

async function run() {
  const config = await configuration();
  const person = new Person({ username: given('USER'), password: given('PASSWORD') });

  const first = await authorize(config, person);
  const claims = first.tokens.claims();
  const seen = {
    metadata_agree: await metadataAgree(config),
    forms: first.forms,
    response: [...first.away.parameters().keys()].sort(),
    response_mode: first.away.fields ? 'form_post' : 'query',
    id_token: claims,
    id_token_alg: header(first.tokens.id_token).alg,
    access_token_header: header(first.tokens.access_token),
    at_hash: accessTokenHashHolds(first.tokens),
    scope: first.tokens.scope,
    userinfo: await oidc.fetchUserInfo(config, first.tokens.access_token, claims.sub),
  };
  const { tokens: second, seen: refresh } = await refreshed(config, first.tokens);
  seen.refresh = refresh;
  if (METHOD !== 'none') seen.introspection = await introspected(config, second.access_token);
  await oidc.tokenRevocation(config, second.refresh_token, { token_type_hint: 'refresh_token' });
  seen.revoked_refresh = await refusal(oidc.refreshTokenGrant(config, second.refresh_token));

  // Signed in and agreed already: nothing is asked.
  const again = await authorize(config, person, { prompt: 'none' });
  seen.silent_forms = again.forms;
  seen.same_subject = again.tokens.claims().sub === claims.sub;
  seen.replay = await replayed(config, again);
  seen.logout = await loggedOut(config, person, again.tokens);
  return seen;
}

process.stdout.write(`${JSON.stringify(await run())}\n`);
