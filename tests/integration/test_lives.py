"""One session on each protocol to its end: refresh, shrinking rights, expiry. ``-s`` shows it as a log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.running import Running, running
from helpers.visits import OK, VISITS, Visit
from helpers.waiting import eventually
from wsgw.channels.channel import Use

SECRET = "a secret of these sessions, long enough for HS256"
SECONDS = 2


def token(seconds: float, **rights: list[str]) -> str:
    claims: dict[str, Any] = {"sub": "ann", "exp": int(time.time() + seconds), "wsgw": rights}
    return jwt.encode(claims, SECRET, "HS256")


class Log:
    """What was done, and what the client was told, line by line."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.lines: list[tuple[str, str]] = []
        self._began = time.monotonic()

    def __call__(self, what: str, told: str) -> None:
        self.lines.append((what, told))
        print(f"{self.protocol:10} {time.monotonic() - self._began:5.2f} s  {what:42} {told}")


@pytest.fixture
async def served(nats_server: NatsServer) -> AsyncIterator[Running]:
    channels = [{"name": name, "direction": "both"} for name in ("news", "chat")]
    auth = {"jwt": {"secret": SECRET, "leeway": 0}}
    async with running(nats_server.url, channels=channels, auth=auth) as made:
        yield made


class Life:
    """The client, and a program behind NATS that talks to it."""

    def __init__(self, served: Running, peer: Peer, heard: list[bytes], protocol: str) -> None:
        self._served, self._peer, self._heard, self._protocol = served, peer, heard, protocol
        self._tasks: list[Any] = []

    def visit(self) -> Visit:
        use = Use.PUBLISH if self._protocol == "post" else Use.SUBSCRIBE
        port = self._served.server.port
        return VISITS[self._protocol](port, use, "news", "down", "up", self._publish, lambda: self._heard.count(b"up"))

    def _publish(self) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(self._peer.publish("news", "down")))


@pytest.mark.parametrize("protocol", VISITS)
async def test_a_life(served: Running, nats_server: NatsServer, protocol: str) -> None:
    peer = await Peer.connect(nats_server.url)
    life = Life(served, peer, await peer.listen("news"), protocol)
    log, made = Log(protocol), []
    try:
        client = life.visit()
        made.append(client)
        over = time.time() + SECONDS
        log(
            f"comes with a token of {SECONDS} s",
            await client.come(token(SECONDS, subscribe=["news"], publish=["news"])),
        )
        longer = token(SECONDS + 4, subscribe=["news"], publish=["news"])
        if client.refreshes:
            log("shows one of some seconds more", await client.refresh(longer))
            await eventually(lambda: time.time() > over + 1, "the first one's time is over")
            log("goes on when the first one's time is over", await client.again())
            log(
                "shows one without the right to the channel", await client.refresh(token(SECONDS + 2, publish=["chat"]))
            )
            log("is told that the subscription ended", await client.notice())
            client.told.clear()
            log("and at last", await client.end())
        else:
            if protocol == "post":
                await eventually(lambda: time.time() > over + 1, "its time is over")
                log("sends when its time is over", await client.again())
            else:
                log("and when its time is over", await client.end())
            made.append(life.visit())
            log("comes again with the new token", await made[-1].come(longer))
            made.append(life.visit())
            less = token(SECONDS, publish=["chat"], subscribe=["chat"])
            log("comes with one without the right", await made[-1].come(less))
    finally:
        for each in made:
            await each.leave()
        await peer.close()
    if client.refreshes:
        assert [told for _, told in log.lines] == [OK, OK, OK, OK, "forbidden", "token_expired"]
    else:
        assert [told for _, told in log.lines] == [OK, "token_expired", OK, "forbidden"]
