"""``/ws/{channel}``: one channel, frames are payloads, and the closing handshake is the acknowledgement."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.raw_websocket import binary, close, text
from helpers.running import Running, running
from helpers.waiting import arrived, eventually
from wsgw.broker import broker, connection
from wsgw.channels.channel import Use
from wsgw.core import backpressure
from wsgw.fanout.link import Link
from wsgw.protocols.handshake import Handshake
from wsgw.surfaces import websocket as surface
from wsgw.transports.accept import open_link


@pytest.fixture
def served(both_ways: Running) -> Running:
    return both_ways


async def test_nats_to_client(served: Running, peer: Peer) -> None:
    client = await served.websocket("/ws/IN")
    await eventually(lambda: served.value("wsgw_subscriptions", channel="IN") == 1, "subscribed")
    assert served.value("wsgw_connections", transport="websocket") == 1
    await peer.publish("IN", b"", "é", b"\xff", b"x" * 100_000)
    assert [await client.receive() for _ in range(4)] == [text(""), text("é"), binary(b"\xff"), text("x" * 100_000)]
    await client.send(close(1000))
    assert await client.receive_close() == (1000, "")
    await eventually(lambda: served.value("wsgw_connections", transport="websocket") == 0, "gone")
    assert served.value("wsgw_subscriptions", channel="IN") == 0
    assert served.value("wsgw_closes_total", code="1000") == 1
    assert served.value("wsgw_deliveries_total", channel="IN", transport="websocket") == 4
    assert served.value("wsgw_delivered_bytes_total", channel="IN") == 100_003


async def test_client_to_nats(served: Running, peer: Peer) -> None:
    got = await peer.listen("OUT")
    client = await served.websocket("/ws/OUT")
    await client.send(text(""), text("é"), binary(b"\xff\0"), *[text(str(number)) for number in range(500)])
    await arrived(got, 503)
    assert got[:3] == [b"", "é".encode(), b"\xff\0"]
    assert got[3:] == [b"%d" % number for number in range(500)]
    await client.send(close(1000))
    assert await client.receive_close() == (1000, "")
    assert served.value("wsgw_published_messages_total", channel="OUT", transport="websocket") == 503


async def test_both_ways_and_patterns(served: Running) -> None:
    one, two = await served.websocket("/ws/chat.1"), await served.websocket("/ws/chat.1")
    other, every = await served.websocket("/ws/chat.2"), await served.websocket("/ws/chat.*")
    await eventually(lambda: served.value("wsgw_subscriptions", channel="chat.*") == 4, "subscribed")
    await one.send(text("hi"))
    for client in (one, two, every):
        assert await client.receive() == text("hi")
    await other.send(text("there"))
    assert await other.receive() == text("there")
    assert await every.receive() == text("there")
    await every.send(text("no place"))
    assert (await every.receive_close())[0] == 4504


async def test_the_handshake_is_not_kept(direct: Running) -> None:
    client = await direct.websocket("/ws/IN?token=of-this-test")
    await eventually(lambda: direct.value("wsgw_connections", transport="websocket") == 1, "open")
    await eventually(lambda: not kept_queries(), "it is forgotten")
    await client.send(close(1000))


def kept_queries() -> list[object]:
    """The handshakes, and ASGI scopes, that somebody in this process holds on to, by their query."""
    return [
        each
        for each in gc.get_objects()
        if (type(each) is dict and each.get("query_string") == b"token=of-this-test")
        or (type(each) is Handshake and each.query.get("token") == "of-this-test")
    ]


@pytest.mark.parametrize(
    ("path", "code", "reason"),
    [
        ("NOPE", 4504, "there is no channel 'NOPE'"),
        ("chat.a.b", 4504, "there is no channel 'chat.a.b'"),
        ("chat.%3E", 4504, "there is no channel 'chat.>'"),
        ("a/b", 4504, "there is no channel 'a/b'"),
        ("SUM", 4505, "channel 'SUM' is request; inbound or both is needed here"),
    ],
)
async def test_refusals_are_close_codes(served: Running, path: str, code: int, reason: str) -> None:
    client = await served.websocket(f"/ws/{path}")
    assert await client.receive_close() == (code, reason)
    await client.send(close(code))
    await eventually(lambda: served.value("wsgw_closes_total", code=str(code)) == 1, "counted")
    name = "unknown_channel" if code == 4504 else "wrong_direction"
    assert served.value("wsgw_rejected_total", reason=name) == 1


async def test_publishing_to_an_inbound_channel(served: Running) -> None:
    client = await served.websocket("/ws/IN")
    await client.send(text("x"))
    assert (await client.receive_close())[0] == 4505
    assert served.value("wsgw_publish_errors_total", channel="IN", reason="wrong_direction") == 1


async def test_the_size_limit_is_that_of_nats(served: Running, peer: Peer) -> None:
    got = await peer.listen("OUT")
    client = await served.websocket("/ws/OUT")
    await client.send(binary(bytes(1024 * 1024)))
    await arrived(got, 1)
    await client.send(binary(bytes(1024 * 1024 + 1)))
    assert (await client.receive_close())[0] == 1009
    assert len(got) == 1


class TestAcknowledgement:
    async def test_the_close_waits_for_nats(self, start_server: Callable[..., NatsServer]) -> None:
        server = start_server()
        async with running(server.url) as served:
            client = await served.websocket("/ws/OUT")
            server.freeze()
            await client.send(text("x"), close(1000))
            answer = asyncio.get_running_loop().create_task(client.receive_close())
            await eventually(lambda: served.value("wsgw_publishes_in_flight") == 1, "in flight")
            await asyncio.sleep(0.05)
            assert not answer.done()
            server.thaw()
            assert await answer == (1000, "")

    async def test_unknown_whether_accepted(
        self, start_server: Callable[..., NatsServer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = start_server()
        async with running(server.url) as served:
            client = await served.websocket("/ws/OUT")
            server.freeze()
            await client.send(text("x"), close(1000))
            await eventually(lambda: served.value("wsgw_publishes_in_flight") == 1, "in flight")
            server.stop()
            code, reason = await client.receive_close()
            assert code == 1013
            assert "unknown whether accepted" in reason

    async def test_without_nats(self, start_server: Callable[..., NatsServer]) -> None:
        server = start_server()
        server.stop()
        async with running(server.url, ready=False) as served:
            client = await served.websocket("/ws/OUT")
            await client.send(text("x"))
            assert (await client.receive_close())[0] == 1013
            waiting = await served.websocket("/ws/IN")
            server.start()
            await eventually(lambda: served.gateway.readiness().ready, "ready")
            peer = await Peer.connect(server.url)
            await peer.publish("IN", b"x")
            assert await waiting.receive() == text("x")
            await peer.close()

    async def test_a_denied_subject(self, start_server: Callable[..., NatsServer]) -> None:
        rule = '{publish: {deny: ["OUT"]}, subscribe: {deny: ["rooms.1"]}}'
        server = start_server(f"authorization {{users = [{{user: u, password: p, permissions: {rule}}}]}}")
        async with running(server.url.replace("//", "//u:p@")) as served:
            client = await served.websocket("/ws/OUT")
            await client.send(text("x"), close(1000))
            assert (await client.receive_close())[0] == 4503
            reader = await served.websocket("/ws/chat.1")
            assert (await reader.receive_close())[0] == 4503


async def test_drain(served: Running) -> None:
    client = await served.websocket("/ws/IN")
    draining = asyncio.get_running_loop().create_task(served.gateway.drain.run())
    assert await client.receive_close() == (1001, "the gateway is stopping")
    await client.send(close(1001))
    await draining
    late = await served.websocket("/ws/IN")
    assert late.response is not None
    assert late.response.status_code == 503
    assert b"draining" in late.response.body
    assert served.value("wsgw_rejected_total", reason="draining") == 1


async def test_a_stop_while_a_handshake_is_answered(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds no connection that it could close."""
    stops: list[asyncio.Task[None]] = []

    async def opening(*arguments: Any) -> Link:
        stops.append(asyncio.get_running_loop().create_task(served.gateway.drain.run()))
        await eventually(lambda: served.gateway.drain.begun, "the stop begins")
        return await open_link(*arguments)

    monkeypatch.setattr(surface, "open_link", opening)
    client = await served.websocket("/ws/IN")
    assert await client.receive_close() == (1001, "the gateway is stopping")
    await client.send(close(1001))
    await asyncio.gather(*stops)


