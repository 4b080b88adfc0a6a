// What the programs on openid-client share: who the client is, one authorization, and what a refusal says.
//
// RP_ISSUER RP_CLIENT_ID RP_REDIRECT_URI, and where they matter RP_AUTH_METHOD RP_CLIENT_SECRET RP_KEY RP_KEY_ID
// RP_RESPONSE_MODE RP_ID_TOKEN_ALG. The authority comes by NODE_EXTRA_CA_CERTS.

import { createPrivateKey, webcrypto } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import * as oidc from 'openid-client';

export const SCOPE = 'openid profile email offline_access';
export const METHOD = process.env.RP_AUTH_METHOD ?? 'client_secret_basic';

export const given = (name) => {
  const value = process.env[`RP_${name}`];
  if (!value) throw new Error(`RP_${name} is missing`);
  return value;
};

async function privateKey() {
  const der = createPrivateKey(await readFile(given('KEY'))).export({ type: 'pkcs8', format: 'der' });
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  return { key: await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']), kid: given('KEY_ID') };
}

async function authentication() {
  switch (METHOD) {
    case 'none':
      return oidc.None();
    case 'private_key_jwt':
      return oidc.PrivateKeyJwt(await privateKey());
    case 'client_secret_post':
      return oidc.ClientSecretPost(given('CLIENT_SECRET'));
    default:
      return oidc.ClientSecretBasic(given('CLIENT_SECRET'));
  }
}

/** The client, by what the issuer says of itself at one of its two addresses. */
export async function configuration(algorithm = 'oidc') {
  const metadata = { id_token_signed_response_alg: process.env.RP_ID_TOKEN_ALG ?? 'RS256' };
  return oidc.discovery(new URL(given('ISSUER')), given('CLIENT_ID'), metadata, await authentication(), {
    algorithm,
    // Signatures are checked against jwks_uri although TLS would excuse the client from it (OIDC Core §3.1.3.7).
    execute: [oidc.enableNonRepudiationChecks],
    timeout: 15,
  });
}

/** One authorization, from the request to the tokens; `begin` builds its address, by PAR for instance. */
export async function authorize(config, person, extra = {}, begin = oidc.buildAuthorizationUrl) {
  const checks = {
    pkceCodeVerifier: oidc.randomPKCECodeVerifier(),
    expectedState: oidc.randomState(),
    expectedNonce: oidc.randomNonce(),
    idTokenExpected: true,
  };
  const url = await begin(config, {
    redirect_uri: given('REDIRECT_URI'),
    scope: SCOPE,
    code_challenge: await oidc.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: checks.expectedState,
    nonce: checks.expectedNonce,
    ...(process.env.RP_RESPONSE_MODE && { response_mode: process.env.RP_RESPONSE_MODE }),
    ...extra,
  });
  const { away, forms } = await person.visit(url.href);
  const exchange = () => oidc.authorizationCodeGrant(config, away.response(), checks);
  return { exchange, tokens: await exchange(), forms, away, url };
}

/** The OAuth error that a promise fails with; anything else that it does is a failure of this program. */
export async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    if (error instanceof oidc.AuthorizationResponseError || error instanceof oidc.ResponseBodyError) return error.error;
    if (error instanceof oidc.WWWAuthenticateChallengeError) return error.cause[0].parameters.error;
    throw error;
  }
  return 'none';
}
