"""``/sse``: who may, what goes wrong in us, and heartbeats."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.peer import Peer
from helpers.running import Running
from helpers.waiting import eventually
from wsgw.access.principal import Principal
from wsgw.channels.channel import Channel, Use
from wsgw.closecodes import ABNORMAL
from wsgw.core.gateway import Gateway
from wsgw.errors import FORBIDDEN, GatewayError
from wsgw.surfaces.sse import endpoint, stream
from wsgw.surfaces.sse.heartbeats import QUIET_LOOKS


class Asking:
    """Rules that write down who asks, and where they said to have stood."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Use, str]] = []

    def admit(self, principal: Principal) -> None:
        assert principal.handshake is not None
        if "stranger" in principal.handshake.query:
            raise GatewayError(FORBIDDEN, "strangers may not")

    def allow(self, principal: Principal, use: Use, channel: Channel, name: str) -> bool:
        self.asked.append((principal.transport, use, name))
        return name != "chat.2"


async def test_the_rules_are_asked(direct: Running) -> None:
    rules = Asking()
    direct.gateway.rules = rules
    await direct.stream("/sse?channel=IN&channel=chat.1")
    assert rules.asked == [("sse", Use.SUBSCRIBE, "IN"), ("sse", Use.SUBSCRIBE, "chat.1")]
    for path in ("/sse/chat.2", "/sse/IN?stranger=1"):
        assert (await direct.http.get(path)).status_code == 403


async def test_a_fault_is_answered_and_leaves_nothing(
    served: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fault(*_: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(endpoint, "open_stream", fault)
    assert (await served.http.get("/sse/chat.1")).status_code == 500
    assert served.value("wsgw_subscriptions", channel="chat.*") == 0

    def broken(*_: Any) -> None:
        raise RuntimeError("another fault")

    monkeypatch.undo()
    monkeypatch.setattr(Gateway, "sender", broken)
    assert (await served.http.get("/sse/chat.1")).status_code == 500
    if served.server.direct:
        assert any("a fault" in str(record.exc_info) for record in caplog.records if record.exc_info)


async def test_a_fault_behind_the_head_ends_the_connection(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(stream.EventStream, "attach", broken)
    client = await served.event_client()
    await client.ask("/sse/IN")
    await client.end()
    assert served.value("wsgw_subscriptions", channel="IN") == 0
    assert served.value("wsgw_connections", transport="sse") == 0


async def test_heartbeats(served: Running, peer: Peer, opened: list[stream.EventStream]) -> None:
    client = await served.stream("/sse/IN")
    await client.until_retry()
    (beating,) = opened
    for _ in range(QUIET_LOOKS - 1):
        beating.beat()
    await peer.publish("IN", "not quiet")
    await client.next()
    for _ in range(QUIET_LOOKS - 1):
        beating.beat()
    await peer.publish("IN", "again")
    await client.next()
    assert client.parser.comments == 0
    for _ in range(QUIET_LOOKS):
        beating.beat()
    await peer.publish("IN", "behind it")
    await client.next()
    assert client.parser.comments == 1
    client.close()
    await eventually(lambda: served.value("wsgw_connections", transport="sse") == 0, "gone")
    beating.lost(ABNORMAL)  # harmless when repeated
    beating.beat()
    assert served.value("wsgw_closes_total", code="1005") == 1
