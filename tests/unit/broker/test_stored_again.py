"""Messages for streams that are sent again: after silence, refusals that pass, and lost connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from nats.aio.msg import Msg

from helpers.brokers import Brokers, started
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.proxy import Proxy
from helpers.storing import S, Told, make_stream, store, stored
from helpers.waiting import arrived, eventually
from wsgw.broker import lane
from wsgw.broker import stored as module
from wsgw.broker.broker import Broker
from wsgw.broker.puback import Stored
from wsgw.broker.stored import Storing
from wsgw.channels.durable import Durable
from wsgw.errors import FORBIDDEN, GatewayError

ID = "Nats-Msg-Id"
NOBODY = b"NATS/1.0 503\r\n\r\n"


@pytest.fixture
async def proxy(jetstream: NatsServer) -> AsyncIterator[Proxy]:
    made = await Proxy.start(jetstream.port)
    yield made
    await made.close()


@pytest.fixture
async def broker(make_broker: Brokers, proxy: Proxy) -> Broker:
    return (await started(make_broker, proxy.url))[0]


@pytest.fixture
async def storing(broker: Broker) -> AsyncIterator[Storing]:
    made = Storing(broker)
    yield made
    await made.stop(0)
    assert not made._waiting
    assert made._messages == broker._kept_messages == broker._kept_bytes == 0


@pytest.fixture
async def peer(jetstream: NatsServer) -> AsyncIterator[Peer]:
    made = await Peer.connect(jetstream.url)
    yield made
    await made.close()


class Stream:
    """Says in a stream's place what ``answer`` returns for the number of a copy: headers and payload, or nothing."""

    def __init__(self, peer: Peer, answer: Callable[[int], tuple[bytes, bytes] | None]) -> None:
        self._peer = peer
        self._answer = answer
        self.got: list[Msg] = []

    async def start(self) -> None:
        await self._peer.nats.subscribe("s", cb=self._take)
        await self._peer.fence()

    async def _take(self, message: Msg) -> None:
        self.got.append(message)
        answer = self._answer(len(self.got))
        if answer is not None:
            await self.say(message.reply, *answer)

    async def say(self, reply: str, head: bytes, payload: bytes) -> None:
        """By hand: nats-py writes no status."""
        size = len(head)
        line = f"HPUB {reply} {size} {size + len(payload)}\r\n" if head else f"PUB {reply} {len(payload)}\r\n"
        await self._peer.nats._send_command(line.encode() + head + payload + b"\r\n")
        await self._peer.nats._flush_pending()

    @property
    def ids(self) -> set[str]:
        return {(message.headers or {})[ID] for message in self.got}


def ack(sequence: int) -> tuple[bytes, bytes]:
    return b"", b'{"stream":"S","seq":%d}' % sequence


async def answering(peer: Peer, answer: Callable[[int], tuple[bytes, bytes] | None]) -> Stream:
    stream = Stream(peer, answer)
    await stream.start()
    return stream


async def test_an_election(storing: Storing, peer: Peer) -> None:
    """NATS says for a while that there is nobody: the same is sent again, and again."""
    stream = await answering(peer, lambda count: (NOBODY, b"") if count <= 3 else ack(count))
    assert await store(storing, b"a") == [Stored(4)]
    assert [message.data for message in stream.got] == [b"a"] * 4
    assert len(stream.ids) == 1


async def test_an_election_keeps_the_order(storing: Storing, jetstream: NatsServer) -> None:
    """What is sent again goes before what has not been sent yet: the stream is not there at first."""
    told = Told()
    for number in range(3000):
        storing.publish(S, "s", [b"%d" % number], told)
    await eventually(lambda: storing._lanes[S].closed_until > 0, "refused")
    await make_stream(jetstream.url)
    await arrived(told.results, 3000)
    assert told.sequences == list(range(1, 3001))
    assert [*map(int, await stored(jetstream.url))] == list(range(3000))


