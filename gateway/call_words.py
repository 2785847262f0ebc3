"""What is said in a call, in words: the texts that a step names, filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from string import Formatter

from gateway.dialogs.ivr_states import Ask, Bye, Listen, Prompts, Ring, Wire
from gateway.texts import Texts
from normalizer.call import Act, Collect, Connect, HangUp, Line, Lines, Piece, Record


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
        _line(texts.calls, prompt.language or language, prompt.text, {"desk": desk, **prompt.variables})
        for prompt in prompts
    )


def _line(calls: Mapping[str, Mapping[str, str]], language: str, text: str, variables: Mapping[str, object]) -> Line:
    template = calls[language][text]
    pieces = tuple(
        Piece(words=part.words, name=part.name) if part.name else Piece(words=str(variables[part.words]))
        for part in parts(text, template)
    )
    return Line(language=language, words=template.format_map(variables), pieces=pieces)


def parts(text: str, template: str) -> Iterator[Piece]:
    """A text cut at the places that are filled in: what stands around them has a name, of a place its own name are the
    words. What can be said in one breath keeps the text's name, else its parts are numbered: "told.1", "told.2"."""
    cut = [(literal.lstrip(" .,;:—-").rstrip(" ,;:—-"), place) for literal, place, _, _ in Formatter().parse(template)]
    named = sum(_is_said(literal) for literal, _ in cut)
    number = 0
    for literal, place in cut:
        if _is_said(literal):
            number += 1
            yield Piece(words=literal, name=text if named == 1 else f"{text}.{number}")
        if place is not None:
            yield Piece(words=place)


def _is_said(literal: str) -> bool:
    return any(letter.isalnum() for letter in literal)
