"""A NATS service that decides on clients."""

from __future__ import annotations

import orjson

from wsgw.access.answer import MAX_BODY_BYTES, Refusal, Shown, Unanswered
from wsgw.broker.broker import Broker
from wsgw.broker.services import ServiceError, check
from wsgw.errors import FORBIDDEN, UNAUTHENTICATED, GatewayError

#: By the code that a service says (ADR-32).
_REFUSALS = {"401": UNAUTHENTICATED, "403": FORBIDDEN}


class Service:
    """Implements ``Deciding``: ``{headers, client}`` is asked; ``{"allow": false}`` and ``{"error": …}`` refuse."""

    def __init__(self, broker: Broker, subject: str, timeout_seconds: float) -> None:
        self._broker = broker
        self._subject = subject
        self._timeout_seconds = timeout_seconds

    def start(self) -> None:
        """The broker is the gateway's."""

    async def close(self) -> None:
        """Nothing to end."""

    async def ask(self, shown: Shown) -> bytes | Refusal:
        """A service's error with the code 401 or 403 is a refusal; raises Unanswered for any other."""
        question = orjson.dumps({"headers": dict(shown.headers), "client": shown.client})
        try:
            reply = await self._broker.inquire(self._subject, question, self._timeout_seconds)
            check(reply)
        except ServiceError as error:
            kind = _REFUSALS.get(error.code)
            if kind is None:
                raise Unanswered(f"{self._subject} replies with an error {error.code}: {error.message}") from None
            return Refusal(kind, kind.summary)
        except GatewayError as error:
            raise Unanswered(f"{self._subject} cannot be asked: {error.message}") from None
        if len(reply.payload) > MAX_BODY_BYTES:
            raise Unanswered(f"{self._subject} answers with more than {MAX_BODY_BYTES} bytes")
        return Refusal(UNAUTHENTICATED, UNAUTHENTICATED.summary) if _is_refusal(reply.payload) else reply.payload


def _is_refusal(payload: bytes) -> bool:
    try:
        said = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False  # which is told as other answers that are none
    return isinstance(said, dict) and (said.get("allow") is False or "error" in said)
