"""Text as the router reads it: what the sender says now, in lower-case words and their stems.

Snowball has stemmers for Russian and English; Ukrainian gets a light suffix stemmer here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

from snowballstemmer.english_stemmer import EnglishStemmer
from snowballstemmer.russian_stemmer import RussianStemmer

Phrase: TypeAlias = tuple[frozenset[str], ...]
"""Neighbouring words; for each the stems that will do. One that ends in `*` is the beginning of a word."""

MAX_CHARACTERS = 1500
"""Only the beginning is read: a request says what it wants early, and the time per message stays bounded."""
PREFIX_LENGTHS = range(3, 11)

_TOKEN = re.compile(r"[a-zа-яёіїєґ0-9]+(?:['’ʼ`-][a-zа-яёіїєґ0-9]+)*")
_URL = re.compile(r"(?:https?://|www\.)\S+")
_APOSTROPHE = re.compile("['’ʼ`]")
_UKRAINIAN = re.compile("[іїєґ]")
_FOOTER = re.compile(
    r"\s*(?:--\s*$|_{5,}|-{5,}|с уважением|з повагою|(?:best|kind|warm) regards|regards,|sincerely|"
    r"scanned (?:for|by)|(?:проверено|перевірено) (?:антив|на )|this (?:e-?mail|message) (?:and|is|was|may)|"
    r"(?:отправлено|надіслано|sent) (?:с|з|from) |confidential|конфиденц|конфіденц)",
    re.IGNORECASE,
)
_QUOTE_INTRO = re.compile(r".{0,200}\b(?:wrote|написал[аи]?|пишет|пише|написав|написала):\s*$", re.IGNORECASE)
_LOG = re.compile(
    r"\s*(?:\[?\d{4}-\d\d-\d\d[ T]\d\d:\d\d|\[?\d\d:\d\d:\d\d\b|Traceback \(most recent|"
    r"File \"[^\"]{1,200}\", line \d|"
    r"at [\w.$<>]{3,200}\(|(?:\w{3} +\d{1,2} \d\d:\d\d:\d\d )|(?:DEBUG|INFO|WARN|WARNING|ERROR|FATAL|CRITICAL)[\s:\]]|"
    r"Caused by: )"
)
_SUBJECT_PREFIX = re.compile(r"(?:\s*(?:re|fwd?|fw|отв|ответ|відп|пересл)\s*(?:\[\d+\])?:)+\s*", re.IGNORECASE)
_SUBJECT_TAG = re.compile(r"\[#?[^\]\s]{1,20}\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduced:
    """A message reduced to what routing reads."""

    text: str
    """Lower-case, quotes, footers and (where there is more) logs left out; subject first."""
    tokens: tuple[str, ...]
    stems: tuple[str, ...]
    language: str
    has_log: bool = False
    index: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Where a stem, or a beginning of a word written `abc*`, stands."""
    keys: Sequence[Sequence[str]] = ()
    """What each word can be looked up by."""
    vocabulary: Vocabulary | None = None
    """Whose words alone stand in `index` and `keys`; None: all words."""

    def quote(self, found: Found) -> tuple[str, ...]:
        """The words of a phrase as they stand in the message."""
        return self.tokens[found.position : found.position + found.length]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A phrase in a message."""

    name: str
    position: int
    length: int


@dataclass(frozen=True, slots=True)
class Phrases:
    """Phrases under names, looked up all at once."""

    table: Mapping[str, tuple[tuple[str, Phrase, int], ...]]
    """Key of a phrase's longest word -> name, phrase and which of its words that is."""

    @property
    def keys(self) -> frozenset[str]:
        """Every stem and beginning of a word that is looked up."""
        return frozenset(key for found in self.table.values() for _, one, _ in found for word in one for key in word)

    @classmethod
    def of(cls, named: Iterable[tuple[str, Phrase]]) -> Phrases:
        """Build the table."""
        table: dict[str, list[tuple[str, Phrase, int]]] = {}
        for name, one in named:
            anchor = max(range(len(one)), key=[len(min(keys, key=len)) for keys in one].__getitem__)
            for key in sorted(one[anchor]):
                table.setdefault(key, []).append((name, one, anchor))
        return cls({key: tuple(found) for key, found in table.items()})

    def __bool__(self) -> bool:
        return bool(self.table)

    def find(self, message: Reduced) -> list[Found]:
        """The first place of each name, the longest phrase there; in the order of the text, then of the names.

        Raises ValueError for a message that was reduced for other phrases: it would find nothing, silently.
        """
        if message.vocabulary is not None and not any(self is part for part in message.vocabulary.parts):
            raise ValueError("the message was reduced to the words of other phrases")
        index, best = message.index, dict[str, tuple[int, int]]()
        for key in self.table.keys() & index.keys():
            positions = index[key]
            for name, one, anchor in self.table[key]:
                length = len(one)
                at = positions[0] if length == 1 else _first(one, anchor, positions, message.keys)
                if at is not None and (at, -length) < best.get(name, (at + 1, 0)):
                    best[name] = at, -length
        ranked = sorted((at, name, -length) for name, (at, length) in best.items())
        return [Found(name=name, position=at, length=length) for at, name, length in ranked]


