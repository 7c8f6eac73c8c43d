"""Requests that no surface answers, and faults of those that do: rows of the table of errors."""

from __future__ import annotations

import json
import logging
from typing import Any, NoReturn

import httpx
import pytest

from helpers.running import Running


def code_of(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/json"
    (error,) = answer.json().values()
    assert error.keys() == {"code", "message"}
    assert error["message"]
    return str(error["code"])


@pytest.mark.parametrize("path", ["/nothing", "/", "/ws/IN", "/socket.iox", "/healthz/x", "/docs", "/openapi.json"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_an_unknown_path(served: Running, method: str, path: str) -> None:
    answer = await served.http.request(method, path)
    assert (answer.status_code, code_of(answer)) == (404, "not_found")
    assert path in answer.json()["error"]["message"]
    assert served.value("wsgw_rejected_total", reason="not_found") == 1


async def test_a_websocket_without_its_handshake(served: Running) -> None:
    """As it comes by a proxy that does not pass it on."""
    answer = await served.http.get("/ws/IN", headers={"connection": "close", "sec-websocket-version": "13"})
    assert (answer.status_code, code_of(answer)) == (404, "not_found")
    assert answer.json()["error"]["message"] == (
        "this request for /ws/IN has no WebSocket handshake: proxies have to pass on the headers Upgrade and Connection"
    )


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/publish/OUT", "OPTIONS, POST"),
        ("PUT", "/request/SUM", "OPTIONS, POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("DELETE", "/metrics", "GET, HEAD"),
        ("OPTIONS", "/readyz", "GET, HEAD"),
    ],
)
async def test_a_method_that_a_path_does_not_take(served: Running, method: str, path: str, allow: str) -> None:
    answer = await served.http.request(method, path)
    assert (answer.status_code, code_of(answer)) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allow
    assert served.value("wsgw_rejected_total", reason="method_not_allowed") == 1


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/publish/OUT", 405)])
async def test_head(served: Running, path: str, status: int) -> None:
    answer = await served.http.head(path)
    assert (answer.status_code, answer.content) == (status, b"")
    assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize("path", ["/nothing", "/", "/ws", "/publish/OUT", "/healthz"])
async def test_a_websocket_to_an_unknown_path(served: Running, path: str) -> None:
    response = (await served.websocket(path)).response
    assert response is not None
    assert response.status_code == 404
    assert json.loads(response.body or b"")["error"]["code"] == "not_found"
    assert served.value("wsgw_rejected_total", reason="not_found") == 1


async def fail(*_: Any) -> NoReturn:
    raise ZeroDivisionError


@pytest.mark.parametrize("path", ["/readyz", "/socket.io/"])
async def test_a_fault(
    served: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    caplog.set_level(logging.ERROR, "uvicorn.error")  # other tests leave it above that
    monkeypatch.setattr(served.gateway, "readiness", lambda: 1 / 0)
    monkeypatch.setattr(served.app.state, "socketio", fail)
    answer = await served.http.get(path)
    assert (answer.status_code, code_of(answer)) == (500, "internal")
    assert "division" not in answer.text
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
