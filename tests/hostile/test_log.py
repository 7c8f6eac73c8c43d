"""Names that would be log lines: what clients say cannot forge or colour the log, whatever the level."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from websockets.frames import Opcode

from helpers.raw import frame
from helpers.waiting import eventually
from hostile.sockets import HANDSHAKE_HEADERS, Target, read_until, send
from hostile.target import HostileGateway

FORGED = "2026-01-01T00:00:00.000Z [wsgw@1.0.0] error: FORGED"
NAMES = {
    "a line": f"x\r\n{FORGED}",
    "a bare CR": f"x\r{FORGED}",
    "a bare LF": f"x\n{FORGED}",
    "other line ends": f"x\x0b{FORGED}\x0c{FORGED}\x85{FORGED}\u2028{FORGED}",
    "ANSI": "x\x1b[2J\x1b[31mred",
    "OSC": "x\x1b]0;title\x07\x1b]8;;http://evil\x1b\\",
    "C1": "x\x9b31m",
    "NUL and backspace": "x\x00\x08\x08",
    "right to left": "x\u202egnp.exe",
    "not a character": "x\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
}


@pytest.mark.parametrize("what", NAMES)
async def test_names(target: Target, gateway: HostileGateway, what: str) -> None:
    name = NAMES[what]
    path = quote(name, safe="").encode()
    before = len(gateway.output)
    requests = [
        b"GET /ws/%b HTTP/1.1\r\n%b\r\n" % (path, HANDSHAKE_HEADERS),
        b"GET /ws/OUT?receive=%b HTTP/1.1\r\n%b\r\n" % (path, HANDSHAKE_HEADERS),
        b"GET /%b HTTP/1.1\r\n%b\r\n" % (path, HANDSHAKE_HEADERS),
        b"POST /publish/%b HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx" % path,
        b"POST /request/%b HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx" % path,
        b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % path,
        b"GET /socket.io/?EIO=4&transport=%b HTTP/1.1\r\nHost: x\r\n\r\n" % path,
        b"GET /socket.io/?EIO=4&transport=polling&sid=%b HTTP/1.1\r\nHost: x\r\n\r\n" % path,
    ]
    for request in requests:
        status = await target.ask(request, 20)
        assert status is not None, request
        assert status < 500, request
    with await target.websocket(f"/socket.io/?EIO=4&transport=websocket&channels={path.decode()}") as made:
        await send(made, frame(Opcode.TEXT, b"40"))
        await read_until(made, b"44")
    with await target.socketio() as made:
        escaped = json.dumps(name.encode("utf-8", "replace").decode())
        for packet in (f'421[{escaped},"x"]', f'422["wsgw:subscribe",{escaped}]'):
            await send(made, frame(Opcode.TEXT, packet.encode()))
        await read_until(made, b"432[")
    await eventually(lambda: len(gateway.output) > before, "something is logged")
    output = gateway.output[before:]
    for line in output.splitlines():
        assert not line.startswith(FORGED[:24] + " [wsgw@1.0.0] error"), line
    gateway.check_log(before)
