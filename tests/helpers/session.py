"""Sessions on a gateway without its surfaces, and clients that write down what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from helpers.running import CHANNELS
from helpers.waiting import DEADLINE_SECONDS, eventually
from wsgw.access.authenticator import Authenticator
from wsgw.access.principal import Principal
from wsgw.access.rules import Rules
from wsgw.bridges.place import Place
from wsgw.broker.puback import PublishResult
from wsgw.channels.channel import Channel, Use
from wsgw.config.file import ConfigFile
from wsgw.config.load import load
from wsgw.core.gateway import Gateway
from wsgw.core.session import Session
from wsgw.errors import GatewayError
from wsgw.metrics import Metrics
from wsgw.protocols.handshake import Handshake


class Client:
    """The surface's side of a session; writes down what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.refusals: list[tuple[str, str]] = []
        self.removals: list[tuple[str, str]] = []
        self.added: list[list[str]] = []  # at each change of the channels
        self.places: list[tuple[str, Place]] = []
        self.gaps: list[list[str]] = []

    def drain(self) -> None:
        self.calls.append("drain")

    def abort(self) -> None:
        self.calls.append("abort")

    def hold(self) -> None:
        self.calls.append("hold")

    def release(self) -> None:
        self.calls.append("release")

    def expired(self, error: GatewayError) -> None:
        self.calls.append(error.kind.name)

    def limited(self, error: GatewayError) -> None:
        self.calls.append(error.kind.name)

    def refused(self, name: str, error: GatewayError) -> None:
        self.refusals.append((name, error.kind.name))

    def removed(self, name: str, error: GatewayError) -> None:
        self.removals.append((name, error.kind.name))

    def reconfigured(self, added: Sequence[str]) -> None:
        self.added.append([*added])

    def placed(self, name: str, place: Place) -> None:
        self.places.append((name, place))

    def gap(self, names: list[str]) -> None:
        self.gaps.append(names)


class Except:
    """Rules that say no to what is listed, by the client's address, and write down what they are asked."""

    def __init__(self, *denied: tuple[str, Use, str]) -> None:
        self.denied = set(denied)
        self.asked: list[tuple[str, Use, str, str]] = []

    def admit(self, principal: Principal) -> None:
        """Everybody may come."""

    def allow(self, principal: Principal, use: Use, channel: Channel, name: str) -> bool:
        self.asked.append((principal.client, use, channel.name, name))
        return (principal.client, use, name) not in self.denied


def principal(client: str = "ann", transport: str = "websocket") -> Principal:
    return Principal(transport, Handshake("/", b"", (), client))


async def outcome(session: Session, name: str, *payloads: bytes) -> GatewayError | None:
    """What becomes of ``payloads``, published together."""
    told: asyncio.Future[PublishResult] = asyncio.get_running_loop().create_future()
    session.publish(name, payloads or (b"x",), told.set_result)
    result = await asyncio.wait_for(told, DEADLINE_SECONDS)
    assert not isinstance(result, list), "the channel is durable"
    return result


def made(
    url: str,
    rules: Rules | None = None,
    *,
    channels: Sequence[dict[str, Any]] = CHANNELS,
    authenticator: Authenticator | None = None,
    **values: Any,
) -> Gateway:
    """A gateway that is not started."""
    file = ConfigFile("test", {"channels": channels})
    return Gateway(load({"nats": {"servers": [url]}, **values}, {}, file), Metrics(), rules, authenticator)


@asynccontextmanager
async def started(url: str, rules: Rules | None = None, **values: Any) -> AsyncIterator[Gateway]:
    """One that is ready."""
    gateway = made(url, rules, **values)
    await gateway.start()
    try:
        await eventually(lambda: gateway.readiness().ready, "ready")
        yield gateway
    finally:
        await gateway.stop(1)
