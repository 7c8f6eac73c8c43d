from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg

from wsgw.channels.subjects import MAX_SUBJECT_BYTES, subject_problem
from wsgw.cli.producer import message_from
from wsgw.errors import ConfigError

from .wanted import NATS_STOPPED, NOTES, heard


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        (NOTES, NOTES.encode()),
        ('{ "b": 1.0,\n"a" : [ ] } ', b'{ "b": 1.0,\n"a" : [ ] } '),
        ('"text é \\u00e9"', "text é é".encode()),
        ('""', b""),
        ("5", b"5"),
        ("null", b"null"),
    ],
)
def test_texts_are_sent_as_written(text: str, payload: bytes) -> None:
    assert message_from(text, "IN", raw=False).payload == payload
    assert message_from(text, "IN", raw=True).payload == text.encode()


@pytest.mark.parametrize("text", ["", "plain", "{'a': 1}", "[1", "NaN", "[-Infinity]", '"\\ud800"', "[" * 100_000])
def test_texts_that_are_no_json(text: str) -> None:
    with pytest.raises(ConfigError, match=r"(?s)is not JSON: .*--raw"):
        message_from(text, "IN", raw=False)
    assert message_from(text, "IN", raw=True).payload == text.encode()


# ---- NATS


async def test_nats(wsgw: Any, nats_url: str) -> None:
    async with heard(nats_url) as messages:
        command = await wsgw("producer", "-u", nats_url, "-t", "IN", "-m", NOTES)
        assert await command.ended() == 0
    assert messages == [("IN", NOTES.encode())]
    assert command.messages == [
        "info: pdms: Start up",
        "info: pdms: Connected to NATS",
        "info: App runs the jobs...",
        f"info: {NOTES} >> [IN]",
        "info: Successfully completed.",
        *NATS_STOPPED,
    ]


async def test_all_sources_in_order(wsgw: Any, nats_url: str, tmp_path: Path) -> None:
    (tmp_path / "c.bin").write_bytes(b"\xff\x00")
    (tmp_path / "s.yml").write_text("[{message: {a: no}, delay: 1}, {topic: OTHER, file: c.json}]")
    (tmp_path / "c.json").write_text('{\n "x": 1\n}\n')
    arguments = ["-s", "s.yml", "-c", "c.bin", "-m", "5", "-m", '"plain"', "-m", "null", "-d", "-t", "IN"]
    files = [str(tmp_path / argument) if argument in ("s.yml", "c.bin") else argument for argument in arguments]
    async with heard(nats_url) as messages:
        command = await wsgw("producer", "-u", nats_url, *files)
        assert await command.ended() == 0
    assert messages == [
        ("IN", b"5"),
        ("IN", b"plain"),
        ("IN", b"null"),
        ("IN", b"\xff\x00"),
        ("IN", b'{"a":"no"}'),
        ("OTHER", b'{\n "x": 1\n}\n'),
    ]
    printed, _, rest = command.output.partition("Messages to publish: ")
    dump, _ = json.JSONDecoder().raw_decode(rest)
    assert dump == [
        {"delay": 0, "topic": "IN", "message": 5},
        {"delay": 0, "topic": "IN", "message": "plain"},
        {"delay": 0, "topic": "IN", "message": None},
        {"delay": 0, "topic": "IN", "message": 'base64:"/wA="'},
        {"delay": 1, "topic": "IN", "message": {"a": "no"}},
        {"delay": 0, "topic": "OTHER", "message": {"x": 1}},
    ]
    assert "App runs the jobs..." in printed
    assert [line for line in command.messages if ">>" in line] == [
        "info: 5 >> [IN]",
        'info: "plain" >> [IN]',
        "info: null >> [IN]",
        'info: base64:"/wA=" >> [IN]',
        'info: {"a":"no"} >> [IN]',
        'info: {  "x": 1 } >> [OTHER]',
    ]


