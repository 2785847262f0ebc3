"""A file that somebody asked for who is cancelled meanwhile is neither left open nor left behind."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from channels.new_file import new_file


class Slow(type(Path())):  # type: ignore[misc]
    """A path on a disk that takes its time to open a file."""

    def prepare(self) -> None:
        self.begun, self.go_on, self.done = threading.Event(), threading.Event(), threading.Event()
        self.opened: list[BinaryIO] = []

    def open(self, *args: Any, **kwargs: Any) -> Any:
        self.begun.set()
        assert self.go_on.wait(90)
        try:
            file = super().open(*args, **kwargs)
            self.opened.append(file)
            return file
        finally:
            self.done.set()


async def fetch(path: Path) -> None:
    async with new_file(path) as file:
        await asyncio.to_thread(file.write, b"bytes")


async def threads_are_done() -> None:
    """What stands in their queue comes before this."""
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_it_is_written_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    async with new_file(path) as file:
        file.write(b"bytes")
    assert file.closed and path.read_bytes() == b"bytes"
    with pytest.raises(FileExistsError):
        await fetch(path)
    assert path.read_bytes() == b"bytes"


@pytest.mark.parametrize("late", [True, False], ids=["while it is opened", "when it is open"])
async def test_whoever_is_cancelled_leaves_no_open_file(tmp_path: Path, late: bool) -> None:
    path = Slow(tmp_path / "file")
    path.prepare()
    asked = asyncio.create_task(fetch(path))
    assert await asyncio.to_thread(path.begun.wait, 90)
    if not late:
        path.go_on.set()
        assert path.done.wait(90)  # the loop stands still meanwhile: the task has not heard of it
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    path.go_on.set()
    await threads_are_done()
    (file,) = path.opened
    assert file.closed and list(tmp_path.iterdir()) == []


async def test_whoever_is_cancelled_while_writing_leaves_it_closed(tmp_path: Path) -> None:
    files: list[BinaryIO] = []
    writing = asyncio.Event()

    async def write() -> None:
        async with new_file(tmp_path / "file") as file:
            files.append(file)
            writing.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await writing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files[0].closed
