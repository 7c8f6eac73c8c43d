"""A broker against servers that lie, flood, send garbage, or let nobody stay."""

from __future__ import annotations

import asyncio
import logging

import pytest

from helpers.brokers import Brokers, publish, started
from helpers.liar import LiarConnection
from helpers.waiting import arrived, eventually
from wsgw.broker import client, connection
from wsgw.broker import uplink as module
from wsgw.broker.info import MAX_PAYLOAD_BYTES
from wsgw.broker.parser import HEADERS_BYTES, LEAST_PAYLOAD_BYTES
from wsgw.errors import NATS_UNAVAILABLE, TOO_LARGE, UNCONFIRMED, GatewayError

from .conftest import StartLiar


class Waits:
    """A back-off that waits next to nothing, and writes down what is asked of it."""

    asked: list[str]

    def __init__(self, *seconds: float) -> None:
        Waits.asked = []

    def next(self) -> float:
        self.asked.append("next")
        return 0.001

    def reset(self) -> None:
        self.asked.append("reset")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> type[Waits]:
    monkeypatch.setattr(module, "Backoff", Waits)
    return Waits


@pytest.fixture
def soon_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEADY_SECONDS", 0.1)


class TestNobodyStays:
    async def test_it_waits_longer_each_time(
        self,
        make_broker: Brokers,
        start_liar: StartLiar,
        waits: type[Waits],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The server takes the connection, answers the first fence, and closes."""
        caplog.set_level(logging.INFO)
        liar = await start_liar()
        liar.then = LiarConnection.close
        broker, _ = make_broker(liar.url)
        await broker.start()
        await arrived(liar.connections, 20)
        assert waits.asked[:19] == ["next"] * 19
        assert len(waits.asked) in (len(liar.connections) - 1, len(liar.connections))
        assert caplog.text.count("Connected to") == 1
        assert caplog.text.count("connection lost: ") == 1

    @pytest.mark.usefixtures("soon_steady")
    async def test_a_good_connection_makes_good(
        self, make_broker: Brokers, start_liar: StartLiar, waits: type[Waits], caplog: pytest.LogCaptureFixture
    ) -> None:
        """The back-off is reset, the log says that all is well, and the next connection is made at once."""
        caplog.set_level(logging.INFO)
        liar = await start_liar()
        liar.then = lambda made: None if len(liar.connections) in (3, 4) else made.close()
        broker, _ = make_broker(liar.url)
        await broker.start()
        await eventually(lambda: "for 0.1 s now" in caplog.text, "the good word")
        assert waits.asked == ["next", "next", "reset"]
        liar.connections[2].close()
        await arrived(liar.connections, 4)
        assert waits.asked == ["next", "next", "reset"]

    @pytest.mark.usefixtures("soon_steady")
    async def test_each_loss_of_a_good_connection_is_said(
        self, make_broker: Brokers, start_liar: StartLiar, waits: type[Waits], caplog: pytest.LogCaptureFixture
    ) -> None:
        """And why there is no other one at first, though it was said lately: once each time, and not once a try."""
        caplog.set_level(logging.INFO)
        liar = await start_liar()
        good = [1, 5, 9]
        liar.then = lambda made: None if len(liar.connections) in good else made.close()
        broker, _ = make_broker(liar.url)
        await broker.start()
        for times, number in enumerate(good, 1):
            await arrived(liar.connections, number)

            def lasts(times: int = times) -> bool:
                return waits.asked.count("reset") == times

            await eventually(lasts, "it lasts")
            liar.connections[-1].close()
        await arrived(liar.connections, max(good) + 3)
        assert caplog.text.count("connection lost: ") == len(good)
        assert caplog.text.count("Connected to") == 2 * len(good)

    async def test_the_next_server_is_next(
        self, make_broker: Brokers, start_liar: StartLiar, waits: type[Waits]
    ) -> None:
        bad, good = await start_liar(), await start_liar()
        bad.then = LiarConnection.close
        broker, _ = make_broker(bad.url, good.url)
        await broker.start()
        await good.connected()
        assert bad.tries == 1
        assert await publish(broker, "a") is None

    async def test_a_server_that_could_not_be_had_is_not_the_first_again(
        self, make_broker: Brokers, start_liar: StartLiar, waits: type[Waits], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "STEADY_SECONDS", 0.05)
        bad, good = await start_liar(max_payload=0), await start_liar()
        broker, _ = make_broker(bad.url, good.url)
        await broker.start()
        first = await good.connected()
        await eventually(lambda: waits.asked == ["reset"], "it has lasted")
        first.close()
        await arrived(good.connections, 2)
        assert bad.tries == 1


class TestMaxPayload:
    @pytest.mark.parametrize("said", ["1024", None, -1, 0, 1.5, True, [1], {"a": 1}])
    async def test_that_is_none(
        self, make_broker: Brokers, start_liar: StartLiar, caplog: pytest.LogCaptureFixture, said: object
    ) -> None:
        liar = await start_liar(max_payload=said)
        broker, _ = make_broker(liar.url)
        await broker.start()
        await eventually(lambda: liar.tries > 1, "a second try")
        assert caplog.text.count("the server sends a max_payload in INFO that is none") == 1
        assert await publish(broker, "a") is NATS_UNAVAILABLE
        assert broker.max_payload_bytes == 1024 * 1024

    async def test_of_any_size(self, make_broker: Brokers, start_liar: StartLiar) -> None:
        liar = await start_liar(max_payload=10**18)
        broker, _ = await started(make_broker, liar.url)
        assert broker.max_payload_bytes == MAX_PAYLOAD_BYTES

    async def test_that_changes(
        self, make_broker: Brokers, start_liar: StartLiar, caplog: pytest.LogCaptureFixture
    ) -> None:
        liar = await start_liar(max_payload=1000)
        broker, _ = await started(make_broker, liar.url)
        there = await liar.connected()
        assert await publish(broker, "a", bytes(1000)) is None
        there.says(b'INFO {"max_payload": 100}\r\n')
        await eventually(lambda: broker.max_payload_bytes == 100, "the new limit")
        assert await publish(broker, "a", bytes(101)) is TOO_LARGE
        with pytest.raises(GatewayError) as caught:
            await broker.request("a", bytes(101), 5)
        assert caught.value.kind is TOO_LARGE
        assert await publish(broker, "a", bytes(100)) is None
        for wrong in (b'{"max_payload": "10"}', b'{"max_payload": null}', b"[]", b"{", b"[" * 100_000):
            there.says(b"INFO %b\r\n" % wrong)
        assert await publish(broker, "a", bytes(100)) is None
        assert broker.max_payload_bytes == 100
        assert caplog.text.count("it is ignored") == 4, "a line a reason"
        there.close()
        await eventually(lambda: not broker.connected, "the end")
        assert broker.max_payload_bytes in (100, 1000), "the last one's, or the next one's"


class TestMessages:
    @pytest.mark.parametrize("head", [b"MSG a 1 %d", b"HMSG a 1 12 %d", b"MSG a 999 %d"])
    async def test_of_a_petabyte(
        self, make_broker: Brokers, start_liar: StartLiar, caplog: pytest.LogCaptureFixture, head: bytes
    ) -> None:
        liar = await start_liar()
        broker, _ = await started(make_broker, liar.url)
        there = await liar.connected()
        there.says(head % 10**15 + b"\r\nx")
        await arrived(liar.connections, 2)
        assert "connection lost: nats: a message of more than" in caplog.text
        await broker.wait_connected()
        assert await publish(broker, "a") is None

    async def test_of_more_than_the_server_takes(
        self, make_broker: Brokers, start_liar: StartLiar, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Of what it has taken before, and what others of its cluster may take, all comes."""
        liar = await start_liar(max_payload=2 * LEAST_PAYLOAD_BYTES)
        broker, _ = await started(make_broker, liar.url)
        got: list[int] = []
        await broker.subscribe("a", lambda publication: got.append(len(publication.payload)))
        there = await liar.connected()
        there.says(b'INFO {"max_payload": 100}\r\n')
        there.message(b"a", bytes(2 * LEAST_PAYLOAD_BYTES))
        await arrived(got, 1)
        liar.info["max_payload"] = 100
        there.says(b"MSG a %b %d\r\n" % (there.subjects[b"a"], 2 * LEAST_PAYLOAD_BYTES + HEADERS_BYTES + 1))
        await arrived(liar.connections, 2)
        assert "connection lost: nats: a message of more than" in caplog.text
        assert "(max_payload)" in caplog.text
        await broker.wait_connected()
        await broker.subscribe("b", lambda publication: got.append(len(publication.payload)))
        there = liar.connections[1]
        there.message(b"b", bytes(LEAST_PAYLOAD_BYTES))
        await arrived(got, 2)
        assert got == [2 * LEAST_PAYLOAD_BYTES, LEAST_PAYLOAD_BYTES]
        there.says(b"MSG b %b %d\r\n" % (there.subjects[b"b"], LEAST_PAYLOAD_BYTES + HEADERS_BYTES + 1))
        await arrived(liar.connections, 3)

    @pytest.mark.parametrize("trickling", [False, True])
    async def test_whose_rest_never_comes(
        self,
        make_broker: Brokers,
        start_liar: StartLiar,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        trickling: bool,
    ) -> None:
        monkeypatch.setattr(connection, "FENCE_INTERVAL_SECONDS", 0.05)
        monkeypatch.setattr(connection, "FENCE_LIMIT_SECONDS", 0.5 if trickling else 1000)
        monkeypatch.setattr(connection, "FENCE_TIMEOUT_SECONDS", 1000 if trickling else 0.3)
        liar = await start_liar()
        await started(make_broker, liar.url)
        there = await liar.connected()
        there.answers = False
        there.says(b"MSG a 1 1000000\r\n")
        while len(liar.connections) < 2:
            if trickling:
                there.says(b"x")
            await asyncio.sleep(0.01)
        assert "connection lost: NATS did not answer" in caplog.text

    async def test_nobody_waits_for(
        self, make_broker: Brokers, start_liar: StartLiar, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Neither is there, nor do they count."""
        liar = await start_liar()
        broker, _ = await started(make_broker, liar.url)
        there = await liar.connected()
        told: list[GatewayError | None] = []
        there.answers = False
        broker.publish("a", [b"x"], told.append)
        await arrived(there.published, 1)
        for token in (b"", b"x", b"-1", b"1" * 30, b"1" * 10_000, b"0", b"1_0", b"\xff", "²".encode()):
            there.message(there.inbox + b"." + token, b"")
        for _ in range(1000):
            there.message(b"a", b"x", b"77")
            there.message(b"\xff", b"x", b"88")
        there.says(b'INFO {"max_payload": 7}\r\n')
        await eventually(lambda: broker.max_payload_bytes == 7, "all of it has come")
        assert told == []
        assert broker.connected
        assert caplog.text == ""
        there.message(there.inbox + b".%d" % there.fences, b"")
        await eventually(lambda: told == [None], "the fence")


class TestLines:
    async def test_the_rest_of_the_cluster(self, make_broker: Brokers, start_liar: StartLiar) -> None:
        garbage: list[object] = [None, 1, {}, [], "", "a", ":1", "a:", "a:b", "a:99999", "u:p@a:1", "a:1/x", "a b:1"]
        garbage += ["[::1", "\r\nPUB a 0:1", "é:1", "x" * 300 + ":1", "http://a:1"]
        liar = await start_liar(connect_urls=[*garbage, "a:1", "[::1]:2"])
        broker, _ = await started(make_broker, liar.url)
        there = broker._connection
        assert there is not None
        assert there.discovered() == ["nats://a:1", "nats://[::1]:2"]
        (await liar.connected()).says(
            b'INFO {"connect_urls": [%b]}\r\n' % b", ".join(b'"h%d:1"' % number for number in range(10_000))
        )
        await eventually(lambda: len(there.discovered()) == 100, "the later ones")
        (await liar.connected()).says(b'INFO {"connect_urls": 5}\r\nINFO {"max_payload": 5}\r\n')
        await eventually(lambda: broker.max_payload_bytes == 5, "the next line")
        assert len(there.discovered()) == 100

    @pytest.mark.parametrize("line", [b"-ERR 'no %d'\r\n", b'INFO {"a": %d}\r\n', b"PING %d\r\n"])
    async def test_a_flood(
        self,
        make_broker: Brokers,
        start_liar: StartLiar,
        caplog: pytest.LogCaptureFixture,
        line: bytes,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(client, "MAX_LINES_PER_SECOND", 1000)
        liar = await start_liar()
        broker, _ = await started(make_broker, liar.url)
        flooded = broker._connection
        flood = b"".join(line % number for number in range(10_000))
        (await liar.connected()).says(flood)
        await eventually(lambda: broker.connected and broker._connection is not flooded, "the next connection")
        assert len(caplog.records) <= 33, "a line a reason, and not of all reasons"
        assert await publish(broker, "a") is None

    async def test_a_flood_of_refusals(
        self, make_broker: Brokers, start_liar: StartLiar, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Fences that come back time and again make none of them good."""
        liar = await start_liar()
        broker, _ = await started(make_broker, liar.url)
        there = await liar.connected()
        for number in range(3 * connection.SPARE_REFUSALS):
            there.says(b"-ERR 'Permissions Violation for Publish to \"a%d\"'\r\n" % number)
            there.message(there.inbox + b".1", b"")
        await arrived(liar.connections, 2)
        assert "connection lost: nats: more refusals than there was to refuse" in caplog.text
        await broker.wait_connected()
        assert await publish(broker, "a") is None

    async def test_a_flood_of_refusals_makes_no_stop_wait(
        self, make_broker: Brokers, start_liar: StartLiar, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection, "SPARE_REFUSALS", 1_000_000)
        liar = await start_liar()
        broker, _ = await started(make_broker, liar.url)
        there = await liar.connected()
        there.answers = False
        told: list[GatewayError | None] = []
        broker.publish("a", [b"x"], told.append)
        await arrived(there.published, 1)
        for start in range(0, 100_000, 1000):
            there.says(
                b"".join(
                    b"-ERR 'Permissions Violation for Publish to \"s.%d\"'\r\n" % number
                    for number in range(start, start + 1000)
                )
            )
        batch = broker._connection._fences._sealed[0]  # type: ignore[union-attr]
        await eventually(lambda: batch.denied, "the flood")
        await broker.stop(0.01)
        assert [error.kind for error in told if error is not None] == [UNCONFIRMED]
        assert len(batch.denied) <= 2, "it names subjects that nobody published to"

    async def test_an_inbox_that_is_refused_later(
        self, make_broker: Brokers, start_liar: StartLiar, caplog: pytest.LogCaptureFixture
    ) -> None:
        """No fence would come back: there is nothing to wait for."""
        liar = await start_liar()
        broker, _ = await started(make_broker, liar.url)
        lost = broker.lost()
        assert lost is not None
        there = await liar.connected()
        there.says(b"-ERR 'Permissions Violation for Publish to \"%b.9\"'\r\n" % there.inbox)
        await eventually(lost.done, "the end")
        assert lost.result() == "NATS does not permit the gateway to publish to its inbox (_INBOX.>)"

    async def test_an_error_at_which_the_server_keeps_the_connection(
        self, make_broker: Brokers, start_liar: StartLiar, caplog: pytest.LogCaptureFixture
    ) -> None:
        liar = await start_liar()
        broker, _ = await started(make_broker, liar.url)
        there = await liar.connected()
        there.says(b"-ERR 'Invalid Subject'\r\n" * 100)
        assert await publish(broker, "a") is None
        assert caplog.text.count("the server says: Invalid Subject") == 1
        there.close()
        await eventually(lambda: "connection lost" in caplog.text, "the end")
        assert "connection lost: Invalid" not in caplog.text, "that was long ago"

    async def test_an_error_at_which_it_does_not(
        self, make_broker: Brokers, start_liar: StartLiar, caplog: pytest.LogCaptureFixture
    ) -> None:
        liar = await start_liar()
        await started(make_broker, liar.url)
        there = await liar.connected()
        there.says(b"-ERR 'Maximum Payload Violation'\r\n")
        there.close()
        await eventually(lambda: "connection lost: Maximum Payload Violation" in caplog.text, "the reason")
