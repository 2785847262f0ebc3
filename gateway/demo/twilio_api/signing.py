"""The signature of a webhook, from Twilio's side."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import quote_plus

Fields = Sequence[tuple[str, str]]


def encoded(fields: Fields) -> bytes:
    """A form as Twilio writes it (application/x-www-form-urlencoded, UTF-8)."""
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in fields).encode()


def signature(token: str, url: str, fields: Fields = (), *, algorithm: str = "sha1") -> str:
    """Of the address and of every name with its values, by name; a value that is said twice counts once."""
    text = url + "".join(name + value for name, value in sorted(set(fields)))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), algorithm).digest()).decode()


def signed_form(token: str, url: str, fields: Fields, *, shared_key: str = "") -> tuple[bytes, dict[str, str]]:
    """(body, headers) of a form. `shared_key`: the id of a key made for webhooks, whose secret `token` is then."""
    algorithm = "sha256" if shared_key else "sha1"
    headers = {
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        "X-Twilio-Signature": signature(token, url, fields, algorithm=algorithm),
    }
    if shared_key:
        headers["X-Twilio-Webhooks-Signature-Settings"] = f"key={shared_key},algorithm=HMAC_SHA256"
    return encoded(fields), headers


def signed_json(token: str, url: str, body: bytes) -> tuple[str, dict[str, str]]:
    """(address, headers) of a JSON body, whose digest stands in the address."""
    joined = "&" if "?" in url else "?"
    whole = f"{url}{joined}bodySHA256={hashlib.sha256(body).hexdigest()}"
    return whole, {"Content-Type": "application/json", "X-Twilio-Signature": signature(token, whole)}