def _first(one: Phrase, anchor: int, positions: Sequence[int], words: Sequence[Sequence[str]]) -> int | None:
    """Where a phrase begins whose word `anchor` stands at one of `positions`. `words`: keys of each word."""
    for position in positions:
        begins = position - anchor
        if begins < 0 or begins + len(one) > len(words):
            continue
        for step, keys in enumerate(one, start=begins):
            if step != position and keys.isdisjoint(words[step]):
                break
        else:
            return begins
    return None


class Vocabulary:
    """The phrases that every message is searched for. An index of their words is a tenth of one of all words."""

    def __init__(self, parts: Iterable[Phrases]) -> None:
        """`parts`: the very objects that will search."""
        self.parts = tuple(parts)
        self.keys = frozenset(key for part in self.parts for key in part.keys)


def reduce(subject: str, body: str, language: str = "", vocabulary: Vocabulary | None = None) -> Reduced:
    """Reduce a message. `language` ("ru", "uk", "en" or "") chooses the stemmer; letters decide when it is "".

    With a `vocabulary` only its phrases can be looked for.
    """
    said, has_log = _said_now(body[: MAX_CHARACTERS * 4])
    title = _SUBJECT_TAG.sub(" ", _SUBJECT_PREFIX.sub("", subject[:300]))
    text = f"{title}\n{said}".lower()
    if "://" in text or "www." in text:
        text = _URL.sub(" ", text)
    text = text[:MAX_CHARACTERS].replace("ё", "е")
    language = language if language in _STEMMERS else _guess(text)
    tokens = tuple(_TOKEN.findall(text))
    if _APOSTROPHE.search(text):
        tokens = tuple(_APOSTROPHE.sub("", token) for token in tokens)
    wanted = vocabulary.keys if vocabulary is not None else None
    looked_up = [_looked_up(token, language, wanted) for token in tokens]
    keys = [keys for _, keys in looked_up]
    return Reduced(
        text=text,
        tokens=tokens,
        stems=tuple([stemmed for stemmed, _ in looked_up]),
        language=language,
        has_log=has_log,
        index=_index(keys),
        keys=keys,
        vocabulary=vocabulary,
    )


def phrase(text: str) -> Phrase:
    """Words of a rule -> what to look for. A Cyrillic word is stemmed both as Russian and as Ukrainian.

    Raises ValueError when there is no word in it, or when a beginning written with `*` is shorter than three letters
    or longer than ten.
    """
    out = []
    for word in text.lower().replace("ё", "е").split():
        begins = word.endswith("*")
        plain = _APOSTROPHE.sub("", word.removesuffix("*"))
        if begins and len(plain) not in PREFIX_LENGTHS:
            raise ValueError(f"{word!r}: a beginning of a word has three to ten letters before the *")
        if not _TOKEN.fullmatch(plain):
            raise ValueError(f"{word!r} is not a word")
        keys = {f"{plain}*"} if begins else {stem(plain, "ru"), stem(plain, "uk")}
        out.append(frozenset(keys))
    if not out:
        raise ValueError("there is no word in it")
    return tuple(out)


