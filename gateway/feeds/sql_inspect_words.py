"""How desks call their tables and columns: English, and Ukrainian and Russian in both alphabets."""

from __future__ import annotations

import re
from collections.abc import Mapping

TICKETS = re.compile(
    r"ticket|issue|request|incident|helpdesk|problem|^cases?$|_cases?$|claim|zayav|zvern|obrash|zapyt|zapros|"
    r"заяв|зверн|обращ",
    re.I,
)
"""A table of tickets."""
NOT_TICKETS = re.compile(
    r"status|state|type|prior|categ|categor|history|log$|zhurnal|event|attach|file|thread|entry|message|comment|note|"
    r"line$|cdata|config|field|form|user|staff|team|dept|depart|sla|tag|link|queue|_view$|index|search|draft|lock|session",
    re.I,
)
"""A table that only goes with one."""
MESSAGES = re.compile(
    r"entry|entries|message|comment|note|line$|lines$|reply|replies|post|article|journal|follow|corresp|answer|"
    r"povid|soobsh|"
    r"perepys|perepis|vidpov|повід|сообщ|комент",
    re.I,
)
FILES = re.compile(r"attach|file|document|dokument|vklad|влож|файл", re.I)
LOOKUP_WORD = re.compile(r"^(name|title|label|word|code|nazva|nazvanie|naimen\w*|nayim\w*|назва|название)$", re.I)

TICKET_COLUMNS: Mapping[str, str] = {
    "key": r"gateway|extern|^ext_|_ext$|source_extra|foreign_(id|key|ref)|remote_(id|key)|zovn|vnesh|import_?(id|key)",
    "opened_at": r"^(date_?)?(created|opened)|^creat|^open(_at|_date|ed_at|date)$|^data_(vid|otk|reg|stv)",
    "closed_at": r"^(date_?)?(closed|resolved)|^close(_at|_date|d_at)$|^data_(zak|vyr)",
    "resolution_due": r"due|deadline|srok|termin",
    "number": r"^(ticket_?|request_?|case_?)?(number|no|num|nr|nomer)$",
    "subject": r"subject|title|summary|headline|^tema|_tema$|тема|заголов",
    "text": r"descr|^body$|details|^opis|^text$|^content|problem_text|опис|содерж",
    "status": r"status|^state|_state$|^stan|стан|статус",
    "class": r"^class|_class$|categor|klas|severity|topic|клас|катег",
    "line": r"queue|dept|department|team|^line$|support_group|cherga|ochered|черга|очеред",
    "onsite": r"on_?site|visit|vyizd|vyezd|виїзд|выезд",
    "assignee": r"staff|assign|^owner|agent|technician|engineer|vykonav|ispoln|викон|исполн",
    "requester_name": r"(client|customer|caller|requester|contact|reporter|user)_?name|^fio$|^pib$",
    "requester": r"e?mail|requester|^caller|reporter|^customer$|^client$|klient|zayavnyk|zayavitel|^contact$|^from$",
    "contract": r"contract|dogov|dohov|company|organi[sz]ation|догов",
}
"""Field -> what its column is often called, the surest first."""
MESSAGE_COLUMNS: Mapping[str, str] = {
    "key": r"gateway|extern|^ext_|_ext$|^extra$|foreign_(id|key|ref)|remote_(id|key)|zovn|vnesh",
    "at": r"^(created|written|posted|entered|sent|added)|^date|_at$|^data|^time",
    "message_id": r"message_?id|^mid$",
    "text": r"^body|text|content|message|comment|note|^opis|повід|текст",
    "author_name": r"poster|author|^who$|sender|created_by|^user(_?name)?$|^avtor|автор",
    "public": r"public|visible|is_?external|customer_visible|publich",
    "kind": r"^(entry_?)?type$|^kind$",
    "format": r"^format$|content_?type|markup",
    "subject": r"subject|title|^tema",
}
FILE_COLUMNS: Mapping[str, str] = {
    "data": r"data|content|blob|body|bytes",
    "path": r"path|location|disk|stored",
    "filename": r"file_?name|^name|orig|imya|назва",
    "content_type": r"mime|content_?type|^type$",
    "size": r"size|length|rozmir|razmer",
    "sha256": r"sha256",
}
CHANGED = (
    r"^(last_?)?(updated|update|changed|modified|change|modif\w*)(_?(at|on|date|time))?$|^data_(zm|izm)|lastupdate"
)
MERGED = r"merged|^master_|_master$|ticket_pid|duplicate_of"
GONE = r"^(is_?)?(deleted|removed|trashed)$|^vydalen|^udalen"

STATUS: Mapping[str, str] = {
    "new": r"^(new|n|registered|нов\w*|зареєстр\w*|зарегистр\w*)$",
    "waiting": r"wait|pending|hold|await|customer|stalled|paused|очік|ожид|відклад|отлож|^wait$|^p$",
    "resolved": r"resolv|solved|done|fixed|complete|виріш|реш[её]н|готов|викон|выполн|^r$",
    "closed": r"clos|shut|archiv|cancel|reject|закр|скас|отмен|^c$|^z$",
    "open": r"open|work|progress|assigned|active|accepted|started|в робот|в работ|відкр|откр|^w$|^o$",
}
"""Ours -> theirs, the first that fits."""
LINE: Mapping[str, str] = {
    "L1": r"first|support|help|service ?desk|\b1\b|l1|перш|перв|підтрим|поддерж",
    "L2": r"second|engineer|admin|operat|system|\b2\b|l2|друг|втор|інжен|инжен|адмін|админ",
    "L3": r"third|develop|program|\b3\b|l3|трет|розроб|разраб",
    "L4": r"vendor|partner|extern|outside|fourth|\b4\b|l4|четв",
}
KIND: Mapping[str, str] = {
    "in": r"^(m|in|message|request)",
    "out": r"^(r|out|reply|response|answer)",
    "note": r"^(n|note|internal|i)",
}
