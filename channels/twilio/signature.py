"""Is a request Twilio's? https://www.twilio.com/docs/usage/webhooks/webhooks-security

The signature covers the address as Twilio knows it and every parameter of a form; of JSON the digest of the body,
which stands in the address. Twilio's library computes it; everything that it would stumble over is no signature.
It has no time in it: a request that somebody saw is good for ever, so what is in it counts once by its SID.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qs, parse_qsl, urlsplit

if TYPE_CHECKING:
    from twilio.request_validator import RequestValidator

SIGNATURE = "X-Twilio-Signature"
SETTINGS = "X-Twilio-Webhooks-Signature-Settings"
CONTENT_TYPE = "Content-Type"
HEADERS = (SIGNATURE, SETTINGS, CONTENT_TYPE)
"""Headers that the check needs."""
FIELDS = 5_000
"""Parameters of one request; Twilio sends about a hundred at most, and may add some."""
SHA1, SHA256 = "HMAC_SHA1", "HMAC_SHA256"
_NO_SIGNATURE = (ValueError, TypeError, LookupError, AttributeError)
"""What the library raises for requests that nobody at Twilio made (a bad port, letters that are none)."""
_PART = re.compile(r"\s*(\w{1,20})\s*=\s*([\w.-]{1,200})\s*")

Fields: TypeAlias = Sequence[tuple[str, str]]


class _Parameters(dict[str, list[str]]):
    """A form as Twilio's library reads one that may say a name several times."""

    @classmethod
    def of(cls, fields: Fields) -> _Parameters:
        made = cls()
        for name, value in fields:
            made.setdefault(name, []).append(value)
        return made

    def getall(self, name: str) -> list[str]:
        return self[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What may sign. Each key has its own algorithm: what is signed by one is never checked by the other's."""

    tokens: tuple[str, ...]
    """Auth tokens, the present one first; while it is changed there are two. SHA-1."""
    shared: tuple[tuple[str, str], ...] = ()
    """(id, secret) of keys made for webhooks. SHA-256."""

    def __post_init__(self) -> None:
        """Raises ValueError without a token, or with an empty one: anybody can sign with the empty key."""
        if not self.tokens or not all(self.tokens) or not all(secret for _, secret in self.shared):
            raise ValueError("an account needs an auth token that is not empty; anybody could sign without one")


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A request as far as its signature goes. It has no slots, so that its form is read once."""

    url: str
    """The address as Twilio knows it, with the query."""
    headers: Mapping[str, str]
    """Those of `HEADERS` that are there, by lower-case name."""
    body: bytes
    """Empty for GET, whose parameters stand in the address."""

    def header(self, name: str) -> str:
        """A header's text; "" when it is not there."""
        return self.headers.get(name.lower(), "")

    @cached_property
    def form(self) -> Fields:
        """The parameters of a form. Raises ValueError for too many."""
        return fields_of(self.body)

    @property
    def is_json(self) -> bool:
        """By its Content-Type alone: a form stays one, whatever the address says."""
        return self.header(CONTENT_TYPE).partition(";")[0].strip().lower() == "application/json"


def fields_of(form: bytes) -> Fields:
    """The parameters of a form or a query, in order, empty ones too. Raises ValueError for too many.

    What is no UTF-8 is replaced: nobody signs bytes that are no text.
    """
    text = form.decode("utf-8", "replace")
    return parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS, encoding="utf-8", errors="replace")


def doubt(request: Signed, keys: Keys) -> str | None:
    """Why the request is not believed, as a stable name; None when it is Twilio's."""
    signature = request.header(SIGNATURE)
    if not signature:
        return "no signature"
    named = _settings(request.header(SETTINGS))
    if named is None:
        return "unknown key"
    key, algorithm = named
    secrets = [secret for name, secret in keys.shared if name == key] if key else list(keys.tokens)
    # A shared key signs with SHA-256 and an auth token with SHA-1: the header chooses between them, and nothing else.
    if not secrets or algorithm != (SHA256 if key else SHA1):
        return "unknown key"
    try:
        params: _Parameters | str = _json(request) if request.is_json else _Parameters.of(request.form)
    except ValueError as error:
        return str(error) if request.is_json else "too many fields"
    good = any(_fits(_validator(secret), request.url, params, signature, algorithm) for secret in secrets)
    return None if good else "wrong signature"


def _json(request: Signed) -> str:
    """The body as the text that was digested. Raises ValueError with the reason for doubt."""
    if "bodySHA256" not in parse_qs(urlsplit(request.url).query):
        raise ValueError("no digest of the body")
    try:
        return request.body.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("wrong signature") from None


def _fits(validator: RequestValidator, url: str, params: _Parameters | str, signature: str, algorithm: str) -> bool:
    try:
        if validator.validate(url, params, signature, algorithm):
            return True
        # The library drops an empty query; whoever wrote one into their address has it signed.
        exact = url.endswith("?") and not isinstance(params, str)
        return exact and hmac.compare_digest(validator.compute_signature(url, params, algorithm), signature)
    except _NO_SIGNATURE:
        return False


def _settings(header: str) -> tuple[str, str] | None:
    """(id of a shared key or "", algorithm) as the header says; None when it says anything else."""
    if not header:
        return "", SHA1
    said: dict[str, str] = {}
    for part in header.split(","):
        found = _PART.fullmatch(part)
        if found is None or found[1] in said:
            return None
        said[found[1]] = found[2]
    return said.get("key", ""), said.get("algorithm", SHA1).upper()


def _validator(secret: str) -> RequestValidator:
    # Loaded with the first request: an account that nobody configured costs no SDK.
    from twilio.request_validator import RequestValidator

    return RequestValidator(secret)
