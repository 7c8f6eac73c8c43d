"""Who clients are is decided elsewhere: by your own endpoint, or a NATS service, from headers that they send.

Who is told of a client is told nothing but those headers and its address; an answer is good for all who show the same,
for the time that it says.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence

from wsgw.access.answer import Deciding, Known, Refusal, Shown, Unanswered, known_by
from wsgw.access.bearer import of_protocols
from wsgw.access.endpoint import Endpoint
from wsgw.access.identity import Identity
from wsgw.access.rights import NO_RIGHTS, Rights
from wsgw.access.service import Service
from wsgw.broker.broker import Broker
from wsgw.config.delegate import DelegateSettings
from wsgw.errors import AUTH_UNAVAILABLE, DRAINING, UNAUTHENTICATED, GatewayError
from wsgw.protocols.handshake import Handshake
from wsgw.shares.asking import Asking
from wsgw.shares.kept import Kept
from wsgw.shares.repeats import Repeats

log = logging.getLogger("wsgw.access")

#: Answers that are kept, and what they take in memory.
MAX_KEPT = 10_000
MAX_KEPT_BYTES = 32 * 1024 * 1024
#: An object of JSON in memory takes some times its text.
_ANSWER_BYTES, _BYTES_PER_CHAR = 500, 6
#: So long who was refused is so without a question, and who could not be asked about.
REFUSED_SECONDS = 1.0
LOG_PERIOD_SECONDS = 60.0
MAX_REASON_CHARS = 300
MAX_TOKEN_CHARS = 16 * 1024

#: What a header can hold without a blank (RFC 9110 section 5.5): a token has no other form in ``Authorization``.
_TOKEN = re.compile(r"[!-~]+")
_AUTHORIZATION = "authorization"


class DelegateAuthenticator:
    """Implements ``Authenticator``: ``deciding`` is asked about who sends one of ``headers``, or a token.

    Who sends neither has the rights ``anonymous``, or is refused where that is None. ``default`` are the rights of an
    answer that says none. ``clock()`` is Unix time.
    """

    def __init__(
        self,
        deciding: Deciding,
        headers: Sequence[str],
        anonymous: Rights | None = None,
        default: Rights = NO_RIGHTS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._deciding = deciding
        self._names = [(name.lower(), name.lower().encode()) for name in sorted(headers)]
        self._shows_authorization = _AUTHORIZATION in dict(self._names)
        self._anonymous = None if anonymous is None else Identity(None, anonymous)
        self._default = default
        self._clock = clock
        self._kept: Kept[bytes, Identity | Refusal] = Kept(MAX_KEPT, MAX_KEPT_BYTES)
        self._asking: Asking[bytes, Shown, Identity | Refusal] = Asking(self._ask, self._unasked)
        self._closed = False
        self._repeats = Repeats(log, LOG_PERIOD_SECONDS)

    def start(self) -> None:
        """See ``Authenticator``."""
        self._deciding.start()

    async def close(self) -> None:
        """See ``Authenticator``; who waits for an answer is refused (draining)."""
        self._closed = True
        await self._asking.close()
        await self._deciding.close()

    def token_of(self, handshake: Handshake) -> str | None:
        """See ``Authenticator``: a digest of the headers, whatever the address."""
        headers = self._shown(handshake)
        return Shown(headers, "").key.hex() if headers else None

    def identify(self, handshake: Handshake, token: str | None = None) -> Identity | Awaitable[Identity]:
        """See ``Authenticator``; raises GatewayError (forbidden), too. A ``token`` is shown as ``Authorization``."""
        headers = self._shown(handshake)
        if token is None:
            token = self._offered(handshake)
        if token is not None:
            if len(token) > MAX_TOKEN_CHARS or not _TOKEN.fullmatch(token):
                raise GatewayError(UNAUTHENTICATED, "the token has characters that no token has, or too many")
            headers = *(pair for pair in headers if pair[0] != _AUTHORIZATION), (_AUTHORIZATION, f"Bearer {token}")
        if not headers:
            if self._anonymous is None:
                raise GatewayError(UNAUTHENTICATED, UNAUTHENTICATED.summary)
            return self._anonymous
        shown = Shown(headers, handshake.client)
        key = shown.key
        known = self._kept.get(key)
        return self._wait(key, shown) if known is None else _identity(known)

    # -- inside

    def _offered(self, handshake: Handshake) -> str | None:
        """A browser's WebSocket has no header for a token; it stands for one where that is shown."""
        if self._shows_authorization and handshake.header(_AUTHORIZATION.encode()) is None:
            return of_protocols(handshake.values(b"sec-websocket-protocol"))
        return None

    def _shown(self, handshake: Handshake) -> tuple[tuple[str, str], ...]:
        found = [(name, handshake.header(raw)) for name, raw in self._names]
        return tuple((name, value) for name, value in found if value)

    async def _wait(self, key: bytes, shown: Shown) -> Identity:
        known = self._kept.get(key)  # it may be answered by now: tasks begin a tick after they are made
        return _identity(await self._asking.ask(key, shown) if known is None else known)

    async def _ask(self, shown: Shown) -> Identity | Refusal:
        seconds, size = REFUSED_SECONDS, _ANSWER_BYTES
        found: Identity | Refusal
        try:
            answer = await self._deciding.ask(shown)
            if isinstance(answer, Refusal):
                found = answer
            else:
                known = self._known(answer)
                found, seconds = known.identity, known.kept_seconds
                size += _BYTES_PER_CHAR * len(answer)
        except Unanswered as error:
            found = self._unanswered(str(error))
        self._kept.put(shown.key, found, seconds, size)
        return found

    def _known(self, answer: bytes) -> Known:
        try:
            return known_by(answer, self._default, self._clock)
        except ValueError as error:
            raise Unanswered(f"an answer cannot be used: {error}") from None

    def _unasked(self, why: str) -> Refusal:
        return Refusal(DRAINING, DRAINING.summary) if self._closed else self._unanswered(why)

    def _unanswered(self, why: str) -> Refusal:
        self._repeats.say(logging.ERROR, f"auth.delegate: {why[:MAX_REASON_CHARS]}", "; clients are refused")
        return Refusal(AUTH_UNAVAILABLE, AUTH_UNAVAILABLE.summary)


def _identity(found: Identity | Refusal) -> Identity:
    if isinstance(found, Refusal):
        raise GatewayError(found.kind, found.message)
    return found


def delegate(
    settings: DelegateSettings, broker: Broker, anonymous: Rights | None, default: Rights
) -> DelegateAuthenticator:
    """The authenticator that ``settings`` describe, not started."""
    if settings.url is not None:
        deciding: Deciding = Endpoint(settings.url, settings.timeout)
    else:
        assert settings.subject is not None
        deciding = Service(broker, settings.subject, settings.timeout)
    return DelegateAuthenticator(deciding, settings.headers, anonymous, default)
