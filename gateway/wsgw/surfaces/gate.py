"""The one way in: who asks, and from where, is looked at here, before any surface sees it.

What CORS has to tell is put into the answer here, too, whoever gives it and by whatever way: no surface knows of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence

import orjson

from wsgw.access.origins import BY_TLS, Headers, preflight
from wsgw.access.pages import SAFE, Verdict
from wsgw.config.proxies import UNIX
from wsgw.core.edge import Edge
from wsgw.errors import FORBIDDEN, GatewayError
from wsgw.fanout.publication import Encoded
from wsgw.protocols.engineio.packets import open_packet
from wsgw.protocols.socketio.packets import encode_connect_error
from wsgw.protocols.websocket.request import any_of
from wsgw.transports.accept import MAX_UNTAKEN_BYTES, refuse, turn_away
from wsgw.transports.asgi import Event, Receive, Send
from wsgw.transports.exchange import STREAM_EXTENSION, Exchange
from wsgw.transports.http import NETWORK, respond
from wsgw.transports.peer import is_unix

#: Answered whatever Host and Origin say: health checks ask under any name, and are told nothing that is worth it.
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
#: Of who may ask, no page of another origin may read these.
UNREAD_PATHS = frozenset({"/metrics"})
SOCKETIO = "socket.io"
#: What surfaces take, by the first part of the path; and OPTIONS, which is answered here.
METHODS = {"publish": "POST", "request": "POST", "sse": "GET, HEAD", SOCKETIO: "GET, POST"}
_BY_TLS = frozenset({"https", "wss"})


class Gate:
    """Of one gateway, whose ``edge`` knows whose pages may ask; all may ask for ``open_paths``.

    ``methods`` are as METHODS.
    """

    def __init__(
        self, edge: Edge, open_paths: Collection[str] = OPEN_PATHS, methods: Mapping[str, str] = METHODS
    ) -> None:
        self._edge = edge
        self._open_paths = open_paths
        self._methods = methods

    async def enter(self, scope: Event, path: str, receive: Receive, send: Send) -> Send | None:
        """By what the request or WebSocket of ``scope`` is to be answered; None where it has been.

        ``scope`` has the client's address from now on, if proxies that are trusted say it.
        """
        if path in self._open_paths:
            return _putting(scope, send, SAFE)
        by_unix = is_unix(scope.get("server"))
        client = scope.get("client")
        peer = client[0] if client else UNIX if by_unix else ""
        caller = self._edge.proxies.caller(peer, scope["headers"])
        scope[NETWORK] = caller.network
        if caller.client is not None:
            scope["client"] = (caller.client, 0)
        asked = caller.asked
        if asked is None and scope.get("scheme") in _BY_TLS:
            asked = BY_TLS
        verdict = self._edge.pages.look(scope["headers"], proxied=by_unix, asked=asked)
        if verdict.refusal is not None:
            await self._refuse(scope, path, receive, send, verdict)
            return None
        if scope["type"] == "websocket":
            return send
        if path in UNREAD_PATHS:
            return _putting(scope, send, SAFE)
        if scope["method"] == "OPTIONS" and (methods := self._methods.get(_first(path))) is not None:
            await _answer_preflight(scope, _putting(scope, send, verdict.headers), methods)
            return None
        return _putting(scope, send, verdict.headers)

    # -- inside

    async def _refuse(self, scope: Event, path: str, receive: Receive, send: Send, verdict: Verdict) -> None:
        """A page sees of a WebSocket only how it closes; who asks under a wrong name is told nothing but 403."""
        why = verdict.refusal or ""
        told = self._edge.pages.tell(verdict)
        self._edge.refused(FORBIDDEN.name, "" if told else "%s", *(() if told else (why,)))
        if scope["type"] == "http":
            headers = {"content-type": "application/json", "vary": "origin", "cache-control": "no-store"}
            await respond(_putting(scope, send, verdict.headers), FORBIDDEN.http_status, _body(why), headers)
            return
        await receive()  # websocket.connect
        if verdict.setting == "hosts":
            await refuse(scope, send, FORBIDDEN.http_status, _body(why))
            return
        subprotocol = any_of(scope.get("subprotocols") or ())  # else browsers see no code
        first = _refusing_connect(why) if _first(path) == SOCKETIO else ()
        await turn_away(self._edge.parting, scope, receive, send, FORBIDDEN.close_code, why, subprotocol, first)


def _refusing_connect(why: str) -> Sequence[Encoded]:
    """Stock clients hear of no close before a session is open, and would wait for it: so it is, and refuses CONNECT."""
    return Encoded(open_packet("refused", (), 25.0, 20.0, MAX_UNTAKEN_BYTES)), encode_connect_error("/", why, None)


async def _answer_preflight(scope: Event, send: Send, methods: str) -> None:
    wanted = next((value for name, value in scope["headers"] if name == b"access-control-request-headers"), None)
    allow = ", ".join(sorted([*methods.split(", "), "OPTIONS"]))
    every = [(b"allow", allow.encode()), *preflight(methods, wanted)]
    await send({"type": "http.response.start", "status": 204, "headers": every})
    await send({"type": "http.response.body", "body": b""})


def _putting(scope: Event, send: Send, headers: Headers) -> Send:
    """``send``, with ``headers`` in the head of the answer."""
    exchange = scope.get("extensions", {}).get(STREAM_EXTENSION)
    if isinstance(exchange, Exchange):
        exchange.common = headers
        return send

    def telling(message: Event) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        return send(message)

    return telling


def _first(path: str) -> str:
    return path[1:].partition("/")[0]


def _body(why: str) -> bytes:
    return orjson.dumps(GatewayError(FORBIDDEN, why).as_json())
