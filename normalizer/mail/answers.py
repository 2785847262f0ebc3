"""Short answers: a rating, "no more surveys", only thanks. Read from the visible part."""

from __future__ import annotations

import re

from normalizer.wordlists import listed

_SPACE = re.compile(r"\s+")
_NUMBERS = {
    "один": 1, "одна": 1, "единица": 1, "кол": 1, "one": 1, "одиниця": 1,
    "два": 2, "двойка": 2, "two": 2, "двійка": 2,
    "три": 3, "тройка": 3, "three": 3, "трійка": 3, "троечка": 3,
    "четыре": 4, "четверка": 4, "четвёрка": 4, "four": 4, "чотири": 4, "четвірка": 4,
    "пять": 5, "пятерка": 5, "пятёрка": 5, "five": 5, "п'ять": 5, "п'ятірка": 5, "пятерочка": 5,
}  # fmt: skip
_NUMBER = "|".join(sorted(_NUMBERS, key=len, reverse=True))
_UNIT = r"(?:балл(?:а|ов|ы)?|бал(?:и|ів|а)?|зв[её]зд(?:а|ы|очк[аи])?|зір(?:ка|ки|ок)|points?|stars?)"
_OF = r"(?:\s?(?:из|з|із|/|of|out of)\s?(?:5|пяти|п'яти|five)\b)"
_MARK = (
    r"(?:отличн\w{1,4}|хорош\w{1,4}|спасибо\w{0,3}|благодар\w{1,5}|супер|всё|все|плохо|ужасн\w{1,3}|нормально|дякую"
    r"|дякуємо|"
    r"відмінно|добре|чудово|погано|жахливо|thanks?|thank|great|good|excellent|bad|poor|perfect|awesome|молодцы"
    r"|с плюсом)\b"
)
_LABEL = (
    r"(?:(?:моя |наша |ваша |my )?(?:оценка|оцінка|rating|score|mark|vote|оцениваю(?: на)?|оцінюю(?: на)?|ставлю"
    r"(?: вам)?"
    r"|поставлю|твердая|тверда|на)\s?[:—–=-]?\s?)"
)
_ALONE = re.compile(
    rf"(?P<label>{_LABEL})?[\"'«(*]{{0,2}}(?:(?P<digit>[1-5])\ufe0f?\u20e3?\+?|(?P<word>{_NUMBER}))[\"'»)*]{{0,2}}"
    rf"(?:{_OF}|\s?{_UNIT}\b{_OF}?)?(?P<rest>.*)\Z",
    re.IGNORECASE | re.DOTALL,
)
_INSIDE = re.compile(
    rf"(?<!\w)(?:оценка|оцінка|rating|score|ставлю|оцениваю на|оцінюю на)\s?[:—–=-]?\s?(?:(?P<digit>[1-5])"
    rf"|(?P<word>{_NUMBER}))"
    rf"(?:{_OF}|\s?{_UNIT}\b)?(?=\s*(?:[.!,;)]?\s*$|[.!,;)]\s+\D))",
    re.IGNORECASE | re.MULTILINE,
)
_STARS = re.compile(r"\s*((?:[⭐★🌟]\ufe0f?){1,5})(?:☆{0,4})\s*(?P<rest>.*)\Z", re.DOTALL)
_STAR = re.compile("[⭐★🌟]")
_GREETED = re.compile(
    r"(?:здравствуйте|добрый день|доброе утро|добрый вечер|привет|вітаю|добрий день|доброго дня|добридень|hello|hi|good"
    r" (?:morning|day|afternoon))[^\n.!,]{0,40}[\n.!,]+\s*",
    re.IGNORECASE,
)
_STOP = re.compile(
    r"(?:9|stop|стоп|unsubscribe|отпи(?:саться|сать|шите|шусь|ска)[^\n]{0,40}|відпи(?:сатися|сати|ска|шіть)[^\n]{0,40}"
    r"|(?:больше )?не (?:присылайте|отправляйте|спрашивайте)[^\n]{0,60}|(?:більше )?не (?:надсилайте|присилайте"
    r"|питайте)[^\n]{0,60}"
    r"|no more (?:surveys|questions)|(?:please )?(?:do not|don't|stop) (?:ask|send|survey)[^\n]{0,60})[.!\s]*",
    re.IGNORECASE,
)

