"""Where in Telegram something happened and who did it: chats, topics, people, and the keys of messages."""

from __future__ import annotations

from dataclasses import dataclass

from normalizer.message import Address, Conversation, Json, RawMessage
from normalizer.telegram_wire import Obj, amount, identifier, line, number, obj

FILE_LIMIT = 20 * 1024 * 1024
"""Bytes of the biggest file that a bot may fetch (Bot API, getFile); a Bot API server of one's own gives more."""
ANONYMOUS, CHANNEL, TELEGRAM = 1087968824, 136817688, 777000
"""Accounts that stand in for others: an anonymous administrator, a channel that posts, Telegram itself."""
STAND_INS = {ANONYMOUS: "from:anonymous", CHANNEL: "from:channel", TELEGRAM: "from:telegram"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """The account of ours, as far as the channel told (facts `bot_id`, `bot_name`, `file_limit`)."""

    account: str
    id: str = ""
    name: str = ""
    """Without @, in lower case."""
    file_limit: int = FILE_LIMIT

    @classmethod
    def of(cls, raw: RawMessage) -> Bot:
        """From the facts of the transport."""
        return cls(
            account=raw.account,
            id=identifier(raw.facts.get("bot_id")),
            name=line(raw.facts.get("bot_name")).removeprefix("@").lower(),
            file_limit=amount(raw.facts.get("file_limit")) or FILE_LIMIT,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A chat, or a topic of one, or a chat of a business account that we answer for."""

    account: str
    chat: int
    private: bool
    topic: int | None = None
    business: str = ""

    @classmethod
    def of(cls, bot: Bot, message: Obj) -> Place | None:
        """Where a message stands; None when it does not say."""
        chat_id = number(obj(message.get("chat")).get("id"))
        if chat_id is None:
            return None
        return cls(
            account=bot.account,
            chat=chat_id,
            private=chat_id > 0,  # the chat with a user bears the user's id; those of groups and channels are negative
            # Elsewhere the thread is that of an answer, and nothing can be sent into it.
            topic=number(message.get("message_thread_id")) if message.get("is_topic_message") is True else None,
            business=line(message.get("business_connection_id")),
        )

    def conversation(self, person: str) -> Conversation:
        """The conversation of one person here."""
        answer_to: dict[str, Json] = {"chat": self.chat}
        if self.topic is not None:
            answer_to["topic"] = self.topic
        if self.business:
            answer_to["business"] = self.business
            return Conversation(id=f"b:{self.business}:{person}", answer_to=answer_to)
        if self.private:
            return Conversation(id=person, answer_to=answer_to)
        topic = f"/{self.topic}" if self.topic is not None else ""
        return Conversation(id=f"{self.chat}{topic}:{person}", private=False, answer_to=answer_to)

    def key(self, message: Obj) -> str:
        """The external key of a message here; "" when it has no id."""
        message_id = number(message.get("message_id"))
        if message_id:
            return f"{self._name}:{message_id}"
        # What only one person sees has an id of another kind, and 0 or nothing for the usual one (Bot API 10.2).
        ephemeral = number(message.get("ephemeral_message_id"))
        return f"{self._name}:ephemeral:{ephemeral}" if ephemeral is not None else ""

    def album(self, message: Obj) -> str:
        """What the parts of an album have in common; "" for a message that stands alone."""
        group = identifier(message.get("media_group_id"))
        return f"{self._name}:album:{group}" if group else ""

    @property
    def _name(self) -> str:
        """Of the chat, unique over all accounts. A business account counts its messages by itself: beside our own chat
        with a customer stands another one that bears the same id."""
        business = f"b:{self.business}:" if self.business else ""
        return f"telegram:{self.account}:{business}{self.chat}"


def privately(person: str) -> Conversation:
    """The private chat with somebody bears the person's own id."""
    return Conversation(id=person, answer_to={"chat": int(person)})


def person_id(user: Obj) -> str:
    """The id of a user, in digits; "" when there is none."""
    user_id = number(user.get("id"))
    return str(user_id) if user_id is not None and user_id > 0 else ""


def name_of(user: Obj) -> str:
    """How a user is shown: the name, else @username. Chosen by the user, so it proves nothing."""
    names = (line(user.get("first_name")), line(user.get("last_name")))
    username = line(user.get("username"))
    return " ".join(name for name in names if name) or (f"@{username}" if username else "")


def title_of(chat: Obj) -> str:
    """How a chat is shown."""
    return line(chat.get("title")) or name_of(chat)


def address_of(user: Obj) -> Address:
    """A user as our vocabulary has it: the id is the address."""
    return Address(address=person_id(user), name=name_of(user))


def author(message: Obj) -> Address:
    """Who wrote a message; where it does not say, a private chat bears the same id and name."""
    return address_of(obj(message.get("from")) or obj(message.get("chat")))


def no_person(message: Obj) -> str:
    """Why nobody is behind a message who could be answered: a stable reason, or "" for a person."""
    user = obj(message.get("from"))
    user_id = number(user.get("id"))
    if user_id in STAND_INS:
        return STAND_INS[user_id]
    if obj(message.get("sender_chat")):
        return "from:chat"
    if user.get("is_bot") is True:
        return "from:bot"
    return ""
