"""Settings of the stores: the pages' examples are good ones, and what is wrong is said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from gateway.feeds.contract import Person
from gateway.feeds.redmine_settings import RedmineSettings
from gateway.feeds.rt_settings import RtSettings
from gateway.feeds.rt_writing import mailbox, with_name
from tests.feeds.servers_redmine import RIGHTS as REDMINE_RIGHTS
from tests.feeds.servers_rt import RIGHTS as RT_RIGHTS

DOCS = Path(__file__).parents[2] / "docs" / "feeds"
KINDS: dict[str, type[RtSettings] | type[RedmineSettings]] = {"rt": RtSettings, "redmine": RedmineSettings}


def example(kind: str) -> dict[str, Any]:
    """The block of the page."""
    block = re.search(r"```yaml\n(.*?)```", (DOCS / f"{kind}.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(block[1])["feeds"][kind]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_the_page_is_good(kind: str) -> None:
    made = KINDS[kind].model_validate(example(kind))
    assert made.statuses().theirs("status", "waiting") in {"stalled", "Feedback"}
    assert made.statuses().ours("status", "Rejected") == "closed"


@pytest.mark.parametrize(("kind", "rights"), [("rt", RT_RIGHTS), ("redmine", REDMINE_RIGHTS)])
def test_the_page_names_every_right_that_the_tests_give(kind: str, rights: tuple[str, ...]) -> None:
    page = (DOCS / f"{kind}.md").read_text(encoding="utf-8")
    assert [right for right in rights if right not in page] == []


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("rt", {"url": "rt.desk.example"}), ("rt", {"url": "https://user@rt.desk.example"}), ("rt", {"queue": "a'b"}),
        ("rt", {"fields": {"key": "a}b"}}), ("redmine", {"project": "Two Words"}), ("redmine", {"fields": {"key": 7}}),
        ("redmine", {"fields": {"key": 7, "message": 8, "line": "somewhere"}}),
        ("redmine", {"constants": {"Kind": "x"}}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(kind: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        KINDS[kind].model_validate({**example(kind), **wrong})


def test_a_secret_that_cannot_be_one_is_told_without_quoting_it() -> None:
    rt = RtSettings.model_validate({**example("rt"), "token": "hunter2"})
    redmine = RedmineSettings.model_validate({**example("redmine"), "api_key": "hunter2"})
    for said in (rt.wrong_secrets(), redmine.wrong_secrets()):
        assert len(said) == 1 and "hunter2" not in str(said)
    good = RtSettings.model_validate({**example("rt"), "token": "1-31-970c341820e15a25dcf0836a1ba416c2"})
    assert good.wrong_secrets() == {}


@pytest.mark.parametrize(
    ("person", "address"),
    [
        (Person(address="anna@client.example"), "anna@client.example"),
        (Person(address="anna@BÜCHER.example"), "anna@xn--bcher-kva.example"),
        (Person(address="анна@client.example"), None),
        (Person(address=""), None),
        (Person(address="two words@client.example"), None),
        (Person(address="12345", channel="telegram"), "telegram.12345@gateway.invalid"),
        (Person(address="+380501112233", channel="sms"), "sms.+380501112233@gateway.invalid"),
    ],
)
def test_addresses_that_rt_takes(person: Person, address: str | None) -> None:
    assert mailbox(person, "gateway.invalid") == address


def test_a_name_cannot_bring_another_address() -> None:
    evil = Person(address="a@client.example", name='x" <boss@client.example>, "y')
    assert with_name(evil, "a@client.example") == '"x bossclient.example y" <a@client.example>'
