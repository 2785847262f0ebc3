"""Short answers by text message: a digit for a survey, and the words that say what one wants of us (STOP)."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from normalizer.mail import answers
from normalizer.wordlists import listed

Wish: TypeAlias = Literal["stop", "start", "help"]

FAR_SIDES: dict[Wish, frozenset[str]] = {
    "stop": listed("stop stopall unsubscribe cancel end quit revoke optout"),
    "start": listed("start unstop"),
    "help": listed("help info"),
}
"""Words that Twilio itself acts on (its default keywords). YES is none of ours: it answers questions."""
OURS: dict[Wish, frozenset[str]] = {
    "stop": listed("стоп відмова отказ отписаться отписка відписатися відписка"),
    "start": listed("старт"),
    "help": listed("помощь допомога"),
}
_AROUND = " \t\r\n.!,;:\"'«»()*"
_FAILS = re.compile(
    r"\b(?:не (?:работает|помогло|решен\w*|решён\w*|исправ\w+|заработал\w*|открывается|включается|печатает|приехал\w*"
    r" и не)|(?:опять|снова|всё ещё|все еще|по-прежнему) (?:не|сломал\w*|пропал\w*|то же|тоже|виснет|ошибк\w+)"
    r"|не (?:включа\w+|вмика\w+|запуска\w+|грузит\w*|подключа\w+|отвечает|відповідає)"
    r"|(?:лежит|лежат|лежить|лежать|виснет|висне|зависает|зависає|недоступ(?:ен|на|но|ны|ний|ні))\b"
    r"|(?:все|всё|усе|всі|усі) (?:\w+ )?(?:слома|упал|завис|пропал|зламал|впал|зник)\w*"
    r"|не (?:працює|допомогло|вирішен\w*|виправ\w+|запрацювал\w*|відкривається|вмикається|друкує)"
    r"|(?:знову|досі|все ще|й далі) (?:не|зламал\w*|зник\w*|те саме|висне|помилк\w+)"
    r"|(?:still|again) (?:not|no|broken|fails?|failing|down|the same|does|doesn't|doesn’t|is|isn't|isn’t|won't)"
    r"|(?:not|isn't|isn’t) (?:working|fixed|solved|resolved)|(?:doesn't|doesn’t|does not|won't) work)",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"\?|\b(?:перезвон|позвоните|пришлите|приезжайте|подскажите|помогите|сделайте|почините|исправьте|нужн[оаы]?\b|надо\b"
    r"|зателефонуйте|передзвон|надішліть|приїдьте|приїжджайте|підкажіть|допоможіть|зробіть|полагодьте|потріб|треба\b"
    r"|need\b|call (?:me|us)|send\b|come\b|help (?:me|us))",
    re.IGNORECASE,
)


def wish(text: str) -> tuple[Wish | None, bool]:
    """(what the whole message asks for, whether it is a word that Twilio answers itself); (None, False): nothing.

    Never a word within a sentence.
    """
    word = text.strip(_AROUND).lower()
    for known, theirs in ((FAR_SIDES, True), (OURS, False)):
        for asked, listed_words in known.items():
            if word in listed_words:
                return asked, theirs
    return None, False


def fails(text: str) -> bool:
    """The words say that it still, or again, does not work."""
    return _FAILS.search(text) is not None


def rating(text: str) -> tuple[int | None, str]:
    """(1-5, comment) as by mail; (None, "") also where the words say that it fails, or ask something: a vote wakes
    nobody, and that is for the desk."""
    score, comment = answers.rating(text)
    return (None, "") if score is not None and (_ASKS.search(comment) or fails(comment)) else (score, comment)
