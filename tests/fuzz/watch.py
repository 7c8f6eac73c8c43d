"""Runs cases of a target, and watches: what they raise, how long each takes, and what of the memory stays."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

#: One case, on a machine that may stand still for a while: an input of 2 KiB takes microseconds.
MAX_CASE_SECONDS = 5.0
#: What may stay of a whole run once it is warm: tables of what is known are bounded, but not empty.
MAX_GROWTH_BYTES = 24 * 1024**2
#: Of a run, until its memory is looked at first.
WARM_SHARE = 0.3
_LOOK_EVERY = 256


class Finding(AssertionError):
    """A case that shows a fault: ``data`` is its input."""

    def __init__(self, name: str, data: bytes, what: str) -> None:
        super().__init__(f"{name}: {what}; the input: {data!r}")
        self.data = data


@dataclass
class Figures:
    """``cases`` took ``seconds``, the slowest one ``slowest_seconds``; ``growth_bytes`` stayed from the warm-up on."""

    cases: int = 0
    seconds: float = 0.0
    slowest_seconds: float = 0.0
    growth_bytes: int = 0


def watch(
    name: str,
    run: Callable[[bytes], None],
    inputs: Iterator[bytes],
    seconds: float,
    cases: int | None = None,
    progress: Callable[[Figures], None] | None = None,
) -> Figures:
    """Run ``inputs``, for so many ``seconds`` and ``cases`` at most; raises Finding."""
    figures = Figures()
    clock = time.perf_counter
    began = told = clock()
    warm = 0
    before = began
    while cases is None or figures.cases < cases:
        data = next(inputs)
        before = clock()
        try:
            run(data)
        except Exception as error:
            raise Finding(name, data, f"raised {type(error).__name__}: {error}") from error
        after = clock()
        figures.cases += 1
        if after - before > figures.slowest_seconds:
            figures.slowest_seconds = after - before
            if figures.slowest_seconds > MAX_CASE_SECONDS:
                raise Finding(name, data, f"took {figures.slowest_seconds:.1f} s")
        if figures.cases % _LOOK_EVERY:
            continue
        share = (after - began) / seconds
        if cases is not None:
            share = max(share, figures.cases / cases)
        if not warm and share >= WARM_SHARE:
            warm = resident_bytes()
        if progress is not None and after - told >= 5:
            told = after
            progress(figures)
        if after - began >= seconds:
            break
    figures.seconds = clock() - began
    figures.growth_bytes = max(0, resident_bytes() - warm) if warm else 0
    if figures.growth_bytes > MAX_GROWTH_BYTES:
        raise Finding(name, b"", f"{figures.growth_bytes} bytes more than after the warm-up, {figures.cases} cases on")
    return figures


def resident_bytes() -> int:
    """What the process has in memory, after a collection (Linux; else 0)."""
    gc.collect()
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0