@lru_cache(maxsize=65536)
def stem(word: str, language: str) -> str:
    """The stem of a lower-case word; Latin words are English in every language."""
    if word[0] < "a" or word[-1] < "a":
        return word
    if word[0] <= "z":
        return _english(word)
    return _STEMMERS[language if language != "en" else "ru"](word)


@lru_cache(maxsize=65536)
def _english(word: str) -> str:
    return str(EnglishStemmer().stemWord(word))


def _russian(word: str) -> str:
    return str(RussianStemmer().stemWord(word))


_UK_ENDINGS = re.compile(
    "(?:ування|юванням|уванням|ювання|ованого|еного|ення|енню|ень|анням|енням|ання|анню|ань|яння|ність|ності|ністю|ього|ьому|"
    "ими|іми|ого|ому|ої|ою|ею|ий|ій|ая|яя|єю|ами|ями|ові|еві|єві|ах|ях|ам|ям|ом|ем|єм|ів|їв|ей|ії|ію|ією|ія|"
    "ють|уть|ять|ать|ємо|емо|имо|їмо|єте|ете|ите|їте|єш|еш|иш|їш|ив|ила|ило|или|ав|ала|ало|али|яв|яла|яло|яли|"
    "ував|увала|увало|ували|увати|ювати|ити|ати|яти|іти|їти|ути|ть|ти|[аяуюіїеєиоьй])$"
)


def _ukrainian(word: str) -> str:
    """Cut reflexive particle and the longest ending that leaves three letters, then a soft sign."""
    if len(word) > 5 and word.endswith(("ся", "сь")):
        word = word[:-2]
    if ending := _UK_ENDINGS.search(word, 3):
        word = word[: ending.start()]
    return word.rstrip("ь")


_STEMMERS = {"ru": _russian, "uk": _ukrainian, "en": _russian}


def _guess(text: str) -> str:
    if _UKRAINIAN.search(text):
        return "uk"
    return "ru" if re.search("[а-я]", text) else "en"


def _said_now(body: str) -> tuple[str, bool]:
    """The sender's own lines, and whether there were log lines; a message of nothing but a log keeps it."""
    lines: list[str] = []
    logs: list[str] = []
    for line in body.splitlines():
        bare = line.strip()
        if bare.startswith(">") or (bare.endswith(":") and _QUOTE_INTRO.match(line)):
            continue
        if _FOOTER.match(line) and any(kept.strip() for kept in lines):
            break
        (logs if _LOG.match(line) else lines).append(line)
    kept = lines if any(_TOKEN.search(line.lower()) for line in lines) else logs
    return "\n".join(kept), bool(logs)


def _index(keys: Iterable[Sequence[str]]) -> dict[str, list[int]]:
    """Key -> the positions of the words that can be looked up by it."""
    index: dict[str, list[int]] = {}
    for position, one in enumerate(keys):
        for key in one:
            if key in index:
                index[key].append(position)
            else:
                index[key] = [position]
    return index


@lru_cache(maxsize=65536)
def _looked_up(token: str, language: str, wanted: frozenset[str] | None) -> tuple[str, tuple[str, ...]]:
    """The stem of a word, and what it can be looked up by: its stem and its beginnings, as far as they are wanted."""
    lengths = range(PREFIX_LENGTHS.start, min(len(token) + 1, PREFIX_LENGTHS.stop))
    stemmed = stem(token, language)
    keys = (stemmed, *(f"{token[:length]}*" for length in lengths))
    return stemmed, keys if wanted is None else tuple(key for key in keys if key in wanted)
