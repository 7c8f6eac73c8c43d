"""Inputs made from others: where no coverage-guided fuzzer is there. Repeatable by its seed."""

from __future__ import annotations

import random
from collections.abc import Sequence

from fuzz.target import Target

_NUMBERS = (0, 1, 9, 10, 13, 32, 34, 46, 48, 57, 92, 123, 125, 126, 127, 128, 129, 130, 136, 137, 254, 255)
#: Inputs that were interesting: of them others are made as well.
MOST_KEPT = 400


class Mutations:
    """Endless inputs for ``target``."""

    def __init__(self, target: Target, seed: int) -> None:
        self._target = target
        self._rng = random.Random(f"{target.name} {seed}")
        self._inputs: list[bytes] = [*target.seeds]

    def next(self) -> bytes:
        """The next one; now and then it is kept as one to begin with."""
        rng = self._rng
        data = bytearray(rng.choice(self._inputs))
        for _ in range(rng.choice((1, 1, 2, 3, 5, 8))):
            self._change(data)
        made = bytes(data[: self._target.max_bytes])
        if rng.random() < 0.02:
            if len(self._inputs) < MOST_KEPT:
                self._inputs.append(made)
            else:
                self._inputs[rng.randrange(len(self._target.seeds), MOST_KEPT)] = made
        return made

    # -- inside

    def _change(self, data: bytearray) -> None:
        rng = self._rng
        at = rng.randrange(len(data) + 1)
        match rng.randrange(9):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(data):
                data[at] = rng.choice(_NUMBERS)
            case 2:
                del data[at : at + rng.choice((1, 1, 2, 4, 16, 100))]
            case 3:
                data[at:at] = rng.randbytes(rng.choice((1, 1, 2, 4, 9)))
            case 4:
                piece = data[at : at + rng.randrange(1, 40)]
                data[at:at] = piece * rng.choice((1, 1, 2, 20))
            case 5 | 6:
                self._word(data, at, self._target.words)
            case 7:
                other = rng.choice(self._inputs)
                start = rng.randrange(len(other) + 1)
                data[at : at + rng.randrange(40)] = other[start : start + rng.randrange(200)]
            case _:
                data[:] = data[:at]

    def _word(self, data: bytearray, at: int, words: Sequence[bytes]) -> None:
        if words:
            word = self._rng.choice(words)
            data[at : at + (len(word) if self._rng.random() < 0.5 else 0)] = word
