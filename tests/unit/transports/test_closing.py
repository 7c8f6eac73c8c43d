"""The closing handshake and the stop, as only our protocol class has them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from helpers.raw_websocket import close, ping, pong, text
from wsgw.fanout.frames import truncated
from wsgw.transports import closing as module

Served = Any  # of the conftest


class TestClosingHandshake:
    @pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1013, "NATS is away"), (4503, "no"), (1000, "é" * 100)])
    async def test_held_back_until_the_receiver_answers(self, direct: Served, code: int, reason: str) -> None:
        client, receiver = await direct.open()
        receiver.answers = False
        await client.send(text("x"), close(1000, "done"))
        assert await receiver.until("close") == ("close", 1000, "done")
        await asyncio.sleep(0.02)
        receiver.link.close(code, reason)
        assert await client.receive_close() == (code, truncated(reason))  # an echo would have come first
        await client.end()
        assert await receiver.until("lost") == ("lost", code)

    @pytest.mark.parametrize("at_once", [False, True])
    async def test_a_ping_before_the_close_is_answered(self, direct: Served, at_once: bool) -> None:
        client, receiver = await direct.open()
        receiver.answers = at_once
        await client.send(ping(b"p"), close(1000))
        assert await client.receive() == pong(b"p")
        receiver.link.close(1000)
        assert (await client.receive_close())[0] == 1000

    async def test_what_was_written_before_the_answer_comes_before_it(self, direct: Served) -> None:
        client, receiver = await direct.open()
        receiver.answers = False
        await client.send(close(1000))
        await receiver.until("close")
        receiver.write("last")
        receiver.link.close(1000)
        assert await client.receive() == text("last")
        assert (await client.receive_close())[0] == 1000

    async def test_nothing_is_heard_after_the_clients_close(self, direct: Served) -> None:
        client, receiver = await direct.open()
        receiver.answers = False
        await client.send(close(1000), text("late"), ping(b"late"))
        await receiver.until("close")
        await client.send(text("later"))
        receiver.link.close(1000)
        assert (await client.receive_close())[0] == 1000
        await receiver.until("lost")
        assert receiver.messages == []

    async def test_the_client_does_not_wait_for_the_answer(self, direct: Served) -> None:
        client, receiver = await direct.open()
        receiver.answers = False
        await client.send(close(1000))
        await receiver.until("close")
        client.close()
        assert await receiver.until("lost") == ("lost", 1006)
        receiver.link.close(1000)

    async def test_both_close_at_once(self, direct: Served) -> None:
        client, receiver = await direct.open()
        receiver.link.close(4001, "mine")
        await client.send(close(4002, "yours"))
        assert await client.receive_close() == (4001, "mine")
        await client.end()
        assert await receiver.until("lost") == ("lost", 4001)

    async def test_the_answer_to_a_client_that_does_not_read(
        self, direct: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "CLOSE_TIMEOUT_SECONDS", 0.2)
        client, receiver = await direct.open(receive_buffer_bytes=4096)
        receiver.answers = False
        while "paused" not in receiver.names():
            receiver.write(b"x" * 50_000)
            await asyncio.sleep(0)
        await client.send(close(1000))
        await receiver.until("close")
        receiver.link.close(1000)
        assert await receiver.until("lost") == ("lost", 1000)


async def test_who_is_ended_for_what_it_does_need_not_answer(direct: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.05)
    monkeypatch.setattr(module, "CLOSE_TIMEOUT_SECONDS", 3600.0)
    client, receiver = await direct.open()
    receiver.link.evict()
    await client.end()
    assert await receiver.until("lost") == ("lost", 4008)


class TestServerStop:
    async def test_clients_get_1001(self, direct: Served) -> None:
        client, receiver = await direct.open()
        stopping = asyncio.get_running_loop().create_task(direct.server.stop())
        assert (await client.receive_close())[0] == 1001
        await client.send(close(1001))
        await stopping
        assert receiver.events == [("lost", 1001)]

    async def test_one_that_waits_for_its_accept_is_refused(self, direct: Served) -> None:
        direct.application.may_accept.clear()
        client = await direct.client()
        await direct.application.asked.wait()
        stopping = asyncio.get_running_loop().create_task(direct.server.stop())
        assert (await client.shake_hands()).status_code == 500
        direct.application.may_accept.set()
        await stopping
