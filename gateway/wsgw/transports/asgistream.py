"""An answer of HTTP without end over plain ASGI messages, for servers other than ours (ASGI's HTTP specification)."""

from __future__ import annotations

from wsgw.closecodes import NO_STATUS
from wsgw.fanout.frames import Message
from wsgw.fanout.link import OneWayReceiver
from wsgw.fanout.publication import Batch, Encoded
from wsgw.transports.asgi import AsgiOneWayLink, Event, Receive, Send


class AsgiStream(AsgiOneWayLink):
    """Implements ``OneWayLink``; the head of the answer has been sent. For ``quiet`` see ``StreamProtocol``."""

    def __init__(self, receive: Receive, send: Send, receiver: OneWayReceiver) -> None:
        super().__init__(receive, send, receiver)
        self.quiet = 0

    def write(self, item: Encoded) -> None:
        self.quiet = 0
        super().write(item)

    def write_batch(self, batch: Batch) -> None:
        self.quiet = 0
        self._put((Message(True, batch.data),), batch.size)

    # -- inside

    async def _read(self) -> None:
        while True:
            try:
                event = await self._receive()
            except OSError:
                return  # the client is gone
            if event["type"] == "http.disconnect":
                if self._close is None:
                    self._code = NO_STATUS
                return

    def _event(self, message: Message) -> Event:
        return {"type": "http.response.body", "body": message.data, "more_body": True}

    def _last_event(self, code: int, reason: str) -> Event:
        return {"type": "http.response.body", "body": b""}
