"""What a bot answers: `step(state, event)` gives the next state and the actions, and does nothing itself.

Whatever happens is answered: a command by a message, a pressed button by a toast, a message by being passed on
to the desk or taken as what was asked for. Texts are named, not written, here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

from gateway.dialogs.states import (
    AboutSurvey,
    Action,
    Awaits,
    AwaitsAddress,
    AwaitsCode,
    AwaitsComment,
    Choice,
    Choices,
    Commanded,
    Edit,
    Event,
    Heard,
    Nothing,
    Outcome,
    Pass,
    Result,
    Say,
    SendCode,
    SetLanguage,
    SetWish,
    ShowTickets,
    State,
    TakeComment,
    Toast,
    TryCode,
    Unlink,
    UseLink,
    UsePhone,
    Voted,
    VoteOutcome,
    Wish,
)
from normalizer.message import OWN_NUMBER

Step: TypeAlias = tuple[State, tuple[Action, ...]]

CODE_LIFE = timedelta(minutes=15)
"""How long a code that was sent by mail counts."""
TRIES = 5
"""Wrong codes after which a new one must be asked for."""
COMMENT_LIFE = timedelta(hours=1)
"""How long after a low mark the next words are taken as the comment."""
LANGUAGES: Mapping[str, str] = {"uk": "Українська", "ru": "Русский", "en": "English"}
_TOKEN = re.compile(r"[0-9a-f]{48}")
"""A one-time token of a deep link; any other argument of /start came with an advertisement."""
_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[^\s@<>,;:\"()\[\]\\]{1,250}\.[^\s@.<>,;:\"()\[\]\\]{2,63}")
_CODE = re.compile(r"[0-9]{4,8}")
_BROKEN = re.compile(
    r"\bне\s+(?:работа|включа|открыва|запуска|печата|помог|реш|исправ|восстанов"
    r"|працю|вмика|відкрива|запуска|друку|допомог|виріш|виправ)"
    r"|\b(?:still|again)\b[^.!?\n]{0,40}\b(?:not|broken|fail\w*|down|same|wrong|happen\w*|problem)\b"
    r"|\b(?:not|never|isn.t|doesn.t|didn.t|don.t)\s+(?:work|fix|solv|help|print|open|start)\w*"
    r"|\b(?:опять|снова|знову)\b|проблема\s+(?:осталась|залишил)|\b(?:всё|все)\s+(?:ещё|еще|ще)\s+не\b",
    re.IGNORECASE,
)


def step(state: State, event: Event) -> Step:
    """The next state and what is to be done. Never raises, whatever comes in whatever order."""
    match event:
        case Commanded():
            return _HANDLERS.get(event.name, _unknown)(state, event)
        case Heard():
            return _heard(state, event)
        case Voted():
            return _voted(state, event)
        case Outcome():
            return _ended(state, event)
        case _ as never:
            assert_never(never)


def still_broken(text: str) -> bool:
    """The words say that the problem remains, in one of the three languages; only ever offers a button."""
    return _BROKEN.search(text[:4000]) is not None


# -- commands -----------------------------------------------------------------------------


def language_choices() -> Choices:
    """One button each, in its own language."""
    return tuple((Choice(word=name, data=f"language:{code}"),) for code, name in LANGUAGES.items())


def _answered(event: Commanded, *actions: Action) -> tuple[Action, ...]:
    """A pressed button waits for an answer beside whatever else happens."""
    return (*actions, Toast()) if event.pressed else actions


def _start(state: State, event: Commanded) -> Step:
    wish = SetWish(stop=False)
    choices = () if event.language_known else language_choices()
    greeting: Action = Say(text="resumed" if event.stopped else "start", choices=choices)
    if event.private and _TOKEN.fullmatch(event.argument):
        link = UseLink(token=event.argument)
        actions = (wish, link) if event.language_known else (wish, link, greeting)
        return replace(state, fresh=False), _answered(event, *actions)
    return state, _answered(event, wish, greeting)


def _help(state: State, event: Commanded) -> Step:
    return state, _answered(event, Say(text="help"))


def _new(state: State, event: Commanded) -> Step:
    return replace(state, fresh=True, awaits=Nothing()), _answered(event, Say(text="new"))


def _status(state: State, event: Commanded) -> Step:
    answer: Action = ShowTickets() if event.private else Say(text="private")
    return state, _answered(event, answer)


def _language(state: State, event: Commanded) -> Step:
    chosen = event.argument.strip().lower()
    if chosen not in LANGUAGES:
        return state, _answered(event, Say(text="language", choices=language_choices()))
    actions: tuple[Action, ...] = (SetLanguage(language=chosen),)
    if event.pressed:
        # In a group the question was somebody else's, and stays for them.
        shown: tuple[Action, ...] = (Edit(text="language_set"),) if event.edits and event.private else ()
        return state, (*actions, *shown, Toast())
    return state, (*actions, Say(text="language_set"))


def _stop(state: State, event: Commanded) -> Step:
    return replace(state, awaits=Nothing()), _answered(event, SetWish(stop=True), Say(text="stop"))


def _link(state: State, event: Commanded) -> Step:
    if not event.private:
        return state, _answered(event, Say(text="private"))
    address = _address(event.argument)
    if not address:
        return replace(state, awaits=AwaitsAddress()), _answered(event, Say(text="link_ask"))
    return _send_code(state, address, event.at)


def _address(text: str) -> str:
    """A mail address that stands alone; "" for anything else."""
    text = text.strip()
    return text if len(text) <= 320 and _ADDRESS.fullmatch(text) else ""


def _send_code(state: State, address: str, at: datetime) -> Step:
    return replace(state, awaits=AwaitsCode(until=at + CODE_LIFE)), (SendCode(address=address),)


def _unlink(state: State, event: Commanded) -> Step:
    return state, (Unlink(),) if event.private else _answered(event, Say(text="private"))


def _phone(state: State, event: Commanded) -> Step:
    digits = re.sub(r"[^0-9]", "", event.argument)
    if not event.private or event.pressed or not 7 <= len(digits) <= 15:
        return state, _shrug(event)
    return state, (UsePhone(number=f"+{digits}"),)


def _unknown(state: State, event: Commanded) -> Step:
    return state, _shrug(event)


def _shrug(event: Commanded) -> tuple[Action, ...]:
    return (Toast(text="expired"),) if event.pressed else (Say(text="unknown"),)


def _about(what: Wish) -> Callable[[State, Commanded], Step]:
    """A button under a survey; typed as a command it means nothing."""

    def handle(state: State, event: Commanded) -> Step:
        if not event.pressed:
            return state, (Say(text="unknown"),)
        return state, (AboutSurvey(what=what, token=event.argument),)

    return handle


COMMANDS: Mapping[str, Callable[[State, Commanded], Step]] = {
    "start": _start,
    "help": _help,
    "new": _new,
    "status": _status,
    "language": _language,
    "link": _link,
    "unlink": _unlink,
    "stop": _stop,
}
"""What people can type."""
_HANDLERS: Mapping[str, Callable[[State, Commanded], Step]] = {
    **COMMANDS,
    OWN_NUMBER: _phone,
    "no_surveys": _about("no_surveys"),
    "reopen": _about("reopened"),
    "change": _about("change"),
    "comment": _about("comment"),
}
MENU = ("new", "status", "language", "link", "stop", "help")
"""Commands that the bot's menu shows, in this order."""


