"""What clients of each surface are told when the rules say no."""

from __future__ import annotations

import pytest

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.raw_websocket import close, text
from helpers.running import Running
from helpers.waiting import arrived, eventually
from wsgw.access.principal import Principal
from wsgw.channels.channel import Channel, Use


class Without:
    """Rules under which nobody may do ``denied``."""

    def __init__(self, *denied: Use) -> None:
        self._denied = denied

    def admit(self, principal: Principal) -> None:
        """Everybody may come."""

    def allow(self, principal: Principal, use: Use, channel: Channel, name: str) -> bool:
        return use not in self._denied


@pytest.mark.parametrize(
    ("path", "denied"),
    [
        ("/ws/IN", [Use.SUBSCRIBE]),
        ("/ws/OUT", [Use.PUBLISH]),
        ("/ws/BOTH", [Use.SUBSCRIBE, Use.PUBLISH]),
        ("/ws/BOTH?receive=1", [Use.SUBSCRIBE]),
        ("/ws/chat.1", [Use.SUBSCRIBE, Use.PUBLISH]),
    ],
)
async def test_a_websocket_without_any_right(served: Running, path: str, denied: list[Use]) -> None:
    served.gateway.rules = Without(*denied)
    client = await served.websocket(path)
    code, reason = await client.receive_close()
    assert code == 4503
    assert reason.startswith("this client may not ")
    assert served.value("wsgw_rejected_total", reason="forbidden") == 1


async def test_a_websocket_that_may_only_publish(served: Running, nats: NatsServer) -> None:
    served.gateway.rules = Without(Use.SUBSCRIBE)
    peer = await Peer.connect(nats.url)
    heard = await peer.listen("BOTH")
    client = await served.websocket("/ws/BOTH")
    await client.send(text("up"))
    await arrived(heard, 1)
    await client.send(close(1000))
    assert await client.receive_close() == (1000, "")  # and nothing came before it
    await peer.close()


async def test_a_websocket_that_may_only_listen(served: Running, nats: NatsServer) -> None:
    served.gateway.rules = Without(Use.PUBLISH)
    peer = await Peer.connect(nats.url)
    client = await served.websocket("/ws/BOTH")
    await eventually(lambda: served.value("wsgw_subscriptions", channel="BOTH") == 1, "subscribed")
    await peer.publish("BOTH", "down")
    assert await client.receive() == text("down")
    await client.send(text("up"), text("and up"))
    assert (await client.receive_close())[0] == 4503
    assert served.value("wsgw_publish_errors_total", channel="BOTH", reason="forbidden") == 2
    await peer.close()


async def test_posts(served: Running) -> None:
    served.gateway.rules = Without(Use.PUBLISH, Use.REQUEST)
    for path in ("/publish/OUT", "/request/SUM"):
        answer = await served.http.post(path, content=b"x")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
