"""`gateway contacts`: by what a person is known; links for them, linking by hand and taking it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import typer

from gateway.cli.options import Misused
from gateway.cli.shown import AsJson, Token, Url, as_json, connect, plain, reported, table, when

app = typer.Typer(add_completion=False, no_args_is_help=True, help="By what a person is known: show, link, undo.")

Said: TypeAlias = Literal["yes", "no", "seen"]
WORDS: Mapping[Said, bool | None] = {"yes": True, "no": False, "seen": None}
Known = Annotated[str, typer.Argument(help="mail:anna@client.example, telegram:4711, phone:+380441234567.")]


@app.command()
@reported
def show(known: Known, url: Url = "", token: Token = "", json: AsJson = False) -> None:
    """Who this is, by what else they are known, and what was linked when."""
    kind, value = _identity(known)
    return _shown(connect(url, token).get("/contacts", kind=kind, value=value), json)


@app.command()
@reported
def link(
    known: Known,
    other: Annotated[str, typer.Argument(help="What is the same person's, written alike.")],
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Say that the second is the first one's, too. Only what you name moves."""
    kind, value = _identity(known)
    more_kind, more = _identity(other)
    client = connect(url, token)
    contact = client.get("/contacts", kind=kind, value=value)
    made = client.post(f"/contacts/{contact['id']}/identities", {"kind": more_kind, "value": more})
    return _shown(made, json)


@app.command()
@reported
def invite(
    known: Known,
    account: Annotated[str, typer.Option(help="The bot; empty: the first one.")] = "",
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """A link for this person: opened once within a day, it makes their chat known as theirs."""
    kind, value = _identity(known)
    client = connect(url, token)
    contact = client.get("/contacts", kind=kind, value=value)
    made = client.post(f"/contacts/{contact['id']}/links", {"account": account})
    if json:
        return as_json(made)
    typer.echo(f"Works once, until {when(made['expires_at'])}; give it to nobody else:", err=True)
    return typer.echo(made["url"])


@app.command()
@reported
def shared(
    known: Known,
    say: Annotated[Said, typer.Argument(help="yes: no one person's; no: one person's; seen: what is seen decides.")],
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Say whether a telephone number is shared: one that is names nobody and gets no text messages."""
    kind, value = _identity(known)
    if kind != "phone":
        raise Misused("only a telephone number can be shared: phone:+380441234567")
    return _shown(connect(url, token).post("/contacts/phones", {"value": value, "shared": WORDS[say]}), json)


@app.command()
@reported
def undo(
    change: Annotated[int, typer.Argument(help="Id of the change, as `show` has it.")],
    url: Url = "",
    token: Token = "",
    json: AsJson = False,
) -> None:
    """Take a link back, with what came along then."""
    return _shown(connect(url, token).post(f"/contacts/changes/{change}/undo"), json)


def _identity(known: str) -> tuple[str, str]:
    kind, colon, value = known.partition(":")
    if not colon or not kind or not value:
        raise Misused(f"{known!r} is no identity; write mail:anna@client.example or telegram:4711")
    return kind, value


def _shown(contact: dict[str, Any], json: bool) -> None:
    if json:
        return as_json(contact)
    typer.echo(f"contact {contact['id']}  {plain(contact['name'])}, language {plain(contact['language'])}")
    for known in contact["identities"]:
        marks = (f"  unreachable by {plain(m['channel'])} since {when(m['at'])}" for m in known["unreachable"])
        nobodys = f"  shared: {plain(known['shared'])}" if known["shared"] else ""
        typer.echo(f"  {plain(known['kind'])}:{plain(known['value'])}{''.join(marks)}{nobodys}")
    rows = (
        (
            change["id"], when(change["at"]), f"{change['kind']}:{change['value']}", change["from_contact"],
            change["to_contact"], change["how"], change["actor"], when(change["undone_at"]),
        )
        for change in contact["changes"]
    )  # fmt: skip
    return table(("id", "when", "what", "from", "to", "how", "by", "undone"), rows, empty="Nothing was linked.")