# -- messages -----------------------------------------------------------------------------


def _heard(state: State, event: Heard) -> Step:
    match state.awaits:
        case AwaitsAddress():
            address = _address(event.text) if event.plain else ""
            done = replace(state, awaits=Nothing())
            return _send_code(done, address, event.at) if address else _passed(done, event)
        case AwaitsCode() as code if event.plain and _CODE.fullmatch(re.sub(r"[\s-]+", "", event.text)):
            return _code(state, code, event)
        case AwaitsComment(survey=survey, until=until) if event.plain and event.opens and not event.votes:
            if event.at <= until:
                return replace(state, awaits=Nothing()), (TakeComment(survey=survey),)
            return _passed(replace(state, awaits=Nothing()), event)
        case _:
            return _passed(state, event)


def _code(state: State, code: AwaitsCode, event: Heard) -> Step:
    if event.at > code.until:
        return replace(state, awaits=Nothing()), (Say(text="link_expired"),)
    tried = replace(state, awaits=replace(code, tries=code.tries + 1))
    return tried, (TryCode(code=re.sub(r"[\s-]+", "", event.text)),)


def _passed(state: State, event: Heard) -> Step:
    if not (state.fresh and event.opens):
        return state, (Pass(),)
    return replace(state, fresh=False), (Pass(fresh=True),)


# -- marks --------------------------------------------------------------------------------

_AFTER: Choices = ((Choice(word="comment", data="comment:{survey}"), Choice(word="change", data="change:{survey}")),)
_AFTER_LOW: Choices = (
    (Choice(word="problem", data="reopen:{survey}"),),
    (Choice(word="change", data="change:{survey}"),),
)
MARKS: Choices = (
    *((Choice(word=f"mark{score}", data=f"rate:{{survey}}:{score}"),) for score in (5, 4, 3, 2, 1)),
    (Choice(word="problem", data="reopen:{survey}"),),
    (Choice(word="no_surveys", data="no_surveys:{survey}"),),
)
"""The five marks in words, the best one first, the problem that remains, and the way out."""
NOT_COUNTED: Mapping[VoteOutcome, str] = {
    "fixed": "closed",
    "expired": "closed",
    "not_yours": "not_yours",
    "gone": "expired",
}
"""Why a mark did not count -> the words that say so."""


