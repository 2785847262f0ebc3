"""The sender of an account that may not send (`outbound: capture`): notices become files to look at."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

from normalizer.message import Delivery, Fault, Notice, Receipt


class CaptureSender:
    """Writes `<notice id>.json` into a folder, by temporary name and rename; a repeat overwrites it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, notice: Notice) -> Receipt:
        """Write the notice. RETRY when the disk does not take it."""
        try:
            return await asyncio.to_thread(self._write, notice)
        except OSError as error:
            return Receipt(
                delivery=Delivery.RETRY, detail=f"capture folder: {error.strerror or error}", fault=Fault.OURS
            )

    def _write(self, notice: Notice) -> Receipt:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{notice.id}.json"
        temporary = path.with_suffix(".tmp")
        shown = asdict(notice) | {"attachments": [item.filename for item in notice.attachments]}
        temporary.write_text(json.dumps(shown, ensure_ascii=False, indent=1, default=str), encoding="utf-8")
        temporary.replace(path)
        return Receipt(delivery=Delivery.SENT, external_ids=(path.name,), detail="captured, not sent")
