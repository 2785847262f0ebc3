"""The options that every command takes, and the two ways in which a command ends badly."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

PACKAGED = Path(__file__).parent.parent / "default_config"


class Failed(Exception):
    """The command could not do what it was asked to: exit code 1. The text says what to do."""

    exit_code = 1


class Misused(Exception):
    """Wrong usage or configuration: exit code 2. The text says what would be right."""

    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """Where this command finds its configuration and its data."""

    config: Path
    var: Path
    overrides: tuple[str, ...] = ()
    """`path.to.key=value`, the value read as YAML."""


def default_config() -> Path:
    """`GATEWAY_CONFIG`, else `config/` here, else the defaults that come with the program."""
    if named := os.environ.get("GATEWAY_CONFIG"):
        return Path(named)
    here = Path("config")
    return here if (here / "gateway.yaml").exists() or not PACKAGED.exists() else PACKAGED


def default_var() -> Path:
    """`GATEWAY_VAR`, else `var/` here."""
    return Path(os.environ.get("GATEWAY_VAR", "var"))


def invocation() -> Invocation:
    """Of the command that is running now."""
    chosen: dict[str, Any] = click.get_current_context().find_root().meta
    return Invocation(
        config=chosen.get("config") or default_config(),
        var=chosen.get("var") or default_var(),
        overrides=tuple(chosen.get("set") or ()),
    )


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    if value and param.name:
        ctx.find_root().meta[param.name.removesuffix("_option")] = value
    return value


def _options() -> list[click.Parameter]:
    folder = click.Path(path_type=Path, file_okay=False)
    return [
        click.Option(["--config", "config_option"], type=folder, metavar="DIR", expose_value=False, callback=_remember,
                     help="Folder of the configuration files (default: config/)."),
        click.Option(["--var", "var_option"], type=folder, metavar="DIR", expose_value=False, callback=_remember,
                     help="Folder of the data (default: var/)."),
        click.Option(["--set", "set_option"], multiple=True, metavar="KEY=VALUE", expose_value=False, callback=_remember,
                     help="Override a key of gateway.yaml, as in --set smtp.port=0. Repeatable."),
    ]  # fmt: skip


def common_options(command: click.Command) -> click.Command:
    """Give `command`, and every command below it, `--config`, `--var` and `--set`."""
    if isinstance(command, click.Group):
        for below in command.commands.values():
            common_options(below)
        return command
    taken = {option for param in command.params for option in param.opts}
    command.params += [option for option in _options() if not taken & set(option.opts)]
    return command
