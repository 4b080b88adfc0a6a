"""A relying party built on Authlib's requests session and its OpenID mixin: the code flow, then the endpoints that a
relying party uses afterwards. Prints one line of JSON saying what it saw.

RP_ISSUER RP_CA RP_CLIENT_ID RP_CLIENT_SECRET RP_AUTH_METHOD RP_REDIRECT_URI RP_POST_LOGOUT_URI RP_USER RP_PASSWORD
"""

import json
import os
import sys
from contextlib import nullcontext
from urllib.parse import parse_qsl, urlsplit

from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.base_client.sync_openid import OpenIDMixin
from authlib.integrations.requests_client import OAuth2Session

from pages import TIMEOUT_S, Person

SCOPE = "openid profile email offline_access"


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


def refresh(party, first):
    second = dict(party.refresh_token(refresh_token=first["token"]["refresh_token"]))
    # OIDC Core §12.2: no new nonce. What is there is validated as the first one was.
    claims = party.parse_id_token(second, nonce=None)
    return second, {
        "rotated": second["refresh_token"] != first["token"]["refresh_token"],
        "access_token_changed": second["access_token"] != first["token"]["access_token"],
        "same_subject": claims["sub"] == first["claims"]["sub"],
    }


def log_out(party, person, id_token, target):
    leave = party.create_logout_url(post_logout_redirect_uri=target, id_token_hint=id_token)
    away, forms = person.visit(leave["url"])
    came = urlsplit(away)
    return {
        "forms": forms,
        "state": dict(parse_qsl(came.query)).get("state") == leave["state"],
        "uri": f"{came.scheme}://{came.netloc}{came.path}",
        "silent": refusal(lambda: authorize(party, person, prompt="none")),
    }


def run(given):
    party = RelyingParty(
        given["RP_ISSUER"],
        given["RP_CA"],
        client_id=given["RP_CLIENT_ID"],
        client_secret=given["RP_CLIENT_SECRET"],
        token_endpoint_auth_method=given["RP_AUTH_METHOD"],
        revocation_endpoint_auth_method=given["RP_AUTH_METHOD"],
        redirect_uri=given["RP_REDIRECT_URI"],
        scope=SCOPE,
    )
    person = Person(given["RP_CA"], given["RP_USER"], given["RP_PASSWORD"])
    first = authorize(party, person)
    seen = {
        "forms": first["forms"],
        "response": first["response"],
        "id_token": dict(first["claims"]),
        "scope": first["token"]["scope"],
        "userinfo": dict(party.userinfo()),
    }
    second, seen["refresh"] = refresh(party, first)
    before = introspect(party, second["access_token"])
    revoke(party, second["access_token"], "access_token")
    seen["introspection"] = {"before": before, "after": introspect(party, second["access_token"])}
    revoke(party, second["refresh_token"], "refresh_token")
    seen["revoked_refresh"] = refusal(lambda: party.refresh_token(refresh_token=second["refresh_token"]))

    again = authorize(party, person, prompt="none")
    seen["silent_forms"] = again["forms"]
    seen["logout"] = log_out(party, person, again["token"]["id_token"], given["RP_POST_LOGOUT_URI"])
    return seen


if __name__ == "__main__":
    json.dump(run(os.environ), sys.stdout)
    sys.stdout.write("\n")