async def test_a_drain_does_not_wait_for_ever(direct: Running) -> None:
    client = await direct.websocket("/ws/IN")
    async with asyncio.timeout(10):
        await direct.gateway.drain.run()
    assert (await client.receive_close())[0] == 1001
    await client.end()
    await eventually(lambda: direct.value("wsgw_connections", transport="websocket") == 0, "gone")


async def test_a_stalled_client_beside_a_healthy_one(direct: Running, peer: Peer) -> None:
    stalled = await direct.websocket("/ws/IN", receive_buffer_bytes=4096)
    healthy = await direct.websocket("/ws/IN")
    await eventually(lambda: direct.value("wsgw_subscriptions", channel="IN") == 2, "subscribed")
    payload = "x" * 100_000
    for number in range(200):
        await peer.publish("IN", f"{number:06}{payload}")
        assert bytes((await healthy.receive()).data[:6]) == b"%06d" % number
    dropped = direct.value("wsgw_dropped_messages_total", channel="IN", policy="drop_oldest")
    assert dropped > 50
    limit = direct.gateway.channels.find("IN", Use.SUBSCRIBE).outbox_bytes
    assert direct.value("wsgw_outbox_bytes") <= limit + 100_006
    stalled.close()
    await eventually(lambda: direct.value("wsgw_outbox_messages") == 0, "its outbox is forgotten")


