"""Each fault once, or ``CHAOS_RUNS`` times with other seeds, and all at random: nothing is lost unsaid."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chaos.faults import FAULTS, SHORT, Fault
from chaos.field import Field, Setup
from chaos.plain import PlainField
from chaos.plain_faults import PLAIN_FAULTS
from chaos.report import Run

pytestmark = pytest.mark.timeout(480)

Folder = Callable[[str], Path]

RUNS = int(os.environ.get("CHAOS_RUNS", "1"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
#: What there is for faults at random: as much as can be at a time.
RANDOM = {
    "random": Setup(network=True),
    "random_own_stream": Setup(network=True, own_stream=True),
    "random_cluster": Setup(cluster=True, network=True, own_stream=True),
}


@asynccontextmanager
async def accounted(
    run: Run, runs: list[Run], folder: Folder, setup: Setup, *, told: bool, of: type[Field] = Field
) -> AsyncIterator[Field]:
    """A field, and what became of every message in it in ``run``, which is printed and kept in any case."""
    runs.append(run)
    field = of(folder, run.seed, setup)
    try:
        async with asyncio.timeout(400):
            await field.open()
            yield field
            run.account, run.posts = await field.settle()
        assert run.account.good, run.account
        assert run.posts.good, run.posts
        assert told or not run.account.told, "the stream had it all"
        run.failure = ""
    except BaseException as error:
        run.failure = traceback.format_exception_only(error)[-1].splitlines()[0][:200]
        raise
    finally:
        run.sent = field.sent
        print(f"\n{run}")
        await field.close()


async def hurt(field: Field, run: Run, *faults: Fault) -> None:
    took = await asyncio.gather(*(fault.make(field) for fault in faults))
    run.recovery_seconds += (max(await field.recovery(), *(seconds or 0.0 for seconds in took)),)
    await field.progress(50)


@pytest.mark.parametrize("number", range(RUNS))
@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault(runs: list[Run], folder: Folder, name: str, number: int) -> None:
    fault = FAULTS[name]
    run = Run(name, SEED + number)
    async with accounted(run, runs, folder, fault.setup, told=fault.told) as field:
        await hurt(field, run, fault)


@pytest.mark.parametrize("number", range(RUNS))
@pytest.mark.parametrize("name", PLAIN_FAULTS)
async def test_a_fault_of_a_plain_channel(runs: list[Run], folder: Folder, name: str, number: int) -> None:
    fault = PLAIN_FAULTS[name]
    run = Run(f"plain {name}", SEED + number)
    async with accounted(run, runs, folder, fault.setup, told=True, of=PlainField) as field:
        await hurt(field, run, fault)


@pytest.mark.skipif(SHORT, reason="each alone will do")
@pytest.mark.parametrize("number", range(RUNS))
async def test_many_at_random_of_a_plain_channel(runs: list[Run], folder: Folder, number: int) -> None:
    run = Run("plain random", 2000 + SEED + number)
    possible = [one for key, one in PLAIN_FAULTS.items() if key not in ("clients_half_open", "nats_stopped")]
    async with accounted(run, runs, folder, Setup(network=True), told=True, of=PlainField) as field:
        field.several_faults = True
        for _ in range(8):
            several = {fault.of: fault for fault in field.chance.sample(possible, field.chance.randint(1, 3))}
            await hurt(field, run, *several.values())


@pytest.mark.parametrize("number", range(RUNS))
@pytest.mark.parametrize("name", ["random_cluster"] if SHORT else RANDOM)
async def test_many_at_random(runs: list[Run], folder: Folder, name: str, number: int) -> None:
    """One or two or three at a time, of different things."""
    setup = RANDOM[name]
    run = Run(name, 1000 + SEED + number)
    slow = ("herd", "clients_half_open", "nats_stopped")
    possible = [one for key, one in FAULTS.items() if setup.has(one.setup) and key not in slow]
    async with accounted(run, runs, folder, setup, told=True) as field:
        field.several_faults = True
        for _ in range(1 if SHORT else 8):
            several = {fault.of: fault for fault in field.chance.sample(possible, field.chance.randint(1, 3))}
            await hurt(field, run, *several.values())
