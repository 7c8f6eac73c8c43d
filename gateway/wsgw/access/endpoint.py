"""An endpoint over HTTP that decides on clients: GET with what they show, as a proxy's sub-request.

No redirect is followed, and nothing kept of an answer: its cookies would go along with other clients. So transports of
httpx are used, and not its client: one for each connection, for what a pool does for a request takes as long as it has
connections, and 64 of them five times as long as the request.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from time import monotonic

import httpx

from wsgw import __version__
from wsgw.access.answer import MAX_BODY_BYTES, Refusal, Shown, Unanswered
from wsgw.errors import FORBIDDEN, UNAUTHENTICATED
from wsgw.trust import verifying_as_others

#: The header that says the client's address; no client says it.
ADDRESS = "x-forwarded-for"
#: Shorter than what servers wait for the next request (uvicorn 5 s), so that none ends as it is used.
IDLE_SECONDS = 4.0

_REFUSALS = {401: UNAUTHENTICATED, 403: FORBIDDEN}
_OURS = (
    ("accept", "application/json"),
    ("accept-encoding", "identity"),  # what is bounded are bytes as they come
    ("user-agent", f"wsgw/{__version__}"),
)


#: One that takes no request while it has one.
_ONE = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=IDLE_SECONDS)


class Endpoint:
    """Implements ``Deciding``; raises OSError where the system's certificates cannot be read.

    It has as many connections as questions are asked at once, which is for who asks to bound.
    """

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._url = httpx.URL(url)
        self._shown = url.partition("?")[0]  # in the log
        self._timeout_seconds = timeout_seconds
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), timeout_seconds)
        self._extensions = {"timeout": timeouts}
        self._verify: ssl.SSLContext | bool = False
        self._idle: deque[tuple[float, httpx.AsyncHTTPTransport]] = deque()  # since when, the longest first
        self._open = False

    def start(self) -> None:
        """See ``Deciding``."""
        self._open = True
        if self._url.scheme == "https":
            # with SSL_CERT_FILE, where that is set
            self._verify = verifying_as_others(httpx.create_ssl_context())

    async def close(self) -> None:
        """See ``Deciding``."""
        self._open = False
        while self._idle:
            await self._idle.popleft()[1].aclose()

    async def ask(self, shown: Shown) -> bytes | Refusal:
        """401 and 403 are refusals; raises Unanswered for all but these and 200."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._asked(shown)
        except TimeoutError:
            raise Unanswered(f"{self._shown} does not answer within {self._timeout_seconds:g} s") from None
        except httpx.TransportError as error:
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise Unanswered(f"{self._shown} cannot be asked: {reason}") from None

    # -- inside

    async def _asked(self, shown: Shown) -> bytes | Refusal:
        if not self._open:
            raise Unanswered("the gateway is stopping")
        transport = self._idle.pop()[1] if self._idle else self._connection()
        try:
            try:
                found = await self._ask(transport, shown)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                found = await self._ask(transport, shown)  # its connection was kept, and ended as it was used
        except BaseException:
            await transport.aclose()
            raise
        self._idle.append((monotonic(), transport))
        while self._idle and (not self._open or self._idle[0][0] < monotonic() - IDLE_SECONDS):
            await self._idle.popleft()[1].aclose()
        return found

    def _connection(self) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(verify=self._verify, limits=_ONE, trust_env=False)

    async def _ask(self, transport: httpx.AsyncHTTPTransport, shown: Shown) -> bytes | Refusal:
        told = {name: value for name, value in shown.headers if name != ADDRESS}
        if shown.client:
            told[ADDRESS] = shown.client
        headers = [(name.encode(), value.encode("latin-1")) for name, value in (dict(_OURS) | told).items()]
        request = httpx.Request("GET", self._url, headers=headers, extensions=self._extensions)
        response = await transport.handle_async_request(request)
        try:
            if response.status_code in _REFUSALS:
                kind = _REFUSALS[response.status_code]
                return Refusal(kind, kind.summary)
            if response.status_code != 200:
                raise Unanswered(f"{self._shown} answers with status {response.status_code}")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise Unanswered(f"{self._shown} answers with a content-encoding")
            return await self._body(response)
        finally:
            await response.aclose()

    async def _body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise Unanswered(f"{self._shown} answers with more than {MAX_BODY_BYTES} bytes")
        return bytes(body)
