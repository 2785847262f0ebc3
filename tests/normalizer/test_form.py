"""form/1: what people typed and picked, whatever the bytes are."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normalizer import form
from normalizer.message import InlineBody, KeyKind, Message, RawMessage, SpooledBody, Trust
from normalizer.normalize import normalize

AT = datetime(2026, 3, 10, tzinfo=UTC)
TYPE = "multipart/form-data; boundary=XX"


def part(name: str, value: bytes | str, more: str = "", kind: str = "") -> bytes:
    content = value.encode() if isinstance(value, str) else value
    head = f'Content-Disposition: form-data; name="{name}"{more}\r\n' + (f"Content-Type: {kind}\r\n" if kind else "")
    return b"--XX\r\n" + head.encode() + b"\r\n" + content + b"\r\n"


def file(filename: str, content: bytes, kind: str = "application/pdf") -> bytes:
    return part("files", content, f'; filename="{filename}"', kind)


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--XX--\r\n"


def raw(content: bytes, **facts: Any) -> RawMessage:
    return RawMessage(
        channel="mail",
        account="support",
        format="form/1",
        external_id="upload:1",
        fingerprint="0" * 64,
        peer="",
        received_at=AT,
        body=InlineBody(content=content),
        facts={"content_type": TYPE, **facts},
    )


def read(content: bytes, **facts: Any) -> Message:
    event = normalize(raw(content, **facts))
    assert isinstance(event, Message)
    return event


def test_everything_that_was_typed_and_picked_is_there() -> None:
    picture = bytes(range(256)) * 40 + b"\r\n--X\r\n--XY\r\n"
    found = read(
        body(
            part("address", "Anna@Client.Example"),
            part("website", ""),
            part("name", "Анна Петрівна"),
            part("subject", "Не відкривається звіт"),
            part("text", "Добрий день!\r\nНадсилаю файли, бо лист завеликий."),
            file("звіт 2026.pdf", picture),
            file("", b"", "application/octet-stream"),
            file("C:\\Users\\anna\\note.txt", b"", "text/plain"),
        )
    )
    assert (found.sender.address, found.sender.name) == ("Anna@client.example", "Анна Петрівна")
    assert found.subject == "Не відкривається звіт"
    assert found.text == found.visible_text == "Добрий день!\nНадсилаю файли, бо лист завеликий."
    assert (found.language, found.language_sure) == ("uk", True)
    assert [(item.filename, item.content_type, item.content) for item in found.attachments] == [
        ("звіт 2026.pdf", "application/pdf", picture),
        ("note.txt", "text/plain", b""),
    ]
    assert found.attachments[0].sha256 == hashlib.sha256(picture).hexdigest()
    assert found.oddities == ()


def test_nobody_vouches_for_what_is_typed_and_a_number_only_links() -> None:
    found = read(
        body(
            part("address", "support+abcdefghijklmnopqrstuvwxyz@desk.example"),
            part("number", "№ 1234567"),
            part("subject", "Re: [#7654321] report"),
            part("text", "5"),
        )
    )
    assert found.trust is Trust.UNKNOWN
    assert [(key.kind, key.value) for key in found.thread_keys] == [
        (KeyKind.TICKET_NUMBER, "1234567"),
        (KeyKind.TICKET_NUMBER, "7654321"),
    ]
    assert found.rating is None
    assert found.forwarded is None
    assert found.message_id == ""


@pytest.mark.parametrize(
    ("written", "bare"),
    [
        ("../../etc/passwd", "passwd"),
        ("a%22b%0D%0Ac.txt", "a_b  c.txt"),
        ("x" * 300 + ".png", "x" * 120 + ".png"),
        ("\u202egnp.exe", "_gnp.exe"),
    ],
)
def test_file_names_are_bare(written: str, bare: str) -> None:
    [item] = read(body(part("address", "a@client.example"), file(written, b"x"))).attachments
    assert item.filename == bare


def test_only_thanks_is_thanks_unless_a_file_came_with_it() -> None:
    assert read(body(part("text", "Спасибо!"))).thanks
    assert not read(body(part("text", "Спасибо!"), file("a.pdf", b"x"))).thanks


def test_fields_of_somebody_elses_form_are_kept_below_the_text() -> None:
    found = read(body(part("text", "broken"), part("room", "214"), part("website", "spam")))
    assert found.text == "broken\n\nroom: 214"


def test_text_in_an_old_charset_is_read() -> None:
    text = "Здравствуйте, не открывается отчёт за прошлый месяц"
    assert read(body(part("text", text.encode("cp1251"), kind="text/plain; charset=windows-1251"))).text == text
    assert read(body(part("text", text.encode("cp1251")))).text == text


@pytest.mark.parametrize(
    ("content", "oddity"),
    [
        (b"", "form:not-read"),
        (b"no form at all", "form:not-read"),
        (body(part("text", "hello"))[:-9], "form:cut"),
        (b"--XX\r\nno header\r\n--XX--", "form:header"),
        (body(part("address", "nobody")), "from:bad"),
        (body(part("text", "hello")), "from:missing"),
        (body(*(part(f"f{n}", "x") for n in range(form.PARTS + 50))), "limit:parts"),
        (body(part("subject", "s" * 10_000)), "limit:field"),
        (body(part("text", "t" * 5_000_000)), "limit:field"),
    ],
)
def test_what_is_wrong_is_named(content: bytes, oddity: str) -> None:
    assert oddity in read(content).oddities


def test_what_cannot_be_read_is_handed_to_staff_as_it_is() -> None:
    [item] = read(b"PK\x03\x04 something").attachments
    assert (item.filename, item.content) == ("upload.bin", b"PK\x03\x04 something")
    many = body(*(file(f"{n}.txt", b"%d" % n) for n in range(form.PARTS + 2)))
    items = read(many).attachments
    assert len(items) == form.PARTS + 1
    assert items[-1].filename == "rest.bin"
    assert b"201" in (items[-1].content or b"")


def test_the_boundary_is_found_without_its_header() -> None:
    assert read(body(part("text", "hello")), content_type="").text == "hello"


def test_a_body_that_was_not_loaded_is_our_fault(tmp_path: Any) -> None:
    spooled = SpooledBody(path=tmp_path / "x", size=1, sha256="0" * 64)
    entry = RawMessage(
        channel="mail", account="a", format="form/1", external_id="x", fingerprint="x", peer="", received_at=AT,
        body=spooled,
    )  # fmt: skip
    with pytest.raises(TypeError):
        normalize(entry)


PIECES = st.sampled_from(
    [b"--XX", b"\r\n", b"\r\n--XX", b"--XX--", b"\r\n\r\n", b'Content-Disposition: form-data; name="text"', b"\xff\x00",
     b'Content-Disposition: form-data; name=files; filename="a', b"; filename*=utf-8''%ff", b'"', b"address", b" "]
)  # fmt: skip


@given(st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=40), st.sampled_from([TYPE, "", 5, "x; boundary="]))
def test_any_bytes_are_read(pieces: list[bytes], content_type: Any) -> None:
    found = read(b"".join(pieces), content_type=content_type)
    found.text.encode()
    found.subject.encode()
    for item in found.attachments:
        item.filename.encode()
        assert not set(item.filename) & set("/\\\r\n\0")


@given(st.lists(st.tuples(st.from_regex(r"[a-z]{1,8}\.txt", fullmatch=True), st.binary(max_size=300)), max_size=8))
def test_every_file_comes_out_byte_for_byte(files: list[tuple[str, bytes]]) -> None:
    sound = [(name, content) for name, content in files if b"\r\n--XX" not in b"\r\n" + content]
    found = read(body(part("text", "x"), *(file(name, content) for name, content in sound)))
    assert [(item.filename, item.content) for item in found.attachments] == sound
