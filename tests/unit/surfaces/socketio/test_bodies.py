"""Bodies of polling POSTs on the wire: refused ones, and those that never end."""

from __future__ import annotations

import contextlib
import json
from urllib.parse import urlsplit

import httpx
import pytest

from helpers.metrics import value
from helpers.raw_http import RawPost
from wsgw.transports import connection as http_connection

from .conftest import Board, until
from .raw import Polling

LARGE = 20_000_000
#: What becomes of the rest of a refused body is the HTTP server's business.
OURS = pytest.mark.parametrize("board", [True], ids=["direct"], indirect=True)


async def begin(board: Board, sid: str, length: int | None, *headers: str) -> RawPost:
    port = urlsplit(board.url).port
    assert port is not None
    return await RawPost.begin(port, f"/socket.io/?EIO=4&transport=polling&sid={sid}", length, *headers)


async def refusal(post: RawPost, status: int) -> dict[str, object]:
    """The body of the refusal, which ends the connection."""
    assert await post.status() == status
    head, _, body = (await post.rest()).partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head
    post.close()
    answer: dict[str, object] = json.loads(body)
    return answer


@OURS
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
async def test_too_large_is_told_to_a_client_that_sends_all_of_it_first(
    board: Board, http: httpx.AsyncClient, connection: str
) -> None:
    session = await Polling.open(http)
    post = await begin(board, session.sid, LARGE, f"Connection: {connection}")
    await post.pour(LARGE)  # an answer that is there already is not looked at
    assert await refusal(post, 413) == {"code": 3, "message": "Payload too large"}
    assert board.handlers[0].code == 1009
    assert value(board.metrics, "wsgw_rejected_total", reason="payload_too_large") == 1


async def test_too_large_is_told_before_any_of_it_came(board: Board, http: httpx.AsyncClient) -> None:
    session = await Polling.open(http)
    post = await begin(board, session.sid, 10**12)
    assert await post.status() == 413
    assert board.handlers[0].code == 1009
    post.close()


@OURS
async def test_not_all_of_a_refused_body_is_read(
    board: Board, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "LINGER_BYTES", 1_000_000)
    session = await Polling.open(http)
    post = await begin(board, session.sid, 10**12)
    with contextlib.suppress(ConnectionError):
        for _ in range(100):
            await post.pour(1_000_000)
        pytest.fail("all of it is read")
    post.close()


@OURS
async def test_other_refusals_of_a_body_are_told_too(board: Board) -> None:
    post = await begin(board, "nobody", LARGE)
    await post.pour(LARGE)
    assert (await refusal(post, 400))["message"] == "Session ID unknown"


async def test_a_refusal_of_a_request_without_a_body_leaves_the_connection(board: Board) -> None:
    post = await begin(board, "nobody", 0)
    assert await post.status() == 400
    await post.send(b"GET /socket.io/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"connection: close" not in await post.reader.readuntil(b"}")
    assert await post.status() == 400
    post.close()


async def test_a_client_that_leaves_in_the_middle(board: Board, http: httpx.AsyncClient) -> None:
    session = await Polling.open(http)
    post = await begin(board, session.sid, 100)
    await post.send(b'42["x"]')
    await until(lambda: board.server._sessions[session.sid].engine._posting)
    post.close()
    await until(lambda: board.handlers[0].code == 1006)
    assert board.events == []


async def test_the_session_ends_in_the_middle(board: Board, http: httpx.AsyncClient) -> None:
    """By a second POST, say: what is left of the first is not waited for."""
    session = await Polling.open(http)
    post = await begin(board, session.sid, 100)
    await post.send(b'42["x"]')
    await until(lambda: board.server._sessions[session.sid].engine._posting)
    assert (await session.post("3")).status_code == 400
    assert await post.status() == 400
    assert board.handlers[0].code == 1002
    post.close()


async def test_a_stop_ends_what_is_read(board: Board, http: httpx.AsyncClient) -> None:
    session = await Polling.open(http)
    post, refused = await begin(board, session.sid, 100), await begin(board, "nobody", 100)
    assert await refused.status() == 400
    await until(lambda: board.server._sessions[session.sid].engine._posting)
    board.server.close_all()
    assert await post.status() == 503
    assert not await board.server.wait_gone(0.01)
    late = await begin(board, "nobody", 100)
    for one in (post, refused, late):
        assert await one.rest()  # the connection ends although the body did not
        one.close()
    assert board.handlers[0].code == 1001
