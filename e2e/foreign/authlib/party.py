"""What the programs on Authlib share: its requests session and its OpenID mixin as one relying party, one
authorization, and what a refusal says.

RP_ISSUER RP_CA RP_CLIENT_ID RP_CLIENT_SECRET RP_AUTH_METHOD RP_KEY RP_KEY_ID RP_REDIRECT_URI
"""

import time
from contextlib import nullcontext
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.base_client.sync_openid import OpenIDMixin
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT

from pages import TIMEOUT_S

SCOPE = "openid profile email offline_access"


class Assertion(PrivateKeyJWT):
    """The library's, good for a minute: the hour that it would give is longer than the issuer takes."""

    def __init__(self, issuer, key_id):
        super().__init__(issuer)
        self._key_id = key_id

    def sign(self, auth, token_endpoint):
        self.headers = {"kid": self._key_id}
        self.claims = {"exp": int(time.time()) + 60}
        return super().sign(auth, token_endpoint)


class RelyingParty(OpenIDMixin, OAuth2Session):
    """The library's two halves put together as its framework integrations do it."""

    def __init__(self, issuer, authority, **options):
        super().__init__(code_challenge_method="S256", default_timeout=TIMEOUT_S, **options)
        self.trust_env = False
        self.verify = authority
        self.server_metadata = {}
        found = self.get(f"{issuer}/.well-known/openid-configuration", withhold_token=True)
        found.raise_for_status()
        self.server_metadata = found.json()
        # OIDC Discovery §4.3: the issuer "MUST exactly match" the one that was asked.
        require(self.server_metadata["issuer"] == issuer, "another issuer's metadata")
        self.metadata["token_endpoint"] = self.server_metadata["token_endpoint"]

    def load_server_metadata(self):
        return self.server_metadata

    def _get_session(self):
        return nullcontext(self)


def from_environment(given):
    """The client that RP_ variables describe."""
    method = given["RP_AUTH_METHOD"]
    by_key = method == "private_key_jwt"
    party = RelyingParty(
        given["RP_ISSUER"],
        given["RP_CA"],
        client_id=given["RP_CLIENT_ID"],
        client_secret=Path(given["RP_KEY"]).read_text() if by_key else given["RP_CLIENT_SECRET"],
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        redirect_uri=given["RP_REDIRECT_URI"],
        scope=SCOPE,
    )
    if by_key:
        party.register_client_auth_method(Assertion(given["RP_ISSUER"], given["RP_KEY_ID"]))
    return party


def require(condition, failure):
    if not condition:
        raise RuntimeError(failure)


def authorize(party, person, **extra):
    """One authorization, from the request to the validated tokens."""
    verifier, nonce = generate_token(48), generate_token(20)
    endpoint = party.server_metadata["authorization_endpoint"]
    url, state = party.create_authorization_url(endpoint, code_verifier=verifier, nonce=nonce, **extra)
    away, forms = person.visit(url)
    response = dict(parse_qsl(urlsplit(away).query))
    if "error" in response:
        raise OAuthError(response["error"], response.get("error_description"))
    # RFC 9207 §2.4, which the library leaves to its user.
    require(response["iss"] == party.server_metadata["issuer"], "the response names another issuer")
    token = party.fetch_token(authorization_response=away, state=state, code_verifier=verifier)
    claims = party.parse_id_token(token, nonce)
    return {"token": dict(token), "claims": claims, "forms": forms, "response": sorted(response)}


def refusal(act):
    """The OAuth error that an act ends with."""
    try:
        act()
    except OAuthError as error:
        return error.error
    return "none"


def introspect(party, token):
    answer = party.introspect_token(party.server_metadata["introspection_endpoint"], token=token)
    answer.raise_for_status()
    return answer.json()


def revoke(party, token, hint):
    answer = party.revoke_token(party.server_metadata["revocation_endpoint"], token=token, token_type_hint=hint)
    answer.raise_for_status()
