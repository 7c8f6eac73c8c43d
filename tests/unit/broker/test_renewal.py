"""The next JWT of a user: when its file is looked at, and that a connection is left for one with it before the end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from helpers.brokers import Brokers, publish, started
from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.nkeys import Operator
from helpers.waiting import arrived, eventually
from wsgw.broker import handover, uplink
from wsgw.broker import renewal as module
from wsgw.broker.renewal import renewed
from wsgw.broker.subscription import Credentials
from wsgw.errors import GatewayError


class Looks:
    """Counts looks at files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        lasts = module._lasts

        async def counted(path: str, ends: datetime) -> bool:
            self.made.append(path)
            return await lasts(path, ends)

        monkeypatch.setattr(module, "_lasts", counted)
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


def soon(seconds: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)


@pytest.mark.parametrize("lasting", [61, None])
async def test_the_next_one(tmp_path: Path, looks: Looks, lasting: int | None) -> None:
    """It ends later, or never. The same one is not it, nor one that ends earlier, nor what is none."""
    operator, path, ends = Operator(), tmp_path / "a.creds", soon(20)
    exp = int(ends.timestamp())
    operator.credentials(path, exp=exp)
    waiting = asyncio.ensure_future(renewed(str(path), ends))
    await arrived(looks.made, 2)
    for write in (
        lambda: operator.credentials(path, exp=exp - 5),
        lambda: path.write_text("garbage"),
        path.unlink,
    ):
        write()
        await arrived(looks.made, len(looks.made) + 3)
        assert not waiting.done()
    operator.credentials(path, **({} if lasting is None else {"exp": exp + lasting}))
    await asyncio.wait_for(waiting, 20)


async def test_nothing_is_looked_at_before_it_is_time(
    tmp_path: Path, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far away the end is, and when the clock is set meanwhile."""
    monkeypatch.setattr(module, "MOST_SECONDS", 0.001)
    ahead = 0.0
    clocked: list[None] = []

    def clock() -> float:
        clocked.append(None)
        return ends.timestamp() - 1e9 + ahead

    ends = soon(0)
    monkeypatch.setattr(module, "time", clock)
    waiting = asyncio.ensure_future(renewed(str(tmp_path / "none"), ends))
    await arrived(clocked, 5)
    assert looks.made == []
    ahead = 1e9 - module.EARLY_SECONDS / 2
    await arrived(looks.made, 2)
    waiting.cancel()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(handover, "WINDOW_SECONDS", 0.3)
    monkeypatch.setattr(handover, "OVERLAP_SECONDS", 0.8)
    monkeypatch.setattr(uplink, "STEADY_SECONDS", 0.1)


@pytest.mark.usefixtures("quick", "looks")
async def test_a_connection_is_left_before_its_jwt_ends(
    make_broker: Brokers, start_server: Callable[[str], NatsServer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By one server alone. Nothing is lost, doubled or reordered, what is published is confirmed, nobody notices."""
    operator, path = Operator(), tmp_path / "a.creds"
    server = start_server(operator.configuration)
    end = int(time.time()) + 30
    operator.credentials(path, exp=end)
    broker, metrics = await started(make_broker, server.url, Credentials(credentials_file=str(path)))
    there, lost = broker._connection, broker.lost()
    assert there is not None
    assert lost is not None
    assert there.ends == datetime.fromtimestamp(end, UTC)
    name = uuid4().hex
    got: list[bytes] = []
    subscription = await broker.subscribe(name, lambda publication: got.append(publication.payload))
    told: list[GatewayError | None] = []
    sent = 0
    while broker._leaving is None or not broker._leaving.done():
        if sent == 100:
            operator.credentials(path, exp=end + 3600)
        broker.publish(name, [b"%d" % sent], told.append)
        sent += 1
        await asyncio.sleep(0.002)
    assert broker._connection is not there
    assert broker._connection is not None
    assert broker._connection.ends == datetime.fromtimestamp(end + 3600, UTC)
    await arrived(told, sent)
    assert set(told) == {None}
    await arrived(got, sent)
    assert got == [b"%d" % number for number in range(sent)]
    assert not subscription.ended.done()
    assert not lost.done()
    assert value(metrics, "wsgw_nats_reconnects_total") == 1
    assert "connecting anew with the next JWT" in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
    assert await publish(broker, "a") is None


@pytest.mark.usefixtures("quick", "looks")
async def test_the_next_one_is_not_taken(
    make_broker: Brokers, start_server: Callable[[str], NatsServer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection there is is used as long as NATS lets it be; the log says what is wrong with the next one."""
    operator, path = Operator(), tmp_path / "a.creds"
    server = start_server(operator.configuration)
    operator.credentials(path, exp=int(time.time()) + 30)
    broker, _ = await started(make_broker, server.url, Credentials(credentials_file=str(path)))
    there = broker._connection
    Operator().credentials(path, exp=int(time.time()) + 3600)
    await eventually(lambda: "no other connection can be had: " in caplog.text, "it says so")
    (line,) = {record.message for record in caplog.records if "can be had" in record.message}
    assert f"NATS says 'Authorization Violation' to the user in nats.credentials_file, {path}" in line
    assert broker._connection is there
    assert await publish(broker, "a") is None
    operator.credentials(path)
    await eventually(lambda: broker._connection is not there and broker.connected, "that one is taken")
    assert await publish(broker, "a") is None
    assert "connection lost" not in caplog.text
