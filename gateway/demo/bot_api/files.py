"""Files that people sent: getFile, and what `/file/bot<token>/<path>` gives out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.demo.bot_api.calls import ApiError, Call, method

BIGGEST = 20 * 1024 * 1024
"""Bytes that getFile gives a link for."""


@dataclass(slots=True)
class Files:
    """Of one bot."""

    contents: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """File id -> (path below the token, content)."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Sizes that are said instead of the true ones: a big file without its bytes."""

    def add(self, file_id: str, content: bytes, path: str = "", *, size: int | None = None) -> None:
        """A file that can be asked for."""
        self.contents[file_id] = (path or f"documents/{file_id}", content)
        if size is not None:
            self.sizes[file_id] = size

    def at(self, path: str) -> bytes | None:
        """The content at a path; None: there is none."""
        return next((content for place, content in self.contents.values() if place == path), None)


async def get_file(call: Call) -> dict[str, Any]:
    """Where a file is; 400 for one that is unknown or too big."""
    files, file_id = call.bot.part(Files), call.text("file_id")
    if file_id not in files.contents:
        raise ApiError(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
    path, content = files.contents[file_id]
    size = files.sizes.get(file_id, len(content))
    if size > BIGGEST:
        raise ApiError(400, "Bad Request: file is too big")
    return {"file_id": file_id, "file_unique_id": f"u{file_id}", "file_size": size, "file_path": path}


FILES = {"getFile": method(get_file, required="file_id")}
