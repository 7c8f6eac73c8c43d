"""NATS servers that lie, stall, send garbage or tiny limits: the gateway lives, says so, and does not hurry."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine
from typing import Any

import httpx
import pytest

from helpers.nats_server import NatsServer, StartNats
from helpers.waiting import eventually
from hostile import form
from hostile.form import MIB, either, groups
from hostile.liar import INFO, Liar, LiarConnection, OnPublish
from hostile.target import HostileGateway, StartHostile
from hostile.watch import Watch

#: How long a liar lies, and what the gateway may do meanwhile.
WATCHED_SECONDS = either(10, 3)
MOST_CONNECTIONS_PER_SECOND = 4
MOST_LOG_BYTES_PER_SECOND = 2048
#: Garbage, and bytes of messages without an end.
POURED_BYTES = either(200, 40) * MIB


async def close(connection: LiarConnection) -> None:
    """After the first fence: the connection looked good until then."""
    connection.writer.close()


async def petabyte(connection: LiarConnection) -> None:
    await _message(connection, b"1000000000000000")


async def exabytes_and_more(connection: LiarConnection) -> None:
    await _message(connection, b"9" * 400)


async def less_than_nothing(connection: LiarConnection) -> None:
    await _message(connection, b"-5")


async def no_number(connection: LiarConnection) -> None:
    await _message(connection, b"many")


async def _message(connection: LiarConnection, size: bytes) -> None:
    sid = next(iter(connection.subscriptions.values()))
    await connection.say(b"MSG OUT %b %b\r\n" % (sid, size))
    await connection.pour(bytes(MIB), POURED_BYTES)


async def endless_line(connection: LiarConnection) -> None:
    await connection.say(b"MSG ")
    await connection.pour(b"a" * MIB, POURED_BYTES)


async def endless_errors(connection: LiarConnection) -> None:
    await connection.pour(b"-ERR 'Some Error'\r\n" * 1000, POURED_BYTES // 20)


async def endless_pings(connection: LiarConnection) -> None:
    await connection.pour(b"PING\r\n" * 10_000, POURED_BYTES // 20)


async def endless_infos(connection: LiarConnection) -> None:
    await connection.pour(INFO * 1000, POURED_BYTES // 20)


async def messages_for_nobody(connection: LiarConnection) -> None:
    await connection.pour(b"MSG nobody 987654 1\r\nx\r\n" * 1000, POURED_BYTES // 20)


async def garbage(connection: LiarConnection) -> None:
    await connection.pour(random.Random(1).randbytes(MIB), POURED_BYTES)


LIES: dict[str, OnPublish] = {
    "closes behind the first fence": close,
    "a petabyte": petabyte,
    "more than an exabyte": exabytes_and_more,
    "less than nothing": less_than_nothing,
    "a size that is no number": no_number,
    "an endless line": endless_line,
    "endless errors": endless_errors,
    "endless pings": endless_pings,
    "endless INFO": endless_infos,
    "messages for nobody": messages_for_nobody,
    "garbage": garbage,
}
LIMITS = ['"lots"', "-1", "0", "1", "null", "1e400", "[]", "true", "99999999999999999999", "1.5"]
GREETINGS = {
    "nothing": b"",
    "garbage": random.Random(2).randbytes(64 * 1024),
    "garbage lines": b"\x00\xff\r\n" * 1000,
    "HTTP": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "no JSON": b"INFO {\r\n",
    "no object": b"INFO [1]\r\n",
    "an endless line": b"INFO " + b"a" * (16 * MIB),
    "deep JSON": b"INFO " + b"[" * 100_000 + b"\r\n",
    "an error": b"-ERR 'Authorization Violation'\r\n",
}


async def _survives(start_gateway: StartHostile, greeting: bytes = INFO, on_publish: OnPublish | None = None) -> None:
    """A gateway lives at a liar."""
    async with Liar(greeting, on_publish) as liar:
        gateway = await asyncio.to_thread(start_gateway, liar.url)
        watch = Watch(gateway)
        await eventually(lambda: liar.connections > 0, "the gateway connects")
        base, connections, logged = watch.resident_bytes(), liar.connections, len(gateway.output)
        watch.forget_peak()
        until = time.monotonic() + WATCHED_SECONDS
        async with watch.guarding(), httpx.AsyncClient(trust_env=False, timeout=20, base_url=gateway.url) as http:
            while time.monotonic() < until:
                assert (await http.get("/healthz")).status_code == 200
                answer = await http.post("/publish/OUT", content=b"xx")
                assert answer.status_code in (202, 413, 503, 504), answer.text
                await asyncio.sleep(0.1)
        taken = time.monotonic() - until + WATCHED_SECONDS
        assert liar.connections - connections <= MOST_CONNECTIONS_PER_SECOND * taken
        assert len(gateway.output) - logged <= MOST_LOG_BYTES_PER_SECOND * taken, gateway.output[-2000:]
        assert watch.peak_bytes() - base <= form.PEAK_BYTES
        await gateway.stop(deadline_seconds=form.STOP_SECONDS)
        assert "Traceback" not in gateway.output


async def _all(cases: dict[str, Coroutine[Any, Any, None]]) -> None:
    """At once; AssertionError naming those that did not hold."""
    results = await asyncio.gather(*cases.values(), return_exceptions=True)
    failed = {name: result for name, result in zip(cases, results, strict=True) if result is not None}
    assert not failed, {name: f"{error!r:.2000}" for name, error in failed.items()}


@pytest.mark.parametrize("lies", groups(LIES))
async def test_lies(lies: list[str], start_gateway: StartHostile) -> None:
    """Behind a first fence that came back."""
    await _all({lie: _survives(start_gateway, on_publish=LIES[lie]) for lie in lies})


@pytest.mark.parametrize("greetings", groups(GREETINGS))
async def test_greetings(greetings: list[str], start_gateway: StartHostile) -> None:
    """There is no NATS server there."""
    await _all({greeting: _survives(start_gateway, GREETINGS[greeting]) for greeting in greetings})


@pytest.mark.parametrize("limits", groups(LIMITS))
async def test_limits(limits: list[str], start_gateway: StartHostile) -> None:
    """A max_payload that is none: no publish ends in a fault of ours."""
    await _all({limit: _survives(start_gateway, INFO.replace(b"1048576", limit.encode())) for limit in limits})


async def test_the_next_server_is_taken(nats: NatsServer, start_gateway: StartHostile) -> None:
    async with Liar(on_publish=close) as liar:
        gateway = start_gateway(liar.url, nats.url)
        await gateway.ready()
        await eventually(lambda: gateway.metric("wsgw_nats_connected") == 1, "it is connected")


async def test_max_payload_is_lowered(start_gateway: StartHostile, start_nats: StartNats) -> None:
    """It costs the connection once at most; then what is too large is refused, and nobody else's."""
    nats = start_nats("max_payload: 100000")
    gateway = start_gateway(nats.url)
    await gateway.ready()
    assert await gateway.post("/publish/OUT", bytes(50_000)) == (202, "")
    nats.reload("max_payload: 1000")

    await eventually(lambda: _max_payload(nats) == 1000, "the server has the lower limit")
    # the server tells nobody of it, but ends the connection on which too much comes, with what is on its way there
    first = await _with_a_large_one(gateway)
    assert first[0] in ((413, "too_large"), (504, "unconfirmed"))
    assert set(first[1:]) <= {(202, ""), (504, "unconfirmed"), (503, "nats_unavailable")}
    await gateway.ready()
    assert await _with_a_large_one(gateway) == [(413, "too_large"), *[(202, "")] * 8]
    assert gateway.metric("wsgw_nats_reconnects_total") <= 1
    await gateway.stop(deadline_seconds=form.STOP_SECONDS)
    gateway.check_log()


async def _with_a_large_one(gateway: HostileGateway) -> list[tuple[int, str]]:
    """The answers to a publish of 50,000 bytes, and to eight small ones beside it."""
    publishes = [gateway.post("/publish/OUT", payload) for payload in (bytes(50_000), *[b"honest"] * 8)]
    return await asyncio.gather(*publishes)


def _max_payload(nats: NatsServer) -> int:
    limit: int = httpx.get(f"{nats.monitoring}/varz", trust_env=False).json()["max_payload"]
    return limit
