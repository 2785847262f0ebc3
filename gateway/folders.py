"""The data folder of one gateway."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where things are below `var/`."""

    var: Path

    @property
    def blobs(self) -> Path:
        """Big bodies and attachments."""
        return self.var / "blobs"

    @property
    def spool(self) -> Path:
        """Bodies as they arrive."""
        return self.var / "spool"

    @property
    def outgoing(self) -> Path:
        """The file transport."""
        return self.var / "outgoing"

    def make(self) -> None:
        """Make what is missing, readable by the owner only. Raises OSError."""
        for folder in (self.var, self.blobs, self.spool, self.outgoing):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
