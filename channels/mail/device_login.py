"""A first refresh token by the device flow (RFC 8628): a person says yes in a browser anywhere, we ask until then."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from channels.credentials import reveal
from channels.mail.oauth_settings import OAuth
from channels.mail.settings import MailAccount

SECONDS = 30.0
GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SLOWER = 5.0
"""Seconds that `slow_down` adds to the pause (RFC 8628 section 3.5)."""


class LoginFailed(RuntimeError):
    """No token was given; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A token that is to be got."""

    parts: tuple[str, ...]
    """Who logs in with it, as the settings call them: "imap", "relay"."""
    settings: OAuth
    file: Path


async def login(
    account: MailAccount,
    say: Callable[[str], None],
    only: str = "",
    *,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Sequence[Path]:
    """Log an account in, its mailbox and its relay one after the other, and write each token to the file that its
    settings name. Where both name one file, that is one login. Returns the files.

    `say` shows a person what to do; `only` is "imap", "relay" or "" for both; `pause` waits so many seconds. Raises
    LoginFailed, or OSError for a file; what was written before stays.
    """
    wanted = _wanted(account, only)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as session:
        for one in wanted:
            token = await _token(session, one, say, pause)
            await asyncio.to_thread(_write, one.file, token)
            say(f"the token for {' and '.join(one.parts)} is in {one.file}")
    return [one.file for one in wanted]


def _wanted(account: MailAccount, only: str) -> list[Wanted]:
    """Every token that the account needs, each file once. Raises LoginFailed when one cannot be got."""
    named = {"imap": account.imap, "relay": account.relay}
    found: dict[str, Wanted] = {}
    for part, settings in named.items():
        oauth = settings.oauth if settings is not None else None
        if oauth is None or only not in ("", part):
            continue
        if not oauth.device_url:
            raise LoginFailed(f"{part}.oauth has no device_url")
        kind, _, name = oauth.refresh_token.get_secret_value().partition(":")
        if kind != "file":
            raise LoginFailed(f"{part}.oauth.refresh_token must be file:PATH, so that the token can be written there")
        before = found.get(name)
        parts = (*before.parts, part) if before is not None else (part,)
        found[name] = Wanted(parts=parts, settings=before.settings if before else oauth, file=Path(name))
    if not found:
        raise LoginFailed(f"this account has no {only or 'imap or relay'} that logs in with tokens (oauth)")
    return list(found.values())


async def _token(
    session: aiohttp.ClientSession,
    wanted: Wanted,
    say: Callable[[str], None],
    pause: Callable[[float], Awaitable[None]],
) -> str:
    settings = wanted.settings
    _, begun = await _post(session, settings.device_url, _form(settings, scope=settings.scope))
    if "device_code" not in begun:
        raise LoginFailed(f"the provider does not begin: {begun.get('error', 'no device_code')}")
    where = begun.get("verification_uri") or begun.get("verification_url")
    say(f"for {' and '.join(wanted.parts)}: open {where} and enter {begun.get('user_code')}")
    return await _ask_until(session, settings, begun, pause)


async def _ask_until(
    session: aiohttp.ClientSession, settings: OAuth, begun: Mapping[str, Any], pause: Callable[[float], Awaitable[None]]
) -> str:
    wait, left = float(begun.get("interval", 5)), float(begun.get("expires_in", 900))
    form = _form(settings, grant_type=GRANT, device_code=str(begun["device_code"]))
    while left > 0:
        await pause(wait)
        left -= wait
        status, said = await _post(session, settings.token_url, form)
        if status == 200 and said.get("refresh_token"):
            return str(said["refresh_token"])
        match said.get("error"):
            case "authorization_pending":
                continue
            case "slow_down":
                wait += SLOWER
            case None if status == 200:
                raise LoginFailed("the provider gives no refresh token: ask for offline access in `scope`")
            case error:
                raise LoginFailed(f"the provider refuses: {error}")
    raise LoginFailed("nobody said yes in time: begin again")


def _form(settings: OAuth, **more: str) -> dict[str, str]:
    form = {"client_id": settings.client_id, **{key: value for key, value in more.items() if value}}
    if settings.client_secret is not None and "grant_type" in more:
        form["client_secret"] = reveal(settings.client_secret)
    return form


async def _post(session: aiohttp.ClientSession, url: str, form: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
    try:
        async with session.post(url, data=form, allow_redirects=False) as answer:
            said = await answer.json(content_type=None)
            return answer.status, said if isinstance(said, dict) else {}
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise LoginFailed(f"the provider gives no answer: {type(error).__name__}") from None


def _write(path: Path, token: str) -> None:
    """Write the token, readable by us only, whole or not at all. Raises OSError."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
