"""What is said in a call, in words: the texts that a step names, filled in."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.dialogs.ivr_states import Ask, Bye, Listen, Prompts, Ring, Wire
from gateway.texts import Texts
from normalizer.call import Act, Collect, Connect, HangUp, Line, Lines, Record


def act(wire: Wire, texts: Texts, *, language: str, desk: str) -> Act:
    """What the line is told to do. Raises KeyError for a text, or a name in one, that is not there."""
    lines = _lines(wire.prompts, texts, language, desk)
    match wire:
        case Ask():
            return Collect(lines=lines, most=wire.most, finish=wire.finish, seconds=wire.seconds)
        case Listen():
            return Record(lines=lines, longest=wire.longest, silence=wire.silence)
        case Ring():
            return Connect(lines=lines, number=wire.number, seconds=wire.seconds)
        case Bye():
            return HangUp(lines=lines)


def _lines(prompts: Prompts, texts: Texts, language: str, desk: str) -> Lines:
    return tuple(
        Line(language=spoken, words=_words(texts.calls[spoken], prompt.text, {"desk": desk, **prompt.variables}))
        for prompt in prompts
        for spoken in (prompt.language or language,)
    )


def _words(named: Mapping[str, str], text: str, variables: Mapping[str, object]) -> str:
    return named[text].format_map(variables)