async def test_what_comes_in_an_election_waits_behind(storing: Storing, peer: Peer) -> None:
    stream = await answering(peer, lambda count: (NOBODY, b"") if count == 1 else ack(count))
    told = Told()
    storing.publish(S, "s", [b"a"], told)
    await eventually(lambda: storing._lanes[S].closed_until > 0, "refused")
    storing.publish(S, "s", [b"b"], told)
    await arrived(told.results, 2)
    assert [message.data for message in stream.got] == [b"a", b"a", b"b"]


async def test_what_passes_is_sent_again(storing: Storing, peer: Peer) -> None:
    busy = b'{"error":{"code":429,"err_code":10167,"description":"too many requests"},"stream":"S","seq":0}'
    stream = await answering(peer, lambda count: (b"", busy) if count == 1 else ack(2))
    assert await store(storing, b"a", ids=["mine"]) == [Stored(2)]
    assert stream.ids == {"mine"}
    assert len(stream.got) == 2


async def test_silence(storing: Storing, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader that dies with a message says nothing."""
    monkeypatch.setattr(lane, "PATIENCE_SECONDS", 0.1)
    stream = await answering(peer, lambda count: None if count < 3 else ack(1))
    assert await store(storing, b"a") == [Stored(1)]
    assert len(stream.got) == 3
    assert len(stream.ids) == 1


async def test_silence_is_not_answered_by_noise(storing: Storing, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 0, 0.1, 0.3 and 0.7 s at the earliest."""
    monkeypatch.setattr(lane, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 1.0)
    stream = await answering(peer, lambda count: None)
    await store(storing, b"a")
    assert 2 <= len(stream.got) <= 4


async def test_denied_after_silence_is_in_doubt(storing: Storing, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where NATS takes the right away meanwhile: the first copy may have been stored."""
    monkeypatch.setattr(lane, "PATIENCE_SECONDS", 0.1)
    stream = await answering(peer, lambda count: None)
    told = Told()
    storing.publish(S, "s", [b"a"], told)
    await arrived(stream.got, 2)
    storing._processed([*storing._waiting.values()], GatewayError(FORBIDDEN, "no"))
    assert told.kinds == ["maybe_stored"]


async def test_its_own_repetition_is_no_duplicate(storing: Storing, peer: Peer) -> None:
    again = b"", b'{"stream":"S","seq":7,"duplicate":true}'
    await answering(peer, lambda count: again)
    assert await store(storing, b"a", b"b", ids=[None, "mine"]) == [Stored(7), Stored(7, True)]


async def test_deadline(storing: Storing, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever listens to the subject and is no stream says nothing: then nobody knows. Late answers change nothing."""
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.3)
    stream = await answering(peer, lambda count: (b"", b"thanks"))
    told = Told()
    storing.publish(S, "s", [b"a", b"b"], told)
    await arrived(told.results, 1)
    assert told.kinds == ["maybe_stored"] * 2
    (error, _) = told.receipts
    assert isinstance(error, GatewayError)
    assert error.message == "unknown whether the stream 'S' has stored it: no word of it within 0.3 s"
    for message in stream.got:
        await stream.say(message.reply, *ack(1))
    await peer.fence()
    await storing._broker.barrier()
    assert len(told.results) == 1


async def test_a_refusal_after_silence_is_in_doubt(
    storing: Storing, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first copy may have been stored."""
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.6)
    monkeypatch.setattr(lane, "PATIENCE_SECONDS", 0.1)
    await answering(peer, lambda count: None if count == 1 else (NOBODY, b""))
    (error,) = await store(storing, b"a")
    assert isinstance(error, GatewayError)
    assert error.kind.name == "maybe_stored"


async def test_a_frozen_server(storing: Storing, jetstream: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """In doubt what was sent; and not stored what waited for its turn."""
    await make_stream(jetstream.url)
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.5)
    monkeypatch.setattr(lane, "WINDOW_MESSAGES", 3)
    await store(storing, b"x")
    jetstream.freeze()
    told = Told()
    for number in range(5):
        storing.publish(S, "s", [b"%d" % number], told)
    await arrived(told.results, 5)
    assert sorted(told.kinds) == ["maybe_stored"] * 3 + ["not_stored"] * 2
    jetstream.thaw()
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 10.0)
    assert len(await store(storing, b"y")) == 1
    payloads = await stored(jetstream.url)
    assert payloads == [b"x", b"0", b"1", b"2", b"y"], "and once each, though sent again"


async def test_a_lost_connection(storing: Storing, jetstream: NatsServer, proxy: Proxy) -> None:
    """What was on its way is sent again on the next one: each is there once."""
    await make_stream(jetstream.url)
    told = Told()
    for number in range(5000):
        storing.publish(S, "s", [b"%d" % number], told)
        if number == 2500:
            await eventually(lambda: len(told.results) > 100, "some are stored")
            proxy.cut()
    assert len(told.results) < 2500
    await eventually(lambda: not storing._broker.connected, "the connection is lost")
    late = Told()
    storing.publish(S, "s", [b"late"], late)
    assert late.kinds == ["nats_unavailable"], "what comes meanwhile is refused at once"
    proxy.restore()
    await arrived(told.results, 5000)
    assert set(told.kinds) == {"stored"}
    assert sorted(map(int, await stored(jetstream.url))) == list(range(5000))


async def test_what_is_sent_again_goes_first(storing: Storing, jetstream: NatsServer, proxy: Proxy) -> None:
    """Before what is published on the new connection, be it in the tick in which that is there."""
    await make_stream(jetstream.url)
    jetstream.freeze()
    told = Told()
    for number in range(10):
        storing.publish(S, "s", [b"%d" % number], told)
    proxy.cut()
    jetstream.thaw()
    broker = storing._broker
    await eventually(lambda: not broker.connected, "the connection is lost")
    proxy.restore()
    await broker.wait_connected()
    storing.publish(S, "s", [b"10"], told)
    await arrived(told.results, 11)
    assert told.sequences == list(range(1, 12))
    assert [*map(int, await stored(jetstream.url))] == list(range(11))


async def test_a_connection_that_does_not_come_back(
    storing: Storing, jetstream: NatsServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_stream(jetstream.url)
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.5)
    jetstream.freeze()
    told = Told()
    storing.publish(S, "s", [b"a"], told)
    proxy.cut()
    jetstream.thaw()
    await arrived(told.results, 1)
    assert told.kinds == ["maybe_stored"]


async def test_only_who_has_the_token_is_believed(storing: Storing, peer: Peer) -> None:
    """And neither what is no answer of JetStream's."""
    held = await peer.messages("s")
    told = Told()
    storing.publish(S, "s", [b"a"], told)
    await arrived(held, 1)
    inbox, _, token = held[0].reply.rpartition(".")
    for other in ("x", token[:-1], token.upper() + "0", token[::-1]):
        await peer.publish(f"{inbox}.{other}", b'{"stream":"S","seq":66}')
    for payload in (b"", b"no", b"{}", b'{"seq":66}'):
        await peer.publish(held[0].reply, payload)
    await peer.fence()
    await storing._broker.barrier()
    assert told.results == []
    await peer.publish(held[0].reply, b'{"stream":"S","seq":5}')
    await arrived(told.results, 1)
    assert told.sequences == [5]


async def test_one_stream_does_not_wait_for_another(storing: Storing, peer: Peer, jetstream: NatsServer) -> None:
    await peer.listen("s")
    await make_stream(jetstream.url, "T", "t")
    silent = Told()
    for _ in range(3000):
        storing.publish(S, "s", [b"x"], silent)
    assert await store(storing, b"y", subject="t", durable=Durable("T")) == [Stored(1)]
    assert silent.results == []
    async with asyncio.timeout(10):
        await storing.stop(0.1)
    assert sorted(set(silent.kinds)) == ["maybe_stored", "not_stored"]
