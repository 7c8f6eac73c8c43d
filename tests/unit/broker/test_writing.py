"""What is handed over in a tick goes out at its end; corked, when it is uncorked."""

from __future__ import annotations

import pytest

from helpers.connection import publish, subject, subscribe
from helpers.peer import Peer
from helpers.waiting import arrived, eventually
from wsgw.broker.connection import NatsConnection
from wsgw.broker.subscription import NatsSubscription
from wsgw.errors import UNCONFIRMED, GatewayError


async def test_corked(connection: NatsConnection, peer: Peer) -> None:
    name = subject()
    heard = await peer.listen(name)
    told: list[GatewayError | None] = []
    connection.cork()
    connection.publish(name, [b"a"], told.append)
    got: list[bytes] = []
    connection.listen(NatsSubscription(name, lambda publication: got.append(publication.payload)))
    await peer.fence()
    await peer.fence()
    assert (heard, told) == ([], [])
    connection.publish(name, [b"b"], told.append)
    assert connection.in_flight[0] == 2
    connection.uncork()
    await arrived(heard, 2)
    assert heard == [b"a", b"b"]
    await eventually(lambda: told == [None, None], "they are confirmed")
    await peer.publish(name, b"c")
    await eventually(lambda: got[-1:] == [b"c"], "the subscription is there, too")
    connection.uncork()
    assert await publish(connection, name) is None


async def test_a_loss_meanwhile(connection: NatsConnection) -> None:
    told: list[GatewayError | None] = []
    connection.cork()
    connection.publish("a", [b"a"], told.append)
    await connection.close()
    connection.uncork()
    (error,) = told
    assert error is not None
    assert error.kind is UNCONFIRMED


async def test_what_was_written_before_is_confirmed(connection: NatsConnection, peer: Peer) -> None:
    name = subject()
    _, got = await subscribe(connection, name)
    told: list[GatewayError | None] = []
    connection.publish(name, [b"a"], told.append)
    await connection.barrier()
    connection.cork()
    assert told == [None]
    await peer.publish(name, b"b")
    await arrived(got, 2)


@pytest.mark.parametrize("corked", [False, True])
async def test_a_barrier(connection: NatsConnection, corked: bool) -> None:
    if corked:
        connection.cork()
    barrier = connection.barrier()
    connection.uncork()
    await barrier


async def test_what_was_handed_over_before_goes_out(connection: NatsConnection, peer: Peer) -> None:
    name = subject()
    heard = await peer.listen(name)
    told: list[GatewayError | None] = []
    connection.publish(name, [b"a"], told.append)
    connection.cork()
    await arrived(heard, 1)
    await eventually(lambda: told == [None], "and is confirmed")