def _voted(state: State, event: Voted) -> Step:
    if event.outcome != "counted":
        text = NOT_COUNTED[event.outcome]
        return state, (Toast(text=text) if event.pressed else Say(text=f"press_{text}"),)
    text, choices = ("rated_low", _AFTER_LOW) if event.low else ("rated", _AFTER)
    score = {"score": event.score}
    shown: Action = (
        Edit(text=text, variables=score, choices=choices, survey=event.survey)
        if event.edits
        else Say(text=text, variables=score, choices=choices, survey=event.survey)
    )
    waits = AwaitsComment(survey=event.survey, until=event.at + COMMENT_LIFE)
    awaits = waits if event.low else _without(state, event.survey)
    toast: tuple[Action, ...] = (Toast(text="rated", variables=score),) if event.pressed else ()
    return replace(state, awaits=awaits), (shown, *toast)


def _without(state: State, survey: int) -> Awaits:
    match state.awaits:
        case AwaitsComment(survey=asked) if asked == survey:
            return Nothing()
        case other:
            return other


# -- what became of actions ---------------------------------------------------------------


def _ended(state: State, event: Outcome) -> Step:
    return _ENDS.get(event.result, _told)(state, event)


def _told(state: State, event: Outcome) -> Step:
    toast = _TOASTS.get(event.result)
    if toast is not None:
        return state, (Toast(text=toast) if event.pressed else Say(text=f"press_{toast}"),)
    return state, (Say(text=event.result), *_toast(event))


_TOASTS: Mapping[Result, str] = {"gone": "expired", "not_yours": "not_yours"}
"""What is said to the one who pressed, and to nobody else."""


def _toast(event: Outcome) -> tuple[Action, ...]:
    return (Toast(),) if event.pressed else ()


def _linked(state: State, event: Outcome) -> Step:
    undo: Choices = ((Choice(word="undo", data="unlink:"),),)
    said = Say(text="linked", variables={"address": event.address}, choices=undo)
    return replace(state, awaits=Nothing()), (said, *_toast(event))


def _wrong(state: State, event: Outcome) -> Step:
    match state.awaits:
        case AwaitsCode(tries=tries) if tries < TRIES:
            return state, (Say(text="link_wrong", variables={"left": TRIES - tries}), *_toast(event))
        case _:
            return replace(state, awaits=Nothing()), (Say(text="link_wrong", variables={"left": 0}), *_toast(event))


def _sent(state: State, event: Outcome) -> Step:
    minutes = int(CODE_LIFE.total_seconds()) // 60
    return state, (Say(text="link_code", variables={"minutes": minutes}), *_toast(event))


def _often(state: State, event: Outcome) -> Step:
    return replace(state, awaits=Nothing()), (Say(text="often"), *_toast(event))


def _unlinked(state: State, event: Outcome) -> Step:
    said: Action = Edit(text="unlinked") if event.edits else Say(text="unlinked")
    return state, (said, *_toast(event))


def _marks_again(state: State, event: Outcome) -> Step:
    if event.edits:
        return state, (Edit(text="survey", choices=MARKS, survey=event.survey), *_toast(event))
    return state, (Say(text="survey", choices=MARKS, survey=event.survey), *_toast(event))


def _comment_asked(state: State, event: Outcome) -> Step:
    awaits = AwaitsComment(survey=event.survey, until=event.at + COMMENT_LIFE)
    return replace(state, awaits=awaits), (Say(text="comment_ask", survey=event.survey), *_toast(event))


def _reopened(state: State, event: Outcome) -> Step:
    # What they write now is about the problem, and goes to the ticket.
    said = Say(text="reopened", survey=event.survey)
    return replace(state, awaits=_without(state, event.survey)), (said, *_toast(event))


_ENDS: Mapping[Result, Callable[[State, Outcome], Step]] = {
    "linked": _linked,
    "code_wrong": _wrong,
    "code_sent": _sent,
    "often": _often,
    "unlinked": _unlinked,
    "change": _marks_again,
    "comment": _comment_asked,
    "reopened": _reopened,
}


def comment_taken(text: str, survey: int) -> Say:
    """What is said to a comment; who writes that it still fails gets the button that reopens the ticket."""
    offer: Choices = ((Choice(word="problem", data="reopen:{survey}"),),) if still_broken(text) else ()
    return Say(text="commented", choices=offer, survey=survey)
