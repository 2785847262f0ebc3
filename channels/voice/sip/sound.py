"""Sound as files and samples: one channel, 8000 samples a second, 16 bits, as G.711 carries it (ITU-T G.711).

Used by the gateway and by the process that telephones, so it needs nothing but the standard library.
"""

from __future__ import annotations

import math
import os
import struct
import sys
import wave
from array import array
from functools import lru_cache
from pathlib import Path

RATE = 8000
"""Samples a second."""
WIDTH = 2
"""Bytes of a sample."""
FRAME = RATE // 50 * WIDTH
"""Bytes of 20 ms, what one packet carries."""
HEADER = 44
PART, WHOLE = ".part", ".wav"
"""Ends of the name of a file that is being recorded, and of one that is done."""
SPEECH = 400
"""Mean level of 20 ms above which somebody speaks; the loudest possible is 32767. Noise of a line is below 100."""
BEEP_HERTZ, BEEP_SECONDS, BEEP_LEVEL = 1000, 0.4, 6000


def header(size: int) -> bytes:
    """The head of a WAV file with so many bytes of samples. http://soundfile.sapp.org/doc/WaveFormat/"""
    form = struct.pack("<IHHIIHH", 16, 1, 1, RATE, RATE * WIDTH, WIDTH, WIDTH * 8)
    return b"RIFF" + struct.pack("<I", size + HEADER - 8) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size)


def finish(part: Path) -> Path | None:
    """Make a whole file of one that was being recorded: safe on disk under its own name. None when nothing is in it.

    May be done again after a crash. Raises OSError.
    """
    size = max(part.stat().st_size - HEADER, 0) // WIDTH * WIDTH
    if not size:
        part.unlink()
        return None
    with part.open("r+b") as file:
        file.write(header(size))
        file.truncate(HEADER + size)
        file.flush()
        os.fsync(file.fileno())
    done = part.with_suffix(WHOLE)
    part.replace(done)
    folder = os.open(done.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return done


def seconds(path: Path) -> int:
    """How long a file that `finish` made is. Raises OSError."""
    return round((path.stat().st_size - HEADER) / (RATE * WIDTH))


def samples(path: Path) -> bytes:
    """What a file in our form holds. Raises OSError, or ValueError for another form."""
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, WIDTH, RATE):
                raise ValueError("it is not of one channel, 8000 Hz and 16 bits")
            return file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"it is no WAV file: {error}") from error


def silence(length: float) -> bytes:
    """So many seconds of nothing."""
    return bytes(int(RATE * length) * WIDTH)


@lru_cache(maxsize=1)
def beep() -> bytes:
    """The tone after which one speaks."""
    count = int(RATE * BEEP_SECONDS)
    wave_ = (int(BEEP_LEVEL * math.sin(2 * math.pi * BEEP_HERTZ * at / RATE)) for at in range(count))
    return struct.pack(f"<{count}h", *wave_)


def is_speech(pcm: bytes) -> bool:
    """Whether it is louder than a line on which nobody speaks."""
    heard = array("h", pcm[: len(pcm) // WIDTH * WIDTH])
    if sys.byteorder == "big":
        heard.byteswap()
    return bool(heard) and sum(map(abs, heard)) / len(heard) > SPEECH
