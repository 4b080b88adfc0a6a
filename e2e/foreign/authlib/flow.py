"""A relying party built on Authlib: the code flow, then the endpoints that a relying party uses afterwards. Prints one
line of JSON saying what it saw.

What party.py is told, and RP_POST_LOGOUT_URI RP_USER RP_PASSWORD
"""

import json
import os
import sys
from urllib.parse import parse_qsl, urlsplit

from pages import Person
from party import authorize, from_environment, introspect, refusal, revoke


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
    party = from_environment(given)
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
