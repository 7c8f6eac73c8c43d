"""Real faults of NATS and of the network to it: what is acknowledged stays true, and traffic comes back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from helpers.client import Client, Refused
from helpers.client_socketio import SocketIOClient, SocketIOTransport, error_of
from helpers.client_websocket import WebSocketTransport
from helpers.gateway import GatewayProcess, StartGateway
from helpers.interest import nats_has
from helpers.nats_server import NatsServer, StartNats
from helpers.peer import Peer
from helpers.proxy import Proxy
from helpers.waiting import arrived, eventually

CHANNELS = [
    {"name": "IN", "direction": "inbound"},
    {"name": "OUT", "direction": "outbound"},
    {"name": "chat.*", "direction": "both"},
    {"name": "sum", "direction": "request"},
]


@pytest.fixture
def nats(start_nats: StartNats) -> NatsServer:
    """A server to break."""
    return start_nats()


async def test_nats_gone_and_back(
    nats: NatsServer, start_gateway: StartGateway, websocket: WebSocketTransport, socketio: SocketIOTransport
) -> None:
    gateway = start_gateway(nats.url, CHANNELS)
    await gateway.ready()
    listeners: list[Client] = [
        await websocket.open(gateway, "IN", "chat.a"),
        await socketio.open(gateway, "IN", "chat.a"),
    ]
    sender = await socketio.open(gateway)
    for gone in (1, 2):
        nats.stop()
        await gateway.ready(False)
        assert gateway.readiness()[1]["nats"] == "not connected"
        assert gateway.metric("wsgw_nats_connected") == 0

        await sender.send("OUT", "while away")
        assert await sender.confirm() == ["nats_unavailable"]
        with pytest.raises(Refused) as refused:
            await sender.request("sum", "1+1")
        assert refused.value.code == "nats_unavailable"
        plain = await websocket.open(gateway)
        await plain.send("OUT", "while away")
        assert await plain.confirm() == ["nats_unavailable"]
        assert await gateway.post("/publish/OUT", b"while away") == (503, "nats_unavailable")

        nats.start()
        await gateway.ready()
        assert gateway.metric("wsgw_nats_reconnects_total") == gone
        assert gateway.metric("wsgw_gaps_total", channel="IN") == gone
        assert gateway.metric("wsgw_gaps_total", channel="chat.*") == gone
        peer = await Peer.connect(nats.url)
        heard = await peer.listen("OUT")
        for listener in listeners:
            listener.received.clear()
        await nats_has(nats, {"chat.a": 1})  # a moment after the bridge is ready
        await peer.publish("IN", f"back {gone}")
        await peer.publish("chat.a", f"back {gone}")
        for listener in listeners:
            await arrived(listener.received, 2)
            assert [payload for _, payload in listener.received] == [f"back {gone}"] * 2
        await sender.send("OUT", f"back {gone}")
        assert await sender.confirm() == []
        await arrived(heard, 1)
        assert heard == [b"back %d" % gone]
        await peer.close()
    assert all(listener.connected for listener in listeners)


async def test_nats_that_hangs(nats: NatsServer, start_gateway: StartGateway, socketio: SocketIOTransport) -> None:
    """A stopped process keeps its connections: the silence has to be noticed, and nothing may wait for ever."""
    gateway = start_gateway(nats.url, CHANNELS)
    await gateway.ready()
    client = await socketio.open(gateway, "IN")
    nats.freeze()
    await client.send("OUT", "into the silence")
    posted, refusal = await asyncio.gather(
        gateway.post("/publish/OUT", b"into the silence"), client.request("sum", "?"), return_exceptions=True
    )
    assert await client.confirm() == ["unconfirmed"]
    assert posted == (504, "unconfirmed")
    assert isinstance(refusal, Refused)
    await gateway.ready(False)
    await client.send("OUT", "later")
    assert await client.confirm() == ["nats_unavailable"]
    nats.thaw()
    await gateway.ready()
    peer = await Peer.connect(nats.url)
    heard = await peer.listen("OUT")
    await peer.publish("IN", "back")
    await arrived(client.received, 1)
    assert client.received == [("IN", "back")]
    await client.send("OUT", "back")
    assert await client.confirm() == []
    await eventually(lambda: b"back" in heard, "the message on NATS")
    assert b"later" not in heard
    await peer.close()


class Ledger:
    """What NATS really got on OUT, told by a peer that is not cut off from it."""

    def __init__(self, proxy: Proxy, peer: Peer, gateway: GatewayProcess, heard: list[bytes]) -> None:
        self.proxy = proxy
        self.gateway = gateway
        self.heard = heard
        self._peer = peer

    async def restore(self) -> None:
        """End a cut; on return the gateway is ready and all that NATS got before is in ``heard``."""
        self.proxy.restore()
        await self.gateway.ready()
        await self._peer.publish("OUT", "mark")
        await eventually(lambda: b"mark" in self.heard, "the mark")
        self.heard.remove(b"mark")

    def check(self, sent: list[bytes], codes: list[str | None]) -> None:
        """Each message by its answer: accepted ones are there, once; those never handed to NATS are not; in order."""
        for payload, code in zip(sent, codes, strict=True):
            times = self.heard.count(payload)
            if code is None:
                assert times == 1, f"{payload!r} was acknowledged and NATS got it {times} times"
            elif code == "nats_unavailable":
                assert times == 0, f"{payload!r} was refused and NATS got it"
            else:
                assert (code, times <= 1) == ("unconfirmed", True)
        there = set(self.heard)
        assert self.heard == [payload for payload in sent if payload in there]


@pytest.fixture
async def ledger(nats_server: NatsServer, start_gateway: StartGateway) -> AsyncIterator[Ledger]:
    proxy = await Proxy.start(nats_server.port)
    gateway = start_gateway(proxy.url, CHANNELS)
    await gateway.ready()
    peer = await Peer.connect(nats_server.url)
    yield Ledger(proxy, peer, gateway, await peer.listen("OUT"))
    await peer.close()
    gateway.kill()
    await proxy.close()


async def burst(client: SocketIOClient, payloads: list[bytes], at: int, act: Callable[[], None]) -> list[str | None]:
    """Emit all of ``payloads``, 100 of them unanswered at a time, and ``act`` when ``at`` are answered; the answers."""
    answered = 0
    window = asyncio.Semaphore(100)

    def count(_: object) -> None:
        nonlocal answered
        answered += 1
        if answered == at:
            act()
        window.release()

    acks = []
    for payload in payloads:
        await window.acquire()
        acks.append(await client.emit("OUT", payload))
        acks[-1].add_done_callback(count)
    await eventually(lambda: all(ack.done() for ack in acks), "an answer to each message")
    return [error_of(ack.result()) for ack in acks]


@pytest.mark.parametrize("seed", range(6))
async def test_acks_stay_true_when_nats_is_cut_off(ledger: Ledger, socketio: SocketIOTransport, seed: int) -> None:
    client = await socketio.open(ledger.gateway)
    payloads = [b"%d" % number for number in range(2000)]
    act = ledger.proxy.hold if seed == 0 else ledger.proxy.cut
    codes = await burst(client, payloads, random.Random(seed).randrange(1, 1000), act)
    await ledger.restore()
    ledger.check(payloads, codes)
    assert None in codes
    assert set(codes) - {None}


async def test_acks_when_nats_is_killed(
    nats: NatsServer, start_gateway: StartGateway, socketio: SocketIOTransport
) -> None:
    """What a killed server had processed nobody knows afterwards; but every message is answered, and none is late."""
    gateway = start_gateway(nats.url, CHANNELS)
    await gateway.ready()
    client = await socketio.open(gateway)
    codes = await burst(client, [b"x"] * 2000, 500, nats.stop)
    assert set(codes) <= {None, "unconfirmed", "nats_unavailable"}
    assert codes[:500] == [None] * 500
    nats.start()
    await gateway.ready()
    peer = await Peer.connect(nats.url)
    heard = await peer.listen("OUT")
    await client.send("OUT", "after")
    assert await client.confirm() == []
    await arrived(heard, 1)
    assert heard == [b"after"]  # nothing that was answered with an error is sent later
    await peer.close()


async def test_http_answers_stay_true_when_nats_is_cut_off(ledger: Ledger) -> None:
    payloads = [b"%d" % number for number in range(400)]
    answers: dict[bytes, str | None] = {}
    waiting = list(reversed(payloads))

    async def post(http: httpx.AsyncClient) -> None:
        while waiting:
            payload = waiting.pop()
            answer = await http.post(f"{ledger.gateway.url}/publish/OUT", content=payload)
            if answer.status_code == 202:
                assert answer.json() == {"accepted": True}
            answers[payload] = None if answer.status_code == 202 else answer.json()["error"]["code"]
            if len(answers) == 200:
                ledger.proxy.cut()

    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        await asyncio.gather(*(post(http) for _ in range(10)))
    await ledger.restore()
    codes = list(answers.values())
    ledger.heard.sort(key=list(answers).index)  # ten at a time have no order
    ledger.check(list(answers), codes)
    assert codes.count(None) >= 150
    assert set(codes) - {None}


@pytest.mark.parametrize("seed", range(6))
async def test_a_clean_close_stays_true_when_nats_is_cut_off(
    ledger: Ledger, websocket: WebSocketTransport, seed: int
) -> None:
    """1000 only if NATS got everything; seed 0 is not cut."""
    payloads = [b"%d" % number for number in range(2000)]
    at = random.Random(seed).randrange(2000) if seed else None
    client = await websocket.open(ledger.gateway)
    for number, payload in enumerate(payloads):
        if number == at:
            await eventually(lambda: len(ledger.heard) > at // 2, "the first messages on NATS")
            ledger.proxy.cut()
        await client.send("OUT", payload)
    errors = await client.confirm()
    assert errors in ([], ["nats_unavailable"])  # 1013 in the second case
    await ledger.restore()
    assert ledger.heard == [payload for payload in payloads if payload in set(ledger.heard)]
    if errors == []:
        assert ledger.heard == payloads
    if seed == 0:
        assert errors == []
