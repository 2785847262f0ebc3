"""Where secrets come from. A settings file only ever names them: `env:NAME` or `file:PATH`."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import SecretStr


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
