"""What a connection is asked for: interest in subjects, and the credentials to ask with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from nats.aio.subscription import Subscription as LibrarySubscription

from wsgw.errors import GatewayError
from wsgw.fanout.publication import Publication


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the gateway shows NATS when the URL itself has nothing; a token, or user and password."""

    user: str | None = None
    password: str | None = None
    token: str | None = None

    @classmethod
    def of_url(cls, userinfo: str) -> Credentials:
        """Those in a URL: ``user:password``, or a token; percent-encoded (RFC 3986 section 3.2.1)."""
        user, colon, password = userinfo.partition(":")
        return cls(unquote(user), unquote(password)) if colon else cls(token=unquote(user))


class NatsSubscription:
    """Interest in one subject; ``ended`` gets the reason when NATS refuses it or the connection is lost."""

    def __init__(self, subject: str, deliver: Callable[[Publication], None]) -> None:
        self.subject = subject
        self.deliver = deliver
        self.ended: asyncio.Future[GatewayError] = asyncio.get_running_loop().create_future()
        self.nats: LibrarySubscription | None = None

    def end(self, error: GatewayError) -> None:
        """Tell the owner that nothing more comes."""
        if not self.ended.done():
            self.ended.set_result(error)
