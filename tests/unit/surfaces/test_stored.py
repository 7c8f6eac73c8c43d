"""What clients of durable channels are told, and when: by HTTP and plain WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from websockets.frames import Close, Opcode

from helpers.nats_server import NatsServer, StartNats
from helpers.peer import Peer
from helpers.raw_websocket import RawWebSocket, close, text
from helpers.running import Running, running
from helpers.storing import make_stream, stored
from helpers.waiting import arrived, eventually
from wsgw.broker import lane
from wsgw.broker import stored as module

CHANNELS = [
    {"name": "s", "direction": "both", "durable": {"stream": "S", "managed": False}},
    {"name": "nowhere", "direction": "outbound", "durable": {"stream": "NONE", "managed": False}},
    {"name": "room.*", "direction": "outbound", "durable": {"stream": "ROOMS", "managed": False}},
    {"name": "OUT", "direction": "outbound"},
]


@pytest.fixture
async def served(jetstream: NatsServer) -> AsyncIterator[Running]:
    await make_stream(jetstream.url, max_msgs=3, discard="new")
    async with running(jetstream.url, channels=CHANNELS, ready=False) as made:
        await eventually(lambda: "s" not in (made.gateway.readiness().bridges or {"s": ""}), "its stream is there")
        yield made


async def test_a_post(served: Running, jetstream: NatsServer) -> None:
    for sequence in (1, 2):
        answer = await served.http.post("/publish/s", content=b"%d" % sequence)
        assert (answer.status_code, answer.json()) == (202, {"accepted": True, "seq": sequence})
    assert await stored(jetstream.url) == [b"1", b"2"]
    assert served.value("wsgw_published_messages_total", channel="s", transport="http") == 2
    assert served.value("wsgw_publish_seconds_count", channel="s") == 2


async def test_a_pattern(served: Running, jetstream: NatsServer) -> None:
    await make_stream(jetstream.url, "ROOMS", "room.*")
    for name, sequence in (("room.1", 1), ("room.2", 2)):
        answer = await served.http.post(f"/publish/{name}", content=b"x")
        assert answer.json() == {"accepted": True, "seq": sequence}


async def test_a_post_that_is_sent_again(served: Running, jetstream: NatsServer) -> None:
    headers = {"Nats-Msg-Id": "order-17"}
    assert (await served.http.post("/publish/s", content=b"x", headers=headers)).json() == {"accepted": True, "seq": 1}
    answer = await served.http.post("/publish/s", content=b"x", headers=headers)
    assert (answer.status_code, answer.json()) == (202, {"accepted": True, "seq": 1, "duplicate": True})
    assert await stored(jetstream.url) == [b"x"]


@pytest.mark.parametrize("value", ["", "a b", "x" * 200, "é"])
async def test_an_id_that_is_none(served: Running, value: str) -> None:
    headers = {b"Nats-Msg-Id": value.encode()}
    answer = await served.http.post("/publish/s", content=b"x", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    assert (await served.http.post("/publish/OUT", content=b"x", headers=headers)).status_code == 202


async def test_two_ids_are_none(served: Running) -> None:
    answer = await served.http.post("/publish/s", content=b"x", headers=[("Nats-Msg-Id", "a"), ("Nats-Msg-Id", "b")])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


async def test_an_id_on_a_plain_channel_goes_unsaid(served: Running, jetstream: NatsServer) -> None:
    peer = await Peer.connect(jetstream.url)
    got = await peer.messages("OUT")
    answer = await served.http.post("/publish/OUT", content=b"x", headers={"Nats-Msg-Id": "a"})
    assert answer.json() == {"accepted": True}
    await arrived(got, 1)
    assert got[0].headers is None
    await peer.close()


async def test_why_not(served: Running, jetstream: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.3)
    for _ in range(3):
        assert (await served.http.post("/publish/s", content=b"x")).status_code == 202
    for path, channel, status, code in (
        ("/publish/s", "s", 503, "stream_full"),
        ("/publish/nowhere", "nowhere", 503, "not_stored"),
    ):
        answer = await served.http.post(path, content=b"x")
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert served.value("wsgw_publish_errors_total", channel=channel, reason=code) == 1
    jetstream.freeze()
    answer = await served.http.post("/publish/s", content=b"x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "maybe_stored")
    jetstream.thaw()


class TestWebSocket:
    async def test_all_are_stored(self, served: Running, jetstream: NatsServer) -> None:
        client = await served.websocket("/ws/s")
        await client.send(text("a"), text("b"), close(1000))
        assert await closed(client) == (1000, "")
        assert await stored(jetstream.url) == [b"a", b"b"]

    async def test_how_many_are(self, served: Running, jetstream: NatsServer) -> None:
        client = await served.websocket("/ws/s")
        await client.send(*(text(str(number)) for number in range(5)), close(1000))
        code, reason = await closed(client)
        assert code == 1013
        assert reason.startswith("accepted 3 of 5: the stream 'S' refuses it: maximum messages exceeded")
        assert await stored(jetstream.url) == [b"0", b"1", b"2"]

    async def test_it_waits_until_all_is_known(
        self, served: Running, jetstream: NatsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And takes nothing more meanwhile."""
        monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.5)
        monkeypatch.setattr(lane, "WINDOW_MESSAGES", 2)
        client = await served.websocket("/ws/nowhere")
        await client.send(*(text(str(number)) for number in range(5)))
        code, reason = await closed(client)
        assert code == 1013
        assert reason.startswith("accepted 0 of 5: the stream 'NONE' has not stored it: no stream takes it")

    async def test_plain_channels_too(self, denied: Running) -> None:
        client = await denied.websocket("/ws/OUT")
        await client.send(text("x"), text("y"), close(1000))
        code, reason = await closed(client)
        assert code == 4503
        assert reason.startswith("accepted 0 of 2: NATS refuses 'OUT'")

    async def test_a_drain_waits_for_what_is_on_its_way(self, served: Running, jetstream: NatsServer) -> None:
        client = await served.websocket("/ws/OUT")
        jetstream.freeze()
        before = served.value("wsgw_publishes_in_flight")  # a bridge without a stream may be asking for it
        await client.send(text("x"))
        await eventually(lambda: served.value("wsgw_publishes_in_flight") > before, "in flight")
        draining = asyncio.get_running_loop().create_task(served.gateway.drain.run())
        await eventually(lambda: served.gateway.drain.begun, "draining")
        jetstream.thaw()
        assert await closed(client) == (1001, "the gateway is stopping")
        await client.send(close(1001))
        await draining

    async def test_a_drain_does_not_wait_for_ever(self, served: Running, jetstream: NatsServer) -> None:
        client = await served.websocket("/ws/OUT")
        jetstream.freeze()
        before = served.value("wsgw_publishes_in_flight")  # a bridge without a stream may be asking for it
        await client.send(text("x"))
        await eventually(lambda: served.value("wsgw_publishes_in_flight") > before, "in flight")
        draining = asyncio.get_running_loop().create_task(served.gateway.drain.run())
        assert await closed(client) == (1001, "accepted 0 of 1: the gateway is stopping")
        await draining
        jetstream.thaw()


@pytest.fixture
async def denied(start_server: StartNats) -> AsyncIterator[Running]:
    """A gateway that may not publish to OUT."""
    rule = '{publish: {deny: ["OUT"]}}'
    server = start_server(f"authorization {{users = [{{user: u, password: p, permissions: {rule}}}]}}")
    async with running(server.url.replace("//", "//u:p@")) as made:
        yield made


async def closed(client: RawWebSocket) -> tuple[int, str]:
    """The close, behind what the channel brings."""
    frame = await client.receive()
    while frame.opcode is not Opcode.CLOSE:
        frame = await client.receive()
    told = Close.parse(bytes(frame.data))
    return told.code, told.reason
