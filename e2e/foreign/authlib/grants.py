"""A client built on Authlib that goes by more than the code flow: an answer by form, a pushed request (RFC 9126), a token
for itself (RFC 6749 §4.4), a token exchanged for another (RFC 8693). Prints one line of JSON saying what it saw.

What party.py is told, and RP_USER RP_PASSWORD RP_OWN_SCOPE RP_TARGET
"""

import json
import os
import sys
from urllib.parse import parse_qsl, urlencode, urlsplit

from authlib.common.security import generate_token

from pages import Person
from party import authorize, from_environment, introspect, refusal, revoke

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


def pushed(party, person):
    """The library builds and proves the request; where it goes is for its user to say (it has no word for RFC 9126)."""
    endpoint = party.server_metadata["authorization_endpoint"]
    verifier, nonce = generate_token(48), generate_token(20)
    url, state = party.create_authorization_url(endpoint, code_verifier=verifier, nonce=nonce)
    answer = party.post(
        party.server_metadata["pushed_authorization_request_endpoint"],
        data=dict(parse_qsl(urlsplit(url).query)),
        auth=party.client_auth(party.token_endpoint_auth_method),
        withhold_token=True,
    )
    answer.raise_for_status()
    reference = {"client_id": party.client_id, "request_uri": answer.json()["request_uri"]}
    away, forms = person.visit(f"{endpoint}?{urlencode(reference)}")
    token = party.fetch_token(authorization_response=away, state=state, code_verifier=verifier)
    claims = party.parse_id_token(token, nonce)
    return dict(token), {
        "forms": forms,
        "carried": sorted(reference),
        "response": sorted(dict(parse_qsl(urlsplit(away).query))),
        "subject": claims["sub"],
    }


def for_itself(party, scope):
    token = dict(party.fetch_token(grant_type="client_credentials", scope=scope))
    before = introspect(party, token["access_token"])
    revoke(party, token["access_token"], "access_token")
    return {
        "members": sorted(set(token) - {"expires_at"}),
        "before": before,
        "after": introspect(party, token["access_token"]),
        "about_a_person": refusal(lambda: party.fetch_token(grant_type="client_credentials", scope="openid")),
    }


def exchanged(party, first, target):
    subject = {"subject_token": first["access_token"], "subject_token_type": ACCESS_TOKEN}

    def ask(audience):
        return party.fetch_token(grant_type=EXCHANGE, audience=audience, **subject)

    token = ask(target)
    before = introspect(party, token["access_token"])
    elsewhere = refusal(lambda: ask("https://elsewhere.example.com"))
    # What was made of a grant dies with it.
    revoke(party, first["refresh_token"], "refresh_token")
    return {
        "issued": token["issued_token_type"],
        "before": before,
        "elsewhere": elsewhere,
        "after": introspect(party, token["access_token"]),
        "dead_subject": refusal(lambda: ask(target)),
    }


def run(given):
    party = from_environment(given)
    person = Person(given["RP_CA"], given["RP_USER"], given["RP_PASSWORD"])
    first = authorize(party, person, response_mode="form_post")
    tokens, by_reference = pushed(party, person)
    return {
        "by_form": {"forms": first["forms"], "response": first["response"]},
        "pushed": by_reference,
        "for_itself": for_itself(party, given["RP_OWN_SCOPE"]),
        "exchanged": exchanged(party, tokens, given["RP_TARGET"]),
    }


if __name__ == "__main__":
    json.dump(run(os.environ), sys.stdout)
    sys.stdout.write("\n")
