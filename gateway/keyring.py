"""The secret of this installation, and the tokens made from it.

A token is an HMAC over what it is for, so it can be made again at rendering and need not be stored:
the store keeps its hash only.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

KEY_BYTES = 32
TOKEN_LENGTH = 26
"""Characters: 130 bits in base32."""
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"  # RFC 4648 section 6, in lower case
# The standard library encodes in Python, byte by byte: ten times slower, and each mail has three tokens.
_PAIRS = [one + other for one in _ALPHABET for other in _ALPHABET]
_SHIFTS = range(5 * TOKEN_LENGTH - 10, -1, -10)


class Keyring:
    """Makes tokens. Two keyrings of one key make the same tokens."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        """`key` is secret and has 16 bytes or more. Raises ValueError for less."""
        if len(key) < 16:
            raise ValueError("the key is too short: 16 bytes or more are needed")
        self._key = key

    @classmethod
    def load(cls, path: Path) -> Keyring:
        """Read the key file; make it (mode 600, random) when there is none.

        Raises OSError when it can be neither read nor made, ValueError when it is damaged.
        """
        try:
            return cls(path.read_bytes())
        except FileNotFoundError:
            pass
        # Written aside and linked, so that a crash leaves no half a key and two starts make one key.
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):  # somebody was faster: theirs is the key
                os.link(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)
        _fsync_folder(path.parent)
        return cls(path.read_bytes())

    def token(self, purpose: str, *parts: str) -> str:
        """26 characters of lower-case base32; the same for the same purpose and parts, else unlike."""
        encoded = [part.encode("utf-8", "surrogatepass") for part in (purpose, *parts)]
        # The length in front: ("ab", "c") and ("a", "bc") are different things.
        named = b"".join([len(part).to_bytes(8, "big") + part for part in encoded])
        number = int.from_bytes(hmac.digest(self._key, named, "sha256")) >> (256 - 5 * TOKEN_LENGTH)
        return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])

    def derived(self, purpose: str) -> bytes:
        """A key of 32 bytes for one purpose; it tells nothing of the key or of other purposes."""
        return hmac.new(self._key, b"key:" + purpose.encode(), hashlib.sha256).digest()

    @staticmethod
    def hash(token: str) -> str:
        """What the store keeps of a token: hex SHA-256."""
        return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
