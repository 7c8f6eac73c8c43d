"""Links over plain ASGI messages, for servers other than ours: the same sessions, on a slower path.

ASGI answers a client's closing handshake by itself, so here a close does not confirm publishes. It has no word for
pings either: a client whose reading is paused for longer than the server's own ping timeout is closed by the server.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from wsgw.closecodes import ABNORMAL, NO_STATUS, TOO_BIG
from wsgw.fanout.frames import Message, truncated
from wsgw.fanout.link import CLOSE_TIMEOUT_SECONDS, WRITE_HIGH_WATER_BYTES, OneWayReceiver, Receiver
from wsgw.fanout.publication import Batch, Encoded
from wsgw.tasks import end, fault_of
from wsgw.transports.receivers import close_for_fault, tell

log = logging.getLogger("wsgw.websocket")

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


def message_of(event: Event) -> Message:
    """The message of a ``websocket.receive`` event (ASGI's WebSocket specification)."""
    text = event.get("text")
    return Message(False, event.get("bytes") or b"") if text is None else Message(True, text.encode())


class AsgiOneWayLink:
    """Implements ``OneWayLink``. ``run`` is the connection's whole life; its two tasks end with it.

    A subclass says what is read, and by which ASGI events a message and the end are told.
    """

    def __init__(self, receive: Receive, send: Send, receiver: OneWayReceiver) -> None:
        self._receive = receive
        self._send = send
        self._hearer = receiver
        self._queue: deque[Message] = deque()
        self._queued_bytes = 0
        self._paused = False
        self._wake = asyncio.Event()
        self._close: tuple[int, str] | None = None
        self._aborted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._code = ABNORMAL

    # -- OneWayLink

    async def run(self) -> None:
        """Read and write until the connection is over, then tell the receiver."""
        loop = asyncio.get_running_loop()
        tasks = (
            loop.create_task(self._read(), name="asgi: reading from a client"),
            loop.create_task(self._write(), name="asgi: writing to a client"),
        )
        try:
            await asyncio.wait({*tasks, self._aborted}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await asyncio.gather(*map(end, tasks))  # they wait in the server's functions
            for fault in filter(None, map(fault_of, tasks)):
                await self._failed(fault)
            self._close = self._close or (ABNORMAL, "")
            tell(self, self._hearer.lost, self._code)

    def write(self, item: Encoded) -> None:
        self._put(item.messages, item.size)

    def write_batch(self, batch: Batch) -> None:
        for item in batch.items:
            self.write(item)

    def buffered_bytes(self) -> int:
        return self._queued_bytes

    def close(self, code: int, reason: str = "") -> None:
        if self._close is None and not self._aborted.done():
            self._close = (code, truncated(reason))
            self._code = code
            self._wake.set()
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_SECONDS, self.abort)

    def abort(self) -> None:
        if not self._aborted.done():
            self._aborted.set_result(None)

    # -- for the subclass

    async def _read(self) -> None:
        """Returns when the client is gone."""
        raise NotImplementedError

    def _event(self, message: Message) -> Event:
        """What sends ``message``."""
        raise NotImplementedError

    def _last_event(self, code: int, reason: str) -> Event:
        """What ends the connection."""
        raise NotImplementedError

    def _put(self, messages: tuple[Message, ...], size: int) -> None:
        """Have ``messages`` sent, of ``size`` bytes together."""
        if self._close is None:
            self._queue.extend(messages)
            self._queued_bytes += size
            self._wake.set()
            if not self._paused and self._queued_bytes > WRITE_HIGH_WATER_BYTES:
                self._paused = True
                tell(self, self._hearer.writing_paused)

    # -- inside

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                message = self._queue.popleft()
                self._queued_bytes -= len(message.data)
                if not await self._taken(self._event(message)):
                    return
                if self._paused and self._queued_bytes < WRITE_HIGH_WATER_BYTES // 4:
                    self._paused = False
                    tell(self, self._hearer.writing_resumed)
            if self._close is not None:
                await self._taken(self._last_event(*self._close))
                return

    async def _taken(self, event: Event) -> bool:
        """Send; False when the server takes nothing more.

        What it raises then is its own choice, an OSError by the specification: the client is gone, it is no fault.
        """
        try:
            await self._send(event)
        except Exception as error:
            log.debug("the server takes nothing more for a client: %r", error)
            return False
        return True

    async def _failed(self, error: Exception) -> None:
        """One of our tasks ended by a fault, so there is nobody left to send the close."""
        close_for_fault(self, error)
        if self._close is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                    await self._taken(self._last_event(*self._close))


class AsgiLink(AsgiOneWayLink):
    """A WebSocket as a ``Link``."""

    def __init__(self, receive: Receive, send: Send, receiver: Receiver, max_message_bytes: int) -> None:
        super().__init__(receive, send, receiver)
        self._receiver = receiver
        self._max_message_bytes = max_message_bytes
        self._may_take: Callable[[], bool] | None = None
        self._reading = asyncio.Event()
        self._reading.set()

    # -- Link

    def ask_before(self, may_take: Callable[[], bool]) -> None:
        self._may_take = may_take

    def pause_reading(self) -> None:
        self._reading.clear()

    def resume_reading(self) -> None:
        self._reading.set()

    def stop_keepalive(self) -> None:
        """ASGI gives no way to; the server's pings go on beside the protocol's own heartbeat."""

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            self._may_take = None  # who is asked has this object

    # -- inside

    async def _read(self) -> None:
        while True:
            await self._reading.wait()
            try:
                event = await self._receive()
            except OSError:
                return  # the client is gone
            if event["type"] == "websocket.disconnect":
                code = event.get("code") or NO_STATUS
                if self._close is None:
                    self._code = code
                    tell(self, self._receiver.close_received, code, event.get("reason") or "")
                return
            while self._may_take is not None and not self._may_take():
                await self._reading.wait()
            if self._close is not None:
                continue
            message = message_of(event)
            if len(message.data) > self._max_message_bytes:
                self.close(TOO_BIG, f"a message has at most {self._max_message_bytes} bytes here")
            else:
                tell(self, self._receiver.messages_received, (message,))

    def _event(self, message: Message) -> Event:
        body: Event = {"text": message.data.decode()} if message.text else {"bytes": message.data}
        return {"type": "websocket.send", **body}

    def _last_event(self, code: int, reason: str) -> Event:
        return {"type": "websocket.close", "code": code, "reason": reason}
