"""The file transport: complete or not there, and written once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from channels.mail.outbound import compose
from channels.mail.outbound_file import FileTransport
from normalizer.message import Delivery, Fault
from tests.channels.mail.support import NOW
from tests.channels.mail.test_outbound import NOTICE, ORIGIN


async def test_the_file_is_the_mail_and_nothing_else_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "outgoing"
    receipt = await FileTransport(folder, ORIGIN, lambda: NOW).send(NOTICE)
    assert (receipt.delivery, receipt.external_ids) == (Delivery.SENT, (NOTICE.message_id,))
    assert [path.name for path in folder.iterdir()] == ["7.eml"]
    assert (folder / "7.eml").read_bytes() == compose(NOTICE, ORIGIN, NOW).content


async def test_a_repeat_changes_nothing(tmp_path: Path) -> None:
    files = FileTransport(tmp_path, ORIGIN, lambda: NOW)
    await files.send(NOTICE)
    before = (tmp_path / "7.eml").stat()
    assert (await files.send(replace(NOTICE, text="another"))).delivery is Delivery.SENT
    assert (tmp_path / "7.eml").stat().st_ino == before.st_ino
    assert (tmp_path / "7.eml").stat().st_mtime_ns == before.st_mtime_ns


async def test_a_number_that_was_given_before_hides_no_mail(tmp_path: Path) -> None:
    files = FileTransport(tmp_path, ORIGIN, lambda: NOW)
    await files.send(NOTICE)
    again = replace(NOTICE, message_id="of-a-restored-database@desk.example")
    assert await files.find(again, NOW) is None
    await files.send(again)
    assert (tmp_path / "7.eml").read_bytes() == compose(again, ORIGIN, NOW).content
    [kept] = [path for path in tmp_path.iterdir() if path.name != "7.eml"]
    assert kept.read_bytes() == compose(NOTICE, ORIGIN, NOW).content


async def test_what_a_crash_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "7.partial").write_bytes(b"half")
    await FileTransport(tmp_path, ORIGIN, lambda: NOW).send(NOTICE)
    assert [path.name for path in tmp_path.iterdir()] == ["7.eml"]
    assert (tmp_path / "7.eml").read_bytes() == compose(NOTICE, ORIGIN, NOW).content


async def test_it_knows_what_went_out(tmp_path: Path) -> None:
    files = FileTransport(tmp_path, ORIGIN, lambda: NOW)
    assert await files.find(NOTICE, NOW) is None
    sent = await files.send(NOTICE)
    assert await files.find(NOTICE, NOW) == sent


async def test_a_disk_that_takes_nothing_is_our_fault_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    receipt = await FileTransport(tmp_path / "file", ORIGIN, lambda: NOW).send(NOTICE)
    assert (receipt.delivery, receipt.fault) == (Delivery.RETRY, Fault.OURS)
    assert str(tmp_path) not in receipt.detail


async def test_the_file_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def watched_fsync(fd: int) -> None:
        order.append("fsync")
        fsync(fd)

    def watched_rename(self: Path, target: Path) -> Path:
        order.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "rename", watched_rename)
    await FileTransport(tmp_path, ORIGIN, lambda: NOW).send(NOTICE)
    assert order == ["fsync", "rename", "fsync"]
