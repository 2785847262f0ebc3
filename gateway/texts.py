"""The texts of notices and pages: read from `config/texts/<language>/` once, checked, and filled in.

A notice's text is `<template>.<form>.txt`. In the mail form it is an optional `Subject:` line, an empty line, the
body, and its HTML is made from the same text; in the other forms it is the text alone. Jinja2 runs sandboxed; a
name that nobody gives is an error, never an empty place.
"""

from __future__ import annotations

import re
import traceback
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from jinja2 import FunctionLoader, StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway import yaml_files
from gateway.text_html import Rendered, clean, layout, link, words
from gateway.text_names import BOT_TEXTS, EXPECTED, FORMS, TEMPLATES, TO_REQUESTER, TO_STAFF
from gateway.text_samples import samples
from gateway.yaml_files import Problem

__all__ = [
    "BOT_TEXTS",
    "FALLBACKS",
    "FORMS",
    "LANGUAGES",
    "TEMPLATES",
    "TO_REQUESTER",
    "TO_STAFF",
    "Rendered",
    "TextFailure",
    "Texts",
    "load",
    "problems",
]

FOLDER = "texts"
LANGUAGES = ("ru", "uk", "en")
SUFFIX = ".txt"
PAGES, CALLS = "pages.yaml", "calls.yaml"
NO_SUBJECT = "no subject"
KEPT_FAILURES = 1000
SUBJECT = "subject"
"""The template of the subject line of every text that has none of its own."""

FALLBACKS: Mapping[str, tuple[str, str]] = {
    "ru": ("Заявка {number} [#{number}]", "По заявке {number} есть новости.\n\n{words}\n\n{url}\n\n{desk}"),
    "uk": ("Заявка {number} [#{number}]", "Щодо заявки {number} є новини.\n\n{words}\n\n{url}\n\n{desk}"),
    "en": ("Ticket {number} [#{number}]", "There is news about ticket {number}.\n\n{words}\n\n{url}\n\n{desk}"),
}
"""Language -> subject and body of what goes out when a template fails: plain, but never without a person's words."""

Variables: TypeAlias = Mapping[str, Any]
_SUBJECT_LINE = re.compile(r"\ASubject:[ \t]*(?P<subject>[^\n]*)\n(?:[ \t]*\n)*", re.IGNORECASE)
_LINE = re.compile(r"\s+")


class TextFailure(Exception):
    """A template could not be filled in; the text says which one and why, and quotes nothing of a person's."""


