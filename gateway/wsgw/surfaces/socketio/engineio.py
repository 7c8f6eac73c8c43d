"""The ASGI endpoint of Engine.IO 4: handshakes, polling, WebSockets, and the table of sessions by sid."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from wsgw.access.origins import Origins
from wsgw.closecodes import ABNORMAL, GOING_AWAY, TOO_BIG
from wsgw.fanout.frames import Message
from wsgw.fanout.sender import Sender
from wsgw.protocols.engineio import packets as engineio
from wsgw.protocols.engineio.engine import Timing
from wsgw.protocols.engineio.packets import RequestError, RequestRefused
from wsgw.protocols.handshake import Handshake
from wsgw.surfaces.socketio.scopes import Scopes
from wsgw.surfaces.socketio.session import EngineSession, Service
from wsgw.surfaces.socketio.websocket import WebSocketEnd
from wsgw.transports.accept import open_link, refuse
from wsgw.transports.asgi import Event, Receive, Send
from wsgw.transports.http import Body, BodyTooLarge, ClientGone, handshake_of, respond, wait_gone

#: Longest that a POST waits for ``EngineSession.release``; then it is answered all the same.
MAX_HOLD_SECONDS = 30.0

Headers = dict[str, str]

_TEXT = {"content-type": "text/plain; charset=UTF-8"}
_OK = {"content-type": "text/html"}  # as the reference server says it
_JSON = {"content-type": "application/json"}
_FRESH = {"cache-control": "no-store"}


class Options(NamedTuple):
    """What an endpoint offers. ``announced_max_payload_bytes`` tells clients how to split the bodies of their POSTs.

    ``max_packet_bytes()`` is the most that one packet may have; a larger one closes its session.
    """

    max_packet_bytes: Callable[[], int]
    ping_interval_seconds: float = 25.0
    ping_timeout_seconds: float = 20.0
    connect_timeout_seconds: float = 45.0
    announced_max_payload_bytes: int = 1_000_000
    cors_origins: str | Sequence[str] = "*"


#: Makes the sending half of a connection; told what to call when the client lets control items pile up.
OpenSender = Callable[[Callable[[], None]], Sender]


class EngineIOServer:
    """A plain ASGI callable; ``open_service`` makes the protocol above each new session. Implements ``drain.Surface``.

    ``rejected`` counts a handshake that was refused, by the reason.
    The path is the router's business. One object belongs to one event loop.
    """

    def __init__(
        self,
        open_service: Callable[[EngineSession], Service],
        options: Options,
        *,
        open_sender: OpenSender,
        rejected: Callable[[str], None],
    ) -> None:
        self._open_service = open_service
        self._options = options
        self._timing = Timing(options.ping_interval_seconds, options.ping_timeout_seconds)
        self._origins = Origins(options.cors_origins, ("GET", "POST"))
        self._open_sender = open_sender
        self._rejected = rejected
        self._sessions: dict[str, EngineSession] = {}
        self._draining = False
        self._active = 0  # requests and handshakes
        self._posts = Scopes()  # by sid: they end with their sessions
        self._discards = Scopes()  # by body: what is left of refused ones is of use while there is time
        self._gave_up = False
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

    def close_all(self, code: int = GOING_AWAY) -> None:
        """Take no new clients, close those there are: polls get what waits and a close packet, WebSockets ``code``."""
        self._draining = True
        for session in list(self._sessions.values()):
            session.close(code)
            self._posts.end(session.sid)

    async def wait_gone(self, timeout_seconds: float) -> bool:
        """Wait until every session, request and WebSocket has ended, but not longer; whether they all have.

        Where they have not, what is left of refused requests is read no further.
        """
        self._all_gone = asyncio.Event()
        self._check_all_gone()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._all_gone.wait()
        except TimeoutError:
            self._gave_up = True
            self._discards.end_all()
            return False
        return True

    # -- HTTP

    async def _http(self, scope: Event, receive: Receive, send: Send) -> None:
        request = handshake_of(scope)
        method = scope["method"]
        origin = request.header(b"origin")
        headers = _FRESH | self._origins.headers(origin)
        if method == "OPTIONS":
            wanted = request.header(b"access-control-request-headers")
            await respond(send, 204, b"", headers | self._origins.preflight(origin, wanted))
            return
        body = Body(scope, receive)
        try:
            session = self._find(request, "polling", method)
            if session is None:
                session, opening = self._open(request, websocket=False)
                await respond(send, 200, opening.data, headers | _TEXT | {"x-wsgw-sid": session.sid})
            elif method == "GET":
                await self._poll(session, receive, send, headers)
            elif method == "POST":
                await self._post(session, body, send, headers)
            else:
                await self._refuse(send, engineio.BAD_REQUEST, body, headers)
        except RequestRefused as refused:
            await self._refuse(send, refused.error, body, headers)

    async def _refuse(self, send: Send, refusal: RequestError, body: Body, headers: Headers) -> None:
        rest = partial(self._discard, body) if body.unfinished else None
        await respond(send, refusal.http_status, refusal.body, headers | _JSON, rest)

    async def _discard(self, body: Body) -> None:
        if not self._gave_up:
            with suppress(TimeoutError):
                async with self._discards.open(body):
                    await body.discard()

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
            async with self._posts.open(session.sid):
                await self._take(session, body)
        except BodyTooLarge:
            engine.post_failed(TOO_BIG)
            self._rejected(engineio.TOO_LARGE.reason)
            raise RequestRefused(engineio.TOO_LARGE) from None
        except TimeoutError:
            raise RequestRefused(engineio.DRAINING if self._draining else engineio.UNKNOWN_SID) from None
        except ClientGone:
            engine.post_failed(ABNORMAL)
            return
        except asyncio.CancelledError:
            engine.post_failed(ABNORMAL)
            raise
        engine.post_answered()
        await respond(send, 200, b"ok", headers | _OK)

    async def _take(self, session: EngineSession, body: Body) -> None:
        """Read a POST and take its packets, as fast as the client may send."""
        options = self._options
        limit = max(options.announced_max_payload_bytes, options.max_packet_bytes())
        packets = engineio.decode_payload(await body.read(limit))
        deadline = asyncio.get_running_loop().time() + MAX_HOLD_SECONDS
        while session.engine.post_received(packets):
            await asyncio.sleep(0)
            await session.wait_released(deadline)
        await session.wait_released(deadline)

    # -- WebSocket

    async def _websocket(self, scope: Event, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        try:
            request = handshake_of(scope)
            session = self._find(request, "websocket", "GET")
            if session is None:
                session, opening = self._open(request, websocket=True)
                session.send(opening)
                websocket = session.use(WebSocketEnd(session))
            else:
                websocket = session.websocket_opened()
        except RequestRefused as refused:
            await refuse(scope, send, refused.error.http_status, refused.error.body)
            return
        try:
            # browsers fail a connection whose server takes none of the subprotocols offered; which, is no matter here
            subprotocol = next(filter(None, scope.get("subprotocols", ())), None)
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
                self._rejected(refusal.reason)
            raise RequestRefused(refusal)
        return session

    def _refusal(
        self, request: Handshake, transport: str, method: str, session: EngineSession | None
    ) -> RequestError | None:
        """Why not; checked in the reference server's order."""
        query = request.query
        if query.get("transport") not in ("polling", "websocket"):
            return engineio.UNKNOWN_TRANSPORT
        if session is None and query.get("sid"):
            return engineio.UNKNOWN_SID
        if session is None and method != "GET":
            return engineio.BAD_HANDSHAKE_METHOD
        if query["transport"] != transport:
            return engineio.BAD_REQUEST
        if session is None and transport == "polling" and "j" in query:  # JSONP, which no current client uses
            return engineio.BAD_REQUEST
        if not self._origins.allows(request.header(b"origin"), request.header(b"host")):
            return engineio.FORBIDDEN
        if session is None and query.get("EIO") != "4":
            return engineio.UNSUPPORTED_VERSION
        if session is None and self._draining:
            return engineio.DRAINING
        return None

    def _open(self, handshake: Handshake, *, websocket: bool) -> tuple[EngineSession, Message]:
        """A new session, and the packet that tells the client so."""
        options = self._options
        sid = secrets.token_urlsafe(15)
        session = EngineSession(
            sid,
            handshake,
            self._open_sender,
            self._timing,
            options.connect_timeout_seconds,
            self._forget,
            websocket=websocket,
        )
        session.service = self._open_service(session)
        self._sessions[sid] = session
        opening = engineio.open_packet(
            sid,
            () if websocket else ("websocket",),
            options.ping_interval_seconds,
            options.ping_timeout_seconds,
            options.announced_max_payload_bytes,
        )
        return session, opening

    def _forget(self, session: EngineSession) -> None:
        self._sessions.pop(session.sid, None)
        self._posts.end(session.sid)
        self._check_all_gone()

    def _websocket_lost(self, websocket: WebSocketEnd) -> None:
        self._websockets.discard(websocket)
        self._check_all_gone()

    def _check_all_gone(self) -> None:
        busy = self._active or self._websockets or self._sessions
        if self._all_gone is not None and not busy:
            self._all_gone.set()
