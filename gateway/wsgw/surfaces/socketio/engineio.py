"""The ASGI endpoint of Engine.IO 4: handshakes, polling, WebSockets, and the table of sessions by sid."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from wsgw.closecodes import ABNORMAL, GOING_AWAY, TOO_BIG
from wsgw.core.edge import Edge
from wsgw.errors import OVERLOADED, SLOW_CONSUMER, TOO_MANY_SESSIONS
from wsgw.fanout.frames import Message
from wsgw.fanout.sender import Sender
from wsgw.protocols.engineio import packets as engineio
from wsgw.protocols.engineio.engine import State, Timing
from wsgw.protocols.engineio.packets import RequestError, RequestRefused
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.websocket.request import any_of
from wsgw.shares.slices import one_by_one
from wsgw.surfaces.socketio.binding import Binding
from wsgw.surfaces.socketio.scopes import Scopes
from wsgw.surfaces.socketio.seating import seat, unseat
from wsgw.surfaces.socketio.service import Service
from wsgw.surfaces.socketio.session import EngineSession
from wsgw.surfaces.socketio.taking import Taking
from wsgw.surfaces.socketio.websocket import WebSocketEnd
from wsgw.transports.accept import open_link, refuse
from wsgw.transports.asgi import Event, Receive, Send
from wsgw.transports.http import Body, BodyDropped, BodyTooLarge, ClientGone, handshake_of, respond, wait_gone

#: What sessions that have not connected may keep in all, most of it their handshakes' headers.
MAX_UNCONNECTED_BYTES = 16 * 1024 * 1024
#: A larger body is worked off in turn with others', whatever the tick has left.
SMALL_BODY_BYTES = 16 * 1024

Headers = dict[str, str]

_TEXT = {"content-type": "text/plain; charset=UTF-8"}
_OK = {"content-type": "text/html"}  # as the reference server says it
_JSON = {"content-type": "application/json"}
_FRESH = {"cache-control": "no-store"}


class Options(NamedTuple):
    """What an endpoint offers. ``announced_max_payload_bytes`` tells clients how to split the bodies of their POSTs.

    ``max_packet_bytes()`` is the most that one packet may have; a larger one closes its session. ``max_value_bytes()``
    is the most that one JSON value in it may have that is no string; a larger one is not looked at.
    """

    max_packet_bytes: Callable[[], int]
    max_value_bytes: Callable[[], int]
    ping_interval_seconds: float = 25.0
    ping_timeout_seconds: float = 20.0
    connect_timeout_seconds: float = 45.0
    announced_max_payload_bytes: int = 1_000_000


#: Makes the sending half of a connection, as its handshake asks for it; told what to call when the client lets control
#: items pile up.
OpenSender = Callable[[Handshake, Callable[[], None]], Sender]


class EngineIOServer:
    """A plain ASGI callable; ``open_service`` makes the protocol above each new session.

    Implements ``drain.Surface`` and ``session.Endpoint``. The path is the router's business. One object belongs to one
    event loop.
    """

    def __init__(
        self,
        open_service: Callable[[EngineSession], Service],
        options: Options,
        *,
        edge: Edge,
        open_sender: OpenSender,
        binding: Binding | None = None,
    ) -> None:
        """With a ``binding`` requests for a session are to come from who opened it."""
        self.edge = edge
        self.open_sender = open_sender
        self.timing = Timing(options.ping_interval_seconds, options.ping_timeout_seconds)
        self.connect_timeout_seconds = options.connect_timeout_seconds
        self._binding = binding
        self._open_service = open_service
        self._options = options
        self._sessions: dict[str, EngineSession] = {}
        self._unconnected: OrderedDict[EngineSession, None] = OrderedDict()  # the oldest first
        self._unconnected_bytes = 0
        self._draining = False
        self._active = 0  # requests and handshakes
        self._posts = Scopes()  # what they wait for, by sid: that ends with their sessions
        self._websockets: set[WebSocketEnd] = set()
        self._all_gone: asyncio.Event | None = None

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or one WebSocket."""
        self._active += 1
        try:
            if scope["type"] == "http":
                await self._http(scope, receive, send)
            else:
                await self._websocket(scope, receive, send)
        finally:
            self._active -= 1
            self._check_all_gone()

    def refuse_new(self) -> None:
        """Take no new clients, and close those that have not said yet what they want, as ``close_all`` does."""
        self._draining = True
        self._close(list(self._unconnected), GOING_AWAY)

    def close_all(self, code: int = GOING_AWAY) -> None:
        """Take no new clients, close those there are: polls get what waits and a close packet, WebSockets ``code``."""
        self._draining = True
        self._close(list(self._sessions.values()), code)

    async def wait_gone(self, timeout_seconds: float) -> bool:
        """Wait until every session, request and WebSocket has ended, but not longer; whether they all have."""
        self._all_gone = asyncio.Event()
        self._check_all_gone()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._all_gone.wait()
        except TimeoutError:
            return False
        return True

    def _close(self, sessions: list[EngineSession], code: int) -> None:
        def close(session: EngineSession) -> None:
            session.close(code)
            self._posts.end(session.sid)

        work = one_by_one(sessions, close)
        if work(self.edge.slices.until()):
            self.edge.slices.queue(work)

    # -- HTTP

    async def _http(self, scope: Event, receive: Receive, send: Send) -> None:
        request = handshake_of(scope)
        method = scope["method"]
        headers = _FRESH
        try:
            session = self._find(request, "polling", method)
            if session is not None and self._binding is not None:
                await self._check(self._binding, session, request, websocket=False)
            if session is None:
                session, opening = self._open(request, websocket=False)
                await respond(send, 200, opening.data, headers | _TEXT | {"x-wsgw-sid": session.sid})
            elif method == "GET":
                await self._poll(session, receive, send, headers)
            elif method == "POST":
                await self._post(session, Body(scope, receive, self.edge.memory), send, headers)
            else:
                raise RequestRefused(engineio.BAD_REQUEST)  # noqa: TRY301  all refusals are answered below
        except RequestRefused as refused:
            await respond(send, refused.error.http_status, refused.error.body, headers | _JSON | dict(refused.headers))

    async def _poll(self, session: EngineSession, receive: Receive, send: Send, headers: Headers) -> None:
        answer = session.poll()
        if isinstance(answer, bytes):
            await respond(send, 200, answer, headers | _TEXT)
            return
        watch = asyncio.get_running_loop().create_task(wait_gone(receive))
        watch.add_done_callback(lambda _: None if answer.done() else session.poll_lost())
        try:
            payload = await answer
        except asyncio.CancelledError:
            session.poll_lost()
            raise
        finally:
            watch.cancel()
        if payload is not None:
            await respond(send, 200, payload, headers | _TEXT)

    async def _post(self, session: EngineSession, body: Body, send: Send, headers: Headers) -> None:
        engine = session.engine
        session.post_started()
        try:
            await self._take(session, body)
        except BodyTooLarge:
            engine.post_failed(TOO_BIG)
            self.edge.refused(engineio.TOO_LARGE.reason)
            raise RequestRefused(engineio.TOO_LARGE) from None
        except TimeoutError:
            raise RequestRefused(engineio.DRAINING if self._draining else self._why_gone(session.sid)) from None
        except ClientGone:
            engine.post_failed(ABNORMAL)
            return
        except BodyDropped:
            engine.post_failed(SLOW_CONSUMER.close_code)
            raise RequestRefused(engineio.NO_MEMORY) from None
        except asyncio.CancelledError:
            engine.post_failed(ABNORMAL)
            raise
        engine.post_answered()
        await respond(send, 200, b"ok", headers | _OK)

    async def _take(self, session: EngineSession, body: Body) -> None:
        """Read a POST and take all of its packets, as fast as NATS takes them.

        However many answers an honest burst has: a client may fetch none before its POST is answered. The next one
        waits for it.
        """
        options = self._options
        limit = max(options.announced_max_payload_bytes, options.max_packet_bytes())
        async with self._posts.open(session.sid):
            content = await body.read(limit)
        session.keep(len(content))
        try:
            session.check_answers()  # to the POST before: many come after it
            await self._wait_taken(session)
            work = Taking(session, engineio.decode_payload(content))
            if len(content) <= SMALL_BODY_BYTES:
                work(self.edge.slices.until())
            while work.unfinished:
                if not await self._wait_released(session):
                    self.edge.refused(engineio.OVERLOADED.reason, "NATS does not take what a Socket.IO client sent")
                    session.close(OVERLOADED.close_code)
                    raise RequestRefused(engineio.OVERLOADED)
                if session.is_far_behind:
                    session.check_answers()
                    await self._wait_taken(session)
                await self.edge.slices.work_off(work)  # in no scope: its last packet may be what ends the session
        finally:
            session.keep(-len(content))
        session.check_answers()
        await self._wait_released(session)

    async def _wait_taken(self, session: EngineSession) -> None:
        """See ``EngineSession.wait_taken``; raises TimeoutError where the session ends meanwhile."""
        if session.is_held:
            async with self._posts.open(session.sid):
                await session.wait_taken()

    async def _wait_released(self, session: EngineSession) -> bool:
        """See ``EngineSession.wait_released``; raises TimeoutError where the session ends meanwhile."""
        if not session.is_held_by_service:
            return True
        async with self._posts.open(session.sid):
            return await session.wait_released()

    # -- WebSocket

    async def _websocket(self, scope: Event, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        try:
            request = handshake_of(scope)
            session = self._find(request, "websocket", "GET")
            if session is not None and self._binding is not None:
                await self._check(self._binding, session, request, websocket=True)
            if session is None:
                session, opening = self._open(request, websocket=True)
                session.send(opening)
                websocket = session.use(WebSocketEnd(session))
            else:
                websocket = session.websocket_opened()
        except RequestRefused as refused:
            await refuse(scope, send, refused.error.http_status, refused.error.body, headers=refused.headers)
            return
        try:
            # browsers fail a connection whose server takes none of the subprotocols offered; which, is no matter here
            subprotocol = any_of(scope.get("subprotocols", ()))
            link = await open_link(scope, receive, send, websocket, self._options.max_packet_bytes(), subprotocol)
            self._websockets.add(websocket)
            websocket.on_lost = self._websocket_lost
            websocket.opened(link)
        except BaseException:
            websocket.lost(ABNORMAL)
            raise
        await link.run()

    # -- both

    def _find(self, request: Handshake, transport: str, method: str) -> EngineSession | None:
        """The session that ``request`` is for, None for a handshake; raises RequestRefused."""
        sid = request.query.get("sid") or None  # an empty one is none
        session = None if sid is None else self._sessions.get(sid)
        refusal = self._refusal(request, transport, method, session)
        if refusal is not None:
            if sid is None:
                self.edge.refused(refusal.reason)
            raise RequestRefused(refusal)
        return session

    async def _check(self, binding: Binding, session: EngineSession, request: Handshake, *, websocket: bool) -> None:
        """Raises RequestRefused where ``request`` is of another client, or ``session`` has ended meanwhile."""
        await binding.check(session, request, websocket=websocket)
        if session.engine.state is State.GONE:
            raise RequestRefused(self._why_gone(session.sid))

    def _refusal(
        self, request: Handshake, transport: str, method: str, session: EngineSession | None
    ) -> RequestError | None:
        """Why not; checked in the reference server's order."""
        query = request.query
        if query.get("transport") not in ("polling", "websocket"):
            return engineio.UNKNOWN_TRANSPORT
        if session is None and query.get("sid"):
            return self._why_gone(query["sid"])
        if session is None and method != "GET":
            return engineio.BAD_HANDSHAKE_METHOD
        if query["transport"] != transport:
            return engineio.BAD_REQUEST
        if session is None and transport == "polling" and "j" in query:  # JSONP, which no current client uses
            return engineio.BAD_REQUEST
        if session is None and query.get("EIO") != "4":
            return engineio.UNSUPPORTED_VERSION
        if session is None and self._draining:
            return engineio.DRAINING
        if session is None and self.edge.memory.full:
            return engineio.NO_MEMORY
        return None

    def _why_gone(self, sid: str) -> RequestError:
        """Why there is no session of that ``sid``."""
        return (None if self._binding is None else self._binding.why_unknown(sid)) or engineio.UNKNOWN_SID

    def _open(self, handshake: Handshake, *, websocket: bool) -> tuple[EngineSession, Message]:
        """A new session, and the packet that tells the client so; raises RequestRefused."""
        options = self._options
        try:
            shown = None if self._binding is None else self._binding.shown(handshake)
        except RequestRefused as refused:
            self.edge.refused(refused.error.reason)
            raise
        seat(self.edge, handshake)
        most = self.edge.limits.unconnected_sessions
        while len(self._unconnected) >= most or self._unconnected_bytes > MAX_UNCONNECTED_BYTES:
            oldest = next(iter(self._unconnected))
            count, size = len(self._unconnected), self._unconnected_bytes
            self.edge.refused(
                TOO_MANY_SESSIONS.name, "%d with %d bytes have not connected; the oldest ends", count, size
            )
            oldest.fail(TOO_MANY_SESSIONS.close_code)
        sid = secrets.token_urlsafe(15)
        session = EngineSession(self, sid, handshake, websocket=websocket)
        session.shown = shown
        self._sessions[sid] = session
        self._unconnected[session] = None
        self._unconnected_bytes += session.opening_bytes
        session.service = self._open_service(session)
        opening = engineio.open_packet(
            sid,
            () if websocket else ("websocket",),
            options.ping_interval_seconds,
            options.ping_timeout_seconds,
            options.announced_max_payload_bytes,
        )
        return session, opening

    # -- Endpoint

    def accepted(self, session: EngineSession) -> None:
        del self._unconnected[session]
        self._unconnected_bytes -= session.opening_bytes

    def forget(self, session: EngineSession) -> None:
        self._sessions.pop(session.sid, None)
        unseat(session.handshake)
        if session in self._unconnected:
            self.accepted(session)
        self._posts.end(session.sid)
        self._check_all_gone()

    def _websocket_lost(self, websocket: WebSocketEnd) -> None:
        self._websockets.discard(websocket)
        self._check_all_gone()

    def _check_all_gone(self) -> None:
        busy = self._active or self._websockets or self._sessions
        if self._all_gone is not None and not busy:
            self._all_gone.set()
