"""Who is at the other end when a reverse proxy stands between (`http.trusted_proxies`)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TypeAlias

from aiohttp import web

from channels.client import CLIENT

__all__ = ["CLIENT", "SCHEME", "Network", "believed", "client_of", "networks"]

Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"

SCHEME = web.RequestKey("scheme", str)
"""http or https, as the client used it."""


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks as written in the configuration. Raises ValueError."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def believed(address: str, trusted: Sequence[Network]) -> bool:
    """Whether this address is a proxy of ours."""
    if not trusted:
        return False
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed.version == network.version and parsed in network for network in trusted)


def client_of(request: web.Request, trusted: Sequence[Network]) -> tuple[str, str]:
    """(address, scheme). Headers are read only from a proxy of ours, and from its end backwards."""
    address, scheme = request.remote or "", request.scheme
    if not believed(address, trusted):
        return address, scheme
    forwarded = [hop.strip() for line in request.headers.getall("X-Forwarded-For", []) for hop in line.split(",")]
    for hop in reversed(forwarded):
        address = hop
        if not believed(hop, trusted):
            break
    said = request.headers.get("X-Forwarded-Proto", "").strip().lower()
    return address, said if said in ("http", "https") else scheme