async def test_many_messages_over_nats(wsgw: Any, nats_url: str, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps([{"message": number} for number in range(5000)]))
    async with heard(nats_url, "MANY") as messages:
        command = await wsgw("producer", "-u", nats_url, "-t", "MANY", "-s", str(tmp_path / "s.json"), "-l", "error")
        assert await command.ended() == 0
    assert [int(payload) for _, payload in messages] == list(range(5000))
    assert command.output == ""


async def test_delays_are_waited(wsgw: Any, nats_url: str, tmp_path: Path) -> None:
    (tmp_path / "s.yml").write_text("[{}, {delay: 300}, {delay: 300}]")
    loop = asyncio.get_running_loop()
    command = await wsgw("producer", "-u", nats_url, "-s", str(tmp_path / "s.yml"))
    await command.printed("{} >> [message]")
    start = loop.time()
    assert await command.ended() == 0
    assert loop.time() - start > 0.4


@pytest.mark.parametrize("wrong", ["{file: gone.json}", "{mesage: x}"])
async def test_nothing_is_sent_if_anything_is_wrong(wsgw: Any, nats_url: str, tmp_path: Path, wrong: str) -> None:
    scenario = tmp_path / "s.yml"
    scenario.write_text(f"[{{}}, {wrong}]")
    async with heard(nats_url) as messages:
        command = await wsgw("producer", "-u", nats_url, "-m", "1", "-s", str(scenario))
        assert await command.ended() == 1
    assert messages == []
    assert f"error: {scenario}: item 2 (counted from 1): " in command.output
    assert len(command.messages) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["-m", "{broken"],
            "-m '{broken' is not JSON: Expecting property name enclosed in double quotes",
        ),
        (["-c", "gone.json"], "gone.json: No such file or directory"),
        (["-c", "broken.json"], "broken.json: Expecting"),
        (["-s", "gone.yml"], "gone.yml: No such file or directory"),
    ],
)
async def test_broken_sources(wsgw: Any, tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "broken.json").write_text("{")
    arguments = [arguments[0], arguments[1] if arguments[0] == "-m" else str(tmp_path / arguments[1])]
    command = await wsgw("producer", *arguments)
    assert await command.ended() == 1
    assert command.messages[-1].startswith("error: ")
    assert said in command.output


async def test_nats_refuses(wsgw: Any, start_server: Callable[[str], Any], tmp_path: Path) -> None:
    server = start_server(
        """max_payload: 100
        authorization { users: [
          { user: one, password: p, permissions: { publish: { deny: "Secret.>" } } }
          { user: two, password: p, permissions: { publish: ["OK", "Asked"], subscribe: { deny: ">" } } }
        ] }"""
    )
    one, two = (server.url.replace("//", f"//{user}:p@") for user in ("one", "two"))
    (tmp_path / "s.yml").write_text("[{topic: OK}, {topic: Secret.Plan}, {topic: OK}]")
    refused = await wsgw("producer", "-u", one, "-s", str(tmp_path / "s.yml"))
    assert await refused.ended() == 1
    assert "error: NATS refused: " in refused.messages[-1]
    assert "secret.plan" in refused.messages[-1].lower()
    assert "Successfully" not in refused.output
    # a user who may publish to the channel only can still be told the truth
    allowed = await wsgw("producer", "-u", two, "-t", "OK", "-m", "1")
    assert await allowed.ended() == 0, allowed.output
    refused = await wsgw("producer", "-u", two, "-t", "NO", "-m", "1")
    assert await refused.ended() == 1
    assert 'publish to "no"' in refused.messages[-1].lower()
    large = await wsgw("producer", "-u", one, "-t", "OK", "-m", json.dumps("x" * 101))
    assert await large.ended() == 1
    assert large.messages[-1] == "error: the message is larger than max_payload of NATS, 100 bytes"
    request = await wsgw("producer", "-u", one, "-t", "Secret.Sum", "-m", "1", "-r", "--timeout", "0.5")
    assert await request.ended() == 1
    assert "error: NATS refused: " in request.messages[-1]


