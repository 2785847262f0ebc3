"""When a certificate ends, read from its file without a TLS connection."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from channels.contract import Clock
from gateway.health import Check

_SEQUENCE, _CONTEXT_0 = 0x30, 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18


class NotACertificate(ValueError):
    """The bytes are no X.509 certificate."""


def ends(pem: str) -> datetime:
    """The `notAfter` of the first certificate of a PEM text (RFC 5280 section 4.1.2.5). Raises NotACertificate."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    first = pem.partition(begin)[2].partition(end)[0]
    try:
        der = ssl.PEM_cert_to_DER_cert(f"{begin}{first}{end}\n")
        outer = next(_items(der))[1]
        fields = _items(next(_items(outer))[1])
        kinds = [item for item in fields if item[0] != _CONTEXT_0]
        # serial number, algorithm, issuer, validity
        _, (kind, text) = tuple(_items(kinds[3][1]))[:2]
        form = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}[kind]
        return datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC)
    except (ValueError, KeyError, IndexError, StopIteration) as error:
        raise NotACertificate("this is no PEM certificate") from error


def _items(der: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, content) of each element of a DER sequence (X.690 section 8.1)."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size], "big"), at + size
        yield tag, der[at : at + length]
        at += length


def check(paths: Callable[[], Sequence[Path]], warn: Callable[[], timedelta], clock: Clock) -> Check:
    """None of these PEM files ends within `warn()`."""

    def trouble() -> str:
        found = []
        for path in paths():
            try:
                left = ends(path.read_text(encoding="ascii", errors="replace")) - clock()
            except (OSError, NotACertificate) as error:
                found.append(f"{path} cannot be read ({type(error).__name__})")
                continue
            if left < timedelta(0):
                found.append(f"{path} has ended")
            elif left < warn():
                found.append(f"{path} ends in {left.days} days; renew it")
        return "; ".join(found)

    return Check(name="certificate", trouble=trouble)
