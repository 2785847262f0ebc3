"""`gateway status`: the running gateway on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import typer

from gateway.cli.shown import AsJson, Token, Url, as_json, connect, plain, reported, when

app = typer.Typer(add_completion=False)


@app.command()
@reported
def status(url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """What listens, what waits, what is wrong. Exit code 1 when the gateway is not ready."""
    found = connect(url, token).get("/status")
    if json:
        as_json(found)
    else:
        for name, text in _lines(found):
            typer.echo(f"{name:<12} {text}")
    if not found["ready"]:
        raise typer.Exit(1)


def _lines(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    now = datetime.fromisoformat(found["now"])
    trouble = "; ".join(f"{name}: {reason}" for name, reason in found["trouble"].items())
    state = "ready" if found["ready"] else "NOT READY"
    yield "gateway", f"{found['version']}, schema {plain(found['database_schema'])}, {state}"
    if trouble:
        yield "trouble", trouble
    if found["started_at"]:
        yield "up", f"{_age(now, found['started_at'])} since {when(found['started_at'])}"
    for name, where in found["listening"].items():
        yield "listens", f"{name} on {where}"
    journal, outbox = found["journal"], found["outbox"]
    yield "journal", f"{journal['pending']} pending{_old(now, journal)}, {journal['quarantined']} quarantined"
    yield (
        "outbox",
        f"{outbox['waiting']} waiting, {outbox['due']} due{_old(now, outbox)}, {outbox['unknown']} unknown, "
        f"{outbox['dead']} dead",
    )
    if outbox["held_since"]:
        since = when(outbox["held_since"])
        nothing = (
            "nothing goes out, and nothing is read at far sides," if outbox["held_sources"] else "nothing goes out"
        )
        why = plain(outbox["held_why"])
        yield "HELD", f"{nothing} since {since}: {why}; see `gateway outbox release --help`"
    yield "tickets", ", ".join(f"{count} {name}" for name, count in found["tickets"].items()) or "none open"
    yield "workers", ", ".join(f"{count} {name}" for name, count in found["workers"].items()) or "-"
    if found["disk_free"] is not None:
        yield "disk", f"{found['disk_free'] / 1024**3:.1f} GB free"
    for account, at in found["last_accepted"].items():
        yield "last in", f"{account} {_age(now, at)} ago"


def _old(now: datetime, part: dict[str, Any]) -> str:
    return f" (oldest {_age(now, part['oldest'])})" if part["oldest"] else ""


def _age(now: datetime, since: str) -> str:
    seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
