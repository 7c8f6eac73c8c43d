"""One target in a process of its own: ``python -m fuzz.worker MODULE TARGET SHARD CASES SECONDS FOLDER``.

By atheris (coverage-guided: libFuzzer, with the code of wsgw instrumented) where it is installed, else by our own
mutations; WSGW_FUZZ_ENGINE=own chooses these. What it prints is for ``fuzz.run``. Findings are in FOLDER.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fuzz.target import Target
    from fuzz.watch import Figures

#: A case of libFuzzer, and its whole process, may take so much; it looks at the memory itself.
CASE_SECONDS = 10
MOST_MEMORY_MB = 400
#: libFuzzer's own corpus, which grows as it finds new ways, is part of it.
MOST_GROWTH_BYTES = 64 * 1024**2
_TOLD_EVERY_SECONDS = 5.0


def told(cases: int, seconds: float, slowest: float, growth: int, *, last: bool = False) -> None:
    """A line for ``fuzz.run``."""
    print("done" if last else "so far", cases, f"{seconds:.1f}", f"{slowest:.4f}", growth, flush=True)


def of(module: str, name: str) -> Target:
    """The target ``name`` of ``module``."""
    targets: tuple[Target, ...] = importlib.import_module(module).TARGETS
    return next(target for target in targets if target.name == name)


def own(target: Target, shard: int, cases: int, seconds: float, folder: Path) -> None:
    from fuzz.mutation import Mutations
    from fuzz.watch import Finding, watch

    def progress(figures: Figures) -> None:
        told(figures.cases, time.perf_counter() - began, figures.slowest_seconds, figures.growth_bytes)

    began = time.perf_counter()
    mutations = Mutations(target, shard)
    with target.begin() as run:
        try:
            found = watch(target.name, run, iter(mutations.next, None), seconds, cases, progress)
        except Finding as finding:
            (folder / f"finding-{target.name}-{shard}").write_bytes(finding.data)
            raise
    told(found.cases, found.seconds, found.slowest_seconds, found.growth_bytes, last=True)


class Counted:
    """What libFuzzer calls: a case, counted, and timed."""

    def __init__(self, run: Callable[[bytes], None], cases: int, seconds: float) -> None:
        from fuzz.watch import resident_bytes

        self._run, self._cases, self._seconds = run, cases, seconds
        self._resident = resident_bytes
        self._count = 0
        self._slowest = 0.0
        self._began = self._said = time.perf_counter()
        self._warm = 0

    def __call__(self, data: bytes) -> None:
        before = time.perf_counter()
        self._run(data)
        after = time.perf_counter()
        self._count += 1
        self._slowest = max(self._slowest, after - before)
        spent = after - self._began
        if not self._warm and (3 * self._count >= self._cases or 3 * spent >= self._seconds):
            self._warm = self._resident()
        if self._count >= self._cases or spent >= self._seconds:
            growth = max(0, self._resident() - self._warm)
            told(self._count, spent, self._slowest, growth, last=True)
            os._exit(1 if growth > MOST_GROWTH_BYTES else 0)  # libFuzzer does so, too, and says less
        if after - self._said >= _TOLD_EVERY_SECONDS:
            self._said = after
            told(self._count, spent, self._slowest, 0)


def guided(atheris: Any, module: str, name: str, shard: int, cases: int, seconds: float, folder: Path) -> None:
    with atheris.instrument_imports(include=["wsgw"], enable_loader_override=False):
        target = of(module, name)
    corpus = folder / f"corpus-{name}-{shard}"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = folder / f"words-{name}-{shard}"
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in target.words))
    with target.begin() as run:
        atheris.Setup(
            [
                sys.argv[0],
                *(f"-seed={shard + 1}", f"-max_len={target.max_bytes}", f"-timeout={CASE_SECONDS}"),
                f"-dict={words}",
                *(f"-rss_limit_mb={MOST_MEMORY_MB}", f"-artifact_prefix={folder}/finding-{name}-{shard}-", str(corpus)),
            ],
            Counted(run, cases, seconds),
        )
        atheris.Fuzz()


def main() -> None:
    logging.disable(logging.WARNING)
    module, name, shard, cases, seconds, folder = sys.argv[1:]
    engine = os.environ.get("WSGW_FUZZ_ENGINE", "")
    if engine != "own" and importlib.util.find_spec("atheris") is not None:
        atheris: Any = importlib.import_module("atheris")
        guided(atheris, module, name, int(shard), int(cases), float(seconds), Path(folder))
    else:
        own(of(module, name), int(shard), int(cases), float(seconds), Path(folder))


if __name__ == "__main__":
    main()