class Failures:
    """What could not be filled in lately, so that staff can be told. Safe to use from several threads."""

    __slots__ = ("_by_row",)

    def __init__(self) -> None:
        self._by_row: OrderedDict[int, str] = OrderedDict()

    def add(self, row_id: int, why: str) -> None:
        """A notice went out as the plain text."""
        self._by_row[row_id] = why
        while len(self._by_row) > KEPT_FAILURES:
            self._by_row.popitem(last=False)

    def why(self, row_id: int) -> str:
        """Why this notice went out as the plain text; "" when it did not."""
        return self._by_row.get(row_id, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Every text in every language. Empty: everything goes out as the plain fallback."""

    templates: Mapping[tuple[str, str, str], tuple[Template, Template]] = field(default_factory=dict)
    """(language, template, form) -> subject and body."""
    pages: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Language -> words of the web pages by name."""
    calls: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Language -> what callers hear, by name."""
    failures: Failures = field(default_factory=Failures)

    def fill(self, language: str, template: str, form: str, variables: Variables) -> Rendered:
        """Subject, text and HTML. Raises TextFailure."""
        found = self.templates.get((language, template, form))
        if found is None:
            raise TextFailure(f"there is no text {language}/{template}.{form}{SUFFIX}")
        try:
            subject, body = (part.render(variables) for part in found)
        except Exception as error:  # a template may do anything; the caller has a plain text instead
            raise TextFailure(f"{language}/{template}.{form}{SUFFIX}: {type(error).__name__}: {error}") from error
        made = layout(_LINE.sub(" ", subject).strip(), body, language=language, brand=str(variables.get("desk", "")))
        return made if form == "mail" else _bare(made)

    def fallback(self, language: str, *, number: str, said: str, url: str, desk: str, form: str = "mail") -> Rendered:
        """The plain text instead; `said` is what a person wrote. Without a ticket (an alert) it is that alone."""
        subject, body = FALLBACKS.get(language, FALLBACKS["en"]) if number else ("{desk}", "{words}")
        filled = body.format(number=number, words=words(said) if said else "", url=clean(url), desk=clean(desk))
        made = layout(subject.format(number=number, desk=clean(desk)), filled, language=language, brand=desk)
        return made if form == "mail" else _bare(made)


def _bare(made: Rendered) -> Rendered:
    """The text alone, to the last letter: a line feed at its end would cost a text message."""
    return Rendered(subject="", text=made.text.strip(), html="")


def shipped() -> Path:
    """The folder of the texts that come with the program."""
    packaged = Path(__file__).parent / "default_config" / FOLDER
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "config" / FOLDER


def load(config: Path) -> tuple[Texts | None, list[Problem]]:
    """Read and check the texts of a configuration folder: the texts, or None beside every problem found.

    A file that the folder has takes the place of the shipped one of the same name; the others stay.
    """
    found: list[Problem] = []
    templates: dict[tuple[str, str, str], tuple[Template, Template]] = {}
    pages: dict[str, Mapping[str, str]] = {}
    calls: dict[str, Mapping[str, str]] = {}
    for language in LANGUAGES:
        folders = tuple(dict.fromkeys(folder / language for folder in (shipped(), (config / FOLDER).resolve())))
        templates |= _language(folders, language, found)
        pages[language] = _named([folder / PAGES for folder in folders], found)
        calls[language] = _named([folder / CALLS for folder in folders], found)
    return (None if found else Texts(templates=templates, pages=pages, calls=calls)), sorted(set(found))


def problems(config: Path) -> list[Problem]:
    """Every fault of the texts, as `gateway check` shows them: missing, not parsed, or not to be filled in."""
    return load(config)[1]


# -- one language -------------------------------------------------------------------------


def _language(
    folders: Sequence[Path], language: str, found: list[Problem]
) -> dict[tuple[str, str, str], tuple[Template, Template]]:
    sources, places = _sources(folders, found)
    sources[NO_SUBJECT] = ""
    environment = _environment(sources)
    compiled: dict[tuple[str, str, str], tuple[Template, Template]] = {}
    for form, template in ((form, template) for form, templates in EXPECTED for template in templates):
        name = f"{template}.{form}{SUFFIX}"
        if name not in sources:
            found.append(_problem(folders[-1] / name, 0, "is missing; every notice has a text in every language"))
            continue
        try:
            pair = _subject(environment, sources, name, form), environment.get_template(name)
            _try(pair, template)
        except TemplateError as error:
            found.append(_fault(name, error, places))
        else:
            compiled[language, template, form] = pair
    return compiled


def _subject(environment: ImmutableSandboxedEnvironment, sources: Mapping[str, str], name: str, form: str) -> Template:
    """A text's own subject, else that of its form; only mail has any."""
    own, shared = f"{name}:{SUBJECT}", f"{SUBJECT}.{form}{SUFFIX}"
    return environment.get_template(NO_SUBJECT if form != "mail" else own if own in sources else shared)


@dataclass(frozen=True, slots=True)
class _Place:
    path: Path
    offset: int
    """Lines before the body."""


def _sources(folders: Sequence[Path], found: list[Problem]) -> tuple[dict[str, str], dict[str, _Place]]:
    """Name -> source, subjects apart, and where it came from. Later folders win."""
    sources: dict[str, str] = {}
    places: dict[str, _Place] = {}
    for path in (path for folder in folders for path in sorted(folder.glob(f"*{SUFFIX}"))):
        try:
            source = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            found.append(_problem(path, 0, f"cannot be read: {error}; save it as UTF-8"))
            continue
        sources.pop(f"{path.name}:{SUBJECT}", None)
        match = _SUBJECT_LINE.match(source)
        if match is not None:
            sources[f"{path.name}:{SUBJECT}"] = match["subject"]
            places[f"{path.name}:{SUBJECT}"] = _Place(path, 0)
        sources[path.name] = source[match.end() :] if match else source
        places[path.name] = _Place(path, match[0].count("\n") if match else 0)
    return sources, places


def _environment(sources: Mapping[str, str]) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        # The name stands for the file in tracebacks, which say where filling in failed.
        loader=FunctionLoader(lambda name: (sources[name], name, None) if name in sources else None),
        undefined=StrictUndefined,
        # Plain text: what goes into HTML is escaped by `text_html`, after filling in.
        autoescape=False,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        finalize=clean,
        auto_reload=False,
    )
    environment.globals = {"link": link, "words": words}
    return environment


def _try(pair: tuple[Template, Template], template: str) -> None:
    for sample in samples(template):
        for part in pair:
            try:
                part.render(sample)
            except TemplateError:
                raise
            except Exception as error:
                raise TemplateError(f"{type(error).__name__}: {error}").with_traceback(error.__traceback__) from error


def _fault(name: str, error: TemplateError, places: Mapping[str, _Place]) -> Problem:
    """The place of a fault: a syntax error says it, one in filling in is looked up in its traceback."""
    where, line = getattr(error, "name", None), getattr(error, "lineno", None)
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((frame for frame in reversed(frames) if frame.filename in places), None)
    if line is None and frame is not None:
        where, line = frame.filename, frame.lineno
    said = error.message or type(error).__name__
    known = places.get(where or name) or places.get(name)
    if known is None:
        return _problem(Path(name), 0, said)
    return _problem(known.path, line + known.offset if line else 0, said)


def _problem(path: Path, line: int, message: str) -> Problem:
    return Problem(file=str(path), line=line, column=1 if line else 0, key="", message=message)


# -- words by name: of pages, of calls ----------------------------------------------------


def _named(paths: Sequence[Path], found: list[Problem]) -> Mapping[str, str]:
    """The words of one language, the later file's in front."""
    merged: dict[str, str] = {}
    for path in paths:
        if not path.exists():
            continue
        document = yaml_files.read(path)
        data = document.data if isinstance(document.data, dict) else {}
        for key, value in data.items():
            if not isinstance(value, str):
                document.problem((key,), 'should be text; put it in quotes: "…"')
            elif merged and path is not paths[0] and key not in merged:
                document.problem((key,), "is not a known key", of_key=True)
            elif places(value) - places(merged.get(key, value)):
                document.problem((key,), f"may use {', '.join(sorted(places(merged[key]))) or 'no {name}'} only")
        found += document.problems
        merged |= {str(key): str(value) for key, value in data.items()}
    return merged


def places(words: str) -> frozenset[str]:
    """The names in braces: {number}, {score}."""
    return frozenset(re.findall(r"\{(\w*)\}", words))
