"""Odd paths, methods, versions and bytes: each gets an answer that is no fault of ours, or its connection ends."""

from __future__ import annotations

import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from hostile.form import LONG
from hostile.sockets import HANDSHAKE_HEADERS, Target, read_all, send

_PATHS = r"""
/ // ///ws/OUT /.. /../../etc/passwd /./healthz /healthz/.. /healthz/ /%2e%2e/ /%00 /%ff /% /%zz /%e0%80%80 /%c0%af
/%f8%88%80%80%80 /%ed%a0%80 /ÿ /Ã©
/ws/%00 /ws/%ff /ws/chat.%ff /ws/chat.%00 /ws/ /ws /ws//OUT /ws/OUT/ /ws/../ws/OUT /ws/chat.* /ws/chat.%3e /ws/%20
/ws/chat.%20x /ws/chat.a%0d%0aPUB /ws/chat..x /ws/chat.
/publish/%00 /publish/%ff /publish/chat.%ff /publish/ /publish /publish/OUT/x
/request/%00 /request/%ff /request/
/socket.io /socket.io// /socket.io/%ff?EIO=4 /socket.io/?EIO=4&transport=polling&sid=%ff
/socket.io/?EIO=4&transport=%00 /socket.io/?EIO=%ff /socket.io/?EIO=4&transport=polling&channels=%ff
/socket.io/?EIO=4&EIO=3&transport=polling&transport=websocket
/healthz? /healthz?? /healthz?% /healthz#x /healthz?ÿ /healthz;x /metrics?x=%00
"""
PATHS = _PATHS.encode("latin-1").split()
LONG_PATHS = [b"/" + b"a" * 60_000, b"/" + b"%2e" * 20_000, b"/healthz?" + b"&" * 60_000, b"/" + b"a/" * 30_000]
_METHODS = "GET POST HEAD PUT DELETE OPTIONS PATCH TRACE CONNECT PROPFIND QUERY"
METHODS = _METHODS.split()

#: Whole requests that are odd, with the statuses they may have; None: the connection just ends.
ODD: dict[str, tuple[bytes, set[int | None]]] = {
    "absolute form": (b"GET http://elsewhere/healthz HTTP/1.1\r\nHost: x\r\n\r\n", {200, 400, 404}),
    "absolute form, no path": (b"GET http://elsewhere HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404}),
    "authority form": (b"CONNECT elsewhere:80 HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404, 405}),
    "authority form of a GET": (b"GET elsewhere:80 HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404, None}),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", {200, 204, 400, 404, 405}),
    "asterisk of a GET": (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404}),
    "no path": (b"GET  HTTP/1.1\r\nHost: x\r\n\r\n", {400, None}),
    "a path without a slash": (b"GET healthz HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404, None}),
    "HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", {200}),
    "HTTP/1.0, kept alive": (b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", {200}),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", {200, 400, 505, None}),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 404, 405, 426, 505, None}),
    "HTTP/2 as a version": (b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n", {200, 400, 426, 505, None}),
    "HTTP/9.9": (b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n", {400, 505, None}),
    "HTTP/1.2": (b"GET /healthz HTTP/1.2\r\nHost: x\r\n\r\n", {200, 400, 505}),
    "a version that is none": (b"GET /healthz HTTP/x\r\nHost: x\r\n\r\n", {400, 505, None}),
    "a lower-case version": (b"GET /healthz http/1.1\r\nHost: x\r\n\r\n", {400, 505, None}),
    "a lower-case method": (b"get /healthz HTTP/1.1\r\nHost: x\r\n\r\n", {400, 405, 501, None}),
    "a method that is none": (b"FOO /healthz HTTP/1.1\r\nHost: x\r\n\r\n", {400, 405, 501, None}),
    "a method of NULs": (b"\0\0\0 /healthz HTTP/1.1\r\nHost: x\r\n\r\n", {400, None}),
    "no Host": (b"GET /healthz HTTP/1.1\r\n\r\n", {200, 400}),
    "two Hosts": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", {200, 400}),
    "a Host that is none": (b"GET /healthz HTTP/1.1\r\nHost: \xff/@:\r\n\r\n", {200, 400}),
    "an empty header name": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", {400}),
    "a NUL in a header": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n", {400}),
    "a NUL in a name": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX\0: a\r\n\r\n", {400}),
    "a NUL in the path": (b"GET /heal\0thz HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404}),
    "a space in the path": (b"GET /heal thz HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
    "a tab behind the method": (b"GET\t/healthz HTTP/1.1\r\nHost: x\r\n\r\n", {400, None}),
    "TLS": (bytes.fromhex("1603010200010001fc0303") + bytes(500), {400, 408, None}),
    "SSH": (b"SSH-2.0-OpenSSH_9.0\r\n\r\n", {400, None}),
    "a PROXY line": (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", {400, None}),
    "empty lines before": (b"\r\n\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", {200, 400}),
    "an upgrade to h2c": (
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        {200, 400},
    ),
    "Expect of something": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: cake\r\n\r\n", {200, 400, 417}),
}


async def _check(target: Target, method: bytes, path: bytes, headers: bytes) -> None:
    status = await target.ask(b"%b %b HTTP/1.1\r\n%b\r\n" % (method, path, headers), 20)
    if status is None:  # not even HTTP
        assert any(byte > 126 for byte in path) or method not in (b"GET", b"POST"), path[:100]
    else:
        assert status < 500 or status == 501, (method, path[:100], status)


@pytest.mark.parametrize("method", METHODS if LONG else METHODS[:2])
async def test_paths(target: Target, method: str) -> None:
    for path in PATHS + LONG_PATHS:
        for headers in (b"Host: x\r\n", HANDSHAKE_HEADERS):
            await _check(target, method.encode(), path, headers)


@pytest.mark.parametrize("method", METHODS)
async def test_methods(target: Target, method: str) -> None:
    for path in (b"/healthz", b"/ws/OUT", b"/publish/OUT", b"/socket.io/?EIO=4&transport=polling", b"/nothing"):
        await _check(target, method.encode(), path, b"Host: x\r\n")


@pytest.mark.parametrize("what", ODD)
async def test_requests(target: Target, what: str) -> None:
    request, statuses = ODD[what]
    assert await target.ask(request, 20) in statuses


@pytest.mark.parametrize("path", ["/publish/chat.%ff", "/publish/chat.x%c3", "/publish/chat.%ed%a0%80", "/ws/chat.%ff"])
async def test_paths_that_are_no_utf8(target: Target, nats: NatsServer, path: str) -> None:
    """They are refused: nothing is published under another name."""
    peer = await Peer.connect(nats.url)
    try:
        heard = await peer.listen("chat.>")
        if path.startswith("/ws"):
            with await target.connect() as made:
                frames = b"\x81\x81\0\0\0\0x\x88\x80\0\0\0\0"
                await send(made, b"GET %b HTTP/1.1\r\n%b\r\n%b" % (path.encode(), HANDSHAKE_HEADERS, frames))
                answer = await read_all(made, 20)
            assert answer is not None
            assert answer.startswith(b"HTTP/1.1 400 ") or b"\x88" in answer
        else:
            request = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nstray".encode()
            assert await target.ask(request, 20) == 400
        await peer.fence()
        assert heard == []
    finally:
        await peer.close()
