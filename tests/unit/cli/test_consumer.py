from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import nats
import pytest
from websockets.asyncio.server import Server, ServerConnection, serve

from wsgw import __version__
from wsgw.channels.subjects import subject_problem
from wsgw.cli.consumer import channels_of

NOTES = '{"notes":"Some text..."}'
#: More than the gateway would log, and a character that it would not log as it is.
LONG = "\u202e" + "x" * 10_000
SCRIPTS = Path(sys.executable).parent
STOPPED = ["App starts the shutdown process...", "Shutdown process successfully finished"]


def test_topics() -> None:
    assert channels_of(" IN1, IN2 ,IN1") == ["IN1", "IN2"]
    for bad in ("", " ", "A,,B", "A,"):
        with pytest.raises(ValueError, match="empty name"):
            channels_of(bad)


async def publish(url: str, *messages: tuple[str, bytes]) -> None:
    connection = await nats.connect(url)
    for subject, payload in messages:
        await connection.publish(subject, payload)
    await connection.close()


# ---- NATS


async def test_nats(wsgw: Any, nats_url: str) -> None:
    command = await wsgw("consumer", "-u", nats_url, "-t", "OUT")
    await command.printed('Start listening to messages on NATS "OUT" topic')
    await publish(
        nats_url,
        *(
            ("OUT", payload)
            for payload in (NOTES.encode(), "line1\nlíne2".encode(), b"", b"\xff\x00", LONG.encode(), b"end")
        ),
    )
    await command.printed('NATS[OUT] >> "end"')
    assert await command.stop() == 0
    assert command.messages == [
        "info: pdms: Start up",
        "info: pdms: Connected to NATS",
        "info: App runs the jobs...",
        f'info: wsgw client {{"channelType":"NATS","uri":"{nats_url}","topic":"OUT"}}',
        'info: Start listening to messages on NATS "OUT" topic',
        'info: NATS[OUT] >> "{\\"notes\\":\\"Some text...\\"}"',
        'info: NATS[OUT] >> "line1\\nlíne2"',
        'info: NATS[OUT] >> ""',
        'info: NATS[OUT] >> base64:"/wA="',
        f'info: NATS[OUT] >> "{LONG}"',
        'info: NATS[OUT] >> "end"',
        "info: App starts the shutdown process...",
        "info: pdms: Shutting down",
        "info: Shutdown process successfully finished",
    ]
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert all(
        re.match(rf"{stamp} \[wsgw@{re.escape(__version__)}\] info: ", line) for line in command.output.splitlines()
    )


async def test_several_topics_and_json_lines(wsgw: Any, nats_url: str) -> None:
    command = await wsgw("consumer", "-u", nats_url.replace("nats", "NATS"), "-t", "A, b.*", WSGW_LOG_FORMAT="json")
    await command.printed('on NATS \\"b.*\\" topic')
    await publish(nats_url, ("A", b"1"), ("b.c", b"2"))
    await command.printed("NATS[A]")
    await command.printed("NATS[b.*]")
    assert await command.stop(signal.SIGINT) == 0
    lines = [json.loads(line) for line in command.output.splitlines()]
    assert {(line["label"], line["level"]) for line in lines} == {(f"wsgw@{__version__}", "info")}
    messages = [line["message"] for line in lines]
    assert '"topic":"A, b.*"' in messages[3]
    assert messages[4:6] == [f'Start listening to messages on NATS "{name}" topic' for name in ("A", "b.*")]


async def test_password_is_masked_and_used(wsgw: Any, start_server: Callable[[str], Any]) -> None:
    server = start_server('authorization { user: "me", password: "s@cret" }')
    url = server.url.replace("//", "//me:s%40cret@")
    command = await wsgw("consumer", "-u", url, "-t", "OUT")
    await command.printed("Start listening")
    assert f'"uri":"{server.url.replace("//", "//me:***@")}"' in command.output
    assert "cret" not in command.output
    by_environment = await wsgw("consumer", "-u", server.url, "-t", "OUT", NATS_USER="me", NATS_PASS="s@cret")
    await by_environment.printed("Start listening")
    refused = await wsgw("consumer", "-u", server.url.replace("//", "//me:wrong@"))
    assert await refused.ended() == 1
    assert refused.messages[-1] == "error: NATS refused the user and password or the token"
    assert "wrong" not in refused.output


