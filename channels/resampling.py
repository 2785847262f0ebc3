"""Sound of any rate as sound of another: a windowed sinc in plain Python, for files of some seconds.

The filter cuts above the lower of the two Nyquist frequencies, so that speech of 22,050 Hz does not whistle at 8,000.
https://ccrma.stanford.edu/~jos/resample/
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from operator import mul

CROSSINGS = 8
"""Zero crossings of the sinc on each side: the flank is steep enough for speech."""
PASSED = 0.92
"""Share of the band that is kept."""


def resampled(samples: Sequence[int], rate: int, wanted: int) -> array[int]:
    """The samples (16 bits each) of `rate` a second, as samples of `wanted` a second."""
    if rate == wanted:
        return array("h", samples)
    step = math.gcd(rate, wanted)
    up, down = wanted // step, rate // step
    cutoff = min(1.0, wanted / rate) * PASSED
    reach = math.ceil(CROSSINGS / cutoff)
    filters = [_filter(phase / up, cutoff, reach) for phase in range(up)]
    padded = [0] * reach + list(samples) + [0] * (reach + 1)
    made = array("h")
    for number in range(len(samples) * up // down):
        at, phase = divmod(number * down, up)
        value = sum(map(mul, padded[at + 1 : at + 1 + 2 * reach], filters[phase]))
        made.append(max(-32768, min(32767, round(value))))
    return made


def _filter(offset: float, cutoff: float, reach: int) -> list[float]:
    """Weights of the samples from `reach - 1` before to `reach` behind a place between two samples."""
    weights = []
    for tap in range(1 - reach, reach + 1):
        x = tap - offset
        window = 0.5 + 0.5 * math.cos(math.pi * x / reach) if abs(x) < reach else 0.0
        sinc = 1.0 if x == 0 else math.sin(math.pi * cutoff * x) / (math.pi * cutoff * x)
        weights.append(window * sinc)
    total = sum(weights)
    return [weight / total for weight in weights]
