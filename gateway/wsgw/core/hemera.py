"""Outlets of hemera's channels: what clients send is wrapped, what a service answers unwrapped."""

from __future__ import annotations

from collections.abc import Sequence, Sized

from wsgw.broker.headers import HeaderBlock
from wsgw.broker.puback import PublishOutcome
from wsgw.channels.channel import Channel
from wsgw.channels.hemera import Codec
from wsgw.core.outbound import Outlet, Ways
from wsgw.errors import GatewayError
from wsgw.fanout.publication import Publication


class Act(bytes):
    """A payload that is wrapped already."""

    __slots__ = ()


class HemeraOutlet(Outlet):
    """Of a channel with an action. To what an ``Outlet`` raises and tells come bad_request and service_error."""

    __slots__ = ("_codec",)

    def __init__(self, key: str, channel: Channel, subject: str, transport: str, ways: Ways) -> None:
        super().__init__(key, channel, subject, transport, ways)
        assert channel.hemera is not None
        self._codec = Codec(channel.hemera)

    @property
    def unchecked_bytes(self) -> int:
        """See ``Outlet.unchecked_bytes``."""
        return -1

    def check(self, payload: Sized, headers_bytes: int = 0) -> None:
        """See ``Outlet.check``; of a client's payload it asks whether it can be wrapped, and how large it is then."""
        if isinstance(payload, Act):
            self._check_for_nats(payload, headers_bytes)
            return
        super().check(payload, headers_bytes)
        if isinstance(payload, bytes):
            self._check_for_nats(self._act(payload), headers_bytes)

    def publish(
        self,
        payloads: Sequence[bytes],
        outcome: PublishOutcome,
        ids: Sequence[str | None] = (),
        headers: HeaderBlock | None = None,
        *,
        heldable: bool = True,
        giver: str = "",
    ) -> None:
        """See ``Outlet.publish``: of ``payloads`` one that cannot be wrapped is the error of all."""
        try:
            acts = [self._act(payload, len(payloads)) for payload in payloads]
        except GatewayError as error:
            outcome(error.with_traceback(None))  # whose frames have the payloads
            return
        super().publish(acts, outcome, ids, headers, heldable=heldable)

    async def request(self, payload: bytes, headers: HeaderBlock | None = None) -> Publication:
        """The reply, of which the payload is what the service returned, as JSON; raises as ``Outlet.request``."""
        reply = await super().request(self._act(payload), headers)
        try:
            reply.payload = self._codec.result(reply.payload)
        except GatewayError as error:
            self.failed(error)
            raise
        return reply

    # -- inside

    def _act(self, payload: bytes, count: int = 1) -> Act:
        """``payload`` wrapped; raises GatewayError, which is counted ``count`` times."""
        try:
            return Act(self._codec.wrap(payload, "pubsub" if self.channel.accepts else "request"))
        except GatewayError as error:
            self.failed(error, count)
            raise


def kind_of(channel: Channel) -> type[Outlet]:
    """Of the outlets of ``channel``."""
    return Outlet if channel.hemera is None else HemeraOutlet
