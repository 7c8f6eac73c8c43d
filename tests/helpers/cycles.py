"""What a life leaves behind that only the cyclic collector finds: what ended has to be freed by reference counts."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

ROUNDS = 20


async def left_by(life: Callable[[], Awaitable[None]]) -> Counter[str]:
    """The types of what each of some rounds of ``life`` leaves in cycles, and how many in all; none is what is wanted.

    What is left once, by whatever happens beside it, is not counted.
    """
    await life()  # what is made once is there
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            await life()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    return Counter({name: count for name, count in found.items() if count >= ROUNDS})


#: Modules whose objects count; what tests and clients leave is their own affair.
OURS = ("wsgw.", "uvicorn.", "websockets.server", "httptools.")


def ours() -> Counter[str]:
    """Our objects that are there, reachable or not, by type.

    Cycles through a generator are among them, which ``left_by`` does not see: the collector ends generators first.
    """
    kinds = [f"{type(item).__module__}.{type(item).__qualname__}" for item in gc.get_objects()]
    return Counter(kind for kind in kinds if kind.startswith(OURS))


@contextmanager
def nothing_left(left: list[str]) -> Iterator[None]:
    """What was made inside and is still there at the end, without the collector, is in ``left``, by type."""
    gc.collect()
    gc.disable()
    try:
        before = ours()
        yield
        left += (ours() - before).elements()
    finally:
        gc.enable()