async def test_token(wsgw: Any, start_server: Callable[[str], Any]) -> None:
    server = start_server('authorization { token: "t0ken" }')
    command = await wsgw("consumer", "-u", server.url.replace("//", "//t0ken@"))
    await command.printed("Start listening")
    assert "//***@127" in command.output


async def test_a_refused_subscription(wsgw: Any, start_server: Callable[[str], Any]) -> None:
    server = start_server(
        """authorization { users: [
          { user: u, password: p, permissions: { subscribe: ["OK"], publish: { deny: ">" } } }
        ] }"""
    )
    url = server.url.replace("//", "//u:p@")
    refused = await wsgw("consumer", "-u", url, "-t", "OK,Secret")
    assert await refused.ended() == 1
    assert "error: NATS refused: " in refused.messages[-1]
    assert '"secret"' in refused.messages[-1].lower()
    # the right to subscribe to the channel is enough
    allowed = await wsgw("consumer", "-u", url, "-t", "OK")
    await allowed.printed("Start listening")


async def test_nats_goes_and_comes_back(wsgw: Any, start_server: Callable[[str], Any]) -> None:
    server = start_server("")
    command = await wsgw("consumer", "-u", server.url, "-t", "OUT")
    await command.printed("Start listening")
    server.stop()
    await command.printed(f"warn: connection to {server.url} lost, reconnecting")
    server.start()
    await command.printed(f"info: connection to {server.url} is back")
    await publish(server.url, ("OUT", b"again"))
    await command.printed('NATS[OUT] >> "again"')
    server.stop()
    await command.printed("lost")
    assert await command.stop(signal.SIGHUP) == 0


@pytest.mark.parametrize("topic", ["a..b", "a b", "a.>.b", "x*", "a\u200bb"])
async def test_a_subject_that_is_none(wsgw: Any, nats_url: str, topic: str) -> None:
    command = await wsgw("consumer", "-u", nats_url, "-t", topic)
    assert await command.ended() == 1
    assert command.messages[-1] == f"error: subject {topic!r} {subject_problem(topic, wildcards=True)}"


# ---- any side


@pytest.mark.parametrize("scheme", ["nats", "http", "ws"])
async def test_unreachable(wsgw: Any, scheme: str) -> None:
    command = await wsgw("consumer", "-u", f"{scheme}://user:secret@127.0.0.1:1", "--timeout", "0.5")
    assert await command.ended() == 1
    assert f"error: cannot reach {scheme}://user:***@127.0.0.1:1 within 0.5 s: " in command.messages[-1]
    assert "secret" not in command.output


@pytest.mark.parametrize("scheme", ["nats", "http", "ws"])
async def test_somebody_who_says_nothing(wsgw: Any, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = await wsgw("consumer", "-u", f"{scheme}://127.0.0.1:{listening.getsockname()[1]}", "--timeout", "0.5")
        assert await command.ended() == 1
    assert "within 0.5 s: " in command.messages[-1]


@pytest.mark.parametrize("scheme", ["nats", "http", "ws"])
async def test_somebody_of_another_protocol(wsgw: Any, scheme: str) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    command = await wsgw("consumer", "-u", f"{scheme}://127.0.0.1:{port}", "--timeout", "0.5")
    assert await command.ended() == 1
    assert "Traceback" not in command.output
    assert command.messages[-1].startswith("error: ")
    server.close()


async def test_a_signal_before_it_is_connected(wsgw: Any) -> None:
    command = await wsgw("consumer", "-u", "ws://127.0.0.1:1", "-t", "IN", "--timeout", "60")
    await command.printed("wsgw client")
    assert await command.stop() == 0
    assert command.messages[-2:] == [f"info: {line}" for line in STOPPED]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-u", "localhost:4222"], "a URL with one of the schemes http, https, ws, wss, nats, tls is needed"),
        (["-u", "http://"], "host or port is not usable"),
        (["-u", "nats://u:secret@h:port"], "'nats://u:***@h:port': host or port is not usable"),
        (["-t", "A,,B"], "there is an empty name in the list"),
        (["-l", "bogus"], "'error', 'warn', 'info', 'verbose', 'debug', 'silly'"),
        (["-f", "xml"], "'plainText', 'json'"),
        (["--timeout", "0"], "--timeout"),
        (["--nonsense"], "No such option"),
        (["extra"], "unexpected extra argument"),
    ],
)
async def test_usage_errors(wsgw: Any, arguments: list[str], said: str) -> None:
    command = await wsgw("consumer", *arguments, COLUMNS="500")
    assert await command.ended() == 2
    assert said in command.output
    assert "secret" not in command.output


