"""A gateway that stops: a Socket.IO client is told all that came of what it sent, and then it is closed."""

from __future__ import annotations

import asyncio

import pytest

from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.running import Running
from helpers.waiting import arrived, eventually
from wsgw.surfaces.socketio.channels import ChannelsHandler

from .client import Client
from .endpoint import Endpoint

HANDSHAKE = {"type": "http", "method": "GET", "query_string": b"EIO=4&transport=polling"}


@pytest.fixture
def drainable(served: Running, client: Client) -> ChannelsHandler:
    """The client, as the stop has it."""
    (found,) = served.gateway.drain._clients
    assert isinstance(found, ChannelsHandler)
    return found


async def test_what_it_sent_just_now_is_published_and_answered(
    client: Client, drainable: ChannelsHandler, peer: Peer
) -> None:
    heard = await peer.listen("OUT")
    client.send('27["OUT","x"]')
    drainable.drain()
    assert client.ended == []
    assert client.held == [True]
    assert await client.received(1) == ["437[true]"]
    assert client.ended == [("close", 1001)]
    assert client.held == [True, False], "a POST of which all was taken is answered, too"
    await arrived(heard, 1)


async def test_it_has_its_replies(client: Client, drainable: ChannelsHandler, peer: Peer) -> None:
    asked = await peer.messages("math.sum")
    client.send('27["SUM","x"]')
    client.send('28["SUM","y"]')
    await eventually(lambda: len(asked) == 2, "they are asked")
    drainable.drain()
    await asked[0].respond(b"1")
    assert await client.received(1) == ['437["1"]']
    assert client.ended == []
    await asked[1].respond(b"2")
    assert await client.received(1) == ['438["2"]']
    await eventually(lambda: client.ended == [("close", 1001)], "closed")


async def test_a_request_that_nobody_answers_is_told_so(client: Client, drainable: ChannelsHandler) -> None:
    client.send('27["SUM","x"]')
    drainable.drain()
    assert '"no_responders"' in (await client.received(1))[0]
    await eventually(lambda: client.ended == [("close", 1001)], "closed")


async def test_it_is_not_read_again_because_nats_goes_on(
    nats: NatsServer, client: Client, drainable: ChannelsHandler
) -> None:
    nats.freeze()
    client.send('27["OUT","x"]')
    drainable.drain()
    drainable.hold()
    drainable.release()
    await asyncio.sleep(0)
    assert False not in client.held
    nats.thaw()
    await eventually(lambda: client.ended == [("close", 1001)], "closed")


async def test_one_that_waits_for_nothing_goes_at_once(client: Client, drainable: ChannelsHandler) -> None:
    drainable.drain()
    assert client.ended == [("close", 1001)]
    assert client.held == []


async def test_it_goes_by_itself_meanwhile(
    served: Running, client: Client, drainable: ChannelsHandler, peer: Peer
) -> None:
    asked = await peer.messages("math.sum")
    client.send('27["SUM","x"]')
    await eventually(lambda: asked, "it is asked")
    drainable.drain()
    client.sockets.closed(1006)
    await asyncio.sleep(0)
    assert client.ended == []
    assert not served.gateway.drain._clients


async def test_sessions_that_are_not_connected_go_first() -> None:
    """They are of no client that the stop knows of; the others are its business."""
    endpoint = Endpoint()
    endpoint.accepting = False
    early, connected = endpoint.open(websocket=False), endpoint.open(websocket=False)
    connected.accepted()
    endpoint.server.refuse_new()
    assert [service.code for service in endpoint.services] == [1001, None]
    await endpoint.call(HANDSHAKE)
    assert endpoint.sent[0]["status"] == 503
    assert value(endpoint.metrics, "wsgw_rejected_total", reason="draining") == 1
    endpoint.server.close_all()
    assert [service.code for service in endpoint.services] == [1001, 1001]
    for session in (early, connected):
        session.fail(1000)
    assert await endpoint.server.wait_gone(10)


async def test_a_connect_that_was_under_way_when_the_stop_began(served: Running) -> None:
    client = Client(served, {"channels": "chat.1"})
    client.send("0")
    await asyncio.sleep(0)  # it waits for NATS' interest
    served.gateway.drain.begin()
    await eventually(lambda: client.ended == [("close", 1001)], f"sent away, not {client.ended}")
    await client.stop()
