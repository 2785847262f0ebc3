"""Where a signature starts: the delimiter of RFC 3676 section 4.3, and what phones and scanners append."""

from __future__ import annotations

import re
from collections.abc import Sequence

_DELIMITER = re.compile(r"(?:--|—|––)[ \xa0]?$")
_TAIL = 14
"""Lines after a delimiter without the trailing space that still look like a signature."""
_RULE = re.compile(r"(?:_{2,80}|[—–]{2,80})\s*$")
_FOOTER = 7
"""Lines after a drawn line that look like the footer of a mailing list or a card."""
_APPENDED = re.compile(
    r"[\s*_(\[-]{0,8}(?:"
    r"sent (?:from|via|using|with) |get outlook for |скачать outlook |отправлено (?:с|со|из|с помощью|через) "
    r"|отправлено с[ао] |надіслано (?:з|із|через|за допомогою) |надіслано зі |отримати outlook |завантажити outlook "
    r"|отримайте outlook |загрузить outlook |получить outlook |получите outlook |відправлено (?:з|із|через) "
    r"|envoyé (?:de mon|depuis|à partir)|von meinem .{1,30} gesendet|gesendet von |enviado desde "
    r"|проверено (?:kaspersky|на вирусы|антивирус|dr\.?web|avast|касперск|eset)|перевірено (?:kaspersky|на віруси|eset)"
    r"|вирусов не обнаружено|без вирусов|this (?:e-?mail|message) (?:has been|was) (?:scanned|checked|sent from)"
    r"|virus-free|(?:это )?(?:сообщение|письмо) проверено"
    r")",
    re.IGNORECASE,
)
_LINK = re.compile(r"[\s<(\[]{0,4}https?://\S{1,300}\s*$", re.IGNORECASE)


def start(lines: Sequence[str], first: int, end: int) -> int:
    """The line in `first`..`end` at which a signature starts; `end` when there is none."""
    for at in range(first, end):
        line = lines[at]
        if len(line) <= 3 and _DELIMITER.match(line) and (line == "-- " or end - at <= _TAIL):
            return at
        if end - at <= _FOOTER and _RULE.match(line):
            return at
    last = end
    for at in range(end - 1, first - 1, -1):
        line = lines[at]
        if len(line) < 200 and "," not in line and _APPENDED.match(line):
            last = at
        elif line.strip(" \t\xa0") and not _LINK.match(line):
            break
    while last > first and last < end and not lines[last - 1].strip(" \t\xa0"):
        last -= 1
    return last
