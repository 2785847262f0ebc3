"""What a bounce says: recipients, action, status (RFC 3464, RFC 6533), else the words of mail servers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from email.message import Message as Part

from flufl.bounce import all_failures

from normalizer.mail import addresses, mime, words
from normalizer.message import ReportedRecipient

_DAEMON = re.compile(
    r"(?:mailer-daemon|mail-daemon|mailerdaemon|postmaster|mdaemon|daemon|mail\.?delivery|mailer|maildelivery|mmdf|uucp"
    r"|bounces?|postoffice|microsoftexchange[0-9a-f]+|smtp|mail-?admin|system)\b",
    re.IGNORECASE,
)
_DAEMON_NAME = re.compile(
    r"mail delivery|mailer[- ]daemon|postmaster|delivery subsystem|system administrator|системн\w{1,3} администратор"
    r"|почтов\w{1,3} (?:система|сервер|служба)|поштов\w{1,3} (?:сервер|система|служба)|microsoft outlook|mail system",
    re.IGNORECASE,
)
SUBJECT = re.compile(
    r"undeliver|non-?deliver|not delivered|delivery (?:status|failure|has failed|failed|report|notification|problem"
    r"|delay|error)"
    r"|(?:mail|message) delivery|returned (?:mail|to sender)|returning|failure (?:notice|delivery)"
    r"|delivery unsuccessful"
    r"|mail (?:error|failure|system error|not delivered|returned|status)|could not (?:be )?(?:sent|deliver)"
    r"|(?:message|mail) (?:status|could|has not|you sent)|unknown user|user unknown|nondeliverable|bounced?\b"
    r"|warning: could"
    r"|не\s?доставл|недостав|не удал?[её]тся доставить|не удалось доставить|ошибка доставки|доставка .{0,40}отложена"
    r"|возвра(?:щ[её]н|т) (?:письм|почт|сообщ)|отказ в доставке|задержка доставки|невозможно доставить|сбой доставки"
    r"|не вда(?:лося|[её]ться) доставити|помилка доставки|повернення (?:листа|пошти)|неможливо доставити"
    r"|затримка доставки"
    r"|unzustellbar|non remis|no entregado|mancato recapito|niedostarczon",
    re.IGNORECASE,
)
_FAILED = re.compile(
    r"не (?:может|могло|удалось|удается|удаётся|был[оа]?|смогли).{0,60}достав|не (?:было )?доставлен"
    r"|невозможно доставить"
    r"|не может быть (?:отправлено|доставлено)|не (?:вдалося|вдалось|вдається|може бути|було|вдалась).{0,60}достав"
    r"|не доставлен|ящик.{0,30}переполнен|нет такого (?:пользователя|адреса)|пользователь .{0,40}не найден"
    r"|адресат не (?:найден|существует)|отклонен[оа]|скринька .{0,30}переповнен|користувача .{0,40}не (?:знайдено"
    r"|існує)"
    r"|(?:could|can|did|was|were) ?not (?:be )?(?:deliver|sent|reach|accept)|cannot be delivered|undeliver"
    r"|delivery .{0,40}fail"
    r"|failed|returned to|unknown (?:user|recipient)|user unknown|no such user|mailbox (?:is )?(?:full|unavailable"
    r"|disabled)"
    r"|rejected|aborted|does not exist|not (?:a )?(?:found|known|listed|valid)|permanent|fatal error"
    r"|has been delayed|not yet been",
    re.IGNORECASE,
)
_DELAYED = re.compile(
    r"отложен|пока не доставлен|повторн\w{1,3} попыт|ще не доставлен|затриман|will (?:be retried|continue|keep trying)"
    r"|not yet been delivered|still being retried|has been delayed|delayed",
    re.IGNORECASE,
)
_COPY = re.compile(
    r"^[^\n\w]{0,60}(?:this is a copy|original message|copy of (?:your|the) message|below this line is|(?:your|the)"
    r" (?:original )?message (?:follows|text)|исходн\w{2} (?:сообщени|письм)|копия (?:сообщени|письм)|заголовк\w{1,3}"
    r" (?:исходн|вашего|письм)|текст вашего письма|заголовки|оригинал|початок вихідного|вихідн\w{1,3} (?:лист|повідом)"
    r"|копія (?:лист|повідом)|заголовки|message header|unsent message|returned message)[^\n]{0,120}$",
    re.IGNORECASE | re.MULTILINE,
)
_RECIPIENT_LINE = re.compile(
    r"^[\s>*•-]{0,20}(?:(?:recipient|to|address|получатель|адресат|кому|одержувач|отримувач|адрес|адреса)"
    r"(?: address)?\s?:\s*)?"
    r"<?([^\s<>@,;:\"()]{1,64}@[^\s<>@,;:\"()]{1,190})>?\s{0,3}(?:[:;,(—–-].{0,500})?$",
    re.IGNORECASE | re.MULTILINE,
)
_ANY_ADDRESS = re.compile(r"<?([^\s<>@,;:\"'()]{1,64}@[^\s<>@,;:\"'()]{1,190}[^\s<>@,;:\"'().])>?")
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_REPLY_CODE = re.compile(r"(?<![\d.])([45])\d\d(?= )")
_ESCAPED = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")
_ORIGINAL_ID = re.compile(r"^[>\s]{0,10}message-id:\s*(<[^<>\n]{1,998}>)", re.IGNORECASE | re.MULTILINE)
_EXPANDED = re.compile(
    r"([^\s<>@]{1,64}@[^\s<>@:;]{1,190})[>:;]{0,2}\s{1,20}\("
    r"(?:expanded )?from:? <?([^\s<>@()]{1,64}@[^\s<>@()]{1,190})>?\)"
)
_TEXT = 20_000
_RECIPIENTS = 500
_ACTIONS = {"failed", "delayed", "delivered", "relayed", "expanded"}


# -- RFC 3464 and RFC 6533 ----------------------------------------------------------------


def from_status(parts: Iterable[Part]) -> list[ReportedRecipient]:
    """Recipients of the machine-readable part, each once."""
    found: dict[str, ReportedRecipient] = {}
    for part in parts:
        for block in _blocks(_status_text(part)):
            recipient = _recipient(block)
            if recipient and len(found) < _RECIPIENTS:
                found.setdefault(recipient.address.lower(), recipient)
    return list(found.values())


def _status_text(part: Part) -> str:
    """The part as text again: the parser has taken it for messages."""
    inner = mime.inside(part)
    if isinstance(inner, str):
        return words.clean(mime.payload(part, []).decode("utf-8", "replace"))
    items = [item for item in inner if isinstance(item, Part)] if isinstance(inner, list) else []
    data = b"\n".join(_item_bytes(item) for item in items)
    if b"-recipient" not in data.lower():
        plain, _ = words.unquoted_base64(data)
        data = plain if b"ecipient" in plain else data
    return words.clean(data.decode("utf-8", "replace"))


def _item_bytes(item: Part) -> bytes:
    head = "".join(f"{name}:{value}\n" for name, value in item.raw_items())
    rest = mime.inside(item)
    return words.to_bytes(head) + b"\n" + (words.to_bytes(rest) if isinstance(rest, str) else b"")


def _blocks(text: str) -> list[dict[str, str]]:
    blocks: list[dict[str, str]] = [{}]
    last = ""
    for line in text.replace("\r", "").split("\n"):
        name, colon, value = line.partition(":")
        if not line.strip():
            if blocks[-1]:
                blocks.append({})
            last = ""
        elif line[0] in " \t" and last:
            blocks[-1][last] = f"{blocks[-1][last]} {line.strip()}"
        elif colon:
            last = name.strip().lower()
            blocks[-1].setdefault(last, value.strip())
    return blocks


def _recipient(block: dict[str, str]) -> ReportedRecipient | None:
    named = block.get("original-recipient", ""), block.get("final-recipient", ""), block.get("x-actual-recipient", "")
    address = next((one for one in map(_typed, named) if "@" in one), "") or next(filter(None, map(_typed, named)), "")
    if not address:
        return None
    diagnostic = words.one_line(block.get("diagnostic-code", ""))[:1000]
    status = _STATUS.search(block.get("status", "")) or _STATUS.search(diagnostic)
    code = status[1] if status else ""
    action = block.get("action", "").split("(")[0].strip().lower()
    if action not in _ACTIONS:
        action = {"2": "delivered", "4": "delayed"}.get(code[:1], "failed")
    return ReportedRecipient(address=address, action=action, status=code, diagnostic=diagnostic)


def _typed(value: str) -> str:
    """The address of "rfc822; a@b" or "utf-8; \\x{...}@b"."""
    kind, semicolon, rest = value.partition(";")
    text = (rest if semicolon else kind).strip()
    text = _ESCAPED.sub(_unescape, text).strip("<> \"'")
    found = _ANY_ADDRESS.search(text)
    return addresses.lower_domain(found[1] if found else text.split(" ")[0])


def _unescape(found: re.Match[str]) -> str:
    code = int(found[1], 16)
    return "" if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF or code < 0x20 else chr(code)


# -- words of mail servers ----------------------------------------------------------------


def is_suspect(*, sender: str, name: str, null_sender: bool, subject: str) -> bool:
    """Whether a mail without a status part may be a bounce at all: a person who writes about bounces is not."""
    return null_sender or is_daemon(sender, name) or telling(subject)


def telling(subject: str) -> bool:
    """Whether a subject says that something was not delivered."""
    return bool(SUBJECT.search(subject))


def is_daemon(sender: str, name: str) -> bool:
    """Whether the author is a mail system, by address or name."""
    return bool(_DAEMON.match(sender) or _DAEMON_NAME.search(name))


def from_words(
    root: Part, text: str, *, daemon: bool, ours: Collection[str], named: Collection[str], oddities: list[str]
) -> list[ReportedRecipient]:
    """Recipients that a bounce without a status part names.

    `daemon`: the sender is a mail system; else only the patterns of known systems count.
    `named`: X-Failed-Recipients (Exim and others).
    """
    head = text[:_TEXT]
    copy = _COPY.search(head)
    notice = head[: copy.start()] if copy and copy.start() > 40 else head
    if named:
        action = "delayed" if _DELAYED.search(notice) and not _permanent(notice) else "failed"
        return [_spoken(addresses.lower_domain(address), action, notice) for address in named]
    temporary, permanent = _by_library(root, oddities)
    aliases = _EXPANDED.findall(notice) if "from:" in notice else []
    expanded = {one.lower() for one, alias in aliases if alias.lower() in map(str.lower, permanent)}
    permanent = {one for one in permanent if one.lower() not in expanded}  # we know the alias that we wrote to
    found = [_spoken(address, "delayed", notice) for address in sorted(temporary - permanent)]
    found += [_spoken(address, "failed", notice) for address in sorted(permanent)]
    if found or not daemon:
        return found
    failure = _FAILED.search(notice)
    if not failure:
        return []
    action = "delayed" if _DELAYED.search(notice) and not _permanent(notice) else "failed"
    named = _addresses(notice, failure.start(), ours)
    return [_spoken(address, action, notice) for address in named]


def _permanent(notice: str) -> bool:
    return bool(re.search(r"(?<![\d.])5\d\d[ -]|(?<![\d.])5\.\d", notice))


def _by_library(root: Part, oddities: list[str]) -> tuple[set[str], set[str]]:
    if "@" not in str(root.get("from", "")):
        return set(), set()  # one of its detectors takes an author for granted
    _make_ascii(root)
    try:
        temporary, permanent = all_failures(root)
    except Exception as error:  # noqa: BLE001  # two dozen detectors of a library over hostile text: any error is "found nothing"
        oddities.append(f"bounce:detector:{type(error).__name__}")
        return set(), set()
    return _texts(temporary), _texts(permanent)


def _make_ascii(root: Part) -> None:
    """Blank 8-bit header values in the tree: the library expects text where the parser gives Header objects."""
    for part in root.walk():
        for name, value in list(part.raw_items()):
            if not value.isascii():
                part.replace_header(name, words.to_bytes(value).decode("ascii", "replace").replace("\ufffd", "?"))


def _texts(found: Iterable[bytes | str]) -> set[str]:
    texts = (one.decode("utf-8", "replace") if isinstance(one, bytes) else one for one in found)
    cleaned = (words.one_line(one).strip("<>\"' .") for one in texts)
    return {addresses.lower_domain(one) for one in cleaned if "@" in one}


def _addresses(notice: str, failure: int, ours: Collection[str]) -> list[str]:
    own = {address.lower() for address in ours}
    lines = [found[1] for found in _RECIPIENT_LINE.finditer(notice)]
    candidates = lines or _ANY_ADDRESS.findall(notice[max(0, failure - 300) : failure + 500])[:1]
    found = {addresses.lower_domain(one.strip(".")): None for one in candidates if one.lower() not in own}
    return list(found)[:_RECIPIENTS]


def _spoken(address: str, action: str, notice: str) -> ReportedRecipient:
    """With the status and the diagnostic that stand by the address."""
    at = max(notice.lower().find(address.lower()), 0)
    nearby = notice[at : at + 600]
    status, code = _STATUS.search(nearby), _REPLY_CODE.search(nearby)
    if status is None and code is None:
        status = _STATUS.search(notice)
    line = _status_line(nearby, status[1] if status else code[0] if code else "")
    guessed = f"{code[1]}.0.0" if code else ""
    return ReportedRecipient(
        address=address, action=action, status=status[1] if status else guessed, diagnostic=words.one_line(line)[:1000]
    )


def _status_line(nearby: str, mark: str) -> str:
    lines = nearby.split("\n")
    return next((line for line in lines if mark and mark in line), "".join(lines[1:2]))


# -- the message that came back -----------------------------------------------------------


def original_id(returned: Sequence[Part], headers: Sequence[str], text: str) -> str:
    """Message-ID (with brackets) of the message that was returned, "" when nothing says."""
    for part in returned:
        value = mime.fields(part).first("message-id")
        if value.strip():
            return value
    for source in (*headers, text[:_TEXT]):
        found = _ORIGINAL_ID.search(source)
        if found:
            return found[1]
    return ""
