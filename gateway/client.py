"""A client of a running gateway's API, for the commands: finds the server, says what to do when there is none."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_TRIES = 3


class ClientError(Exception):
    """The request was not carried out; the text says what to do."""


class Refused(ClientError):
    """The server understood the request and says that it makes no sense (422)."""


class Client:
    """Synchronous. Every write carries an `Idempotency-Key`, so repeating it after a broken connection is safe."""

    def __init__(
        self, url: str, token: str, *, timeout: float = 30.0, pause: Callable[[float], None] = time.sleep
    ) -> None:
        """`url` is "http://host:port" with or without a path; `timeout` in seconds of one try."""
        self._base = url.rstrip("/") + "/api/v1"
        self._token, self._timeout, self._pause = token, timeout, pause
        # Straight to the server: a proxy of the environment has no business with a token for this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @classmethod
    def find(cls, var: Path, *, url: str = "", token: str = "") -> Client:
        """The gateway that runs on this data folder, unless `url` and `token` say otherwise.

        `token` may be the token itself, `env:NAME` or `file:PATH`. Raises ClientError.
        """
        return cls(url or _listening(var), _secret(token) if token else _own_token(var))

    def get(self, path: str, **query: str | int | None) -> dict[str, Any]:
        """Read JSON. Raises ClientError."""
        given = {name: str(value) for name, value in query.items() if value not in (None, "")}
        tail = f"?{urllib.parse.urlencode(given)}" if given else ""
        return dict(json.loads(self._ask("GET", path + tail, None, {})))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Write. Raises ClientError."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
        return dict(json.loads(self._ask("POST", path, json.dumps(body or {}).encode(), headers)))

    def download(self, path: str) -> bytes:
        """Read bytes. Raises ClientError."""
        return self._ask("GET", path, None, {})

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        for attempt in range(1, _TRIES + 1):
            try:
                return self._once(method, path, body, headers)
            except _Again as error:
                if attempt == _TRIES:
                    raise ClientError(str(error)) from None
                self._pause(0.2 * attempt)
        raise AssertionError("the last try returned or raised")

    def _once(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        request = urllib.request.Request(
            self._base + path,
            data=body,
            method=method,
            headers={"Authorization": f"Bearer {self._token}", "Accept": "application/json", **headers},
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return bytes(response.read())
        except urllib.error.HTTPError as error:
            raise _explained(error) from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            raise _Again(
                f"no answer from {self._base} ({reason}); is the gateway running? Start it with `gateway serve`"
            ) from None


class _Again(ClientError):
    """Worth another try: nobody answered, or the server said later."""


def _explained(error: urllib.error.HTTPError) -> ClientError:
    try:
        said: Mapping[str, Any] = json.loads(error.read())
    except ValueError:
        return ClientError(f"HTTP {error.code} from something that is not the gateway; check the URL")
    detail = "; ".join(
        [str(said.get("detail", error.reason))]
        + [
            f"{fault['at']}: {fault['problem']}" if fault["at"] else fault["problem"]
            for fault in said.get("errors", ())
        ]
    )
    if error.code == 503:
        return _Again(detail)
    return Refused(detail) if error.code == 422 else ClientError(detail)


def _listening(var: Path) -> str:
    try:
        listening = json.loads((var / "listening.json").read_text(encoding="utf-8"))
        return f"http://{listening['http']}"
    except FileNotFoundError:
        raise ClientError(
            f"no gateway is running on {var}/; start it with `gateway serve`,"
            " or say where it is: --var DIR, or --url URL --token TOKEN"
        ) from None
    except (ValueError, KeyError, OSError) as error:
        raise ClientError(
            f"{var}/listening.json cannot be read ({type(error).__name__}); restart the gateway"
        ) from None


def _own_token(var: Path) -> str:
    try:
        return (var / "token").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise ClientError(f"there is no token in {var}/token; give one: --token TOKEN, env:NAME or file:PATH") from None
    except OSError as error:
        raise ClientError(
            f"{var}/token: {error.strerror}; run this as the user of the gateway, or give --token"
        ) from None


def _secret(text: str) -> str:
    kind, colon, rest = text.partition(":")
    if not colon:
        return text
    try:
        return os.environ[rest] if kind == "env" else Path(rest).expanduser().read_text(encoding="ascii").strip()
    except (KeyError, OSError, UnicodeError):
        raise ClientError(f"--token {kind}:{rest}: there is nothing; it is a token, env:NAME or file:PATH") from None
