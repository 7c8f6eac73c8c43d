"""A server that says that it goes is left for another one before it does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from helpers.brokers import Brokers, publish, started
from helpers.liar import Liar
from helpers.metrics import value
from helpers.nats_cluster import pair, wanted
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.traffic import Traffic
from helpers.waiting import DEADLINE_SECONDS, arrived, eventually
from wsgw.broker import handover
from wsgw.broker.broker import Broker
from wsgw.errors import GatewayError
from wsgw.metrics import Metrics

StartLiar = Callable[..., Awaitable[Liar]]
GOES = b'INFO {"ldm": true}\r\n'


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(handover, "WINDOW_SECONDS", 0.3)
    monkeypatch.setattr(handover, "OVERLAP_SECONDS", 0.8)


async def connected(make_broker: Brokers, *urls: str) -> tuple[Broker, Metrics]:
    broker, metrics = make_broker(*urls)
    await broker.start()
    await asyncio.wait_for(broker.wait_connected(), DEADLINE_SECONDS)
    return broker, metrics


async def test_another_server_is_connected_to_first(
    make_broker: Brokers, start_server: Callable[..., NatsServer]
) -> None:
    """One that it told of. Nothing is lost, and nobody notices."""
    first, second = pair(start_server)
    broker, metrics = await started(make_broker, first.url)
    there, lost = broker._connection, broker.lost()
    assert there is not None
    assert lost is not None
    await eventually(there.discovered, "word of the second server")
    name, out = uuid4().hex, uuid4().hex
    got: list[bytes] = []
    subscription = await broker.subscribe(name, lambda publication: got.append(publication.payload))
    peers = [await Peer.connect(server.url, allow_reconnect=False) for server in (first, second)]
    heard = await peers[1].listen(out)
    await wanted(second, name)
    await wanted(first, out)
    traffic = Traffic(name, peers)
    traffic.start()
    told: list[GatewayError | None] = []
    await arrived(got, 10)
    first.lame_duck()
    sent = 0
    while broker._leaving is None or not broker._leaving.done():
        broker.publish(out, [b"0 %d" % sent], told.append)
        sent += 1
        await asyncio.sleep(0.001)
    await arrived(got, len(got) + 10)
    assert there.lost.done()
    assert broker._connection is not there
    await traffic.stop()
    await eventually(lambda: traffic.missing(got) == 0, "all of it")
    await arrived(told, sent)
    assert set(told) == {None}
    assert heard == [b"0 %d" % number for number in range(sent)]
    assert not subscription.ended.done()
    assert broker.lost() is lost
    assert not lost.done()
    assert value(metrics, "wsgw_nats_reconnects_total") == 1
    assert value(metrics, "wsgw_nats_connected") == 1
    broker.unsubscribe(subscription)
    for peer in peers:
        await peer.close()


async def test_where_there_is_no_other_it_is_used_to_the_end(
    make_broker: Brokers, start_server: Callable[..., NatsServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = start_server()
    broker, metrics = await started(make_broker, server.url)
    server.lame_duck()
    await eventually(lambda: "no other server can be had: no other server is known" in caplog.text, "it looks")
    assert await publish(broker, "a") is None
    server.stop()
    await eventually(lambda: not broker.connected, "it is lost")
    assert "connection lost" in caplog.text
    server.start()
    await eventually(lambda: broker.connected, "it is back")
    assert value(metrics, "wsgw_nats_reconnects_total") == 1


async def test_neither_to_one_that_goes_too_nor_to_the_same(
    make_broker: Brokers, start_liar: StartLiar, caplog: pytest.LogCaptureFixture
) -> None:
    first, same, too, good = [await start_liar(server_id=id) for id in ("A", "A", "B", "C")]
    too.info["ldm"] = True
    broker, _ = await started(make_broker, first.url)
    broker._servers.discovered([same.url, too.url])
    there = await first.connected()
    there.says(b'INFO {"ldm": true, "connect_urls": ["%b", "%b"]}\r\n' % (_address(same), _address(too)))
    await eventually(lambda: "it goes, too" in caplog.text, "it has tried")
    await arrived(too.connections, 2)
    assert same.connections
    assert first.tries == 1
    assert await publish(broker, "a") is None
    there.says(b'INFO {"connect_urls": ["%b"]}\r\n' % _address(good))
    await good.connected()
    await eventually(lambda: broker._url == good.url, "the good one")


async def test_one_that_goes_behind_the_other(make_broker: Brokers, start_liar: StartLiar) -> None:
    liars = [await start_liar(server_id=str(number)) for number in range(3)]
    broker, metrics = await connected(make_broker, *[liar.url for liar in liars])
    for liar in liars[:2]:
        (await liar.connected()).says(GOES)
    await liars[2].connected()
    await eventually(lambda: value(metrics, "wsgw_nats_reconnects_total") == 2, "moved twice")
    assert await publish(broker, "a") is None


async def test_it_goes_before_all_is_there(
    make_broker: Brokers, start_liar: StartLiar, caplog: pytest.LogCaptureFixture
) -> None:
    """The other one is used at once, and who was subscribed is told of the loss."""
    first, second = await start_liar(server_id="A"), await start_liar(server_id="B")
    broker, metrics = await connected(make_broker, first.url, second.url)
    subscription = await broker.subscribe("a", lambda publication: None)
    lost = broker.lost()
    there = await first.connected()
    there.says(GOES)
    other = await second.connected()
    there.close()
    await eventually(lambda: value(metrics, "wsgw_nats_reconnects_total") == 1, "it is used")
    assert lost is not None
    assert lost.done()
    assert subscription.ended.done()
    assert await publish(broker, "b") is None
    await eventually(lambda: list(other.subjects) == [other.inbox + b".*"], "nothing is left of what was begun")
    assert caplog.text.count("connection lost") == 1


async def test_the_other_one_goes_before_all_is_there(make_broker: Brokers, start_liar: StartLiar) -> None:
    first, second = await start_liar(server_id="A"), await start_liar(server_id="B")
    second.then = lambda made: made.close() if len(second.connections) == 1 else None
    broker, metrics = await connected(make_broker, first.url, second.url)
    subscription = await broker.subscribe("a", lambda publication: None)
    (await first.connected()).says(GOES)
    await arrived(second.connections, 2)
    await eventually(lambda: value(metrics, "wsgw_nats_reconnects_total") == 1, "it is used, then")
    assert not subscription.ended.done()


async def test_a_stop_meanwhile(make_broker: Brokers, start_liar: StartLiar) -> None:
    for moved in (False, True):
        first, second = await start_liar(server_id="A"), await start_liar(server_id="B")
        broker, metrics = await connected(make_broker, first.url, second.url)
        (await first.connected()).says(GOES)
        await second.connected()
        if moved:
            await eventually(lambda: value(metrics, "wsgw_nats_reconnects_total") == 1, "moved")  # noqa: B023
        await broker.stop(5)
        assert not broker.connected


async def test_reading_is_held_on_both(make_broker: Brokers, start_liar: StartLiar) -> None:
    first, second = await start_liar(server_id="A"), await start_liar(server_id="B")
    broker, metrics = await connected(make_broker, first.url, second.url)
    got: list[bytes] = []
    await broker.subscribe("a", lambda publication: got.append(publication.payload))
    there = await first.connected()
    there.says(GOES)
    await eventually(lambda: value(metrics, "wsgw_nats_reconnects_total") == 1, "moved")
    broker.hold()
    other = second.connections[0]
    for each in (there, other):
        each.message(b"a", b"1")
        each.message(b"a", b"2")
    await asyncio.sleep(0.1)
    assert got == []
    broker.release()
    await eventually(lambda: got == [b"1", b"2"], "both")


async def test_what_is_in_flight_on_both_counts(make_broker: Brokers, start_liar: StartLiar) -> None:
    first, second = await start_liar(server_id="A"), await start_liar(server_id="B")
    broker, metrics = await connected(make_broker, first.url, second.url)
    there = await first.connected()
    there.says(GOES)
    await second.connected()
    there.answers = False
    broker.publish("a", [b"x"] * 3, lambda error: None)
    await eventually(lambda: value(metrics, "wsgw_nats_reconnects_total") == 1, "moved")
    broker.publish("a", [b"x"] * 2, lambda error: None)
    await eventually(lambda: value(metrics, "wsgw_publishes_in_flight") == 6, "the mark, too")
    there.answers = True


async def test_a_subscription_that_is_being_made_is_moved_or_ended(make_broker: Brokers, start_liar: StartLiar) -> None:
    """It is refused by the server that goes, when it has been handed over: nothing of it is left."""
    first, second = await start_liar(server_id="A"), await start_liar(server_id="B")
    broker, metrics = await connected(make_broker, first.url, second.url)
    there = await first.connected()
    there.says(GOES)
    other = await second.connected()
    there.answers = False
    asking = asyncio.create_task(broker.subscribe("a", lambda publication: None))
    await eventually(lambda: value(metrics, "wsgw_nats_reconnects_total") == 1, "moved")
    there.close()
    with pytest.raises(GatewayError):
        await asking
    await eventually(lambda: b"a" not in other.subjects and other.fences > 3, "it ends there, too")


def _address(liar: Liar) -> bytes:
    return liar.url.removeprefix("nats://").encode()
