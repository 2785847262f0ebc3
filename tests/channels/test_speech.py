"""Words as files: recorded ones win, numbers are spelled, and what is made is kept until the words change."""

from __future__ import annotations

import math
import struct
import wave
from itertools import pairwise
from pathlib import Path

import pytest

from channels.resampling import resampled
from channels.speech import NoSpeech, Speech, spelled
from normalizer.call import Line, Piece
from tests.services import sipp


def sine(rate: int, hertz: float, seconds: float = 0.5) -> list[int]:
    return [round(12_000 * math.sin(2 * math.pi * hertz * at / rate)) for at in range(int(rate * seconds))]


def write(path: Path, samples: list[int], rate: int, channels: int = 1, width: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples) if width == 2 else bytes(len(samples)))
    return path


def crossings(samples: list[int]) -> int:
    return sum(a < 0 <= b for a, b in pairwise(samples))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_a_tone_of_any_rate_is_the_same_tone_at_ours(rate: int) -> None:
    made = list(resampled(sine(rate, 1000.0), rate, 8000))
    assert abs(len(made) - 4000) <= 1
    assert abs(crossings(made) - 500) <= 1
    assert 11_000 < max(made[200:-200]) < 13_000


def test_what_our_rate_cannot_carry_is_not_heard_as_something_else() -> None:
    made = list(resampled(sine(22050, 6000.0), 22050, 8000))
    assert max(map(abs, made[200:-200])) < 400


def test_a_number_is_said_digit_by_digit_with_a_pause_between_pairs() -> None:
    names = [piece.name for piece in spelled(Piece(words="1 0, 4"))]
    assert names == ["digit_1", "digit_0", "pause", "digit_4"]
    assert [piece.words for piece in spelled(Piece(words="on 4 May"))] == ["on 4 May"]
    assert spelled(Piece(words=" , ")) == ()


@pytest.mark.parametrize("channels", [1, 2])
def test_a_recorded_sound_wins_and_is_read_again_when_it_is_another(channels: int, tmp_path: Path) -> None:
    speech = Speech(made=tmp_path / "made", recorded=tmp_path / "own")
    own = write(tmp_path / "own" / "uk" / "greeting.wav", sine(16000, 500.0) * channels, 16000, channels)
    line = Line(language="uk", words="Hello, 7", pieces=(Piece(words="Hello", name="greeting"),))
    (file,), missing = speech.of_line(line)
    assert missing == []
    with wave.open(str(file), "rb") as read:
        assert (read.getnchannels(), read.getframerate(), read.getsampwidth()) == (1, 8000, 2)
        assert abs(read.getnframes() - 4000) <= 1
    write(own, sine(16000, 500.0, 0.25) * channels, 16000, channels)
    (again,), _ = speech.of_line(line)
    assert again != file


def test_without_the_program_what_is_recorded_is_heard_and_the_rest_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    write(tmp_path / "own" / "uk" / "greeting.wav", sine(8000, 500.0), 8000)
    write(tmp_path / "own" / "uk" / "bad.wav", sine(8000, 500.0), 8000, width=1)
    (tmp_path / "own" / "uk" / "worse.wav").write_bytes(b"no sound")
    speech = Speech(made=tmp_path / "made", recorded=tmp_path / "own")
    pieces = (Piece(words="A", name="greeting"), Piece(words="B", name="bad"), Piece(words="C", name="worse"),
              Piece(words="D"))  # fmt: skip
    files, missing = speech.of_line(Line(language="uk", words="A B C D", pieces=pieces))
    assert len(files) == 1
    assert ["bad" in missing[0], "worse" in missing[1], "espeak-ng" in missing[2]] == [True] * 3
    with pytest.raises(NoSpeech):
        speech.of_piece("uk", Piece(words="D"))


@pytest.mark.services("espeak-ng")
def test_what_is_made_is_kept_until_words_or_voice_change(tmp_path: Path) -> None:
    speech = Speech(made=tmp_path, voices={"en": "en-gb"})
    first = speech.of_piece("en", Piece(words="Good morning", name="greeting"))
    made = first.stat().st_mtime_ns
    assert speech.of_piece("en", Piece(words="Good morning", name="greeting")).stat().st_mtime_ns == made
    assert speech.of_piece("en", Piece(words="Good evening", name="greeting")) != first
    other = Speech(made=tmp_path, voices={"en": "en-us"})
    assert other.of_piece("en", Piece(words="Good morning", name="greeting")) != first
    # Words that look like options or commands of the program are words.
    for words in ("--help", "[[he]] <speak>", "-f /etc/passwd"):
        assert speech.of_piece("en", Piece(words=words)).stat().st_size > 2000


def test_the_tests_own_a_law_is_that_of_the_standard() -> None:
    assert sipp.alaw(struct.pack("<6h", 0, -1, 32767, -32768, 1000, -1000)) == bytes(
        [0xD5, 0x55, 0xAA, 0x2A, 0xFA, 0x7A]
    )
