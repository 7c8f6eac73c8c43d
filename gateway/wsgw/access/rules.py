"""What a client may do: asked of one object, by sessions only, for every protocol."""

from __future__ import annotations

from typing import Protocol

from wsgw.access.principal import Principal
from wsgw.channels.channel import Channel, Use
from wsgw.errors import UNAUTHENTICATED, GatewayError


class Rules(Protocol):
    """Answers at once; what has to be waited for is found out before a session is opened."""

    def admit(self, principal: Principal) -> None:
        """A session is being opened, the first one of ``principal``. Raises GatewayError where that may not be.

        The handshake is there now, and not when ``allow`` is asked later: what that needs to know of it is to be kept
        in ``principal.grant``.
        """

    def allow(self, principal: Principal, use: Use, channel: Channel, name: str) -> bool:
        """Whether ``principal`` may do ``use`` with ``name``, which belongs to ``channel``.

        Asked once for a session and name, and again for a name that is used after another one.
        """


class AllowAll:
    """The rules without authentication: everybody may do what the channels offer."""

    def admit(self, principal: Principal) -> None:
        """Nothing to find out."""

    def allow(self, principal: Principal, use: Use, channel: Channel, name: str) -> bool:
        return True


class IdentityRules:
    """The rules with authentication: what the client's identity has the rights for, and nothing else."""

    def admit(self, principal: Principal) -> None:
        """Nobody comes here before ``principal`` was identified."""
        if principal.identity is None:
            raise GatewayError(UNAUTHENTICATED, UNAUTHENTICATED.summary)

    def allow(self, principal: Principal, use: Use, channel: Channel, name: str) -> bool:
        return principal.identity is not None and principal.identity.rights.allow(use, name)
