"""The upload page: the form in three languages, and what it says of an upload that was taken in."""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gateway.context import Context
from gateway.store import journal
from gateway.store.blobs import Blobs
from gateway.store.database import Database
from gateway.texts import LANGUAGES, load
from normalizer.message import InlineBody, RawMessage
from tests.gateway.conftest import START, FrozenClock
from tests.gateway.staffed import Site, desk_context, served

ROOT = Path(__file__).parents[3]
UPLOAD = "0123456789abcdef" * 2
ONE = {"mail": {"support": {"addresses": ["support@desk.example"], "language": "uk", "upload": {"size": "30MB"}}}}


class Controls(HTMLParser):
    """What a form has: its action, its fields by name, and what labels name."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.form: dict[str, str | None] = {}
        self.fields: dict[str, dict[str, str | None]] = {}
        self.labelled: set[str | None] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.form = given
        elif tag in ("input", "textarea"):
            self.fields[str(given["name"])] = {"tag": tag, **given}
        elif tag == "label":
            self.labelled.add(given.get("for"))


def with_texts(**settings: Any) -> Context:
    texts, problems = load(ROOT / "config")
    assert texts is not None, problems
    plain = desk_context(**settings)
    return Context(settings=plain.settings, policy=plain.policy, keyring=plain.keyring, texts=texts)


async def page(site: Site, path: str, language: str = "") -> tuple[int, str]:
    async with site.session.get(site.url + path, headers={"Accept-Language": language}) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        assert "script" not in answer.headers["Content-Security-Policy"]
        assert "form-action 'self'" in answer.headers["Content-Security-Policy"]
        return answer.status, await answer.text()


async def taken_in(db: Database, blobs: Blobs) -> int:
    content = b"form"
    raw = RawMessage(
        channel="mail", account="support", format="form/1", external_id=f"upload:{UPLOAD}", peer="ann@client.example",
        fingerprint=hashlib.sha256(content).hexdigest(), received_at=START, body=InlineBody(content=content),
    )  # fmt: skip
    [done] = await db.write(lambda conn: journal.record(conn, [raw], None, now=START, blobs=blobs))
    return done.entry


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_form_works_with_a_keyboard_and_a_screen_reader_in_every_language(
    db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path, language: str
) -> None:
    async with served(db, blobs, clock, tmp_path, with_texts(channels=ONE)) as site:
        status, text = await page(site, "/upload", language)
        _, portal = await page(site, "/", language)
    found = Controls(text)
    assert status == 200
    assert f'<html lang="{language}">' in text
    assert "width=device-width" in text
    assert "<script" not in text
    assert found.form["action"] == "channels/mail/support/upload"
    assert (found.form["method"], found.form["enctype"]) == ("post", "multipart/form-data")
    assert list(found.fields) == ["address", "website", "name", "number", "subject", "text", "files"]
    assert {field["id"] for field in found.fields.values()} == found.labelled
    assert "multiple" in found.fields["files"]
    assert found.fields["website"]["tabindex"] == "-1"
    assert "30 " in text
    assert not re.search(r">\s*(?:upload|portal)_\w+\s*<", text + portal), "a word is missing"
    assert 'href="upload"' in portal


async def test_an_upload_is_answered_with_its_number_or_without(
    db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path
) -> None:
    numbers: dict[int, str] = {}

    async def processed(entry: int, within: float) -> str | None:
        assert within == 3.0
        return numbers.get(entry)

    async with served(db, blobs, clock, tmp_path, with_texts(channels=ONE), processed=processed) as site:
        entry = await taken_in(db, blobs)
        status, text = await page(site, f"/upload?got={UPLOAD}", "en")
        assert status == 200
        assert "The ticket number comes by email." in text
        numbers[entry] = "1234566"
        assert "The ticket number is 1234566." in (await page(site, f"/upload?got={UPLOAD}", "en"))[1]
        for unknown in ("f" * 32, "x", "", "%00"):
            assert (await page(site, f"/upload?got={unknown}"))[0] == 404


async def test_nobody_is_promised_a_mail_that_will_not_go_out(
    db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path
) -> None:
    silent = {"mail": {"support": {**ONE["mail"]["support"], "outbound": "off"}}}
    async with served(db, blobs, clock, tmp_path, with_texts(channels=silent)) as site:
        await taken_in(db, blobs)
        assert "email." not in (await page(site, f"/upload?got={UPLOAD}", "en"))[1]


async def test_with_several_accounts_a_person_says_which(
    db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path
) -> None:
    async with served(db, blobs, clock, tmp_path, with_texts()) as site:
        _, text = await page(site, "/upload")
        assert 'href="?to=sales"' in text
        assert Controls(text).form == {}
        assert Controls((await page(site, "/upload?to=sales"))[1]).form["action"] == "channels/mail/sales/upload"


async def test_without_an_account_that_takes_files_there_is_no_page(
    db: Database, blobs: Blobs, clock: FrozenClock, tmp_path: Path
) -> None:
    none = {"mail": {"support": {"addresses": ["support@desk.example"], "upload": None}}}
    async with served(db, blobs, clock, tmp_path, with_texts(channels=none)) as site:
        assert (await page(site, "/upload"))[0] == 404
        assert 'href="upload"' not in (await page(site, "/"))[1]
