"""Plain WebSockets when channels change: a connection is what its channel is."""

from __future__ import annotations

import asyncio

import pytest

from helpers.peer import Peer
from helpers.raw_websocket import RawWebSocket, close, text
from helpers.reload import channels_but, reload_to
from helpers.running import Running
from helpers.waiting import arrived, eventually


@pytest.fixture
def served(both_ways: Running) -> Running:
    return both_ways


async def connected(served: Running, path: str) -> RawWebSocket:
    count = served.value("wsgw_connections", transport="websocket")
    client = await served.websocket(path)
    await eventually(lambda: served.value("wsgw_connections", transport="websocket") > count, "connected")
    return client


async def test_a_removed_channel(served: Running, peer: Peer) -> None:
    client, other = await connected(served, "/ws/IN"), await connected(served, "/ws/BOTH")
    await reload_to(served.gateway, channels_but({"IN": None}))
    assert await client.receive_close() == (4504, "there is no channel 'IN' any more")
    await client.send(close(4504))
    await eventually(lambda: served.value("wsgw_closes_total", code="4504") == 1, "counted")
    await peer.publish("BOTH", "x")
    assert await other.receive() == text("x")


@pytest.mark.parametrize("other", [{"subject": "elsewhere"}, {"payload": "json"}, {"direction": "both"}])
async def test_a_changed_one(served: Running, other: dict[str, str]) -> None:
    """What the client asked for it asks for again: another stream, say, knows no position of the old one."""
    client = await connected(served, "/ws/IN")
    await reload_to(served.gateway, channels_but({"IN": other}))
    assert await client.receive_close() == (1012, "channel 'IN' is configured otherwise by now")


async def test_options_are_taken_over(served: Running, peer: Peer) -> None:
    client = await connected(served, "/ws/IN?envelope=1")
    await reload_to(served.gateway, channels_but({"IN": {"headers": ["A"], "outbox": {"messages": 5}}}))
    await peer.nats.publish("IN", b"x", headers={"A": "1", "B": "2"})
    assert b'"headers":{"A":"1"}' in bytes((await client.receive()).data)


@pytest.mark.parametrize(
    ("channels", "code"),
    [
        ({"OUT": None}, 4504),
        ({"OUT": {"direction": "inbound"}}, 4505),
        ({"OUT": {"direction": "request"}}, 4505),
    ],
)
async def test_who_only_publishes(served: Running, channels: dict[str, dict[str, str] | None], code: int) -> None:
    client = await connected(served, "/ws/OUT")
    await reload_to(served.gateway, channels_but(channels))
    assert (await client.receive_close())[0] == code


async def test_who_only_publishes_goes_on_elsewhere(served: Running, peer: Peer) -> None:
    got = await peer.listen("elsewhere")
    client = await connected(served, "/ws/OUT")
    await client.send(text("1"))
    await eventually(
        lambda: served.value("wsgw_published_messages_total", channel="OUT", transport="websocket") == 1, "settled"
    )
    await reload_to(served.gateway, channels_but({"OUT": {"subject": "elsewhere"}}))
    await client.send(text("2"), close(1000))
    assert await client.receive_close() == (1000, "")
    await arrived(got, 1)
    assert got == [b"2"]


@pytest.mark.parametrize(("query", "code"), [("", 1012), ("?receive=1", 1012)])
async def test_a_channel_that_brings_nothing_any_more(served: Running, query: str, code: int) -> None:
    """It may come back, and be told, or only publish."""
    client = await connected(served, f"/ws/BOTH{query}")
    await reload_to(served.gateway, channels_but({"BOTH": {"direction": "outbound"}}))
    assert (await client.receive_close())[0] == code
    await client.send(close(code))
    await eventually(lambda: served.value("wsgw_connections", transport="websocket") == 0, "gone")
    again = await connected(served, "/ws/BOTH")
    await again.send(text("x"), close(1000))
    assert await again.receive_close() == (1000, "")


async def test_what_it_published_is_settled_first(served: Running, peer: Peer) -> None:
    got = await peer.listen("BOTH")
    client = await connected(served, "/ws/BOTH")
    served.gateway.broker.hold()
    await client.send(text("1"), text("2"))
    await eventually(lambda: any(session.unsettled == 2 for session in served.gateway.sessions), "under way")  # type: ignore[attr-defined]
    changing = asyncio.ensure_future(reload_to(served.gateway, channels_but({"BOTH": None})))
    await eventually(changing.done, "changed")
    served.gateway.broker.release()
    assert await client.receive_close() == (4504, "there is no channel 'BOTH' any more")
    await arrived(got, 2)


async def test_a_client_that_closes_already(direct: Running, peer: Peer) -> None:
    client = await connected(direct, "/ws/OUT")
    direct.gateway.broker.hold()
    await client.send(text("1"), close(1000))
    await eventually(lambda: any(session.unsettled for session in direct.gateway.sessions), "under way")  # type: ignore[attr-defined]
    await reload_to(direct.gateway, channels_but({"OUT": None}))
    direct.gateway.broker.release()
    assert await client.receive_close() == (1000, "")
