"""Requests of a Socket.IO client: what their acks say, how many wait, and what ends with the client."""

from __future__ import annotations

import asyncio

import pytest

from helpers.peer import Peer
from helpers.raw_websocket import text
from helpers.running import Running
from helpers.waiting import arrived, eventually
from wsgw.config.limits import LimitsSettings

from .client import Client


def waiting(served: Running) -> tuple[int, int, int]:
    """Requests that wait, their bytes, and those of the connection to NATS."""
    broker = served.gateway.broker
    assert broker._connection is not None
    return broker._requests, broker._request_bytes, len(broker._connection._requests)


async def test_nobody_and_no_reply_are_told_apart(served: Running, client: Client, peer: Peer) -> None:
    assert await client.error('27["SUM","x"]') == "no_responders"
    asked = await peer.listen("math.sum")
    assert await client.error('27["SUM","x"]') == "timeout"
    assert asked == [b"x"]
    for reason in ("no_responders", "timeout"):
        assert served.value("wsgw_publish_errors_total", channel="SUM", reason=reason) == 1
    assert waiting(served) == (0, 0, 0)


async def test_an_error_of_the_responder(served: Running, client: Client, peer: Peer) -> None:
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    headers = {"Nats-Service-Error": 'no "such" order\x1b', "Nats-Service-Error-Code": "404"}
    await peer.answer_with("math.sum", b"not for clients", headers)
    assert await client.ack('27["SUM","x"]') == {
        "error": {"code": "service_error", "message": 'no "such" order\\x1b', "service_code": "404"}
    }
    client.send('2["SUM","nobody asks for the answer"]')
    await eventually(
        lambda: served.value("wsgw_publish_errors_total", channel="SUM", reason="service_error") == 2, "counted"
    )
    assert await client.error('27["SUM","x"]') == "service_error", "the connection stays"
    assert faults == []


async def test_each_has_its_own_words(client: Client, peer: Peer) -> None:
    """Also of those that fail in the same tick."""
    asked = await peer.messages("math.sum")
    for number in range(3):
        client.send(f'2{number}["SUM","x"]')
    await arrived(asked, 3)
    for number, message in enumerate(asked):
        headers = {"Nats-Service-Error": "no", "Nats-Service-Error-Code": str(400 + number)}
        await peer.nats.publish(message.reply, b"", headers=headers)
    assert await client.received(3) == [
        f'43{number}[{{"error":{{"code":"service_error","message":"no","service_code":"{400 + number}"}}}}]'
        for number in range(3)
    ]


@pytest.mark.parametrize("way", ["packet", "connection"])
async def test_a_socket_that_goes_takes_its_requests_with_it(
    served: Running, client: Client, peer: Peer, way: str
) -> None:
    asked = await peer.listen("math.sum")
    for _ in range(3):
        client.send('27["SUM","12345"]')
    await arrived(asked, 3)
    assert waiting(served) == (3, 15, 3)
    if way == "packet":
        client.send("1")
    else:
        client.sockets.closed(1006)
    await eventually(lambda: waiting(served) == (0, 0, 0), "nothing of it waits")
    assert served.value("wsgw_publish_errors_total", channel="SUM", reason="timeout") == 0


async def test_a_lost_websocket_takes_them_too(served: Running, peer: Peer) -> None:
    asked = await peer.listen("math.sum")
    client = await served.websocket("/socket.io/?EIO=4&transport=websocket&channels=IN")
    await client.send(text("40"))
    await client.send(text('420["SUM","x"]'))
    await arrived(asked, 1)
    assert waiting(served) == (1, 1, 1)
    client.close()
    await eventually(lambda: waiting(served) == (0, 0, 0), "nothing of it waits")


async def test_who_has_too_many_asks_again_when_one_is_answered(
    served: Running, client: Client, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.gateway.edge, "limits", LimitsSettings(session_requests=2))
    asked = await peer.messages("math.sum")
    other = Client(served, {"channels": "IN"})
    await other.opened()
    for number in range(2):
        client.send(f'2{number}["SUM","x"]')
    assert await client.error('27["SUM","y"]') == "overloaded"
    other.send('20["SUM","other"]')
    await arrived(asked, 3)
    assert sorted(message.data for message in asked) == [b"other", b"x", b"x"]
    await peer.nats.publish(next(message for message in asked if message.data == b"x").reply, b"!")
    await client.received(1)
    client.send('27["SUM","z"]')
    await arrived(asked, 4)
    await other.stop()
