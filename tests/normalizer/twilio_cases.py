"""Requests of Twilio in `cases/twilio/`: `<name>.form` is the body, `<name>.json` how it came and what it means."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.explain import raw_of
from normalizer.message import Event
from normalizer.normalize import normalize
from tests.normalizer.telegram_cases import AT, shown

CASES = Path(__file__).parent / "cases" / "twilio"
NAMES = sorted(path.stem for path in CASES.glob("*.form"))


def read(body: bytes, *, channel: str = "sms", facts: dict[str, Any] | None = None, report: bool = False) -> Event:
    """The event of a request that the account "explain" took in."""
    made = raw_of("twilio_status/1" if report else "twilio_message/1", body, received_at=AT, facts=facts or {})
    return normalize(replace(made, channel=channel))


def wanted(name: str) -> dict[str, Any]:
    """How a case came, and the event that it is."""
    found: dict[str, Any] = json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    return found


def read_case(name: str) -> Any:
    """What a case is read as, in the form of its expectation."""
    how = wanted(name)
    body = (CASES / f"{name}.form").read_bytes().removesuffix(b"\n")
    return shown(read(body, channel=how["channel"], facts=how["facts"], report=how.get("report", False)))