_THANKS = listed("""
    спасибо благодарю благодарим благодарен благодарна благодарны спс пасиб спасибки мерси дякую дякуємо дяка вдячний
    вдячна вдячні спасибі thanks thank thx ty cheers appreciated
""")
_GREETINGS = listed("""
    здравствуйте здравствуй привет приветствую добрый доброе доброго вечер утро день дня суток вечера вітаю добридень
    привіт добрий доброго ранку ранок вечір вечора hello hi dear good morning day afternoon evening
""")
_POLITE = listed("""
    большое огромное вам вас вами тебе за и всем все всё помощь поддержку оперативность скорость быстро быструю быстрое
    быстрый ответ решение реакцию внимание работу отличную оперативную очень ещё еще раз заранее работает заработало
    заработал заработала заработали помогло помогли получилось решено решили решён решен хорошо отлично супер ок окей ok
    понятно понял поняла принято приняла принял получил получила получили ясно так уже теперь коллеги ваша ваш вашу
    велике щиро дуже вам вас вами тобі за й та і усім всім все допомогу підтримку оперативність швидкість швидко швидку
    швидка відповідь рішення увагу роботу ще раз працює запрацювало запрацював запрацювала допомогло вийшло вирішено
    добре чудово супер зрозуміло зрозумів зрозуміла прийнято отримав отримала отримали вже тепер колеги пане пані
    you very much so a lot many for your the help support quick fast response reply it works now working fine again all
    okay great perfect excellent got received understood team guys everyone is everything in advance and
    разобрались разобрался разобралась починили всего доброго наилучшего хорошего дня гарного
""")
_SIGN_OFF = re.compile(
    r"(?:^|[\n.!,]\s{0,3})(?:с уважением|с наилучшими пожеланиями|з повагою|із повагою|best regards|kind regards"
    r"|regards|best wishes|"
    r"sincerely|best,)\b.*\Z",
    re.IGNORECASE | re.DOTALL,
)
_WORDS = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_SHORT = 200


def rating(visible: str) -> tuple[int | None, str]:
    """(1-5, the rest as a comment) when a text answers "how did we do?", else (None, "").

    "5", "оценка 4", "пять из пяти", "1 балл, никто не приехал"; never "не работает 5 дней" or "3 принтера".
    """
    text = _signed_off(visible.replace("’", "'").replace("ʼ", "'")).strip()
    if not text or len(text) > 4000:
        return None, ""
    greeted = _GREETED.match(text)
    text = text[greeted.end() :].strip() if greeted else text
    return _stars(text) or _alone(text) or _inside(text) or (None, "")


def _stars(text: str) -> tuple[int, str] | None:
    found = _STARS.match(text)
    return (len(_STAR.findall(found[1])), found["rest"].strip()) if found else None


def _alone(text: str) -> tuple[int, str] | None:
    found = _ALONE.match(text)
    if not found:
        return None
    rest = found["rest"]
    named = found["label"] is not None or found.end("digit" if found["digit"] else "word") < found.start("rest") - 2
    if not _may_follow(rest, named=named):
        return None
    return _score(found), rest.strip(" \t\r\n.,!;:—–-)")


def _may_follow(rest: str, *, named: bool) -> bool:
    """Whether what stands after the number leaves it a rating."""
    if not rest.strip(" \t\r\n.!)") or re.match(r"[.!)]*[ \t]*\n\s*\D", rest):
        return True
    if re.match(r"\s*" + _MARK, rest, re.IGNORECASE):
        return True
    if named:
        return bool(re.match(r"[.,!;)—–:-]\s*(?!\d)", rest) or re.match(r"\s+[—–-]\s", rest))
    return bool(re.match(r"\s?[,!;]\s+(?!\d)\D|\s[—–-]\s+(?!\d)\D|[.]\s+" + _MARK, rest, re.IGNORECASE))


def _inside(text: str) -> tuple[int, str] | None:
    found = _INSIDE.search(text[:_SHORT])
    if not found:
        return None
    comment = f"{text[: found.start()]} {text[found.end() :]}"
    return _score(found), _SPACE.sub(" ", comment).strip(" .,!;:—–-)")


def _score(found: re.Match[str]) -> int:
    return int(found["digit"]) if found["digit"] else _NUMBERS[found["word"].lower()]


def stop_surveys(visible: str) -> bool:
    """Whether the text asks for no more surveys."""
    return len(visible) <= _SHORT and bool(_STOP.fullmatch(visible.strip()))


def thanks(visible: str) -> bool:
    """Whether there is nothing but thanks or a greeting (a name under a sign-off does not count)."""
    if not visible or len(visible) > 2 * _SHORT or "?" in visible:
        return False
    text = _signed_off(visible).lower().replace("’", "'")
    words = [word for word in _WORDS.findall(text) if len(word) > 1 or word in ("и", "й", "і", "a")]
    known = [word for word in words if word in _THANKS or word in _GREETINGS]
    if not known:
        return _signed_off(visible).strip(" \n") == "" and bool(visible.strip())
    strange = [word for word in words if word not in _THANKS and word not in _GREETINGS and word not in _POLITE]
    return not strange or _only_names(visible, strange)


def _only_names(visible: str, strange: list[str]) -> bool:
    """One or two words after a comma, each with a capital letter: "Спасибо, Анна Петровна!"."""
    return len(strange) <= 2 and all(
        re.search(rf",\s(?:[\w'-]+\s)?{re.escape(word.capitalize())}\b", visible) for word in strange
    )


def _signed_off(text: str) -> str:
    """Without "Best regards, …" at the end."""
    if len(text) <= 2 * _SHORT:
        return _SIGN_OFF.sub("", text)
    tail = text.rfind("\n\n")
    return text[:tail] if tail >= 0 and _SIGN_OFF.match(text[tail:].lstrip("\n")[:80]) else text
