"""A pattern channel of which NATS refuses something: who is told, and when it is tried again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.rooms import Delay, Rooms
from helpers.stack import GAP, Stack
from helpers.waiting import arrived, eventually
from wsgw.bridges import pattern
from wsgw.bridges.base import BridgeState
from wsgw.broker.subscription import NatsSubscription
from wsgw.errors import FORBIDDEN
from wsgw.fanout.publication import Publication

ALLOWED = (
    'authorization {users = [{user: u, password: p, permissions: {subscribe: ["_INBOX.>", "rooms.1", "rooms.2"]}}]}'
)
USER = 'authorization {{users = [{{user: u, password: p, permissions: {{subscribe: {{deny: ["{}"]}}}}}}]}}'


pytestmark = pytest.mark.usefixtures("quick_pattern")


class TestRefusals:
    @pytest.fixture
    async def denied(self, start_server: Callable[..., NatsServer]) -> AsyncIterator[Rooms]:
        server, stack = start_server(USER.format("rooms.secret")), Stack()
        await stack.connect(server.url.replace("//", "//u:p@"))
        rooms = Rooms(server, stack)
        stack.start(rooms.bridge)
        rooms.peer = await Peer.connect(server.url.replace("//", "//u:p@"))
        yield rooms
        await rooms.peer.close()
        await stack.stop()

    async def test_a_concrete_subject(self, denied: Rooms) -> None:
        await denied.join("chat.secret")
        assert denied.refused == [FORBIDDEN.name]
        got = await denied.join("chat.1")
        await denied.peer.publish("rooms.1", b"x")
        await arrived(got, 1)
        assert denied.bridge.state is BridgeState.SUBSCRIBED
        denied.leave("chat.secret")
        await denied.join("chat.secret")
        assert denied.refused == [FORBIDDEN.name] * 2

    async def test_a_concrete_subject_later(self, denied: Rooms) -> None:
        await denied.join("chat.1")
        denied.server.reload(USER.format("rooms.1"))
        await eventually(lambda: denied.refused == [FORBIDDEN.name], "the session is told")

    async def test_the_pattern(self, denied: Rooms) -> None:
        denied.server.reload(USER.format("rooms.*"))
        await eventually(lambda: denied.stack.broker.connected, "connected")
        await denied.join("chat.*")
        await eventually(lambda: denied.bridge.state is BridgeState.FAILED, "failed")
        assert "rooms.*" in denied.bridge.reason
        assert denied.refused == []  # it is tried again, and its state is in /readyz
        denied.server.reload(USER.format("other"))
        await denied.at_nats("rooms.*")
        await eventually(lambda: denied.bridge.state is BridgeState.SUBSCRIBED, "granted: subscribed")

    async def test_the_pattern_later(self, denied: Rooms) -> None:
        """What NATS took back is forgotten: it would pile up."""
        await denied.join("chat.*")
        await denied.at_nats("rooms.*")
        connection = denied.stack.broker._connection
        assert connection is not None
        denied.server.reload(USER.format("rooms.*"))
        await eventually(lambda: denied.bridge.state is BridgeState.FAILED, "failed")
        await eventually(lambda: not connection._subscriptions.of("rooms.*"), "forgotten")
        assert denied.stack.broker._connection is connection

    async def test_the_pattern_taken_back_is_a_gap_of_its_names(self, denied: Rooms) -> None:
        """They were served from it; those that join later lost nothing."""
        every, one = await denied.join("chat.*"), await denied.join("chat.1")
        await denied.at_nats("rooms.*")
        denied.server.reload(ALLOWED)
        await denied.at_nats("rooms.1")
        await eventually(lambda: one == [GAP], "told")
        late = await denied.join("chat.2")
        await denied.peer.publish("rooms.1", b"x")
        await denied.peer.publish("rooms.2", b"x")
        await arrived(late, 1)
        assert (one, late, every) == ([GAP, b"x"], [b"x"], [])
        denied.server.reload(USER.format("other"))
        await denied.at_nats("rooms.*")
        await eventually(lambda: every == [GAP], "granted: told")
        assert (one, late) == ([GAP, b"x"], [b"x"])
        assert value(denied.stack.metrics, "wsgw_gaps_total", channel="chat.*") == 1

    async def test_the_pattern_when_nobody_wants_it_any_more(self, denied: Rooms) -> None:
        denied.server.reload(USER.format("rooms.*"))
        await eventually(lambda: denied.stack.broker.connected, "connected")
        await denied.join("chat.*")
        await eventually(lambda: denied.bridge.state is BridgeState.FAILED, "failed")
        denied.leave("chat.*")
        await eventually(lambda: denied.bridge.state is BridgeState.SUBSCRIBED, "ready again")
        await denied.join("chat.*")  # not before the next try, but soon
        await eventually(lambda: denied.bridge.state is BridgeState.FAILED, "failed again")

    async def test_the_pattern_is_not_tried_again_before_its_time(
        self, start_server: Callable[..., NatsServer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever else happens in the channel; and it is not ready meanwhile."""
        monkeypatch.setattr(pattern, "Backoff", Delay)
        monkeypatch.setattr(Delay, "seconds", 3600.0)
        server, stack = start_server(USER.format("rooms.*")), Stack()
        await stack.connect(server.url.replace("//", "//u:p@"))
        rooms = Rooms(server, stack)
        stack.start(rooms.bridge)
        tries: list[str] = []
        ready: list[str] = []
        subscribe = stack.broker.subscribe

        async def trying(subject: str, deliver: Callable[[Publication], None]) -> NatsSubscription:
            tries.append(subject)
            return await subscribe(subject, deliver)

        monkeypatch.setattr(stack.broker, "subscribe", trying)
        await rooms.join("chat.*")
        await eventually(lambda: rooms.bridge.state is BridgeState.FAILED, "failed")
        monkeypatch.setattr(rooms.bridge._keeper, "subscribed", lambda: ready.append("ready"))
        for name in ("chat.1", "chat.2", "chat.3"):
            await rooms.join(name)
        assert (tries, ready, rooms.bridge.state) == (["rooms.*"], [], BridgeState.FAILED)
        await stack.stop()

    async def test_the_delay_grows_until_the_pattern_is_granted(
        self, start_server: Callable[..., NatsServer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pattern, "Backoff", Delay)
        server, stack = start_server(USER.format("rooms.*")), Stack()
        await stack.connect(server.url.replace("//", "//u:p@"))
        rooms = Rooms(server, stack)
        stack.start(rooms.bridge)
        delay = rooms.bridge._retry
        assert isinstance(delay, Delay)
        await rooms.join("chat.*")
        await eventually(lambda: len(delay.told) > 1, "tried again")
        assert set(delay.told) == {"next"}
        server.reload(USER.format("other"))
        await eventually(lambda: "reset" in delay.told, "granted")
        assert delay.told.index("reset") == len(delay.told) - 1
        await stack.stop()