@pytest.mark.parametrize("topic", ["a..b", ".a", "a b", "a.*", "a.>", "a*", "a\u200bb", "a" * (MAX_SUBJECT_BYTES + 1)])
async def test_a_subject_that_is_none(wsgw: Any, nats_url: str, topic: str) -> None:
    command = await wsgw("producer", "-u", nats_url, "-t", topic, "-m", "1")
    assert await command.ended() == 1
    assert command.messages[-1] == f"error: subject {topic!r} {subject_problem(topic, wildcards=False)}"
    assert ">> [" not in command.output


async def test_requests_on_nats(wsgw: Any, nats_url: str) -> None:
    connection = await nats.connect(nats_url)

    async def answer(message: Msg) -> None:
        await message.respond(b"\xff" if message.data == b"0" else b'{"sum": "\xc3\xa9"}')

    await connection.subscribe("sum", cb=answer)
    await connection.subscribe("silent")
    await connection.flush()
    command = await wsgw("producer", "-u", nats_url, "-t", "sum", "-m", "[1,2]", "-m", "0", "-r")
    assert await command.ended() == 0
    assert command.messages[3:8] == [
        "info: [1,2] >> [sum]",
        '"{\\"sum\\": \\"é\\"}"',
        "info: 0 >> [sum]",
        'base64:"/w=="',
        "info: Successfully completed.",
    ]
    nobody = await wsgw("producer", "-u", nats_url, "-t", "nobody", "-m", "1", "-r")
    assert await nobody.ended() == 1
    assert nobody.messages[-1] == "error: no responders: nobody answers requests on 'nobody'"
    silent = await wsgw("producer", "-u", nats_url, "-t", "silent", "-m", "1", "-r", "--timeout", "0.3")
    assert await silent.ended() == 1
    assert silent.messages[-1] == "error: no reply on 'silent' within 0.3 s"
    await connection.close()


async def test_nats_goes_away_while_sending(wsgw: Any, start_server: Callable[[str], Any], tmp_path: Path) -> None:
    server = start_server("")
    (tmp_path / "s.yml").write_text("[{}, {delay: 2000}]")
    command = await wsgw("producer", "-u", server.url, "-s", str(tmp_path / "s.yml"))
    await command.printed(">> [message]")
    server.stop()
    assert await command.ended() == 1
    assert "Successfully" not in command.output
    assert command.messages[-1].startswith("error: ")


@pytest.mark.parametrize("scheme", ["nats", "http", "ws"])
async def test_unreachable(wsgw: Any, scheme: str) -> None:
    command = await wsgw("producer", "-u", f"{scheme}://127.0.0.1:1", "-m", "1", "--timeout", "0.4")
    assert await command.ended() == 1
    assert f"error: cannot reach {scheme}://127.0.0.1:1 within 0.4 s: " in command.messages[-1]


async def test_a_signal_is_no_success(wsgw: Any, nats_url: str, tmp_path: Path) -> None:
    (tmp_path / "s.yml").write_text("[{}, {delay: 60000}]")
    command = await wsgw("producer", "-u", nats_url, "-s", str(tmp_path / "s.yml"))
    await command.printed(">> [message]")
    assert await command.stop(signal.SIGINT) == 1
    assert command.messages[-4:] == [
        "error: stopped by a signal: not every message was sent and accepted",
        *NATS_STOPPED,
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to send: give at least one of -m, -c, -s"),
        (["-m", "1", "-t", "IN,X"], "a producer sends to one topic at a time"),
        (["-m", "1", "-t", " "], "the topic is empty"),
        (["-m", "1", "-u", "ws://127.0.0.1:1", "-r"], "-r is not possible over plain WebSocket"),
        (["-m", "1", "-x"], "No such option"),
    ],
)
async def test_usage_errors(wsgw: Any, arguments: list[str], said: str) -> None:
    command = await wsgw("producer", *arguments, COLUMNS="500")
    assert await command.ended() == 2
    assert said in command.output
