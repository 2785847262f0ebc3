"""What listens: the HTTP socket, the channels' ports, and the file that says where."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from channels.contract import Listener, Watched
from gateway import health
from gateway.settings import Settings


class CannotListen(Exception):
    """A port is taken; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What listens."""

    http: socket.socket
    listeners: Sequence[Listener]

    def open(self) -> dict[str, str]:
        """Name -> "host:port" of every port that is open now."""
        found = {"http": shown(self.http)} if self.http.fileno() >= 0 else {}
        for listener in self.listeners:
            found |= listener.listening()
        return found


def watched(ports: Ports) -> list[health.Check]:
    """Trouble of listeners that operators hear of; the gateway is ready without them."""
    return [
        health.Check(name=listener.name, trouble=listener.trouble)
        for listener in ports.listeners
        if isinstance(listener, Watched)
    ]


def bind(settings: Settings) -> socket.socket:
    """The HTTP socket, bound before anything needs to know its address."""
    host, port = settings.http.host, settings.http.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise CannotListen(
            f"http: cannot listen on {host}:{port} ({error.strerror}); is another gateway running? --set http.port=0"
        ) from error
    return bound


def shown(bound: socket.socket) -> str:
    """ "host:port" of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def write_listening(path: Path, listening: Mapping[str, str]) -> None:
    """Write `var/listening.json` whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(dict(listening), indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
