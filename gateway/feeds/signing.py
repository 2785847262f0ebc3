"""Signatures of webhooks in both directions: Standard Webhooks 1.0, symmetric (`v1`).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: the signature is HMAC-SHA256
over `id.timestamp.body`, in base64 after "v1,"; several stand in one header, so that keys can be changed.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from gateway.feeds.contract import Forged

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE = timedelta(minutes=5)
"""How far the time of a request may be from ours, either way."""
PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Bytes of a key."""


def key_of(secret: str) -> bytes:
    """The key in "whsec_…" (base64). Raises ValueError, without the secret in it, for anything else."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("should be whsec_ and base64") from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"should hold {SHORTEST} to {LONGEST} bytes; `openssl rand -base64 32` makes some")
    return key


def signed(key: bytes, *, name: str, at: datetime, body: bytes) -> Mapping[str, str]:
    """The three headers of a request. `name` makes a repeat known to who receives it."""
    stamp = str(int(at.timestamp()))
    return {ID: name, TIMESTAMP: stamp, SIGNATURE: f"v1,{_signature(key, name, stamp, body)}"}


def verify(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    """The request's id. `headers` have lower-case names. Raises Forged; who sent it is told nothing of why."""
    name, stamp = headers.get(ID, ""), headers.get(TIMESTAMP, "")
    if not (name and len(name) <= 255 and stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise Forged("the signature's headers are absent or odd")
    # Header values are what the wire gave: bytes outside ASCII stand in them as surrogates.
    header = headers.get(SIGNATURE, "").encode("utf-8", "surrogateescape")
    said = [each[3:] for each in header.split()[:10] if each.startswith(b"v1,")]
    right = [_signature(key, name, stamp, body).encode() for key in keys]
    # Every pair is compared, so that the time tells nothing of which key it was.
    if not any([hmac.compare_digest(one, other) for one in said for other in right]):
        raise Forged("the signature is not by a key of ours")
    if abs(now.timestamp() - int(stamp)) > TOLERANCE.total_seconds():
        raise Forged("the request is too old, or a clock is wrong")
    return name


def _signature(key: bytes, name: str, stamp: str, body: bytes) -> str:
    start = f"{name}.{stamp}.".encode("utf-8", "surrogateescape")
    return base64.b64encode(hmac.digest(key, start + body, "sha256")).decode("ascii")
