"""Our server and another ASGI server: that each serves by its own link, and where this shows.

The contract suite runs on both; were they the same link, it would test one of them twice.
"""

from __future__ import annotations

import pytest

from helpers.gateway import GatewayProcess
from helpers.raw import OpenRaw
from helpers.raw_websocket import binary, close

CLOSE = (3000, "goodbye")
BY_PARSER = "frame with 1048577 bytes exceeds limit of 1048576 bytes"
BY_ASGI_LINK = "a message has at most 1048576 bytes here"
SOCKETIO = "/socket.io/?EIO=4&transport=websocket"


@pytest.fixture(params=["gateway", "asgi_gateway"])
async def served(request: pytest.FixtureRequest) -> GatewayProcess:
    """Each gateway of the session."""
    served: GatewayProcess = request.getfixturevalue(request.param)
    await served.ready()
    return served


@pytest.mark.parametrize(("path", "answer"), [("/ws/OUT", (1000, "")), (SOCKETIO, (3000, ""))])
async def test_who_answers_a_close(served: GatewayProcess, raw: OpenRaw, path: str, answer: tuple[int, str]) -> None:
    """The session by the direct link: with its own code, and no reason. An ASGI server echoes the client's close."""
    client = await raw(served, path)
    if path == SOCKETIO:
        await client.say_connect()
    await client.send(close(*CLOSE))
    assert await client.receive_close() == (answer if served.close_confirms else CLOSE)


async def test_who_refuses_a_message(served: GatewayProcess, raw: OpenRaw) -> None:
    """The direct link by its parser, at the frame's head; AsgiLink counts what the server has read, and says so."""
    client = await raw(served, "/ws/OUT")
    await client.send(binary(bytes(1024 * 1024 + 1)))
    assert await client.receive_close() == (1009, BY_PARSER if served.close_confirms else BY_ASGI_LINK)
