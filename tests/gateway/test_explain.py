"""`gateway explain`: keys, batch, exit codes, human words."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.explain import describe, explain, raw_mail
from normalizer.message import Rating
from tests.gateway.patience import PATIENCE

KEYS = {
    "source",
    "kind",
    "from",
    "to",
    "cc",
    "reply_to",
    "subject",
    "message_id",
    "in_reply_to",
    "references",
    "date",
    "text",
    "visible_text",
    "attachments",
    "bounce",
    "rating",
    "language",
    "thanks",
    "trust",
    "errors",
}
MAIL = (
    "From: Анна <anna@client.example>\r\nTo: support@desk.example\r\nSubject: Принтер\r\n"
    "Date: Tue, 10 Mar 2026 10:00:00 +0200\r\n"
    "Message-ID: <m@client.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nНе печатает принтер в приёмной.\r\n"
    "--b\r\nContent-Type: text/csv; name=a.csv\r\n\r\n1;2\r\n--b--\r\n"
).encode()
CHAT_KEYS = {"conversation", "external_key", "thread_keys", "group", "edited_at", "answers_us"}
UPDATE = json.dumps(
    {
        "update_id": 7,
        "message": {
            "message_id": 5,
            "date": 1773136800,
            "chat": {"id": 5000000001, "type": "private"},
            "from": {"id": 5000000001, "is_bot": False, "first_name": "Анна"},
            "text": "Не печатает принтер",
        },
    },
    ensure_ascii=False,
)
BOUNCE = (
    b"From: MAILER-DAEMON@mx.example\r\nSubject: failed\r\nMessage-ID: <b@mx.example>\r\n"
    b"X-Failed-Recipients: a@client.example\r\n\r\n"
    b"a@client.example could not be delivered: 550 5.1.1 no\r\n"
)


def run(*words: str, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", "explain", *words],
        input=content,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )


def test_the_keys_are_the_public_ones() -> None:
    shown, _ = explain(raw_mail(MAIL, received_at=datetime(2026, 3, 10, tzinfo=UTC)), source="x")
    assert set(shown) == KEYS
    assert shown["date"] == "2026-03-10T08:00:00+00:00"
    assert shown["bounce"] is None
    attachments = shown["attachments"]
    assert isinstance(attachments, list)
    assert set(attachments[0]) == {"filename", "content_type", "size", "sha256", "inline", "content_id"}


def test_a_bounce_has_the_same_keys_and_its_recipients() -> None:
    shown, _ = explain(raw_mail(BOUNCE, received_at=datetime(2026, 3, 10, tzinfo=UTC)), source="x")
    assert set(shown) == KEYS
    bounce = shown["bounce"]
    assert isinstance(bounce, dict)
    assert set(bounce) == {"recipients", "original_message_id"}
    recipients = bounce["recipients"]
    assert isinstance(recipients, list)
    assert set(recipients[0]) == {"address", "action", "status", "diagnostic"}


def test_a_rating_from_a_button_is_described_too() -> None:
    assert describe(Rating(token="t", score=5, comment="ok"), source="x")["rating"] == 5


def test_standard_input_as_json() -> None:
    done = run("--json", "-", content=MAIL)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["subject"] == "Принтер"


def test_a_folder_in_one_process_goes_on_whatever_it_meets(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.eml").write_bytes(MAIL)
    (tmp_path / "b.eml").write_bytes(b"")
    (tmp_path / "c.bin").write_bytes(bytes(range(256)) * 50)
    done = run("--json", "--batch", str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert [row["source"] for row in rows] == ["b.eml", "c.bin", "deep/a.eml"]


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_done(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(MAIL)
    (tmp_path / "gone.eml").symlink_to(tmp_path / "gone.eml")
    (tmp_path / "z.eml").write_bytes(MAIL)
    done = run("--json", "--batch", str(tmp_path))
    rows = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert [row["kind"] for row in rows] in (["message", "message"], ["message", "", "message"])


def test_words_for_a_person(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(MAIL)
    done = run(str(tmp_path / "a.eml"))
    text = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    assert "Анна <anna@client.example>" in text
    assert "attachment: a.csv text/csv 3" in text
    assert text.rstrip().endswith("Не печатает принтер в приёмной.")


def test_words_about_a_bounce() -> None:
    done = run("-", content=BOUNCE)
    assert b"bounced:    a@client.example failed 5.1.1" in done.stdout


def test_an_update_is_known_by_what_it_looks_like(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(UPDATE, encoding="utf-8")
    (tmp_path / "b.eml").write_bytes(MAIL)
    done = run("--json", "--batch", str(tmp_path))
    update, mail = (json.loads(line) for line in done.stdout.decode().splitlines())
    assert set(update) == KEYS | CHAT_KEYS
    assert update["from"] == {"name": "Анна", "address": "5000000001"}
    assert (update["text"], update["conversation"]) == ("Не печатает принтер", "5000000001")
    assert set(mail) == KEYS


def test_the_format_can_be_named() -> None:
    as_mail = run("--json", "--format", "mail/1", "-", content=UPDATE.encode())
    assert set(json.loads(as_mail.stdout)) == KEYS
    as_update = run("--json", "--format", "telegram/1", "-", content=MAIL)
    assert json.loads(as_update.stdout) == {"source": "-", "kind": "ignored", "because": "json:bad"}
    unknown = run("--format", "pigeon/1", "-", content=MAIL)
    assert unknown.returncode == 2
    assert (
        b"known are form/1, kannel/1, kannel_report/1, mail/1, sip_call/1, telegram/1, twilio_call/1" in unknown.stderr
    )


def test_words_about_a_command() -> None:
    done = run("-", content=UPDATE.replace("Не печатает принтер", "/new Принтер").encode())
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert "command:    new" in text
    assert "argument:   Принтер" in text
    assert "Анна <5000000001>" in text


def test_with_the_assignment() -> None:
    done = run("--json", "--route", "-", content=MAIL)
    assert done.returncode == 0, done.stderr
    assignment = json.loads(done.stdout)["assignment"]
    assert assignment["line"] in ("L1", "L2", "L3", "L4")
    assert json.loads(run("--json", "--route", "-", content=BOUNCE).stdout)["assignment"] is None


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 2),
        (("a", "--batch", "."), 2),
        (("--batch", "/nonexistent"), 2),
        (("/nonexistent.eml",), 1),
        (("--route", "-", "--config", "/nonexistent"), 2),
    ],
)
def test_exit_codes(words: tuple[str, ...], code: int) -> None:
    done = run(*words)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(b"gateway: ")
    assert b"Traceback" not in done.stderr


CALLED = b"CallSid=CA" + b"0" * 32 + b"&From=%2B380670000001&To=%2B380440000001&CallStatus=in-progress"
ABOUT_CALLS = {
    "begun": b"", "ended": b"&CallStatus=completed&CallbackSource=call-progress-events", "recorded":
    b"&RecordingSid=RE1&RecordingStatus=completed", "transcribed":
    b"&RecordingSid=RE1&TranscriptionSid=TR1&TranscriptionStatus=completed&TranscriptionText=down",
}  # fmt: skip


@pytest.mark.parametrize("happening", ABOUT_CALLS)
def test_a_request_about_a_call_is_known_by_what_it_looks_like(happening: str) -> None:
    form = (
        ABOUT_CALLS[happening] + b"&" + CALLED.replace(b"&CallStatus=in-progress", b"")
        if happening == "ended"
        else (CALLED + ABOUT_CALLS[happening])
    )
    found = json.loads(run("--json", "-", content=form.lstrip(b"&")).stdout)
    assert (found["kind"], found["happening"], found["call"]) == ("call", happening, "CA" + "0" * 32)
    assert found["aside"] is (happening != "begun")
