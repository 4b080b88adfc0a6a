"""A person at a browser without script: fills in forms by the names of their fields, follows redirects by hand
until one leads away from the issuer."""

from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit

import requests

STEPS_MAX = 12
TIMEOUT_S = 15


class Form(HTMLParser):
    """The one form of a page."""

    def __init__(self, html):
        super().__init__()
        self.id = self.action = None
        self.fields = {}
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.id, self.action, self._inside = attributes.get("id"), attributes.get("action"), True
        elif self._inside and tag in ("input", "button") and attributes.get("name"):
            self.fields[attributes["name"]] = attributes.get("value") or ""

    def handle_endtag(self, tag):
        if tag == "form":
            self._inside = False


class Person:
    def __init__(self, authority, username, password):
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = authority
        self._answers = {"username": username, "password": password, "decision": "approve"}

    def visit(self, address):
        """Open an address; sign in and agree where asked. Gives where that led, and the forms that were filled in.
        What a page would post to another site comes back as that site's address with a query."""
        origin = urlsplit(address)[:2]
        forms = []
        method, url, body = "GET", address, None
        for _ in range(STEPS_MAX):
            answer = self._session.request(method, url, data=body, allow_redirects=False, timeout=TIMEOUT_S)
            if answer.status_code == 303:
                method, url, body = "GET", urljoin(url, answer.headers["location"]), None
                if urlsplit(url)[:2] != origin:
                    return url, forms
                continue
            form = Form(answer.text)
            if answer.status_code != 200 or form.action is None:
                raise RuntimeError(f"{url} answers {answer.status_code} without a form: {answer.text}")
            if form.id == "form-post":
                return f"{form.action}?{urlencode(form.fields)}", forms
            forms.append(form.id)
            known = {name: self._answers[name] for name in form.fields if name in self._answers}
            method, url, body = "POST", urljoin(url, form.action), form.fields | known
        raise RuntimeError(f"more than {STEPS_MAX} steps from {address}")
