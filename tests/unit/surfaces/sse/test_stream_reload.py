"""Streams of server-sent events when channels change: they end, and say why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from helpers.event_stream import EventClient
from helpers.peer import Peer
from helpers.reload import channels_but, reload_to
from helpers.running import Running
from helpers.waiting import eventually


async def opened(served: Running, path: str, channel: str = "IN") -> EventClient:
    client = await served.stream(path)
    await client.until_retry()
    await eventually(lambda: served.value("wsgw_subscriptions", channel=channel) == 1, "subscribed")
    return client


async def error_of(client: EventClient) -> str:
    event = await client.next()
    assert event.event == "wsgw:error", event
    return str(json.loads(event.data)["error"]["code"])


@pytest.mark.parametrize("path", ["/sse/IN", "/sse?channel=IN&channel=BOTH"])
@pytest.mark.parametrize(
    ("other", "code", "number"),
    [(None, "unknown_channel", "4504"), ({"subject": "elsewhere"}, "channel_changed", "1012")],
)
async def test_an_end(served: Running, peer: Peer, path: str, other: Any, code: str, number: str) -> None:
    client = await opened(served, path)
    client.parser.retry = None
    await peer.publish("IN", "before")
    assert "before" in (await client.next()).data
    await reload_to(served.gateway, channels_but({"IN": other}))
    assert await error_of(client) == code
    await client.end()
    assert client.ended == "chunks"
    assert (client.parser.retry is None) == (other is None)
    await eventually(lambda: served.value("wsgw_closes_total", code=number) == 1, "counted")
    await served.idle("sse")
    assert not served.gateway.sessions


async def test_both_of_its_channels_go(served: Running) -> None:
    client = await opened(served, "/sse?channel=IN&channel=BOTH")
    await reload_to(served.gateway, channels_but({"IN": None, "BOTH": None}))
    assert await error_of(client) == "unknown_channel"
    await client.end()
    assert len(client.events) == 0
    assert client.ended == "chunks"


async def test_others_notice_nothing(served: Running, peer: Peer) -> None:
    client = await opened(served, "/sse/BOTH", "BOTH")
    await reload_to(served.gateway, channels_but({"IN": None, "OUT": {"subject": "x"}, "BOTH": {"headers": ["A"]}}))
    await peer.publish("BOTH", "1")
    assert (await client.next()).data == "1"
