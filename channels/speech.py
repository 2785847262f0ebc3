"""Words as sound files, for a telephone that plays files: recorded ones where the desk has some, else made ones.

What is made is kept, under a name that changes with the words and the voice: a changed text is made anew. Everything is
8000 Hz, 16 bits, one channel. espeak-ng: https://github.com/espeak-ng/espeak-ng/blob/master/docs/guide.md
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import wave
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from channels.resampling import resampled
from normalizer.call import Line, Piece

PROGRAM = "espeak-ng"
RATE = 8000
WITHIN = 30.0
"""Seconds for one piece."""
LONGEST = 2000
"""Characters of a piece that are said; nobody listens longer."""
PAUSE = "pause"
"""Name of the sound of nothing between two pairs of digits."""
PAUSE_SECONDS = 0.3
QUIET, MARGIN = 200, RATE // 25
"""Level of a sample below which nothing is heard, and samples of quiet that stay on each side."""
DIGIT = "digit_{}"
_NUMBER = re.compile(r"[0-9]+(?:[ ,]+[0-9]+)*")
_COMMANDS = str.maketrans({"[": " ", "]": " ", "<": " ", ">": " "})
"""What espeak-ng could read as phonemes or marks."""


class NoSpeech(Exception):
    """These words cannot be said; the text says why, for an engineer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """Where sounds come from."""

    made: Path
    """Folder of what was made: `<language>/<name>.<mark>.wav`; the mark stands for the words and the voice."""
    recorded: Path | None = None
    """Folder of recorded ones: `<language>/<name>.wav`, of any rate; they win."""
    voices: Mapping[str, str] = field(default_factory=dict)
    """Language -> voice of the program; the language's own name where nothing is said."""
    speed: int = 150
    """Words in a minute."""

    def of_line(self, line: Line) -> tuple[list[Path], list[str]]:
        """The files of a line in order, and why some are missing. Takes seconds where something must be made."""
        files: list[Path] = []
        missing: list[str] = []
        for piece in line.pieces or (Piece(words=line.words),):
            for part in spelled(piece):
                try:
                    files.append(self.of_piece(line.language, part))
                except (NoSpeech, OSError) as error:
                    missing.append(str(error))
        return files, missing

    def of_piece(self, language: str, piece: Piece) -> Path:
        """The file that says this. Raises NoSpeech or OSError."""
        if piece.name and self.recorded is not None:
            own = self.recorded / language / f"{piece.name}.wav"
            if own.is_file():
                return self._converted(language, piece.name, own)
        known = self.made / language / f"{piece.name or 'said'}.{self._mark(language, piece.words)}.wav"
        if not known.is_file():
            self._make(language, piece.words, known)
        return known

    def is_recorded(self, language: str, name: str) -> bool:
        """Whether somebody recorded this one."""
        return self.recorded is not None and (self.recorded / language / f"{name}.wav").is_file()

    def _mark(self, language: str, words: str) -> str:
        said = f"{self.voices.get(language, language)}\n{self.speed}\n{words}"
        return hashlib.sha256(said.encode()).hexdigest()[:12]

    def _converted(self, language: str, name: str, own: Path) -> Path:
        seen = own.stat()
        known = self.made / language / f"{name}.recorded-{seen.st_mtime_ns:x}-{seen.st_size:x}.wav"
        if not known.is_file():
            _write(known, _read(own))
        return known

    def _make(self, language: str, words: str, known: Path) -> None:
        if not words:
            _write(known, array("h", bytes(int(PAUSE_SECONDS * RATE) * 2)))
            return
        program = shutil.which(PROGRAM)
        if program is None:
            raise NoSpeech(f"{PROGRAM} is not installed, and {known.name} is not made")
        with tempfile.TemporaryDirectory(prefix="speech-") as folder:
            raw = Path(folder) / "said.wav"
            command = [program, "-v", self.voices.get(language, language), "-s", str(self.speed), "-w", str(raw)]
            said = words[:LONGEST].translate(_COMMANDS)
            try:
                subprocess.run([*command, "--stdin"], input=said.encode(), check=True, capture_output=True,
                               timeout=WITHIN)  # fmt: skip
            except (subprocess.SubprocessError, OSError) as error:
                raise NoSpeech(f"{PROGRAM} did not say {known.name}: {type(error).__name__}") from error
            _write(known, _trimmed(_read(raw)))


@runtime_checkable
class Speaks(Protocol):
    """Add-on of an account: its channel plays sounds that are made of texts."""

    def speech(self, data: Path) -> Speech:
        """Where they come from; `data` is the data folder."""
        ...

    def lacks(self) -> Sequence[str]:
        """What must be installed on this machine and is not, for an engineer."""
        ...


def spelled(piece: Piece) -> Sequence[Piece]:
    """A number digit by digit, with a pause where a comma is ("1 0, 4 5"); anything else as it is."""
    words = piece.words.strip()
    if piece.name or not _NUMBER.fullmatch(words):
        return (piece,) if any(letter.isalnum() for letter in words) else ()
    spelled_ = [DIGIT.format(each) if each.isdigit() else PAUSE for each in words if each.isdigit() or each == ","]
    return [Piece(name=name, words="" if name == PAUSE else name[-1]) for name in spelled_]


def _read(path: Path) -> array[int]:
    """The samples of a file, mixed down, at our rate. Raises NoSpeech or OSError."""
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            if width != 2 or channels not in (1, 2):
                raise NoSpeech(f"{path.name}: it should have 16 bits and one or two channels")
            samples = array("h", file.readframes(file.getnframes()))
    except (wave.Error, EOFError) as error:
        raise NoSpeech(f"{path.name} is no WAV file: {error}") from error
    if sys.byteorder == "big":
        samples.byteswap()
    if channels == 2:
        samples = array("h", [(a + b) // 2 for a, b in zip(samples[::2], samples[1::2], strict=False)])
    return resampled(samples, rate, RATE)


def _trimmed(samples: array[int]) -> array[int]:
    """Without most of the quiet around the words: numbers are said digit by digit."""
    loud = [at for at, sample in enumerate(samples) if abs(sample) > QUIET]
    if not loud:
        return samples
    return samples[max(0, loud[0] - MARGIN) : loud[-1] + MARGIN]


def _write(path: Path, samples: array[int]) -> None:
    """Whole or not at all: two may make the same one at a time."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    os.close(descriptor)
    if sys.byteorder == "big":
        samples.byteswap()
    with wave.open(name, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    Path(name).replace(path)
