"""Events that come faster than they may: each is refused by its ack, and what it is for makes no difference."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from helpers.nats_server import NatsServer
from helpers.running import Running, running
from helpers.waiting import eventually
from wsgw.protocols.socketio.arguments import Json, Oversized
from wsgw.surfaces.socketio.payloads import size_of

POLLING = "/socket.io/?EIO=4&transport=polling"
SEPARATOR = "\x1e"


@pytest.fixture
async def served(nats: NatsServer) -> AsyncIterator[Running]:
    """Where a connection may send two messages, and no more for a long time."""
    async with running(nats.url, limits={"messages_per_second": 0.01, "burst": 200}) as made:
        yield made


async def answers(served: Running, *events: list[Any]) -> list[str | bool]:
    """What a new client's ``events`` are answered: ``True``, or the error's name."""
    answer = await served.http.get(POLLING)
    path = f"{POLLING}&sid={json.loads(answer.text[1:])['sid']}"
    assert (await served.http.post(path, content="40")).status_code == 200
    assert (await served.http.get(path)).text.startswith("40{")
    packets = SEPARATOR.join(f"42{number}{json.dumps(event)}" for number, event in enumerate(events))
    assert (await served.http.post(path, content=packets)).status_code == 200
    told: dict[int, str | bool] = {}
    while len(told) < len(events):
        for packet in (await served.http.get(path)).text.split(SEPARATOR):
            number, _, rest = packet.removeprefix("43").partition("[")
            said = json.loads(f"[{rest}")[0]
            told[int(number)] = said if said is True else said["error"]["code"]
    assert (await served.http.post(path, content="1")).status_code == 200
    return [told[number] for number in range(len(events))]


async def test_who_leaves_and_connects_again_has_sent_what_it_sent(served: Running) -> None:
    """A limit by connection is by that: no CONNECT on it begins anew."""
    answer = await served.http.get(POLLING)
    path = f"{POLLING}&sid={json.loads(answer.text[1:])['sid']}"

    async def told(wanted: str, *packets: str) -> str:
        """What is told up to what is ``wanted``, after ``packets``."""
        assert (await served.http.post(path, content=SEPARATOR.join(packets))).status_code == 200
        got = ""
        while wanted not in got:
            got += (await served.http.get(path)).text
        return got

    await told("40{", "40")
    await told("431[true]", '420["OUT","x"]', '421["OUT","x"]')
    await told("40{", "41", "40")
    assert "rate_limited" in await told("432[", '422["OUT","x"]')
    assert errors(served, "OUT", "rate_limited") == 1
    assert (await served.http.post(path, content="1")).status_code == 200


async def test_who_goes_on_is_closed_however_often_it_connects(nats: NatsServer) -> None:
    """A CONNECT is no pause."""
    limits = {"messages_per_second": 0.01, "burst": 100, "rate_timeout": "500ms"}
    async with running(nats.url, limits=limits) as served:
        answer = await served.http.get(POLLING)
        path = f"{POLLING}&sid={json.loads(answer.text[1:])['sid']}"

        async def ended() -> bool:
            for packets in (["40"], ['42["OUT","x"]', '42["OUT","x"]', "41"]):
                answer = await served.http.post(path, content=SEPARATOR.join(packets))
                if packets == ["40"] and answer.status_code == 200:
                    answer = await served.http.get(path)
            return answer.status_code != 200

        await eventually(ended, "the session's end")  # type: ignore[arg-type]  # mypy finds no T for it
        assert served.value("wsgw_closes_total", code="4009") == 1


def errors(served: Running, channel: str, reason: str) -> float:
    return served.value("wsgw_publish_errors_total", channel=channel, reason=reason)


async def test_messages(served: Running) -> None:
    assert await answers(served, *[["OUT", str(number)] for number in range(4)]) == [True, True, *["rate_limited"] * 2]
    assert errors(served, "OUT", "rate_limited") == 2
    assert await answers(served, ["OUT", "another client"]) == [True]


async def test_what_is_for_the_gateway_counts_too(served: Running) -> None:
    events = [["wsgw:subscribe", "IN"], ["wsgw:unsubscribe", "IN"], ["wsgw:subscribe", "IN"], ["OUT", "x"]]
    assert await answers(served, *events) == [True, True, "rate_limited", "rate_limited"]
    assert errors(served, "", "rate_limited") == 1
    assert errors(served, "", "unknown_channel") == 0


async def test_what_is_refused_for_something_else_counts_too(served: Running) -> None:
    events = [["nowhere", "x"], ["OUT", "x", "y"], ["OUT", "x"], ["nowhere", "x"]]
    assert await answers(served, *events) == ["unknown_channel", "bad_request", "rate_limited", "unknown_channel"]


async def test_requests(served: Running) -> None:
    assert await answers(served, *[["SUM", "1"]] * 3) == ["no_responders", "no_responders", "rate_limited"]


def test_the_size_of_arguments() -> None:
    assert size_of([]) == 0
    assert size_of(["ascii", "\u00e4\u20ac", "\ud800", b"\xff\xff", Json('{"a":1}'), Oversized("[", 5000)]) == (
        5 + 5 + 1 + 2 + 7 + 5000
    )
