"""`gateway explain`: what a mail, or whatever else a channel takes in, means, with no side effect."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.options import Failed, Misused, invocation
from gateway.explain import Explained, describe, format_of, raw_of
from normalizer.message import Message
from normalizer.normalize import PARSERS, normalize

if TYPE_CHECKING:
    from normalizer.message import Event, RawMessage

Router = Callable[["RawMessage", "Event"], object]

app = typer.Typer(add_completion=False)

_SHOWN = ("kind", "subject", "date", "language", "trust", "rating", "thanks", "message_id")


@app.command()
def explain(
    file: Annotated[
        str | None, typer.Argument(help="A mail (RFC 5322) or an update (JSON), or - for standard input.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per mail.")] = False,
    batch: Annotated[
        Path | None, typer.Option("--batch", metavar="DIR", help="Every file of a folder, one JSON line each.")
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="mail/1, telegram/1 …; else by what the file looks like.")
    ] = "",
    route: Annotated[bool, typer.Option("--route", help="Add `assignment`: class, line, deadlines, why.")] = False,
) -> None:
    """Say what a message means: kind, people, the visible text, attachments, bounce, rating, language."""
    if (file is None) == (batch is None):
        raise Misused("name one file, or - for standard input, or --batch DIR")
    if format_ and format_ not in PARSERS:
        raise Misused(f"there is no format {format_}; known are {', '.join(sorted(PARSERS))}")
    router = _router() if route else None
    if batch is not None:
        if not batch.is_dir():
            raise Misused(f"{batch} is no folder")
        if not _write_all(batch, format_, router):
            raise Failed("some files could not be read; their lines say which")
        return
    source, content = _read(file or "-")
    found = _explained(content, source, format_, router)
    typer.echo(_line(found) if as_json else _readable(found))


def _read(name: str) -> tuple[str, bytes]:
    if name == "-":
        return "-", sys.stdin.buffer.read()
    try:
        return name, Path(name).read_bytes()
    except OSError as error:
        raise Failed(f"{name}: {error.strerror}") from error


def _explained(content: bytes, source: str, format_: str, router: Router | None) -> Explained:
    raw = raw_of(format_ or format_of(content), content, received_at=datetime.now(UTC))
    event = normalize(raw)
    found = describe(event, source=source)
    if router is not None:
        found["assignment"] = json.loads(json.dumps(router(raw, event), default=str))
    return found


def _write_all(folder: Path, format_: str, router: Router | None) -> bool:
    """One line per file, whatever becomes of it; False when a file could not be read."""
    everything = True
    for path in _files(folder):
        name = str(path.relative_to(folder))
        try:
            line = _line(_explained(path.read_bytes(), name, format_, router))
        except Exception as error:  # noqa: BLE001  # thousands of files in one run: one that fails is named, not the end
            everything = False
            line = _line({"source": name, "kind": "", "errors": [f"failed:{type(error).__name__}: {error}"]})
        sys.stdout.write(line + "\n")
    sys.stdout.flush()
    return everything


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _line(found: Explained) -> str:
    return json.dumps(found, ensure_ascii=False)


def _router() -> Router:
    """Class and line by the configured policy; loaded only when asked for."""
    from dataclasses import asdict

    from gateway.policy_files import load_policy
    from router.route import route

    policy, problems = load_policy(invocation().config)
    if policy is None:
        raise Misused("\n".join(map(str, problems)))

    def assign(raw: RawMessage, event: Event) -> object:
        if not isinstance(event, Message) or event.kind != "message":
            return None
        return asdict(route(event, policy, raw.received_at, channel=raw.channel, account=""))

    return assign


def _readable(found: Explained) -> str:
    """For a person at a terminal."""
    if "visible_text" not in found:  # a command, a vote: a few words each
        shown = ((key, _person(value) or value) for key, value in found.items() if value not in (None, ""))
        return "\n".join(f"{key + ':':<12}{value}" for key, value in shown)
    lines = [f"{'from:':<12}{_person(found['from'])}"]
    lines += [f"{name + ':':<12}{', '.join(map(_person, _list(found[name])))}" for name in ("to", "cc") if found[name]]
    lines += [f"{name + ':':<12}{found[name]}" for name in _SHOWN if found.get(name) not in (None, "", False)]
    bounce = found["bounce"]
    if isinstance(bounce, dict):
        lines += [f"{'bounced:':<12}{_words(one)}" for one in _list(bounce["recipients"])]
    lines += [f"{'attachment:':<12}{_words(one)}" for one in _list(found["attachments"])]
    lines += [f"{'odd:':<12}{one}" for one in _list(found["errors"])]
    if "assignment" in found:
        lines.append(f"{'assignment:':<12}{json.dumps(found['assignment'], ensure_ascii=False, indent=2)}")
    return "\n".join([*lines, "", str(found["visible_text"])])


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def _person(value: object) -> str:
    if not isinstance(value, dict):
        return ""
    return f"{value['name']} <{value['address']}>" if value["name"] else f"<{value['address']}>"


def _words(value: object) -> str:
    shown = value.values() if isinstance(value, dict) else []
    return " ".join(str(one) for one in list(shown)[:4] if one not in ("", None, False))


if __name__ == "__main__":
    from gateway.cli import main

    main(["explain", *sys.argv[1:]])
