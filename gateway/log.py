"""Structured logs: what happened to which id. Never a body, an address or a secret.

Whoever logs passes ids and counts. `redact` is the belt beside the braces: it blanks keys that
could hold a person's words or a secret, and whatever looks like an address or a token in the rest.
An exception is logged as its type and where it was raised; its text may quote a mail, so it is not.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Literal, TextIO, TypeAlias, cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor

Format: TypeAlias = Literal["auto", "json", "console"]
Record: TypeAlias = MutableMapping[str, Any]

HIDDEN = "[hidden]"
_LONGEST = 300
_DEEPEST = 4

_PRIVATE_WORDS = (
    "address authorization body cc comment content cookie diagnostic email facts from headers helo html key"
    " mail_from message_text name password payload peer phone raw rcpt_to recipient recipients reply_to requester"
    " result secret sender subject text to token url value variables visible_text"
)
_PRIVATE = frozenset(_PRIVATE_WORDS.split())
_PATTERNS = (
    (re.compile(r"[^\s<>\"'(),;:@]{1,128}@[^\s<>\"'(),;:@]{1,255}"), "[address]"),
    (re.compile(r"\bgw_[a-z0-9]+_[A-Za-z0-9_-]+"), "[token]"),
    (re.compile(r"(?i)\b(bearer|basic)\s+\S+"), "[token]"),
    (re.compile(r"/(rate|t)/[A-Za-z0-9_-]{8,}"), r"/\1/[token]"),
    (re.compile(r"\+\d[\d ()-]{7,18}\d"), "[phone]"),
    (re.compile(r"://[^\s/@]+@"), "://[secret]@"),
)
# Libraries that name peers, recipients or whole requests in their own lines.
_TALKATIVE = (
    "aiohttp.access", "aiosmtpd", "alembic", "httpcore", "httpx", "imapclient", "mail.log", "telegram", "twilio",
)  # fmt: skip


def clean(value: object, depth: int = 0) -> object:
    """`value` with addresses, telephone numbers and tokens blanked, long text cut, bytes counted."""
    match value:
        case None | bool() | int() | float():
            return value
        case bytes() | bytearray() | memoryview():
            return f"[{len(value)} bytes]"
        case Mapping() if depth < _DEEPEST:
            return {str(key): _field(str(key), item, depth + 1) for key, item in value.items()}
        case list() | tuple() | set() | frozenset() if depth < _DEEPEST:
            return [clean(item, depth + 1) for item in list(value)[:50]]
        case Mapping() | list() | tuple() | set() | frozenset():
            return "[deep]"
        case BaseException():
            return type(value).__name__
        case _:
            return _clean_text(str(value))


def _clean_text(value: str) -> str:
    shown = value if len(value) <= _LONGEST else value[:_LONGEST] + "…"
    for pattern, stand_in in _PATTERNS:
        shown = pattern.sub(stand_in, shown)
    return shown


def _field(name: str, value: object, depth: int = 0) -> object:
    return HIDDEN if name.lower() in _PRIVATE and value not in (None, "") else clean(value, depth)


def redact(_logger: object, _method: str, record: Record) -> Record:
    """The processor: blanks private keys and cleans every other value."""
    return {name: _field(name, value) for name, value in record.items()}


def _exception(_logger: object, _method: str, record: Record) -> Record:
    """`exc_info` -> type, error number and the frames, without the exception's text."""
    raised = record.pop("exc_info", None)
    if raised is True:
        raised = sys.exc_info()
    error = raised[1] if isinstance(raised, tuple) else raised
    if isinstance(error, BaseException):
        record["error"] = type(error).__name__
        if isinstance(error, OSError) and error.strerror:
            record["reason"] = error.strerror
        frames = traceback.extract_tb(error.__traceback__)[-8:]
        record["trace"] = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames]
    return record


_STEPS: Sequence[Processor] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    cast(Processor, _exception),
    cast(Processor, redact),
)
"""What becomes of every record, ours and the libraries'."""


def configure(level: str = "info", stream: TextIO | None = None, *, format: Format = "auto") -> None:  # noqa: A002
    """Set up logging of the whole process, the libraries' included; call it once, at the start.

    `stream` is stderr by default; "auto" is coloured lines on a terminal and JSON lines otherwise.
    """
    handler = logging.StreamHandler(stream)
    human = format == "console" or (format == "auto" and handler.stream.isatty())
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(timestamp_key="at")
        if human
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_STEPS,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)


class _Logger(structlog.stdlib.BoundLogger):
    """Lines for looking closer cost nothing while nobody looks: there is one for each message and request."""

    def debug(self, event: str | None = None, *args: Any, **values: Any) -> Any:
        """A line of the level "debug"."""
        return super().debug(event, *args, **values) if self._logger.isEnabledFor(logging.DEBUG) else None


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger; log as `logger.info("filed", entry=7, ticket=12)`: an event word and ids.

    It works before `configure` too: then warnings and worse go to stderr, and nothing to stdout.
    """
    made = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.filter_by_level, *_STEPS, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=_Logger,
        cache_logger_on_first_use=True,
    )
    return cast(FilteringBoundLogger, made)