async def test_help_has_examples(wsgw: Any) -> None:
    for name in ("consumer", "producer"):
        command = await wsgw(name, "--help")
        assert await command.ended() == 0
        assert f"wsgw {name} -u http://localhost:3007" in command.output


async def test_a_reader_that_goes_away_ends_it(nats_url: str) -> None:
    shell = await asyncio.create_subprocess_shell(
        f"wsgw consumer -u {nats_url} -t OUT 2>&1 | head -5",
        env={"PATH": f"{SCRIPTS}:/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert shell.stdout is not None
    lines = [await shell.stdout.readline() for _ in range(5)]
    assert b"Start listening" in lines[-1]
    async with asyncio.timeout(30):
        while shell.returncode is None:
            await publish(nats_url, ("OUT", b"into the void"))
            await asyncio.sleep(0.05)
    assert await shell.stdout.read() == b""


# ---- plain WebSocket


async def ws_url(server: Server) -> str:
    return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_websocket(wsgw: Any) -> None:
    paths = []

    async def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        paths.append(connection.request.path)
        if paths[-1].startswith("/ws/IN"):
            await connection.send(NOTES)
            await connection.send(b"\xff")
            await connection.send("é" * 600_000)
            await connection.send("end")
        await connection.wait_closed()

    async with serve(handler, "127.0.0.1", 0) as server:
        bare = await ws_url(server)
        url = f"{bare}?token=x"
        command = await wsgw("consumer", "-u", url, "-t", "IN,ä/.b")
        await command.printed('WS[IN] >> "end"')
        await command.printed('"ä/.b" topic')
        assert await command.stop() == 0
    assert sorted(paths) == ["/ws/%C3%A4%2F.b?token=x&receive=1", "/ws/IN?token=x&receive=1"]
    assert command.messages[:2] == [
        "info: App runs the jobs...",
        f'info: wsgw client {{"channelType":"WS","uri":"{bare}?***","topic":"IN,ä/.b"}}',
    ]
    listening = {f'info: Start listening to messages on WebSocket "{name}" topic' for name in ("IN", "ä/.b")}
    assert listening < set(command.messages)
    received = [line for line in command.messages if "WS[IN]" in line]
    assert received == [
        'info: WS[IN] >> "{\\"notes\\":\\"Some text...\\"}"',
        'info: WS[IN] >> base64:"/w=="',
        f'info: WS[IN] >> "{"é" * 600_000}"',
        'info: WS[IN] >> "end"',
    ]
    assert command.messages[-2:] == [f"info: {line}" for line in STOPPED]


async def test_websocket_path_of_the_url_is_the_base(wsgw: Any) -> None:
    paths = []

    async def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        paths.append(connection.request.path)
        await connection.close(4504, "no channel IN")

    async with serve(handler, "127.0.0.1", 0) as server:
        command = await wsgw("consumer", "-u", await ws_url(server) + "/base/", "-t", "IN")
        assert await command.ended() == 1
    assert paths == ["/base/ws/IN?receive=1"]
    assert command.messages[-1] == "error: 'IN' was closed with code 4504: no channel IN"


@pytest.mark.parametrize("code", [1000, 1001, 1013, 4008])
async def test_websocket_comes_back_after_a_close_that_invites_to(wsgw: Any, code: int) -> None:
    connected = 0

    async def handler(connection: ServerConnection) -> None:
        nonlocal connected
        connected += 1
        if connected == 1:
            await connection.close(code, "later")
        await connection.send("back")
        await connection.wait_closed()

    async with serve(handler, "127.0.0.1", 0) as server:
        command = await wsgw("consumer", "-u", await ws_url(server), "-t", "IN")
        await command.printed('WS[IN] >> "back"')
        assert await command.stop() == 0
    assert f"lost, reconnecting: 'IN' was closed with code {code}: later" in command.output
    assert "is back" in command.output


async def test_websocket_refused_by_http(wsgw: Any) -> None:
    async with serve(
        lambda connection: connection.wait_closed(),
        "127.0.0.1",
        0,
        process_request=lambda connection, request: connection.respond(401, "who are you"),
    ) as server:
        command = await wsgw("consumer", "-u", await ws_url(server), "-t", "IN")
        assert await command.ended() == 1
    assert command.messages[-1] == "error: HTTP 401 for 'IN': who are you"


# ---- Socket.IO


async def test_socketio(wsgw: Any, gateway: Any) -> None:
    command = await wsgw("consumer", "-u", gateway.url, "-t", "IN, X")
    await command.printed('on WebSocket "X" topic')
    for event, payload in (
        ("OTHER", "no"),
        ("IN", NOTES),
        ("X", b"\xff"),
        ("IN", ""),
        ("IN", {"a": [1, "é"]}),
        ("X", "e"),
    ):
        await gateway.sio.emit(event, payload)
    await command.printed('WS[X] >> "e"')
    assert await command.stop() == 0
    assert parse_qs(gateway.queries[0])["channels"] == ["IN,X"]
    assert command.messages == [
        "info: App runs the jobs...",
        f'info: wsgw client {{"channelType":"WS","uri":"{gateway.url}","topic":"IN, X"}}',
        'info: Start listening to messages on WebSocket "IN" topic',
        'info: Start listening to messages on WebSocket "X" topic',
        'info: WS[IN] >> "{\\"notes\\":\\"Some text...\\"}"',
        'info: WS[X] >> base64:"/w=="',
        'info: WS[IN] >> ""',
        'info: WS[IN] >> {"a":[1,"é"]}',
        'info: WS[X] >> "e"',
        *(f"info: {line}" for line in STOPPED),
    ]


async def test_socketio_connect_error(wsgw: Any, gateway: Any) -> None:
    gateway.refusal = ("Unknown", {"error": {"code": "unknown_channel", "message": "no channel NO is configured"}})
    command = await wsgw("consumer", "-u", gateway.url, "-t", "NO")
    assert await command.ended() == 1
    assert command.messages[-1] == "error: the connection was refused: unknown_channel: no channel NO is configured"


async def test_socketio_goes_and_comes_back(wsgw: Any, gateway: Any) -> None:
    command = await wsgw("consumer", "-u", gateway.url, "-t", "IN")
    await command.printed("Start listening")
    await gateway.sio.disconnect(gateway.sids[0])
    await command.printed(f"warn: connection to {gateway.url} lost, reconnecting")
    await command.printed(f"info: connection to {gateway.url} is back")
    await gateway.sio.emit("IN", "again")
    await command.printed('WS[IN] >> "again"')
    gateway.refusal = ("go away",)
    await gateway.sio.disconnect(gateway.sids[0])
    assert await command.ended() == 1
    assert command.messages[-1] == "error: the connection was refused: go away"


async def test_socketio_reserved_names(wsgw: Any, gateway: Any) -> None:
    command = await wsgw("consumer", "-u", gateway.url, "-t", "disconnect")
    assert await command.ended() == 1
    assert "'disconnect' can be no channel over Socket.IO" in command.messages[-1]
