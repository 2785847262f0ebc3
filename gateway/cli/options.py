"""The options that every command takes, and the two ways in which a command ends badly."""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path

PACKAGED = Path(__file__).parent.parent / "default_config"

COMMON_HELP = (
    "Every command also takes --config DIR (default: config/), --var DIR (default: var/) "
    "and --set KEY=VALUE, repeatable, as in --set smtp.port=0."
)


class Failed(Exception):
    """The command could not do what it was asked to: exit code 1. The text says what to do."""

    exit_code = 1


class Misused(Exception):
    """Wrong usage or configuration: exit code 2. The text says what would be right."""

    exit_code = 2


def default_config() -> Path:
    """`GATEWAY_CONFIG`, else `config/` here, else the defaults that come with the program."""
    if named := os.environ.get("GATEWAY_CONFIG"):
        return Path(named)
    here = Path("config")
    return here if (here / "gateway.yaml").exists() or not PACKAGED.exists() else PACKAGED


def default_var() -> Path:
    """`GATEWAY_VAR`, else `var/` here."""
    return Path(os.environ.get("GATEWAY_VAR", "var"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """Where a command finds its configuration and its data."""

    config: Path = field(default_factory=default_config)
    var: Path = field(default_factory=default_var)
    overrides: tuple[str, ...] = ()
    """`path.to.key=value`, the value read as YAML."""


INVOCATION: ContextVar[Invocation] = ContextVar("invocation")
"""Of the command that is running; set once by `gateway.cli.main`."""


def invocation() -> Invocation:
    """Of the command that is running now; the defaults when a module is run by itself."""
    return INVOCATION.get(Invocation())


def split(argv: list[str]) -> tuple[Invocation, list[str]]:
    """Take the common options out of a command line, wherever they stand before `--`.

    Raises Misused for an option without its value.
    """
    found, rest, words = Invocation(), [], iter(argv)
    for word in words:
        name, joined, value = word.partition("=")
        if name not in ("--config", "--var", "--set"):
            rest.append(word)
            if word == "--":
                break
            continue
        given = value if joined else next(words, "")
        if not given:
            raise Misused(f"{name} needs a value: {COMMON_HELP}")
        found = _with(found, name, given)
    return found, [*rest, *words]


def _with(found: Invocation, name: str, given: str) -> Invocation:
    match name:
        case "--config":
            return replace(found, config=Path(given))
        case "--var":
            return replace(found, var=Path(given))
        case _:
            if "=" not in given:
                raise Misused(f"--set {given}: write --set path.to.key=value")
            return replace(found, overrides=(*found.overrides, given))
