"""Bytes -> text: the declared charset where it can be true, else UTF-8, else a guess biased to Cyrillic."""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from math import log2

from normalizer.wordlists import listed

CYRILLIC = ("cp1251", "koi8_u", "koi8_r", "cp866", "iso8859_5")
"""Charsets that a Russian or Ukrainian mail without a (true) declaration may be in."""

_ALIASES = {
    "cp-1251": "cp1251", "win-1251": "cp1251", "win1251": "cp1251", "windows1251": "cp1251", "x-cp1251": "cp1251",
    "ansi": "cp1251", "koi8": "koi8_r", "koi8r": "koi8_r", "koi8u": "koi8_u", "koi8-ru": "koi8_u", "cp-866": "cp866",
    "dos-866": "cp866", "x-cp866": "cp866", "x-mac-cyrillic": "mac_cyrillic", "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949", "euc-kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030",
    "iso-8859-1": "cp1252", "latin1": "cp1252", "iso8859-1": "cp1252", "iso-8859-8-i": "iso8859_8",
    "iso-8859-8-e": "iso8859_8", "x-sjis": "cp932", "shift_jis": "cp932", "shift-jis": "cp932", "utf8": "utf-8",
    "utf-8-mac": "utf-8", "unicode-1-1-utf-7": "utf-7", "x-unknown": "", "unknown-8bit": "", "unknown": "",
    "x-user-defined": "", "8bit": "", "binary": "", "default": "", "none": "", "us-ascii": "ascii", "ascii": "ascii",
}  # fmt: skip
_NOT_CHARSETS = {"unicode_escape", "raw_unicode_escape", "idna", "punycode", "undefined", "mbcs", "oem"}
_WESTERN = {"cp1252", "ascii", "iso8859-15", "cp437", "cp850", "iso8859-2", "cp1250"}
_MULTIBYTE = ("iso2022", "euc", "gb", "big5", "cp932", "cp949", "cp950", "shift", "johab", "hz", "utf")

# Letters per thousand in Russian and Ukrainian together; the scale is all that matters.
_FREQUENCY = dict(
    zip(
        "оеаинтсрвлкмдпуяіьыгзбчйхжшюцщєїфэъёґ",
        (105, 80, 80, 68, 66, 60, 52, 46, 46, 43, 35, 32, 31, 29, 29, 21, 28, 17, 12, 17, 18, 17, 14, 12, 10, 9, 7,
         7, 6, 5, 3, 3, 3, 2, 1, 1, 0.5),
        strict=True,
    )
)  # fmt: skip
_PAIRS = listed("""
    ст но то на ен ов ни ра во ко ер по пр ро не ре та ал ан ка ли ос ло от ет ле ва де ор ат ть те ве до ми ас за ес
    ин од ив ри ск ел ия ис ме ит ки ом да ам мо нн ны им тр вс об ар чт го ся ві ні ти єт їн іс ід ій же аб ац ює шт
    бо ож ду сс ай фи ъе си ру из че ше ще щё ег ез ец яз мы вы ты хо
""")
_PUNCTUATION = "«»—–№…„“”‘’•·©®§°±\xa0"
_HIGH = re.compile(rb"[\x80-\xff]+")
_ACCENT = re.compile(rb"[A-Za-z][\x80-\xff]{1,2}[A-Za-z]")
_INVERTED = re.compile("[а-яёіїєґ][А-ЯЁІЇЄҐ]")
_SAMPLE = 4096
_SCORED = 240
"""High bytes that a score looks at: enough to tell, and a score costs half a microsecond a byte."""
_GLANCE = 64
_SOUND = 2.0
"""A declared Cyrillic charset that scores this is believed without looking at the others."""


@lru_cache(maxsize=256)
def codec(name: str) -> str:
    """Python's name of a declared charset; "" for none, "?" for one that nobody knows."""
    plain = name.strip(" \t\"'<>;,").lower()
    plain = _ALIASES.get(plain, plain)
    if not plain:
        return ""
    try:
        found = codecs.lookup(plain).name
        b"ab".decode(found)  # LookupError for codecs that are no charsets: hex, zip, rot13
    except UnicodeDecodeError:
        return found  # a charset that ASCII is not a part of
    except (LookupError, ValueError):
        return "?"
    found = _ALIASES.get(found, found)
    return "?" if found.replace("-", "_") in _NOT_CHARSETS else found


def decode(data: bytes, declared: str = "") -> tuple[str, str]:
    """Text of `data` and the oddity met, "" when the declared charset was right."""
    name = codec(declared)
    oddity = f"charset:unknown:{_safe(declared)}" if name == "?" else ""
    if data.isascii() and (name in ("", "?", "utf-8", "ascii", "cp1252") or name in CYRILLIC):
        return data.decode("ascii"), oddity
    if name in ("", "?", "utf-8"):
        return _undeclared(data, oddity or ("" if name == "utf-8" else "charset:undeclared"), name == "utf-8")
    return _declared(data, name, declared)


