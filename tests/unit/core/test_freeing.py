"""What has ended is freed by reference counts: a gateway with many clients lets the cyclic collector look rarely."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

import pytest

from helpers.cycles import left_by
from helpers.fanout import batch
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.session import Client, outcome, principal, started
from helpers.stack import PLAIN
from helpers.waiting import eventually
from wsgw.bridges import pattern
from wsgw.channels.channel import Use
from wsgw.core.gateway import Gateway
from wsgw.core.session import Session
from wsgw.errors import SLOW_CONSUMER, GatewayError
from wsgw.fanout.frames import Message
from wsgw.fanout.publication import Encoded
from wsgw.fanout.sender import Sender

NOTHING: Counter[str] = Counter()


class Shell(Client):
    """A client with all that a surface keeps of one."""

    def __init__(self, gateway: Gateway, name: str = "ann") -> None:
        super().__init__()
        self.sender: Sender = gateway.sender(PLAIN, self.overflowed)
        self.session: Session = gateway.open_session(principal(name), self, self.sender)
        self.sender.on_queued = self.queued

    def queued(self) -> None:
        """Nobody polls."""

    def overflowed(self) -> None:
        self.end(SLOW_CONSUMER.close_code)

    def end(self, code: int) -> None:
        self.sender.close()
        self.session.end(code)


async def test_a_session(gateway: Gateway) -> None:
    async def life() -> None:
        shell = Shell(gateway)
        shell.session.join("IN")
        shell.session.open()
        shell.session.listen()
        assert await outcome(shell.session, "BOTH") is None
        shell.end(1000)

    assert await left_by(life) == NOTHING


async def test_one_that_is_never_opened(gateway: Gateway) -> None:
    async def life() -> None:
        shell = Shell(gateway)
        shell.session.join("IN")
        shell.end(1006)

    assert await left_by(life) == NOTHING


async def test_a_join_that_is_refused(gateway: Gateway) -> None:
    async def life() -> None:
        shell = Shell(gateway)
        for name in ("NOPE", "OUT", "chat.*.x"):
            with suppress(GatewayError):
                shell.session.join(name)
        shell.end(4504)

    assert await left_by(life) == NOTHING


async def test_names_of_a_pattern(nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "LINGER_SECONDS", 0.0)
    async with started(nats.url) as gateway:
        bridge = gateway.bridge_of(gateway.channels.find("chat.*", Use.SUBSCRIBE))

        async def life() -> None:
            shell = Shell(gateway)
            for number in range(5):
                ready = shell.session.join(f"chat.{number}")
                if ready is not None:
                    await ready
            shell.session.listen()
            shell.end(1000)
            assert isinstance(bridge, pattern.PatternBridge)
            await eventually(lambda: not bridge._interests.names(), "the names are forgotten")

        assert await left_by(life) == NOTHING


async def test_a_slow_client_that_is_dropped(gateway: Gateway) -> None:
    async def life() -> None:
        shell = Shell(gateway)
        shell.session.join("IN")
        shell.session.listen()
        shell.session.open()
        for _ in range(10):
            shell.sender.offer(batch(gateway.channels.find("IN", Use.SUBSCRIBE), Encoded(Message(True, b"x"))))
        shell.sender.send(Encoded(Message(True, b"ack")))
        shell.sender.evict()

    assert await left_by(life) == NOTHING
    assert gateway.edge.memory.used_bytes == 0


async def test_a_publish_that_comes_alone(gateway: Gateway) -> None:
    async def life() -> None:
        session = gateway.open_session(principal(transport="http"))
        assert await outcome(session, "OUT") is None
        assert await outcome(session, "NOPE") is not None

    assert await left_by(life) == NOTHING


async def test_a_request(gateway: Gateway, nats: NatsServer) -> None:
    peer = await Peer.connect(nats.url)
    await peer.answer("math.sum", lambda payload: payload)

    async def life() -> None:
        session = gateway.open_session(principal(transport="http"))
        assert (await session.unless_stopped(session.request("SUM", b"1"))).payload == b"1"
        with suppress(GatewayError):
            await session.unless_stopped(session.request("SUM", bytes(gateway.max_payload_bytes + 1)))

    left = await left_by(life)
    await peer.close()
    assert left == NOTHING


async def test_an_error_of_a_responder(gateway: Gateway, nats: NatsServer) -> None:
    peer = await Peer.connect(nats.url)
    await peer.answer_with("math.sum", b"", {"Nats-Service-Error": "no", "Nats-Service-Error-Code": "400"})

    async def life() -> None:
        session = gateway.open_session(principal(transport="http"))
        for _ in range(3):
            with suppress(GatewayError):
                await session.unless_stopped(session.request("SUM", b"1"))

    left = await left_by(life)
    await peer.close()
    assert left == NOTHING


async def test_a_request_that_nobody_answers(gateway: Gateway) -> None:
    async def life() -> None:
        shell = Shell(gateway)
        with suppress(GatewayError):
            await shell.session.unless_stopped(shell.session.request("SUM", b"1"))
        asking = shell.session.request("SUM", b"2")
        shell.end(1000)
        with suppress(asyncio.CancelledError):
            await asking

    assert await left_by(life) == NOTHING
