"""`gateway route`: what the router would decide for texts, with no side effect.

Reads rows `{id, channel, subject, text, language?, contract?}` and prints, one JSON line each,
`{id, class, line, onsite, confidence, reasons[], abstained}`. When it abstains it still gives its best class, on L1.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from gateway.cli.options import Misused, invocation
from gateway.policy_files import load_policy
from normalizer.message import Address, Message
from router.assignment import Assignment, Reason
from router.policy import Policy
from router.route import route as decide

FALLBACK_CLASS = 6
"""The class named when nothing at all is known."""


app = typer.Typer(add_completion=False)


@app.command()
def route(
    batch: Annotated[str, typer.Option("--batch", help="A JSONL file of texts; - is standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line for each row.")] = False,
) -> None:
    """Say what class, line and on-site flag texts would get, and why. Nothing is stored or sent.

    Exit code 0: every line answered. 1: some lines are no rows. 2: wrong configuration, or no such file.
    """
    policy, problems = load_policy(invocation().config)
    if policy is None:
        raise Misused("\n".join(map(str, problems)))
    # Texts of a batch name no sender: they go to the line of their class as a client's would.
    policy = dataclasses.replace(policy, stranger_line=None, stranger_tag="")
    try:
        with sys.stdin if batch == "-" else Path(batch).open(encoding="utf-8-sig") as source:
            failed = _all(source, policy, as_json=as_json)
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(f"{batch}: cannot be read: {error}") from error
    raise typer.Exit(1 if failed else 0)


def _all(source: TextIO, policy: Policy, *, as_json: bool) -> bool:
    """Answer every row; True when a line was no row."""
    failed = False
    now = datetime.now(UTC)
    for number, row in _rows(source):
        if row is None:
            typer.echo(f"line {number}: is not a JSON object with an id", err=True)
            failed = True
            continue
        answer = answered(row, policy, now)
        typer.echo(json.dumps(answer, ensure_ascii=False) if as_json else _shown(answer))
    return failed


def _rows(source: TextIO) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
    for number, line in enumerate(source, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        yield number, row if isinstance(row, dict) and "id" in row else None


def answered(row: Mapping[str, Any], policy: Policy, now: datetime) -> dict[str, Any]:
    """The answer to one row."""
    text = str(row.get("text") or "")
    message = Message(
        sender=Address(address=str(row.get("from") or "")),
        subject=str(row.get("subject") or ""),
        text=text,
        visible_text=text,
        language=str(row.get("language") or ""),
    )
    contract = row.get("contract")
    channel = str(row.get("channel") or "mail")
    assignment = decide(message, policy, now, channel=channel, account="", contract=contract and str(contract))
    abstained = assignment.class_ is None
    return {
        "id": row["id"],
        "class": assignment.class_ or assignment.proposed_class or FALLBACK_CLASS,
        "line": "L1" if abstained else assignment.line,
        "onsite": assignment.onsite,
        "confidence": round(assignment.confidence, 4),
        "reasons": [sentence(reason) for reason in _about(assignment)],
        "abstained": abstained,
    }


def _about(assignment: Assignment) -> Iterator[Reason]:
    return (reason for reason in assignment.because if reason.what in ("class", "line", "onsite"))


def sentence(reason: Reason) -> str:
    """A reason in one line: "class 3 by rule:x: why"."""
    detail = f": {reason.detail}" if reason.detail else ""
    return f"{reason.what} {reason.value} by {reason.cause}{detail}"


def _shown(answer: Mapping[str, Any]) -> str:
    doubt = " (not sure)" if answer["abstained"] else ""
    visit = ", on site" if answer["onsite"] else ""
    head = f"{answer['id']}: class {answer['class']}{doubt}, {answer['line']}{visit}, {answer['confidence']:.0%} sure"
    return "\n".join([head, *(f"    {reason}" for reason in answer["reasons"])])


if __name__ == "__main__":
    app()
