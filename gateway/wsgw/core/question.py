"""What is asked of NATS services about clients, and what becomes of the answer."""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

from wsgw.access.identity import Identity
from wsgw.access.principal import Principal
from wsgw.channels.authorize import Authorize
from wsgw.channels.channel import Use
from wsgw.core.entry import forbidden
from wsgw.errors import FORBIDDEN, GatewayError, Kind

Key = tuple[bytes, str, str, Use]


class Denied(GatewayError):
    """A service says that the client may not."""


class Question(NamedTuple):
    """Who may do ``use`` with ``name``; those with the same ``key`` are the same."""

    key: Key
    authorize: Authorize
    identity: Identity | None
    use: Use
    name: str

    def as_json(self) -> bytes:
        """As the service is asked."""
        return json.dumps({**_who(self.identity), "channel": self.name, "verb": self.use.value}).encode()


class Decision(NamedTuple):
    """``refusal`` is None where the client may; it is so until the loop's clock says ``until``."""

    refusal: Kind | None
    words: str
    until: float

    def error(self, question: Question) -> GatewayError:
        """Why not, where there is a refusal."""
        assert self.refusal is not None
        if self.refusal is not FORBIDDEN:
            return GatewayError(self.refusal, self.words)
        return Denied(FORBIDDEN, forbidden(question.use, question.name, self.words).message)


#: So long as nobody was asked.
UNKNOWN = Decision(None, "", 0.0)


class Asker:
    """A client, as services are told of it."""

    __slots__ = ("_digest", "_identity", "_principal")

    def __init__(self, principal: Principal) -> None:
        self._principal = principal
        self._identity: Identity | None = None
        self._digest = b""  # nobody's

    def question(self, authorize: Authorize, use: Use, name: str) -> Question:
        """Whether it may do ``use`` with ``name``."""
        identity = self._principal.identity
        if identity is not self._identity:  # it may be another one since it was refreshed
            text = json.dumps(_who(identity), sort_keys=True)
            self._identity, self._digest = identity, hashlib.sha256(text.encode()).digest()
        return Question((self._digest, authorize.subject, name, use), authorize, identity, use, name)


def _who(identity: Identity | None) -> dict[str, object]:
    if identity is None:
        return {"user": None, "claims": {}}
    return {"user": identity.user, "claims": dict(identity.claims)}
