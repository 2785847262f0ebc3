"""The messages of an account: those that people sent to it, and those it sent, as the REST API shows them.

https://www.twilio.com/docs/messaging/api/message-resource
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

from gateway.demo.twilio_api.network import Network

Fields = Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class Message:
    """One message in either direction."""

    sid: str
    direction: str
    """inbound, or outbound-api."""
    sender: str
    to: str
    body: str
    created: datetime
    status: str
    sent: datetime | None = None
    """None as long as it waits in the queue."""
    error: str = ""
    """Code, where it failed."""
    media: int = 0
    callback: str = ""
    """Where its states are told; "" is nowhere."""
    asked: Fields = field(default_factory=dict)
    """What the call that made it said."""

    def shown(self, account_sid: str) -> dict[str, object]:
        """As JSON has it."""
        uri = f"/2010-04-01/Accounts/{account_sid}/Messages/{self.sid}"
        sent = None if self.sent is None else format_datetime(self.sent)
        return {
            "account_sid": account_sid, "api_version": "2010-04-01", "body": self.body,
            "date_created": format_datetime(self.created), "date_sent": sent,
            "date_updated": format_datetime(self.sent or self.created), "direction": self.direction,
            "error_code": int(self.error) if self.error else None,
            "error_message": "The message was not delivered" if self.error else None,
            "from": self.sender, "messaging_service_sid": None, "num_media": str(self.media),
            "num_segments": "1", "price": None, "price_unit": "USD", "sid": self.sid, "status": self.status,
            "subresource_uris": {"media": f"{uri}/Media.json"}, "to": self.to, "uri": f"{uri}.json",
        }  # fmt: skip


@dataclass(slots=True)
class Messages:
    """Those of one account. What people send is the network's; what the account sends is made here."""

    network: Network
    made: list[Message] = field(default_factory=list)
    """Sent by the account, in order."""

    def send(self, asked: Fields, body: str) -> Message:
        """A new one of the account's; it waits in the queue."""
        now, media = self.network.clock().astimezone(UTC).replace(microsecond=0), int("MediaUrl" in asked)
        made = Message(
            sid=self.network.new_sid("MM" if media else "SM"), direction="outbound-api", sender=asked["From"],
            to=asked["To"], body=body, created=now, status="queued", media=media,
            callback=asked.get("StatusCallback", ""), asked=dict(asked),
        )  # fmt: skip
        self.made.append(made)
        return made

    def advance(self, message: Message, status: str, error: str = "") -> None:
        """It got so far."""
        message.status, message.error = status, error
        if message.sent is None and status not in ("queued", "accepted", "scheduled"):
            message.sent = self.network.clock().astimezone(UTC).replace(microsecond=0)

    def all(self) -> list[Message]:
        """In both directions, the newest first."""
        came = [self._came(one) for one in self.network.kept]
        return sorted([*came, *self.made], key=lambda one: (one.created, one.sid), reverse=True)

    def find(self, sid: str) -> Message | None:
        """One message."""
        return next((one for one in self.all() if one.sid == sid), None)

    def listed(self, wanted: Fields) -> list[Message]:
        """Those that fit the filters To, From, DateSent, DateSent< and DateSent> (days, in UTC)."""
        tests = [test(value) for name, test in _FILTERS.items() if (value := wanted.get(name))]
        return [one for one in self.all() if all(holds(one) for holds in tests)]

    def _came(self, said: Fields) -> Message:
        at = self.network.dates[said["MessageSid"]]
        return Message(
            sid=said["MessageSid"], direction="inbound", sender=said["From"], to=said["To"], body=said["Body"],
            created=at, sent=at, status=said.get("SmsStatus") or "received", media=int(said.get("NumMedia") or 0),
        )  # fmt: skip


Test = Callable[[Message], bool]


def _day(compare: Callable[[str, str], bool]) -> Callable[[str], Test]:
    """What waits in the queue has no such date, and is in no list by it."""
    return lambda value: lambda one: one.sent is not None and compare(one.sent.date().isoformat(), value[:10])


_FILTERS: Mapping[str, Callable[[str], Test]] = {
    "To": lambda value: lambda one: one.to == value,
    "From": lambda value: lambda one: one.sender == value,
    "DateSent": _day(lambda have, want: have == want),
    "DateSent<": _day(lambda have, want: have <= want),
    "DateSent>": _day(lambda have, want: have >= want),
}
