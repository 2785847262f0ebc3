"""What every account of every channel can say in the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, field_validator

from channels.described import Described
from normalizer.message import Facts


class AccountSettings(Described, BaseModel):
    """What every account of every channel can say; a channel's own model adds to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    BUILT_ONCE: ClassVar[frozenset[str]] = frozenset()
    """Keys of an account that only a restart brings into force."""

    language: Literal["ru", "uk", "en"] = "en"
    """Language of notices when nothing better is known."""
    timezone: str = "UTC"
    """IANA zone of shown times for people without a contract."""
    brand: str = ""
    """Name shown in notices instead of the desk's."""
    outbound: Literal["on", "capture", "off"] = "on"
    """capture: notices are written to a folder instead of sent; off: none are made to go out."""

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"there is no time zone {name!r}; write an IANA name: Europe/Kyiv, Asia/Almaty, UTC"
            ) from None
        return name

    def endpoints(self) -> tuple[str, ...]:
        """Our own addresses or numbers of this account, as the wire writes them."""
        return ()

    def wrong_secrets(self) -> Mapping[str, str]:
        """Key -> what would be right, for secrets that are there but cannot be ones; never quotes them."""
        return {}

    def wants_public_url(self) -> bool:
        """Whether the far side must know an address of ours, and neither this account nor its far side says which."""
        return False

    def most_a_day(self) -> int | None:
        """Messages that may go out in a day; None: any number. What has a number costs money: a contract may have a
        number for it, too."""
        return None

    def costs(self, kind: str, recipient: str) -> bool:
        """Whether a notice of this kind to this address counts for `most_a_day`: what will surely not go out takes no
        place from what does."""
        return True

    def upload_limit(self) -> int | None:
        """The most bytes that the upload page takes for this account; None: it takes none."""
        return None

    def web_servers(self) -> tuple[str, ...]:
        """URLs that the account names, for comparing clocks."""
        return ()

    def sender_name(self) -> str:
        """The name that people see as the sender; "" when the channel has none."""
        return ""

    def start_url(self, token: str, seen: Facts) -> str:
        """A link that opens a conversation with this account and brings `token` along; "" when there is none.

        `token` has at most 64 of A-Z, a-z, 0-9, _ and -; `seen` are facts of the last message that came here.
        """
        return ""

    def reading(self) -> Facts:
        """What a parser must know about the account; laid over the facts of each message when it is read."""
        return {}
