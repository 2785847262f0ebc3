"""The certificate for STARTTLS, read again when its files change, so that a renewal needs no restart."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

log = logging.getLogger(__name__)


class Certificate:
    """A server-side TLS context that follows its files."""

    def __init__(self, chain: Path, key: Path) -> None:
        """Raises OSError or ssl.SSLError when the files cannot be read now."""
        self._chain = chain
        self._key = key
        self._seen = self._stamp()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """The present context. New files that cannot be read (yet) leave the old one in use."""
        try:
            stamp = self._stamp()
            if stamp != self._seen:
                self._context, self._seen = self._load(), stamp
        except (OSError, ssl.SSLError) as error:
            log.warning("the changed certificate cannot be read, the old one stays in use: %s", type(error).__name__)
        return self._context

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._chain, self._key)
        return context

    def _stamp(self) -> tuple[int, ...]:
        chain, key = self._chain.stat(), self._key.stat()
        return chain.st_mtime_ns, chain.st_ino, chain.st_size, key.st_mtime_ns, key.st_ino, key.st_size
