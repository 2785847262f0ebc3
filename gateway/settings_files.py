"""From `config/` and the command line to Settings and Policy: every fault at once, with its place.

Later wins: the file, the environment (`GATEWAY__SMTP__PORT=0`), `--set smtp.port=0`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from channels.credentials import named_in
from channels.registry import CHANNELS
from gateway import call_policy, operators, policy_files, survey_policy, texts, yaml_files
from gateway.call_policy import CallPolicy
from gateway.loading import unswept
from gateway.settings import Settings
from gateway.survey_policy import SurveyPolicy
from gateway.texts import Texts
from gateway.yaml_files import Document, Problem
from router.policy import Policy

ENVIRONMENT = "GATEWAY__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The checked configuration."""

    settings: Settings
    policy: Policy
    folder: Path
    surveys: SurveyPolicy
    calls: CallPolicy
    texts: Texts
    overrides: tuple[str, ...] = ()
    """`--set` of the command line that it was loaded with: a reload keeps them."""


class ConfigurationError(Exception):
    """The configuration has faults; `problems` holds all of them."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def load(folder: Path, *, overrides: Iterable[str] = (), environment: Mapping[str, str] = os.environ) -> Configuration:
    """Read and check the whole folder. Raises ConfigurationError with every problem found."""
    with unswept():
        return _load(folder, tuple(overrides), environment)


def _load(folder: Path, overrides: tuple[str, ...], environment: Mapping[str, str]) -> Configuration:
    settings, problems = load_settings(folder, overrides=overrides, environment=environment)
    accounts = {name for given in settings.channels.values() for name in given} if settings else None
    policy, more = policy_files.load_policy(folder, accounts=accounts, channels=set(CHANNELS))
    problems += more
    surveys, more = survey_policy.load(folder)
    problems += more
    calls, more = call_policy.load(folder, calendars=policy.calendars if policy else None)
    problems += more
    read, more = texts.load(folder)
    problems += more
    if settings is None or policy is None or surveys is None or calls is None or read is None or problems:
        raise ConfigurationError(problems)
    return Configuration(
        settings=settings, policy=policy, folder=folder, surveys=surveys, calls=calls, texts=read, overrides=overrides
    )


def load_settings(
    folder: Path,
    *,
    overrides: Iterable[str] = (),
    environment: Mapping[str, str] = os.environ,
    secrets: bool = True,
) -> tuple[Settings | None, list[Problem]]:
    """Read and check `gateway.yaml` alone, overrides applied. `secrets` False: they may be missing yet."""
    document = yaml_files.read(folder / "gateway.yaml")
    if not isinstance(document.data, dict):
        document.problem((), "should be a block of keys, such as `http:` and `smtp:`")
        document.data = {}
    for name, value in sorted(environment.items()):
        if name.startswith(ENVIRONMENT):
            _override(document, name.removeprefix(ENVIRONMENT).lower().split("__"), value, f"environment {name}")
    for text in overrides:
        path, _, value = text.partition("=")
        _override(document, path.strip().split("."), value, f"--set {path}")
    settings, problems = yaml_files.check(document, Settings)
    # Faults of one kind do not hide those of another: what is good is looked at further.
    looked_at = settings if settings is not None else yaml_files.good_part(document, Settings)[0]
    if looked_at is not None:
        problems += _semantics(document, looked_at, secrets=secrets)
    return (None if problems else settings), problems


def _override(document: Document, path: list[str], text: str, origin: str) -> None:
    read = yaml_files.parse(text, file=origin)
    document.problems += read.problems
    # `parse` makes {} of nothing; an empty value means null here, as it does in the file.
    value = read.data if text.strip() else None
    here: dict[Any, Any] = document.data
    for key in path[:-1]:
        below = here.setdefault(key, {})
        if not isinstance(below, dict):
            document.problems.append(
                Problem(file=origin, line=0, column=0, key=".".join(path), message=f"{key} is a value, not a block")
            )
            return
        here = below
    here[path[-1]] = value


def _semantics(document: Document, settings: Settings, *, secrets: bool) -> list[Problem]:
    """What no single field can see: one address in two accounts, secrets that are not there."""
    found: list[Problem] = []
    owners: dict[str, str] = {}
    for channel, accounts in settings.channels.items():
        for name, account in accounts.items():
            for endpoint in map(str.lower, account.endpoints()):
                if owner := owners.get(endpoint):
                    found.append(
                        document.problem(
                            ("channels", channel, name), f"{endpoint} belongs to {owner} already", of_key=True
                        )
                    )
                owners[endpoint] = f"channels.{channel}.{name}"
    if secrets:
        found += [document.problem(loc, wrong) for loc, wrong in _wrong_secrets(settings)]
    if why := _wrong_database(settings.database.url):
        found.append(document.problem(("database", "url"), why))
    if settings.canary is not None and (why := _no_canary(settings, settings.canary.account)):
        found.append(document.problem(("canary", "account"), why))
    found += [document.problem(loc, wrong) for loc, wrong in operators.faults(settings)]
    for address, keys in _agents_by_address(settings).items():
        if len(keys) > 1:
            found.append(document.problem(("agents", keys[1]), f"{address} belongs to the agent {keys[0]} already"))
    return found


def _wrong_database(url: str) -> str:
    if not url or url.startswith(("env:", "file:")):
        return ""
    from gateway.store.postgres_url import wrong_in_a_file  # loads SQLAlchemy

    return wrong_in_a_file(url)


def _wrong_secrets(settings: Settings) -> list[tuple[tuple[str | int, ...], str]]:
    """Where and why: those that are not there; when all of them are, those that cannot be right."""
    missing = [(loc, missing_secret(secret.get_secret_value())) for loc, secret in named_in(settings)]
    if found := [(loc, said) for loc, said in missing if said]:
        return found
    return [
        (("channels", channel, name, key), said)
        for channel, accounts in settings.channels.items()
        for name, account in accounts.items()
        for key, said in account.wrong_secrets().items()
    ]


def _no_canary(settings: Settings, name: str) -> str:
    """Why this account can send no canary; "" when it can."""
    accounts = settings.accounts("mail")
    account = accounts.get(name)
    if account is None:
        return f"there is no mail account {name!r}; there are: {', '.join(accounts) or 'none'}"
    if account.outbound != "on":
        return f"channels.mail.{name}.outbound is {account.outbound}, so it sends no mail"
    return "" if getattr(account, "relay", None) is not None else f"channels.mail.{name} has no relay to send it by"


def _agents_by_address(settings: Settings) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, agent in settings.agents.items():
        for address in agent.addresses:
            found.setdefault(address.lower(), []).append(key)
    return found


def missing_secret(reference: str) -> str:
    """Why a secret's reference does not lead to one; "" when it does."""
    kind, _, name = reference.partition(":")
    match kind:
        case "env":
            return "" if os.environ.get(name) else f"the environment has no {name}; set it, or name a file: file:PATH"
        case "file":
            return "" if Path(name).is_file() else f"there is no file {name}; write the secret into it (mode 600)"
        case _:
            return "a secret never stands in the file: write env:NAME or file:PATH"


def secret_files(settings: Settings) -> frozenset[Path]:
    """The files that hold secrets (`file:PATH` in the settings), resolved."""
    named = [secret.get_secret_value() for _, secret in named_in(settings)]
    references = (name.partition(":") for name in [*named, settings.secret_key, settings.database.url])
    return frozenset(Path(name).resolve() for kind, _, name in references if kind == "file")
