"""Clients of two tenants, known by tokens of a table, and channels whose subjects their claims fill."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from helpers.session import Client, principal
from helpers.stack import Listener
from helpers.waiting import DEADLINE_SECONDS
from wsgw.access.identity import Identity
from wsgw.access.principal import Principal
from wsgw.access.rights import Rights
from wsgw.access.rules import IdentityRules
from wsgw.channels.channel import Channel, Direction, SlowConsumer, Use
from wsgw.channels.durable import Durable
from wsgw.channels.start import NOW, Start
from wsgw.channels.template import template_of
from wsgw.core.gateway import Gateway
from wsgw.core.session import Session
from wsgw.errors import UNAUTHENTICATED, GatewayError

ALL = Rights(dict.fromkeys(Use, (">",)))

CHANNELS: list[dict[str, Any]] = [
    {"name": "inbox", "direction": "inbound", "subject": "users.{sub}.inbox"},
    {"name": "mail", "direction": "inbound", "subject": "mail.{email|sha256}"},
    {"name": "room.*", "direction": "both", "subject": "t.{tenant}.room.*"},
    {"name": "out", "direction": "outbound", "subject": "users.{sub}.out"},
    {"name": "sum", "direction": "request", "subject": "t.{tenant}.sum", "timeout": "2s"},
    {"name": "news", "direction": "inbound"},
]
DURABLE: list[dict[str, Any]] = [
    {"name": "orders", "direction": "both", "subject": "t.{tenant}.orders", "durable": {"stream": "ORDERS"}},
    {"name": "log.*", "direction": "both", "subject": "t.{tenant}.log.*", "durable": {"stream": "LOG"}},
]

#: The claims of each token.
TOKENS: dict[str, dict[str, object]] = {
    "ann": {"sub": "ann", "tenant": "acme", "email": "ann@acme.example"},
    "ada": {"sub": "ada", "tenant": "acme", "email": "ada@acme.example"},
    "bob": {"sub": "bob", "tenant": "blue", "email": "bob@blue.example"},
    "nobody": {},
}


def templated(
    name: str, subject: str, direction: Direction = Direction.BOTH, durable: Durable | None = None, **options: Any
) -> Channel:
    """A channel whose ``subject`` has placeholders."""
    template = template_of(subject)
    assert template is not None
    if durable is not None:
        options = {"slow_consumer": SlowConsumer.DISCONNECT, **options}
    return Channel(name, direction, template.subject, template=template, durable=durable, **options)


def identity(claims: Mapping[str, object], rights: Rights = ALL) -> Identity:
    """Who has a token of these claims."""
    user = claims.get("sub")
    return Identity(user if isinstance(user, str) else None, rights, claims)


class TableRules(IdentityRules):
    """Lets in who shows a token of ``tokens``: in the header, the query, or as the address of the other end."""

    def __init__(self, tokens: Mapping[str, Mapping[str, object]] | None = None, rights: Rights = ALL) -> None:
        self._tokens = TOKENS if tokens is None else tokens
        self._rights = rights

    def admit(self, principal: Principal) -> None:
        """See ``Rules``."""
        handshake = principal.handshake
        assert handshake is not None
        shown = (handshake.header(b"authorization") or "").removeprefix("Bearer ")
        token = shown or handshake.query.get("token") or principal.client
        if token not in self._tokens:
            raise GatewayError(UNAUTHENTICATED, "no such token")
        principal.identity = identity(self._tokens[token], self._rights)


class Tenant:
    """A client on ``gateway`` with the token ``token``."""

    def __init__(self, gateway: Gateway, token: str) -> None:
        self.client = Client()
        self.listener = Listener()
        self.session: Session = gateway.open_session(principal(token), self.client, self.listener)

    async def join(self, *names: str, start: Start = NOW) -> None:
        for name in names:
            ready = self.session.join(name, start)
            if ready is not None:
                await asyncio.wait_for(ready, DEADLINE_SECONDS)
        self.session.listen()

    @property
    def payloads(self) -> list[bytes]:
        return self.listener.payloads