def _undeclared(data: bytes, oddity: str, said_utf8: bool) -> tuple[str, str]:
    try:
        return data.decode("utf-8"), "" if said_utf8 else oddity
    except UnicodeDecodeError as error:
        if said_utf8 and _mostly_utf8(data, error.start):
            return data.decode("utf-8", "replace"), "charset:broken:utf-8"
    guess, _ = detect(data)
    guessed = oddity if oddity.startswith("charset:unknown") else f"charset:guessed:{guess}"
    return data.decode(guess, "replace"), "charset:wrong:utf-8" if said_utf8 else guessed


def _declared(data: bytes, name: str, declared: str) -> tuple[str, str]:
    single = not name.replace("-", "").startswith(_MULTIBYTE)
    if single:
        as_utf8 = _utf8(data)
        if as_utf8 is not None:
            return as_utf8, f"charset:wrong:{_safe(declared)}"
    better = _contradiction(data, name) if single else ""
    if better:
        return data.decode(better, "replace"), f"charset:wrong:{_safe(declared)}"
    try:
        return data.decode(name), ""
    except (UnicodeDecodeError, ValueError):
        return data.decode(name, "replace"), f"charset:broken:{_safe(declared)}"


def _utf8(data: bytes) -> str | None:
    """Text when the bytes are UTF-8 of a European script: hardly ever an accident in another charset."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    high = [char for char in text[:_SAMPLE] if char > "\x7f"]
    return text if sum(char < "\u0530" or char > "\u2000" for char in high) * 10 >= len(high) * 9 else None


def _mostly_utf8(data: bytes, start: int) -> bool:
    """Whether a few bytes of UTF-8 text are broken (a cut character), rather than all of it something else."""
    sample = data[:_SAMPLE] if start < _SAMPLE else data[start - _SAMPLE // 2 : start + _SAMPLE // 2]
    text = sample.decode("utf-8", "replace")
    return text.count("\ufffd") * 10 <= sum(char > "\x7f" for char in text)


def _contradiction(data: bytes, name: str) -> str:
    """Another charset when the bytes plainly contradict the declared single-byte one."""
    western = name in _WESTERN
    if not western and name.replace("-", "_") not in CYRILLIC:
        return ""
    declared = 0.0 if western else _score(data, name, _GLANCE)
    if declared > _SOUND:
        return ""
    high = sum(map(len, _HIGH.findall(data[:_SAMPLE])))
    if high < 4 or not _in_runs(data):
        return ""
    guess, score = detect(data)
    if western:
        return guess if score > 0.8 else ""
    if {guess, name.replace("-", "_")} <= {"koi8_r", "koi8_u"}:
        return ""
    return guess if high >= 12 and score - _score(data, name) > 1.5 else ""


def _in_runs(data: bytes) -> bool:
    """Whether high bytes stand together as in Cyrillic words, not alone as accents do."""
    runs = _HIGH.findall(data[: _SAMPLE * 4])
    total = sum(map(len, runs))
    return total > 0 and sum(len(run) for run in runs if len(run) >= 3) * 10 >= total * 6


def detect(data: bytes) -> tuple[str, float]:
    """The likeliest charset of bytes that are not UTF-8, and its score (about 2 for sound Russian, below 0: noise)."""
    if not _in_runs(data) and (_ACCENT.search(data[:_SAMPLE]) or len(_HIGH.findall(data[:_SAMPLE])) > 2):
        return "cp1252", 0.0
    score, best = max(((_score(data, name), name) for name in CYRILLIC), key=lambda item: item[0])
    if score > 0.3:
        return best, score
    return _by_library(data), score


def _score(data: bytes, name: str, size: int = _SCORED) -> float:
    text = b" ".join(_HIGH.findall(data[: size * 8]))[:size].decode(name, "replace")
    letters = [char for char in text if char > "\x7f"]
    if not letters:
        return 0.0
    lower = text.lower()
    pairs = sum(lower[at : at + 2] in _PAIRS for at in range(len(lower) - 1))
    return (sum(map(_weight, letters)) + 2.0 * pairs - 2.0 * len(_INVERTED.findall(text))) / len(letters)


@lru_cache(maxsize=1024)
def _weight(char: str) -> float:
    lower = char.lower()
    if lower in _FREQUENCY:
        return log2(_FREQUENCY[lower] / 10) - (0.4 if lower != char else 0.0)
    return 0.0 if char in _PUNCTUATION else -4.0


def _by_library(data: bytes) -> str:
    # Two megabytes that a process which reads no mail does not pay: calls need the words of this package alone.
    from charset_normalizer import from_bytes

    best = from_bytes(data[:_SAMPLE], cp_isolation=["cp1252", *CYRILLIC]).best()
    return best.encoding if best else "cp1252"


def _safe(name: str) -> str:
    return re.sub(r"[^\w.:-]", "_", name.strip().lower())[:40]
