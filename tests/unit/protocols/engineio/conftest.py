"""Sessions whose shell writes down what it is asked for, opened at 100 seconds."""

from __future__ import annotations

import pytest

from helpers.engine_shell import TIMING, Recorder
from wsgw.protocols.engineio.engine import Engine


@pytest.fixture
def port() -> Recorder:
    return Recorder()


@pytest.fixture
def polling(port: Recorder) -> Engine:
    return Engine(port, TIMING, websocket=False, now=100.0)


@pytest.fixture
def websocket(port: Recorder) -> Engine:
    return Engine(port, TIMING, websocket=True, now=100.0)
