"""What the machine does at the moment: its speed, its disk, and what a process has used of it (from /proc)."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def spin() -> float:
    """Milliseconds of a fixed Python loop: the speed of the core."""
    began, total = time.perf_counter(), 0
    for number in range(200_000):
        total += number & 3
    return (time.perf_counter() - began) * 1000


def fsync_probe(folder: Path, times: int = 40) -> float:
    """Milliseconds, median, of appending 4 KB to a file and fdatasync."""
    path, took = folder / "probe", []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    path.unlink()
    return statistics.median(took)


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds since the start, and bytes resident, of a server's main process and of its children."""

    main: float = 0.0
    children: float = 0.0
    main_resident: int = 0
    children_resident: int = 0

    @property
    def resident(self) -> int:
        """Bytes of all of it; what processes share is counted more than once."""
        return self.main_resident + self.children_resident


def _stat(pid: int) -> tuple[int, float, int]:
    """(parent, CPU seconds, resident bytes) of a process: proc(5), behind the name in brackets."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICK, int(fields[21]) * _PAGE


def used(pid: int) -> Used:
    """What a process and its children have used so far. Raises FileNotFoundError when it is gone."""
    _, main, main_resident = _stat(pid)
    children, resident = 0.0, 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent, cpu, bytes_resident = _stat(int(folder.name))
        except OSError:
            continue  # ended meanwhile
        if parent == pid:
            children, resident = children + cpu, resident + bytes_resident
    return Used(main, children, main_resident, resident)
