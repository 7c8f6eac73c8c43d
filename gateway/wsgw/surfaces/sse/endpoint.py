"""``/sse/{channel}`` and ``/sse?channel=a&channel=b``: what comes on channels as server-sent events (WHATWG HTML 9.2).

An EventSource never comes back after an answer that is not 200. So a refusal that passes is 200 too: an event that
tells it, and the end.
"""

from __future__ import annotations

import logging

from fastapi import Response

from wsgw.closecodes import ABNORMAL
from wsgw.core.gateway import Gateway
from wsgw.errors import METHOD_NOT_ALLOWED, WRONG_DIRECTION, GatewayError
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.sse.request import StreamRequest, stream_request
from wsgw.protocols.sse.wire import TRANSPORT
from wsgw.surfaces.answers import refusal
from wsgw.surfaces.application import principal_of
from wsgw.surfaces.sse.heartbeats import Heartbeats
from wsgw.surfaces.sse.stream import EventStream, failure_of
from wsgw.transports.asgi import Event, Receive, Send
from wsgw.transports.openstream import StreamLink, open_stream

log = logging.getLogger("wsgw.sse")

PATH = "/sse"

#: OPTIONS is answered by the gate.
_METHODS = "GET, HEAD, OPTIONS"
_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",  # nginx passes events on as they come
}
_RAW_HEADERS = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]


class EventStreams:
    """A plain ASGI callable for requests of which ``serves`` says so. One object belongs to one event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._heartbeats = Heartbeats(gateway.edge.slices)

    @staticmethod
    def serves(path: str) -> bool:
        """Whether ``path`` is one of this surface's."""
        return path == PATH or path.startswith(f"{PATH}/")

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        method = scope["method"]
        if method in ("GET", "HEAD"):
            await self._stream(scope, receive, send)
        else:
            self._gateway.rejected(METHOD_NOT_ALLOWED.name)
            error = GatewayError(METHOD_NOT_ALLOWED, f"{scope['path']} takes {_METHODS}, not {method}")
            await _refuse(error, scope, receive, send)

    # -- inside

    async def _stream(self, scope: Event, receive: Receive, send: Send) -> None:
        opened = await self._open(scope)
        error = opened if isinstance(opened, GatewayError) else await _subscribed(opened)
        if isinstance(opened, GatewayError) or error is not None:
            assert error is not None
            await _refuse(error, scope, receive, send)
            return
        if scope["method"] == "HEAD":
            opened.lost(ABNORMAL)
            await send({"type": "http.response.start", "status": 200, "headers": [*_RAW_HEADERS]})
            await send({"type": "http.response.body", "body": b""})
            return
        link: StreamLink | None = None
        try:
            link = await open_stream(scope, receive, send, opened, _RAW_HEADERS)
            opened.attach(link)
            await link.run()
        except OSError:
            log.debug("sse: the client went before the stream was open")
            opened.lost(ABNORMAL)
        except BaseException:
            if link is not None:
                link.abort()
            opened.lost(ABNORMAL)
            raise

    async def _open(self, scope: Event) -> EventStream | GatewayError:
        """A client that has nothing yet, or why not, which is counted."""
        principal = principal_of(scope, TRANSPORT)
        assert principal.handshake is not None
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        try:
            self._gateway.arrive(principal)
        except GatewayError as error:
            return error.with_traceback(None)
        try:
            await self._gateway.identify(principal)
            asked = self._asked(None if path == PATH else path[len(PATH) + 1 :], principal.handshake)
            return EventStream(self._gateway, principal, asked, self._heartbeats)
        except GatewayError as error:
            return error.with_traceback(None)
        finally:
            self._gateway.arrived(principal)

    def _asked(self, name: str | None, handshake: Handshake) -> StreamRequest:
        """See ``stream_request``; what it raises is counted."""
        try:
            return stream_request(name, handshake)
        except GatewayError as error:
            self._gateway.rejected(error.kind.name)
            raise


async def _subscribed(stream: EventStream) -> GatewayError | None:
    """Why ``stream`` cannot be, which is over then."""
    try:
        error = await stream.subscribe()
    except BaseException:
        stream.lost(ABNORMAL)
        raise
    if error is not None:
        stream.lost(ABNORMAL)
    return error


async def _refuse(error: GatewayError, scope: Event, receive: Receive, send: Send) -> None:
    if error.kind.passes and error.http_status != 401:  # with the same token it would come again for ever
        answer = Response(failure_of(error), headers=_HEADERS)
    else:
        allow = {METHOD_NOT_ALLOWED: _METHODS, WRONG_DIRECTION: "OPTIONS"}.get(error.kind)
        answer = refusal(error, {"allow": allow} if allow is not None else None)
    await answer(scope, receive, send)
