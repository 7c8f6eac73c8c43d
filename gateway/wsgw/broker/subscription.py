"""What a connection is asked for: interest in subjects, and the credentials to ask with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from wsgw.config.natsfiles import TlsFiles
from wsgw.errors import GatewayError
from wsgw.fanout.publication import Publication


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the gateway shows NATS when the URL itself has nothing: a token, user and password, or what is in a file.

    And ``tls``, by which both know one another, where it is asked for. Files are read anew for each connection.
    """

    user: str | None = None
    password: str | None = None
    token: str | None = None
    credentials_file: str | None = None
    nkey_seed_file: str | None = None
    tls: TlsFiles | None = None

    def of_url(self, userinfo: str) -> Credentials:
        """Those in a URL: ``user:password``, or a token; percent-encoded (RFC 3986 section 3.2.1). ``tls`` stays."""
        user, colon, password = userinfo.partition(":")
        if colon:
            return Credentials(unquote(user), unquote(password), tls=self.tls)
        return Credentials(token=unquote(user), tls=self.tls)


class NatsSubscription:
    """Interest in one subject; ``ended`` gets the reason when NATS refuses it or the connection is lost."""

    def __init__(self, subject: str, deliver: Callable[[Publication], None]) -> None:
        self.subject = subject
        self.deliver = deliver
        self.ended: asyncio.Future[GatewayError] = asyncio.get_running_loop().create_future()
        #: the connection's, once it is subscribed
        self.number = 0

    def end(self, error: GatewayError) -> None:
        """Tell the owner that nothing more comes."""
        if not self.ended.done():
            self.ended.set_result(error)


class Subscriptions:
    """Those of one connection; several may be of the same subject. A question costs the same however many there are."""

    def __init__(self) -> None:
        self._of: dict[str, list[NatsSubscription]] = {}

    def __iter__(self) -> Iterator[NatsSubscription]:
        return (subscription for several in self._of.values() for subscription in several)

    def __contains__(self, subscription: NatsSubscription) -> bool:
        return subscription in self._of.get(subscription.subject, ())

    def of(self, subject: str) -> tuple[NatsSubscription, ...]:
        """Those of ``subject``, in order."""
        return tuple(self._of.get(subject, ()))

    def add(self, subscription: NatsSubscription) -> None:
        """One more, which is not there yet."""
        self._of.setdefault(subscription.subject, []).append(subscription)

    def discard(self, subscription: NatsSubscription) -> bool:
        """Undo ``add``; whether it was there."""
        several = self._of.get(subscription.subject, [])
        if subscription not in several:
            return False
        several.remove(subscription)
        if not several:
            del self._of[subscription.subject]
        return True
