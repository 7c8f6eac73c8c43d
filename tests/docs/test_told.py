"""The tables of docs/security.md of who is told what, and its example of rights, held against a gateway."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from helpers.guide import PAGE, Example, section
from helpers.nats_server import NatsServer
from helpers.ports import free_port
from helpers.program import BIN
from helpers.running import Running, running
from helpers.tokens import SECRET, rsa_key, token
from wsgw.access.rights import rights_of
from wsgw.channels.channel import Use

#: They are made once, and other tests may take long.
LASTING = {"exp": time.time() + 86400}
GOOD = token(LASTING | {"wsgw": {"subscribe": ["news"], "publish": ["news"]}})
AWAY = "who decides cannot be asked"
RS256 = token(LASTING, key=rsa_key(), algorithm="RS256", kid="1")
#: By the first column of the table: what is shown, and what is asked for.
ROWS: dict[str, tuple[str | None, str]] = {
    "no token, and no `auth.anonymous`": (None, "news"),
    "a wrong one": (token(LASTING, key="another secret, and of as many bytes"), "news"),
    "one that has ended": (token({"exp": 1}), "news"),
    "no right to the channel": (GOOD, "staff"),
    AWAY: (RS256, "news"),
}
CHANNELS = [{"name": name, "direction": "both"} for name in ("news", "staff")]


async def by_websocket(served: Running, shown: str | None, channel: str) -> str:
    offered = None if shown is None else [Subprotocol("bearer"), Subprotocol(shown)]
    url = f"ws://127.0.0.1:{served.server.port}/ws/{channel}"
    async with connect(url, subprotocols=offered, proxy=None) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    assert socket.close_reason
    return f"close {socket.close_code}"


async def by_socketio(served: Running, shown: str | None, channel: str) -> str:
    url = f"ws://127.0.0.1:{served.server.port}/socket.io/?EIO=4&transport=websocket&channels={channel}"
    async with connect(url, proxy=None) as socket:
        await socket.recv()
        await socket.send("40" if shown is None else "40" + json.dumps({"token": shown}))
        packet = str(await socket.recv())
    assert packet.startswith("44"), packet
    return f"`connect_error`: `{json.loads(packet[2:])['data']['error']['code']}`"


async def by_events(served: Running, shown: str | None, channel: str) -> str:
    answer = await served.http.get(f"/sse/{channel}", headers=_headers(shown))
    if answer.status_code == 200:
        assert "retry:" in answer.text
        told = re.search(r"event: wsgw:error\ndata: (.*)", answer.text)
        assert told is not None, answer.text
        return f"200, `wsgw:error`: `{json.loads(told[1])['error']['code']}`"
    return f"{answer.status_code} `{answer.json()['error']['code']}`"


async def by_post(served: Running, shown: str | None, channel: str) -> str:
    answer = await served.http.post(f"/publish/{channel}", content=b"x", headers=_headers(shown))
    return f"{answer.status_code} `{answer.json()['error']['code']}`"


def _headers(shown: str | None) -> dict[str, str]:
    return {} if shown is None else {"authorization": f"Bearer {shown}"}


def table(title: str) -> dict[str, list[str]]:
    """The cells of a section's table by those of its first column."""
    rows = [line.strip("| ").split(" | ") for line in section(title).splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows[2:]}


async def test_who_is_told_what(nats: NatsServer) -> None:
    jwt: dict[str, Any]
    found: dict[str, list[str]] = {}
    for jwt, names in (
        ({"secret": SECRET}, [name for name in ROWS if name != AWAY]),
        ({"jwks_url": f"http://127.0.0.1:{free_port()}/", "algorithms": ["RS256"]}, [AWAY]),
    ):
        async with running(nats.url, channels=CHANNELS, auth={"jwt": jwt}) as served:
            for name in names:
                shown, channel = ROWS[name]
                asking = (by(served, shown, channel) for by in (by_websocket, by_socketio, by_events, by_post))
                found[name] = list(await asyncio.gather(*asking))
    assert found == table("Who is told what")


async def test_a_wrong_token_is_nobodys(nats: NatsServer) -> None:
    auth = {"jwt": {"secret": SECRET}, "anonymous": {"subscribe": [">"], "publish": [">"]}}
    async with running(nats.url, channels=CHANNELS, auth=auth) as served:
        answer = await served.http.post("/publish/news", content=b"x")
        assert answer.status_code == 202
        shown, channel = ROWS["a wrong one"]
        told = [await by(served, shown, channel) for by in (by_websocket, by_socketio, by_events, by_post)]
        assert told == table("Who is told what")["a wrong one"]


def test_how_rights_are_written() -> None:
    rights = rights_of(json.loads(re.findall(r"```json\n(.*?)```", section("How rights are written"), re.DOTALL)[0]))
    names = (
        "news",
        "chat.lobby",
        "chat.*",
        "chat.a.b",
        "chat.>",
        "team.blue.a.b",
        "team.blue.>",
        "team.blue",
        "team.>",
    )
    allowed = [name for name in names if rights.allow(Use.SUBSCRIBE, name)]
    assert allowed == ["news", "chat.lobby", "chat.*", "team.blue.a.b", "team.blue.>"]
    # with a deny within it nobody gets the pattern
    published = ("chat.lobby", "chat.announcements", "chat.*")
    assert [name for name in published if rights.allow(Use.PUBLISH, name)] == ["chat.lobby"]


@pytest.mark.parametrize("file", ["wsgw.yml", "gateway/wsgw.yml"])
def test_authentication_that_is_commented_out(file: str, tmp_path: Path) -> None:
    """Taken out of its comment it is good: clients without a token get IN, and need one for OUT."""
    text = (PAGE.parents[1] / file).read_text(encoding="utf-8")
    commented = re.search(r"^# auth:\n(?:#   .*\n)+", text, re.MULTILINE)
    assert commented is not None
    text = text.replace(commented[0], re.sub(r"^# ", "", commented[0], flags=re.MULTILINE))
    (tmp_path / "secret.txt").write_text(SECRET)
    (tmp_path / "wsgw.yml").write_text(text.replace("/run/secrets/jwt", "secret.txt"))
    options: dict[str, Any] = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 60, "check": False}
    done = subprocess.run([BIN / "wsgw", "check-config", "wsgw.yml"], **options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "wsgw.yml: good, 2 channels\n", "")
    token = ["wsgw", "token", "--user", "ann", "--subscribe", "IN", "--publish", "OUT"]
    assert " ".join(token) in text or file != "wsgw.yml"
    made = subprocess.run([BIN / token[0], *token[1:]], **options)
    assert (made.returncode, made.stdout.count("."), made.stderr) == (0, 2, "")


@pytest.mark.parametrize(
    "title",
    ["A secret of your own", "An identity provider", "The session of your application", "A service on NATS"],
)
def test_every_configuration_is_good(title: str, nats: NatsServer, tmp_path: Path) -> None:
    example = Example(title, tmp_path, nats)
    if "sh" in example.others:
        example.shell(example.others["sh"][0])
    (told,) = example.shell("wsgw check-config wsgw.yml")
    assert told.startswith("wsgw.yml: good, ")
