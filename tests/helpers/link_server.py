"""An ASGI server whose every WebSocket becomes a ``Link`` with a receiver that writes down what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import uvicorn

from helpers.ports import listen
from helpers.waiting import eventually
from wsgw.config.limits import LimitsSettings
from wsgw.core.edge import Edge
from wsgw.fanout.frames import Message
from wsgw.fanout.link import Link
from wsgw.fanout.publication import Encoded
from wsgw.metrics import Metrics
from wsgw.transports.accept import open_link
from wsgw.transports.asgi import Event, Receive, Send
from wsgw.transports.connection import HttpConnection
from wsgw.transports.http11 import http_class
from wsgw.transports.proxied import entrance


class Fault(Exception):
    """A receiver's."""


class Recorder:
    """A ``Receiver``: ``events`` are what it heard, in order. It answers a close unless ``answers`` is false.

    It raises ``Fault`` when it hears what ``failing`` names.
    """

    messages_at_a_time = 100

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.messages: list[Message] = []
        self.link: Link
        self.answers = True
        self.failing: set[str] = set()
        self.on_message: Callable[[Message], None] = lambda message: None

    def messages_received(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.events.append(("message", *message))
            self.messages.append(message)
            self.on_message(message)
        self._fail("message")

    def close_received(self, code: int, reason: str) -> None:
        self.events.append(("close", code, reason))
        self._fail("close")
        if self.answers:
            self.link.close(code)

    def writing_paused(self) -> None:
        self.events.append(("paused",))
        self._fail("paused")

    def writing_resumed(self) -> None:
        self.events.append(("resumed",))
        self._fail("resumed")

    def lost(self, code: int) -> None:
        self.events.append(("lost", code))
        self._fail("lost")

    def _fail(self, name: str) -> None:
        if name in self.failing:
            raise Fault(name)

    def names(self) -> list[str]:
        return [event[0] for event in self.events]

    async def until(self, name: str) -> tuple[Any, ...]:
        """The first event of that name, once it is there."""
        await eventually(lambda: name in self.names(), f"{name} in {self.events[-5:]}")
        return next(event for event in self.events if event[0] == name)

    def write(self, *data: bytes | str) -> None:
        """Write one item with a message for each."""
        self.link.write(Encoded(*[Message(isinstance(one, str), _bytes(one)) for one in data]))


def _bytes(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else data


class Application:
    """The ASGI callable. ``receivers`` are those of the connections so far; ``opened`` is called for each new one."""

    def __init__(self) -> None:
        self.receivers: list[Recorder] = []
        self.max_message_bytes = 1024 * 1024
        self.may_accept = asyncio.Event()
        self.may_accept.set()
        self.asked = asyncio.Event()
        self.opened: Callable[[Recorder], None] = lambda recorder: None
        self.failures: list[BaseException] = []

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        await receive()
        self.asked.set()
        await self.may_accept.wait()
        recorder = Recorder()
        try:
            recorder.link = await open_link(scope, receive, send, recorder, self.max_message_bytes)
        except OSError as error:
            self.failures.append(error)
            return
        self.opened(recorder)
        self.receivers.append(recorder)
        await recorder.link.run()

    async def receiver(self, number: int = 0) -> Recorder:
        """That of connection ``number``, once it is there."""
        await eventually(lambda: len(self.receivers) > number, "a connection")
        return self.receivers[number]


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """As the base class', which looks every 0.1 s only: there are hundreds of these servers."""
        while not await self.on_tick(0):  # noqa: ASYNC110  should_exit is a plain attribute
            await asyncio.sleep(0.005)


class LinkServer:
    """uvicorn with ``application`` on a free ``port``: on our protocol class (``direct``) or its own.

    Needs a running loop. ``edge`` is what connections share on ours, where ``edge_of`` names no other; ``always`` are
    the paths that are answered in any need.
    """

    def __init__(
        self,
        application: Any,
        *,
        direct: bool,
        edge_of: Callable[[], Edge] | None = None,
        always: Collection[str] = (),
        **options: Any,
    ) -> None:
        self._listener = listen()
        self.direct = direct
        self.port: int = self._listener.getsockname()[1]
        config = uvicorn.Config(
            application,
            http=self._connections(edge_of or (lambda: self.edge), always) if direct else "httptools",
            ws="none" if direct else "websockets-sansio",
            ws_per_message_deflate=False,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
            **{"lifespan": "off", **options},
        )
        self.uvicorn = _Uvicorn(config)
        self.metrics = Metrics()
        self.edge = Edge(LimitsSettings(), self.metrics)
        self._task: asyncio.Task[None] | None = None

    def _connections(self, edge_of: Callable[[], Edge], always: Collection[str]) -> type[asyncio.Protocol]:
        """As ``process.gatewayserver`` makes them."""
        make = cast("Callable[..., HttpConnection]", http_class(edge_of, always))
        return cast("type[asyncio.Protocol]", lambda **given: entrance(make(**given), edge_of()))

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self.uvicorn.serve([self._listener]))
        await eventually(lambda: self.uvicorn.started, "the server has started")

    async def stop(self) -> None:
        """Stop; harmless when it has stopped."""
        self.uvicorn.should_exit = True
        if self._task is not None:
            await self._task
        self._listener.close()