async def test_too_many_publishes_in_flight_pause_the_reading(
    start_server: Callable[..., NatsServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "MAX_IN_FLIGHT_MESSAGES", 1000)
    monkeypatch.setattr(connection, "FENCE_TIMEOUT_SECONDS", 30.0)
    server = start_server()
    async with running(server.url) as served:
        peer = await Peer.connect(server.url)
        got = await peer.listen("OUT")
        client = await served.websocket("/ws/OUT")
        server.freeze()
        sent = 0
        while served.value("wsgw_publishes_in_flight") <= 1000:
            await client.send(text(str(sent)))
            sent += 1
            await asyncio.sleep(0)
        for _ in range(500):
            await client.send(text(str(sent)))
            sent += 1
        await asyncio.sleep(0.05)
        assert served.value("wsgw_publishes_in_flight") < 1500
        server.thaw()
        await arrived(got, sent)
        assert got == [b"%d" % number for number in range(sent)]
        await client.send(close(1000))
        assert (await client.receive_close())[0] == 1000
        await peer.close()


async def test_the_client_goes_while_its_subscription_is_made(
    start_server: Callable[..., NatsServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_server()
    async with running(server.url) as served:
        server.freeze()
        opening = asyncio.get_running_loop().create_task(served.websocket("/ws/chat.1"))
        bridges: Any = served.gateway.bridges._bridges["chat.*"]
        await eventually(lambda: bridges._interests, "it joins")
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        served.close()
        server.thaw()
        await eventually(lambda: not bridges._interests["chat.1"].sessions, "it has left")
        assert served.value("wsgw_connections", transport="websocket") == 0
        assert served.value("wsgw_subscriptions", channel="chat.*") == 0


@pytest.mark.parametrize("limit", ["MAX_UNSETTLED_MESSAGES", "MAX_UNSETTLED_BYTES"])
async def test_a_client_with_much_out_is_not_read_from(
    start_server: Callable[..., NatsServer], monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    size, count, most = 16 * 1024, 1200, 64
    monkeypatch.setattr(backpressure, limit, most if "MESSAGES" in limit else most * size)
    server = start_server()
    async with running(server.url) as served:
        peer = await Peer.connect(server.url)
        client = await served.websocket("/ws/OUT")
        received = await peer.listen("OUT")
        server.freeze()
        frames = [text(f"{number:05}".ljust(size)) for number in range(count)]
        sending = asyncio.create_task(client.send(*frames, close(1000)))
        await eventually(lambda: served.value("wsgw_publishes_in_flight") > most, "the limit")
        held = served.value("wsgw_publishes_in_flight")
        assert held <= most + 256 * 1024 // size + 1  # one read goes over it
        assert not sending.done()
        server.thaw()
        await sending
        assert await client.receive_close() == (1000, "")
        await arrived(received, count)
        assert [int(payload[:5]) for payload in received] == list(range(count))
        await peer.close()
