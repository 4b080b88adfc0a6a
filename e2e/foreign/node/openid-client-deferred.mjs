// A client built on openid-client whose user decides elsewhere: at a device's verification page (RFC 8628), or where
// CIBA finds the person. Prints one line of JSON saying what it saw.
//
// What relying-party.mjs is told, and RP_USER RP_PASSWORD.

import * as oidc from 'openid-client';
import { Person } from './pages.mjs';
import { SCOPE, configuration, given, refusal } from './relying-party.mjs';

const person = (decision) => new Person({ username: given('USER'), password: given('PASSWORD'), decision });

/** A client of its own, and a promise that it was told to go on asking. */
async function asking() {
  const config = await configuration();
  const pending = new Promise((resolve) => {
    config[oidc.customFetch] = async (...request) => {
      const answer = await fetch(...request);
      if (answer.status === 400 && (await answer.clone().json()).error === 'authorization_pending') resolve();
      return answer;
    };
  });
  return { config, pending };
}

/** What the tokens are good for. */
async function used(config, tokens) {
  const claims = tokens.claims();
  const again = await oidc.refreshTokenGrant(config, tokens.refresh_token);
  return {
    members: Object.keys(tokens).sort(),
    scope: tokens.scope,
    audience: claims.aud,
    nonce: claims.nonce ?? null,
    email: (await oidc.fetchUserInfo(config, tokens.access_token, claims.sub)).email,
    refreshed: again.claims().sub === claims.sub,
  };
}

/** The device asks; a person types its code only when the device was told to wait. */
async function device(decision) {
  const { config, pending } = await asking();
  const begun = await oidc.initiateDeviceAuthorization(config, { scope: SCOPE });
  const polling = oidc.pollDeviceAuthorizationGrant(config, begun);
  const settled = polling.catch(() => {});
  await Promise.race([pending, settled]);
  const { said, forms } = await person(decision).visit(begun.verification_uri_complete, { stay: true });
  const seen = { members: Object.keys(begun).sort(), forms, said };
  if (decision === 'deny') return { ...seen, refused: await refusal(polling) };
  const tokens = await polling;
  return { ...seen, used: await used(config, tokens), again: await refusal(oidc.pollDeviceAuthorizationGrant(config, begun)) };
}

async function backchannel() {
  const { config, pending } = await asking();
  const begun = await oidc.initiateBackchannelAuthentication(config, {
    scope: SCOPE,
    login_hint: given('USER'),
    binding_message: 'W4SCT',
  });
  const polling = oidc.pollBackchannelAuthenticationGrant(config, begun);
  const settled = polling.catch(() => {});
  await Promise.race([pending, settled]);
  const { said, forms } = await person('approve').visit(`${given('ISSUER')}/ciba`, { stay: true });
  return { members: Object.keys(begun).sort(), forms, said, used: await used(config, await polling) };
}

const [approved, declined, elsewhere] = await Promise.all([device('approve'), device('deny'), backchannel()]);
process.stdout.write(`${JSON.stringify({ approved, declined, elsewhere })}\n`);
