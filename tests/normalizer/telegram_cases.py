"""Updates of Telegram in `cases/telegram/`: `<name>.update` is the body, `<name>.json` what it means."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from gateway.explain import raw_of
from normalizer.message import Event
from normalizer.normalize import normalize

CASES = Path(__file__).parent / "cases" / "telegram"
NAMES = sorted(path.stem for path in CASES.glob("*.update"))
AT = datetime(2026, 3, 10, 10, 0, 5, tzinfo=UTC)


def read(body: bytes, facts: dict[str, Any]) -> Event:
    """The event of an update that the account "explain" took in."""
    return normalize(raw_of("telegram/1", body, received_at=AT, facts=facts))


def wanted(name: str) -> dict[str, Any]:
    """The facts that a case is read with, and the event that it is."""
    found: dict[str, Any] = json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    return found


def read_case(name: str) -> dict[str, Any]:
    """What a case is read as, in the form of its expectation."""
    return shown(read((CASES / f"{name}.update").read_bytes(), wanted(name)["facts"]))


def shown(value: Any) -> Any:
    """An event as JSON: its kind, and every field that is not at its default."""
    if dataclasses.is_dataclass(value):
        own = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if _is_set(value, field)}
        return {"is": type(value).__name__, **{name: shown(one) for name, one in own.items()}}
    if isinstance(value, tuple | list):
        return [shown(one) for one in value]
    if isinstance(value, dict):
        return {key: shown(one) for key, one in value.items()}
    if isinstance(value, Enum):
        return value.value
    return value.isoformat() if isinstance(value, datetime) else value


def _is_set(value: Any, field: dataclasses.Field[Any]) -> bool:
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return field.default is dataclasses.MISSING or getattr(value, field.name) != default
