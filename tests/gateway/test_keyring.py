"""Tokens made from the installation's secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import stat
from pathlib import Path

import pytest

from gateway.keyring import TOKEN_LENGTH, Keyring


def test_a_token_is_the_same_for_the_same_and_unlike_for_anything_else() -> None:
    keyring = Keyring(b"k" * 32)
    assert keyring.token("reply", "7", "ann") == Keyring(b"k" * 32).token("reply", "7", "ann")
    others = [
        keyring.token("view", "7", "ann"),
        keyring.token("reply", "7ann"),
        keyring.token("reply", "7a", "nn"),
        Keyring(b"l" * 32).token("reply", "7", "ann"),
    ]
    assert len({keyring.token("reply", "7", "ann"), *others}) == 5


def test_tokens_stay_what_they_are() -> None:
    """They stand in mails that were sent years ago: HMAC-SHA-256 in base32 (RFC 4648), the first 26 characters."""
    digest = hmac.new(b"k" * 32, digestmod=hashlib.sha256)
    for part in (b"view", b"10000017"):
        digest.update(len(part).to_bytes(8, "big") + part)
    wanted = base64.b32encode(digest.digest()).decode().lower()[:26]
    assert Keyring(b"k" * 32).token("view", "10000017") == wanted == "osm3xx6dks4y6is4tnmakfwdld"


def test_a_token_fits_into_a_mail_address() -> None:
    token = Keyring(b"k" * 32).token("reply", "7")
    assert len(token) == TOKEN_LENGTH
    assert token.isalnum()
    assert token == token.lower()


def test_the_key_is_made_once_and_is_the_owners_only(tmp_path: Path) -> None:
    first = Keyring.load(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert Keyring.load(tmp_path / "key").token("x") == first.token("x")
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_damaged_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(ValueError, match="too short"):
        Keyring.load(tmp_path / "key")
