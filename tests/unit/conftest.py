"""What unit tests share: real nats-servers, and the check that no test leaves a task behind."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from helpers.fanout import Loop, Upstream
from helpers.nats_server import NatsServer, starting
from wsgw.fanout.hub import Hub
from wsgw.fanout.turn import Turn
from wsgw.metrics import Metrics


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A nats-server that all tests share and none stops."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    yield server
    server.stop()


@pytest.fixture
def jetstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A nats-server with JetStream and no streams; a test's own."""
    folder = tmp_path_factory.mktemp("nats")
    server = NatsServer(folder, f"jetstream {{store_dir: {folder}}}")
    yield server
    server.stop()


@pytest.fixture
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], NatsServer]]:
    """Starts nats-servers with a configuration each."""
    with starting(lambda: tmp_path_factory.mktemp("nats")) as start:
        yield start


@pytest.fixture
async def _tasks() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks left behind: {left}"


@pytest.fixture(autouse=True)
def _no_task_is_left(request: pytest.FixtureRequest) -> None:
    """Set up before a test's other fixtures, so looked at after they are gone."""
    if inspect.iscoroutinefunction(request.function):
        request.getfixturevalue("_tasks")


@pytest.fixture
def restore_logging() -> Iterator[None]:
    """Leave logging as it was, for what sets a program's log up."""
    names = ["", "wsgw", "uvicorn", "uvicorn.error", "uvicorn.access", "websockets", "nats", "asyncio"]
    before = [(logging.getLogger(name), logging.getLogger(name).level) for name in names]
    handlers = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = handlers
    for logger, level in before:
        logger.setLevel(level)


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def source() -> Upstream:
    return Upstream()


@pytest.fixture
def hub(loop: Loop, source: Upstream) -> Hub:
    return Hub(Metrics(), Turn(loop.call_soon), loop.clock, source)
