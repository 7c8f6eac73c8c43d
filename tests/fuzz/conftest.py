"""A nats-server for what needs one."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from fuzz.targets.connection import NATS_VARIABLE
from helpers.nats_server import NatsServer


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """It stays up."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    yield server
    server.stop()


@pytest.fixture
def environment(nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Targets find NATS, and say nothing: pytest keeps all that is logged."""
    monkeypatch.setenv(NATS_VARIABLE, nats.url)
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)
