"""Many subscriptions of one connection together: one write, one fence, and each with its own end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from helpers.connection import Opened, kind, publish, subject
from helpers.interest import interest
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.waiting import arrived, eventually
from wsgw.broker.broker import Broker
from wsgw.broker.connection import NatsConnection
from wsgw.broker.subscription import Credentials, NatsSubscription
from wsgw.errors import FORBIDDEN, NATS_UNAVAILABLE
from wsgw.fanout.publication import Publication
from wsgw.metrics import Metrics

pytestmark = pytest.mark.usefixtures("_bounded")


class Many:
    """Subscriptions to subjects, and what came by each."""

    def __init__(self, *subjects: str) -> None:
        self.got: list[str] = []
        self.all = [
            NatsSubscription(each, lambda publication: self.got.append(publication.subject)) for each in subjects
        ]

    def kinds(self) -> list[object]:
        """Why they have ended, None for one that has not."""
        return [kind(each.ended.result()) if each.ended.done() else None for each in self.all]


def empty(connection: NatsConnection) -> bool:
    """Whether nothing is left of any subscription but that to the inbox."""
    client = connection._client
    return list(connection._subscriptions) == [] and len(client._direct) == 1


async def subscribing_at(server: NatsServer, connection: NatsConnection) -> tuple[Many, asyncio.Task[None]]:
    """What is under way, to "a" and "b", at a server that stands still."""
    server.freeze()
    many = Many("a", "b")
    subscribing = asyncio.create_task(connection.subscribe_all(many.all))
    await asyncio.sleep(0.01)
    return many, subscribing


async def test_in_effect_on_return(connection: NatsConnection, peer: Peer) -> None:
    name = subject()
    many = Many(*[f"{name}.{number}" for number in range(300)])
    await connection.subscribe_all(many.all)
    for each in many.all:
        await peer.publish(each.subject, b"x")
    await arrived(many.got, 300)
    assert many.got == [each.subject for each in many.all]
    for each in many.all:
        connection.unsubscribe(each)
    await connection.barrier()
    assert empty(connection)


async def test_one_fence_for_all(connection: NatsConnection) -> None:
    before = connection._fences._open.id
    await connection.subscribe_all(Many(*[subject() for _ in range(300)]).all)
    assert connection._fences._open.id <= before + 2, "its own, and one of the watch"


async def test_none(connection: NatsConnection) -> None:
    await connection.subscribe_all([])
    assert empty(connection)


async def test_a_refusal_is_for_its_subject_alone(limited: NatsConnection) -> None:
    many = Many("ok.1", "Secret.x", "ok.2", "secret.x", "Secret.x")
    await limited.subscribe_all(many.all)
    assert many.kinds() == [None, FORBIDDEN, None, FORBIDDEN, FORBIDDEN]
    assert list(limited._subscriptions) == [many.all[0], many.all[2]]
    for name in ("ok.1", "ok.2"):
        assert await publish(limited, name) is None
    await arrived(many.got, 2)
    assert len(limited._client._direct) == 3


async def test_a_refusal_later_is_for_all_of_its_subject(
    start_server: Callable[..., NatsServer], open_connection: Opened
) -> None:
    rule = 'authorization {{users = [{{user: u, password: p, permissions: {{subscribe: {{deny: ["{}"]}}}}}}]}}'
    server = start_server(rule.format("nothing"))
    connection = await open_connection(server.url, Credentials("u", "p"))
    many = Many("a", "b", "a")
    await connection.subscribe_all(many.all)
    server.reload(rule.format("a"))
    await eventually(lambda: many.kinds() == [FORBIDDEN, None, FORBIDDEN], "both of the subject are told")


async def test_what_was_left_to_others_goes_on(connection: NatsConnection, peer: Peer) -> None:
    name = subject()
    many = Many(name, name)
    await connection.subscribe_all(many.all)
    connection.unsubscribe(many.all[0])
    await connection.barrier()
    await peer.publish(name, b"x")
    await peer.fence()
    await connection.barrier()
    assert many.got == [name]


async def test_without_a_connection(connection: NatsConnection) -> None:
    await connection.close()
    many = Many("a", "b")
    await connection.subscribe_all(many.all)
    assert many.kinds() == [NATS_UNAVAILABLE] * 2


async def test_the_connection_is_lost_meanwhile(
    start_server: Callable[..., NatsServer], open_connection: Opened
) -> None:
    server = start_server()
    connection = await open_connection(server.url)
    many, subscribing = await subscribing_at(server, connection)
    assert not subscribing.done()
    server.stop()
    await subscribing
    assert [error is not None for error in many.kinds()] == [True, True]
    assert list(connection._subscriptions) == []


async def test_cancelled(start_server: Callable[..., NatsServer], open_connection: Opened) -> None:
    server = start_server()
    connection = await open_connection(server.url)
    many, subscribing = await subscribing_at(server, connection)
    subscribing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await subscribing
    assert empty(connection), "nobody knows of them"
    server.thaw()
    await connection.barrier()
    assert interest(server).keys().isdisjoint(("a", "b"))
    assert many.kinds() == [None, None]


async def test_by_way_of_the_broker(users: NatsServer) -> None:
    broker = Broker([users.url], Metrics(), Credentials("limited", "secret"))
    await broker.start(wait=False)
    got: list[str] = []

    def deliver(publication: Publication) -> None:
        got.append(publication.subject)

    one, refused, two = await broker.subscribe_all([("ok.1", deliver), ("no", deliver), ("ok.2", deliver)])
    assert refused.ended.result().kind is FORBIDDEN
    assert not one.ended.done()
    broker.unsubscribe(one)
    broker.unsubscribe(refused)
    for name in ("ok.1", "ok.2"):
        broker.publish(name, [b"x"], lambda error: None)
    await arrived(got, 1)
    assert (got, two.ended.done()) == (["ok.2"], False)
    await broker.stop(1)
