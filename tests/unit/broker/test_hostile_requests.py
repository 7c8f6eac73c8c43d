"""Requests through a server that replies what it likes, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from helpers.brokers import Brokers, started
from helpers.waiting import arrived
from wsgw.broker import broker as module
from wsgw.errors import FORBIDDEN, NO_RESPONDERS, TIMEOUT, UNCONFIRMED, GatewayError

from .conftest import StartLiar


async def test_replies(make_broker: Brokers, start_liar: StartLiar) -> None:
    liar = await start_liar(headers=True)
    broker, _ = await started(make_broker, liar.url)
    there = await liar.connected()

    async def asked(reply: Callable[[bytes], None], timeout_seconds: float = 20) -> bytes:
        before = len(there.published)
        asking = asyncio.ensure_future(broker.request("q", b"?", timeout_seconds))
        await arrived(there.published, before + 1)
        reply(there.published[-1][1])
        return (await asking).payload

    def headed(block: bytes, payload: bytes) -> Callable[[bytes], None]:
        return lambda to: there.says(
            b"HMSG %b %b %d %d\r\n%b%b\r\n"
            % (to, there._number(to) or b"", len(block), len(block + payload), block, payload)
        )

    assert await asked(lambda to: there.message(to, b"yes")) == b"yes"
    assert await asked(headed(b"NATS/1.0\r\nA: b\r\n\r\n", b"yes")) == b"yes"
    assert await asked(headed(b"garbage", b"yes")) == b"yes"
    assert await asked(headed(b"NATS/1.0 503\r\n\r\n", b"yes")) == b"yes", "NATS has nothing to say with it"
    with pytest.raises(GatewayError) as caught:
        await asked(headed(b"NATS/1.0 503\r\n\r\n", b""))
    assert caught.value.kind is NO_RESPONDERS
    late: list[bytes] = []
    with pytest.raises(GatewayError) as caught:
        await asked(late.append, 0.01)
    assert caught.value.kind is TIMEOUT
    for token in (late[0], late[0][:-1] + b"x", late[0].rpartition(b".")[0] + b".", late[0]):
        there.message(token, b"late")
    assert await asked(lambda to: there.says(b"".join(b"MSG %b 2 1\r\n%d\r\n" % (to, n) for n in (1, 2)))) == b"1"
    assert broker.connected


async def test_who_is_asked_learns_neither_fences_nor_others(make_broker: Brokers, start_liar: StartLiar) -> None:
    liar = await start_liar()
    broker, _ = await started(make_broker, liar.url)
    there = await liar.connected()
    asking = [asyncio.ensure_future(broker.request("q", b"?", 20)) for _ in range(100)]
    await arrived(there.published, 100)
    tokens = {reply.rpartition(b".")[2] for _, reply, _ in there.published}
    assert len(tokens) == 100
    assert all(len(token) == 16 for token in tokens)
    assert not [reply for _, reply, _ in there.published if reply.startswith(there.inbox)]
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


async def test_an_inbox_that_is_refused(make_broker: Brokers, start_liar: StartLiar) -> None:
    liar = await start_liar()
    broker, _ = await started(make_broker, liar.url)
    there = await liar.connected()

    def admits(subject: bytes) -> bool:
        there.says(b"-ERR 'Permissions Violation for Subscription to \"%b\"'\r\n" % subject)
        return False

    there.admits = admits
    for _ in range(2):
        with pytest.raises(GatewayError, match=r"does not permit the gateway to subscribe") as caught:
            await broker.request("q", b"?", 20)
        assert caught.value.kind is FORBIDDEN
    there.admits = lambda subject: True
    asking = asyncio.ensure_future(broker.request("q", b"?", 20))
    await arrived(there.published, 3)
    there.message(there.published[-1][1], b"!")
    assert (await asking).payload == b"!"


async def test_many_that_wait_cost_no_task_and_end_together(make_broker: Brokers, start_liar: StartLiar) -> None:
    liar = await start_liar()
    broker, _ = await started(make_broker, liar.url)
    there = await liar.connected()
    before = len(asyncio.all_tasks())
    asking = [asyncio.ensure_future(broker.request("q", b"?", 20)) for _ in range(1000)]
    await arrived(there.published, 1000)
    assert len(asyncio.all_tasks()) == before + 1000, "the test's own"
    there.close()
    failed = await asyncio.gather(*asking, return_exceptions=True)
    assert {error.kind for error in failed if isinstance(error, GatewayError)} == {UNCONFIRMED}
    assert {str(error) for error in failed} == {"the connection to NATS was lost before the reply came"}


async def test_what_waits_no_more_still_counts_until_nats_has_it(
    make_broker: Brokers, start_liar: StartLiar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else requests with short times would fill the memory while a server does not read."""
    monkeypatch.setattr(module, "MAX_IN_FLIGHT_MESSAGES", 5)
    liar = await start_liar()
    broker, _ = await started(make_broker, liar.url)
    there = await liar.connected()
    there.answers = False
    kinds: list[str] = []
    for _ in range(15):
        with pytest.raises(GatewayError) as caught:
            await broker.request("q", b"?", 0.001)
        kinds.append(caught.value.kind.name)
    assert kinds == ["timeout"] * 11 + ["overloaded"] * 4
