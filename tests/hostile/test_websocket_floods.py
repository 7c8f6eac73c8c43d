"""WebSockets that send the cheapest frames at full speed: they get their share of the loop's time, no more."""

from __future__ import annotations

import asyncio
import time

import pytest
from websockets.frames import Opcode

from helpers.raw import RawClient, frame
from helpers.waiting import eventually
from hostile import form
from hostile.attacks.table import ATTACKS
from hostile.battle import Battle
from hostile.form import LONG, either
from hostile.target import HostileGateway

FLOODS = [name for name in ATTACKS if name.startswith("4 ")] if LONG else ["4 frames of all kinds"]


@pytest.mark.parametrize("what", FLOODS)
async def test_floods(battle: Battle, what: str) -> None:
    await battle.fight(what, again=True)


async def test_more_than_anybody_needs(gateway: HostileGateway) -> None:
    """More than 100 a second of a kind for 5 s: closed with 1008. Beside each one that sends fewer, and stays."""
    kinds = {
        "pong": frame(Opcode.PONG),
        "ping": frame(Opcode.PING),
        "continuation": frame(Opcode.CONT, fin=False),
    }
    flooding = {name: await RawClient.open(gateway, "/ws/chat.flood") for name in kinds}
    modest = {name: await RawClient.open(gateway, "/ws/chat.modest") for name in kinds}
    ended = {name: asyncio.create_task(client.closed()) for name, client in flooding.items()}

    async def send(client: RawClient, name: str, count: int) -> None:
        await client.send_bytes(frame(Opcode.TEXT, b"x", fin=False))
        while not all(task.done() for task in ended.values()):
            await client.send_bytes(kinds[name] * count)
            await asyncio.sleep(0.1)

    tasks = [asyncio.create_task(send(client, name, 200)) for name, client in flooding.items()]
    patient = [asyncio.create_task(send(client, name, 4)) for name, client in modest.items()]
    try:
        await eventually(lambda: all(task.done() for task in ended.values()), "they are closed")
        assert {name: task.result() for name, task in ended.items()} == dict.fromkeys(kinds, 1008)
        await asyncio.gather(*patient)
        for number, client in enumerate(modest.values()):
            await client.send_bytes(frame(Opcode.CONT, b"%d" % number))
        for client in modest.values():
            for number in range(len(modest)):
                while (received := await client.receive()).opcode is not Opcode.TEXT:
                    assert received.opcode is not Opcode.CLOSE
                assert bytes(received.data) == b"x%d" % number
    finally:
        for task in [*tasks, *patient, *ended.values()]:
            task.cancel()
        for client in [*flooding.values(), *modest.values()]:
            client.close()


async def test_messages_are_as_welcome_as_ever(battle: Battle) -> None:
    """A client that sends small messages as fast as it can is held back, not closed."""
    async with battle.measuring():
        client = await RawClient.open(battle.gateway, "/ws/OUT")
        messages = frame(Opcode.TEXT, b"x") * either(200_000, 20_000)
        until = time.monotonic() + form.UNDER_SECONDS  # however fast the machine is, who is healthy is asked meanwhile
        async with asyncio.timeout(60):
            await client.send_bytes(messages)
            while time.monotonic() < until:
                await client.send_bytes(messages)
        await client.send_bytes(frame(Opcode.CLOSE, (1000).to_bytes(2, "big")))
        assert await client.closed() == 1000
        client.close()
    battle.figures.check()
