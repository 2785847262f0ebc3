"""Where secrets come from. A settings file only ever names them: `env:NAME` or `file:PATH`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, SecretStr

Place: TypeAlias = tuple[str | int, ...]
"""Keys that lead to a value of the settings."""


def reveal(secret: SecretStr) -> str:
    """The secret itself; a text that is no reference is the secret already.

    Raises KeyError (no such variable) or OSError (no such file), neither with the secret in it.
    """
    reference = secret.get_secret_value()
    kind, _, name = reference.partition(":")
    match kind:
        case "env":
            return os.environ[name]
        case "file":
            return Path(name).read_text(encoding="utf-8").strip()
        case _:
            return reference


def named_in(value: object, place: Place = ()) -> Iterator[tuple[Place, SecretStr]]:
    """Every secret that settings name, with its place."""
    match value:
        case SecretStr():
            yield place, value
        case BaseModel():
            for name in type(value).model_fields:
                yield from named_in(getattr(value, name), (*place, name))
        case Mapping():
            for key, inner in value.items():
                yield from named_in(inner, (*place, key))
        case list() | tuple():
            for number, inner in enumerate(value):
                yield from named_in(inner, (*place, number))


def fingerprint(settings: BaseModel) -> str:
    """A digest of all secrets that settings name, as they are now: by it a changed one is known, and none is kept.

    Raises KeyError or OSError for one that is absent.
    """
    digest = hashlib.sha256()
    for place, secret in named_in(settings):
        digest.update(f"{place}\0{reveal(secret)}\0".encode())
    return digest.hexdigest()
