"""Secrets that change while the gateway runs, encrypted in the database under a key made from `var/key`.

AES-256-GCM with a fresh nonce for each write; the name is authenticated: one secret cannot stand in for another.
"""

from __future__ import annotations

import os

from sqlalchemy import select

from channels.contract import Clock
from gateway.keyring import Keyring
from gateway.log import get_logger
from gateway.store.database import Database
from gateway.store.dialect import upsert
from gateway.store.schema import sealed

PURPOSE = "vault"
NONCE = 12
"""Bytes, as NIST SP 800-38D recommends for GCM."""

log = get_logger(__name__)


class StoreVault:
    """`channels.contract.Vault` over the store."""

    def __init__(self, db: Database, keyring: Keyring, clock: Clock) -> None:
        self._db, self._clock = db, clock
        self._key = keyring.derived(PURPOSE)

    async def get(self, name: str) -> str | None:
        """The secret, or None."""
        value = await self._db.read(
            lambda conn: conn.execute(select(sealed.c.value).where(sealed.c.name == name)).scalar_one_or_none()
        )
        if value is None:
            return None
        # Loaded here: six megabytes that a desk without kept secrets does not need.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self._key).decrypt(value[:NONCE], value[NONCE:], name.encode()).decode()
        except InvalidTag:
            # A database that was restored beside another key.
            log.warning("a kept secret cannot be read with this key", name=name)
            return None

    async def put(self, name: str, secret: str) -> None:
        """Keep the secret, durably when this returns."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(NONCE)
        row = {"name": name, "value": nonce + AESGCM(self._key).encrypt(nonce, secret.encode(), name.encode())}
        now = self._clock()
        await self._db.write(lambda conn: upsert(conn, sealed, {**row, "at": now}, keys=("name",)), urgent=True)
