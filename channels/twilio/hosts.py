"""Whom we ask: one host knows our account, and nobody leads us into a network that is not the Internet.

An address that a far side names (a file, where a file has moved to) is only asked at public addresses. The one
exception is the host of `api_url` itself: where the provider stands in a network of our own, so do its files.
"""

from __future__ import annotations

import base64
import ipaddress
import socket
from collections.abc import Mapping, Sequence
from typing import TypeAlias
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

Origin: TypeAlias = tuple[str, str, int]
"""(scheme, host, port)."""
IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
PORTS = {"http": 80, "https": 443}


class Forbidden(OSError):
    """The host's addresses are none that we may be led to."""


def origin(url: str) -> Origin | None:
    """Where a URL leads; None for what is no http or https address, or names a user."""
    try:
        parts = urlsplit(url)
        port = parts.port
        # As the library will have it, for whom "１２７.0.0.1" is an address like any other and needs no finding.
        host = URL(url).raw_host
    except ValueError:
        return None
    known = PORTS.get(parts.scheme)
    if known is None or not parts.hostname or not host or "@" in parts.netloc or any(sign <= " " for sign in url):
        return None
    return parts.scheme, host.rstrip("."), port or known


def credentials(account_sid: str, token: str) -> Mapping[str, str]:
    """The header that says who we are (RFC 7617)."""
    return {"Authorization": "Basic " + base64.b64encode(f"{account_sid}:{token}".encode()).decode()}


def is_public(address: IpAddress) -> bool:
    """One of the Internet. An IPv6 address that only carries one of IPv4 is that one."""
    inside = _packed(address)
    return inside.is_global and not (inside.is_multicast or inside.is_reserved)


def _packed(address: IpAddress) -> IpAddress:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Guard(AbstractResolver):
    """Finds the addresses of hosts for one connection pool: what is checked is what is connected to."""

    def __init__(self, home: str, resolver: AbstractResolver | None = None) -> None:
        """`home`: host of `api_url`; wherever it is, others may be, too."""
        self._home = home
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Those addresses that we may be led to. Raises Forbidden when there is none, OSError for an unknown host."""
        found = await self._resolver.resolve(host, port, family)
        good = [one for one in found if await self._may(_ip(one["host"]))]
        if not good:
            raise Forbidden(f"{host} is at no public address")
        return good

    async def close(self) -> None:
        """Nothing is open."""
        await self._resolver.close()

    async def check(self, host: str) -> None:
        """The same for a host that is an address itself, which nobody resolves. Raises Forbidden."""
        address = _ip(host)
        if address is not None and not await self._may(address):
            raise Forbidden(f"{host} is no public address")

    async def _may(self, address: IpAddress | None) -> bool:
        return address is not None and (is_public(address) or address in await self._at_home())

    async def _at_home(self) -> Sequence[IpAddress | None]:
        own = _ip(self._home)
        if own is not None:
            return [own]
        try:
            return [_ip(one["host"]) for one in await self._resolver.resolve(self._home, 0, socket.AF_UNSPEC)]
        except OSError:
            return []


def _ip(host: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
