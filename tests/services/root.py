"""Programs that start as root only: run directly by root, and by anybody who has sudo without a password."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache


@cache
def as_root() -> Sequence[str] | None:
    """What stands before such a command; None: it cannot be run."""
    if os.geteuid() == 0:
        return ()
    if shutil.which("sudo") is None:
        return None
    asked = subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True, timeout=30)
    return ("sudo", "-n") if asked.returncode == 0 else None
