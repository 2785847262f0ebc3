"""`gateway prompts`: what a telephone of our own plays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from channels.speech import DIGIT, NoSpeech, Speaks, Speech
from gateway import call_words
from gateway.cli.options import Failed, Misused, invocation
from gateway.settings import Settings
from gateway.settings_files import Configuration, ConfigurationError, load
from normalizer.call import Piece

CHANNEL = "voice"
app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="What a telephone of our own (provider: sip) plays to callers."
)
Account = Annotated[str, typer.Option(help="Of this account only.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """One thing that is played."""

    language: str
    piece: Piece


@app.command()
def make(account: Account = "") -> None:
    """Make a sound of every text of calls.yaml and of the digits, by espeak-ng; what is made already stays.

    A running gateway makes what is missing when somebody waits for it; after this nobody waits. Recorded ones
    (`channels.voice.<account>.recorded`) win. Exit code 1: some could not be made.
    """
    loaded = _loaded()
    failed = 0
    for name, speech in _telephones(loaded.settings, account).items():
        made = recorded = 0
        for sound in sounds(loaded.texts.calls, loaded.calls.languages):
            recorded += speech.is_recorded(sound.language, sound.piece.name)
            try:
                speech.of_piece(sound.language, sound.piece)
                made += 1
            except (NoSpeech, OSError) as error:
                failed += 1
                typer.echo(f"{name}: {sound.language}/{sound.piece.name}: {error}", err=True)
        typer.echo(f"{name}: {made} sounds in {speech.made}, {recorded} of them recorded ones")
    if failed:
        raise Failed(f"{failed} sounds could not be made")


@app.command("list")
def list_(account: Account = "") -> None:
    """Names and words of the sounds, for whoever records them: each goes to <recorded>/<language>/<name>.wav.

    WAV of 16 bits, one or two channels, any rate. `*` stands before those that are recorded.
    """
    loaded = _loaded()
    for name, speech in _telephones(loaded.settings, account).items():
        typer.echo(f"{name}: recorded ones are looked for in {speech.recorded or '(recorded is not set)'}")
        for sound in sounds(loaded.texts.calls, loaded.calls.languages):
            mark = "*" if speech.is_recorded(sound.language, sound.piece.name) else " "
            typer.echo(f"{mark} {sound.language}/{sound.piece.name}.wav  {sound.piece.words.strip()}")


def sounds(calls: Mapping[str, Mapping[str, str]], languages: tuple[str, ...]) -> Iterator[Sound]:
    """Everything that is known before somebody calls, in the languages that callers choose from."""
    for language in languages:
        for text, template in calls.get(language, {}).items():
            for part in call_words.parts(text, template):
                if part.name:
                    yield Sound(language=language, piece=part)
        for digit in "0123456789":
            yield Sound(language=language, piece=Piece(name=DIGIT.format(digit), words=digit))


def _loaded() -> Configuration:
    asked = invocation()
    try:
        return load(asked.config, overrides=asked.overrides)
    except ConfigurationError as error:
        raise Misused(f"{len(error.problems)} problems in {asked.config}; `gateway check` lists them") from error


def _telephones(settings: Settings, account: str) -> dict[str, Speech]:
    var: Path = invocation().var
    found = {
        name: one.speech(var)
        for name, one in settings.accounts(CHANNEL).items()
        if isinstance(one, Speaks) and account in ("", name)
    }
    if not found:
        named = f" {account}" if account else ""
        raise Misused(f"there is no telephone of our own{named}: channels.voice.<name> with provider: sip")
    return found
