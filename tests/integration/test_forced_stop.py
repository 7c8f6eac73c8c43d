"""A gateway that stands still, and is told to stop: it ends all the same, and says so by a line and its exit code."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.program import Program
from helpers.waiting import DEADLINE_SECONDS
from wsgw.process.signals import FORCED_CODE, REST_SECONDS, STANDSTILL_CODES

STUCK = Path(__file__).parents[1] / "helpers" / "stuck.py"
#: No server is there: a stop must not need one.
NATS_URL = "nats://127.0.0.1:1"
DRAIN_SECONDS = 0.2
UNSHARE = (shutil.which("unshare") or "", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")
#: They all run at a time, and some on all of a core.
LATEST_SECONDS = 4 * DEADLINE_SECONDS

Start = Callable[..., Program]


def starter(folder: Path, programs: list[Program]) -> Start:
    """Starts gateways that stand still in one of the ways of ``helpers.stuck``, as ``before`` does."""

    def start(how: str, *before: str, drain_seconds: float = DRAIN_SECONDS, **more: object) -> Program:
        values = json.dumps({"drain_seconds": drain_seconds, **more})
        command: list[str | Path] = [*before, Path(sys.executable), STUCK, how, NATS_URL, values]
        programs.append(Program(folder, command[0], *command[1:]))
        return programs[-1]

    return start


@pytest.fixture(scope="module")
def stuck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Program]]:
    """One of each kind, started together, for each of them waits for a while."""
    programs: list[Program] = []
    start = starter(tmp_path_factory.mktemp("stuck"), programs)
    made = {how: start(how) for how in ("in_python", "in_a_lock", "in_c", "in_c_at_rest", "deaf")}
    made["json"] = start("in_a_lock", log={"format": "json"})
    if UNSHARE[0] and not subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode:
        made |= {f"first {how}": start(how, *UNSHARE) for how in ("in_python", "in_c")}
    yield made
    for program in programs:
        program.kill()


@pytest.fixture(scope="module", autouse=True)
def _all_told(stuck: dict[str, Program]) -> None:
    for name, program in stuck.items():
        asyncio.run(program.printed("stuck"))
        outer = program.process.pid
        children = Path(f"/proc/{outer}/task/{outer}/children").read_text() if name.startswith("first") else ""
        os.kill(int(children or outer), signal.SIGTERM)


@pytest.mark.parametrize("how", ["in_python", "in_a_lock", "deaf"])
async def test_it_is_ended(stuck: dict[str, Program], how: str) -> None:
    program = stuck[how]
    assert await program.ended(LATEST_SECONDS) == FORCED_CODE
    why = f"stop forced: it took more than {DRAIN_SECONDS + REST_SECONDS:g} s; the main thread is at "
    assert why in program.messages[-1]
    assert how == "deaf" or f"{how} (" in program.messages[-1]


async def test_a_task_that_does_not_end_is_named(stuck: dict[str, Program]) -> None:
    await stuck["deaf"].printed("error: the deaf one does not end; it is left to itself")


async def test_the_line_is_one_of_the_log(stuck: dict[str, Program]) -> None:
    assert await stuck["json"].ended(LATEST_SECONDS) == FORCED_CODE
    line = json.loads(stuck["json"].output.splitlines()[-1])
    assert line["level"] == "error"
    assert line["message"].startswith("stop forced: ")


@pytest.mark.parametrize("how", ["in_c", "in_c_at_rest"])
async def test_where_no_other_thread_gets_a_turn(stuck: dict[str, Program], how: str) -> None:
    program = stuck[how]
    assert await program.ended(LATEST_SECONDS) in STANDSTILL_CODES
    assert f"in {how}\n" in program.output


@pytest.mark.parametrize(("how", "codes"), [("in_python", (FORCED_CODE,)), ("in_c", STANDSTILL_CODES)])
async def test_as_the_first_process_of_a_container(stuck: dict[str, Program], how: str, codes: tuple[int, ...]) -> None:
    """Such a process has no default actions of signals."""
    if (program := stuck.get(f"first {how}")) is None:
        pytest.skip("no name space of processes can be had here")
    assert await program.ended(LATEST_SECONDS) in codes


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    programs: list[Program] = []
    yield starter(tmp_path, programs)
    for program in programs:
        program.kill()


async def test_a_second_interrupt_ends_it_at_once(start: Start) -> None:
    program = start("in_python", drain_seconds=3600)
    await program.printed("stuck")
    program.send(signal.SIGTERM)
    program.send(signal.SIGINT)
    await asyncio.sleep(0.2)  # time for what must not be
    assert program.process.poll() is None
    program.send(signal.SIGINT)
    assert await program.ended() == FORCED_CODE
    assert "stop forced: a second SIGINT" in program.output
