"""A notice as a mail: what a mail program reads is what we meant, and nothing else gets in."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.mail.outbound import Mail, Origin, compose
from normalizer.message import Address, Attachment, Notice

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
ORIGIN = Origin(name="Служба підтримки", address="support@desk.example")
NOTICE = Notice(
    id=7,
    channel="mail",
    account="support",
    recipient=Address(address="anna@client.example", name='Анна "A" Клименко'),
    kind="acknowledgement",
    language="uk",
    subject="[#10000017] Не працює пошта",
    text="Ваш запит отримано.\n.\nFrom the desk\n",
    html="<p>Ваш запит отримано.</p>",
    message_id="n7.abc@desk.example",
    in_reply_to="1@client.example",
    references=("0@client.example", "1@client.example"),
    reply_to="support+k7@desk.example",
    created_at=NOW - timedelta(hours=1),
)


def read(mail: Mail) -> EmailMessage:
    """As the standard library reads it, strictly on the line structure."""
    assert b"\r\n\r\n" in mail.content
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\x00", mail.content)
    assert max(map(len, mail.content.split(b"\r\n"))) <= 998
    parsed = cast(EmailMessage, message_from_bytes(mail.content, policy=policy.default))
    assert not parsed.defects
    return parsed


def part(message: EmailMessage, kind: str) -> str:
    found = message.get_body((kind,))
    assert found is not None
    return str(found.get_content())


def test_everything_is_there() -> None:
    parsed = read(compose(NOTICE, ORIGIN, NOW))
    assert parsed["subject"] == NOTICE.subject
    assert str(parsed["from"].addresses[0]) == "Служба підтримки <support@desk.example>"
    assert parsed["to"].addresses[0].display_name == NOTICE.recipient.name
    assert parsed["to"].addresses[0].addr_spec == "anna@client.example"
    assert parsed["message-id"] == "<n7.abc@desk.example>"
    assert parsed["in-reply-to"] == "<1@client.example>"
    assert str(parsed["references"]).split() == ["<0@client.example>", "<1@client.example>"]
    assert parsed["reply-to"] == "support+k7@desk.example"
    assert parsed["date"].datetime == NOW - timedelta(hours=1)
    assert parsed["auto-submitted"] == "auto-replied"
    assert parsed["x-auto-response-suppress"] == "All"
    assert parsed["x-intake-gateway"] == "7"
    assert parsed["list-id"] is None
    assert part(parsed, "plain").replace("\r\n", "\n") == NOTICE.text
    page = part(parsed, "html")
    assert '<html lang="uk">' in page
    assert NOTICE.html in page
    assert [each["content-language"] for each in parsed.iter_parts()] == ["uk", "uk"]


def test_the_same_notice_is_the_same_bytes() -> None:
    file = Attachment(filename="a", content_type="text/plain", size=1, sha256="", content=b"x")
    attached = replace(NOTICE, attachments=(file,))
    assert compose(attached, ORIGIN, NOW) == compose(attached, ORIGIN, NOW + timedelta(days=1))
    assert compose(attached, ORIGIN, NOW) != compose(replace(attached, id=8), ORIGIN, NOW)


@pytest.mark.parametrize(
    ("kind", "automatic", "wanted"),
    [("acknowledgement", True, "auto-replied"), ("resolved", True, "auto-generated"), ("reply", False, None)],
)
def test_only_what_a_robot_wrote_says_so(kind: str, automatic: bool, wanted: str | None) -> None:
    parsed = read(compose(replace(NOTICE, kind=kind, automatic=automatic), ORIGIN, NOW))
    assert parsed["auto-submitted"] == wanted
    assert (parsed["x-auto-response-suppress"] is None) == (wanted is None)


def test_a_date_in_another_zone_is_written_in_utc() -> None:
    kyiv = replace(NOTICE, created_at=datetime(2026, 5, 4, 12, 0, tzinfo=timezone(timedelta(hours=3))))
    assert b"Date: Mon, 04 May 2026 09:00:00 +0000\r\n" in compose(kyiv, ORIGIN, NOW).content


TEXT = st.text(alphabet=st.one_of(st.characters(), st.sampled_from('\r\n\0:<>@,"=? \u2028\x85')), max_size=200)


@given(subject=TEXT, name=TEXT, text=TEXT, html=TEXT)
def test_nothing_that_people_write_becomes_a_header(subject: str, name: str, text: str, html: str) -> None:
    notice = replace(NOTICE, subject=subject, recipient=Address(address="a@b.example", name=name), text=text, html=html)
    plain = compose(NOTICE, ORIGIN, NOW)
    head = compose(notice, Origin(name=name, address="support@desk.example"), NOW).content.partition(b"\r\n\r\n")[0]
    names = re.findall(rb"(?m)^([^ \t:\r\n]+):", head)
    wanted = re.findall(rb"(?m)^([^ \t:\r\n]+):", plain.content.partition(b"\r\n\r\n")[0])
    assert names == wanted or names == [*wanted, b"Content-Language", b"Content-Transfer-Encoding"]
    assert all(line[:1] in b" \t" or b":" in line for line in head.split(b"\r\n"))


@given(text=st.text(alphabet="абв \nxyz.=_-", max_size=400), html=st.text(alphabet="<>p/аxy =", max_size=200))
def test_text_survives(text: str, html: str) -> None:
    parsed = read(compose(replace(NOTICE, text=text, html=f"<html>{html}</html>"), ORIGIN, NOW))
    assert part(parsed, "plain").replace("\r\n", "\n").rstrip("\n") == text.rstrip("\n")
    assert part(parsed, "html").strip() == f"<html>{html}</html>"


@pytest.mark.parametrize(
    "subject",
    ["short", "word " * 40, "x" * 300, "Заявка " * 40, "=?utf-8?q?trap?=", "emoji 🙂 " * 20, "two  spaces " * 20, ""],
)
def test_subjects_survive_and_no_line_is_long(subject: str) -> None:
    content = compose(replace(NOTICE, subject=subject), ORIGIN, NOW).content
    head = content.partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 78
    assert read(compose(replace(NOTICE, subject=subject), ORIGIN, NOW))["subject"].strip() == subject.strip()


@pytest.mark.parametrize(
    "address", ["a@b.example\r\nBcc: x@y.example", "<a@b.example>", "a @b.example", "a@b.example\0"]
)
def test_addresses_carry_nothing_else(address: str) -> None:
    mail = compose(replace(NOTICE, recipient=Address(address=address), reply_to=address), ORIGIN, NOW)
    assert not re.search(r"[\s<>\0]", mail.recipient)
    assert b"\r\nBcc:" not in mail.content


@pytest.mark.parametrize(
    ("address", "wire", "utf8"),
    [
        ("anna@Client.Example", "anna@client.example", False),
        ("anna@клієнт.example", "anna@xn--j1acgu2gl.example", False),
        ("анна@client.example", "анна@client.example", True),
    ],
)
def test_addresses_in_other_scripts(address: str, wire: str, utf8: bool) -> None:
    mail = compose(replace(NOTICE, recipient=Address(address=address, name="Анна")), ORIGIN, NOW)
    assert (mail.recipient, mail.utf8) == (wire, utf8)
    assert f"<{wire}>".encode() in mail.content


@pytest.mark.parametrize(
    "name",
    ["report.pdf", "Звіт за квітень.pdf", 'a"b\\c.txt', "x" * 200 + ".txt", "", "n\r\nX: y", "bill\u202efdp.exe"],
)
def test_attachments_survive(name: str) -> None:
    content = bytes(range(256)) * 50
    file = Attachment(filename=name, content_type="application/pdf", size=len(content), sha256="", content=content)
    parsed = read(compose(replace(NOTICE, attachments=(file, file)), ORIGIN, NOW))
    found: list[Any] = list(parsed.iter_attachments())
    assert [each.get_content() for each in found] == [content, content]
    wanted = {"x" * 200 + ".txt": "x" * 146 + ".txt", "n\r\nX: y": "n X: y", "bill\u202efdp.exe": "bill fdp.exe"}.get(
        name, name
    )
    assert [(each.get_filename() or "") for each in found] == [wanted] * 2


def test_a_type_that_could_break_out_is_not_used() -> None:
    file = Attachment(filename="a", content_type="text/plain\r\nX: y", size=1, sha256="", content=b"x")
    parsed = read(compose(replace(NOTICE, attachments=(file,)), ORIGIN, NOW))
    assert [each.get_content_type() for each in parsed.iter_attachments()] == ["application/octet-stream"]
